"""Mistakes planted in generated tables are found again, each by name."""

import numpy as np
import pytest

from datumrl.leaderboard import diagnosis, outcome, published_tables
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.rules import RawRun, Recomputer, Rule, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

ALGORITHMS = ("A", "B", "C")
DATASETS = ("x-v0", "y-v0", "z-v0")
SEEDS = 6
EVALUATIONS = 40
SCALES = {name: (10.0 * n - 5.0, 200.0 + 30.0 * n) for n, name in enumerate(DATASETS)}
OTHER = {name: (low - 7.0, high + 20.0) for name, (low, high) in SCALES.items()}


def curves(seed=0):
    """Noisy curves, (runs, evaluations) by algorithm and dataset."""
    generator = np.random.default_rng(seed)
    return {
        (algorithm, dataset): 50.0
        + generator.normal(0, 8, (SEEDS, 1))
        + generator.normal(0, 6, (SEEDS, EVALUATIONS))
        + np.linspace(0, 30, EVALUATIONS)
        for algorithm in ALGORITHMS
        for dataset in DATASETS
    }


def runs_of(raw):
    return {
        place: [RawRun(str(seed), values) for seed, values in enumerate(found)]
        for place, found in raw.items()
    }


def table(runs, printed, quantity="", checkpoint="last", units=None):
    """A case whose cells are printed by an independent computation of (mean, std)."""
    cells = []
    for place in runs:
        mean, std = printed(place)
        cells.append(PrintedCell(*place, checkpoint, quantity, f"{mean:.2f}", f"{std:.2f}"))
    return Case(tuple(cells), Recomputer(runs, units or Units()))


def named(case):
    """The rule that the diagnosis names, after checking that it explains every cell."""
    found = outcome.of_case(case, About("t", "t"), with_claims=False)
    assert found.reproduces
    explained = [each.candidate for each in found.diagnosis.explanations]
    assert len(explained) == 1
    assert explained[0].fits == len(case.cells)
    # Some cells may follow by the stated rule as well, by chance.
    assert {verdict.rule for verdict in found.verdicts} - {""} == {explained[0].label}
    return explained[0].label


def both(values, ddof=0):
    return values.mean(), values.std(ddof=ddof)


RAW = curves()
SPIKED = {
    place: np.concatenate([values[:, :1] + 90, values[:, 1:]], axis=1)
    for place, values in RAW.items()
}
EARLY = {
    place: np.where(np.arange(EVALUATIONS) < 20, values + 70, values)
    for place, values in RAW.items()
}


@pytest.mark.parametrize(
    ("raw", "checkpoint", "printed", "label"),
    [
        (RAW, "last", lambda v: both(v[:, -1], 1), "standard deviation with ddof = 1"),
        (RAW, "last", lambda v: both(v.max(axis=1)), "'last' is the best evaluation of each run"),
        (RAW, "best", lambda v: both(v[:, -1]), "'best' is the last evaluation"),
        (RAW, "last", lambda v: both(v[:, -5:].mean(1)), "the mean of the last 5 evaluations"),
        (RAW, "last", lambda v: both(v[:, -7:].mean(1)), "the mean of the last 7 evaluations"),
        (RAW, "last", lambda v: both(v[:, -10:].mean(1)), "the mean of the last 10 evaluations"),
        (RAW, "last", lambda v: both(v.mean(axis=1)), "'last' is the mean of all evaluations"),
        (
            RAW,
            "last",
            lambda v: both(v[:, v.mean(axis=0).argmax()]),
            "'last' is the evaluation with the highest mean over runs",
        ),
        (
            RAW,
            "last",
            lambda v: (v[:, -10:].mean(), v[:, -10:].std()),
            "'last' is the mean of the last 10 evaluations, the spread over all these evaluations "
            "pooled",
        ),
        (SPIKED, "best", lambda v: both(v[:, 1:].max(axis=1)), "first evaluation of every run"),
        (EARLY, "best", lambda v: both(v[:, -20:].max(axis=1)), "among the last 20 evaluations"),
        (RAW, "last", lambda v: both(v[:3, -1]), "only the first 3 runs"),
        (RAW, "last", lambda v: both(np.delete(v, 2, 0)[:, -1]), "without seed 2"),
        (RAW, "last", lambda v: both(np.r_[v[:, -1], v[4, -1]]), "seed 4 counted twice"),
        (RAW, "last", lambda v: (np.median(v[:, -1]), v[:, -1].std()), "median over runs"),
        (
            RAW,
            "last",
            lambda v: (v[:, -1].mean(), v[:, -1].std(ddof=1) / np.sqrt(SEEDS)),
            "standard error instead of the standard deviation (ddof = 1)",
        ),
        (
            RAW,
            "last",
            lambda v: (v[:, -1].mean(), 2.570582 * v[:, -1].std(ddof=1) / np.sqrt(SEEDS)),
            "half of Student's 95% interval",
        ),
        (
            RAW,
            "last",
            lambda v: np.floor(np.array(both(v[:, -1])) * 100) / 100,
            "digits cut off, not rounded",
        ),
        (RAW, "last", lambda v: both(v[:, -1] / 100), "raw scores divided by 100"),
        # pairs
        (
            RAW,
            "last",
            lambda v: both(v[:, -10:].mean(1), 1),
            "standard deviation with ddof = 1 and 'last' is the mean of the last 10 evaluations",
        ),
        (
            SPIKED,
            "last",
            lambda v: both(v[:, 1:].max(axis=1)),
            "'last' is the best evaluation of each run",
        ),
    ],
)  # fmt: skip
def test_planted_rules_of_evaluations_and_seeds(raw, checkpoint, printed, label):
    case = table(runs_of(raw), lambda place: printed(raw[place]), checkpoint=checkpoint)
    assert label in named(case)


