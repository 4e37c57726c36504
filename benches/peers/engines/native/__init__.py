"""Compiles the peers that are header-only, on this machine: pip fetches the headers, g++ the rest.

Headers and libraries are kept in `$XDG_CACHE_HOME/vicinage-peers`, by package and version, and the
libraries by source, flags and processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from ...machine import cpu_name

FOLDER = Path(__file__).parent
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-pthread", "-w")


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "vicinage-peers"


def compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "g++"))


def headers(package: str, version: str) -> Path:
    """The unpacked source distribution, fetched the first time."""
    folder = cache() / f"{package}-{version}"
    if not folder.is_dir():
        partial = cache() / f"{package}-{version}.partial{os.getpid()}"
        partial.mkdir(parents=True, exist_ok=True)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        fetch += ["--no-binary", package, f"{package}=={version}", "--dest", str(partial)]
        subprocess.run(fetch, check=True, stdout=2)
        (archive,) = partial.glob("*.tar.gz")
        with tarfile.open(archive) as held:
            held.extractall(partial, filter="data")
        (partial / f"{package}-{version}").rename(folder)
        shutil.rmtree(partial)
    return folder


def compiled(source: str, package: str, version: str, include: tuple[str, ...], more=()) -> Path:
    """The library of `source`, against the package's headers in the folders `include`."""
    held = headers(package, version)
    text = (FOLDER / "driver.h").read_bytes() + (FOLDER / source).read_bytes()
    flags = [*FLAGS, *more]
    key = hashlib.sha256(text + f"{flags} {cpu_name()}".encode()).hexdigest()[:16]
    library = cache() / f"{package}-{version}-{key}.so"
    if not library.is_file():
        partial = library.with_suffix(f".partial{os.getpid()}")
        paths = [f"-I{held / folder}" for folder in include]
        command = [compiler() or "g++", *flags, *paths, str(FOLDER / source), "-o", str(partial)]
        subprocess.run(command, check=True, stdout=2)
        partial.rename(library)
    return library


def opened(library: Path) -> ctypes.CDLL:
    """With the types of driver.h."""
    held = ctypes.CDLL(str(library))
    size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
    held.peer_error.restype = text
    held.peer_build.restype = held.peer_load.restype = pointer
    held.peer_build.argtypes = [pointer, size, size, ctypes.c_int, size, size, text, size]
    held.peer_load.argtypes = [text, size, size, ctypes.c_int, size, size, text]
    held.peer_save.argtypes = [pointer, text]
    held.peer_search.argtypes = [pointer, pointer, *[size] * 4, pointer, size, *[pointer] * 3]
    return held
