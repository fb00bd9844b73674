"""The page on Minari names the version that its statements are tested with."""

import re
from pathlib import Path

from datumrl.datasets import minari_writer

ROOT = Path(__file__).parents[2]


def test_versions_are_those_of_the_tests_and_of_the_writer() -> None:
    page = (ROOT / "docs" / "collections" / "minari.md").read_text(encoding="utf-8")
    (pinned,) = re.findall(r"^minari==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert set(re.findall(r"minari (\d+\.\d+\.\d+)", page)) == {pinned}
    assert f"states\n  {minari_writer.MINARI_VERSION}," in page
