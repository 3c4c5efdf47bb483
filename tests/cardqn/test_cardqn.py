import inspect
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN
from scipy.special import log_softmax
from scipy.stats import norm
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from torch import nn

from sb3_cardqn import CarDQN, CarRacingCNN, DuelingHead, HistogramHead, QuantileHead
from sb3_cardqn.cardqn.heads import Head
from sb3_cardqn.cardqn.policies import CnnPolicy, MlpPolicy
from sb3_cardqn.cardqn.td import td_of
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.replay.prioritized import PrioritizedReplayBufferSamples
from tests.devices import DEVICES, PAIRS
from tests.named import error_naming

SMALL: dict[str, Any] = {
    "buffer_size": 500,
    "learning_starts": 20,
    "policy_kwargs": {"net_arch": [8]},
    "seed": 0,
}
# the same for environments that are seen
IMAGES: dict[str, Any] = {"buffer_size": 500, "learning_starts": 20, "seed": 0, "device": "cpu"}


class OneStep(gym.Env):
    """Reward 1 and the episode is over: by a crash, or by a time limit."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, truncates: bool) -> None:
        self.truncates = truncates

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        return np.ones(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), 1.0, not self.truncates, self.truncates, {}


class Catch(gym.Env):
    """A ball falls through 6 rows of a 36x36 picture; the paddle below catches it (1) or does not (-1)."""

    observation_space = spaces.Box(0, 255, (1, 36, 36), np.uint8)
    action_space = spaces.Discrete(3)

    def _picture(self) -> np.ndarray:
        grid = np.zeros((6, 6), np.uint8)
        grid[self.row, self.ball] = 255
        grid[5, self.paddle] = 255
        return np.kron(grid, np.ones((6, 6), np.uint8))[None]

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        self.row, self.ball, self.paddle = 0, *self.np_random.integers(6, size=2)
        return self._picture(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.paddle = int(np.clip(self.paddle + action - 1, 0, 5))
        self.row += 1
        landed = self.row == 5
        reward = (1.0 if self.paddle == self.ball else -1.0) if landed else 0.0
        return self._picture(), reward, landed, False, {}


def flat(model: CarDQN | DQN) -> np.ndarray:
    return th.nn.utils.parameters_to_vector(model.policy.parameters()).detach().cpu().numpy()


# ---- it learns ----


def best_mean_reward(model: CarDQN, steps: int, enough: float, env: gym.Env, episodes: int) -> float:
    """Of the evaluations every 1,000 agent steps; training ends with the first that is enough."""
    stop = StopTrainingOnRewardThreshold(enough)
    evaluation = EvalCallback(
        Monitor(env), stop, n_eval_episodes=episodes, eval_freq=1000 // model.n_envs, verbose=0
    )
    model.learn(steps, evaluation)
    return evaluation.best_mean_reward


@pytest.mark.slow
def test_learns_cartpole() -> None:
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", learning_rate=2e-3, buffer_size=50_000, learning_starts=1000, batch_size=128,
        gamma=0.98, train_freq=64, gradient_steps=32, target_update_interval=64, exploration_steps=4000, n_steps=3,
        double_q=True, seed=1,
    )  # fmt: skip
    assert best_mean_reward(model, 40_000, 475, gym.make("CartPole-v1"), 10) >= 475


SmallHistogram = partial(HistogramHead, low=-2, high=2, n_bins=8)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("head_class", [nn.Linear, DuelingHead, QuantileHead, SmallHistogram])
def test_learns_to_catch_from_pictures(head_class: Head, device: str) -> None:
    kwargs = {
        "features_extractor_class": CarRacingCNN,
        "features_extractor_kwargs": {"features_dim": 64, "width": 8},
        "head_class": head_class,
    }
    env = make_vec_env(Catch, 4, seed=0)
    model = CarDQN(
        "CnnPolicy", env, learning_rate=1e-3, buffer_size=5000, learning_starts=500, train_freq=1, gamma=0.9,
        target_update_interval=200, exploration_steps=2500, policy_kwargs=kwargs, seed=0,
        device=device,
    )  # fmt: skip
    untrained, _ = evaluate_policy(model, env, 100)
    assert float(untrained) < 0
    # most seeds need 4,000 to 6,000 agent steps; which one is slow depends on the processor's arithmetic
    assert best_mean_reward(model, 20_000, 0.9, Catch(), 100) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize(("truncates", "value"), [(True, 10.0), (False, 1.0)])
def test_a_time_limit_bootstraps_and_a_crash_does_not(
    truncates: bool, value: float, n_steps: int, device: str
) -> None:
    # reward 1 a step, gamma 0.9: worth 1 / (1 - 0.9) = 10 if only the clock ended the episode
    model = CarDQN(
        "MlpPolicy", OneStep(truncates), learning_rate=5e-3, gamma=0.9, train_freq=1, target_update_interval=20,
        n_steps=n_steps, device=device, **SMALL,
    )  # fmt: skip
    model.learn(1500)
    q_values = model.q_net(th.ones(1, 1, device=device))
    assert q_values.detach().cpu().numpy() == pytest.approx(np.full((1, 2), value), rel=0.05)


# ---- it is SB3's DQN to its users ----


def test_constructor_begins_as_dqns() -> None:
    theirs = list(inspect.signature(DQN).parameters.values())[:-1]  # without _init_setup_model
    ours = list(inspect.signature(CarDQN).parameters.values())[: len(theirs)]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_learn_takes_what_dqns_takes() -> None:
    theirs, ours = (inspect.signature(cls.learn).parameters for cls in (DQN, CarDQN))
    assert [(n, p.default) for n, p in theirs.items() if n != "tb_log_name"] == [
        (n, p.default) for n, p in ours.items() if n != "tb_log_name"
    ]


def updated_alike(ours: Any, theirs: Any) -> None:
    """Give two models the same transitions to replay, and compare them after 20 updates."""
    before = flat(ours)
    rng = np.random.default_rng(0)
    for _ in range(100):
        transition = (
            rng.normal(size=(1, 4)),
            rng.normal(size=(1, 4)),
            rng.integers(2, size=1),
            rng.normal(size=1),
        )
        done = rng.random(1) < 0.2
        infos = [{"TimeLimit.truncated": bool(rng.random() < 0.5)}]
        for model in (ours, theirs):
            model.replay_buffer.add(*transition, done, infos)
    for model in (ours, theirs):
        model.set_logger(configure(None, []))
        np.random.seed(1)
        model.train(gradient_steps=20, batch_size=32)
    assert np.allclose(flat(ours), flat(theirs), atol=1e-6)
    assert ours._n_updates == theirs._n_updates == 20
    assert not np.allclose(flat(ours), before, atol=1e-3)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_updates_as_sb3s_dqn_does(n_steps: int) -> None:
    ours, theirs = (cls("MlpPolicy", "CartPole-v1", n_steps=n_steps, **SMALL) for cls in (CarDQN, DQN))
    ours.set_parameters(theirs.get_parameters())  # the parameters have the same names
    updated_alike(ours, theirs)


@pytest.mark.parametrize("env", ["CartPole-v1", "LunarLander-v3"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"learning_starts": 0, "n_steps": 3},
        {"train_freq": (1, "episode"), "exploration_fraction": 0.9},
        {"tau": 0.1, "target_update_interval": 7, "gradient_steps": -1},
    ],
)
def test_learns_the_same_weights_as_sb3s_dqn_bit_by_bit(env: str, kwargs: dict[str, Any]) -> None:
    same = {"learning_rate": 1e-3, "learning_starts": 50, "buffer_size": 500, "train_freq": 8,
            "gradient_steps": 4, "target_update_interval": 20, "exploration_fraction": 0.5, "seed": 3,
            "policy_kwargs": {"net_arch": [32]}, "device": "cpu"}  # fmt: skip
    # the second learn() counts anew, and less than an interval at a time
    ours, theirs = (
        cls("MlpPolicy", env, **same | kwargs).learn(700).learn(15).learn(15).learn(70)
        for cls in (CarDQN, DQN)
    )
    assert np.array_equal(flat(ours), flat(theirs))
    assert np.array_equal(ours.replay_buffer.observations, theirs.replay_buffer.observations)
    assert ours.exploration_rate == theirs.exploration_rate


def test_updates_as_sb3_contribs_qrdqn_does_with_a_quantile_head() -> None:
    small = {name: value for name, value in SMALL.items() if name != "policy_kwargs"}
    small |= {"learning_rate": 1e-3}
    kwargs = {"net_arch": [16], "optimizer_kwargs": {"eps": 0.01 / 32}}  # QRDQN's own
    ours_too = kwargs | {"head_class": partial(QuantileHead, n_quantiles=5)}
    ours = CarDQN("MlpPolicy", "CartPole-v1", policy_kwargs=ours_too, max_grad_norm=1e9, **small)
    theirs = QRDQN("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs | {"n_quantiles": 5}, **small)
    for mine, other in (
        (ours.q_net, theirs.quantile_net),
        (ours.q_net_target, theirs.quantile_net_target),
    ):
        for parameter, source in zip(mine.parameters(), other.parameters(), strict=True):
            parameter.data.copy_(source)
    obs = th.randn(3, 4)
    head: Any = ours.q_net.q_net[-1]
    assert th.equal(ours.q_net.through_head(obs, head.quantiles), theirs.quantile_net(obs))
    assert th.equal(ours.q_net(obs), theirs.quantile_net(obs).mean(dim=1))
    updated_alike(ours, theirs)


def test_public_attributes_of_dqn_are_there() -> None:
    models = [cls("MlpPolicy", "CartPole-v1", **SMALL).learn(50) for cls in (DQN, CarDQN)]
    public = [{name for name in vars(model) if not name.startswith("_")} for model in models]
    assert public[0] <= public[1]
    for name in ("q_net", "q_net_target", "exploration_rate", "exploration_schedule"):
        assert hasattr(models[1], name)
    assert models[1].q_net is models[1].policy.q_net
    assert models[1].q_net_target is models[1].policy.q_net_target


def test_a_file_that_dqn_saved_loads(tmp_path: Path) -> None:
    theirs = DQN("MlpPolicy", "CartPole-v1", **SMALL).learn(60)
    theirs.save(tmp_path / "dqn")
    ours = CarDQN.load(tmp_path / "dqn")
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(
        ours.predict(obs, deterministic=True)[0], theirs.predict(obs, deterministic=True)[0]
    )


def test_same_seed_same_weights() -> None:
    def trained(seed: int) -> np.ndarray:
        env = make_vec_env("CartPole-v1", 3, seed=seed)
        return flat(CarDQN("MlpPolicy", env, **SMALL | {"seed": seed}).learn(300))

    assert np.array_equal(trained(0), trained(0))
    assert not np.array_equal(trained(0), trained(1))


@pytest.mark.parametrize(("saved_on", "loaded_on"), PAIRS)
def test_save_and_load(saved_on: str, loaded_on: str, tmp_path: Path) -> None:
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", double_q=True, exploration_decay="cosine", exploration_steps=40, n_steps=2,
        policy_kwargs={"head_class": DuelingHead, "net_arch": [8]}, buffer_size=100, learning_starts=10,
        train_freq=(2, "step"), seed=0, device=saved_on,
    ).learn(80)  # fmt: skip
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = CarDQN.load(tmp_path / "model", env=gym.make("CartPole-v1"), device=loaded_on)
    assert {parameter.device.type for parameter in loaded.policy.parameters()} == {loaded_on}
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(
        loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0]
    )
    assert np.array_equal(flat(loaded), flat(model))
    for name in inspect.signature(CarDQN).parameters:
        if name not in ("policy", "env", "_init_setup_model", "device", "stats_window_size"):
            assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.exploration_rate == model.exploration_rate
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert loaded.replay_buffer is not None
    assert loaded.replay_buffer.size() == 80
    loaded.learn(40, reset_num_timesteps=False)
    assert loaded.num_timesteps == 120
    assert not np.array_equal(flat(loaded), flat(model))

    changed = CarDQN.load(tmp_path / "model", exploration_final_eps=0.3, exploration_decay="constant")
    assert changed.exploration_schedule(0.0) == 0.3


def test_head_kwargs(tmp_path: Path) -> None:
    kwargs = {"head_class": HistogramHead, "head_kwargs": {"low": -2.0, "high": 2.0, "n_bins": 8}}
    model = CarDQN("MlpPolicy", "CartPole-v1", seed=0, policy_kwargs=kwargs)
    same = CarDQN("MlpPolicy", "CartPole-v1", seed=0, policy_kwargs={"head_class": SmallHistogram})
    assert np.array_equal(flat(model), flat(same))
    model.save(tmp_path / "model")
    head = CarDQN.load(tmp_path / "model").policy.q_net.q_net[-1]
    assert (head.low, head.high, head.n_bins) == (-2, 2, 8)


@pytest.mark.parametrize(
    "head", [{"head_class": DuelingHead}, {"head_class": HistogramHead, "head_kwargs": {"n_bins": 8}}]
)
def test_policy_saves_and_loads_alone(head: dict[str, Any], tmp_path: Path) -> None:
    env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=True, channel_first=True)
    kwargs = {"features_extractor_class": CarRacingCNN, **head}
    model = CarDQN("CnnPolicy", env, buffer_size=50, policy_kwargs=kwargs)
    model.policy.save(tmp_path / "policy.zip")
    loaded = type(model.policy).load(tmp_path / "policy.zip")
    obs = np.stack([env.observation_space.sample() for _ in range(20)])
    assert np.array_equal(loaded.predict(obs)[0], model.policy.predict(obs)[0])


def test_the_average_takes_a_counter_as_it_is() -> None:
    class Counts(nn.Identity):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("batches", th.tensor(0))

    model = CarDQN(
        "MlpPolicy", "CartPole-v1", **SMALL | {"policy_kwargs": {"activation_fn": Counts, "average_fraction": 0.5}}
    )  # fmt: skip
    assert model.policy.q_net_average is not None
    for batches in (1, 4, 8):
        for buffer in model.q_net.buffers():
            buffer.fill_(batches)
        model.policy.q_net_average.update_parameters(model.q_net)
        assert [int(buffer) for buffer in model.policy.q_net_average.module.buffers()] == [batches] * 2


@pytest.mark.parametrize("device", DEVICES)
def test_the_average_drives_and_the_newest_learns_and_explores(device: str, tmp_path: Path) -> None:
    policy_kwargs = {"net_arch": [], "average_fraction": 0.5}
    model = CarDQN("MlpPolicy", "CartPole-v1", device=device, **SMALL | {"policy_kwargs": policy_kwargs})
    average, bias = model.policy.q_net_average, model.q_net.q_net[-1].bias
    for value in (1.0, 4.0, 6.0):  # the first is copied, then 1 / 1.5 and 1 / 2 of the way: 3, 4.5
        with th.no_grad():
            bias.copy_(th.tensor([value, 5.0]))
        average.update_parameters(model.q_net)
        model.q_net.q_net[-1].weight.data.zero_()
    assert average.module.q_net[-1].bias.tolist() == pytest.approx([4.5, 5.0])
    average.module.q_net[-1].weight.data.zero_()
    model.exploration_rate = 0.0
    obs = np.zeros((5, 4), np.float32)
    assert model.predict(obs, deterministic=True)[0].tolist() == [1] * 5
    assert model.predict(obs)[0].tolist() == [0] * 5

    model.learn(60)
    assert int(average.n_averaged) == 3 + model._n_updates
    model.save(tmp_path / "agent.zip")
    loaded = CarDQN.load(tmp_path / "agent.zip", device=device)
    for name, weight in average.state_dict().items():
        assert th.equal(loaded.policy.q_net_average.state_dict()[name], weight), name


class Recorder(BaseCallback):
    """Remembers epsilon and whether the target network equals the online one, after each agent step."""

    def __init__(self) -> None:
        super().__init__()
        self.epsilon: dict[int, float] = {}
        self.synced: list[int] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.epsilon[self.num_timesteps] = self.model.exploration_rate
        online, target = (net.state_dict() for net in (self.model.q_net, self.model.q_net_target))
        if all(th.equal(online[key], target[key]) for key in online):
            self.synced.append(self.num_timesteps)


# ---- exploration ----


def test_exploration_in_agent_steps_starts_when_learning_starts() -> None:
    recorder = Recorder()
    CarDQN("MlpPolicy", "CartPole-v1", exploration_steps=100, exploration_final_eps=0.0, train_freq=1,
           **SMALL | {"learning_starts": 50}).learn(200, recorder)  # fmt: skip
    assert [recorder.epsilon[step] for step in (10, 50, 75, 150, 200)] == pytest.approx(
        [1.0, 1.0, 0.75, 0.0, 0.0]
    )


def test_exploration_as_a_fraction_of_the_budget() -> None:
    recorder = Recorder()
    CarDQN("MlpPolicy", "CartPole-v1", exploration_fraction=0.5, exploration_final_eps=0.1, train_freq=1,
           **SMALL | {"learning_starts": 100}).learn(200, recorder)  # fmt: skip
    assert [recorder.epsilon[step] for step in (50, 100, 150, 200)] == pytest.approx([0.55, 0.1, 0.1, 0.1])


def test_exploration_by_any_function_is_logged() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", exploration_decay=lambda remaining: remaining**2, **SMALL)
    model.set_logger(configure(None, []))
    model.learn(120, log_interval=10_000)
    assert model.exploration_rate == pytest.approx(0.0)
    assert model.logger.name_to_value["rollout/exploration_rate"] == pytest.approx(0.0)
    assert model.exploration_schedule(0.5) == 0.25


def test_predict_draws_once_for_each_observation_and_never_when_deterministic() -> None:
    model = CarDQN("MlpPolicy", gym.make("LunarLander-v3"), **SMALL)
    obs = np.zeros((4000, 8), np.float32)
    greedy, _ = model.predict(obs, deterministic=True)
    assert len(set(greedy)) == 1
    model.exploration_rate = 0.5
    explored, _ = model.predict(obs)
    # 4 actions: half explore, three quarters of those differ from the greedy one; 0.375 ± 5 standard deviations
    assert np.mean(explored != greedy) == pytest.approx(0.375, abs=0.04)
    assert np.array_equal(model.predict(obs, deterministic=True)[0], greedy)
    single, _ = model.predict(obs[0])
    assert single.shape == ()
    model.exploration_rate = 0.0
    assert np.array_equal(model.predict(obs)[0], greedy)


# ---- the target network ----


@pytest.mark.parametrize(("n_envs", "synced"), [(1, [10, 20, 30, 40]), (3, [12, 21, 30, 42])])
def test_target_is_copied_when_agent_steps_pass_the_interval(n_envs: int, synced: list[int]) -> None:
    recorder = Recorder()
    env = make_vec_env("CartPole-v1", n_envs, seed=0)
    CarDQN("MlpPolicy", env, target_update_interval=10, train_freq=1, **SMALL | {"learning_starts": 0}).learn(
        42, recorder
    )
    assert [step for step in recorder.synced if step > n_envs] == synced


def test_polyak_moves_the_target_a_little_and_copies_batch_normalisation() -> None:
    class NormalisedHead(nn.Sequential):
        def __init__(self, features: int, actions: int) -> None:
            super().__init__(nn.BatchNorm1d(features), nn.Linear(features, actions))

    kwargs = {"net_arch": [8], "head_class": NormalisedHead}
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", tau=0.25, target_update_interval=1, **SMALL | {"policy_kwargs": kwargs}
    )
    with th.no_grad():
        for p in model.q_net.parameters():
            p.fill_(1.0)
        for p in model.q_net_target.parameters():
            p.fill_(0.0)
    model.q_net.q_net[-1][0].running_mean.fill_(7.0)
    model.set_logger(configure(None, []))
    model._total_timesteps = 10
    model._on_step()
    assert all(th.all(p == 0.25) for p in model.q_net_target.parameters())
    assert th.all(model.q_net_target.q_net[-1][0].running_mean == 7.0)


def test_dueling_head_by_hand() -> None:
    head = DuelingHead(1, 3)
    with th.no_grad():
        head.value.weight.fill_(0.0)
        head.value.bias.fill_(5.0)
        head.advantage.weight.fill_(0.0)
        head.advantage.bias.copy_(th.tensor([1.0, 2.0, 6.0]))
    assert head(th.ones(1, 1)).tolist() == [[3.0, 4.0, 8.0]]  # 5 + a - 3


# ---- pictures ----


def test_the_gradient_of_pictures_is_the_plain_formulas() -> None:
    kwargs = {"features_extractor_class": CarRacingCNN, "head_class": SmallHistogram}
    network = CarDQN("CnnPolicy", Catch(), policy_kwargs=kwargs, **IMAGES).q_net
    layers = network.features_extractor
    network(pictures(64)).square().sum().backward()
    gradients = [weight.grad for weight in network.parameters()]
    network.zero_grad()
    head = network.q_net[-1]
    histogram = head.logits(layers.linear(layers.cnn(pictures(64) / 255))).softmax(dim=2)
    (histogram @ head.centers).square().sum().backward()
    for gradient, weight in zip(gradients, network.parameters(), strict=True):
        assert weight.grad.abs().max() > 0
        assert th.allclose(gradient, weight.grad, rtol=1e-3, atol=1e-4 * float(weight.grad.abs().max()))


@pytest.mark.parametrize("channels", [1, 2, 4, 130])
def test_learning_sees_every_channel_where_it_is(channels: int) -> None:
    space = spaces.Box(0, 255, (channels, 36, 40), np.uint8)
    policy = CnnPolicy(space, spaces.Discrete(2), lambda _: 0.0, features_extractor_class=CarRacingCNN)
    rng = np.random.default_rng(0)
    batch = th.as_tensor(rng.integers(0, 256, (3, *space.shape), dtype=np.uint8))
    with th.no_grad():
        acting = policy.q_net(batch)
    assert th.allclose(policy.q_net(batch), acting, atol=1e-5)


def test_pictures_are_seen_as_sb3_shows_them() -> None:
    policy = CarDQN("CnnPolicy", Catch(), **IMAGES).policy
    batch = pictures(6).numpy()
    for given in (batch, batch[0], batch[::2], np.moveaxis(batch, 1, -1), np.moveaxis(batch[0], 0, -1)):
        ours, theirs = policy.obs_to_tensor(given), BasePolicy.obs_to_tensor(policy, given)
        assert th.equal(ours[0], theirs[0])
        assert ours[1] is theirs[1]
    with pytest.raises(ValueError, match="shape"):
        policy.obs_to_tensor(batch[:, :, :7])


# ---- mixed precision ----


def pictures(n: int) -> th.Tensor:
    return th.randint(0, 256, (n, 1, 36, 36), dtype=th.uint8, generator=th.Generator().manual_seed(0))


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_is_close_and_its_q_values_are_float32(device: str) -> None:
    kwargs = {"policy_kwargs": {"features_extractor_class": CarRacingCNN}, "device": device}
    model = CarDQN("CnnPolicy", Catch(), **IMAGES | kwargs)
    seen = pictures(64).to(device)
    with th.no_grad():
        model.q_net.q_net[-1].bias.fill_(100.0)  # where bfloat16 has steps of 0.5
        exact = model.q_net(seen)
        with th.autocast(device, th.bfloat16):
            mixed = model.q_net(seen)
    assert mixed.dtype == th.float32
    assert not th.equal(mixed, exact)
    assert (mixed - exact).abs().max() < 0.01
    assert th.equal(model.q_net(seen), exact)  # and without autocast nothing has changed


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("head", [nn.Linear, DuelingHead, QuantileHead, HistogramHead])
def test_mixed_precision_computes_targets_and_errors_in_float32(head: Head, device: str) -> None:
    kwargs = {"features_extractor_class": CarRacingCNN, "head_class": head}
    model = CarDQN("CnnPolicy", Catch(), **IMAGES | {"policy_kwargs": kwargs, "device": device})
    seen = pictures(64).to(device)
    zeros = th.zeros(64, 1, device=device)
    batch = SimpleNamespace(observations=seen, next_observations=seen, actions=zeros, rewards=zeros)
    with th.no_grad():
        for weight in model.policy.parameters():
            weight.mul_(1.5)
        with th.autocast(device, th.bfloat16):
            q_values = model.q_net(seen)
            td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, zeros[:, 0], False, 0.7)
    assert th.allclose(td.q_value, q_values[:, 0], rtol=1e-5, atol=1e-5)
    expected = -0.7 * (q_values.max(dim=1).values - q_values[:, 0]) - q_values[:, 0]
    assert th.allclose(td.error, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("normalize_images", [True, False])
def test_mixed_precision_treats_pixels_as_float32_does(
    normalize_images: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mean(FlattenExtractor):
        def forward(self, observations: th.Tensor) -> th.Tensor:
            return super().forward(observations)[:, :3]

    kwargs = {"features_extractor_class": Mean, "normalize_images": normalize_images, "net_arch": []}
    model = CarDQN("MlpPolicy", Catch(), **IMAGES | {"policy_kwargs": kwargs, "device": device})
    monkeypatch.setattr(model.q_net, "q_net", nn.Sequential(nn.Identity()))  # the features themselves
    with th.autocast(device, th.bfloat16):
        features = model.q_net(pictures(64).to(device)).cpu()
    expected = pictures(64).flatten(1)[:, :3] / (255 if normalize_images else 1)
    assert th.allclose(features, expected, rtol=2**-8, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_learns_only_where_it_was_asked_for_and_the_device_has_it(
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trained(asked: bool, has: bool) -> tuple[np.ndarray, list[bool]]:
        monkeypatch.setattr("sb3_cardqn.cardqn.cardqn.has_bfloat16", lambda device: has)
        seen = []

        class Spy(CarRacingCNN):
            def forward(self, observations: th.Tensor) -> th.Tensor:
                seen.append(th.is_autocast_enabled(device))
                return super().forward(observations)

        kwargs = {"policy_kwargs": {"features_extractor_class": Spy}, "device": device}
        model = CarDQN("CnnPolicy", Catch(), mixed_precision=asked, **IMAGES | kwargs)
        model.learn(60)
        return flat(model), seen

    exact, seen = trained(asked=False, has=True)
    assert not any(seen)
    same, seen = trained(asked=True, has=False)
    assert not any(seen)
    assert np.array_equal(exact, same)
    mixed, seen = trained(asked=True, has=True)
    assert any(seen)
    assert not all(seen)  # it acts in float32
    assert mixed.dtype == np.float32
    assert not np.array_equal(exact, mixed)
    assert np.allclose(exact, mixed, atol=2e-3)


# ---- overlap ----


def driven(overlap: bool | None, vec_env_cls: Any = DummyVecEnv, **kwargs: Any) -> CarDQN:
    env = make_vec_env("CartPole-v1", 3, seed=0, vec_env_cls=vec_env_cls)
    model = CarDQN("MlpPolicy", env, overlap=overlap, **SMALL | {"train_freq": 1} | kwargs).learn(300)
    env.close()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_overlap_is_deterministic_wherever_the_environments_step(device: str) -> None:
    here = driven(True, device=device)
    two = partial(GroupedSubprocVecEnv, n_processes=2)
    for vec_env_cls in (DummyVecEnv, SubprocVecEnv, GroupedSubprocVecEnv, two):
        model = driven(True, vec_env_cls, device=device)
        assert np.array_equal(flat(model), flat(here))
        assert np.array_equal(model.replay_buffer.observations, here.replay_buffer.observations)


@pytest.mark.slow
def test_overlap_is_for_environments_in_processes_of_their_own_unless_asked_for() -> None:
    without, with_ = flat(driven(False)), flat(driven(True))
    assert not np.array_equal(without, with_)
    assert np.array_equal(flat(driven(None)), without)
    assert np.array_equal(flat(driven(False, GroupedSubprocVecEnv)), without)
    assert np.array_equal(flat(driven(None, GroupedSubprocVecEnv)), with_)


def test_overlap_makes_every_update_one_step_late() -> None:
    updates: dict[bool, list[int]] = {}
    for overlap in (False, True):

        class Watcher(BaseCallback):
            seen: ClassVar[list[int]] = []

            def _on_step(self) -> bool:
                self.seen.append(self.model._n_updates)
                return True

        env = make_vec_env("CartPole-v1", 2, seed=0)
        model = CarDQN("MlpPolicy", env, overlap=overlap, gradient_steps=3, **SMALL | {"train_freq": 1})
        model.learn(40, Watcher())
        updates[overlap] = [*Watcher.seen, model._n_updates]
    # when the callback runs, the step's own update is still to come; with overlap the one before it is done
    assert updates[False] == updates[True] == [0] * 11 + [3 * i for i in range(1, 11)]


def test_overlap_ends_with_learn() -> None:
    model = driven(True)
    updates = model._n_updates
    model.train(gradient_steps=2, batch_size=8)
    assert model._n_updates == updates + 2


def test_an_error_while_overlapping_is_raised_and_learning_can_go_on() -> None:
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            raise RuntimeError("enough")

    model = CarDQN("MlpPolicy", "CartPole-v1", overlap=True, **SMALL)
    with pytest.raises(RuntimeError, match="enough"):
        model.learn(100, Stop())
    assert model.learn(100).num_timesteps == 100


# ---- it fits everywhere SB3's does ----


@pytest.mark.slow
@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, SubprocVecEnv])
def test_many_environments(vec_env_cls: type[DummyVecEnv] | type[SubprocVecEnv]) -> None:
    env = make_vec_env("CartPole-v1", 2, vec_env_cls=vec_env_cls)
    model = CarDQN("MlpPolicy", env, train_freq=2, gradient_steps=-1, **SMALL).learn(100)
    env.close()
    assert model._n_updates == 80  # 4 agent steps a rollout, as many updates, from step 24 on


def test_train_freq_in_episodes() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", train_freq=(1, "episode"), gradient_steps=3, **SMALL).learn(
        200
    )
    assert model._n_updates % 3 == 0
    assert 3 <= model._n_updates < 3 * model._episode_num + 1


def test_dict_observations() -> None:
    env = SimpleMultiObsEnv(random_start=False)
    model = CarDQN("MultiInputPolicy", env, **SMALL).learn(60)
    action, _ = model.predict(env.reset()[0], deterministic=True)
    assert env.action_space.contains(int(action))


def test_vec_normalize() -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 1))
    model = CarDQN("MlpPolicy", env, **SMALL).learn(100)
    assert model._vec_normalize_env is env
    batch = model.replay_buffer.sample(10, env=env)
    assert not th.all(batch.rewards == 1.0)


def test_callbacks_loggers_schedules_and_progress_bar(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluation = EvalCallback(
        Monitor(gym.make("CartPole-v1")), eval_freq=100, best_model_save_path=str(tmp_path)
    )
    checkpoint = CheckpointCallback(100, str(tmp_path), "cardqn", save_replay_buffer=True)
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", learning_rate=lambda remaining: 1e-3 * remaining, tensorboard_log=str(tmp_path),
        **SMALL,
    )  # fmt: skip
    model.learn(200, [evaluation, checkpoint], log_interval=1, progress_bar=True)
    for name in ("best_model.zip", "cardqn_100_steps.zip", "cardqn_replay_buffer_200_steps.pkl"):
        assert (tmp_path / name).is_file()
    events = EventAccumulator(str(tmp_path / "CarDQN_1"))
    events.Reload()
    logged = {
        "train/loss",
        "train/td_error",
        "train/q_value",
        "train/learning_rate",
        "rollout/exploration_rate",
    }
    assert logged <= set(events.Tags()["scalars"])
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 5e-4


def test_logged_means_by_hand() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", gamma=0.5, **SMALL)
    model.set_logger(configure(None, []))
    with th.no_grad():
        for p in [*model.q_net.parameters(), *model.q_net_target.parameters()]:
            p.zero_()
        model.q_net.q_net[-1].bias.copy_(th.tensor([2.0, 3.0]))
        model.q_net_target.q_net[-1].bias.copy_(th.tensor([4.0, 8.0]))
    zeros = np.zeros((1, 4))
    assert model.replay_buffer is not None
    model.replay_buffer.add(zeros, zeros, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    model.train(gradient_steps=1, batch_size=4)
    # target 1 + 0.5 · 8 = 5, error 5 - 3 = 2, Huber 2 - 0.5
    logged = model.logger.name_to_value
    assert [logged[f"train/{name}"] for name in ("td_error", "loss", "q_value")] == [2.0, 1.5, 3.0]


def test_double_q_of_quantiles_uses_the_online_choice() -> None:
    head = partial(QuantileHead, n_quantiles=2)
    targets = []
    for double_q in (False, True):
        model = CarDQN(
            "MlpPolicy",
            "CartPole-v1",
            double_q=double_q,
            **SMALL | {"policy_kwargs": {"net_arch": [], "head_class": head}},
        )
        for net, bias in ((model.q_net, [0.0, 9.0, 0.0, 9.0]), (model.q_net_target, [6.0, 3.0, 8.0, 5.0])):
            for parameter in net.parameters():
                parameter.data.zero_()
            net.q_net[-1].bias.data.copy_(th.tensor(bias))  # (quantile, action)
        obs = th.zeros(1, 4)
        batch = SimpleNamespace(
            observations=obs, next_observations=obs, actions=th.zeros(1, 1), rewards=th.ones(1, 1)
        )
        for alpha in (0.0, 0.5):
            td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, th.tensor([0.5]), double_q, alpha)
            targets.append((td.error + td.q_value).item())
    # 1 + 0.5 * mean(6, 8) with the target's own choice; 1 + 0.5 * mean(3, 5) with the online network's;
    # advantage learning takes 0.5 * (9 - 0) off, what the online network thinks the action lacks
    assert targets == [4.5, 0.0, 3.0, -1.5]


@pytest.mark.parametrize(("double_q", "alpha"), [(False, 0.0), (True, 0.0), (False, 0.5)])
def test_histograms_are_moved_to_the_target_of_their_means(double_q: bool, alpha: float) -> None:
    head = partial(HistogramHead, low=-10, high=10, n_bins=40)
    kwargs = {"policy_kwargs": {"net_arch": [], "head_class": head}}
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL | kwargs)
    for seed, net in enumerate((model.q_net, model.q_net_target)):
        net.q_net[-1].weight.data.normal_(generator=th.Generator().manual_seed(seed))
    generator = th.Generator().manual_seed(2)
    batch = SimpleNamespace(
        observations=th.randn(64, 4, generator=generator),
        next_observations=th.randn(64, 4, generator=generator),
        actions=th.randint(2, (64, 1), generator=generator),
        rewards=th.randn(64, 1, generator=generator),
    )
    td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, th.full((64,), 0.5), double_q, alpha)
    with th.no_grad():
        q_t_online, q_t = model.q_net(batch.next_observations), model.q_net_target(batch.next_observations)
        q_tm1 = model.q_net(batch.observations)
    assert (q_t_online.argmax(dim=1) != q_t.argmax(dim=1)).any()
    for i, action in enumerate(batch.actions.flatten().tolist()):
        best = (q_t_online if double_q else q_t)[i].argmax()
        target = batch.rewards[i, 0] + 0.5 * q_t[i, best] - alpha * (q_tm1[i].max() - q_tm1[i, action])
        assert float(td.q_value[i]) == pytest.approx(float(q_tm1[i, action]), abs=1e-5)
        assert float(td.error[i]) == pytest.approx(float(target - q_tm1[i, action]), abs=1e-5)


def test_a_histogram_is_a_gaussian_of_three_quarters_of_a_bin() -> None:
    head = partial(HistogramHead, low=-10, high=10, n_bins=10)  # bins of 2
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", **SMALL | {"policy_kwargs": {"net_arch": [], "head_class": head}}
    )
    batch = SimpleNamespace(
        observations=th.zeros(1, 4), next_observations=th.zeros(1, 4), actions=th.tensor([[1]]),
        rewards=th.tensor([[3.3]]),
    )  # fmt: skip
    td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, th.zeros(1), False, 0.0)
    cdf = norm.cdf(np.linspace(-10, 10, 11), loc=3.3, scale=1.5)
    target = np.diff(cdf) / (cdf[-1] - cdf[0])
    logits = model.q_net.q_net[-1].bias.detach().double().numpy()[10:]
    assert float(td.loss[0].detach()) == pytest.approx(-(target * log_softmax(logits)).sum(), abs=1e-5)


def test_importance_weights_scale_the_losses() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL | {"learning_rate": 0.0})
    model.set_logger(configure(None, []))
    row = th.ones(2, 4)
    losses = []
    for weight in (1.0, 0.5):
        batch = PrioritizedReplayBufferSamples(
            row, th.zeros(2, 1), row, th.zeros(2, 1), th.full((2, 1), 5.0), None,
            weights=th.tensor([[1.0], [weight]]), indices=np.arange(2),
        )  # fmt: skip
        model.replay_buffer = SimpleNamespace(  # type: ignore[assignment]
            sample=lambda *_, batch=batch, **__: batch, update_priorities=lambda *_: None
        )
        model.train(1, 2)
        losses.append(model.logger.name_to_value["train/loss"])
    assert losses[1] == pytest.approx(0.75 * losses[0])
    assert losses[0] > 1


def test_a_histogram_head_begins_near_zero() -> None:
    q_values = HistogramHead(256, 12)(th.rand(50, 256, generator=th.Generator().manual_seed(0)))
    assert q_values.shape == (50, 12)
    assert q_values.abs().max() < 3


def test_double_q_uses_the_online_choice() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", gamma=0.5, double_q=True, **SMALL)
    model.set_logger(configure(None, []))
    with th.no_grad():
        for p in [*model.q_net.parameters(), *model.q_net_target.parameters()]:
            p.zero_()
        model.q_net.q_net[-1].bias.copy_(th.tensor([3.0, 2.0]))
        model.q_net_target.q_net[-1].bias.copy_(th.tensor([4.0, 8.0]))
    zeros = np.zeros((1, 4))
    assert model.replay_buffer is not None
    model.replay_buffer.add(zeros, zeros, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    model.train(gradient_steps=1, batch_size=4)
    # online prefers action 0, the target net values it at 4: 1 + 0.5 · 4 = 3, error 3 - 2 = 1
    assert model.logger.name_to_value["train/td_error"] == 1.0


def test_advantage_learning_moves_the_target_of_the_action_taken() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", gamma=0.5, advantage_learning=0.75, **SMALL)
    model.set_logger(configure(None, []))
    with th.no_grad():
        for p in [*model.q_net.parameters(), *model.q_net_target.parameters()]:
            p.zero_()
        model.q_net.q_net[-1].bias.copy_(th.tensor([6.0, 2.0]))
    zeros = np.zeros((1, 4))
    assert model.replay_buffer is not None
    model.replay_buffer.add(zeros, zeros, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    model.train(gradient_steps=1, batch_size=4)
    # the action taken lacks 6 - 2 = 4: target 1 + 0.5 · 0 - 0.75 · 4 = -2, error -2 - 2 = -4
    assert model.logger.name_to_value["train/td_error"] == 4.0


# ---- wrong use ----


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"gamma": 1.5}, "CarDQN | gamma | 1.5"),
        ({"gamma": float("nan")}, "CarDQN | gamma | nan"),
        ({"tau": -0.1}, "CarDQN | tau | -0.1"),
        ({"batch_size": 0}, "CarDQN | batch_size | 0"),
        ({"buffer_size": 0}, "CarDQN | buffer_size | 0"),
        ({"learning_starts": -1}, "CarDQN | learning_starts | -1"),
        ({"train_freq": 0}, "CarDQN | train_freq | 0"),
        ({"train_freq": (0, "step")}, "CarDQN | train_freq | 0"),
        ({"train_freq": (1, "lap")}, "'step' | 'episode' | 'lap'"),
        ({"gradient_steps": -2}, "CarDQN | gradient_steps | -1 | -2"),
        ({"n_steps": 0}, "CarDQN | n_steps | 0"),
        ({"target_update_interval": 0}, "CarDQN | target_update_interval | 0"),
        ({"exploration_initial_eps": -0.5}, "CarDQN | exploration_initial_eps | -0.5"),
        ({"exploration_final_eps": 2}, "CarDQN | exploration_final_eps | 2"),
        ({"exploration_fraction": -0.1}, "CarDQN | exploration_fraction | -0.1"),
        ({"learning_starts": 100.5}, "CarDQN | learning_starts | 100.5"),
        ({"exploration_steps": 0}, "CarDQN | exploration_steps | 0"),
        ({"exploration_decay": "lineal"}, "exploration_decay | 'constant' | 'linear' | 'lineal'"),
        ({"exploration_decay": "exponential", "exploration_final_eps": 0}, "ExponentialSchedule | end | 0"),
        ({"max_grad_norm": 0}, "CarDQN | max_grad_norm | 0"),
        ({"gamma": "high"}, "CarDQN | gamma | 'high'"),
    ],
)  # fmt: skip
def test_wrong_arguments(kwargs: dict[str, Any], named: str) -> None:
    with error_naming(ValueError, named):
        CarDQN("MlpPolicy", "CartPole-v1", **SMALL | kwargs)


def test_arguments_that_load_changed_are_checked_before_learning(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", "CartPole-v1", **SMALL).save(tmp_path / "model")
    small = CarDQN.load(tmp_path / "model", env=gym.make("CartPole-v1"), batch_size=0)
    with error_naming(ValueError, "CarDQN | batch_size | 0"):
        small.learn(10)


@pytest.mark.parametrize(
    ("saved", "named"),
    [
        ({"gamma": 0.9}, "'n_steps': 3 | 'gamma': 0.99 | 'gamma': 0.9"),
        ({"n_steps": 2}, "'n_steps': 3 | 'n_steps': 2"),
        ({"n_steps": 1}, "'n_steps': 3 | 'n_steps': 1"),
        ({"env": make_vec_env("CartPole-v1", 2)}, "'n_envs': 1 | 'n_envs': 2"),
    ],
)  # fmt: skip
def test_a_loaded_buffer_of_another_training_is_refused(
    saved: dict[str, Any], named: str, tmp_path: Path
) -> None:
    ours = {"env": "CartPole-v1", "n_steps": 3} | SMALL
    CarDQN("MlpPolicy", **ours | saved).save_replay_buffer(tmp_path / "buffer")
    model = CarDQN("MlpPolicy", **ours)
    model.load_replay_buffer(tmp_path / "buffer")
    with error_naming(ValueError, named):
        model.learn(10)


def test_with_one_step_a_loaded_buffers_gamma_does_not_matter(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", "CartPole-v1", gamma=0.9, **SMALL).save_replay_buffer(tmp_path / "buffer")
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL)
    model.load_replay_buffer(tmp_path / "buffer")
    model.learn(10)


@pytest.mark.parametrize("inside_a_dict", [False, True])
def test_pictures_too_small_for_the_network_are_refused(inside_a_dict: bool) -> None:
    for height, fits in ((35, False), (36, True)):
        env: gym.Env = OneStep(truncates=False)
        env.observation_space = spaces.Box(0, 255, (height, 40, 3), np.uint8)
        if inside_a_dict:
            env.observation_space = spaces.Dict(picture=env.observation_space)
        with nullcontext() if fits else error_naming(ValueError, "36x36 | (3, 35, 40)"):
            CarDQN("MultiInputPolicy" if inside_a_dict else "CnnPolicy", env, buffer_size=1)


def test_environments_that_do_not_fit() -> None:
    for env_id, shown in (("Pendulum-v1", "Box(-2.0, 2.0, (1,), float32)"), ("CarRacing-v3", "(3,)")):
        with error_naming(ValueError, f"CarDQN | Discrete | {shown} | DiscretizeActions | SAC"):
            CarDQN("MlpPolicy", env_id, buffer_size=1)
    with error_naming(AssertionError, "CnnPolicy | MlpPolicy | (4,)"):
        CarDQN("CnnPolicy", "CartPole-v1", **SMALL | {"policy_kwargs": None})
    with error_naming(ValueError, "CarDQN | n_steps=1 | Dict | 3"):
        CarDQN("MultiInputPolicy", SimpleMultiObsEnv(), n_steps=3)
    for policy in ("MlpPolicy", "CnnPolicy", MlpPolicy, CnnPolicy):
        with error_naming(ValueError, "MultiInputPolicy"):
            CarDQN(policy, SimpleMultiObsEnv())
    with error_naming(ValueError, "CombinedExtractor | (4,) | MlpPolicy"):
        CarDQN("MultiInputPolicy", "CartPole-v1")
    env: gym.Env = OneStep(truncates=False)
    env.action_space = spaces.Discrete(2, start=1)
    with error_naming(ValueError, "Discrete(2, start=1)"):
        CarDQN("MlpPolicy", env)


def test_the_gradient_is_clipped() -> None:
    kwargs = {"net_arch": [8], "optimizer_class": th.optim.SGD}
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", learning_rate=1.0, max_grad_norm=0.01, **SMALL | {"policy_kwargs": kwargs}
    )
    model.set_logger(configure(None, []))
    rng = np.random.default_rng(0)
    for _ in range(40):
        obs = rng.normal(size=(2, 1, 4))
        model.replay_buffer.add(*obs, np.array([0]), np.array([1000.0]), np.array([True]), [{}])
    before = flat(model)
    model.train(gradient_steps=1, batch_size=32)
    assert np.linalg.norm(flat(model) - before) == pytest.approx(
        0.01, rel=1e-3
    )  # the step is the clipped gradient


def test_loading_with_other_n_steps_reaches_the_buffer(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", "CartPole-v1", n_steps=3, gamma=0.9, **SMALL).save(tmp_path / "model")
    for n_steps, gamma in ((5, 0.5), (1, 0.9)):
        model = CarDQN.load(tmp_path / "model", env=gym.make("CartPole-v1"), n_steps=n_steps, gamma=gamma)
        assert (model.replay_buffer.n_steps, model.replay_buffer.gamma) == (n_steps, gamma)
    with pytest.warns(UserWarning, match="n_steps=3"):  # by SB3
        model = CarDQN("MlpPolicy", "CartPole-v1", n_steps=3, replay_buffer_kwargs={"n_steps": 7}, **SMALL)
    assert model.learn(50).replay_buffer.n_steps == 7


def test_a_schedule_that_leaves_the_probabilities_is_refused() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", exploration_decay=lambda remaining: 2 * remaining - 1, **SMALL)
    with pytest.raises(ValueError, match=r"exploration_decay.* -0\.\d+"):
        model.learn(200)


def test_n_steps_needs_a_buffer_that_takes_it() -> None:
    from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

    with pytest.warns(UserWarning, match="n_steps=3"):  # by SB3
        CarDQN("MlpPolicy", "CartPole-v1", n_steps=3, replay_buffer_class=ReplayBuffer, **SMALL)
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", n_steps=3, gamma=0.9, replay_buffer_class=NStepReplayBuffer, **SMALL
    )
    assert isinstance(model.replay_buffer, NStepReplayBuffer)
    assert (model.replay_buffer.n_steps, model.replay_buffer.gamma) == (3, 0.9)
