"""Launcher, the protocol of what starts runs, and LocalLauncher, which starts them on this machine."""

from typing import Protocol

from sb3_cardqn.compare.attempt import Attempt
from sb3_cardqn.compare.plan import Plan
from sb3_cardqn.compare.run import PlannedRun, State
from sb3_cardqn.errors import UserError
from sb3_cardqn.hardware import available_memory, n_cores

_RUN_BYTES = 2 * 2**30  # memory of a run on CarRacing, with its replay buffer


class UnderWay(Protocol):
    """A run that is being trained."""

    def poll(self) -> State | None:
        """
        :return: None while it trains, then its state
        """

    def stop(self) -> None:
        """Ask it to end; it can be resumed."""

    def wait(self) -> None:
        """Wait for its end after ``stop``."""


class Launcher(Protocol):
    """
    Starts runs.

    ``slots`` is the number of runs to start before one has ended, ``at_once`` how many of them train at the
    same time, ``num_threads`` the torch threads of each.
    """

    slots: int
    at_once: int
    num_threads: int

    def start(self, run: PlannedRun) -> UnderWay:
        """
        :param run: run to train, from its last checkpoint if it has one
        :return: the run under way
        """

    def close(self) -> None:
        """Release resources."""


def local_launcher(plan: Plan, jobs: int | None = None, num_threads: int | None = None) -> "LocalLauncher":
    """
    :param plan: plan of a comparison
    :param jobs: see ``LocalLauncher``; None also for one run on all cores, with ``vec_env`` subproc
    :param num_threads: see ``LocalLauncher``; None also for one, with ``vec_env`` subproc
    :return: launcher for this machine
    """
    if plan.vec_env == "subproc":
        jobs, num_threads = (1 if asked is None else asked for asked in (jobs, num_threads))
    return LocalLauncher(jobs, num_threads)


class LocalLauncher:
    """
    Train on this machine, every run in its own process.

    :param jobs: number of parallel processes, at least 1; None for one per core, as far as memory allows
    :param num_threads: torch threads per process, at least 1; None to divide the cores evenly
    :raises UserError: if a number is below 1
    """

    def __init__(self, jobs: int | None = None, num_threads: int | None = None) -> None:
        cores = n_cores()
        if jobs is None:
            jobs = max(min(cores, available_memory() // _RUN_BYTES), 1)
        for name, number in (("--jobs", jobs), ("--num-threads", num_threads)):
            if number is not None and number < 1:
                raise UserError(f"{name} needs a whole number of at least 1, got {number}")
        self.slots = self.at_once = jobs
        self.num_threads = num_threads or max(cores // jobs, 1)

    def start(self, run: PlannedRun) -> Attempt:
        """
        :param run: run to train
        :return: its process
        """
        return Attempt(run, self.num_threads)

    def close(self) -> None:
        """Do nothing: there are no resources to release."""
