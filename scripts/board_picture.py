"""Draw the leaderboard's first page, as a browser shows it, for the README (`make picture`).

Run ``python -m datumrl.scripts.board_picture [FOLDER]``, by default ``docs/figures``; it writes
``board.png`` and ``board-dark.png``.  The site is that of `datumrl board` without runs of one's
own.  Needs Chromium or Chrome on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError

FOLDER = Path("docs/figures")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = (1280, 724)  # pixels: what stands above the fold, whole charts only
COLOURS = 96  # of the palette: text and lines need no more, and the file is small
SCHEMES = {"board.png": 1, "board-dark.png": 0}  # Chromium's preferred colour scheme: light, dark
_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
)


def draw(page: Path, target: Path, scheme: int) -> None:
    """Write a picture of a page's first screen, with few colours."""
    from PIL import Image

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise DatumrlError(f"no browser found ({', '.join(BROWSERS)}); install one")
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "shot.png"
        command = [browser, *_OPTIONS.split(), f"--user-data-dir={scratch}/profile"]
        command += [f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={shot}"]
        command += [f"--blink-settings=preferredColorScheme={scheme}", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not shot.exists():
            raise DatumrlError(f"{browser} drew nothing: {done.stderr.strip()[-300:]}")
        with Image.open(shot) as picture, files.replacing(target) as handle:
            picture.convert("RGB").quantize(COLOURS).save(handle, "png", optimize=True)


def main() -> int:
    """Build the site and draw it; exit code 2 where that is not possible."""
    from datumrl.scripts import main as command

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DATUMRL_HOME"] = scratch  # no runs of one's own
        site = Path(scratch).resolve() / "board"
        if code := command.main(["board", "--out", str(site)]):
            return code
        try:
            for name, scheme in SCHEMES.items():
                draw(site / "index.html", folder / name, scheme)
                size = (folder / name).stat().st_size
                print(f"{folder / name}: {size / 1000:.0f} kB")
        except DatumrlError as problem:
            print(problem, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
