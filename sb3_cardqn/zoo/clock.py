"""How long a run has trained, without its evaluations, and when it has trained long enough."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback, EvalCallback

FILE_NAME = "training_clock.csv"
_TAIL = 256  # bytes: the longest line, several times


@dataclass(frozen=True)
class Reading:
    """
    A line of ``training_clock.csv``.

    :param agent_steps: taken so far
    :param seconds: of training until then, evaluations not counted
    """

    agent_steps: int = 0
    seconds: float = 0.0


def read_clock(folder: Path) -> list[Reading]:
    """
    :param folder: of a run, which may still be training
    :return: what its clock has shown so far, about once a second and at each evaluation
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    # without its end of line, the last one is still being written
    rows = [line.split(",") for line in path.read_text().splitlines(keepends=True)[1:] if line.endswith("\n")]
    return [Reading(int(agent_steps), float(seconds)) for agent_steps, seconds in rows]


def last_reading(folder: Path) -> Reading:
    """
    Read the end of the clock's file, however long the run has trained.

    :param folder: of a run, which may still be training
    :return: what its clock has shown last
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return Reading()
    with path.open("rb") as file:
        file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
        lines = file.read(_TAIL).split(b"\n")
    # the last one is empty, or still being written; the first one may be half a line
    agent_steps, _, seconds = lines[-2].decode().partition(",") if len(lines) > 1 else ("", "", "")
    return Reading(int(agent_steps), float(seconds)) if agent_steps.isdecimal() else Reading()


class _Stopwatch:
    """An object, and no number that a checkpoint would take into another process."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """
        :return: seconds since it was last asked
        """
        before, self._since = self._since, time.perf_counter()
        return self._since - before


class TrainingClock(BaseCallback):
    """
    Write down the seconds of training, and stop when a budget in minutes is used up.

    Comes before the evaluation in the list of callbacks. A resumed training goes on counting where its
    checkpoint was made. With a budget in minutes, schedules follow the share of it that is used up.

    :param folder: of the run
    :param evaluation: whose time is not counted
    :param minutes: of training after which to stop; None for no such limit
    :param n_evaluations: with ``minutes``: evaluations spread evenly over them
    """

    def __init__(
        self,
        folder: Path,
        evaluation: EvalCallback | None = None,
        minutes: float | None = None,
        n_evaluations: int = 0,
    ) -> None:
        super().__init__()
        self.path = folder / FILE_NAME
        self.evaluation = evaluation
        self.budget = None if minutes is None else 60 * minutes
        self.n_evaluations = n_evaluations
        self.seconds = 0.0  # of training until the last agent step
        self._evaluated = 0  # times
        self._last: Reading | None = None  # that this process has written
        self._stopwatch: _Stopwatch | None = None
        if evaluation is not None:
            self.leave_out(evaluation)

    def leave_out(self, evaluation: EvalCallback) -> None:
        """
        Do not count the time of an evaluation, nor of what its user does after it.

        :param evaluation: comes after the clock in the list of callbacks
        """
        after = [evaluation.callback] if evaluation.callback is not None else []
        evaluation.callback = CallbackList([*after, ConvertCallback(self._after_evaluation)])
        evaluation.callback.parent = evaluation

    def _on_rollout_start(self) -> None:
        self._stopwatch = self._stopwatch or _Stopwatch()  # not before: reading a checkpoint is no training

    def _on_step(self) -> bool:
        assert self._stopwatch is not None
        self.seconds += self._stopwatch.lap()
        if self._last is None or self.seconds - self._last.seconds >= 1:
            self._write()
        if self.budget is None:
            return True
        self._share_out(self.seconds / self.budget)
        return self.seconds < self.budget

    def _share_out(self, used: float) -> None:
        # what SB3's schedules divide num_timesteps by
        self.model._total_timesteps = max(round(self.num_timesteps / used), self.num_timesteps)
        if self.evaluation is not None:
            due = int(used * self.n_evaluations) > self._evaluated
            self._evaluated += due
            self.evaluation.eval_freq = self.evaluation.n_calls + (1 if due else 2)

    def _after_evaluation(self, *_: Any) -> bool:
        assert self._stopwatch is not None
        self._stopwatch.lap()
        self._write()
        return True

    def _on_training_end(self) -> None:
        if self._last is not None and self.num_timesteps > self._last.agent_steps:
            self._write()

    def _write(self) -> None:
        if self._last is None:
            # what came after the checkpoint is driven again
            kept = [reading for reading in read_clock(self.path.parent) if reading.seconds < self.seconds]
            lines = ["agent_steps,seconds", *(f"{reading.agent_steps},{reading.seconds}" for reading in kept)]
            self.path.write_text("\n".join(lines) + "\n")
        self._last = Reading(self.num_timesteps, round(self.seconds, 3))
        with self.path.open("a") as file:
            file.write(f"{self._last.agent_steps},{self._last.seconds}\n")


def by_the_clock(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """
    Let schedules of an on-policy algorithm follow a budget in minutes, as those of off-policy ones do.

    On-policy algorithms divide by the argument of ``learn()``, off-policy ones by what the clock writes.

    :param algorithm: on-policy
    :return: subclass of it, which saves the same files
    :raises RuntimeError: if this SB3 computes its progress elsewhere
    """
    if not hasattr(algorithm, "_update_current_progress_remaining"):
        raise RuntimeError(
            "--minutes needs an algorithm with _update_current_progress_remaining, got "
            f"{algorithm.__name__} of a release of SB3 that is not known here"
        )

    class ByTheClock(algorithm):  # type: ignore[valid-type, misc]
        def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
            super()._update_current_progress_remaining(num_timesteps, self._total_timesteps)

    ByTheClock.__name__ = algorithm.__name__
    return ByTheClock
