"""Write the tables of the local suite anew into its page in the documentation (`make cards`).

Run ``python -m datumrl.scripts.write_local_tables`` in the repository, after the cards.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import local_suite

DOCUMENT = Path("docs/collections/local.md")


def main() -> int:
    """Replace the tables in the document; exit code 2 where there is no such document."""
    try:
        if not DOCUMENT.is_file():
            raise DatumrlError(f"{DOCUMENT} is not here; run this in the repository")
        text = local_suite.within(DOCUMENT.read_text(encoding="utf-8"))
        with files.replacing(DOCUMENT, "w") as handle:
            handle.write(text)
    except DatumrlError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
