"""Records of V-D4RL (Lu et al. 2023, arXiv:2206.04779): images of dm_control tasks.

Facts: conglu1997/v-d4rl (README.md, conversion_scripts).  Ids are the folders of the published
tree; the same data exists as 64-pixel episodes and as 84-pixel shards.
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets.record import DatasetRecord, Reference

CITATION = (
    "Lu, Ball, Rudner, Parker-Holder, Osborne, Teh: Challenges and Opportunities in Offline "
    "Reinforcement Learning from Visual Observations. Transactions on Machine Learning Research "
    "(2023)"
)
BIBTEX = """@article{lu2023vd4rl,
  title = {Challenges and Opportunities in Offline Reinforcement Learning from Visual Observations},
  author = {Lu, Cong and Ball, Philip J. and Rudner, Tim G. J. and Parker-Holder, Jack
    and Osborne, Michael A. and Teh, Yee Whye},
  journal = {Transactions on Machine Learning Research},
  year = {2023}
}"""
TASKS = {"walker_walk": 6, "cheetah_run": 6, "humanoid_walk": 21}  # number of action dimensions
LEVELS = ("random", "medium_replay", "medium", "medium_expert", "expert")
LAYOUTS = {"64px": "image 64x64x3", "84px": "image 3x84x84"}
ERRATA = {
    "shift": "the file's action and reward of a row led into it, and row 0 of an episode has "
    "dummies of the reset: a step here is the image of row t with action and reward of row t + 1",
    "ends": "every episode is cut off after 500 steps; none terminates",
    "repeat": "each step repeats its action twice, so that an episode is 1,000 steps of dm_control",
    "stack": "single frames, as published; the published baselines stack three",
    "npz": "one file per episode; its name ends in its number of rows",
    "shards": "shards split by the publisher's script may cut an episode: they are joined again in "
    "the order of the numbers in their names, and refused where that gives no whole episodes",
}
_ACCESS = (
    "clone the Hugging Face dataset conglu/vd4rl, or take the Google Drive folder "
    "15HpW6nlJexJP5A4ygGk-1plqt9XdcWGI and join its split zip files; --from takes the folder "
    "{folder}, or vd4rl_data above it"
)


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection."""
    for task, actions in TASKS.items():
        for level in LEVELS:
            for pixels, layout in LAYOUTS.items():
                folder = f"main/{task}/{level}/{pixels}"
                keys = ["shift", "ends", "repeat", "stack", "npz" if pixels == "64px" else "shards"]
                yield DatasetRecord(
                    id=f"vd4rl/{folder}",
                    reader="vd4rl",
                    environment=None,
                    reference=Reference(
                        0.0,
                        1000.0,
                        "dm_control rewards each of 1,000 steps with 0 to 1; published tables "
                        "divide returns by 10",
                    ),
                    time_limit=500,
                    observation_dim=0,
                    action_dim=actions,
                    licence="MIT (of the repository and of the Hugging Face dataset)",
                    citation=CITATION,
                    bibtex=BIBTEX,
                    source="conglu1997/v-d4rl: README.md, conversion_scripts",
                    errata=tuple(ERRATA[key] for key in keys),
                    observation_layout=layout,
                    access=_ACCESS.format(folder=folder),
                    folder=True,
                    file_name=folder,
                    options=(("pixels", pixels),),
                )
