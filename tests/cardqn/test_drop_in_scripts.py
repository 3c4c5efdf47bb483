"""Drop-in: scripts as people publish them, run with DQN and with CarDQN; and what neither can do is refused."""

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.dqn.policies import MlpPolicy, QNetwork
from torch import nn

from sb3_cardqn import CarDQN, CarRacingCNN, PrioritizedFrameReplayBuffer
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file.write import write_policy
from tests.cardqn.test_drop_in import SMALL, DuelingPolicy, OwnPolicy, Shows, image
from tests.command_line import run_well
from tests.named import error_naming, missing

Algorithm = type[Any]  # DQN, or CarDQN in its place


# ---- scripts ----


def double_dqn(algorithm: Algorithm, folder: Path) -> None:
    """The subclass that most tutorials write: another train(), and a callback of one's own at each step."""

    class DoubleDQN(algorithm):
        def train(self, gradient_steps: int, batch_size: int = 100) -> None:
            self.policy.set_training_mode(True)
            self._update_learning_rate(self.policy.optimizer)
            losses = []
            for _ in range(gradient_steps):
                data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
                with th.no_grad():
                    best = self.q_net(data.next_observations).argmax(dim=1, keepdim=True)
                    next_q = self.q_net_target(data.next_observations).gather(1, best)
                    target = data.rewards + (1 - data.dones) * self.gamma * next_q
                current = self.q_net(data.observations).gather(1, data.actions.long())
                loss = th.nn.functional.smooth_l1_loss(current, target)
                losses.append(loss.item())
                self.policy.optimizer.zero_grad()
                loss.backward()
                th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
            self._n_updates += gradient_steps
            self.logger.record("train/loss", np.mean(losses))

        def _on_step(self) -> None:
            self._n_calls += 1
            if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
                polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
                polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)
            self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
            self.logger.record("rollout/exploration_rate", self.exploration_rate)

    model = DoubleDQN(**SMALL | {"env": make_vec_env("CartPole-v1", 2)}).learn(1e2)
    model.save(folder / "double")
    assert DoubleDQN.load(folder / "double").predict(np.zeros(4))[0] in (0, 1)


