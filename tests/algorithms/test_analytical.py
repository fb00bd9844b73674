"""What the papers prove or promise, tried where the truth is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from datumrl.algorithms import bc, cql, iql
from datumrl.algorithms.batches import Batch
from datumrl.algorithms.policies import Policies
from datumrl.algorithms.stack import Stack, Task, cosine_decay
from datumrl.algorithms.streams import Streams
from datumrl.datasets.episodes import Episodes, episode_starts

CPU = torch.device("cpu")

# --- IQL: V is the expectile of each state's values ---

DISTRIBUTIONS = (stats.norm(-1, 0.5), stats.expon(), stats.uniform(2, 3))


def expectile(values, tau):
    """Return the root v of tau E[(X - v)+] = (1 - tau) E[(v - X)+]."""

    def imbalance(v):
        above, below = np.maximum(values - v, 0).mean(), np.maximum(v - values, 0).mean()
        return tau * above - (1 - tau) * below

    return optimize.brentq(imbalance, values.min(), values.max(), xtol=1e-12)


@pytest.mark.parametrize("tau", [0.5, 0.7, 0.9])
def test_v_is_the_expectile_of_every_states_values(tau):
    count, kinds = 300, len(DISTRIBUTIONS)
    quantiles = (np.arange(count) + 0.5) / count
    values = np.stack([each.ppf(quantiles) for each in DISTRIBUTIONS])
    states = torch.eye(kinds, dtype=torch.float64).repeat_interleave(count, dim=0)[None]
    rest = [torch.zeros(1, kinds * count) for _ in Batch._fields[1:]]
    config = iql.Config(expectile=tau, hidden_dims=(16,))
    task = Task(kinds, 1, torch.ones(1, dtype=torch.float64))
    stack = Stack.create(iql, config, task, (0,), torch.float64)
    targets = torch.as_tensor(values).reshape(1, -1)
    for step in range(1, 801):
        rate = cosine_decay(3e-2, step, 800)
        stack.minimise("value", iql.value_loss, Batch(states, *rest), targets, rate=rate)
    learned = iql.v_values([layer[0].detach() for layer in stack.networks["value"]], states[0])
    for place, kind in enumerate(DISTRIBUTIONS):
        known = expectile(values[place], tau)
        assert float(learned[place * count]) == pytest.approx(known, abs=1e-3)
        exact = expectile(kind.ppf((np.arange(200_000) + 0.5) / 200_000), tau)
        assert known == pytest.approx(exact, abs=1e-2)  # the sample stands for its distribution


# --- CQL: the value of the policy is not overestimated (theorem 3.2) ---

STATES, ACTIONS, GAMMA, ROWS = 4, 3, 0.8, 160


class Tabular:
    """A random process, a dataset of it by a uniform policy, and a policy to evaluate."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.dynamics = rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))
        self.rewards = rng.uniform(-1, 1, (STATES, ACTIONS))  # means, at most 1 in size
        favourites = rng.integers(ACTIONS, size=STATES)
        self.policy = np.full((STATES, ACTIONS), 0.1)
        self.policy[np.arange(STATES), favourites] = 1 - 0.1 * (ACTIONS - 1)
        self.s, self.a = rng.integers(STATES, size=ROWS), rng.integers(ACTIONS, size=ROWS)
        chances = self.dynamics[self.s, self.a].cumsum(axis=1)
        self.s2 = np.minimum((rng.random((ROWS, 1)) > chances).sum(axis=1), STATES - 1)
        self.r = self.rewards[self.s, self.a] + rng.choice([-0.5, 0.5], ROWS)
        self.counts = np.zeros((STATES, ACTIONS))
        np.add.at(self.counts, (self.s, self.a), 1)
        assert self.counts.min() > 0
        sums, moves = np.zeros((STATES, ACTIONS)), np.zeros((STATES, ACTIONS, STATES))
        np.add.at(sums, (self.s, self.a), self.r)
        np.add.at(moves, (self.s, self.a, self.s2), 1)
        self.mean_rewards = sums / self.counts
        self.frequencies = moves / self.counts[..., None]
        behaviour = self.counts / self.counts.sum(axis=1, keepdims=True)
        self.ratio = self.policy / behaviour - 1  # (states, actions)
        self.divergence = (self.policy * self.ratio).sum(axis=1)  # D_CQL, (states,)

    def value(self, dynamics, rewards):
        """Return V of the policy, (states,), by solving its linear equations."""
        moves = np.einsum("sa,sat->st", self.policy, dynamics)
        gains = (self.policy * rewards).sum(axis=1)
        return np.linalg.solve(np.eye(STATES) - GAMMA * moves, gains)

    def threshold(self):
        """Return the theorem's alpha: sampling error over divergence, the worst of the states.

        The constants of concentration are those that this dataset has, instead of ones that
        hold with probability 1 - delta; the largest reward is 1, the largest value 1 / (1 - gamma).
        """
        root = np.sqrt(self.counts)
        of_rewards = (np.abs(self.mean_rewards - self.rewards) * root).max()
        of_moves = (np.abs(self.frequencies - self.dynamics).sum(axis=-1) * root).max()
        error = (of_rewards + GAMMA * of_moves / (1 - GAMMA)) / root
        return ((self.policy * error).sum(axis=1) / self.divergence).max()

    def batch(self):
        pairs = np.eye(STATES * ACTIONS)
        columns = (np.zeros((ROWS, 1)), pairs[self.s * ACTIONS + self.a], self.r)
        rest = (np.zeros((ROWS, 1)), np.zeros(ROWS))
        return Batch(*(torch.as_tensor(column) for column in (*columns, *rest)))


