"""Which files the path of a description names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datumrl.datasets import registration
from datumrl.datasets.errors import DatumrlError


def test_a_path_below_a_user_that_does_not_exist(describe: Callable[..., Path]) -> None:
    file = describe("csv", "~nobody-of-that-name/x.csv")
    with pytest.raises(DatumrlError, match=r"path = ~nobody-of-that-name/x\.csv: no such user"):
        registration.register(file)
