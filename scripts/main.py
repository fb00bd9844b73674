"""Entry point of the `datumrl` command: find the subcommand, parse its options, run it."""

from __future__ import annotations

import difflib
import importlib
import os
import shlex
import sys
import warnings

from datumrl.datasets.errors import DatumrlError

# name -> (module under datumrl.scripts, what it does); a module is imported only when asked for.
COMMANDS = {
    "quickstart": ("quickstart", "a tour of the main commands: small, offline, in minutes"),
    "datasets": ("datasets_list", "list the catalogue, or show all about one dataset"),
    "fetch": ("fetch", "download and verify a dataset, or import a file at hand (--from)"),
    "collect": ("collect", "generate a local dataset"),
    "register": ("register", "add (or remove) your own dataset: HDF5, npz, CSV, Parquet or Minari"),
    "convert": ("convert", "write a dataset as Minari or D4RL HDF5"),
    "stats": ("stats", "quality measures of datasets, side by side"),
    "train": ("train", "train methods on datasets, many seeds at once; resumable"),
    "evaluate": ("evaluate", "roll the policies of runs out again, or export them"),
    "compare": ("compare", "compare runs: intervals, groups, AdaStop; --sequential trains"),
    "reproduce": ("reproduce", "recompute a published table from raw scores, or train it again"),
    "submit": ("submit", "build, import, check and verify submissions to the leaderboard"),
    "board": ("board", "write the static leaderboard site"),
}
USER_ERROR = 2
CLOSED_PIPE = 141  # as a shell tells of a program that SIGPIPE ended


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for input the user can mend)."""
    try:
        code = _main(argv)
        sys.stdout.flush()  # what cannot be written should fail here, not as Python ends
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Nothing is left for the flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    return code


def _main(argv: list[str] | None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else USER_ERROR
    if arguments[0] == "--version":
        from datumrl import __version__

        print(f"datumrl {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else "`datumrl --help` lists the commands"
        print(f"datumrl: unknown command {name!r}; {remedy}", file=sys.stderr)
        return USER_ERROR
    try:
        return _run(name, arguments[1:])
    except DatumrlError as problem:
        print(f"datumrl {name}: {problem}", file=sys.stderr)
        return USER_ERROR
    except OSError as problem:
        if isinstance(problem, BrokenPipeError) or problem.strerror is None:
            raise
        where = f"{problem.filename}: " if problem.filename else ""
        remedy = "check that the path is right, may be written, and has room"
        print(f"datumrl {name}: {where}{problem.strerror}; {remedy}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        again = shlex.join(["datumrl", *(each for each in arguments if each != "--restart")])
        print(f"datumrl {name}: interrupted; what is done is kept. To resume:", file=sys.stderr)
        print(f"  {again}", file=sys.stderr)
        return 130


def _run(name: str, arguments: list[str]) -> int:
    from datumrl.scripts import options

    module, line = COMMANDS[name]
    command = importlib.import_module(f"datumrl.scripts.{module}").Command
    with warnings.catch_warnings():
        # tyro warns of field types that it can parse all the same.
        warnings.filterwarnings("ignore", module="tyro")
        asked = options.parse(command, name, line, arguments)
    return asked.run()


def _overview() -> str:
    lines = ["usage: datumrl COMMAND [options]", ""]
    lines += [f"  {name:<12}{line}" for name, (_, line) in COMMANDS.items()]
    lines += [
        "",
        "`datumrl COMMAND --help` shows what it does, and its options; `--version` the",
        "version. Exit code 2 is for input that you can mend: the error says how.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
