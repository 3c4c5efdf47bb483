"""Drop-in: calls made from DQN's own signature, run with DQN and with CarDQN, which takes all that DQN learns with."""

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule
from stable_baselines3.common.vec_env import (
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)
from stable_baselines3.dqn.policies import CnnPolicy, DQNPolicy, MlpPolicy, MultiInputPolicy, QNetwork
from torch import nn

from sb3_cardqn import CarDQN, CarRacingCNN

NAN, INF = float("nan"), float("inf")
SMALL: dict[str, Any] = {
    "policy": "MlpPolicy", "env": "CartPole-v1", "buffer_size": 300, "learning_starts": 10, "device": "cpu",
    "target_update_interval": 16, "seed": 0,
}  # fmt: skip
STEPS = 48


class Shows(gym.Env):
    """
    Shows whatever its observation space has.

    :param space: of the observations
    """

    action_space = spaces.Discrete(3)

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space, self._steps = space, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: int) -> Any:
        assert self.action_space.contains(action)
        self._steps += 1
        return self.observation_space.sample(), float(action), self._steps == 10, False, {}


# ---- what scripts hand to DQN: classes of their own ----


class OwnPolicy(DQNPolicy):
    """A policy of the user's, with arguments of its own."""

    def __init__(self, *args: Any, width: int = 8, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"net_arch": [width]})


class ValueAndAdvantage(QNetwork):
    """A dueling network as tutorials write it: without a Sequential that ends in the Q-values."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.q_net
        self.value = nn.Linear(self.features_dim, 1)
        self.advantage = nn.Linear(self.features_dim, int(self.action_space.n))

    def forward(self, obs: Any) -> th.Tensor:
        features = self.extract_features(obs, self.features_extractor)
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(dim=1, keepdim=True)


class DuelingPolicy(DQNPolicy):
    """A policy that makes its own kind of network."""

    def make_q_net(self) -> QNetwork:
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return ValueAndAdvantage(**net_args).to(self.device)


class Softmax(QNetwork):
    """Draws its actions, from torch's generator."""

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:
        return th.distributions.Categorical(logits=self(observation)).sample()


class Masked(QNetwork):
    """Forbids an action by a Q-value of -inf, as an observation tells it; random actions take it all the same."""

    def forward(self, obs: Any) -> th.Tensor:
        forbidden = th.stack([obs[:, 1] > 0, th.zeros(len(obs), dtype=th.bool)], dim=1)
        return super().forward(obs).masked_fill(forbidden, -th.inf)


class SoftmaxPolicy(DQNPolicy):
    """A policy that draws."""

    network: type[QNetwork] = Softmax

    def make_q_net(self) -> QNetwork:
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return self.network(**net_args).to(self.device)


class MaskedPolicy(SoftmaxPolicy):
    """A policy that forbids actions."""

    network = Masked


class Features(nn.Module):
    """A features extractor that is no BaseFeaturesExtractor."""

    features_dim = 4

    def __init__(self, observation_space: spaces.Space, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, obs: th.Tensor) -> th.Tensor:
        return obs.flatten(1) * self.scale


class Views(BaseFeaturesExtractor):
    """A CNN as tutorials write it: view() asks for pictures in their usual order in memory."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 2 * 17 * 17)
        self.conv = nn.Conv2d(3, 2, 4, stride=2)

    def forward(self, obs: th.Tensor) -> th.Tensor:
        assert obs.view(-1).shape == (obs.numel(),)
        features = self.conv(obs)
        return features.view(features.size(0), -1)


class ListsDones(VecEnvWrapper):
    """Hands on lists, where SB3's vectors have arrays."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = self.venv.step_wait()
        return obs, rewards, dones.tolist(), infos


