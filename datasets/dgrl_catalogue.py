"""Records of the sets of The Generalization Gap in Offline Reinforcement Learning (ICLR 2024).

Facts are those of facebookresearch/gen_dgrl (``procgen/download.py``, ``procgen/offline/
dataloader.py``, ``procgen/online/datasets/storage.py``, ``procgen/utils/plot.py``, ``webShop/
baseline_models``) and, for the sets of one and of forty levels, of pytorch/rl
(``torchrl/data/datasets/gen_dgrl.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets import fact_tables
from datumrl.datasets.record import DatasetRecord, Reference

CITATION = (
    "Mediratta, You, Jiang, Raileanu: The Generalization Gap in Offline Reinforcement Learning. "
    "ICLR (2024)"
)
BIBTEX = """@inproceedings{mediratta2024generalization,
  title = {The Generalization Gap in Offline Reinforcement Learning},
  author = {Mediratta, Ishita and You, Qingfei and Jiang, Minqi and Raileanu, Roberta},
  booktitle = {International Conference on Learning Representations},
  year = {2024}
}"""
LICENCE = "CC BY-NC 4.0 (of the repository; none is stated for the data alone)"
_URL = "https://dl.fbaipublicfiles.com/DGRL"
_LEVELS_URL = f"{_URL}/Procgen/Datasets/Compressed/100k"
_ORIGIN = "easy mode, facebookresearch/gen_dgrl procgen/utils/plot.py"
_SIZES = {  # name -> (folder of the archive, transitions, what it is)
    "1M-expert": ("1M/expert", 10**6, "the final PPO policy"),
    "1M-suboptimal": ("1M/suboptimal", 10**6, "PPO policies of 75% of the expert's return"),
    "10M": ("10M", 10**7, "the final PPO policy"),
    "25M": ("25M", 25 * 10**6, "the whole training of PPO"),
}
_PROCGEN_ERRATA = (
    "the observation after the last step of an episode is the first frame of the next level; it is "
    "no successor and is left out",
    "done also stands at the game's own limit of steps; nothing in the file tells that from the "
    "end of the level, and it counts as terminal, as in the publisher's loader",
    "the README calls the episodes .npy and the publisher's code writes .npz; files published as "
    ".npy hold a pickled dict, whose arrays are read here without unpickling it",
    "no environment: Procgen is no dependency; scores are of 'train' (levels 0 to 199) or of "
    "'unseen' levels and must not be mixed in one table",
)
_WEBSHOP = {  # name -> (file, id on Google Drive, episodes)
    "human": ("human_trajectories.jsonl", "1az-NxT6INcPLBxD23K1cDaWr_cWsmVJk", 413),
    "human-eval": ("human_data_rewards.jsonl", "1v0gczcw7lc4RAmEd02Gx-rcg1V8w8Shh", 54),
    "il-100": ("il_trajectories_100.jsonl", "1F7HSgeoqlf0VqkMl2ujbGAC1AEh65z8e", None),
    "il-1500": ("il_trajectories_1500.jsonl", "1F7HSgeoqlf0VqkMl2ujbGAC1AEh65z8e", None),
}
_WEBSHOP_ERRATA = (
    "actions are places in the row's own list of choices, so an action's number means something "
    "else in every row; -1 is a search, whose text is in infos/action_text",
    "an episode of 100 steps that does not end by buying was cut off there; the publisher's loader "
    "takes it for terminal, here it is a timeout",
    "the publisher's loader drops searches and draws 10 of many choices at random; nothing is "
    "dropped here",
    "no environment: WebShop is no dependency",
)


def records() -> Iterator[DatasetRecord]:
    """Yield every record of Procgen and of WebShop."""
    for row in fact_tables.rows("procgen.csv"):
        reference = Reference(float(row["minimum"]), float(row["maximum"]), _ORIGIN)
        for size, (folder, rows, policy) in _SIZES.items():
            url = f"{_URL}/{folder}/{row['game']}.tar.xz"
            yield _procgen(row["game"], size, url, rows, reference, f"collected by {policy}", "")
        for levels in (1, 40):
            for policy in ("expert", "suboptimal"):
                yield _levels(row["game"], levels, policy, reference)
    for name, (file, drive, episodes) in _WEBSHOP.items():
        yield _webshop(name, file, drive, episodes)


def _levels(game: str, levels: int, policy: str, reference: Reference) -> DatasetRecord:
    suffix = "_suboptimal" if policy == "suboptimal" else ""
    access = (
        f"also within {_URL}/100k_procgen_dataset_{levels}{suffix}.tar, one archive of all games, "
        "which `datumrl fetch --from` takes too"
    )
    url = f"{_LEVELS_URL}/level_{levels}/{policy}/{game}.tar.xz"
    what = f"of {levels} level{'s' if levels > 1 else ''} only"
    return _procgen(game, f"100k-level-{levels}-{policy}", url, 10**5, reference, what, access)


def _procgen(
    game: str, size: str, url: str, rows: int, reference: Reference, what: str, access: str
) -> DatasetRecord:
    return DatasetRecord(
        id=f"dgrl/{game}-{size}",
        reader="dgrl-procgen",
        environment=None,
        reference=reference,
        time_limit=0,
        observation_dim=0,
        action_dim=15,
        urls=(url,),
        file_name=f"{game}-{size}.tar.xz",
        licence=LICENCE,
        citation=CITATION,
        bibtex=BIBTEX,
        source="facebookresearch/gen_dgrl",
        errata=(what, *_PROCGEN_ERRATA),
        observation_layout="image (3, 64, 64) uint8",
        discrete_actions=True,
        rows=rows,
        access=access,
        options=(("game", game), ("of_all_games", bool(access))),
    )


def _webshop(name: str, file: str, drive: str, episodes: int | None) -> DatasetRecord:
    return DatasetRecord(
        id=f"dgrl/webshop-{name}",
        reader="dgrl-webshop",
        environment=None,
        reference=None,
        time_limit=100,
        observation_dim=0,
        action_dim=0,
        file_name=file,
        licence=f"{LICENCE}; WebShop itself is MIT",
        citation=CITATION,
        bibtex=BIBTEX,
        source="facebookresearch/gen_dgrl",
        errata=_WEBSHOP_ERRATA,
        observation_layout="text: UTF-8 bytes and their number, of the page and of its choices",
        discrete_actions=True,
        access=f"download https://drive.google.com/file/d/{drive}/view by hand and unzip it; the "
        f"dataset is a .jsonl file such as {file}",
        options=(("episodes", episodes or 0),),
    )
