import subprocess
import sys
import warnings

import gymnasium
import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.catalogue import Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import auditing, environments

# Importing the named package fails as if it were not installed.
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from datumrl.scripts.main import main
sys.exit(main(["collect", "local/inverted-pendulum-random-v1@100"]))
"""


class Warns(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self) -> None:
        warnings.warn("the friction is off", DeprecationWarning, stacklevel=1)


@pytest.fixture
def warns_id() -> str:
    gymnasium.register("DatumrlWarns-v1", entry_point=Warns)
    gymnasium.register("DatumrlWarns-v2", entry_point=Warns)
    yield "DatumrlWarns-v1"
    del gymnasium.registry["DatumrlWarns-v1"], gymnasium.registry["DatumrlWarns-v2"]


def test_v4_ids_come_without_their_deprecation_notice() -> None:
    with pytest.warns(DeprecationWarning, match="Hopper-v4 is out of date"):
        gymnasium.make("Hopper-v4").close()
    environments.make(Environment("Hopper-v4", 1000)).close()  # pytest makes warnings errors


def test_every_other_warning_still_comes(warns_id: str) -> None:
    with pytest.warns(DeprecationWarning, match="friction") as seen:
        environments.make(Environment(warns_id, 10))
    assert [str(warning.message) for warning in seen] == ["the friction is off"]


def test_the_time_limit_is_applied() -> None:
    env = environments.make(Environment("InvertedPendulum-v4", time_limit=3))
    env.reset(seed=0)
    ends = [env.step(env.action_space.low * 0)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    env.close()


def test_settings_reach_the_environment() -> None:
    env = environments.make(Environment("Ant-v4", 1000, (("use_contact_forces", True),)))
    assert env.observation_space.shape == (111,)
    env.close()


def test_the_bounds_of_actions_are_the_environment_s() -> None:
    low, high = auditing.action_bounds(catalogue.find("local/inverted-pendulum-random-v1"))
    assert (low.tolist(), high.tolist()) == ([-3.0], [3.0])


def test_an_environment_that_is_only_the_nearest_needs_consent() -> None:
    nearest = Environment("Hopper-v5", 1000, equivalent=False, note="v5 changed the reward")
    with pytest.raises(DatumrlError, match=r"Hopper-v5 .*v5 changed the reward.*nearest=True"):
        environments.make(nearest)
    environments.make(nearest, nearest=True).close()


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(DatumrlError, match=r"Hopper-v99: Gymnasium .* does not know"):
        environments.make(Environment("Hopper-v99", 1000))


def test_a_dataset_without_environment_says_so() -> None:
    record = catalogue.DatasetRecord(
        id="mine/data-v1",
        reader="d4rl-gym-mujoco",
        environment=None,
        reference=None,
        time_limit=10,
        observation_dim=1,
        action_dim=1,
    )
    with pytest.raises(DatumrlError, match="mine/data-v1 has no environment"):
        environments.environment_of(record)


@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("dataset", ["d4rl/minigrid-fourrooms-v0", "d4rl/kitchen-complete-v0"])
def test_what_cannot_be_laid_out_is_named_and_refused(dataset: str, nearest: bool) -> None:
    record = catalogue.find(dataset)
    with pytest.raises(DatumrlError, match=r"is not made here: .*Recorder"):
        environments.make(record.environment, nearest=nearest)
    name = dataset.partition("/")[2]
    for refused in (environments.environment_of, environments.require_stated):
        with pytest.raises(DatumrlError, match=rf"is not made here: .*environment='{name}'"):
            refused(record)


@pytest.mark.parametrize("package", ["gymnasium", "mujoco"])
def test_a_missing_package_is_one_message_with_the_remedy(package: str, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package=package)],
        env={"DATUMRL_HOME": str(tmp_path / "home"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "pip install -e '.[envs]'" in done.stderr
    assert package in done.stderr.lower()
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.npy"))
