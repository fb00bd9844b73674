"""A torch module is evaluated in eval mode, and is afterwards the module that it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from datumrl.datasets.catalogue import Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.policy_modules import evaluating
from datumrl.evaluation.recorder import Recorder, evaluate
from datumrl.evaluation.rollout import rollout

torch = pytest.importorskip("torch")

DATASET = "local/inverted-pendulum-medium-v1"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))


def balancing(*before: torch.nn.Module) -> torch.nn.Sequential:
    """Return a module in training mode that holds the pole up if the layers before do nothing."""
    last = torch.nn.Linear(4, 1, bias=False)
    last.weight.data = torch.tensor([[0.5, 8.0, 0.7, 1.0]])
    return torch.nn.Sequential(*before, last)


def modes(module: torch.nn.Module) -> list[bool]:
    return [each.training for each in module.modules()]


def returns(policy: object, episodes: int = 2) -> tuple[float, ...]:
    return evaluate(policy, DATASET, episodes=episodes).evaluations[0].returns


def test_dropout_does_not_act_and_is_on_again_afterwards() -> None:
    agent = balancing(torch.nn.Dropout(0.5))
    assert returns(lambda rows: agent(torch.as_tensor(rows))) < (1000.0, 1000.0)
    assert returns(agent) == (1000.0, 1000.0)
    assert modes(agent) == [True] * 3


def test_batch_norm_uses_and_keeps_its_running_statistics() -> None:
    agent = balancing(torch.nn.BatchNorm1d(4), torch.nn.Sequential(torch.nn.BatchNorm1d(4)))
    agent[1].eval()  # frozen by itself
    agent[1][0].train()  # and not all of it
    before, were = copy.deepcopy(agent.state_dict()), modes(agent)
    assert were == [True, True, False, True, True]
    with Recorder("mine", DATASET, 0, {}, steps=1, episodes=2) as recorder:
        assert recorder.evaluate(agent, 1).returns == (1000.0, 1000.0)
    assert modes(agent) == were
    for name, tensor in agent.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_modes_return_when_the_rollout_raises() -> None:
    agent = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 2)).train()
    agent[0].eval()
    with pytest.raises(DatumrlError, match="return numbers of shape"):
        returns(agent)
    assert modes(agent) == [True, False, True]


def test_a_module_in_eval_mode_stays_in_it() -> None:
    agent = balancing(torch.nn.Dropout(0.5)).eval()
    assert returns(agent) == (1000.0, 1000.0)
    assert modes(agent) == [False] * 3


def test_the_module_of_a_method_is_in_eval_mode_too() -> None:
    class Agent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor = balancing(torch.nn.Dropout(0.5))

        def act(self, observations: np.ndarray) -> np.ndarray:
            return self.actor(torch.as_tensor(observations)).detach().numpy()

    agent = Agent()
    found = rollout(agent.act, Environment("InvertedPendulum-v4", 1000), 2, [0])
    assert found.returns.tolist() == [[1000.0, 1000.0]]
    assert modes(agent) == [True] * 4


class Agent(torch.nn.Module):
    """Its actor balances, and Dropout in front of it acts in training mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = balancing(torch.nn.Dropout(0.5))
        self.critic = torch.nn.Linear(4, 1).eval()

    def select_action(self, observations: np.ndarray) -> np.ndarray:
        return self.actor(torch.as_tensor(observations)).detach().numpy()


class SwitchesWithoutMode(Agent):
    """As policies of OfflineRL-Kit: no forward, and neither method takes a mode."""

    def train(self) -> None:
        self.actor.train()

    def eval(self) -> None:
        self.actor.eval()


class Loops(Agent):
    """``train`` and ``eval`` are its loops."""

    def train(self, steps: int) -> None:
        raise AssertionError("trained")

    def eval(self, episodes: int = 10) -> None:
        raise AssertionError("evaluated")


class Merges(Agent):
    """Its methods are torch's, and switch more than the flags."""

    merged = False

    def train(self, mode: bool = True) -> Merges:
        self.merged = not mode
        return super().train(mode)


@pytest.mark.parametrize("kind", [Agent, SwitchesWithoutMode, Loops, Merges])
@pytest.mark.parametrize("nested", [False, True])
def test_whatever_train_and_eval_are_the_actor_acts_in_eval_mode_and_is_then_as_it_was(
    kind: type[Agent], nested: bool
) -> None:
    agent = kind()
    assert isinstance(agent, Agent)
    whole = torch.nn.ModuleList([agent]) if nested else agent
    were = modes(whole)
    assert set(were) == {True, False}
    if nested:
        with evaluating(whole):
            assert not any(modes(whole))
    else:
        assert returns(agent.select_action) == (1000.0, 1000.0)
    assert modes(whole) == were
    assert not getattr(agent, "merged", False)


def test_a_switch_of_ones_own_is_called() -> None:
    agent = Merges()
    with evaluating(agent.select_action):
        assert agent.merged
    assert not agent.merged


def test_what_torch_exported_acts_as_it_was_exported() -> None:
    exported = torch.export.export(torch.nn.Linear(4, 1), (torch.zeros(2, 4),)).module()
    was = exported.training
    with evaluating(exported):
        exported(torch.zeros(2, 4))
    assert exported.training == was


def test_modules_of_other_frameworks_have_modes_and_other_objects_have_none() -> None:
    class Module:
        training = True

        def modules(self) -> list[Module]:
            return [self]

        def eval(self) -> None:
            self.training = False

        def train(self, mode: bool = True) -> None:
            self.training = mode

    class Trainer:  # its methods train and evaluate it
        training = True

        def train(self, mode: object) -> None:
            raise AssertionError

        def eval(self) -> None:
            raise AssertionError

        def act(self, observations: np.ndarray) -> np.ndarray:
            return observations

    module = Module()
    with evaluating(module):
        assert not module.training
    assert module.training
    trainer = Trainer()
    with evaluating(trainer.act), evaluating(len), evaluating(lambda rows: rows):
        assert trainer.training
    assert trainer.training