class Extractor(BaseFeaturesExtractor):
    """SB3's guide, with batch normalisation."""

    def __init__(self, observation_space: spaces.Space, features_dim: int = 8) -> None:
        super().__init__(observation_space, features_dim)
        self.layers = nn.Sequential(nn.Linear(4, features_dim), nn.BatchNorm1d(features_dim), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.layers(observations)


def custom_extractor(algorithm: Algorithm, folder: Path) -> None:
    """A features extractor of one's own, its arguments, another activation and optimizer."""

    kwargs = {
        "features_extractor_class": Extractor, "features_extractor_kwargs": {"features_dim": 16},
        "net_arch": [8], "activation_fn": partial(nn.LeakyReLU, 0.2), "optimizer_class": partial(th.optim.Adam, eps=1e-5),
    }  # fmt: skip
    model = algorithm(**SMALL, policy_kwargs=kwargs, learning_rate=lambda left: 1e-3 * left).learn(100)
    model.policy.save(folder / "policy.pth")
    model.save(folder / "model")
    loaded = algorithm.load(folder / "model")
    assert loaded.predict(np.ones(4), deterministic=True) == model.predict(np.ones(4), deterministic=True)


def save_and_go_on(algorithm: Algorithm, folder: Path) -> None:
    """Save, load, continue, with the replay buffer."""
    model = algorithm(**SMALL, n_steps=3).learn(total_timesteps=100, log_interval=1, progress_bar=False)
    model.save(folder / "model")
    model.save_replay_buffer(folder / "buffer")
    loaded = algorithm.load(folder / "model", env=gym.make("CartPole-v1"), learning_rate=1e-3, gamma=0.9)
    loaded.gamma = 0.99
    loaded.load_replay_buffer(folder / "buffer")
    loaded.learn(50, reset_num_timesteps=False)
    assert loaded.num_timesteps == model.num_timesteps + 52  # the next multiple of train_freq
    loaded.set_env(gym.make("CartPole-v1"))
    loaded.set_parameters(model.get_parameters())
    loaded.learn(20)


def from_dqn(algorithm: Algorithm, folder: Path) -> None:
    """Continue an agent that SB3's DQN saved."""
    DQN(**SMALL).learn(60).save(folder / "dqn")
    algorithm.load(folder / "dqn", env=make_vec_env("CartPole-v1", 1)).learn(100)


def callbacks(algorithm: Algorithm, folder: Path) -> None:
    """Evaluation, checkpoints, a callback that looks into the agent, and TensorBoard."""

    class Looks(BaseCallback):
        def _on_step(self) -> bool:
            self.logger.record("own/epsilon", self.model.exploration_rate)
            assert len(self.locals["infos"]) == self.training_env.num_envs
            return self.num_timesteps < 150

    eval_env = DummyVecEnv([lambda: gym.make("CartPole-v1")])
    evaluation = EvalCallback(eval_env, best_model_save_path=str(folder), eval_freq=50, verbose=0, warn=False)
    checkpoints = CheckpointCallback(60, str(folder), save_replay_buffer=True)
    model = algorithm(**SMALL, tensorboard_log=str(folder), policy_kwargs={"net_arch": [8]})
    model.learn(300, callback=[Looks(), evaluation, checkpoints], tb_log_name="run")
    assert model.num_timesteps == 150
    assert (folder / "run_1").is_dir()
    assert (folder / "best_model.zip").is_file()
    mean, _ = evaluate_policy(model, model.get_env(), 2, warn=False)
    assert mean > 0


def her(algorithm: Algorithm, folder: Path) -> None:
    """SB3's example of hindsight experience replay."""
    kwargs = {"n_sampled_goal": 4, "goal_selection_strategy": "future"}
    arguments = {
        "policy": "MultiInputPolicy", "env": BitFlippingEnv(n_bits=4, continuous=False),
        "replay_buffer_class": HerReplayBuffer, "replay_buffer_kwargs": kwargs,
    }  # fmt: skip
    model = algorithm(**SMALL | arguments).learn(60)
    model.save(folder / "her")
    algorithm.load(folder / "her", env=BitFlippingEnv(n_bits=4, continuous=False)).learn(60)


def normalized(algorithm: Algorithm, folder: Path) -> None:
    """Normalized observations and rewards, saved and loaded beside the agent."""
    env = VecNormalize(make_vec_env("CartPole-v1", 2), gamma=0.99)
    model = algorithm(**SMALL | {"env": env}).learn(100)
    env.save(str(folder / "stats.pkl"))
    model.save(folder / "model")
    env = VecNormalize.load(str(folder / "stats.pkl"), make_vec_env("CartPole-v1", 2))
    algorithm.load(folder / "model", env=env).learn(50)


def numbers_as_people_write_them(algorithm: Algorithm, folder: Path) -> None:
    """1e5 in Python and in YAML."""
    text = "{learning_starts: !!float 1e1, target_update_interval: !!float 1e4, exploration_fraction: 0.12}"
    model = algorithm(**SMALL | yaml.safe_load(text), max_grad_norm=float("inf"))
    model.learn(total_timesteps=int(1e2))


def actions_by_hand(algorithm: Algorithm, folder: Path) -> None:
    """The loop of the old Gym days, around predict()."""
    env = make_vec_env("CartPole-v1", 2)
    model = algorithm(**SMALL | {"env": env})
    obs: Any = env.reset()
    for _ in range(20):
        action, _states = model.predict(obs)
        obs, _, _, _ = env.step(action)
    q_values = model.q_net(model.policy.obs_to_tensor(obs)[0])
    assert q_values.shape == (2, 2)


def another_buffer(algorithm: Algorithm, folder: Path) -> None:
    """Empty the buffer by making another one, and a second one in a subclass."""

    class TwoBuffers(algorithm):
        def _setup_model(self) -> None:
            super()._setup_model()
            self.second = self.replay_buffer_class(
                10, self.observation_space, self.action_space, n_envs=self.n_envs
            )

    for n_steps in (1, 3):
        model = TwoBuffers(**SMALL, n_steps=n_steps).learn(60)
        assert isinstance(model.second, type(model.replay_buffer))
        assert issubclass(model.replay_buffer_class, ReplayBuffer)
        model.save(folder / "model", exclude=["second"])
        for reader in (algorithm, DQN):
            loaded = reader.load(folder / "model", env=gym.make("CartPole-v1"))
            assert type(loaded.replay_buffer) is type(model.replay_buffer)


def own_exploration(algorithm: Algorithm, folder: Path) -> None:
    """Replace epsilon's schedule, by one that is above 1 at first, and below 0 past the budget."""
    model = algorithm(**SMALL)
    model.exploration_schedule = lambda remaining: 1.5 * remaining
    model.learn(50)
    assert model.num_timesteps == 52
    assert model.exploration_rate <= 0


def own_aliases(algorithm: Algorithm, folder: Path) -> None:
    """A policy with other names, and a subclass that knows them."""

    class Renamed(DuelingPolicy):
        def _build(self, lr_schedule: Any) -> None:
            super()._build(lr_schedule)
            self.online, self.target = self.q_net, self.q_net_target
            del self.q_net, self.q_net_target

        def set_training_mode(self, mode: bool) -> None:
            self.online.set_training_mode(mode)
            self.training = mode

        def _predict(self, obs: Any, deterministic: bool = True) -> th.Tensor:
            return self.online._predict(obs, deterministic=deterministic)

    class Knows(algorithm):
        def _create_aliases(self) -> None:
            self.q_net, self.q_net_target = self.policy.online, self.policy.target

    assert Knows(**SMALL | {"policy": Renamed}).learn(60)._n_updates > 0


def policy_alone(algorithm: Algorithm, folder: Path) -> None:
    """SB3's guide: save the policy alone, and load it without the algorithm."""
    model = algorithm(**SMALL).learn(60)
    model.policy.save(folder / "policy.pkl")
    model.q_net.save(folder / "q_net.pkl")
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    actions = model.predict(observations, deterministic=True)[0]
    for loaded in (MlpPolicy.load(folder / "policy.pkl"), QNetwork.load(folder / "q_net.pkl")):
        assert np.array_equal(loaded.predict(observations, deterministic=True)[0], actions)
    assert isinstance(QNetwork(**model.policy._update_features_extractor(model.policy.net_args)), QNetwork)


class Simulator:
    """No VecEnv, but what one is put around."""

    num_envs, observation_space, action_space = 2, spaces.Box(-1, 1, (3,)), spaces.Discrete(2)

    def seed(self, seed: int | None) -> None:
        assert seed == 0


class Adapter(VecEnvWrapper):
    """Makes a VecEnv of a simulator."""

    def __init__(self) -> None:
        simulator: Any = Simulator()
        super().__init__(simulator)

    def reset(self) -> Any:
        return np.zeros((2, 3), np.float32)

    def step_async(self, actions: np.ndarray) -> None:
        assert actions.shape == (2,)

    def step_wait(self) -> Any:
        return np.ones((2, 3), np.float32), np.ones(2), np.zeros(2, bool), [{}, {}]


def adapter(algorithm: Algorithm, folder: Path) -> None:
    """An adapter around a simulator that is no VecEnv."""
    assert algorithm(**SMALL | {"env": Adapter()}).learn(60).num_timesteps >= 60


def test_overlap_around_a_simulator() -> None:
    assert CarDQN(**SMALL | {"env": Adapter()}, overlap=True).learn(60).num_timesteps >= 60


SCRIPTS: list[Callable[[Algorithm, Path], None]] = [
    double_dqn, custom_extractor, save_and_go_on, from_dqn, callbacks, her, normalized,
    numbers_as_people_write_them, actions_by_hand, another_buffer, own_exploration, own_aliases, policy_alone, adapter,
]  # fmt: skip


@pytest.mark.parametrize("algorithm", [DQN, CarDQN])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_script_runs_with_either(
    script: Callable[[Algorithm, Path], None], algorithm: Algorithm, tmp_path: Path
) -> None:
    script(algorithm, tmp_path)


def test_a_head_alone_is_trained_on_as_by_dqn(tmp_path: Path) -> None:
    DQN(**SMALL).learn(60).save(tmp_path / "model")
    weights = []
    for algorithm in (DQN, CarDQN):
        model = algorithm.load(tmp_path / "model", env=gym.make("CartPole-v1"), max_grad_norm=0.1, seed=1)
        model.policy.optimizer = th.optim.Adam(model.q_net.q_net[-1].parameters(), lr=1e-2)
        model.learn(60)
        weights.append(model.q_net.q_net[-1].weight)
    assert th.equal(*weights)


OLD_GYM = {
    "__init__.py": "from gym import spaces, wrappers\nclass Env:\n    metadata, render_mode = {}, None\n"
    "    unwrapped = property(lambda self: self)\n    def close(self): pass\nSpace = spaces.Space\n",
    "spaces.py": "class Space: pass\nclass Box(Space): low, high, shape, dtype = -1, 1, (3,), 'float32'\n"
    "class Discrete(Space): n = 2\nclass MultiDiscrete(Space): pass\nclass MultiBinary(Space): pass\n",
    "wrappers.py": "",
}
OLD_SCRIPT = """
import gym, numpy as np
from sb3_cardqn import CarDQN
class Old(gym.Env):
    observation_space, action_space = gym.spaces.Box(), gym.spaces.Discrete()
    def reset(self, %s): return %s
    def step(self, action): return np.zeros(3, "float32"), 1.0, %s, {}
print(CarDQN("MlpPolicy", Old(), buffer_size=100, learning_starts=10).learn(40).num_timesteps)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "ways",
    [
        ("*, seed=None, options=None", "(np.zeros(3, 'float32'), {})", "False, False"),  # Gym 0.26
        ("", "np.zeros(3, 'float32')", "False"),  # Gym 0.21
    ],
)
def test_an_environment_of_the_old_gym_is_sb3s_to_wrap(ways: tuple[str, str, str], tmp_path: Path) -> None:
    (tmp_path / "gym").mkdir()
    for name, text in OLD_GYM.items():  # the old package does not go with NumPy 2, its interface does
        (tmp_path / "gym" / name).write_text(text)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + OLD_SCRIPT % ways
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("40", 0), result.stderr


# ---- what neither can do: an error that says what would be right ----


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"env": None}, ["env", "None"]),
        ({"policy": ActorCriticPolicy}, ["q_net", "ActorCriticPolicy"]),
        ({"policy": "CnnPolicy", "env": Shows(image((7, 7, 3)))}, ["36x36", "(3, 7, 7)"]),
        ({"policy": "CnnPolicy", "env": Shows(image((3, 16, 16)))}, ["36x36", "(3, 16, 16)"]),
        (
            {"policy": "CnnPolicy", "env": Shows(image((3, 35, 64), np.float32)), "policy_kwargs": {"normalize_images": False}},
            ["36x36", "(3, 35, 64)"],
        ),
        ({"policy": "MultiInputPolicy", "env": Shows(spaces.Dict({"eye": image((7, 7, 3))}))}, ["'eye'", "36x36"]),
        ({"env": gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")}, ["make_vec_env", "SyncVectorEnv"]),
        ({"env": lambda: gym.make("CartPole-v1")}, ["DummyVecEnv", "<lambda>"]),
        ({"env": Shows}, ["DummyVecEnv", "Shows"]),
        ({"env": [lambda: gym.make("CartPole-v1")]}, ["DummyVecEnv"]),
        ({"env": Shows(spaces.Discrete(5, start=3))}, ["start at 0", "Discrete(5, start=3)"]),
        ({"env": Shows(spaces.MultiDiscrete([2, 3], start=[1, 0]))}, ["start at 0"]),
        (
            {"policy": "MultiInputPolicy", "env": Shows(spaces.Dict({"a": spaces.Discrete(2, start=-1)}))},
            ["start at 0", "start=-1"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_learn_is_refused_at_construction(wrong: dict[str, Any], names: list[str]) -> None:
    with pytest.raises((TypeError, ValueError)) as error:
        CarDQN(**SMALL | wrong)
    for name in names:
        assert name in str(error.value)


def test_numbers_are_stored_as_int() -> None:
    model = CarDQN(**SMALL | {"learning_starts": 1e5, "buffer_size": 1e3, "train_freq": (4.0, "step")})
    stored = (model.learning_starts, model.buffer_size, model.train_freq.frequency)
    assert [(type(value), value) for value in stored] == [(int, 100_000), (int, 1000), (int, 4)]


def test_learning_without_an_environment_says_how_to_give_one(tmp_path: Path) -> None:
    CarDQN(**SMALL).save(tmp_path / "model")
    with error_naming(ValueError, "load | env=env"):
        CarDQN.load(tmp_path / "model").learn(10)


@pytest.mark.parametrize("algorithm", [CarDQN, DQN, PPO])
@pytest.mark.parametrize(
    ("space", "normalize_images"),
    [
        (image((3, 36, 36)), True),
        (image((3, 36, 36), np.float32), True),
        (image((3, 36, 36), np.float32), False),
    ],
)
def test_carracing_cnn_sees_bytes_and_floats(
    space: spaces.Box, normalize_images: bool, algorithm: type[BaseAlgorithm]
) -> None:
    kwargs = {"features_extractor_class": CarRacingCNN, "normalize_images": normalize_images}
    sizes = (
        {"n_steps": 16, "batch_size": 8} if algorithm is PPO else {"buffer_size": 50, "learning_starts": 4}
    )
    algorithm("CnnPolicy", Shows(space), policy_kwargs=kwargs, **sizes).learn(20)


@pytest.mark.parametrize("algorithm", [CarDQN, DQN])
def test_a_network_of_ones_own_is_not_exported(algorithm: Algorithm, tmp_path: Path) -> None:
    for policy in (MlpPolicy, OwnPolicy):
        write_policy(algorithm(**SMALL | {"policy": policy}), "dqn", tmp_path / "fine.safetensors")
    with error_naming(UserError, "ValueAndAdvantage"):
        write_policy(algorithm(**SMALL | {"policy": DuelingPolicy}), "dqn", tmp_path / "own.safetensors")


# ---- VecNormalize inside of another wrapper ----

INSIDE: dict[str, Callable[[], VecEnv]] = {
    "stack": lambda: VecFrameStack(VecNormalize(make_vec_env("CartPole-v1", 2)), 2),
    "transpose": lambda: VecTransposeImage(VecNormalize(DummyVecEnv([lambda: Shows(image((36, 36, 3)))]), norm_obs=False)),
    "by SB3": lambda: VecNormalize(DummyVecEnv([lambda: Shows(image((36, 36, 3)))]), norm_obs=False),
}  # fmt: skip


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE)
def test_vec_normalize_inside_of_what_changes_observations_is_refused(inside: Callable[[], VecEnv]) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        DQN(**SMALL | {"env": inside()}).learn(20)
    with error_naming(ValueError, "VecNormalize"):
        CarDQN(**SMALL | {"env": inside()})


def test_an_environment_that_was_set_later_is_checked_before_learning() -> None:
    good = VecNormalize(VecFrameStack(make_vec_env("CartPole-v1", 2), 2))
    model = CarDQN(**SMALL | {"env": good})
    model.set_env(INSIDE["stack"]())
    with error_naming(ValueError, "VecNormalize"):
        model.learn(20)


FRAMES = {
    "policy": "MlpPolicy", "env_wrapper": ["sb3_cardqn.CarRacingWrapper"], "buffer_size": 100,
    "replay_buffer_class": "sb3_cardqn.FrameReplayBuffer",
}  # fmt: skip


def test_normalized_frames_are_refused_at_construction() -> None:
    env = VecNormalize(DummyVecEnv([lambda: Shows(image((4, 36, 36)))]))
    frames = {"env": env, "replay_buffer_class": PrioritizedFrameReplayBuffer}
    with error_naming(ValueError, "norm_obs=False"):
        CarDQN(**SMALL | frames)
    env.norm_obs = False
    CarDQN(**SMALL | frames)


@pytest.mark.parametrize("algo", ["cardqn", "dqn"])
@pytest.mark.parametrize(
    ("env_id", "hyperparams", "named"),
    [
        ("CartPole-v1", {"policy": "MlpPolicy", "frame_stack": 2}, "frame_stack"),
        ("CarRacing-v3", FRAMES, "norm_obs"),
    ],
)
def test_normalize_that_cannot_work_leaves_no_run(
    env_id: str,
    hyperparams: dict[str, Any],
    named: str,
    algo: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = {env_id: {"n_timesteps": 100, "normalize": True} | hyperparams}
    (tmp_path / "mine.yml").write_text(yaml.dump(entry))
    with pytest.raises(SystemExit) as stopped:
        run_well(tmp_path, f"train --algo {algo} --env {env_id} -conf mine.yml")
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not missing(f"normalize | {named}", line)
    assert not list(tmp_path.glob(f"logs/{algo}/*"))


# ---- replay buffers ----


def test_prioritized_replay_takes_its_arguments_by_place() -> None:
    space = image((2, 8, 8))
    buffer = PrioritizedFrameReplayBuffer(90, space, spaces.Discrete(3), "cpu", 3, False, False, 4, 0.9, 2)
    assert (buffer.n_envs, buffer.n_steps, buffer.gamma, buffer.frame_channels) == (3, 4, 0.9, 2)
    assert not buffer.handle_timeout_termination


def hindsight(overlap: bool | None, vec_env: type[DummyVecEnv | SubprocVecEnv]) -> CarDQN:
    """An agent with a buffer that asks its environments for rewards."""
    env = make_vec_env(lambda: BitFlippingEnv(n_bits=4, continuous=False), 2, vec_env_cls=vec_env)
    arguments = {
        "policy": "MultiInputPolicy", "env": env, "replay_buffer_class": HerReplayBuffer, "overlap": overlap,
    }  # fmt: skip
    return CarDQN(**SMALL | arguments)


@pytest.mark.slow
@pytest.mark.parametrize("vec_env", [SubprocVecEnv, GroupedSubprocVecEnv])
def test_a_buffer_that_asks_the_environments_learns_as_without_overlap(vec_env: type[SubprocVecEnv]) -> None:
    weights = []
    for overlap, kind in ((None, vec_env), (False, vec_env), (False, DummyVecEnv)):
        model = hindsight(overlap, kind).learn(120)
        assert model._n_updates > 10
        weights.append(model.policy.state_dict())
        model.env.close()
    for name, tensor in weights[0].items():
        assert th.equal(tensor, weights[1][name])
        assert th.equal(tensor, weights[2][name])
    with error_naming(ValueError, "overlap=False | HerReplayBuffer"):
        hindsight(True, DummyVecEnv).learn(60)


ASKS: dict[str, Callable[[VecEnv], Any]] = {
    "env_method": lambda env: env.env_method("render"),
    "get_attr": lambda env: env.get_attr("spec"),
    "set_attr": lambda env: env.set_attr("x", 1),
    "reset": lambda env: env.reset(),
    "is_wrapped": lambda env: env.env_is_wrapped(gym.Wrapper),
}


class Curious(ReplayBuffer):
    """Asks the environments when it is sampled, though they do not know it for their own."""

    ask: Callable[[], Any] = staticmethod(lambda: None)

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        self.ask()
        return super().sample(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("vec_env", [SubprocVecEnv, GroupedSubprocVecEnv])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_runs_while_environments_step_cannot_talk_to_them(
    wrapped: bool, vec_env: type[SubprocVecEnv]
) -> None:
    env: VecEnv = make_vec_env("CartPole-v1", 2, vec_env_cls=vec_env)
    env = VecNormalize(env) if wrapped else env
    model = CarDQN(**SMALL | {"env": env, "replay_buffer_class": Curious})
    for question, ask in ASKS.items():
        vars(model.replay_buffer)["ask"] = lambda ask=ask: ask(env)
        with error_naming(RuntimeError, question):
            model.learn(60)
        vars(model.replay_buffer).pop("ask")
        model.learn(60)  # and the environments still answer in their turn
        assert len(env.get_attr("spec")) == 2
    env.close()


@pytest.mark.slow
def test_it_may_ask_without_overlap() -> None:
    env = make_vec_env("CartPole-v1", 2, vec_env_cls=SubprocVecEnv)
    model: OffPolicyAlgorithm = CarDQN(**SMALL | {"env": env, "replay_buffer_class": Curious}, overlap=False)
    vars(model.replay_buffer)["ask"] = lambda: ASKS["get_attr"](env)
    model.learn(60)
    env.close()


class At300(BaseCallback):
    def _on_step(self) -> bool:
        return self.num_timesteps < 300


@pytest.mark.parametrize(
    ("kwargs", "epsilon"),
    [
        ({}, 1),
        ({"exploration_steps": 100}, 0.05),
        ({"exploration_fraction": 1e-9}, 1),
        ({"exploration_fraction": 0}, 0.05),
    ],
)
def test_learning_without_end_explores_as_long_as_it_says(kwargs: dict[str, Any], epsilon: float) -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", **kwargs)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        model.learn(math.inf, callback=At300())
    assert (model.num_timesteps, model.exploration_rate) == (300, pytest.approx(epsilon))
    assert any("total_timesteps=inf" in str(one.message) for one in given) == (epsilon == 1)


@pytest.mark.parametrize("wrong", [math.nan, "300", None, [300]])
def test_a_budget_that_is_no_number_is_named(wrong: Any) -> None:
    with error_naming(ValueError, f"total_timesteps | {wrong!r}"):
        CarDQN("MlpPolicy", "CartPole-v1").learn(wrong)
