"""Write the cards of all local datasets that are here, where the suite keeps them (`make cards`).

Run ``python -m datumrl.scripts.write_local_cards`` with DATUMRL_HOME at the folder in which they
were collected.  Cards that are there already stay for datasets that are not here.
"""

from __future__ import annotations

import sys

from datumrl.datasets import local_catalogue, places
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.files import home
from datumrl.leaderboard import known_quality
from datumrl.scripts import stats


def main() -> int:
    """Write the cards; exit code 2 if no local dataset is here."""
    here = [
        record.id for record in local_catalogue.records() if places.local_folder(record).is_dir()
    ]
    try:
        if not here:
            raise DatumrlError(f"{home()} holds no local dataset; run `datumrl collect ID`")
        for dataset in here:
            stats.Command(datasets=(dataset,), card=known_quality.CARDS).run()
    except DatumrlError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
