import contextlib
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor

from sb3_cardqn import CarDQN, CarRacingWrapper
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.errors import UserError
from tests.cardqn.small import flat
from tests.named import error_naming
from tests.small_training import At, Crash, Dots, crash, stacked_dots


def car_racing(fast_render: bool, frames: int) -> ResumableEpisode:
    env = gym.make("CarRacing-v3", max_episode_steps=frames)
    return ResumableEpisode(CarRacingWrapper(env, fast_render=fast_render))


def drive(env: gym.Env, rng: np.random.Generator, steps: int) -> list[Any]:
    """Mostly with gas, so that the car leaves the road, skids and turns."""
    seen = []
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = env.step(rng.choice([6, 6, 2, 10, int(rng.integers(12))]))
        car = env.unwrapped.car
        seen.append(
            (
                obs,
                reward,
                terminated,
                truncated,
                tuple(car.hull.position),
                car.hull.angle,
                car.wheels[0].omega,
            )
        )
        if terminated or truncated:
            env.reset()
    return seen


def same(ours: Any, theirs: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("fast_render", "frames", "history", "steps"), [(True, 200, 130, 45), (False, 40, 14, 10)]
)
def test_carracing_is_driven_again_bit_for_bit(
    fast_render: bool, frames: int, history: int, steps: int
) -> None:
    """In a Box2D world that has seen no race before; the episode's end and the next track are the same too."""
    env, rng = car_racing(fast_render, frames), np.random.default_rng(0)
    env.reset(seed=5)
    drive(env, rng, history)  # an agent step is 4 frames
    other = car_racing(fast_render, frames)
    other.reset(seed=1)
    assert other.restore_episode(env.episode())
    state = rng.bit_generator.state
    ours = drive(env, rng, steps)
    rng.bit_generator.state = state
    for our, their in zip(ours, drive(other, rng, steps), strict=True):
        assert same(our, their)


def test_random_steps_are_taken_again() -> None:
    env, other = (ResumableEpisode(stacked_dots()) for _ in range(2))
    env.reset(seed=3)
    for _ in range(7):
        env.step(1)
    assert other.restore_episode(env.episode())
    assert [env.step(2)[0].tolist() for _ in range(5)] == [other.step(2)[0].tolist() for _ in range(5)]


def test_an_episode_that_ends_earlier_when_replayed_is_not_stepped_on() -> None:
    """As in MinAtar, whose randomness is not of np_random."""
    env, other = (ResumableEpisode(Monitor(gym.make("CartPole-v1", max_episode_steps=n))) for n in (9, 3))
    env.reset(seed=3)
    for action in (0, 1, 0, 1, 0):
        env.step(action)
    assert not other.restore_episode(env.episode())
    other.reset()


def test_an_episode_that_only_began_and_one_that_never_did() -> None:
    env, other = (ResumableEpisode(Dots()) for _ in range(2))
    assert not other.restore_episode(env.episode())
    env.reset(seed=3)
    assert other.restore_episode(env.episode())
    assert other.unwrapped.place == env.unwrapped.place


class Forgetful(gym.Wrapper):
    def step(self, action: Any) -> Any:
        self.unwrapped.place = 7  # where no action led to
        return self.env.step(action)


def test_another_environment_is_noticed_and_the_next_episode_is_the_right_one() -> None:
    env, other = ResumableEpisode(Dots()), ResumableEpisode(Forgetful(Dots()))
    env.reset(seed=3)
    for _ in range(4):
        env.step(1)
    assert not other.restore_episode(env.episode())
    env.reset(), other.reset()
    assert other.unwrapped.place == env.unwrapped.place


class Praises(gym.Wrapper):
    """Rewards depend on the number of steps in all episodes."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        obs, reward, *rest = self.env.step(action)
        return obs, float(reward) + (self.steps > 5), *rest


def test_rewards_of_a_wrapper_with_a_state_are_noticed() -> None:
    env, other, same_again = (ResumableEpisode(Praises(Dots())) for _ in range(3))
    for seed in (3, 4):
        env.reset(seed=seed)
        for _ in range(4):
            env.step(1)
    assert not other.restore_episode(env.episode())
    same_again.env.steps = 4
    assert same_again.restore_episode(env.episode())
    old = {name: value for name, value in env.episode().items() if name != "rewards"}  # of version 0.1.0
    assert other.restore_episode(old)


def test_a_monitor_that_allows_no_early_reset() -> None:
    env, other = (ResumableEpisode(Monitor(Dots(), allow_early_resets=False)) for _ in range(2))
    env.reset(seed=0)
    env.step(1)
    other.reset(seed=1)
    assert other.restore_episode(env.episode())


def test_the_monitor_goes_on_in_its_file(tmp_path: Path) -> None:
    env = ResumableEpisode(Monitor(Dots(), str(tmp_path / "0")))
    env.reset(seed=0)
    for _ in range(90):
        if any(env.step(0)[2:4]):
            env.reset()
    at = env.episode()
    before = (tmp_path / "0.monitor.csv").read_text()
    while not any(env.step(0)[2:4]):
        pass
    assert (tmp_path / "0.monitor.csv").read_text() != before  # lost with the process
    other = ResumableEpisode(Monitor(Dots(), str(tmp_path / "0"), override_existing=False))
    assert other.restore_episode(at)
    assert (tmp_path / "0.monitor.csv").read_text() == before
    while not any(other.step(0)[2:4]):
        pass
    *rest, last = (tmp_path / "0.monitor.csv").read_text().splitlines()
    assert rest == before.splitlines()
    assert float(last.split(",")[2]) >= at["log"]["seconds"]


class Older(gym.Env):
    """As environments were written before ``options`` and NumPy's ``Generator``."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed: int | None = None) -> Any:  # type: ignore[override]
        if seed is not None or not hasattr(self, "steps"):
            self.np_random: Any = np.random.RandomState(seed)
        self.steps = 0
        return self.np_random.rand(1), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.np_random.rand(1), 1.0, self.steps == 30, False, {}


def test_an_older_environment_is_replayed_too(tmp_path: Path) -> None:
    def trained(steps: int, resume: bool) -> CarDQN:
        env = make_vec_env(Older, 2, seed=0, wrapper_class=ResumableEpisode)
        model = CarDQN("MlpPolicy", env, learning_starts=10, buffer_size=200, seed=0)
        with contextlib.suppress(Crash):
            model.learn(120, [ExactCheckpoint(tmp_path / str(resume), 50, resume=resume), At(steps, crash)])
        return model

    whole = trained(1000, resume=False)
    shutil.rmtree(tmp_path / "False")
    trained(80, resume=False)
    shutil.copytree(tmp_path / "False", tmp_path / "True")
    parts = trained(1000, resume=True)
    assert np.array_equal(parts.replay_buffer.observations, whole.replay_buffer.observations)
    assert np.array_equal(flat(parts), flat(whole))


def test_a_wrapper_around_it_is_named(tmp_path: Path) -> None:
    env = ResumableEpisode(gym.make("CartPole-v1"))  # SB3 puts a Monitor around it
    with error_naming(UserError, "ResumableEpisode | Monitor"):
        CarDQN("MlpPolicy", env, buffer_size=100).learn(10, ExactCheckpoint(tmp_path, 5))
    inside = ResumableEpisode(Monitor(gym.make("CartPole-v1")))
    CarDQN("MlpPolicy", inside, buffer_size=100).learn(10, ExactCheckpoint(tmp_path, 5))
