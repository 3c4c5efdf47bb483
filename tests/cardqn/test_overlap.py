from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from stable_baselines3.common.callbacks import (
    BaseCallback,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnvWrapper

from sb3_cardqn import CarDQN, FrameReplayBuffer
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from tests.cardqn.small import SMALL, OneStep, flat
from tests.devices import DEVICES
from tests.named import error_naming
from tests.small_training import stacked_dots


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
    before: dict[bool, list[int]] = {}
    for overlap in (False, True):

        class Watcher(BaseCallback):
            in_step: ClassVar[list[int]] = []
            before_step: ClassVar[list[int]] = []

            def _on_rollout_start(self) -> None:
                self.before_step.append(self.model._n_updates)

            def _on_step(self) -> bool:
                self.in_step.append(self.model._n_updates)
                return True

        env = make_vec_env("CartPole-v1", 2, seed=0)
        model = CarDQN("MlpPolicy", env, overlap=overlap, gradient_steps=3, **SMALL | {"train_freq": 1})
        model.learn(40, Watcher())
        updates[overlap] = [*Watcher.in_step, model._n_updates]
        before[overlap] = Watcher.before_step
    # when the callback runs, the step's own update is still to come; with overlap the one before it is done
    assert updates[False] == updates[True] == [0] * 11 + [3 * i for i in range(1, 11)]
    assert before[False] == [0] * 11 + [3 * i for i in range(1, 10)]
    assert before[True] == [0] * 12 + [3 * i for i in range(1, 9)]


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


@pytest.mark.parametrize("overlap", [True, False])
def test_a_run_that_a_callback_stopped_goes_on(overlap: bool) -> None:
    class Stops(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 50

    env = make_vec_env(stacked_dots, 2, seed=0)
    model = CarDQN(
        "MlpPolicy", env, replay_buffer_class=FrameReplayBuffer, overlap=overlap, **SMALL | {"train_freq": 1}
    )
    model.learn(100, Stops())
    assert model.num_timesteps == 50
    model.learn(50, reset_num_timesteps=False)  # the step that the callback stopped was not stored
    assert model.num_timesteps == 100
    assert model.replay_buffer.size() == 49


class Once(BaseCallback):
    """Does something at the end of the first rollout after agent step 40, and at the end of training."""

    def __init__(self, rollout: Any = None, training: Any = None) -> None:
        super().__init__()
        self.rollout, self.training = rollout, training

    def _on_step(self) -> bool:
        assert not self.model.policy.training  # as SB3 sets it at the start of a rollout
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= 40 and self.rollout:
            self.rollout(self.model)
            self.rollout = None

    def _on_training_end(self) -> None:
        if self.training:
            self.training(self.model)


@pytest.mark.parametrize("overlap", [True, False])
def test_callbacks_find_what_they_find_without_overlap(overlap: bool) -> None:
    env = make_vec_env("CartPole-v1", 2, seed=0)
    model = CarDQN("MlpPolicy", env, overlap=overlap, **SMALL | {"train_freq": 1})
    at_the_end: list[int] = []
    model.learn(60, Once(lambda agent: agent.train(4, 8), lambda agent: at_the_end.append(agent._n_updates)))
    # an update after each of the 20 rollouts from agent step 22 on, and the callback's four
    assert at_the_end == [model._n_updates] == [20 + 4]


@pytest.mark.parametrize("overlap", [True, False])
def test_what_a_callback_trains_is_there_at_once(overlap: bool) -> None:
    def train(model: CarDQN) -> None:
        before = flat(model)
        model.train(1, 8)
        changed.append(not np.array_equal(flat(model), before))

    changed: list[bool] = []
    env = make_vec_env("CartPole-v1", 2, seed=0)
    CarDQN("MlpPolicy", env, overlap=overlap, **SMALL | {"train_freq": 1}).learn(60, Once(train))
    assert changed == [True]


@pytest.mark.parametrize("overlap", [True, False])
def test_a_callback_can_change_the_environments(overlap: bool) -> None:
    def change(model: CarDQN) -> None:
        model.set_env(other, force_reset=False)
        vars(model)["_last_obs"] = other.reset()

    env, other = (make_vec_env(lambda: OneStep(truncates=False), 2) for _ in range(2))
    counts = {id(one): 0 for one in (env, other)}
    model = CarDQN("MlpPolicy", env, overlap=overlap, **SMALL | {"train_freq": 1})
    model.learn(60, Once(change))
    for one in (env, other):
        counts[id(one)] = sum(one.get_attr("total_steps"))
    assert list(counts.values()) == [40, 20]


class ClipsRewards(VecEnvWrapper):
    """A wrapper with a step of its own, which nothing else calls."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()

    def step(self, actions: np.ndarray) -> Any:
        obs, rewards, dones, infos = super().step(actions)
        return obs, np.sign(rewards) / 2, dones, infos


def test_a_callback_can_put_a_wrapper_with_a_step_of_its_own_around_them() -> None:
    def wrap(model: CarDQN) -> None:
        wrapped = ClipsRewards(model.env)
        model.set_env(wrapped, force_reset=False)

    env = make_vec_env("CartPole-v1", 2, seed=0)
    model = CarDQN("MlpPolicy", env, **SMALL | {"train_freq": 1})
    vars(model)["overlaps"] = lambda env: not isinstance(env, ClipsRewards)  # as with SubprocVecEnv
    model.learn(60, Once(wrap))
    assert model.replay_buffer.rewards[:30, 0].tolist() == [1.0] * 20 + [0.5] * 10
    assert model._n_updates == 20


@pytest.mark.slow
def test_a_step_of_a_wrappers_own_is_not_passed_over() -> None:
    env = ClipsRewards(make_vec_env("CartPole-v1", 2, seed=0, vec_env_cls=SubprocVecEnv))
    model = CarDQN("MlpPolicy", env, **SMALL | {"train_freq": 1}).learn(60)
    assert model.replay_buffer.rewards[:30].tolist() == [[0.5, 0.5]] * 30
    model.overlap = True
    with error_naming(ValueError, "overlap | ClipsRewards"):
        model.learn(60)
    env.close()
