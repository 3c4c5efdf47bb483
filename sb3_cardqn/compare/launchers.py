"""Where runs are trained: on this machine, or as tasks of a Ray cluster."""

from typing import Protocol

from sb3_cardqn.compare.run import Attempt, PlannedRun, State
from sb3_cardqn.errors import UserError
from sb3_cardqn.hardware import n_cores
from sb3_cardqn.replay.storage import available_memory

_RUN_BYTES = 2 * 2**30  # of memory: a replay buffer of CarRacing and all around it


class UnderWay(Protocol):
    """A run that trains somewhere."""

    def poll(self) -> State | None:
        """
        :return: None while it trains, then its state
        """

    def stop(self) -> None:
        """Ask it to end; it can be continued."""

    def wait(self) -> None:
        """Wait for its end after ``stop``."""


class Launcher(Protocol):
    """Starts runs. ``slots`` is how many it takes at a time, ``num_threads`` torch's in each."""

    slots: int
    num_threads: int

    def start(self, run: PlannedRun) -> UnderWay:
        """
        :param run: to train, from its last checkpoint if it has one
        :return: the training
        """

    def close(self) -> None:
        """Let go of what it holds."""


class LocalLauncher:
    """
    Train on this machine, each run in a process.

    :param jobs: processes at a time; None for one a core, as far as memory goes
    :param num_threads: of torch in each of them; None to share out the cores
    :raises UserError: if there is no room for a single one
    """

    def __init__(self, jobs: int | None = None, num_threads: int | None = None) -> None:
        cores = n_cores()
        if jobs is None:
            jobs = max(min(cores, available_memory() // _RUN_BYTES), 1)
        for name, number in (("--jobs", jobs), ("--num-threads", num_threads)):
            if number is not None and number < 1:
                raise UserError(f"{name} needs a whole number of 1 or more, got {number}")
        self.slots = jobs
        self.num_threads = num_threads or max(cores // jobs, 1)

    def start(self, run: PlannedRun) -> Attempt:
        """
        :param run: to train
        :return: its process
        """
        return Attempt(run, self.num_threads)

    def close(self) -> None:
        """Nothing to let go of."""
