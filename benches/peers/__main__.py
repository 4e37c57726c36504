"""The command line: `python -m peers COMMAND`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import datasets, stored
from .client import WorkerError
from .duel import DuelError, DuelOptions, duel
from .engines import FILTERED, PEERS
from .filters import FilterOptions, FiltersError
from .filters import measure as measure_filters
from .measure import TRIES
from .predicates import FilterError
from .recall import IdsError
from .summary import summary
from .tune import Options, TuneError, tune

OUT = Path("peers-out")
PROGRAM = "VICINAGE_INDEX_TOOLS"
EXAMPLES = """examples:
  python -m peers wrap base.u8bin query.u8bin --metric l2 --out fashion-mnist-784.hdf5
  python -m peers tune fashion-mnist-784.hdf5 --engines hnswlib,scann
  python -m peers duel fashion-mnist-784.hdf5 --ours ../target/release/index-tools
  python -m peers duel fashion-mnist-784.hdf5 --ours ../target/release/index-tools --against-itself
  python -m peers filters tt --workload tt/filters --ours ../target/release/index-tools
"""

ROUNDS, ROUNDS_ALONE = 5, 15
"""Of a duel; alone is against itself: few configurations, whose interval should be narrow."""

FAULTS = (datasets.DatasetError, FilterError, IdsError, WorkerError, OSError)
FAULTS += (TuneError, DuelError, FiltersError)
"""What is told in a line."""

SHOWN = {"epilog": EXAMPLES, "formatter_class": argparse.RawDescriptionHelpFormatter}
"""How each command's help ends."""


def names(text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"no peer {name!r}, known are {', '.join(PEERS)}")
    return wanted


def numbers(text: str) -> list[int]:
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError("k is 1 or more")
    return values


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "datasets",
        nargs="+",
        metavar="DATASET",
        help="an ann-benchmarks HDF5 file, or the folder of a dataset.toml",
    )
    parser.add_argument(
        "--engines", type=names, metavar="A,B", help=f"which peers: {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help="results and indexes [%(default)s]"
    )
    parser.add_argument(
        "--ours",
        default=os.environ.get(PROGRAM),
        metavar="PROGRAM",
        help=f"index-tools, which holds vicinage and hnsw-rs [${PROGRAM}]",
    )
    parser.add_argument(
        "--floor",
        type=float,
        default=50.0,
        metavar="QPS",
        help="leave a ladder of search parameters below this speed [%(default)s]",
    )
    parser.add_argument("--threads", type=int, help="threads of builds [one a core]")


def tune_parser(commands) -> None:
    parser = commands.add_parser(
        "tune",
        help="sweep each peer's grid over sets, keep the Pareto configurations",
        description="Sweeps each peer's grid over sets. What was measured before is not again.",
        **SHOWN,
    )
    add_common(parser)
    parser.add_argument("--quick", action="store_true", help="two or three builds of each grid")
    parser.add_argument("--k", type=numbers, default=[10], metavar="K,K", help="answers [10]")
    parser.add_argument("--seconds", type=float, default=1.0, help="least time of a point [1]")
    parser.add_argument(
        "--tries", type=int, default=TRIES, help="rounds of a disturbed point [%(default)s]"
    )
    parser.add_argument("--queries", type=int, metavar="N", help="ask only the first N [all]")
    parser.add_argument("--keep-all", action="store_true", help="keep index files off the front")
    parser.add_argument("--retry", action="store_true", help="try again what failed before")


def duel_parser(commands) -> None:
    parser = commands.add_parser(
        "duel",
        help="interleave ours with the peers' Pareto configurations, report ratios",
        description="Measures ours and tuned peers in turns, and reports paired ratios.",
        **SHOWN,
    )
    add_common(parser)
    parser.add_argument("--k", type=int, default=10, help="answers [%(default)s]")
    parser.add_argument("--rounds", type=int, help=f"[{ROUNDS}, against itself {ROUNDS_ALONE}]")
    parser.add_argument("--min-seconds", type=float, default=2.0, help="of a round [%(default)s]")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds a set [%(default)s]")
    parser.add_argument("--pin", type=int, metavar="CPU", help="search on this processor")
    parser.add_argument(
        "--recall", choices=("id", "distance"), default="id", help="of readings [%(default)s]"
    )
    parser.add_argument(
        "--build", type=json.loads, default={}, metavar="JSON", help="our build parameters"
    )
    parser.add_argument(
        "--against-itself", action="store_true", help="two processes of ours, no peers"
    )
    parser.add_argument(
        "--one-by-one", action="store_true", help="ask ours a query at a time, not all in one call"
    )


