"""Write the JSON Schemas of submissions again: ``python -m datumrl.scripts.submission_schemas``."""

from __future__ import annotations

from datumrl.leaderboard import submission_schema


def main() -> None:
    """Write every schema beside the submissions."""
    for path in submission_schema.write_json_schemas(submission_schema.FOLDER / "schema"):
        print(path)


if __name__ == "__main__":
    main()
