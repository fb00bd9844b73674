"""Whatever lies in a submission's folder, the checker neither crashes, hangs nor writes."""

import json
import os
import random
import shutil
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import submission_files
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.submission_schema import FOLDER, json_schemas
from datumrl.scripts.main import main

HTML = '<script>alert(1)</script><img src=x onerror="alert(1)">'
DATASET_FILE = "local__inverted-pendulum-medium-v1.json"


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(root.rglob("*")):
        told = path.lstat()
        found[str(path)] = (told.st_size, told.st_mtime_ns)
    return found


def findings(root: Path) -> str:
    """Check a folder; the report must be printable, one line each, and nothing may have changed."""
    before, started = snapshot(root), time.monotonic()
    report = check(root)
    assert time.monotonic() - started < 20
    assert snapshot(root) == before
    lines = [str(each) for each in report.findings]
    for line in lines:
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in line)
        assert len(line) < 2_100
        line.encode()
    assert report.errors
    return "\n".join(lines)


def raw(draft: Any, text: str | bytes) -> None:
    draft.extra[DATASET_FILE] = text.encode() if isinstance(text, str) else text


def replaced(old: str, new: str) -> Callable[[Any], None]:
    def spoil(draft: Any) -> None:
        text = json.dumps(draft.result)
        assert old in text
        raw(draft, text.replace(old, new, 1))

    return spoil


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "no json": (lambda d: raw(d, "{"), "no strict JSON"),
    "empty": (lambda d: raw(d, ""), "no strict JSON"),
    "binary": (lambda d: raw(d, os.urandom(999)), "no strict JSON"),
    "pickle": (lambda d: raw(d, b"\x80\x04cos\nsystem\n(S'touch /tmp/x'\ntR."), "no strict JSON"),
    "byte order mark": (lambda d: raw(d, "\ufeff{}"), "no strict JSON"),
    "a list": (lambda d: raw(d, "[]"), "see submissions/schema/"),
    "a number": (lambda d: raw(d, "1"), "see submissions/schema/"),
    "NaN": (replaced('"lr": 0.001', '"lr": NaN'), "NaN is not a number"),
    "infinity": (replaced('"lr": 0.001', '"lr": -Infinity'), "-Infinity is not a number"),
    "overflow": (replaced('"lr": 0.001', '"lr": 1e999'), "beyond any double"),
    "many digits": (replaced('"lr": 0.001', f'"lr": {"9" * 9999}'), "9999 digits"),
    "twice": (replaced('"lr": 0.001', '"lr": 1, "lr": 2'), "'lr' is given twice"),
    "deep list": (lambda d: raw(d, "[" * 200_000 + "]" * 200_000), "nests deeper"),
    "deep object": (lambda d: raw(d, '{"a":' * 50_000 + "1" + "}" * 50_000), "nests deeper"),
    "deep configuration": (
        replaced('"lr": 0.001', '"lr": ' + "[" * 30 + "]" * 30), "nests deeper",
    ),
    "unknown field": (
        replaced('"algorithm"', '"normalized_score": 99, "algorithm"'), "normalized_score",
    ),
    "mean in a run": (replaced('"hardware"', '"mean": 9, "hardware"'), "Extra inputs"),
    "text as number": (replaced('"seed": 0', '"seed": "0"'), "seed"),
    "negative seed": (replaced('"seed": 0', '"seed": -1'), "seed"),
    "huge seed": (replaced('"seed": 0', '"seed": 99999999999999999999'), "seed"),
    "huge step": (replaced('"step": 500', '"step": 999999999999999999'), "step"),
    "true as seed": (replaced('"seed": 0', '"seed": true'), "seed"),
    "control character": (replaced('"bc"', '"b\\u0007c"'), "U+0007"),
    "turned text": (replaced('"bc"', '"b\\u202ec"'), "U+202E"),
    "newline for the log": (replaced('"bc"', '"b\\n::error::c"'), "U+000A"),
    "half a surrogate": (replaced('"bc"', '"b\\ud800c"'), "U+D800"),
    "Hangul filler": (lambda d: d.method.update(name="MY-BC\u3164"), "U+3164"),
    "empty Braille": (lambda d: d.method.update(authors=["\u2800"]), "U+2800"),
    "variation selector": (lambda d: d.method.update(name="B\ufe0fC"), "U+FE0F"),
    "invisible key": (replaced('"lr": 0.001', '"l\\u200br": 1'), "U+200B"),
    "html as id": (
        lambda d: d.result.update(dataset=HTML), "unknown dataset",
    ),
    "path as id": (
        lambda d: d.result.update(dataset="../../../etc/passwd"), "unknown dataset",
    ),
    "path as method": (lambda d: d.method.update(method="../../x"), "pattern"),
    "path as revision": (lambda d: d.method.update(revision=".."), "pattern"),
    "script as url": (lambda d: d.method["code"].update(url="javascript:alert(1)"), "pattern"),
    "quote in url": (lambda d: d.method.update(paper='https://a/"onload='), "pattern"),
    "short commit": (lambda d: d.method["code"].update(commit="abc123"), "pattern"),
    "html file": (lambda d: d.extra.update({"<b>.json": b"{}"}), "plain names"),
    "python file": (lambda d: d.extra.update({"conftest.py": b"1/0"}), "only JSON files"),
    "hidden file": (lambda d: d.extra.update({".git.json": b"{}"}), "only JSON files"),
    "escape in name": (lambda d: d.extra.update({"\x1b[2J.json": b"{}"}), "\\u001b"),
    "data as settings": (
        lambda d: d.result["configuration"].update(note="x" * 70_000), "give settings, not data",
    ),
    "long name of software": (
        lambda d: d.runs[0]["software"].update({"x" * 400: "1"}), "at most 300 characters",
    ),
    "too many results": (
        lambda d: d.method.update(not_run={f"x{n}": "y" for n in range(2_000)}), "not_run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_hostile_content_is_refused_in_one_plain_line(
    draft: Any, tmp_path: Path, name: str
) -> None:
    spoil, told = BROKEN[name]
    spoil(draft)
    draft.write(tmp_path / "subs")
    assert told in findings(tmp_path / "subs")