class HandsOn(ReplayBuffer):
    """A replay buffer that hands on whatever it gets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Weighted(ReplayBuffer):
    """A replay buffer with something of its own in the batch, which DQN ignores."""

    def sample(self, batch_size: int, env: Any = None) -> Any:
        batch = super().sample(batch_size, env)
        return type("Batch", (), batch._asdict() | {"weights": np.ones(batch_size), "discounts": None})


class PrioritizedBatch(NamedTuple):
    """DQN's batch and more, as prioritized buffers of other people have it."""

    observations: Any
    actions: Any
    next_observations: Any
    dones: Any
    rewards: Any
    discounts: Any
    weights: np.ndarray
    indices: np.ndarray


class Prioritized(ReplayBuffer):
    """Somebody's prioritized buffer, whose weights and priorities DQN leaves alone."""

    def sample(self, batch_size: int, env: Any = None) -> Any:
        batch = super().sample(batch_size, env)
        return PrioritizedBatch(*batch, weights=np.full(batch_size, 2.0), indices=np.zeros(batch_size))

    def update_priorities(self, priorities: Any, indices: Any) -> None:
        raise AssertionError("DQN does not call it")


class Flat(ReplayBuffer):
    """A replay buffer that puts all environments into one row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"n_envs": 1})

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: Any) -> None:
        for i in range(len(obs)):
            parts = (part[i : i + 1] for part in (obs, next_obs, action, reward, done, infos))
            super().add(*parts)


class NoParent:
    """A replay buffer that inherits from nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._buffer = ReplayBuffer(*args, **kwargs)

    def add(self, *args: Any) -> None:
        self._buffer.add(*args)

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        return self._buffer.sample(*args, **kwargs)


class Halves:
    """A schedule of the user's."""

    def __call__(self, progress_remaining: float) -> float:
        return 1e-3 * 0.5**progress_remaining


