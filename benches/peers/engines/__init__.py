"""One file per engine. Libraries are imported only by the worker process that measures them."""

from __future__ import annotations

from importlib import import_module

from .base import Peer

OURS = "vicinage"
ENGINES = {
    OURS: ("vicinage", "Vicinage"),
    "bruteforce": ("bruteforce", "BruteForce"),
    "hnswlib": ("hnswlib", "Hnswlib"),
    "faiss-hnsw": ("faiss", "FaissHnsw"),
    "faiss-hnsw-sq8": ("faiss", "FaissHnswSq8"),
    "faiss-ivfpqfs": ("faiss", "FaissIvfPqFs"),
    "scann": ("scann", "Scann"),
    "usearch": ("usearch", "Usearch"),
    "voyager": ("voyager", "Voyager"),
    "ngt": ("ngt", "Ngt"),
    "svs": ("svs", "Svs"),
    "hnsw-rs": ("vicinage", "HnswRs"),
    "glass": ("glass", "Glass"),
    "symphonyqg": ("symphonyqg", "SymphonyQg"),
}
PEERS = tuple(name for name in ENGINES if name != OURS)
FILTERED = {
    "qdrant-edge": ("qdrant", "QdrantEdge"),
    "qdrant-edge-acorn": ("qdrant", "QdrantEdgeAcorn"),
    "faiss-hnsw": ("filtered", "FaissHnswFiltered"),
    "hnswlib": ("filtered", "HnswlibNative"),
    "usearch": ("filtered", "UsearchNative"),
    "lancedb": ("lance", "Lance"),
    "lancedb-hnsw": ("lance", "LanceHnsw"),
}
"""Those that are asked under filters."""


def peer(name: str) -> Peer:
    """The engine of that name; its library is not imported yet."""
    return found(ENGINES, name)


def filtered_peer(name: str):
    """The engine of that name that is asked under filters."""
    return found(FILTERED, name)


def found(engines: dict[str, tuple[str, str]], name: str):
    if name not in engines:
        raise KeyError(f"no engine {name!r}, known are {', '.join(engines)}")
    module, cls = engines[name]
    return getattr(import_module(f".{module}", __package__), cls)()