def normalised(values, scale):
    return 100.0 * (values - scale[0]) / (scale[1] - scale[0])


def test_an_affine_map_applied_to_a_spread():
    def printed(place):
        last, scale = RAW[place][:, -1], SCALES[place[1]]
        return normalised(last.mean(), scale), normalised(last.std(), scale)

    case = table(runs_of(RAW), printed, "score", units=Units(references=SCALES))
    assert named(case) == "the score's affine map applied to the deviation of returns (ddof = 0)"


def test_a_deviation_that_was_not_normalised():
    def printed(place):
        last = RAW[place][:, -1]
        return normalised(last.mean(), SCALES[place[1]]), last.std()

    case = table(runs_of(RAW), printed, "score", units=Units(references=SCALES))
    assert named(case) == "the deviation of returns, not normalised (ddof = 0)"
    case = table(runs_of(RAW), printed, units=Units(catalogue=SCALES))
    assert named(case).endswith("the catalogue's reference scores, their deviation not (ddof = 0)")


def test_an_affine_map_applied_to_a_spread_is_seen_in_normalised_raw_scores_too():
    def printed(place):
        returns, scale = RAW[place][:, -1], SCALES[place[1]]
        return normalised(returns.mean(), scale), normalised(returns.std(), scale)

    scores = {place: normalised(values, SCALES[place[1]]) for place, values in RAW.items()}
    case = table(runs_of(scores), printed, units=Units(catalogue=SCALES))
    assert named(case) == (
        "the score's affine map, with the catalogue's reference scores, applied to the deviation "
        "of returns (ddof = 0)"
    )


def test_reference_scores_of_another_version_where_none_are_stated():
    def printed(place):
        return both(normalised(RAW[place][:, -1], OTHER[place[1]]))

    case = table(runs_of(RAW), printed, units=Units(catalogue=SCALES, other_versions=OTHER))
    assert named(case) == (
        "returns normalised with the catalogue's reference scores of another version of the dataset"
    )


def test_reference_scores_of_another_version():
    def printed(place):
        return both(normalised(RAW[place][:, -1], OTHER[place[1]]))

    units = Units(references=SCALES, other_versions=OTHER)
    case = table(runs_of(RAW), printed, "score", units=units)
    assert named(case) == "reference scores of another version of the dataset"


def test_scores_of_raw_returns():
    def printed(place):
        return both(normalised(RAW[place][:, -1], SCALES[place[1]]), 1)

    case = table(runs_of(RAW), printed, units=Units(catalogue=SCALES))
    assert named(case) == (
        "standard deviation with ddof = 1 and returns normalised with the catalogue's reference "
        "scores"
    )


def test_one_run_missing_not_the_same_in_every_cell():
    left_out = {place: n % SEEDS for n, place in enumerate(RAW)}
    case = table(
        runs_of(RAW), lambda place: both(np.delete(RAW[place][:, -1], left_out[place]))
    )  # fmt: skip
    assert named(case) == "one run missing, not the same in every cell"


def test_repeated_seeds_counted():
    runs = {
        place: [*found, RawRun("1", found[1].values, repeated=True)]
        for place, found in runs_of(RAW).items()
    }
    case = table(runs, lambda place: both(np.r_[RAW[place][:, -1], RAW[place][1, -1]]))
    assert named(case) == "repeated seeds counted each time"


@pytest.mark.parametrize(
    ("printed", "label"),
    [
        (lambda v: both(v[1:, -1]), "failed runs dropped"),
        (lambda v: both(np.r_[0.0, v[1:, -1]]), "failed runs count as 0"),
        (lambda v: both(np.r_[v[0, 9], v[1:, -1]]), "failed runs count with their last value"),
    ],
)
def test_failed_runs(printed, label):
    runs = runs_of(RAW)
    for place, found in runs.items():
        values = RAW[place][0].copy()
        values[10:] = np.nan
        found[0] = RawRun("0", values)
    case = table(runs, lambda place: printed(RAW[place]))
    # Without seed 0 says the same where that is the seed that failed.
    assert label in {named(case), *diagnosis.diagnose(case).explanations[0].equivalent}


