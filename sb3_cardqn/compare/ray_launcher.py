"""RayLauncher: trains runs as tasks of a Ray cluster, whose nodes share the comparison's folder."""

import math
import os

from sb3_cardqn.compare.attempt import GRACE_SECONDS, Attempt
from sb3_cardqn.compare.hand_over import hand_over
from sb3_cardqn.compare.run import PlannedRun, State
from sb3_cardqn.errors import UserError
from sb3_cardqn.trust import TRUST
from sb3_cardqn.zoo.settings import import_packages

try:
    import ray
except ImportError as error:
    raise UserError("--launcher ray needs Ray: pip install 'sb3-cardqn[ray]'") from error

_LOST_WORKERS = 5  # number of times a run is moved to another worker


def _train(run: PlannedRun, num_threads: int, trust: str) -> State:
    """
    Train a run and hand over its agents.

    :param run: run to train, from its last checkpoint if it has one
    :param num_threads: torch threads
    :param trust: the coordinator's ``TRUST_REMOTE_CODE``; with "True" a run can resume from a checkpoint of a
        node with a state folder of its own
    :return: its state at the end
    """
    if trust:
        os.environ[TRUST] = trust
    if not run.output.is_dir():
        raise FileNotFoundError(f"'{run.output}' is missing: nodes must share the comparison's folder")
    import_packages(run.plan.gym_packages)
    state = run.state  # finished if Ray tries again because a worker was lost while it handed over
    if not state.finished:
        state = Attempt(run, num_threads).finish()
    if state.finished:
        hand_over(run)
    return state


def _room(num_threads: int, num_gpus: float) -> int:
    """
    :param num_threads: CPUs that a run reserves
    :param num_gpus: GPUs that a run reserves
    :return: number of runs that the cluster has room for at a time
    :raises UserError: if that is 0
    """
    room = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            by_gpus = has.get("GPU", 0) / num_gpus if num_gpus else math.inf
            room += int(min(has.get("CPU", 0) // num_threads, by_gpus))
    if not room:
        raise UserError(
            f"a run needs a node with {num_threads} CPUs and {num_gpus} GPUs; the cluster has none"
        )
    return room


class RayRun:
    """
    A run that is trained as a Ray task.

    :param run: the run
    :param task: future of its state
    """

    def __init__(self, run: PlannedRun, task: "ray.ObjectRef") -> None:
        self._run = run
        self._task = task

    def poll(self) -> State | None:
        """
        :return: None while it waits or trains, then its state
        """
        ready, _ = ray.wait([self._task], timeout=0)
        if not ready:
            return None
        try:
            return ray.get(self._task)
        except ray.exceptions.RayError as error:
            return self._run.save_failure(" ".join(str(error).split())[-500:])

    def stop(self) -> None:
        """Ask it to end; it writes a checkpoint first."""
        ray.cancel(self._task)

    def wait(self) -> None:
        """Wait for its end after ``stop``."""
        ray.wait([self._task], timeout=GRACE_SECONDS)


class RayLauncher:
    """
    Train on a Ray cluster. A run whose worker is lost resumes on another one, from its last checkpoint.

    :param address: address of the cluster; None for a new one on this machine
    :param num_threads: torch threads per run, and CPUs that a run reserves
    :param num_gpus: GPUs that a run reserves
    :raises UserError: if the cluster cannot be reached, or none of its nodes has room for a run
    """

    slots = 10**6  # Ray itself limits the number of parallel runs

    def __init__(self, address: str | None = None, num_threads: int = 1, num_gpus: float = 0) -> None:
        try:
            ray.init(address or "local", log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"--address {address}: {' '.join(str(error).split())}") from error
        self.num_threads = num_threads
        try:
            self.at_once = _room(num_threads, num_gpus)
            self._train = ray.remote(_train).options(
                num_cpus=num_threads, num_gpus=num_gpus, max_retries=_LOST_WORKERS
            )
        except BaseException:
            self.close()
            raise

    def start(self, run: PlannedRun) -> RayRun:
        """
        :param run: run to train
        :return: its task
        """
        return RayRun(run, self._train.remote(run, self.num_threads, os.environ.get(TRUST, "")))

    def close(self) -> None:
        """Leave the cluster."""
        ray.shutdown()
