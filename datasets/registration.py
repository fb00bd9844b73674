"""Datasets of the user's own: described by a TOML file, registered under ``DATUMRL_HOME``.

A registered dataset keeps its meaning: its description is copied to ``registered/<name>.toml`` with
the sha256 of its data, and another description, or other data, is another name (or ``--replace``).
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datumrl.datasets import files, identity, leftovers, registration_schema
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.locking import locked
from datumrl.datasets.record import DatasetRecord, Environment, Reference
from datumrl.datasets.registration_schema import PREFIX

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*")
MEMBERS = ".files"  # folder of links to the files that a pattern names
_OWN = "registered"  # the table that is added to a description


@dataclass(frozen=True)
class Registered:
    """What `register` did."""

    record: DatasetRecord
    path: Path  # of the registered description
    changes: tuple[str, ...]  # what it replaced, in words
    unchanged: bool  # it was registered before, as it is


def folder() -> Path:
    """Return where the registered descriptions lie."""
    return files.home() / "registered"


def registered_path(dataset_id: str) -> Path | None:
    """Return where the description of an id lies, or would; None for what can be no such id."""
    name = dataset_id.removeprefix(PREFIX)
    known = dataset_id.startswith(PREFIX) and len(name) <= 100 and _NAME.fullmatch(name)
    return folder() / f"{name}.toml" if known else None


def columns_folder(dataset_id: str) -> Path:
    """Return where the prepared columns of a registered id lie (`places.prepared_folder`)."""
    return files.home() / "prepared" / dataset_id


def register(
    path: Path,
    *,
    replace: bool = False,
    progress: Any = None,
    waiting: Callable[[], None] = lambda: None,
) -> Registered:
    """Register the dataset that a TOML file describes, and read it once from end to end.

    ``progress`` is told of the reading; ``waiting`` is called where another process is at work on
    a dataset of this name, whose end is awaited.  Raises DatumrlError for a description that is not
    right, for data that does not fit it, and (unless ``replace``) where the name is taken by
    another.
    """
    text = _text(path)
    content = registration_schema.parse(text, path)
    target = registered_path(content["id"])
    if target is None:
        raise DatumrlError(
            f"{path}: id = {content['id']!r}: a name is {PREFIX} and lower-case letters, digits, "
            "'.', '_' and '-', such as user/my-robot-v1"
        )
    members, single = _members(content, path)
    _check_names([path.resolve().parent, *members])
    own: dict[str, Any] = {
        "folder": str(path.resolve().parent),
        "sha256": _digest(members, single),
        "members": [str(member) for member in members],
        "single": single,
    }
    with locked(columns_folder(content["id"]), waiting):
        return _register(target, text, content, own, replace, progress)


def _register(
    target: Path,
    text: str,
    content: dict[str, Any],
    own: dict[str, Any],
    replace: bool,
    progress: Any,
) -> Registered:
    """Register what is described, under the lock of its name."""
    single, members = own["single"], [Path(member) for member in own["members"]]
    changes = _changes(target, content, own)
    links = _links(target, own["sha256"])
    linked = links.exists()
    if target.exists() and not changes:
        if not single and not linked:
            _link(links, members)
        return Registered(record(target), target, (), True)
    if changes and not replace:
        raise DatumrlError(
            f"{content['id']} is registered with another meaning ({'; '.join(changes)}); choose "
            "another id, such as the next version, or --replace it"
        )
    if not single:
        _link(links, members)
    try:
        _read_and_keep(target, text, content, own, progress)
    except BaseException:
        if not single and not linked:  # else what is registered stands on it
            shutil.rmtree(links, ignore_errors=True)
        raise
    return Registered(record(target), target, changes, False)


def record(path: Path) -> DatasetRecord:
    """Return the record of a registered description.  Raises DatumrlError for a bad one."""
    content = _kept(path)
    return _record(path, content, content[_OWN])


def description(dataset_id: str) -> dict[str, Any]:
    """Return what the registered TOML file of an id holds."""
    path = registered_path(dataset_id)
    if path is None or not path.is_file():
        raise DatumrlError(f"{dataset_id} is not registered; `datumrl register FILE.toml` does it")
    return _kept(path)


def _kept(path: Path) -> dict[str, Any]:
    """Return what a registered description holds, with the table that registering added."""
    content = registration_schema.parse(_text(path), path, own=_OWN)
    kinds = {"folder": str, "sha256": str, "members": list}
    for name, kind in kinds.items():
        if not isinstance(content[_OWN].get(name), kind) or not content[_OWN][name]:
            raise DatumrlError(f"{path}: {_OWN}.{name} is damaged; register anew with --replace")
    return content


def _read_and_keep(
    target: Path, text: str, content: dict[str, Any], own: dict[str, Any], progress: Any
) -> None:
    """Convert the data, and only then keep the description and put the columns in place."""
    from datumrl.datasets import places, prepared, user_reader

    new = _record(target, content, own)
    folder = columns_folder(new.id)
    with files.storage_errors(folder):
        temporary, lock = leftovers.new_folder(folder)
    try:
        staged = temporary / folder.name
        user_reader.convert_described(places.raw_path(new), new, content, staged, progress)
        episodes = prepared.read(staged, new.id)
        episodes.validate()
        kept = _with_own(target, text, {**own, **_forms(episodes)})
        with files.replacing(target, "w") as handle:
            handle.write(kept)
        # Killed before this, the columns there are seen to be of another description, or none.
        with files.storage_errors(folder):
            files.put_in_place(staged, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        leftovers.release(lock)


def _with_own(target: Path, text: str, own: dict[str, Any]) -> str:
    """Return a description with the table of ours, which reads back as what it is."""
    # TOML's texts are JSON's, but for characters that JSON would escape as two, and for DEL.
    written = {
        key: json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        for key, value in own.items()
    }
    added = "\n".join(f"{key} = {value}" for key, value in written.items())
    kept = f"{text.rstrip()}\n\n[{_OWN}]\n{added}\n"
    if registration_schema.parse(kept, target, own=_OWN)[_OWN] != own:
        raise DatumrlError(f"{target}: TOML cannot hold {own}; rename what is odd there")
    return kept


def _forms(episodes: Any) -> dict[str, Any]:
    """Return what the data tells of its own form."""
    from datumrl.datasets import columns

    observations, actions = episodes.observations, episodes.actions
    flat = not isinstance(observations, dict) and observations.ndim == 2
    discrete = actions.dtype.kind in "iu"
    count = int(actions.max()) + 1 if discrete and actions.ndim == 1 else 0
    return {
        "rows": len(episodes),
        "observation_dim": observations.shape[1] if flat else 0,
        "observation_layout": "flat" if flat else columns.describe(observations),
        "action_dim": count if count else (actions.shape[1] if actions.ndim > 1 else 1),
    }


def _record(path: Path, content: Mapping[str, Any], own: Mapping[str, Any]) -> DatasetRecord:
    limit = content.get("time_limit", 0)
    environment = reference = None
    if given := content.get("environment"):
        environment = Environment(
            given["id"],
            given.get("time_limit", limit),
            tuple(sorted(given.get("kwargs", {}).items())),
            given.get("equivalent", True),
            given.get("note", ""),
        )
    if given := content.get("reference"):
        reference = Reference(float(given["minimum"]), float(given["maximum"]), given["origin"])
    single = own.get("single", not _is_pattern(content["path"]))  # not recorded at first
    source = Path(own["members"][0]) if single else _links(path, own["sha256"])
    return DatasetRecord(
        id=content["id"],
        reader="user",
        environment=environment,
        reference=reference,
        time_limit=limit,
        observation_dim=own.get("observation_dim", 0),
        action_dim=own.get("action_dim", 0),
        sha256=own["sha256"],
        licence=content.get("licence", "not stated"),
        citation=content.get("citation", "not stated"),
        bibtex=content.get("bibtex", ""),
        source=content.get("source", f"registered from {own['folder']}"),
        errata=tuple(content.get("notes", ())),
        observation_layout=own.get("observation_layout", "in the data"),
        discrete_actions=content.get("discrete_actions", False),
        rows=own.get("rows"),
        access="its files lie where they were registered; `datumrl register` reads them anew",
        folder=content["format"] == "minari" or not single,
        options=(("path", str(source)), ("description", _meaning(content))),
    )


def _meaning(content: Mapping[str, Any]) -> str:
    """Return the hex sha256 of what a description says of the columns, beside the record."""
    told = {name: content.get(name) for name in ("format", "columns", "boundaries")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _is_pattern(path: str) -> bool:
    return any(letter in path for letter in "*?[")


def _members(content: Mapping[str, Any], described_in: Path) -> tuple[list[Path], bool]:
    """Return the files that ``path`` names, in the order of their names, and whether it is one's.

    What exists under this very name is that file (a browser's second download is ``data[1].csv``);
    only where nothing does, the name may be a pattern.
    """
    given = files.expanded(content["path"], f"{described_in}: path = ")
    beside = described_in.resolve().parent
    whole = beside / given
    if _is_pattern(content["path"]) and not whole.exists():
        if content["format"] == "minari":
            raise DatumrlError(f"{described_in}: path = {content['path']!r}: name one folder")
        base = Path(whole.anchor)
        pattern = (Path(glob.escape(str(beside))) / given).relative_to(base)
        found = sorted(path for path in base.glob(str(pattern)) if path.is_file())
        if not found:
            raise DatumrlError(f"{described_in}: no file is named {whole}; check path")
        return [path.resolve() for path in found], False
    wanted = whole.is_dir() if content["format"] == "minari" else whole.is_file()
    if not wanted:
        kind = "folder" if content["format"] == "minari" else "file"
        raise DatumrlError(f"{described_in}: there is no {kind} {whole}; check path")
    return [whole.resolve()], True


def _check_names(paths: list[Path]) -> None:
    """Refuse names that are no text, which no description could hold."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise DatumrlError(
                f"{str(path)!r}: this name is not valid Unicode; rename it, then register"
            ) from None