@pytest.mark.parametrize(
    ("printed", "label"),
    [
        (lambda a, b: both(b), "configuration 'large' only"),
        (lambda a, b: both(a if a.mean() >= b.mean() else b), "highest mean, chosen by these"),
        (lambda a, b: both(np.maximum(a, b)), "the best configuration of each seed"),
        (lambda a, b: both((a + b) / 2), "configurations averaged within each seed first"),
        (lambda a, b: both(np.array([a.mean(), b.mean()])), "spread over the means of config"),
    ],
)
def test_configurations(printed, label):
    large = curves(seed=1)
    runs = {}
    for place in RAW:
        runs[place] = [
            RawRun(str(seed), values, configuration=name)
            for name, raw in (("small", RAW), ("large", large))
            for seed, values in enumerate(raw[place])
        ]
    case = table(runs, lambda place: printed(RAW[place][:, -1], large[place][:, -1]))
    assert label in named(case)


def test_pooled_configurations_of_a_table_that_names_one():
    large = curves(seed=1)
    runs = {
        place: [
            RawRun(str(seed), values, configuration=name)
            for name, raw in (("small", RAW), ("large", large))
            for seed, values in enumerate(raw[place])
        ]
        for place in RAW
    }
    cells = []
    for place in runs:
        pooled = np.r_[RAW[place][:, -1], large[place][:, -1]]
        printed = (f"{pooled.mean():.2f}", f"{pooled.std():.2f}")
        cells.append(PrintedCell(*place, "last", "", *printed, configuration="small"))
    assert (
        named(Case(tuple(cells), Recomputer(runs, Units()))) == "runs of all configurations pooled"
    )


def test_runs_cut_to_the_shortest():
    runs = {
        place: [RawRun(str(s), values[: EVALUATIONS - s]) for s, values in enumerate(found)]
        for place, found in RAW.items()
    }
    case = table(runs, lambda place: both(RAW[place][:, EVALUATIONS - SEEDS]))
    assert named(case) == "runs cut to the shortest of their cell"


def test_a_rule_of_one_algorithm_only_is_found_and_placed():
    def printed(place):
        values = RAW[place]
        return both(values[:, -5:].mean(axis=1) if place[0] == "B" else values[:, -1])

    found = outcome.of_case(table(runs_of(RAW), printed), About("t", "t"), with_claims=False)
    assert found.counts == {"reproduced": 6, "only under": 3}
    (explanation,) = found.diagnosis.explanations
    assert explanation.candidate.label == "'last' is the mean of the last 5 evaluations"
    assert explanation.where == "3 cells (B)"


def test_nothing_is_made_up_for_a_number_out_of_the_blue():
    def printed(place):
        mean, std = both(RAW[place][:, -1])
        return (mean + 31.7, std + 3.3) if place == ("B", "y-v0") else (mean, std)

    found = outcome.of_case(table(runs_of(RAW), printed), About("t", "t"), with_claims=False)
    assert found.counts == {"reproduced": 8, "differs": 1}
    assert not found.reproduces
    (wrong,) = [verdict for verdict in found.verdicts if verdict.status == "differs"]
    assert wrong.words.startswith("differs by mean -31.697")
    assert "std -3.299" in wrong.words


def test_swapped_rows_are_told():
    swapped = {("A", "x-v0"): ("A", "y-v0"), ("A", "y-v0"): ("A", "x-v0")}
    case = table(runs_of(RAW), lambda place: both(RAW[swapped.get(place, place)][:, -1]))
    found = outcome.of_case(case, About("t", "t"), with_claims=False)
    notes = [verdict.note for verdict in found.verdicts if verdict.status == "differs"]
    assert len(notes) == 2
    assert notes[0].endswith("printed are the numbers of A on y-v0")
    assert notes[1].endswith("printed are the numbers of A on x-v0")


@pytest.mark.slow
def test_the_hidden_rules_of_a_real_table_are_found_without_being_given():
    given = published_tables.case(published_tables.find("d3rlpy-d4rl-v0"))
    cells = tuple(cell for cell in given.cells if cell.quantity == "return")
    (explanation,) = diagnosis.diagnose(Case(cells, given.raw)).explanations
    assert set(explanation.candidate.labels) == {
        "first evaluation of every run dropped",
        "`best` among the last 500 evaluations",
    }
    assert explanation.candidate.fits == 226


def test_a_table_that_follows_is_not_diagnosed():
    case = table(runs_of(RAW), lambda place: both(RAW[place][:, -1]))
    found = diagnosis.diagnose(case)
    assert found.explanations == ()
    assert found.rules == 1
    assert case.fits(Rule(), sorted(case.testable)).all()
