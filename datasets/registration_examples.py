"""Commented descriptions to start from, one for each format."""

from __future__ import annotations

_HEAD = """\
# A dataset of your own for datumrl; register it with `datumrl register FILE.toml`.
id = "user/my-robot-v1"     # user/, then lower-case letters, digits, '.', '_', '-'
format = "{format}"
path = "{path}"{path_note}
"""

_PATH_NOTE = """   # relative to this file, or absolute; "logs/*.{suffix}" names several,
                            # in the order of their names; an episode never spans two files"""

_FIELDS = """
time_limit = 1000           # steps after which an episode is cut off; 0: none, or not known
discrete_actions = false    # true: actions are whole numbers, 0, 1, ...
licence = "CC BY 4.0"
citation = "Who made it: what it is. Where (year)"
# bibtex = "@misc{...}"
# source = "https://..."
# notes = ["what a user should know"]
"""

_COLUMNS = {
    "hdf5": """
[columns]                   # names of datasets in the file, with their groups: "run/obs"
observations = "observations"   # (rows, ...); several by name: {position = "pos", camera = "rgb"}
actions = "actions"
rewards = "rewards"
terminals = "terminals"     # 1 where the process ended: do not bootstrap
timeouts = "timeouts"       # 1 where you stopped looking; leave out what there is not
# next_observations = "next_observations"
""",
    "csv": """
[columns]                   # names in the header
observations = ["s0", "s1", "s2"]   # or {position = ["x", "y"], speed = "v"} for several by name
actions = ["a0"]
rewards = "reward"
terminals = "done"          # 1 (or true) where the process ended: do not bootstrap
# timeouts = "truncated"    # 1 where you stopped looking
# next_observations = ["next_s0", "next_s1", "next_s2"]
""",
    "parquet": """
[columns]                   # names of columns; a column of lists is as good as several of numbers
observations = "observation"    # or ["s0", "s1"], or {position = ["x", "y"], camera = "rgb"}
actions = "action"
rewards = "reward"
terminals = "terminated"    # true where the process ended: do not bootstrap
timeouts = "truncated"      # true where you stopped looking; leave out what there is not
# next_observations = "next_observation"
""",
}
_COLUMNS["npz"] = _COLUMNS["hdf5"].replace(
    'names of datasets in the file, with their groups: "run/obs"', "names of the arrays"
)

_RULES = {
    "flags": """
[boundaries]
rule = "flags"              # an episode ends at a terminal or a timeout
# rule = "episode-column"   # ... where the value of a column changes
# column = "episode"
# rule = "fixed-length"     # ... after so many rows
# length = 200
# rule = "ends"             # ... at the rows of an index: one past the last row of each episode
# column = "episode_ends"   # or: values = [200, 400]
# rule = "starts"           # ... likewise: the first row of each episode
# column = "episode_starts"
""",
    "episode-column": """
[boundaries]
rule = "episode-column"     # an episode ends where the value of a column changes
column = "episode"
# rule = "flags"            # ... at a terminal or a timeout
# rule = "fixed-length"     # ... after so many rows
# length = 200
# rule = "ends"             # ... at these rows: one past the last row of each episode
# values = [200, 400]
# rule = "starts"           # ... likewise: the first row of each episode
""",
}

_TAIL = """
# [environment]             # only where policies can be rolled out
# id = "Hopper-v5"          # a Gymnasium id
# time_limit = 1000
# kwargs = {frame_skip = 4}
# equivalent = true         # false: only the nearest; note = "how it differs"

# [reference]               # the returns of scores 0 and 100, never guessed
# minimum = -20.3
# maximum = 3234.3
# origin = "where both numbers come from"
"""


def example(format_name: str) -> str:
    """Return a description of a dataset in one of `registration_schema.FORMATS`."""
    if format_name == "minari":
        head = _HEAD.format(
            format="minari", path="my-dataset-v0", path_note="      # the folder that holds data/"
        )
        return (
            head
            + _FIELDS.replace(
                "discrete_actions = false    # true: actions are whole numbers, 0, 1, ...\n", ""
            )
            + _TAIL
        )
    suffix = {"hdf5": "hdf5"}.get(format_name, format_name)
    head = _HEAD.format(
        format=format_name, path=f"data.{suffix}", path_note=_PATH_NOTE.format(suffix=suffix)
    )
    rule = "flags" if format_name in ("hdf5", "npz") else "episode-column"
    return head + _FIELDS + _COLUMNS[format_name] + _RULES[rule] + _TAIL