def filtered_names(text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in FILTERED:
            known = ", ".join(FILTERED)
            raise argparse.ArgumentTypeError(f"no engine {name!r} with filters, known are {known}")
    return wanted


def filters_parser(commands) -> None:
    parser = commands.add_parser(
        "filters",
        help="measure engines under the filters of a workload",
        description="Measures engines under the filters of a workload, group by group, in turns.",
        **SHOWN,
    )
    parser.add_argument("dataset", metavar="DATASET", help="HDF5 file, or folder of a dataset.toml")
    parser.add_argument(
        "--workload",
        type=Path,
        required=True,
        metavar="DIR",
        help="what index-tools datasets generate filters wrote",
    )
    parser.add_argument(
        "--engines", type=filtered_names, metavar="A,B", help=f"which: {', '.join(FILTERED)}"
    )
    parser.add_argument(
        "--shapes", type=lambda text: text.split(","), metavar="A,B", help="only these groups"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="[%(default)s]")
    parser.add_argument("--k", type=int, default=10, help="answers [%(default)s]")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="[%(default)s]")
    parser.add_argument("--min-seconds", type=float, default=1.0, help="of a round [%(default)s]")
    parser.add_argument(
        "--floor", type=float, default=20.0, metavar="QPS", help="leave a ladder [%(default)s]"
    )
    parser.add_argument("--pin", type=int, metavar="CPU", help="search on this processor")
    parser.add_argument("--threads", type=int, help="threads of builds [one a core]")
    parser.add_argument(
        "--ours",
        default=os.environ.get(PROGRAM),
        metavar="PROGRAM",
        help=f"index-tools, whose sweep --filters takes turns with the peers [${PROGRAM}]",
    )
    parser.add_argument(
        "--ours-args", default="", metavar="WORDS", help="more words for that sweep"
    )
    parser.add_argument(
        "--merge",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.jsonl",
        help="lines of our sweep --filters, measured elsewhere",
    )
    parser.add_argument("--all-points", action="store_true", help="not only what readings need")


def store_parser(commands) -> None:
    parser = commands.add_parser(
        "store",
        help="copy tuned configurations into the repository",
        description="Copies what tune found to peers/tuned/, which a duel elsewhere reads.",
        **SHOWN,
    )
    add_common(parser)


def summary_parser(commands) -> None:
    parser = commands.add_parser(
        "summary",
        help="one table of several duels",
        description="Prints ours against the fastest peer at each recall, a line a duel.",
        **SHOWN,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl", help="one a duel")
    parser.add_argument("--recall", choices=("id", "distance"), default="id")


def wrap_parser(commands) -> None:
    parser = commands.add_parser(
        "wrap",
        help="write an ann-benchmarks HDF5 file of rows",
        description="Writes rows as an ann-benchmarks HDF5 file, with exact neighbors.",
        **SHOWN,
    )
    parser.add_argument("base", type=Path, metavar="BASE", help=".npy, .fbin, .u8bin, .i8bin")
    parser.add_argument("test", type=Path, metavar="TEST")
    parser.add_argument("--metric", required=True, help="l2, ip or cosine")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.hdf5")
    parser.add_argument("--neighbors", type=Path, metavar="FILE", help="true ids [computed]")
    parser.add_argument("--k", type=int, default=100, help="neighbors computed [%(default)s]")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m peers",
        description="Measures nearest-neighbor engines beside vicinage.",
        **SHOWN,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = (tune_parser, duel_parser, filters_parser, store_parser, summary_parser, wrap_parser)
    for add in parsers:
        add(commands)
    args = parser.parse_args(arguments)
    if args.command == "duel" and args.ours is None:
        parser.error(f"duel needs --ours PROGRAM, or {PROGRAM} set")
    return args


def run(args: argparse.Namespace) -> None:
    if args.command == "wrap":
        datasets.wrap(args.base, args.test, args.metric, args.out, args.neighbors, args.k)
        return
    if args.command == "summary":
        print(summary(args.files, f"recall_{args.recall}"))
        return
    if args.command == "filters":
        run_filters(args)
        return
    if args.command == "store":
        stored.store(args.datasets, args.out, args.engines)
        return
    shared = {"engines": args.engines, "program": args.ours, "floor": args.floor}
    shared |= {"threads": args.threads} if args.threads else {}
    if args.command == "tune":
        shared["engines"] = args.engines or list(PEERS)
        options = Options(
            ks=args.k,
            quick=args.quick,
            seconds=args.seconds,
            tries=args.tries,
            queries=args.queries,
            keep_all=args.keep_all,
            retry=args.retry,
            **shared,
        )
        tune(args.datasets, args.out, options)
        return
    options = DuelOptions(
        k=args.k,
        rounds=args.rounds or (ROUNDS_ALONE if args.against_itself else ROUNDS),
        min_seconds=args.min_seconds,
        budget=args.budget,
        pin=args.pin,
        recall=f"recall_{args.recall}",
        build=args.build,
        against_itself=args.against_itself,
        one_by_one=args.one_by_one,
        **shared,
    )
    duel(args.datasets, args.out, options)


def run_filters(args: argparse.Namespace) -> None:
    options = FilterOptions(
        workload=args.workload,
        engines=args.engines,
        shapes=args.shapes,
        k=args.k,
        rounds=args.rounds,
        min_seconds=args.min_seconds,
        floor=args.floor,
        pin=args.pin,
        program=args.ours,
        ours=args.ours_args,
        merge=args.merge,
        all_points=args.all_points,
        **({"threads": args.threads} if args.threads else {}),
    )
    measure_filters(args.dataset, args.out, options)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    try:
        run(args)
    except FAULTS as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("peers: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
