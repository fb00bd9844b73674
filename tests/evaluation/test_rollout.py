import warnings
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from datumrl.datasets.catalogue import Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.rollout import episode_seed, rollout

HOPPER = Environment("Hopper-v4", 1000)
PENDULUM = Environment("InvertedPendulum-v4", 1000)
GAINS = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)


def hopper(observations: np.ndarray) -> np.ndarray:
    """A policy that leaves the action space and whose rows do not depend on each other."""
    return 1.5 * np.sin((observations[:, :, None] * GAINS).sum(axis=1))


def balance(observations: np.ndarray) -> np.ndarray:
    return (observations * np.float32([0.5, 8.0, 0.7, 1.0])).sum(axis=1, keepdims=True)


class Countdown(gymnasium.Env):
    """Ends after 1 to 20 steps, as its seed says; the reward is the action; counts all steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 21))
        return np.array([self.left, 0.0]), {}

    def step(self, action):
        Countdown.steps += 1
        self.left -= 1
        return np.array([self.left, action[0]]), float(action[0]), self.left == 0, False, {}


@pytest.fixture
def countdown() -> Iterator[Environment]:
    gymnasium.register("DatumrlCountdown-v0", entry_point=Countdown)
    Countdown.steps = 0
    yield Environment("DatumrlCountdown-v0", 50)
    del gymnasium.registry["DatumrlCountdown-v0"]


def plain_loop(act, environment: str, seed: int) -> tuple[float, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(environment)
        observation, _ = env.reset(seed=seed)
        total, length, ended = 0.0, 0, False
        while not ended:
            action = act(observation.astype(np.float32)[None])[0]
            action = np.clip(action, env.action_space.low, env.action_space.high)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, length, ended = total + reward, length + 1, terminated or truncated
        env.close()
    return total, length


def test_equals_a_plain_loop_over_one_environment() -> None:
    result = rollout(hopper, HOPPER, episodes=3, seeds=[5, 2])
    for policy, seed in enumerate([5, 2]):
        for episode in range(3):
            total, length = plain_loop(hopper, "Hopper-v4", episode_seed(seed, episode))
            assert result.returns[policy, episode] == total
            assert result.lengths[policy, episode] == length
    assert result.returns.dtype == np.float64
    assert result.lengths.dtype == np.int64


def test_company_changes_nothing() -> None:
    together = rollout(hopper, HOPPER, episodes=4, seeds=[7, 1, 4])
    alone = rollout(hopper, HOPPER, episodes=2, seeds=[4])
    np.testing.assert_array_equal(together.returns[2, :2], alone.returns[0])
    np.testing.assert_array_equal(together.lengths[2, :2], alone.lengths[0])


def test_every_episode_and_seed_starts_elsewhere() -> None:
    assert len(np.unique(rollout(hopper, HOPPER, episodes=3, seeds=[0, 1]).returns)) == 6


def test_a_good_policy_reaches_the_time_limit() -> None:
    result = rollout(balance, PENDULUM, episodes=2, seeds=[0])
    assert (result.returns == 1000).all()
    assert (result.lengths == 1000).all()
    short = rollout(balance, Environment("InvertedPendulum-v4", 30), episodes=2, seeds=[0])
    assert (short.lengths == 30).all()


def test_the_policy_sees_every_row_at_every_step_and_no_step_is_wasted(
    countdown: Environment,
) -> None:
    seen = []

    def act(observations: np.ndarray) -> np.ndarray:
        seen.append(observations)
        return np.full((len(observations), 1), 0.25)

    ended: list[int] = []
    result = rollout(act, countdown, 3, [0, 1], progress=ended.append)
    seen = np.stack(seen)
    assert seen.shape[1:] == (6, 2)
    assert seen.dtype == np.float32
    assert Countdown.steps == result.lengths.sum()
    assert sum(ended) == 6
    for row, length in enumerate(result.lengths.ravel()):
        # Row p * episodes + e counts down from its own start, then stays at its last observation.
        expected = np.maximum(length - np.arange(len(seen)), 0)
        np.testing.assert_array_equal(seen[:, row, 0], expected)
    np.testing.assert_allclose(result.returns, 0.25 * result.lengths)


def test_actions_are_clipped_to_the_action_space(countdown: Environment) -> None:
    result = rollout(lambda rows: np.full((len(rows), 1), 9.0), countdown, 2, [0])
    np.testing.assert_array_equal(result.returns, result.lengths)


def test_a_policy_may_write_into_its_observations(countdown: Environment) -> None:
    def act(observations: np.ndarray) -> np.ndarray:
        actions = observations[:, :1] / 20
        observations[:] = np.nan
        return actions

    result = rollout(act, countdown, 3, [0])
    totals = [sum(range(1, length + 1)) / 20 for length in result.lengths[0]]
    np.testing.assert_allclose(result.returns[0], totals, rtol=1e-6)


class Remembers:
    """Writes down the calls of its memory; so does its method, as a policy."""

    def reset(self, rows: int) -> None:
        self.calls, self.heard = [*getattr(self, "calls", []), rows], np.zeros(rows)

    def rewarded(self, rewards: np.ndarray) -> None:
        self.heard = self.heard + rewards

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.full((len(observations), 1), 0.25)

    __call__ = act


def test_a_policy_with_memory_is_reset_once(countdown: Environment) -> None:
    policy = Remembers()
    for act in (policy, policy.act):
        policy.calls = []
        result = rollout(act, countdown, 2, [0, 1, 2])
        assert policy.calls == [6]
        np.testing.assert_allclose(policy.heard, result.returns.ravel())


@pytest.mark.parametrize("method", ["", "forward"])
def test_a_torch_module_with_memory_is_reset_and_hears(method: str, countdown: Environment) -> None:
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module, Remembers):
        __call__ = torch.nn.Module.__call__

        def forward(self, observations: object) -> np.ndarray:
            return self.act(observations)

    policy = Module()
    result = rollout(getattr(policy, method) if method else policy, countdown, 2, [0, 1, 2])
    assert policy.calls == [6]
    np.testing.assert_allclose(policy.heard, result.returns.ravel())


def test_methods_of_these_names_that_take_something_else_are_not_called(
    countdown: Environment,
) -> None:
    class Agent:
        rewarded = 0.0

        def reset(self) -> None:  # forgets what it learned
            raise AssertionError

        def act(self, observations: np.ndarray) -> np.ndarray:
            return np.zeros((len(observations), 1))

    assert (rollout(Agent().act, countdown, 2, [0]).returns == 0).all()


def test_a_policy_with_memory_hears_what_each_step_brought(countdown: Environment) -> None:
    class Listens:
        def __init__(self) -> None:
            self.heard: list[np.ndarray] = []
            self.observed: list[np.ndarray] = []

        def rewarded(self, rewards: np.ndarray) -> None:
            assert len(self.observed) == len(self.heard) + 1  # once after every step
            self.heard.append(rewards)

        def __call__(self, observations: np.ndarray) -> np.ndarray:
            self.observed.append(observations)
            rows = np.arange(len(observations), dtype=np.float64)
            return ((rows + len(self.heard)) % 7)[:, None] / 7

    policy = Listens()
    result = rollout(policy, countdown, 3, [0, 1])
    heard = np.stack(policy.heard)
    assert heard.shape == (result.lengths.max(), 6)
    assert heard.dtype == np.float64
    for row, length in enumerate(result.lengths.ravel()):
        expected = ((row + np.arange(len(heard))) % 7) / 7 * (np.arange(len(heard)) < length)
        np.testing.assert_allclose(heard[:, row], expected, rtol=1e-6)
    np.testing.assert_allclose(heard.sum(axis=0), result.returns.ravel())


def test_torch_tensors_come_back_as_they_are(countdown: Environment) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 1)
    tensor = rollout(lambda rows: layer(torch.as_tensor(rows)), countdown, 2, [0])
    array = rollout(lambda rows: layer(torch.as_tensor(rows)).detach().numpy(), countdown, 2, [0])
    np.testing.assert_array_equal(tensor.returns, array.returns)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_names_policy_and_episode(
    bad: float, countdown: Environment
) -> None:
    def act(observations: np.ndarray) -> np.ndarray:
        actions = np.zeros((len(observations), 1))
        actions[4] = bad  # policy 1, episode 1
        return actions

    with pytest.raises(DatumrlError, match=r"policy 1 \(seed 8\), episode 1: .*not finite"):
        rollout(act, countdown, 3, [3, 8])


@pytest.mark.parametrize(
    "answer", [np.zeros((3, 2)), np.zeros(3), np.zeros((1, 1)), np.array([["left"]] * 3), None]
)
def test_actions_of_another_shape_or_kind_are_refused(
    answer: object, countdown: Environment
) -> None:
    with pytest.raises(DatumrlError, match=r"policy 0 \(seed 0\), episode 0: .*\(3, 1\)"):
        rollout(lambda observations: answer, countdown, 3, [0])


def test_a_reward_that_is_not_finite_is_refused(
    countdown: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Countdown, "step", lambda self, action: (np.zeros(2), float("nan"), True, False, {})
    )
    with pytest.raises(DatumrlError, match="reward that is not finite"):
        rollout(lambda rows: np.zeros((len(rows), 1)), countdown, 1, [0])


def test_nothing_to_roll_out_is_refused(countdown: Environment) -> None:
    for episodes, seeds in ((0, [0]), (1, [])):
        with pytest.raises(DatumrlError, match="at least one"):
            rollout(lambda rows: rows, countdown, episodes, seeds)
