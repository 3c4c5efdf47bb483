"""Meanwhile: work that is done while environments step."""

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


def busy(question: str) -> RuntimeError:
    """
    :param question: command of a ``SubprocVecEnv``
    :return: error of asking it while the environments step
    """
    return RuntimeError(
        f"the environments cannot answer '{question}' while they step; gradient updates of CarDQN that call "
        "the environments need overlap=False"
    )


def stepped(env: VecEnv) -> Any:
    """
    :param env: environments
    :return: the outermost with a ``step`` of its own, else the innermost; within an adapter, no ``VecEnv``
    """
    while isinstance(env, VecEnvWrapper) and type(env).step is VecEnv.step:
        env = env.venv
    return env


class _Busy:
    """Replaces the pipe to an environment while the environment steps."""

    def send(self, message: tuple[str, Any]) -> None:
        """
        :param message: command of a ``SubprocVecEnv``, and its data
        :raises RuntimeError: always
        """
        raise busy(message[0])


class Meanwhile(VecEnvWrapper):
    """
    Do other work while the environments step; useful if they step in processes of their own.

    :param venv: the environments
    :param work: function called once per step, after the actions are sent and before the answers are awaited
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
        :raises RuntimeError: if the work calls the environments: it would receive the answer to the step
        """
        self.step_async(actions)
        processes = stepped(self.venv)
        remotes = getattr(processes, "remotes", None)  # only a SubprocVecEnv has them
        if remotes is not None:
            processes.remotes = (_Busy(),) * len(remotes)
        try:
            self._work()
        finally:
            if remotes is not None:
                processes.remotes = remotes
            result = self.step_wait()  # also after an error: the next question must not get these answers
        return result

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: observations, rewards, dones, infos
        """
        return self.venv.step_wait()
