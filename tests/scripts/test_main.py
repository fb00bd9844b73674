import importlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from datumrl.scripts import main


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in main.COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["datasets", "--help"], ["datasets"]])
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    code = "import sys; from datumrl.scripts import main; sys.exit(main.main(sys.argv[1:]))"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments], stdout=closed, stderr=subprocess.PIPE
        )
    assert ended.stderr == b""
    assert ended.returncode in (1, main.CLOSED_PIPE)  # rich ends with 1 where it notices first


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores.csv").write_text("algorithm,dataset,seed,score\nx,y,0,1\n")
    out = "/proc/report" if Path("/proc").is_dir() else "/dev/null/report"
    assert main.main(["compare", str(tmp_path / "scores.csv"), "--out", out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f" {out}" in line
    assert ";" in line


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["colect"]) == 2
    assert "did you mean 'collect'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([name, "--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"datumrl {name}" in told
    for nothing in ("None", "False", ""):
        assert f"(default: {nothing})" not in told


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_tells_what_the_docstring_tells(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first paragraph says what the list of commands says, which stands above instead."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    told = capsys.readouterr().out
    module, line = main.COMMANDS[name]
    command = importlib.import_module(f"datumrl.scripts.{module}").Command
    first, *others = inspect.cleandoc(command.__doc__).split("\n\n")
    assert others or name == "datasets"
    assert line in told
    assert " ".join(first.split()) not in " ".join(told.split())
    for paragraph in others:
        assert (
            f"\n\n{textwrap.fill(' '.join(paragraph.split()), 80, break_on_hyphens=False)}\n\n"
            in told
        )
    assert max(map(len, told.splitlines())) <= 80
    for inside in ("Raises", "``", "DatumrlError"):
        assert inside not in told


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("compare", "a comparison that was killed goes on where it was"),
        ("fetch", "An interrupted download is continued by the same command."),
        ("quickstart", "a tour of the main commands"),
        ("reproduce", "Exit code 1 if a cell does not follow."),
        ("stats", "by default the medium-replay dataset of the same environment and version"),
        ("submit", "Exit code 1 if a submission breaks a rule, or if a verification does not"),
    ],
)
def test_help_tells_what_options_do_not(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    assert said in " ".join(capsys.readouterr().out.split())


def test_an_unknown_dataset_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["datasets", "d4rl/hoper-medium-v2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nearest" in line
    assert "d4rl/hopper-medium-v2" in line


def test_the_catalogue_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["datasets", "--json"]) == 0
    listed = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["d4rl/ant-medium-v2"]["environment"]["id"] == "datumrl/AntZeroContact-v1"
