"""TrainingClock: measures training time without evaluations, and enforces a budget in minutes."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback, ProgressBarCallback
from tqdm.rich import tqdm

from sb3_cardqn.durable import sync_file, write_text
from sb3_cardqn.zoo.validation import ValidationCallback, evaluates

FILE_NAME = "training_clock.csv"
_TAIL = 256  # bytes; several times the longest line


@dataclass(frozen=True)
class Reading:
    """
    A line of ``training_clock.csv``.

    :param agent_steps: number of agent steps so far
    :param seconds: seconds of training so far, without evaluations
    """

    agent_steps: int = 0
    seconds: float = 0.0


def read_clock(folder: Path) -> list[Reading]:
    """
    :param folder: run folder, possibly of a running training
    :return: all readings so far, about one per second and one at every evaluation
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    # a last line without an end of line is still being written
    rows = [line.split(",") for line in path.read_text().splitlines(keepends=True)[1:] if line.endswith("\n")]
    return [Reading(int(agent_steps), float(seconds)) for agent_steps, seconds in rows]


def last_reading(folder: Path) -> Reading:
    """
    Read only the end of the clock's file, which takes the same time for a run of any length.

    :param folder: run folder, possibly of a running training
    :return: latest reading
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return Reading()
    with path.open("rb") as file:
        file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
        lines = file.read(_TAIL).split(b"\n")
    # the last line is empty or still being written; the first one may be incomplete
    agent_steps, _, seconds = lines[-2].decode().partition(",") if len(lines) > 1 else ("", "", "")
    return Reading(int(agent_steps), float(seconds)) if agent_steps.isdecimal() else Reading()


def first_kept(scores: Sequence[float], threshold: float) -> int | None:
    """
    Find where a learning curve reaches a score and does not fall back at once.

    >>> first_kept([700, 905, 880, 910, 900, 870], 900)
    3

    :param scores: mean score of each evaluation
    :param threshold: score to reach
    :return: index of the first evaluation that reaches it, if the next one does too; None if there is none
    """
    there = np.asarray(scores) >= threshold
    kept = np.flatnonzero(there[:-1] & there[1:])
    return int(kept[0]) if len(kept) else None


def print_time_to(threshold: float | None, folder: Path) -> None:
    """
    Print when the evaluations of a run reached a score and kept it, if they did.

    :param threshold: score to reach, or None
    :param folder: folder of the run
    """
    path = folder / "evaluations.npz"
    if threshold is None or not path.is_file():
        return
    with np.load(path) as evaluations:
        first = first_kept(evaluations["results"].mean(axis=1), threshold)
        steps = evaluations["timesteps"]
    seconds = {reading.agent_steps: reading.seconds for reading in read_clock(folder)}
    # a run that was copied without its clock, and trained on, lacks readings
    if first is None or int(steps[first]) not in seconds:
        return
    spent = seconds[int(steps[first])]
    time = f"{spent:.0f} seconds" if spent < 60 else f"{spent / 60:.1f} minutes"
    print(f"Reached {threshold:g} after {time} of training, {steps[first]} agent steps")


class _Stopwatch:
    """A stopwatch as an object; a checkpoint would carry a number into another process."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """
        :return: seconds since the previous call
        """
        before, self._since = self._since, time.perf_counter()
        return self._since - before


class TrainingClock(BaseCallback):
    """
    Record the seconds of training, and stop when a budget in minutes is used up.

    Evaluations are the clock's children: it calls them and does not count their time. A resumed run continues
    counting at its checkpoint. With a budget in minutes, schedules follow the used part of the budget.

    :param folder: run folder
    :param evaluations: callbacks whose time is not counted; with ``minutes``, the first is called when due
    :param minutes: budget in minutes of training, or None for no limit
    :param n_evaluations: with ``minutes``, number of evaluations, evenly spaced over the budget
    """

    def __init__(
        self,
        folder: Path,
        evaluations: Sequence[EvalCallback] = (),
        minutes: float | None = None,
        n_evaluations: int = 0,
    ) -> None:
        super().__init__()
        self.path = folder / FILE_NAME
        self.evaluations = list(evaluations)
        self.budget = None if minutes is None else 60 * minutes
        self.n_evaluations = n_evaluations
        self.seconds = 0.0  # of training until the last agent step
        self._evaluated = 0  # evaluations due so far
        self._last: Reading | None = None  # last reading written by this process
        self._stopwatch: _Stopwatch | None = None

    def _init_callback(self) -> None:
        for evaluation in self.evaluations:
            evaluation.init_callback(self.model)

    def _on_training_start(self) -> None:
        for evaluation in self.evaluations:
            evaluation.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        self._stopwatch = self._stopwatch or _Stopwatch()  # a checkpoint has been read before
        for evaluation in self.evaluations:
            evaluation.on_rollout_start()

    def _on_step(self) -> bool:
        assert self._stopwatch is not None
        self.seconds += self._stopwatch.lap()
        if self._last is None or self.seconds - self._last.seconds >= 1:
            self._write()
        go_on = True
        if self.budget is not None:
            self._share_out(self.seconds / self.budget)
            go_on = self.seconds < self.budget
        for evaluation in self.evaluations:
            go_on = evaluation.on_step() and go_on
            if evaluates(evaluation):
                self._write()
        self._stopwatch.lap()
        return go_on

    def _share_out(self, used: float) -> None:
        # SB3's schedules divide num_timesteps by this number
        self.model._total_timesteps = max(round(self.num_timesteps / used), self.num_timesteps)
        reached = int(used * self.n_evaluations)  # a long update can pass several, which are then one
        due = reached > self._evaluated
        self._evaluated = reached
        for evaluation in self.evaluations[:1]:
            if isinstance(evaluation, ValidationCallback):
                evaluation.evaluate_next(due)

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """
        :param locals_: local variables of ``learn()``
        """
        for evaluation in self.evaluations:
            evaluation.update_locals(locals_)

    def _on_rollout_end(self) -> None:
        for evaluation in self.evaluations:
            evaluation.on_rollout_end()

    def _on_training_end(self) -> None:
        for evaluation in self.evaluations:
            evaluation.on_training_end()
        if self._last is not None:
            if self.num_timesteps > self._last.agent_steps:
                self._write()
            sync_file(self.path)  # without its last line, a finished run would look like one to train again

    def _write(self) -> None:
        if self._last is None:
            # drop readings after the checkpoint, because that part is trained again
            earlier = read_clock(self.path.parent)
            kept = [reading for reading in earlier if reading.agent_steps < self.num_timesteps]
            lines = ["agent_steps,seconds", *(f"{reading.agent_steps},{reading.seconds}" for reading in kept)]
            write_text(self.path, "\n".join(lines) + "\n")
        self._last = Reading(self.num_timesteps, round(self.seconds, 3))
        with self.path.open("a") as file:
            file.write(f"{self._last.agent_steps},{self._last.seconds}\n")


class StepsBar(ProgressBarCallback):
    """SB3's progress bar; after an error at the start of ``learn()`` the zoo ends one that never began."""

    def _on_training_end(self) -> None:
        if hasattr(self, "pbar"):
            super()._on_training_end()


