"""vicinage itself: the command `index-tools sweep --worker`, which speaks the same protocol."""

from __future__ import annotations

import os
from pathlib import Path

EF = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640)


def binary(given: str | None) -> str | None:
    """The program: as given, else from the environment."""
    return given or os.environ.get("VICINAGE_INDEX_TOOLS")


def command(program: str) -> list[str]:
    return [str(Path(program).absolute()), "sweep", "--worker"]


def searches() -> list[dict]:
    return [{"ef": ef} for ef in EF]