def conservative_tables(problems, alpha):
    """Minimise cql's own critic loss for a fixed policy: tables (problems, states, actions).

    A linear critic of one-hot (state, action) pairs is a table.  Given as samples are all actions
    of a state, with densities that make their shares in the log-sum-exp's gradient those of the
    policy (equation 2 with mu = pi); the loss does not halve the squared error, so w is 2 alpha.
    """
    config = cql.Config(min_q_weight=2 * alpha, critic_hidden_dims=(), hidden_dims=())
    task = Task(1, STATES * ACTIONS, torch.ones(STATES * ACTIONS, dtype=torch.float64))
    stack = Stack.create(cql, config, task, range(len(problems)), torch.float64)
    batch = Batch(
        *(torch.stack(columns) for columns in zip(*(p.batch() for p in problems), strict=True))
    )
    pairs = torch.eye(STATES * ACTIONS, dtype=torch.float64).view(STATES, ACTIONS, -1)
    s = torch.as_tensor(np.stack([p.s for p in problems]))
    s2 = torch.as_tensor(np.stack([p.s2 for p in problems]))
    policy = torch.as_tensor(np.stack([p.policy for p in problems]))
    seed = torch.arange(len(problems))[:, None]
    empty = torch.zeros(len(problems), ROWS)

    def tables():
        weight, bias = stack.networks["critic"]
        table = (weight.detach()[..., 0, 1:] + bias.detach()[..., 0, :1]).amin(1)
        return table.unflatten(-1, (STATES, ACTIONS))

    for step in range(1, 1501):
        q = tables()
        target = batch.rewards + GAMMA * (policy * q).sum(dim=-1)[seed, s2]
        log_density = (q - policy.log())[seed, s]
        samples = cql.Samples(empty, empty, empty, pairs[s], log_density)
        rate = cosine_decay(0.1 * (1 + alpha), step, 1500)
        stack.minimise("critic", cql.critic_loss, batch, samples, target, rate=rate)
    return tables().numpy()


@pytest.mark.slow
def test_cql_underestimates_the_policy_for_alpha_above_the_theorems_threshold():
    problems = [Tabular(seed) for seed in range(4)]
    exact = np.stack([p.value(p.dynamics, p.rewards) for p in problems])
    policies = np.stack([p.policy for p in problems])
    overestimated = {}
    for alpha in (0.0, 1.01 * max(p.threshold() for p in problems)):
        q = conservative_tables(problems, alpha)
        for place, p in enumerate(problems):
            penalised = p.mean_rewards - alpha * p.ratio
            v = p.value(p.frequencies, penalised)
            np.testing.assert_allclose(
                (p.policy * q[place]).sum(axis=1), v, atol=1e-3 * (1 + alpha)
            )
        overestimated[alpha > 0] = ((policies * q).sum(axis=2) > exact).any(axis=1)
    assert overestimated[False].sum() >= 3  # without the penalty sampling error goes either way
    assert not overestimated[True].any()


# --- IQL stitches in a maze of continuous positions: two corridors that cross ---

WIDTH, STRIDE, STEPS = 0.25, 0.2, 40
WEST, EAST, SOUTH, NORTH = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