def _links(target: Path, sha256: str) -> Path:
    return target.with_name(f"{target.stem}.{sha256[:12]}{MEMBERS}")


def _link(links: Path, members: list[Path]) -> None:
    """Make the folder that stands for the files of a pattern: a link to each, in their order."""
    with files.replacing_folder(links) as temporary:
        for number, member in enumerate(members):
            (temporary / f"{number:06d}-{member.name}").symlink_to(member)


def _digest(members: list[Path], single: bool) -> str:
    """Return the sha256 of a file or folder, or of the files of a pattern as `identity` has it."""
    if single:
        return identity.sha256(members[0])
    digest = hashlib.sha256()
    for number, member in enumerate(members):
        name = f"{number:06d}-{member.name}"
        digest.update(f"{name}\0{files.sha256(member)}\n".encode())
    return digest.hexdigest()


def _changes(target: Path, content: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in words what differs from what is registered under the name."""
    if not target.exists():
        return ()
    try:
        before = _kept(target)
    except DatumrlError as problem:
        return (f"what was registered cannot be read: {problem}",)
    known = before.pop(_OWN)
    changes = [
        f"{key} was {json.dumps(before.get(key))} and is {json.dumps(content.get(key))}"
        for key in sorted({*before, *content})
        if before.get(key) != content.get(key) and key != "path"
    ]
    if known["sha256"] != own["sha256"]:
        changes.append(f"its data had sha256 {known['sha256'][:12]} and has {own['sha256'][:12]}")
    elif known["members"] != own["members"]:
        changes.append("its files lie elsewhere")
    return tuple(changes)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatumrlError(
            f"{path} does not exist; `datumrl register --example csv` prints one"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise DatumrlError(f"{path}: cannot be read as text ({problem}); check it") from None