class SecondsBar(StepsBar):
    """
    SB3's progress bar in seconds, for a budget in minutes: nobody knows how many agent steps it will take.

    :param budget: seconds in all
    :param seconds: function that returns the seconds so far
    """

    def __init__(self, budget: float, seconds: Callable[[], float]) -> None:
        super().__init__()
        self.budget, self.seconds = budget, seconds

    def _on_training_start(self) -> None:
        self.pbar = tqdm(total=round(self.budget, 1), unit="s")

    def _on_step(self) -> bool:
        self.pbar.update(self.seconds() - self.pbar.n)
        return True

    def _on_training_end(self) -> None:
        if hasattr(self, "pbar"):
            self._on_step()
        super()._on_training_end()


def bar_of(clock: TrainingClock) -> StepsBar:
    """
    :param clock: clock of a run
    :return: progress bar in the unit of its budget
    """
    return StepsBar() if clock.budget is None else SecondsBar(clock.budget, lambda: clock.seconds)


for _bar in (StepsBar, SecondsBar):
    _bar.__name__ = ProgressBarCallback.__name__  # by which checkpoints know it


def by_the_clock(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """
    Make schedules of an on-policy algorithm follow a budget in minutes, like those of off-policy algorithms.

    On-policy algorithms divide by the argument of ``learn()``, off-policy ones by a number the clock sets.

    :param algorithm: on-policy algorithm
    :return: subclass that saves the same files
    :raises RuntimeError: if this release of SB3 computes its progress elsewhere
    """
    if not hasattr(algorithm, "_update_current_progress_remaining"):
        raise RuntimeError(
            "--minutes needs an algorithm with _update_current_progress_remaining, got "
            f"{algorithm.__name__} of an unsupported release of SB3"
        )

    class ByTheClock(algorithm):  # type: ignore[valid-type, misc]
        def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
            super()._update_current_progress_remaining(num_timesteps, self._total_timesteps)

    ByTheClock.__name__ = algorithm.__name__
    return ByTheClock