def test_html_in_free_text_is_text_on_the_board(draft: Any, tmp_path: Path) -> None:
    draft.method["name"] = HTML[:60]
    draft.result["configuration"]["note"] = HTML
    draft.write(tmp_path / "subs")
    assert not check(tmp_path / "subs").errors
    out = tmp_path / "board"
    command = ["board", "--no-published", "--submissions", str(tmp_path / "subs")]
    assert main([*command, "--out", str(out)]) == 0
    pages = [path.read_text(encoding="utf-8") for path in out.rglob("*.html")]
    assert any("&lt;script&gt;alert(1)" in page for page in pages)
    assert not any("<script>alert(1)" in page or "<img" in page for page in pages)


def test_links_pipes_and_folders_are_not_followed(draft: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "hunter2"}')
    folder = draft.write(tmp_path / "subs")
    (folder / "link.json").symlink_to(secret)
    (folder / "loop.json").symlink_to(folder)
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    (folder / "device.json").symlink_to("/dev/zero")
    told = findings(tmp_path / "subs")
    assert told.count("no regular file") == 5
    assert "hunter2" not in told
    (tmp_path / "subs" / "linked").symlink_to(tmp_path / "subs" / "my-bc")
    (tmp_path / "subs" / "my-bc" / "r2").symlink_to(folder)
    (tmp_path / "subs" / "file").write_text("x")
    told = findings(tmp_path / "subs")
    assert "my-bc/r2: is no folder" in told
    with pytest.raises(DatumrlError, match="is no folder"):
        check(tmp_path / "subs" / "linked")
    assert "linked" in told


def test_beside_methods_lie_the_readme_and_the_schemas_only(draft: Any, tmp_path: Path) -> None:
    root = tmp_path / "subs"
    draft.write(root)
    (root / "README.md").write_text("x")
    (root / "schema").mkdir()
    for name, text in json_schemas().items():
        (root / "schema" / name).write_text(text)
    assert not check(root).errors
    (root / "schema" / "page.html").write_text(HTML)
    assert "schema: holds other files than" in findings(root)
    (root / "schema" / "page.html").unlink()
    (root / "schema" / "method.schema.json").write_text("{}")
    assert "schema: holds other files than" in findings(root)
    (root / "schema" / "method.schema.json").write_text(json_schemas()["method.schema.json"])
    (root / "README.md").unlink()
    (root / "README.md").symlink_to("/etc/passwd")
    assert "README.md: belongs to no method" in findings(root)


def test_readme_and_schemas_stay_as_they_are(draft: Any, tmp_path: Path) -> None:
    for name in ("base", "subs"):
        shutil.copytree(FOLDER, tmp_path / name)
    draft.write(tmp_path / "subs")
    subs, base = tmp_path / "subs", tmp_path / "base"
    assert not check(subs, base).errors
    (subs / "README.md").write_text("buy something")
    assert "README.md: is not datumrl's" in str(check(subs, base).errors[0])
    (subs / "README.md").unlink()
    (subs / "schema" / "method.schema.json").unlink()
    told = [str(each) for each in check(subs, base).errors]
    assert len(told) == 2
    assert all("is gone; restore it" in each for each in told)


