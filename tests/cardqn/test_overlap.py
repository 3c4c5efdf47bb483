from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from stable_baselines3.common.callbacks import (
    BaseCallback,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_cardqn import CarDQN, FrameReplayBuffer
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from tests.cardqn.small import SMALL, flat
from tests.devices import DEVICES
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
