"""The workflow runs the base branch's checker over a pull request's data, without any rights."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / ".github" / "workflows" / "check-submission.yml").read_text(encoding="utf-8")


def test_the_token_can_only_read_and_there_are_no_secrets() -> None:
    assert re.search(r"^permissions:\n  contents: read\n\n", TEXT, re.MULTILINE)
    assert "pull_request:" in TEXT
    assert "pull_request_target" not in TEXT
    assert "secrets" not in TEXT
    # A tag can be moved to other code, a commit cannot.
    assert all(re.fullmatch("[0-9a-f]{40}", each) for each in re.findall(r"uses: \S+@(\S+)", TEXT))
    assert TEXT.count("persist-credentials: false") == TEXT.count("actions/checkout") == 3


def test_nothing_of_the_pull_request_is_installed_or_written_into_a_script() -> None:
    assert re.findall(r"pip install .*", TEXT) == [
        "pip install --quiet ./base -c base/constraints.txt"
    ]
    runs = re.findall(r"run: >?((?:.|\n          )*)", TEXT)
    assert not any("${{" in run for run in runs)
    # For a pull request `base.sha` is there; on main it is not, and what was pushed is merged.
    checkouts = dict(re.findall(r"ref: \$\{\{ (.*) \}\}\n          path: (\w+)", TEXT))
    assert {place: ref for ref, place in checkouts.items()} == {
        "base": "github.event.pull_request.base.sha || github.sha",
        "before": "github.event.pull_request.base.sha || github.event.before",
        "proposed": "github.sha",
    }


def test_main_is_checked_after_every_merge() -> None:
    pushes = "  push:\n    branches: [main]\n    paths: "
    assert f'\n{pushes}["leaderboard/submissions/**"]\n' in TEXT
