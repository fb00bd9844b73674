"""What all tests need of the process they run in."""

from __future__ import annotations

import os
import signal

import hypothesis

# The same examples at every run, so that a change is judged by itself; with DATUMRL_EXPLORE=1
# others each time, which finds what nobody has thought of.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
if not os.environ.get("DATUMRL_EXPLORE"):
    hypothesis.settings.load_profile("same")


def pytest_configure() -> None:
    """Heed Ctrl-C: what a shell runs in the background ignores it, and so do its own processes."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
