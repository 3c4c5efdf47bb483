"""GroupedSubprocVecEnv: several environments per worker process."""

import contextlib
import multiprocessing as mp
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable
from itertools import chain
from multiprocessing.connection import Connection
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import CloudpickleWrapper, VecEnvObs, VecEnvStepReturn

from sb3_cardqn import trust
from sb3_cardqn.checks import check_whole
from sb3_cardqn.env.meanwhile import busy
from sb3_cardqn.errors import WorkerDiedError
from sb3_cardqn.signals import not_ignored


class GroupedSubprocVecEnv(SubprocVecEnv):
    """
    SB3's ``SubprocVecEnv`` with few processes, each of which steps several environments in turn.

    For a cheap environment a process of its own costs more than the environment, and more processes than
    cores wait for each other. The same seed gives the same episodes as with SB3. An error in an environment
    is raised here with its own type, and ends its process, as in SB3; a killed process raises a
    ``WorkerDiedError``. After either only ``close()`` works. Ctrl-C is left to the learner.

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
        with trust.safe_path():
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

    def reset(self) -> VecEnvObs:
        """
        :return: (n_envs, ...) first observations
        """
        self._check_idle("reset")
        for worker in self._workers:
            worker.forget()
            worker.ask(None, "reset", (self._seeds[worker.part], self._options[worker.part]))
        obs, reset_infos = zip(*[worker.answer() for worker in self._workers], strict=True)
        self.reset_infos = [*chain.from_iterable(reset_infos)]
        self._reset_seeds()
        self._reset_options()
        return _joined(obs)

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: (n_envs, ...)
        """
        self._check_idle("step")
        if len(actions) != self.num_envs:
            raise ValueError(
                f"GroupedSubprocVecEnv needs an action for each of {self.num_envs} environments, got "
                f"{len(actions)}"
            )
        for worker in self._workers:
            worker.forget()
            worker.ask(None, "step", actions[worker.part])
        self.waiting = True

    def _check_idle(self, question: str) -> None:
        if self.waiting:
            raise busy(question)

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: observations, rewards, dones, infos
        """
        self.waiting = False
        answers = [worker.answer() for worker in self._workers]
        obs, rewards, dones, infos, reset_infos = zip(*answers, strict=True)
        self.reset_infos = [*chain.from_iterable(reset_infos)]
        return _joined(obs), np.concatenate(rewards), np.concatenate(dones), [*chain.from_iterable(infos)]

    def close(self) -> None:
        """End all processes, even if one of them has failed; a step that they are taking is lost."""
        if not self.closed:
            for worker in self._workers:
                worker.end()
            self.closed = True


def _joined(parts: tuple[Any, ...]) -> Any:
    """
    :param parts: observations of each process: arrays, or dicts or tuples of arrays
    :return: observations of all of them
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(map(np.concatenate, zip(*parts, strict=True)))
    return np.concatenate(parts)


class _Worker:
    """
    A process with environments in it.

    :param context: multiprocessing context that starts it
    :param env_fns: functions of all processes
    :param envs: indices of the functions for this process
    """

    def __init__(self, context: Any, env_fns: list[Callable[[], gym.Env]], envs: list[int]) -> None:
        self.envs, self.part = envs, slice(envs[0], envs[-1] + 1)
        self._owed = 0  # answers to come
        self._early: deque[Any] = deque()  # answers that nobody has asked for yet
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, CloudpickleWrapper([env_fns[i] for i in envs])), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, index: int | None, question: str, data: Any) -> None:
        """
        Send a question to the process, which answers one at a time: a large question and a large answer in
        the pipe at once would block each other.

        :param index: position of an environment in the process, None for a question to all of them
        :param question: command of ``SubprocVecEnv``
        :param data: the command's data
        :raises WorkerDiedError: if the process has ended
        """
        if self._owed:
            self._early.append(self._received())
        try:
            self.connection.send((index, question, data))
        except OSError as error:
            if self.connection.poll():
                self._received()  # raises the error for which the process ended
            raise self._died() from error
        self._owed += 1

    def answer(self) -> Any:
        """
        :return: the answer to the earliest question without one
        :raises WorkerDiedError: if the process has ended
        """
        return self._early.popleft() if self._early else self._received()

    def _received(self) -> Any:
        try:
            answer, error = self.connection.recv()
        except (EOFError, OSError) as lost:
            raise self._died() from lost
        self._owed -= 1
        if error is not None:
            raise error
        return answer

    def forget(self) -> None:
        """Drop answers that Ctrl-C kept from being read: the next question must not get them."""
        while self._owed:
            self._received()
        self._early.clear()

    def end(self) -> None:
        """End the process, even if it has failed; answers that nobody has read are lost."""
        try:
            for _ in range(self._owed):  # it does not read while it writes
                self.connection.recv()
            self.connection.send((None, "close", None))
        except (EOFError, OSError):  # it has ended already
            pass
        self.process.join()
        self.connection.close()

    def _died(self) -> WorkerDiedError:
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
        self._worker.ask(self._index, *message)

    def recv(self) -> Any:
        return self._worker.answer()


def _serve(connection: Connection, env_fns: CloudpickleWrapper) -> None:
    """
    Answer SB3's questions; runs in the worker process.

    :param connection: receives (index of the environment, or None for all; question; its data), sends
        (answer, None) or (None, error)
    :param env_fns: functions that each make an environment
    """
    for number in not_ignored("SIGINT", "SIGHUP"):  # a terminal sends them to every process
        signal.signal(number, signal.SIG_IGN)  # the learner needs this process to finish its step
    cv2.setNumThreads(1)  # one core per process
    try:
        envs = DummyVecEnv(env_fns.var)
        while True:
            try:
                index, question, data = connection.recv()
            except EOFError:  # the learner's process has ended
                return
            if question == "close":
                break
            connection.send((_answer(envs, index, question, data), None))
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):  # nobody reads it any more
            connection.send((None, _sendable(error)))
        return
    envs.close()  # nobody reads an answer; an error is printed, as by SB3


def _sendable(error: Exception) -> Exception:
    """
    :param error: error of an environment, which is being handled
    :return: the error with its traceback as a note; a ``RuntimeError`` with its text if it cannot be pickled
    """
    trace = f"in the environments' process:\n{traceback.format_exc()}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # such as TypeError, of a class whose constructor takes other arguments
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(trace)
    return error


def _answer(envs: DummyVecEnv, index: int | None, question: str, data: Any) -> Any:
    """
    :param envs: environments of the process
    :param index: environment that is asked, None for all of them
    :param question: command of ``SubprocVecEnv``
    :param data: the command's data
    :return: answer of SB3's own worker to it; of all environments to "step" and "reset"
    """
    if question == "step":
        return (*envs.step(data), envs.reset_infos)
    if question == "reset":
        envs._seeds, envs._options = data
        return envs.reset(), envs.reset_infos
    if question == "env_method":
        name, args, kwargs = data
        return envs.env_method(name, *args, indices=index, **kwargs)[0]
    if question == "set_attr":
        name, value = data
        return envs.set_attr(name, value, index)
    ask: dict[str, Callable[[], Any]] = {
        "get_spaces": lambda: (envs.observation_space, envs.action_space),
        "get_attr": lambda: envs.get_attr(data, index)[0],
        "has_attr": lambda: envs.has_attr(data),
        "is_wrapped": lambda: envs.env_is_wrapped(data, index)[0],
        "render": lambda: envs._get_target_envs(index)[0].render(),
    }
    return ask[question]()
