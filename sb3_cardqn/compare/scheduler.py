"""train: trains the runs of a comparison in parallel, retries failed ones, and shows a progress bar."""

import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from sb3_cardqn.compare.launchers import Launcher, UnderWay
from sb3_cardqn.compare.run import PlannedRun

TRIES = 2  # number of attempts at a failing run
_POLL_SECONDS = 0.3


class _Bar(tqdm):
    """
    Progress of all runs together, in the unit of the budget: agent steps, or minutes of training.

    :param runs: all runs, including finished ones
    """

    def __init__(self, runs: Sequence[PlannedRun]) -> None:
        plan = runs[0].plan
        self._budget = plan.n_timesteps or plan.minutes or 0
        self._progress = {run: float(run.state.finished) or run.kept_progress for run in runs}
        self._finished = sum(run.state.finished for run in runs)
        super().__init__(
            total=self._budget * len(runs),
            initial=self._done(),
            unit=" agent steps" if plan.n_timesteps else " min",
            unit_scale=bool(plan.n_timesteps),
            bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{unit} "
            "[{elapsed}<{remaining}{postfix}]",
            smoothing=0,  # algorithms differ in speed
            mininterval=0.1 if sys.stderr.isatty() else 60,  # seconds; a log file keeps every redraw
            miniters=0,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def _done(self) -> float:
        return round(self._budget * sum(self._progress.values()), 2)

    def show(self, training: Sequence[PlannedRun]) -> None:
        """
        :param training: runs that are being trained
        """
        self._progress |= {run: run.progress for run in training}
        self.n = self._done()
        done = f"{self._finished}/{len(self._progress)} runs done"
        self.set_postfix_str(f"{len(training)} training, {done}", refresh=False)
        self.update(0)

    def finish(self, run: PlannedRun) -> None:
        """
        :param run: run that has just finished
        """
        self._progress[run] = 1.0
        self._finished += 1


def train(runs: Sequence[PlannedRun], launcher: Launcher) -> list[PlannedRun]:
    """
    Train all unfinished runs.

    :param runs: runs of a comparison
    :param launcher: launcher that starts them
    :return: runs of which every attempt failed
    """
    waiting = deque(run for run in runs if not run.state.finished)
    under_way: dict[PlannedRun, UnderWay] = {}
    tries: Counter[PlannedRun] = Counter()
    failed = []
    bar = _Bar(runs)
    try:
        while waiting or under_way:
            while waiting and len(under_way) < launcher.slots:
                run = waiting.popleft()
                tries[run] += 1
                under_way[run] = launcher.start(run)
            time.sleep(_POLL_SECONDS)
            bar.show(list(under_way))
            for run, training in list(under_way.items()):
                state = training.poll()
                if state is None:
                    continue
                del under_way[run]
                if state.finished:
                    bar.finish(run)
                    continue
                bar.write(f"{run} failed: {state.failure} (log: {run.log})", file=sys.stderr)
                if tries[run] < TRIES:
                    bar.write(f"{run}: trying again", file=sys.stderr)
                    waiting.append(run)
                else:
                    failed.append(run)
        bar.show([])
    finally:
        _end(under_way)
        bar.close()
    return failed


def _end(under_way: Mapping[PlannedRun, UnderWay]) -> None:
    """
    Ask runs to end and wait for all of them, also if one cannot save its state.

    :param under_way: runs that are being trained
    """
    for act in ("stop", "wait"):
        for run, training in under_way.items():
            try:
                getattr(training, act)()
            except OSError as error:
                print(f"sb3-cardqn: {run}: {error}", file=sys.stderr)
