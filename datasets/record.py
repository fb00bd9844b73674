"""What is known of a dataset before any download: one frozen record per id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Layout = Literal["by its publisher's code", "unverified"]
Setting = bool | int | float | str | tuple["Setting", ...]  # of an environment; lists as tuples


@dataclass(frozen=True)
class Reference:
    """The two returns that map to normalised scores 0 and 100, and where they come from."""

    minimum: float
    maximum: float
    origin: str


@dataclass(frozen=True)
class Environment:
    """The environment in which policies of a dataset are evaluated."""

    id: str
    time_limit: int
    kwargs: tuple[tuple[str, Setting], ...] = ()
    equivalent: bool = True  # the same process the dataset's scores are defined on
    note: str = ""
    settings_known: bool = True  # False: the dataset itself tells them, and it is not here

    @property
    def settings(self) -> dict[str, Any]:
        """Return its settings by name, as environments take them and JSON has them: with lists."""
        return {name: _thawed(value) for name, value in self.kwargs}

    def unfetched(self, dataset: str) -> str:
        """Return in words that its settings are not known, and what to do about it."""
        return (
            f"the settings of {self.id} are told by {dataset} itself, which is not here; run "
            f"`datumrl fetch {dataset}` first"
        )

    def only_nearest(self, dataset: str) -> str:
        """Return in words that returns in it are no scores of a dataset, and why."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.id} is only the nearest to the environment of {dataset}'s scores{note}"


@dataclass(frozen=True)
class DatasetRecord:
    """All that is known of one dataset without having it."""

    id: str  # collection/the publisher's own name
    reader: str  # a name in `reading.READERS`, or "local"
    environment: Environment | None
    reference: Reference | None
    time_limit: int  # steps after which an episode is cut off; 0: none, or not known
    observation_dim: int  # 0: no flat vector, or not known; `observation_layout` says what
    action_dim: int  # number of dimensions; of discrete actions, how many there are; 0: not known
    urls: tuple[str, ...] = ()  # of the one file, mirrors included; none: `access` says how
    sha256: str | None = None  # None: recorded at first fetch as unconfirmed
    md5: str | None = None  # where that is what the publisher states
    prefix: int | None = None  # only the first so many transitions (``id@100k``), whole episodes
    licence: str = "CC BY 4.0"
    citation: str = ""
    bibtex: str = ""
    source: str = ""
    errata: tuple[str, ...] = ()
    returns_note: str = ""  # why returns of its own episodes are no scores; empty: they are
    observation_layout: str = "flat"
    discrete_actions: bool = False
    rows: int | None = None  # nominal number of transitions, as published
    rows_at_most: bool = False  # there may be fewer, where an episode ended before the time limit
    validation: str | None = None  # id of the split to validate on
    access: str = ""  # how to get it where nothing can be downloaded directly
    layout: Layout = "by its publisher's code"  # how sure the file's layout is
    folder: bool = False  # what is published is a folder of files, not one file
    file_name: str = ""  # where the url's last part is no name of its own
    options: tuple[tuple[str, bool | int | float | str], ...] = ()  # what its reader needs to know
    # Ids of the environment that its publisher defines its scores in, whether it can be made here
    # or not; the first is the one that records of returns name.
    publisher_environments: tuple[str, ...] = ()

    @property
    def full_id(self) -> str:
        """Return the id of the whole dataset that this record is, or is a prefix of."""
        return self.id.partition("@")[0]

    @property
    def collection(self) -> str:
        """Return what the id begins with, such as ``d4rl``."""
        return self.id.partition("/")[0]

    @property
    def option(self) -> dict[str, bool | int | float | str]:
        """Return what the reader needs to know, by name."""
        return dict(self.options)

    def environment_called(self, name: str) -> Environment | None:
        """Return the environment of this id, ours or its publisher's, None for any other."""
        if self.environment is not None and name == self.environment.id:
            return self.environment
        if name in self.publisher_environments:
            return Environment(self.publisher_environments[0], self.time_limit)
        return None


def _thawed(value: Setting) -> Any:
    return [_thawed(each) for each in value] if isinstance(value, tuple) else value
