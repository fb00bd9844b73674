"""Records of the Health Gym's synthetic patients (Kuo et al. 2022, Scientific Data 9:693).

Facts are those of Nic5472K/ScientificData2021_HealthGym (``Academic/**/data_types.csv``,
``Demo/Z001_DataPreprocessing.py``) and of the PhysioNet project's page; for HIV, columns as people
printed them who had the file ``HealthGymV2_CbdrhDatathon_ART4HIV.csv``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from datumrl.datasets.record import DatasetRecord

CITATION = (
    "Kuo, Polizzotto, Finfer, Garcia, Sönnerborg, Zazzi, Böhm, Jorm, Barbieri: The Health Gym: "
    "synthetic health-related datasets for the development of reinforcement learning algorithms. "
    "Scientific Data 9, 693 (2022)"
)
BIBTEX = """@article{kuo2022health,
  title = {The {Health Gym}: synthetic health-related datasets for the development of
    reinforcement learning algorithms},
  author = {Kuo, Nicholas I-Hsien and Polizzotto, Mark N. and Finfer, Simon and Garcia, Federico
    and S{\\"o}nnerborg, Anders and Zazzi, Maurizio and B{\\"o}hm, Michael and Jorm, Louisa and
    Barbieri, Sebastiano},
  journal = {Scientific Data},
  volume = {9},
  number = {693},
  year = {2022}
}"""
_PHYSIONET = "https://physionet.org/content/synthetic-mimic-iii-health-gym/1.0.0/"
_FIGSHARE = "https://figshare.com/articles/dataset/The_Heath_Gym_Synthetic_HIV_Dataset/19838470"
_ERRATA = (
    "the files define no reward: add a column `reward`, the reward of each row's action; "
    "`datumrl.datasets.health_gym.prepare` does so from a Python function",
    "patients are of one length and none is recorded to have died: every end is a timeout, whose "
    "row has no successor and is in no transition",
    "no environment: patients cannot be treated anew; scores need off-policy evaluation",
    "synthetic patients; nothing found here is medical advice",
)


@dataclass(frozen=True)
class Action:
    """A variable that is part of the action, and the values its levels have in the file."""

    name: str
    levels: tuple[tuple[float, ...], ...]  # of each known way to write them; none: no levels


@dataclass(frozen=True)
class Layout:
    """The columns of a file."""

    observations: tuple[str, ...]
    actions: tuple[Action, ...]
    steps: int  # rows of each patient
    patients: int


def _codes(name: str, count: int) -> Action:
    return Action(name, (tuple(map(float, range(count))),))


LAYOUTS = {
    "hypotension": Layout(
        (
            *("MAP", "diastolic_bp", "systolic_bp", "urine", "ALT", "AST", "PO2", "lactic_acid"),
            *("serum_creatinine", "FiO2", "GCS_total", "urine_m", "ALT_AST_m", "FiO2_m"),
            *("GCS_total_m", "PO2_m", "lactic_acid_m", "serum_creatinine_m"),
        ),
        (
            Action("fluid_boluses", ((0, 250, 500, 1000), (0, 1, 2, 3))),
            Action("vasopressors", ((0, 1e-6, 8.4, 20.28), (0, 1, 2, 3))),
        ),
        48,
        3910,
    ),
    "sepsis": Layout(
        (
            *("Age", "HR", "SysBP", "MeanBP", "DiaBP", "RR", "K", "Na", "Cl", "Ca", "IonisedCa"),
            *("CO2", "Albumin", "Hb", "pH", "BE", "HCO3", "FiO2", "Glucose", "BUN", "Creatinine"),
            *("Mg", "SGOT", "SGPT", "TotalBili", "WbcCount", "PlateletsCount", "PaO2", "PaCO2"),
            *("Lactate", "InputTotal", "OutputTotal", "Output4H", "Gender", "ReAd", "Mech", "GCS"),
            *("SpO2", "Temp", "PTT", "PT", "INR"),
        ),
        (Action("Input4H", ()), Action("MaxVaso", ())),
        20,
        2164,
    ),
    "hiv": Layout(
        ("VL", "CD4", "Rel CD4", "Gender", "Ethnic", "VL (M)", "CD4 (M)", "Drug (M)"),
        (
            _codes("Base Drug Combo", 6),
            _codes("Comp. INI", 4),
            _codes("Comp. NNRTI", 4),
            _codes("Extra PI", 6),
            _codes("Extra pk-En", 2),
        ),
        60,
        8916,
    ),
}
_FILES = {
    "hypotension": "C001_FakeHypotension.csv",
    "sepsis": "C001_FakeSepsis.csv",
    "hiv": "HealthGymV2_CbdrhDatathon_ART4HIV.csv",
}


def records() -> Iterator[DatasetRecord]:
    """Yield the record of every cohort."""
    for cohort, layout in LAYOUTS.items():
        counts = [len(action.levels[0]) for action in layout.actions if action.levels]
        number = 1
        for count in counts:
            number *= count
        yield DatasetRecord(
            id=f"healthgym/{cohort}",
            reader="health-gym",
            environment=None,
            reference=None,
            time_limit=layout.steps,
            observation_dim=len(layout.observations),
            action_dim=number if counts else 0,
            licence="not established; see the page of the article"
            if cohort == "hiv"
            else "PhysioNet Credentialed Health Data License",
            citation=CITATION,
            bibtex=BIBTEX,
            source="Nic5472K/ScientificData2021_HealthGym",
            errata=(*_ERRATA, _actions(cohort)),
            discrete_actions=True,
            rows=layout.steps * layout.patients,
            access=_access(cohort),
            layout="unverified",
            file_name=_FILES[cohort],
            options=(("cohort", cohort),),
        )


def _actions(cohort: str) -> str:
    if cohort == "sepsis":
        return (
            "Input4H and MaxVaso are amounts, and no levels of them are published: add a column "
            "`action` (whole numbers from 0), or give `prepare` the cuts between levels"
        )
    layout = LAYOUTS[cohort]
    parts = " x ".join(f"{action.name} ({len(action.levels[0])})" for action in layout.actions)
    return f"an action is one number for {parts}, the last counting fastest"


def _access(cohort: str) -> str:
    where = (
        f"download {_FILES[cohort]} from {_FIGSHARE}"
        if cohort == "hiv"
        else f"get access at {_PHYSIONET} (an account, training, an agreement), download "
        f"{_FILES[cohort]}"
    )
    return f"nothing is downloaded for you: {where}, and add a reward (see the notes)"
