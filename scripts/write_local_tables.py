"""Write the tables and the map of the local suite again into the documentation (`make cards`).

Run ``python -m datumrl.scripts.write_local_tables`` in the repository, after the cards.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datumrl.datasets import figures, files
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import known_quality, local_suite

DOCUMENT = Path("docs/collections/local.md")
MAP = Path("docs/figures/local_map.svg")


def main() -> int:
    """Replace the document's tables and its map; exit code 2 where there is no such document."""
    try:
        if not DOCUMENT.is_file():
            raise DatumrlError(f"{DOCUMENT} is not here; run this in the repository")
        text = local_suite.within(DOCUMENT.read_text(encoding="utf-8"))
        with files.replacing(DOCUMENT, "w") as handle:
            handle.write(text)
        figures.write_map(MAP, known_quality.points())
    except DatumrlError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
