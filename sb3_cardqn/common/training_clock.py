"""How long a run has trained, without its evaluations, and when it has trained long enough."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback, EvalCallback

FILE_NAME = "training_clock.csv"


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


class TrainingClock(BaseCallback):
    """
    Write down the seconds of training, and stop when a budget in minutes is used up.

    Comes before the evaluation in the list of callbacks. A continued training goes on counting where its
    checkpoint stopped. With a budget in minutes, schedules follow the share of it that is used up.

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
        self._last = Reading()
        self._counted, self._since = 0.0, 0.0  # seconds until the clock last stood still, and when that ended
        if evaluation is not None:
            evaluation.callback = ConvertCallback(self._go_on)

    @property
    def seconds(self) -> float:
        """Of training until now."""
        return self._counted + time.perf_counter() - self._since

    def _on_training_start(self) -> None:
        before = read_clock(self.path.parent) if self.model.num_timesteps else []
        before = [reading for reading in before if reading.agent_steps <= self.model.num_timesteps]
        lines = ["agent_steps,seconds", *(f"{reading.agent_steps},{reading.seconds}" for reading in before)]
        self.path.write_text("\n".join(lines) + "\n")
        self._last = before[-1] if before else Reading()
        self._counted, self._since = self._last.seconds, time.perf_counter()
        self._evaluated = 0 if self.budget is None else int(self._counted / self.budget * self.n_evaluations)
        if self.budget is not None:
            BaseAlgorithm._update_current_progress_remaining = _follow_total_timesteps  # type: ignore[assignment, method-assign]

    def _on_step(self) -> bool:
        seconds = self.seconds
        if self.budget is not None:
            self._share_out(seconds / self.budget)
        evaluates = self.evaluation is not None and (
            (self.evaluation.n_calls + 1) % self.evaluation.eval_freq == 0
        )
        if evaluates or seconds - self._last.seconds >= 1:
            self._write(seconds)
        if evaluates:
            self._counted = seconds  # and stands still until _go_on
        return self.budget is None or seconds < self.budget

    def _share_out(self, used: float) -> None:
        # what SB3's schedules divide num_timesteps by
        self.model._total_timesteps = max(round(self.num_timesteps / used), self.num_timesteps)
        if self.evaluation is not None:
            due = int(used * self.n_evaluations) > self._evaluated
            self._evaluated += due
            self.evaluation.eval_freq = self.evaluation.n_calls + (1 if due else 2)

    def _write(self, seconds: float) -> None:
        self._last = Reading(self.num_timesteps, round(seconds, 3))
        with self.path.open("a") as file:
            file.write(f"{self._last.agent_steps},{self._last.seconds}\n")

    def _go_on(self, *_: Any) -> bool:
        self._since = time.perf_counter()
        return True

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._last.agent_steps:
            self._write(self.seconds)


def _follow_total_timesteps(model: BaseAlgorithm, num_timesteps: int, _: int) -> None:
    # on-policy algorithms hand in learn()'s argument, which a budget in minutes does not know
    model._current_progress_remaining = 1 - num_timesteps / model._total_timesteps