def test_sizes_are_limited(draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draft.write(tmp_path / "subs")
    with (folder / "large.json").open("wb") as handle:
        handle.truncate(50_000_000_000)  # sparse: takes no room, and must not be read
    told = findings(tmp_path / "subs")
    assert "larger than 8 MB; evaluate at fewer points or over fewer episodes, or submit" in told
    (folder / "large.json").unlink()
    monkeypatch.setattr(submission_files, "LARGEST_SUBMISSION", 5_000)
    assert "over 0 MB" in findings(tmp_path / "subs")
    for number in range(submission_files.MOST_FILES + 1):
        (folder / f"{number}.json").touch()
    assert "over 400 files" in findings(tmp_path / "subs")


@pytest.mark.slow
def test_large_wrong_content_takes_seconds_not_minutes(draft: Any, tmp_path: Path) -> None:
    keys = ",".join(f'"k{n}":1' for n in range(300_000))
    raw(draft, f'{{{keys},"k299999":2}}')
    draft.extra["a.json"] = b'{"runs":[' + b'"x",' * 1_500_000 + b"1]}"
    draft.extra["b.json"] = b'{"configuration":[' + b"[]," * 1_500_000 + b"[]]}"
    run = b'{"evaluations":[' + b"{}," * 1_900 + b"{}]},"
    draft.extra["d.json"] = b'{"runs":[' + run * 100 + b"{}]}"
    draft.extra["c.json"] = b'{"dataset":"' + b"x" * 7_000_000 + b'"}'
    draft.write(tmp_path / "subs")
    assert "is given twice" in findings(tmp_path / "subs")


def test_thousands_of_equal_points_take_seconds_not_hours(make: Any, tmp_path: Path) -> None:
    # Equal seeds and steps: none of them is a copy of one before it, so no finding ends the search.
    for number in (1, 2):
        draft = make("one", f"r{number}")
        draft.method["supersedes"] = f"r{number - 1}" if number > 1 else None
        del draft.runs[5:]
        for run in draft.runs:
            run["seed"] = 7
            run["evaluations"] = draft.runs[0]["evaluations"][:1] * 2_000
        draft.write(tmp_path / "subs")
    told = findings(tmp_path / "subs")
    assert "seed 7 is there 5 times" in told


def mutated(generator: random.Random, content: bytes) -> bytes:
    pieces = [b"{", b"}", b"[", b"]", b'"', b"\\u0000", b"1e400", b"null", b"-1", b"NaN", b"\xff"]
    found = bytearray(content)
    for _ in range(generator.randint(1, 8)):
        place = generator.randrange(len(found))
        if generator.random() < 0.5:
            found[place : place + generator.randint(0, 30)] = generator.choice(pieces)
        else:
            found[place] = generator.randrange(256)
    return bytes(found)


def swapped(generator: random.Random, content: Any) -> Any:
    """Return JSON values with one of them, anywhere, replaced by something unexpected."""
    odd = [None, True, -1, 10**18, 1e300, "", HTML, "../x", [], {}, [[]], {"": 0}, "r1", 0.5]
    if isinstance(content, (dict, list)) and content and generator.random() < 0.85:
        copy: Any = dict(content) if isinstance(content, dict) else list(content)
        key = generator.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        copy[key] = swapped(generator, copy[key])
        return copy
    return generator.choice(odd)


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_crashes_the_checker(make: Any, tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    draft = make()
    draft.evidence = {**EVIDENCE, "files": {}}
    if seed % 2:
        name = generator.choice(["method", "result", "evidence"])
        if name == "result":
            draft.results[DATASET_FILE] = swapped(generator, draft.result)
        else:
            setattr(draft, name, swapped(generator, getattr(draft, name)))
    else:
        draft.extra = {
            "method.json": mutated(generator, json.dumps(draft.method).encode()),
            DATASET_FILE: mutated(generator, json.dumps(draft.result).encode()),
        }
    draft.write(tmp_path / "subs")
    findings(tmp_path / "subs")


EVIDENCE = {
    "schema_version": "datumrl-submission/1",
    "method": "my-bc",
    "revision": "r1",
    "kind": "retrained",
    "verified_by": "Somebody Else",
    "sampled": 1,
    "cells": [
        {
            "dataset": "local/inverted-pendulum-medium-v1",
            "runs": [
                {
                    "seed": seed,
                    "status": "complete",
                    "failure": None,
                    "evaluations": [{"step": 1, "returns": [1.0, 2.0], "lengths": [1, 2]}],
                    "software": {},
                    "hardware": "x",
                }
                for seed in (50, 51)
            ],
        }
    ],
}


def test_strict_json_reads_what_is_strict() -> None:
    content = {"a": [1, -2.5, 1e-300, True, None, "é漢<b>"], "b": {"c": {}}}
    assert submission_files.strict_json(json.dumps(content).encode()) == content
    with pytest.raises(DatumrlError, match="no strict JSON"):
        submission_files.strict_json(b"{'a': 1}")
