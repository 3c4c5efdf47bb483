"""Environments in processes of their own, several in each: for those that are cheap to step."""

import multiprocessing as mp
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import CloudpickleWrapper, VecEnvObs, VecEnvStepReturn


class GroupedSubprocVecEnv(SubprocVecEnv):
    """
    SB3's ``SubprocVecEnv`` with a few processes, in each of which several environments take turns.

    A process for each environment costs more than a cheap environment itself: more processes than cores
    wait for each other. The same seed gives the same episodes as in SB3's. An error in an environment is
    raised here, with its own type; after it only ``close()`` is left.

    >>> env = make_vec_env("CartPole-v1", 8, vec_env_cls=GroupedSubprocVecEnv)  # doctest: +SKIP

    :param env_fns: each makes an environment
    :param start_method: of the processes; as in SB3's "forkserver", or "spawn" where that is missing
    :param n_processes: how many, at least 1: the cores that the learner does not need
    :raises ValueError: if ``n_processes`` is smaller than 1
    """

    def __init__(
        self, env_fns: list[Callable[[], gym.Env]], start_method: str | None = None, n_processes: int = 1
    ) -> None:
        if n_processes < 1:
            raise ValueError(f"GroupedSubprocVecEnv needs n_processes >= 1, got {n_processes}")
        if start_method is None:
            start_method = "forkserver" if "forkserver" in mp.get_all_start_methods() else "spawn"
        context: Any = mp.get_context(start_method)
        self.waiting = False
        self.closed = False
        self.processes = []
        remotes: list[Any] = []
        for group in np.array_split(np.arange(len(env_fns)), min(n_processes, len(env_fns))):
            ours, theirs = context.Pipe()
            wrapped = CloudpickleWrapper([env_fns[i] for i in group])
            process = context.Process(target=_serve, args=(theirs, wrapped), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            remotes += [_Remote(ours, i) for i in range(len(group))]
        self.remotes = tuple(remotes)
        self.remotes[0].send(("get_spaces", None))
        # past SubprocVecEnv's own __init__, which starts a process for each environment
        VecEnv.__init__(self, len(env_fns), *self.remotes[0].recv())

    def close(self) -> None:
        """End the processes, also after an error in one of them."""
        try:
            super().close()
        except (EOFError, OSError):  # the process that failed has ended
            for process in self.processes:
                process.terminate()
                process.join()
            self.closed = True


class _Remote:
    """
    The end of a pipe as SB3 knows it: one environment's. The environments of a process share the pipe; their
    answers come in the order of the questions.

    :param connection: to the process
    :param index: of the environment there
    """

    def __init__(self, connection: Connection, index: int) -> None:
        self._connection, self._index = connection, index

    def send(self, message: tuple[str, Any]) -> None:
        self._connection.send((self._index, *message))

    def recv(self) -> Any:
        answer, error = self._connection.recv()
        if error is not None:
            raise error
        return answer

    def close(self) -> None:
        self._connection.close()


def _serve(connection: Connection, env_fns: CloudpickleWrapper) -> None:
    """
    Answer SB3's questions, in a process of its own.

    :param connection: (index of the environment, question, its data) come in, (answer, None) go out
    :param env_fns: each makes an environment
    """
    cv2.setNumThreads(1)  # this process is for one core
    try:
        envs = [DummyVecEnv([env_fn]) for env_fn in env_fns.var]
        still_open = len(envs)
        while still_open:
            index, question, data = connection.recv()
            if question == "close":
                envs[index].close()
                still_open -= 1
            else:
                connection.send((_answer(envs[index], question, data), None))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        connection.send((None, error))


def _answer(env: DummyVecEnv, question: str, data: Any) -> Any:
    """
    :param env: of one environment
    :param question: of ``SubprocVecEnv``
    :param data: what belongs to it
    :return: what SB3's worker would answer
    """
    if question == "step":
        obs, rewards, dones, infos = env.step([data])  # type: ignore[arg-type]
        return _first(obs), rewards[0], dones[0], infos[0], env.reset_infos[0]
    if question == "reset":
        seed, options = data
        env._seeds, env._options = [seed], [options]
        return _first(env.reset()), env.reset_infos[0]
    if question == "env_method":
        name, args, kwargs = data
        return env.env_method(name, *args, **kwargs)[0]
    if question == "set_attr":
        return env.set_attr(*data)
    ask: dict[str, Callable[[], Any]] = {
        "get_spaces": lambda: (env.observation_space, env.action_space),
        "get_attr": lambda: env.get_attr(data)[0],
        "has_attr": lambda: env.has_attr(data),
        "is_wrapped": lambda: env.env_is_wrapped(data)[0],
        "render": lambda: env.envs[0].render(),
    }
    return ask[question]()


def _first(obs: Any) -> Any:
    """
    :param obs: observations of a vector of one: array, or dict or tuple of them
    :return: the one's
    """
    if isinstance(obs, dict):
        return {key: value[0] for key, value in obs.items()}
    return tuple(value[0] for value in obs) if isinstance(obs, tuple) else obs[0]


class Meanwhile(VecEnvWrapper):
    """
    Does something else while the environments step. It helps where they step in processes of their own.

    :param venv: the environments
    :param work: done once each step, after the actions went out and before the answers are waited for
    """

    def __init__(self, venv: VecEnv, work: Callable[[], None]) -> None:
        super().__init__(venv)
        self._work = work

    def reset(self) -> VecEnvObs:
        """
        :return: (n_envs, ...) first observations
        """
        return self.venv.reset()

    def step(self, actions: np.ndarray) -> VecEnvStepReturn:
        """
        :param actions: (n_envs, ...)
        :return: observations, rewards, dones, infos
        """
        self.step_async(actions)
        self._work()
        return self.step_wait()

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: observations, rewards, dones, infos
        """
        return self.venv.step_wait()
