"""A cell is recomputed from the raw scores of its own dataset, however both files spell it."""

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import own_scales, own_tables
from datumrl.leaderboard.own_tables import Reading

MINARI = {"hopper": (79.0, 81.0), "walker2d": (70.0, 72.0)}


@pytest.fixture
def read(tmp_path):
    """Reads a table and raw scores, given as {(algorithm, dataset): ...}."""

    def write(printed, raw, **names):
        table = ["algorithm,dataset,cell", *(f"{a},{d},{cell}" for (a, d), cell in printed.items())]
        scores = ["algorithm,dataset,seed,score"]
        for (algorithm, dataset), values in raw.items():
            scores += [f"{algorithm},{dataset},{seed},{v}" for seed, v in enumerate(values)]
        for name, lines in (("table.csv", table), ("raw.csv", scores)):
            (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        files = (tmp_path / "table.csv", tmp_path / "raw.csv")
        return own_tables.read(*files, Reading({}, names))

    return write


def taken(case):
    """Return the raw dataset of every cell that has raw scores, and the notes on names."""
    datasets = [case.cells[number].dataset for number in sorted(case.testable)]
    return datasets, [note for note in case.notes if "sha256" not in note]


@pytest.mark.parametrize("environment", MINARI)
@pytest.mark.parametrize("algorithm", ["TD3+BC", "td3+bc"])
def test_of_ids_that_end_alike_the_own_environments_is_taken(read, environment, algorithm):
    raw = {("td3+bc", f"minari/mujoco/{name}/medium-v0"): v for name, v in MINARI.items()}
    case = read({(algorithm, f"mujoco/{environment}/medium-v0"): "80.0 ± 1.0"}, raw)
    datasets, notes = taken(case)
    own = f"minari/mujoco/{environment}/medium-v0"
    assert datasets == [own]
    assert f"'mujoco/{environment}/medium-v0' as '{own}'" in notes[0]
    assert ("'TD3+BC' as 'td3+bc'" in notes[0]) == (algorithm == "TD3+BC")


@pytest.mark.parametrize(
    ("printed", "raw"),
    [
        ("D4RL/door/human-v2", "D4RL/pen/human-v2"),
        ("d4rl/hopper-medium-v2", "neorl/hopper-medium-v2"),
        ("human-v2", "D4RL/pen/human-v2"),
    ],
)
def test_another_environments_or_collections_scores_are_none(read, printed, raw):
    with pytest.raises(DatumrlError, match=r"no cell of table\.csv has raw scores"):
        read({("BC", printed): "70.0 ± 1.0"}, {("BC", raw): (69, 71)})


def test_case_and_a_missing_collection_do_not_matter_but_are_told(read):
    raw = {("IQL", "hopper-medium-v2"): (1, 2), ("IQL", "d4rl/walker2d-medium-v2"): (3, 4)}
    printed = {("iql", "d4rl/Hopper-medium-v2"): 1.5, ("iql", "walker2d-medium-v2"): 3.5}
    datasets, notes = taken(read(printed, raw))
    assert datasets == ["hopper-medium-v2", "d4rl/walker2d-medium-v2"]
    assert notes == [
        "table.csv: read as the raw scores spell it: 'iql' as 'IQL'; 'd4rl/Hopper-medium-v2' as "
        "'hopper-medium-v2'; 'walker2d-medium-v2' as 'd4rl/walker2d-medium-v2'"
    ]
    datasets, notes = taken(read(dict.fromkeys(raw, 1.5), raw))
    assert (len(datasets), notes) == (2, [])


@pytest.mark.parametrize("second", ["IQL", "BC"])  # of one algorithm, or one each
def test_where_two_collections_are_meant_none_is_taken(read, second):
    raw = {("IQL", "d4rl/x-v2"): (1, 2), (second, "neorl/x-v2"): (3, 4), ("IQL", "y-v2"): (5, 6)}
    printed = {("IQL", "x-v2"): 1.5, (second, "x-v2"): 3.5, ("IQL", "y-v2"): 5.5}
    datasets, notes = taken(read(printed, raw))
    assert datasets == ["y-v2"]
    (note,) = [note for note in notes if "may be several" in note]
    assert "IQL on x-v2 (IQL on d4rl/x-v2 or IQL on neorl/x-v2)" in note
    assert "y-v2" in taken(read(printed, raw, **{"x-v2": "d4rl/x-v2"}))[0]
    assert "d4rl/x-v2" in taken(read(printed, raw, **{"x-v2": "d4rl/x-v2"}))[0]


def test_two_cells_never_share_raw_scores(read):
    printed = {("IQL", "x-v2"): 1.5, ("IQL", "d4rl/x-v2"): 3.5}
    with pytest.raises(DatumrlError, match="IQL on x-v2 and IQL on d4rl/x-v2 would both be"):
        read(printed, {("IQL", "d4rl/x-v2"): (1, 2)})


def test_reference_scores_are_the_own_environments(tmp_path):
    path = tmp_path / "scales.csv"
    head = "dataset,minimum,maximum\n"
    path.write_text(f"{head}pen/human-v2,0,10\ndoor/human-v2,0,20\nrelocate/human-v1,0,30\n")
    units = own_scales.units(["D4RL/door/human-v2"], path)
    assert dict(units.references) == {"D4RL/door/human-v2": (0.0, 20.0)}
    assert dict(units.other_versions) == {}
    with pytest.raises(DatumrlError, match=r"none of D4RL/hammer/human-v2; write a row for it"):
        own_scales.units(["D4RL/hammer/human-v2"], path)
    path.write_text(f"{head}d4rl/x-v2,0,10\nneorl/x-v2,0,20\n")
    with pytest.raises(DatumrlError, match=r"several of x-v2 \(d4rl/x-v2, neorl/x-v2\)"):
        own_scales.units(["x-v2"], path)
