"""`python -m towers als|bpr|two-tower INTERACTIONS --out DIR`"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from . import Refused, evaluation, forms, output
from .interactions import core, once, read
from .split import DEFAULT_TEST_USERS, Split, split
from .training import Settings, Vectors

EXAMPLES = (
    """examples:
  python -m towers als ml-25m/ratings.csv --min-rating 4 --out ml-als
  python -m towers two-tower loc-gowalla_totalCheckins.txt.gz --core 10 --out gowalla
  python -m towers bpr Books.csv.gz --form amazon-items-first --dim 32 --seed 3 --out books

forms (found out from the file; --form overrides):
"""
    + "\n".join(f"  {name:20}{form.expected}" for name, form in forms.FORMS.items())
    + "\n  parquet             columns user_id, item_id, and perhaps time and rating\n"
)


def train(family: str, parts: Split, settings: Settings) -> Vectors:
    # Each loads a library that the others do without.
    if family == "two-tower":
        from .two_tower import train_two_tower as trainer
    elif family == "als":
        from .factors import train_als as trainer
    else:
        from .factors import train_bpr as trainer
    # The trainers have threads of their own, among which those of a BLAS only get in the way.
    with threadpool_limits(1, "blas"):
        return trainer(parts.train, settings)


def judge(parts: Split, vectors: Vectors) -> None:
    queries, items = vectors[0][parts.test], vectors[1]
    seen = parts.seen()
    for name, scores in (
        ("vectors", evaluation.by_vectors(queries, items)),
        ("popularity", evaluation.by_popularity(parts.popularity)),
    ):
        tops = evaluation.shortlists(scores, len(seen), seen)
        found = evaluation.figures(tops, parts.held_out)
        print(f"{name:11}", *(f"{k} {v:.4f}" for k, v in found.items()), sep="  ")


def run(options: argparse.Namespace) -> None:
    output.check_free(options.out, options.overwrite)
    begun = time.monotonic()
    form, every = read(options.interactions, options.form, options.min_rating)
    print(f"read as {form}: {every.summary()}, {time.monotonic() - begun:.1f} s")
    data = core(once(every), options.core)
    print(f"each pair once, {options.core}-core: {data.summary()}")
    parts = split(data, options.test_users, options.held_out, options.seed)
    print(f"split: {parts.summary()}")
    settings = Settings(options.dim, options.epochs, options.seed, options.threads)
    # Around the training, so that a place that cannot be written to is found out before it.
    with output.replaced(options.out, options.overwrite) as folder:
        begun = time.monotonic()
        vectors = train(options.family, parts, settings)
        print(f"trained {options.family} in {time.monotonic() - begun:.1f} s")
        if not all(np.isfinite(v).all() for v in vectors):
            raise Refused("the training diverged: vectors that are not finite")
        output.write(folder, options.family, options.seed, parts, vectors)
    print(f"wrote {options.out}")
    judge(parts, vectors)


def _at_least(least: int):
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, found {value}")
        return value

    return number


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        prog="python -m towers",
        description="Trains item and user vectors from interactions.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = arguments.add_argument
    add("family", choices=["als", "bpr", "two-tower"])
    add("interactions", type=Path, help="who took which item; may be compressed with gzip")
    add("--out", type=Path, required=True, help="folder to write")
    add("--overwrite", action="store_true", help="replace the folder if a training wrote it")
    add("--form", choices=forms.NAMES, metavar="FORM", help="see below")
    add("--min-rating", type=float, help="leave out what is rated lower")
    add("--core", type=_at_least(1), default=5, help="interactions of each user and item (5)")
    add(
        "--test-users",
        type=_at_least(1),
        help=f"users to hold out from ({DEFAULT_TEST_USERS}, or a fifth if that is fewer)",
    )
    add("--held-out", type=_at_least(1), default=5, help="latest items of each that are (5)")
    add("--dim", type=_at_least(2), default=64, help="of the vectors (64)")
    add("--epochs", type=_at_least(1), help="passes over the interactions")
    add("--seed", type=_at_least(0), default=7, help="of all that is drawn (7)")
    add("--threads", type=_at_least(1), default=1, help="more make bpr differ between runs (1)")
    return arguments


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    try:
        options = parser().parse_args()
        with threadpool_limits(options.threads):
            run(options)
    except (Refused, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
