"""What sets several settings of one algorithm apart, in the words of tables and of the board."""

from typing import Any

import pytest

from datumrl.evaluation import variants


def labels(*settings: dict[str, Any]) -> list[str]:
    return list(variants.labels({variants.digest(one): one for one in settings}).values())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (({"tau": 0.7, "lr": 1}, {"tau": 0.9, "lr": 1}), ["tau=0.7", "tau=0.9"]),
        (({"tau": 0.7}, {}), ["tau=0.7", "no tau"]),
        (({"tau": None}, {}), ["tau=None", "no tau"]),
        (({"a": 1, "b": 1}, {"a": 1, "b": 2}), ["b=1", "b=2"]),
    ],
)
def test_settings_that_differ_are_named(settings: Any, expected: list[str]) -> None:
    assert labels(*settings) == expected


@pytest.mark.parametrize(
    "settings",
    [
        ({"text": "x" * 40}, {"text": "x" * 41}),  # longer than what is shown of a value
        ({"flag": "1"}, {"flag": 1}),  # shown alike
        (  # in the fourth setting that differs
            {"a": 1, "b": 1, "c": 1, "d": 1},
            {"a": 1, "b": 1, "c": 1, "d": 2},
            {"a": 2, "b": 2, "c": 2, "d": 1},
        ),
    ],
)
def test_labels_that_would_be_equal_end_in_digests(settings: Any) -> None:
    found = labels(*settings)
    assert len(set(found)) == len(found)
    for label, one in zip(found, settings, strict=True):
        assert label.endswith(f", #{variants.digest(one)[:6]}")
