"""ResumableEpisode: a wrapper that records the running episode, so that another process can replay it."""

import hashlib
import json
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.monitor import Monitor


class ResumableEpisode(gym.Wrapper, RecordConstructorArgs):
    """
    Let another process resume the running episode by replaying its actions from the same random state.

    It works where all randomness comes from ``np_random``, as in CarRacing; elsewhere, as in MinAtar, a new
    episode begins. It must be the outermost wrapper, so that all other wrappers are replayed too. A
    ``Monitor`` inside continues its clock, and its file if made with ``override_existing=False``. Memory and
    replay time grow with the length of the episode.

    >>> env, other = (ResumableEpisode(gym.make("CartPole-v1")) for _ in range(2))
    >>> _ = env.reset(seed=0), env.step(1), env.step(0)
    >>> other.restore_episode(env.episode())
    True
    >>> bool((env.step(1)[0] == other.step(1)[0]).all())
    True

    :param env: environment with all its other wrappers
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._start: dict[str, Any] | None = None
        self._actions: list[Any] = []
        self._rewards: list[Any] = []
        self._observation: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """
        :param seed: passed on
        :param options: passed on
        :return: first observation, info
        """
        self._start = {"random": get_generator(self.np_random), "seed": seed, "options": options}
        self._actions, self._rewards = [], []
        given = {} if options is None else {"options": options}  # an environment of your own may take none
        self._observation, info = self.env.reset(seed=seed, **given)
        return self._observation, info

    def step(self, action: Any) -> Any:
        """
        :param action: passed on
        :return: observation, reward, terminated, truncated, info
        """
        self._actions.append(np.array(action))
        self._observation, reward, *rest = self.env.step(action)
        self._rewards.append(reward)
        return self._observation, reward, *rest

    def episode(self) -> dict[str, Any]:
        """
        :return: the running episode's start and actions, and digests to verify that it was restored
        """
        monitor = unwrap_wrapper(self, Monitor)
        log: dict[str, Any] = {}
        if isinstance(monitor, Monitor):
            log["seconds"] = time.time() - monitor.t_start
            if monitor.results_writer is not None:
                log["size"] = monitor.results_writer.file_handler.tell()
        return {
            "start": self._start,
            "actions": np.array(self._actions),
            "random": get_generator(self.np_random),
            "observation": _digest(self._observation),
            "rewards": _digest(self._rewards),
            "log": log,
        }

    def restore_episode(self, episode: dict[str, Any]) -> bool:
        """
        Replay an episode up to its saved state.

        :param episode: result of ``episode()`` of an environment made in the same way
        :return: True if rewards, observation and random state are the same; if False, only the random state
            is restored, and ``reset`` begins the episode that would have come next
        """
        exact = False
        monitor = unwrap_wrapper(self, Monitor)
        if episode["start"] is not None:
            if isinstance(monitor, Monitor):
                monitor.needs_reset = True  # it may allow no early reset
            set_generator(self.np_random, episode["start"]["random"])
            self.reset(seed=episode["start"]["seed"], options=episode["start"]["options"])
            ended = False
            for action in episode["actions"]:
                _, _, terminated, truncated, _ = self.step(action)
                ended = terminated or truncated
                if ended:  # another episode: its randomness is not of np_random alone
                    break
            exact = (
                not ended
                and _digest(self._observation) == episode["observation"]
                and _digest(self._rewards) == episode.get("rewards", _digest(self._rewards))  # new in 0.2
                and _digest(get_generator(self.np_random)) == _digest(episode["random"])
            )
        set_generator(self.np_random, episode["random"])
        if isinstance(monitor, Monitor) and episode["log"]:
            monitor.t_start = time.time() - episode["log"]["seconds"]
            if monitor.results_writer is not None:
                file, size = monitor.results_writer.file_handler, episode["log"].get("size", 0)
                if file.seek(0, 2) > size:
                    file.truncate(size)
                    file.seek(0, 2)
        return exact


def get_generator(generator: Any) -> dict[str, Any]:
    """
    :param generator: NumPy's ``Generator``, or the ``RandomState`` of an older environment
    :return: its state
    """
    if isinstance(generator, np.random.RandomState):
        return dict(generator.get_state(legacy=False))
    return dict(generator.bit_generator.state)


def set_generator(generator: Any, state: dict[str, Any]) -> None:
    """
    :param generator: any generator
    :param state: result of ``get_generator``; the state of another kind of generator is ignored, because an
        environment may replace its generator at the first ``reset(seed)``
    """
    if get_generator(generator).get("bit_generator") != state.get("bit_generator"):
        return
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _digest(data: Any) -> str:
    """
    :param data: numbers, arrays, and lists, tuples and dicts of them
    :return: hexadecimal hash of the data
    """
    digest = hashlib.sha256()

    def array(value: Any) -> Any:
        value = np.asarray(value)
        digest.update(np.ascontiguousarray(value).tobytes())
        return [str(value.dtype), value.shape]

    digest.update(json.dumps(data, default=array).encode())
    return digest.hexdigest()