class Clips(VecEnvWrapper):
    """Clips observations to a space of its own."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, spaces.Box(-1, 1, venv.observation_space.shape))

    def reset(self) -> Any:
        return self.venv.reset().clip(-1, 1)

    def step_wait(self) -> Any:
        obs, *rest = self.venv.step_wait()
        return obs.clip(-1, 1), *rest


# ---- the table: every argument of DQN and of its policy, with each kind of value ----


def numbers(value: float, *more: float) -> list[Any]:
    """
    :param value: that an argument may have
    :param more: values on the border of what it may have
    :return: the first in every kind that a number has, the others as they are
    """
    kinds: list[Any] = [np.float32, np.float64, np.array, th.tensor]
    whole = [float, int, np.int64, np.uint16] if float(value).is_integer() else []
    return [value, *(kind(value) for kind in [*kinds, *whole]), *more]


FLAGS = [True, False, 1, 0, None, np.True_, np.False_]
ARGUMENTS: dict[str, list[Any]] = {
    "policy": [
        "MlpPolicy", MlpPolicy, DQNPolicy, OwnPolicy, DuelingPolicy, SoftmaxPolicy, MaskedPolicy,
        partial(DQNPolicy, net_arch=[8]),
    ],
    "env": [
        "CartPole-v1",
        lambda: gym.make("CartPole-v1"),
        lambda: make_vec_env("CartPole-v1", 3),
        lambda: VecNormalize(make_vec_env("CartPole-v1", 2)),
        lambda: VecNormalize(VecFrameStack(make_vec_env("CartPole-v1", 2), 2)),
        lambda: VecMonitor(VecNormalize(make_vec_env("CartPole-v1", 1), norm_obs=False)),
        lambda: Clips(VecNormalize(make_vec_env("CartPole-v1", 2))),
        lambda: ListsDones(make_vec_env("CartPole-v1", 2)),
        lambda: VecFrameStack(make_vec_env("CartPole-v1", 1), 3),
    ],
    "learning_rate": [
        *numbers(1e-4, 1, 0), lambda left: 1e-3 * left, LinearSchedule(1e-3, 0, 1), ConstantSchedule(1e-3), Halves(),
    ],
    "buffer_size": numbers(300, 20, 1),
    "learning_starts": numbers(20, 0, 12.5, 100_000, 1e5, INF),
    "batch_size": numbers(16, 1, 500),
    "tau": numbers(1, 0.005, 0),
    "gamma": numbers(0.99, 1, 0),
    "train_freq": [*numbers(4, 1, 100), (4, "step"), (1, "episode"), (np.int64(4), "step"), (4.0, "step")],
    "gradient_steps": [*numbers(1, 2, 0, -1), -1.0, np.int64(-1)],
    "replay_buffer_class": [None, ReplayBuffer, NStepReplayBuffer, HandsOn, Weighted, Prioritized, Flat, NoParent],
    "replay_buffer_kwargs": [
        None, {}, {"handle_timeout_termination": False}, OrderedDict(), MappingProxyType({}),
    ],
    "optimize_memory_usage": FLAGS,
    "n_steps": numbers(1, 3),
    "target_update_interval": numbers(10, 1, 10_000, 1e4),
    "exploration_fraction": numbers(0.1, 1, 0, 1.5, 20_000),
    "exploration_initial_eps": numbers(1, 0.5, 0),
    "exploration_final_eps": numbers(0.05, 0, 1),
    "max_grad_norm": numbers(10, 0, 0.1, INF, 1e30),
    "stats_window_size": [*numbers(100, 1, 0), None],
    "tensorboard_log": [None],
    "policy_kwargs": [None, {}, OrderedDict(net_arch=[8]), MappingProxyType({"net_arch": [8]})],
    "verbose": [0, 1, 2, False],
    "seed": [None, 0, 7, np.int64(7), np.uint32(7)],
    "device": ["cpu", "auto", th.device("cpu")],
    "_init_setup_model": [True],
}  # fmt: skip
POLICY_ARGUMENTS: dict[str, list[Any]] = {
    "net_arch": [None, [], [8], (8, 8), [8.0], [np.int64(8)], np.array([8, 8]), th.Size([8]), range(8, 10)],
    "activation_fn": [
        nn.ReLU, nn.Tanh, partial(nn.LeakyReLU, 0.2), lambda: nn.ELU(0.5), partial(nn.Softplus, beta=2),
    ],
    "features_extractor_class": [FlattenExtractor, Features, partial(Features, scale=0.5), lambda s: Features(s, 2)],
    "features_extractor_kwargs": [None, {}, OrderedDict(), MappingProxyType({})],
    "normalize_images": FLAGS,
    "optimizer_class": [
        th.optim.Adam, th.optim.RMSprop, partial(th.optim.Adam, eps=1e-5),
        lambda params, lr: th.optim.SGD(params, lr, momentum=0.9), lambda params, **rest: th.optim.AdamW(params, **rest),
    ],
    "optimizer_kwargs": [None, {}, {"eps": 1e-5}, OrderedDict(weight_decay=0.1), MappingProxyType({"eps": 1e-5})],
}  # fmt: skip


class Stops(BaseCallback):
    """Ends learning after 30 agent steps."""

    def _on_step(self) -> bool:
        return self.num_timesteps < 30


LEARN: dict[str, list[Any]] = {
    "total_timesteps": [*numbers(STEPS, 1), 5e1],
    "callback": [None, [], Stops(), [Stops()], CallbackList([Stops()]), lambda *_: True],
    "log_interval": [4, 1, None, 1000],
    "tb_log_name": ["DQN", "x"],
    "reset_num_timesteps": [True, False, 1, 0],
    "progress_bar": [False, None, 0],
}
# DQN's buffer learns with a gamma of its own, 0.99; CarDQN hands the agent's on (numbered difference 4)
GAMMA_GIVEN_TWICE: dict[str, Any] = {
    "replay_buffer_class": NStepReplayBuffer, "replay_buffer_kwargs": {"n_steps": 4}, "n_steps": 3, "gamma": 0.9,
}  # fmt: skip
# several arguments that belong together
TOGETHER: list[dict[str, Any]] = [
    {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}},
    {"replay_buffer_class": NStepReplayBuffer, "replay_buffer_kwargs": {"n_steps": 4, "gamma": 0.95}},
    GAMMA_GIVEN_TWICE,
    {"replay_buffer_class": Flat, "env": lambda: make_vec_env("CartPole-v1", 4)},
    {"replay_buffer_class": HandsOn, "n_steps": 3},
    {"replay_buffer_class": ReplayBuffer, "n_steps": 3},
    {"policy": OwnPolicy, "policy_kwargs": {"width": 4}},
    {"policy": DuelingPolicy, "policy_kwargs": {"net_arch": []}, "n_steps": 3},
    {"buffer_size": 30, "batch_size": 64, "env": lambda: make_vec_env("CartPole-v1", 2)},
    {"train_freq": (2, "episode"), "gradient_steps": -1},
    {"target_update_interval": 1, "env": lambda: make_vec_env("CartPole-v1", 4)},
    {"learning_starts": 1e5, "target_update_interval": 1e4},
    # epsilon is -1e-16 after 18 steps
    {"exploration_initial_eps": 0.8, "exploration_final_eps": 0.0, "exploration_fraction": 0.375},
]


def image(shape: tuple[int, ...], dtype: Any = np.uint8) -> spaces.Box:
    """
    :param shape: of the picture
    :param dtype: 0 to 255 as uint8, 0 to 1 as floats
    :return: its space
    """
    return spaces.Box(0, 255 if dtype == np.uint8 else 1, shape, dtype)


FLOATS = {"normalize_images": False}
VECTOR = spaces.Box(-1, 1, (3,), np.float32)
# what an environment can show, with the policy for it
SIGHTS: list[tuple[Any, spaces.Space, dict[str, Any]]] = [
    *(("MlpPolicy", space, {}) for space in (
        VECTOR, spaces.Box(-1, 1, (3,), np.float64), spaces.Box(-5, 5, (3,), np.int64), spaces.Box(-1, 1, (2, 3)),
        spaces.Box(-INF, INF, (3,)), spaces.Discrete(5), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3),
        image((8, 8, 3)), image((36, 36, 3)), spaces.Discrete(5, start=3), spaces.Discrete(5, start=-1),
        spaces.MultiDiscrete([2, 3], start=[1, 0]),
    )),
    *((policy, image(shape), {}) for shape in ((36, 36, 3), (3, 40, 36)) for policy in ("CnnPolicy", CnnPolicy)),
    *((policy, image((3, 36, 36), dtype), FLOATS) for dtype in (np.float32, np.uint8) for policy in ("CnnPolicy", CnnPolicy)),
    ("CnnPolicy", image((3, 36, 36)), {"features_extractor_class": CarRacingCNN}),
    ("CnnPolicy", image((3, 36, 36)), {"features_extractor_class": Views}),
    ("CnnPolicy", image((3, 36, 36), np.float32), FLOATS | {"features_extractor_class": CarRacingCNN}),
    ("CnnPolicy", image((3, 36, 36)), {"features_extractor_class": partial(NatureCNN, features_dim=8)}),
    ("CnnPolicy", VECTOR, {"features_extractor_class": FlattenExtractor}),
    ("MlpPolicy", image((3, 36, 36)), {"features_extractor_class": NatureCNN}),
    ("MultiInputPolicy", VECTOR, {"features_extractor_class": FlattenExtractor}),
    *((policy, spaces.Dict({"a": VECTOR, "b": part}), {}) for policy in ("MultiInputPolicy", MultiInputPolicy) for part in (
        VECTOR, spaces.Discrete(4), spaces.MultiBinary(2), image((36, 36, 3)), image((3, 36, 36)), spaces.Discrete(4, start=2),
    )),
    ("MultiInputPolicy", spaces.Dict({"a": VECTOR, "b": image((8, 8, 3))}), {}),
    ("MlpPolicy", VECTOR, {"features_extractor_class": CombinedExtractor}),
    *((policy, VECTOR, {}) for policy in ("CnnPolicy", "MultiInputPolicy")),
    *((policy, spaces.Dict({"a": VECTOR}), {}) for policy in ("MlpPolicy", "CnnPolicy")),
    (MlpPolicy, spaces.Dict({"a": VECTOR}), {"features_extractor_class": CombinedExtractor}),
]  # fmt: skip


def calls() -> Iterator[Any]:
    """:return: keyword arguments of DQN, one call a kind of value of an argument"""
    for name, values in ARGUMENTS.items():
        for i, value in enumerate(values):
            yield pytest.param({name: value}, id=f"{name}-{i}")
    for name, values in POLICY_ARGUMENTS.items():
        for i, value in enumerate(values):
            yield pytest.param({"policy_kwargs": {"net_arch": [8]} | {name: value}}, id=f"policy-{name}-{i}")
    for i, together in enumerate(TOGETHER):
        yield pytest.param(together, id=f"together-{i}")
    for i, (policy, space, kwargs) in enumerate(SIGHTS):
        call = {"policy": policy, "env": partial(Shows, space), "policy_kwargs": kwargs}
        yield pytest.param(call, id=f"sight-{i}")


def learned(algorithm: type[Any], call: dict[str, Any], learn: dict[str, Any]) -> Any:
    """
    :param algorithm: DQN, or what stands in its place
    :param call: some of its arguments; an environment is made anew
    :param learn: arguments of its learn()
    :return: the agent after a few updates, or the error
    """
    arguments = SMALL | call
    if callable(arguments["env"]):
        arguments["env"] = arguments["env"]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return algorithm(**arguments).learn(**{"total_timesteps": STEPS} | learn)
    except Exception as error:
        return error
    finally:
        if isinstance(arguments["env"], SubprocVecEnv):
            arguments["env"].close()


def compare(call: dict[str, Any], learn: dict[str, Any]) -> None:
    """
    :param call: some of DQN's arguments
    :param learn: some of its learn()'s
    """
    theirs = learned(DQN, call, learn)
    ours = learned(CarDQN, call, learn)
    if isinstance(theirs, Exception):
        # what both refuse is refused here before anything is trained, or works
        assert not isinstance(ours, Exception) or isinstance(ours, (ValueError, TypeError, AssertionError)), (
            ours
        )
    else:
        assert not isinstance(ours, Exception), ours
        for name in ("num_timesteps", "_n_updates", "exploration_rate"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name)), name
        is_repeatable = call.get("seed", 0) is not None and not isinstance(call.get("env"), partial)  # Shows
        in_float64 = isinstance(call.get("gamma"), np.ndarray)  # DQN then computes so
        if ours.n_envs == 1 and is_repeatable and not in_float64 and call is not GAMMA_GIVEN_TWICE:
            for name, weights in theirs.q_net.state_dict().items():
                assert th.equal(ours.q_net.state_dict()[name], weights), name


@pytest.mark.parametrize("call", list(calls()))
def test_cardqn_takes_all_that_dqn_learns_with(call: dict[str, Any]) -> None:
    compare(call, {})


@pytest.mark.slow
def test_cardqn_takes_environments_in_processes() -> None:
    compare({"env": lambda: make_vec_env("CartPole-v1", 2, vec_env_cls=SubprocVecEnv)}, {})


@pytest.mark.parametrize(
    "learn",
    [{name: value} for name, values in LEARN.items() for value in values],
    ids=lambda learn: next(iter(learn)),
)
def test_learn_takes_all_that_dqns_takes(learn: dict[str, Any]) -> None:
    compare({}, learn)


def test_the_table_has_every_argument() -> None:
    assert ARGUMENTS.keys() == inspect.signature(DQN).parameters.keys()
    theirs = list(inspect.signature(DQNPolicy).parameters)
    assert ["self", *LEARN] == list(inspect.signature(DQN.learn).parameters)
    assert list(POLICY_ARGUMENTS) == theirs[theirs.index("net_arch") :]
