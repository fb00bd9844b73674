"""WebShop's episodes: text without loss, choices, ends, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from datumrl.datasets import catalogue, dgrl_webshop, prepared
from datumrl.datasets.errors import DatumrlError

ID = "dgrl/webshop-il-100"


def episode(rows, bought=True, **changes):
    """Return an episode (code: webShop/baseline_models/il_data_collector.py)."""
    items = [f"click[item - größe {row}]" for row in range(rows)]
    offered = [["back to search", item, "click[buy now]"] for item in items]
    offered[0] = []  # code: the first page has no choices, so the search is number -1
    last = "click[buy now]" if bought else "back to search"
    actions = ["search[shoes, 37½]", *items[1:-1], last]
    return {
        "states": [f"webshop\ninstruction: page {row} — €{row}" + "x" * row for row in range(rows)],
        "available_actions": offered,
        "actions": actions,
        "action_idxs": [-1, *[1] * (rows - 2), 2 if bought else 0],
        "rewards": [0] * (rows - 1) + [0.75],
        **changes,
    }


def convert(tmp_path, episodes, dataset_id=ID):
    file = tmp_path / "file.jsonl"
    lines = [each if isinstance(each, str) else json.dumps(each) for each in episodes]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    record = catalogue.find(dataset_id)
    dgrl_webshop.convert(file, record, tmp_path / "columns")
    result = prepared.read(tmp_path / "columns", dataset_id)
    result.validate()
    return result


def test_every_text_comes_back(tmp_path):
    sources = [episode(3), episode(5)]
    result = convert(tmp_path, sources)
    extras = prepared.read_extras(tmp_path / "columns")
    row = 0
    for source in sources:
        for t, page in enumerate(source["states"]):
            seen = {name: values[row] for name, values in result.observations.items()}
            assert dgrl_webshop.text(seen["page"], seen["page_length"]) == page
            found = dgrl_webshop.choices(seen["choices"], seen["choices_length"])
            assert found == source["available_actions"][t]
            assert seen["choices_count"] == len(found)
            action = dgrl_webshop.text(
                extras["infos/action_text"][row], extras["infos/action_text_length"][row]
            )
            assert action == source["actions"][t]
            if result.actions[row] >= 0:
                assert found[result.actions[row]] == action
            assert result.rewards[row] == np.float32(source["rewards"][t])
            row += 1
    assert result.starts.tolist() == [0, 3, 8]
    assert "2 actions are searches, number -1" in result.notes


def test_buying_ends_the_process_and_the_limit_of_steps_does_not(tmp_path):
    result = convert(tmp_path, [episode(4), episode(100, bought=False), episode(2)])
    assert np.flatnonzero(result.terminals).tolist() == [3, 105]
    assert np.flatnonzero(result.timeouts).tolist() == [103]
    steps = result.transitions()
    assert steps.dropped == {"timeout row without a known successor": 1}
    following = steps.next_observations["page"][0], steps.next_observations["page_length"][0]
    assert dgrl_webshop.text(*following) == episode(4)["states"][1]


def test_features_of_pictures_are_extras(tmp_path):
    picture = [0.5] * 512
    convert(tmp_path, [episode(2), episode(3, images=[0, picture, 0])])
    images = prepared.read_extras(tmp_path / "columns")["infos/image"]
    assert images.shape == (5, 512)
    assert np.flatnonzero(images.any(axis=1)).tolist() == [3]


def test_the_number_of_episodes_is_held_against_the_published_one(tmp_path):
    result = convert(tmp_path, [episode(3)], "dgrl/webshop-human")
    assert "1 episodes where 413 are published" in result.notes


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{", "line 1 is not valid JSON"),
        ("[" * 100_000, "line 1 is not valid JSON"),
        ("[1, 2]", "line 1 is no episode"),
        ({"states": ["a"]}, "lacks lists of available_actions, action_idxs, actions, rewards"),
        (episode(3, rewards=[0, 1]), "2 rewards for 3 states"),
        (episode(3, rewards=[0, 1, float("nan")]), "step 2: the reward is nan"),
        (episode(3, action_idxs=[-1, 3, 0]), "step 1: the action is number 3 of 3 choices"),
        (episode(3, action_idxs=[-1, True, 0]), "step 1: the action is number True"),
        (episode(3, states=["a", None, "c"]), "step 1: a text is missing"),
        (episode(3, states=["a", "b\0", "c"]), "step 1: a text holds a zero byte"),
        (episode(3, images=[0, [1.0], 0]), "step 1: the image has no 512 features"),
        (episode(3, images=[0, [None] * 512, 0]), "no finite numbers"),
        ("", "holds no steps"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, wrong, message):
    with pytest.raises(DatumrlError, match=message):
        convert(tmp_path, [wrong])
    assert not (tmp_path / "columns").exists()


def test_damage_is_an_error_or_a_whole_load(tmp_path):
    whole = "\n".join(json.dumps(episode(4)) for _ in range(3)).encode() + b"\n"
    record = catalogue.find(ID)
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            del data[int(rng.integers(1, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 5):
                data[place] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "damaged").write_bytes(bytes(data))
        try:
            dgrl_webshop.convert(tmp_path / "damaged", record, tmp_path / "columns")
        except DatumrlError:
            refused += 1
            continue
        prepared.read(tmp_path / "columns", ID).validate()
    assert refused > 30


def test_there_is_nothing_to_download_and_the_record_says_how_to_get_it():
    record = catalogue.find("dgrl/webshop-human")
    assert record.urls == ()
    assert "drive.google.com" in record.access
    assert record.environment is None