def moved(places, actions):
    """Return places (n, 2) after actions (n, 2); walls stop what goes into them, one may slide."""
    for axis in (0, 1):
        there = places.copy()
        there[:, axis] += STRIDE * np.clip(actions[:, axis], -1, 1)
        inside = (np.abs(there) <= WIDTH).any(axis=1) & (np.abs(there) <= 1.1).all(axis=1)
        places = np.where(inside[:, None], there, places)
    return places


def near(places, goal):
    return np.abs(places - np.array(goal)).max(axis=-1) < 0.2


def walks(begin, end, count, rng):
    """Return lists of (states, actions, arrived) of noisy walks by way of the crossing."""
    result = []
    for _ in range(count):
        place, states, actions = np.array(begin) + rng.uniform(-0.1, 0.1, 2), [], []
        passed = False
        while not near(place, end):
            passed = passed or bool(near(place, (0.0, 0.0)))
            way = np.array(end if passed else (0.0, 0.0)) - place
            action = np.clip(way / np.abs(way).max() * 0.8 + rng.normal(0, 0.2, 2), -1, 1)
            states.append(place)
            actions.append(action)
            place = moved(place[None], action[None])[0]
        result.append((states, actions, place))
    return result


def crossing():
    """Four walks in five go west to east for nothing, one south to north, where the reward is."""
    rng = np.random.default_rng(0)
    chosen = [(walk, 0.0) for walk in walks(WEST, EAST, 160, rng)]
    chosen += [(walk, 1.0) for walk in walks(SOUTH, NORTH, 40, rng)]
    order = rng.permutation(len(chosen))
    lengths = np.array([len(chosen[i][0][0]) for i in order])
    rows = int(lengths.sum())
    terminals, rewards = np.zeros(rows, bool), np.zeros(rows, np.float32)
    terminals[np.cumsum(lengths) - 1] = True
    rewards[np.cumsum(lengths) - 1] = [chosen[i][1] for i in order]
    return Episodes(
        id="crossing",
        observations=np.concatenate([chosen[i][0][0] for i in order]).astype(np.float32),
        actions=np.concatenate([chosen[i][0][1] for i in order]).astype(np.float32),
        rewards=rewards,
        terminals=terminals,
        timeouts=np.zeros(rows, bool),
        starts=episode_starts(terminals, np.zeros(rows, bool)),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, 2), np.float32),
        time_limit=STEPS,
        timeouts_recorded=True,
    )


def arrivals(method, config, episodes, seeds):
    """Train and return each seed's share of 50 walks from the west that arrive in the north."""
    task = Task(2, 2, torch.ones(2))
    source = method.data(config, episodes, "correct", CPU)
    stack = Stack.create(method, config, task, seeds)
    streams = Streams(seeds, len(source), config.batch_size, method.noise(config, task), CPU)
    for step in range(1, config.steps + 1):
        rows, drawn = streams.at(step)
        method.update(stack, source.gather(rows), drawn, step)
    places = range(len(seeds))
    policy = Policies(method, config, task, stack.networks, source.statistics, places)
    begin = np.array(WEST) + np.random.default_rng(1).uniform(-0.1, 0.1, (50, 2))
    place = np.tile(begin, (len(seeds), 1))
    arrived = np.zeros(len(place), bool)
    for _ in range(STEPS):
        place = moved(place, policy(place.astype(np.float32)).numpy())
        arrived |= near(place, NORTH)
    return arrived.reshape(len(seeds), 50).mean(axis=1)


@pytest.mark.slow
def test_iql_stitches_a_way_that_cloning_does_not_find():
    seeds, episodes = (0, 1, 2, 3), crossing()
    shared = {"batch_size": 128, "hidden_dims": (64, 64), "actor_lr": 1e-3}
    cloned = arrivals(bc, bc.Config(**shared, steps=400, normalize_states=False), episodes, seeds)
    quick = {"discount": 0.9, "tau": 0.05, "value_lr": 1e-3, "critic_lr": 1e-3, "beta": 10.0}
    config = iql.Config(**shared, **quick, steps=700, expectile=0.9)
    stitched = arrivals(iql, config, episodes, seeds)
    assert (cloned < 0.1).all(), cloned
    assert (stitched > 0.9).all(), stitched
    assert math.isclose(float(episodes.rewards.sum()), 40)
