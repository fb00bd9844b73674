"""Environments of their own for what the benchmarks compare with, made once."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def ready(folder: str, constraints: str, packages: Sequence[str]) -> Path:
    """Return the Python of an environment in the project's folder, with packages installed.

    ``constraints`` is a file beside this one.  What was made for other constraints is added to.
    """
    home = ROOT / folder
    pins, python = Path(__file__).parent / constraints, home / "bin" / "python"
    done = home / f".ready-{pins.stem.removeprefix('constraints-')}"
    if not done.exists():
        print(f"making {folder} for {', '.join(packages)}, once", file=sys.stderr)
        venv.create(home, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(pins)]
        subprocess.run([*pip, *packages], check=True)
        done.touch()
    return python
