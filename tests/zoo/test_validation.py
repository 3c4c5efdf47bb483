from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from rl_zoo3 import create_test_env
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize

from sb3_cardqn import CarRacingWrapper, trust
from sb3_cardqn.env.training_wrappers import ScaleReward
from sb3_cardqn.evaluate import Run, evaluate, make_env
from sb3_cardqn.zoo.commands import playing
from sb3_cardqn.zoo.experiment import CarExperimentManager

KEEPS_ITS_WEIGHTS = {"learning_starts": 10**6, "buffer_size": 100, "n_envs": 1}


class SeedsReward(gym.Env):
    """The reward of an episode is its seed, and some episodes are longer than others."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, more: int = 0) -> None:
        self.more = more

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seed, self.left = seed, 3 + 5 * ((seed or 0) % 3) + self.more
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return (
            np.zeros(2, np.float32),
            0.0 if self.left else float(self.seed or -1),
            self.left == 0,
            False,
            {},
        )


class AtLives(gym.Wrapper):
    """Ends an episode for the agent before the Monitor's, as Atari's EpisodicLifeEnv does."""

    lost = False

    def reset(self, **kwargs: Any) -> Any:
        if self.lost:
            self.lost = False
            return np.zeros(2, np.float32), {}
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.lost = not terminated and self.get_wrapper_attr("left") == 2
        return obs, reward, terminated or self.lost, truncated, info


gym.register("SeedsReward-v0", SeedsReward)


def learn(folder: Path, env_id: str = "SeedsReward-v0", **kwargs: Any) -> tuple[CarExperimentManager, Run]:
    """Train through the zoo, in this process."""
    defaults: dict[str, Any] = {
        "n_timesteps": 20,
        "eval_freq": 10,
        "n_eval_episodes": 5,
        "seed": 3,
        "verbose": 0,
        "log_interval": -1,
    }
    kwargs["hyperparams"] = KEEPS_ITS_WEIGHTS | kwargs.get("hyperparams", {})
    manager = CarExperimentManager(SimpleNamespace(), "cardqn", env_id, str(folder), **defaults | kwargs)
    with trust.remembering():
        model, _ = manager.setup_experiment() or pytest.fail("no model")
        manager.learn(model)
        manager.save_trained_model(model)
    return manager, Run(Path(manager.save_path))


@pytest.mark.parametrize("vec_env_type", ["dummy", pytest.param("subproc", marks=pytest.mark.slow)])
@pytest.mark.parametrize("n_envs", [1, 2, 3])
def test_episode_i_of_each_evaluation_drives_track_i(tmp_path: Path, n_envs: int, vec_env_type: Any) -> None:
    _, run = learn(tmp_path, n_eval_envs=n_envs, vec_env_type=vec_env_type)
    written = np.load(run.folder / "evaluations.npz")
    tracks = np.arange(100_000, 100_005)
    assert written["timesteps"].tolist() == [10, 20]
    assert written["results"].tolist() == [tracks.tolist()] * 2
    assert written["ep_lengths"].tolist() == [(3 + 5 * (tracks % 3)).tolist()] * 2


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ({"hyperparams": {"env_kwargs": {"more": 2}}}, 2),
        ({"env_kwargs": {"more": 2}}, 2),
        ({"hyperparams": {"env_kwargs": {"more": 2}}, "eval_env_kwargs": {"more": 1}}, 1),
        ({"hyperparams": {"env_kwargs": {"more": 2}}, "env_kwargs": {"more": 3}}, 3),
    ],
)
def test_validation_has_the_arguments_of_training(more: dict[str, Any], steps: int, tmp_path: Path) -> None:
    _, run = learn(tmp_path, **more)
    lengths = np.load(run.folder / "evaluations.npz")["ep_lengths"][0]
    assert lengths.tolist() == (3 + 5 * (np.arange(100_000, 100_005) % 3) + steps).tolist()


def test_a_lost_life_is_no_new_track(tmp_path: Path) -> None:
    _, run = learn(tmp_path, hyperparams={"env_wrapper": AtLives})
    assert np.load(run.folder / "evaluations.npz")["results"][0].tolist() == list(range(100_000, 100_005))


@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_column_can_be_driven_again_by_its_seed(tmp_path: Path, n_envs: int) -> None:
    few = {"max_episode_steps": 60}  # frames
    _, run = learn(tmp_path, "CarRacing-v3", n_eval_envs=n_envs, n_eval_episodes=3, eval_env_kwargs=few)
    (again,) = evaluate(run, range(100_000, 100_003), stock=False, n_processes=1, env_kwargs=few)
    scores = again.drives["score"]
    assert len(set(scores)) == 3
    for row in np.load(run.folder / "evaluations.npz")["results"]:
        assert row.tolist() == scores.tolist()


class OfTheUser(EvalCallback):
    """With an environment of its own, and more to do after each evaluation."""

    done: ClassVar[list[int]] = []

    def __init__(self) -> None:
        class Counts(BaseCallback):
            def _on_step(self) -> bool:
                assert isinstance(self.parent, OfTheUser)
                OfTheUser.done.append(self.parent.num_timesteps)
                return True

        env = Monitor(gym.make("SeedsReward-v0"))
        super().__init__(env, callback_after_eval=Counts(), n_eval_episodes=1, eval_freq=5, verbose=0)


def test_an_evaluation_of_the_users_own_keeps_its_callback_and_its_environment(tmp_path: Path) -> None:
    OfTheUser.done = []
    manager, run = learn(tmp_path, hyperparams={"callback": f"{__name__}.OfTheUser"})
    assert OfTheUser.done == [5, 10, 15, 20]
    assert np.load(run.folder / "evaluations.npz")["timesteps"].tolist() == [10, 20]
    assert not any(isinstance(one, EvalCallback) for one in manager.callbacks)  # they are the clock's


class Mine(CarRacingWrapper):
    """A user's own, which trains as the package's does."""


class HalvesRewards(VecEnvWrapper):
    training_only = True

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = self.venv.step_wait()
        return obs, rewards / 2, dones, infos


TRAINING = [
    {"env_wrapper": {"sb3_cardqn.CarRacingWrapper": {"training": True}}},
    {"env_wrapper": [{"sb3_cardqn.CarRacingWrapper": {"training": True, "num_frames": 4}}]},
    {"env_wrapper": [{f"{__name__}.Mine": {"training": True}}]},
    {"env_wrapper": [{Mine: {"training": True}}]},
    {"env_wrapper": ["sb3_cardqn.CarRacingWrapper", {"sb3_cardqn.ScaleReward": {"scale": 3}}]},
    {"env_wrapper": ["sb3_cardqn.CarRacingWrapper", ScaleReward]},
    {"env_wrapper": "sb3_cardqn.CarRacingWrapper", "vec_env_wrapper": f"{__name__}.HalvesRewards"},
]


def rewards_of_training(config: dict[str, Any], folder: Path) -> VecEnv:
    manager, _ = learn(folder, "CarRacing-v3", n_timesteps=1, eval_freq=-1, hyperparams=config)
    return manager.create_envs(1)


def in_training(config: dict[str, Any], folder: Path) -> VecEnv:
    manager, _ = learn(folder, "CarRacing-v3", n_timesteps=1, eval_freq=10, hyperparams=config)
    return manager.clock.evaluations[0].eval_env


def in_evaluate(config: dict[str, Any], folder: Path) -> VecEnv:
    return make_env(config, stock=False)


def in_enjoy(config: dict[str, Any], folder: Path) -> VecEnv:
    with playing():
        return create_test_env("CarRacing-v3", hyperparams=dict(config), should_render=False)


@pytest.mark.parametrize("config", TRAINING, ids=repr)
@pytest.mark.parametrize("judge", [in_training, in_evaluate, in_enjoy])
def test_an_agent_is_judged_without_its_training_only_wrappers(
    tmp_path: Path, config: dict[str, Any], judge: Any
) -> None:
    rewards = []
    plain = make_vec_env("CarRacing-v3", wrapper_class=CarRacingWrapper)
    for env in (judge(config, tmp_path), plain, rewards_of_training(config, tmp_path)):
        env.seed(100_000)  # where evaluations in training begin anyway
        env.reset()
        rewards.append([env.step(np.array([5]))[1][0] for _ in range(5)])
        env.close()
    judged, stock, trained = rewards
    assert judged == stock
    assert trained != stock


def test_statistics_of_the_best_agent_are_kept(tmp_path: Path) -> None:
    _, run = learn(tmp_path, hyperparams={"normalize": True}, n_timesteps=40, eval_freq=10)
    best, final = (run.config_folder / name for name in ("best_vecnormalize.pkl", "vecnormalize.pkl"))
    env = DummyVecEnv([lambda: gym.make("SeedsReward-v0")])
    counts = [VecNormalize.load(str(path), env).ret_rms.count for path in (best, final)]
    assert counts[0] < counts[1]  # the first evaluation was the best: all are alike
    assert make_env(run.agent("best")).ret_rms.count == counts[0]
