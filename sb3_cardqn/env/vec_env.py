"""GroupedSubprocVecEnv (several environments per worker process) and Meanwhile (work done during a step)."""

import multiprocessing as mp
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import CloudpickleWrapper, VecEnvObs, VecEnvStepReturn

from sb3_cardqn.checks import check_whole
from sb3_cardqn.errors import WorkerDiedError
from sb3_cardqn.signals import not_ignored


class GroupedSubprocVecEnv(SubprocVecEnv):
    """
    SB3's ``SubprocVecEnv`` with few processes, each of which steps several environments in turn.

    For a cheap environment a process of its own costs more than the environment, and more processes than
    cores wait for each other. The same seed gives the same episodes as with SB3. An error in an environment
    is raised here with its own type. A killed process raises a ``WorkerDiedError``; after that only
    ``close()`` works. Ctrl-C is left to the learner.

    >>> env = make_vec_env("CartPole-v1", 8, vec_env_cls=GroupedSubprocVecEnv)  # doctest: +SKIP

    :param env_fns: functions that each make an environment
    :param start_method: how processes start; by default "forkserver", or "spawn" where that is missing, as
        in SB3
    :param n_processes: number of processes, at least 1; best the number of cores the learner does not need
    :raises ValueError: if ``n_processes`` is out of range
    """

    def __init__(
        self,
        env_fns: list[Callable[[], gym.Env]],
        start_method: str | None = None,
        n_processes: int = 1,
    ) -> None:
        n_processes = check_whole("GroupedSubprocVecEnv", "n_processes", n_processes)
        if start_method is None:
            methods = mp.get_all_start_methods()
            start_method = "forkserver" if "forkserver" in methods else "spawn"
        self.waiting = False
        self.closed = False
        groups = np.array_split(np.arange(len(env_fns)), min(n_processes, len(env_fns)))
        context = mp.get_context(start_method)
        self._workers = [_Worker(context, env_fns, [int(i) for i in group]) for group in groups]
        self.remotes: Any = tuple(
            _Remote(worker, i) for worker in self._workers for i in range(len(worker.envs))
        )
        self.remotes[0].send(("get_spaces", None))
        # skips SubprocVecEnv.__init__, which starts a process per environment
        VecEnv.__init__(self, len(env_fns), *self.remotes[0].recv())

    @property
    def processes(self) -> list[Any]:  # type: ignore[override]
        """The worker processes, under SB3's name."""
        return [worker.process for worker in self._workers]

    def close(self) -> None:
        """End all processes, even if one of them has failed."""
        try:
            super().close()
        except (WorkerDiedError, EOFError, OSError):  # the process that failed has ended
            for process in self.processes:
                process.terminate()
                process.join()
            self.closed = True


class _Worker:
    """
    A process with environments in it.

    :param context: multiprocessing context that starts it
    :param env_fns: functions of all processes
    :param envs: indices of the functions for this process
    """

    def __init__(self, context: Any, env_fns: list[Callable[[], gym.Env]], envs: list[int]) -> None:
        self.envs = envs
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, CloudpickleWrapper([env_fns[i] for i in envs])), daemon=True
        )
        self.process.start()
        theirs.close()

    def died(self) -> WorkerDiedError:
        """
        :return: error that says which process ended, and how
        """
        self.process.join(timeout=10)
        return WorkerDiedError(self.envs, self.process.exitcode)


class _Remote:
    """
    One environment's end of the pipe, with the interface that SB3 expects.

    The environments of a process share its pipe; answers come in the order of the questions.

    :param worker: the process
    :param index: position of the environment in the process
    """

    def __init__(self, worker: _Worker, index: int) -> None:
        self._worker, self._index = worker, index

    def send(self, message: tuple[str, Any]) -> None:
        try:
            self._worker.connection.send((self._index, *message))
        except OSError as error:
            raise self._worker.died() from error

    def recv(self) -> Any:
        try:
            answer, error = self._worker.connection.recv()
        except (EOFError, OSError) as lost:
            raise self._worker.died() from lost
        if error is not None:
            raise error
        return answer

    def close(self) -> None:
        self._worker.connection.close()


def _serve(connection: Connection, env_fns: CloudpickleWrapper) -> None:
    """
    Answer SB3's questions; runs in the worker process.

    :param connection: receives (index of the environment, question, its data), sends (answer, None)
    :param env_fns: functions that each make an environment
    """
    for number in not_ignored("SIGINT", "SIGHUP"):  # a terminal sends them to every process
        signal.signal(number, signal.SIG_IGN)  # the learner needs this process to finish its step
    cv2.setNumThreads(1)  # one core per process
    answers: list[tuple[Any, Exception | None]] = []
    try:
        envs = [DummyVecEnv([env_fn]) for env_fn in env_fns.var]
        still_open = len(envs)
        while still_open:
            index, question, data = connection.recv()
            if question == "close":
                envs[index].close()
                still_open -= 1
            else:
                answers.append((_answer(envs[index], question, data), None))
            if not connection.poll():
                # Sending earlier could stall: the learner may be busy, and a full pipe blocks the others.
                _send(connection, answers)
    except EOFError:
        pass
    except Exception as error:
        _send(connection, [*answers, (None, error)])


def _send(connection: Connection, answers: list[tuple[Any, Exception | None]]) -> None:
    while answers:
        connection.send(answers.pop(0))


def _answer(env: DummyVecEnv, question: str, data: Any) -> Any:
    """
    :param env: vector of one environment
    :param question: command of ``SubprocVecEnv``
    :param data: the command's data
    :return: answer of SB3's own worker to it
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
    :param obs: observation of a vector of one environment: an array, or a dict or tuple of arrays
    :return: observation of that environment
    """
    if isinstance(obs, dict):
        return {key: value[0] for key, value in obs.items()}
    return tuple(value[0] for value in obs) if isinstance(obs, tuple) else obs[0]


class _Busy:
    """Replaces the pipe to an environment while the environment steps."""

    def send(self, message: tuple[str, Any]) -> None:
        """
        :param message: command of a ``SubprocVecEnv``, and its data
        :raises RuntimeError: always
        """
        raise RuntimeError(
            f"the environments cannot answer '{message[0]}' while they step; gradient updates of CarDQN that "
            "call the environments need overlap=False"
        )


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
        processes: Any = self.unwrapped
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
