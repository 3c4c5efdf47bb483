"""evaluate: drives of several agents in parallel processes, with a statistical summary per agent."""

import multiprocessing as mp
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import torch as th
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import CloudpickleWrapper
from tqdm import tqdm

from sb3_cardqn import trust
from sb3_cardqn.agents.find import AgentLike, find_agents
from sb3_cardqn.agents.saved import TrainedAgent, WhichCheckpoint
from sb3_cardqn.env.task import Task, task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate.driving import Drive, Driver, check_seeds, drive_side_by_side, make_env
from sb3_cardqn.hardware import n_cores, one_thread
from sb3_cardqn.policy_file.read import ExportedPolicy
from sb3_cardqn.seeds import HELD_OUT_SEEDS
from sb3_cardqn.signals import deaf_children, end_after

SIDE_BY_SIDE = 16  # episodes per forward pass with FastRender's picture; stock's takes longer than the pass
LAPS = ["lap_finished", "missed_tiles"]  # columns of drives where there are laps
LOST = 20  # missed tiles; a car that misses more has lost the road, fewer are a cut corner


@dataclass(frozen=True)
class Evaluation:
    """
    Drives of one agent.

    :param agent: the agent
    :param drives: a row per track or episode: ``track`` (seed), ``score``, ``frames``, and in CarRacing
        ``lap_finished``, ``missed_tiles``; see ``Drive``
    :param seconds_per_decision: median CPU time to choose one action for one observation, on one thread
    """

    agent: TrainedAgent
    drives: pd.DataFrame
    seconds_per_decision: float

    @property
    def name(self) -> str:
        """Name of the agent."""
        return self.agent.name

    @property
    def task(self) -> Task:
        """Task of its environment."""
        return task_of(self.agent.env_id)

    def summary(self) -> dict[str, float]:
        """
        :return: of the scores: ``mean``, ``std`` (across tracks, not of the mean), ``low`` and ``high`` (95 %
            bootstrap interval of the mean, percentile method, 9,999 resamples with a fixed seed), ``median``,
            ``p10`` (10th percentile), ``minimum``, ``share_solved`` (share that reaches the environment's
            threshold, 900 in CarRacing); ``frames`` (mean length of an episode), ``share_laps`` (share of
            finished laps), ``frames_per_lap`` (of finished laps), ``lost`` (cars that missed more than 20
            tiles), ``lost_low`` and ``lost_high`` (95 % interval of their share, Clopper and Pearson 1934),
            ``seconds_per_decision``; NaN where undefined
        """
        from scipy.stats import binomtest, bootstrap  # a second to import

        scores = self.drives["score"].to_numpy()
        solved, has_laps = self.task.solved, self.task.has_laps
        low = high = np.nan
        if len(scores) > 1:
            low, high = bootstrap((scores,), np.mean, method="percentile", rng=0).confidence_interval
        share_laps, frames_per_lap = np.nan, np.nan
        lost, share = np.nan, (np.nan, np.nan)
        if has_laps:
            finished = self.drives["lap_finished"].to_numpy(dtype=bool)
            share_laps, frames_per_lap = np.mean(finished), self.drives["frames"][finished].mean()
            lost = int(lost_cars(self.drives).sum())
            share = binomtest(lost, len(scores)).proportion_ci()
        return {
            "mean": float(np.mean(scores)),
            "std": float(np.std(scores)),
            "low": float(low),
            "high": float(high),
            "median": float(np.median(scores)),
            "p10": float(np.percentile(scores, 10)),
            "minimum": float(np.min(scores)),
            "share_solved": np.nan if solved is None else float(np.mean(scores >= solved)),
            "frames": float(self.drives["frames"].mean()),
            "share_laps": float(share_laps),
            "frames_per_lap": float(frames_per_lap),
            "lost": float(lost),
            "lost_low": float(share[0]),
            "lost_high": float(share[1]),
            "seconds_per_decision": self.seconds_per_decision,
        }


def lost_cars(drives: pd.DataFrame) -> "pd.Series[bool]":
    """
    :param drives: drives with a column ``missed_tiles``
    :return: True for each drive whose car was lost
    """
    return drives["missed_tiles"] > LOST


def table(evaluations: Iterable[Evaluation]) -> pd.DataFrame:
    """
    :param evaluations: evaluations of several agents
    :return: one row per agent, with the columns of ``Evaluation.summary``
    """
    evaluations = list(evaluations)
    names = [evaluation.name for evaluation in evaluations]
    return pd.DataFrame([evaluation.summary() for evaluation in evaluations], names)


class _Timed:
    """
    An agent whose decisions are timed.

    :param model: the agent
    """

    def __init__(self, model: Driver) -> None:
        self._model = model
        self.seconds: list[
            float
        ] = []  # CPU time of each decision: other work on the machine disturbs it less

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """
        :param args: arguments of the agent's ``predict``
        :param kwargs: keyword arguments of the agent's ``predict``
        :return: result of the agent's ``predict``
        """
        start = time.process_time()
        result = self._model.predict(*args, **kwargs)
        self.seconds.append(time.process_time() - start)
        return result


@lru_cache(maxsize=1)
def _loaded(agent: Any) -> Driver:
    return agent.load_model()


def _drive(
    job: tuple[TrainedAgent, Sequence[int]], stock: bool, env_kwargs: Mapping[str, Any]
) -> tuple[list[Drive], float]:
    """
    Drive some episodes. Greedy agents remember nothing of other episodes, so the process does not matter.

    :param job: agent and seeds; one seed with stock's picture
    :param stock: see ``evaluate``
    :param env_kwargs: see ``evaluate``
    :return: the drives, and the median of the seconds per decision
    """
    agent, seeds = job
    model = _Timed(_loaded(agent))
    with ExitStack() as stack:
        envs = [
            stack.enter_context(closing(make_env(agent, stock, **env_kwargs)))
            for _ in range(1 if stock else SIDE_BY_SIDE)
        ]
        drives = drive_side_by_side(model, envs, seeds)
    return drives, float(np.median(model.seconds)) / len(envs)


def _prepare(specs: CloudpickleWrapper) -> None:
    parent = mp.parent_process()
    assert parent is not None
    end_after(parent.join)
    th.set_num_threads(1)
    for spec in specs.var:
        gym.registry.setdefault(spec.id, spec)


@contextmanager
def _workers(n_processes: int, specs: list[EnvSpec]) -> Iterator[Callable[..., Iterable[Any]]]:
    """
    :param n_processes: number of processes; 1 means this process
    :param specs: environments that a new process may not know, as after ``--gym-packages``
    :return: context with a ``map`` whose calls use one torch thread each
    """
    if n_processes == 1:
        with one_thread():
            yield map
        return
    others = mp.active_children()
    context = mp.get_context("spawn")
    with (
        trust.safe_path(),
        ProcessPoolExecutor(n_processes, context, _prepare, (CloudpickleWrapper(specs),)) as pool,
    ):

        def start_and_map(*args: Any) -> Iterable[Any]:
            with deaf_children():
                return pool.map(*args)

        try:
            yield start_and_map
        except BrokenProcessPool as error:
            raise UserError(
                "a process that drives was killed, or could not start (see above); if memory is short, use "
                f"fewer than {n_processes} processes"
            ) from error
        except BaseException:  # also Ctrl-C: do not wait for running drives
            for process in mp.active_children():
                if process not in others:
                    process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def check_fits(agent: TrainedAgent, stock: bool = True, **env_kwargs: Any) -> None:
    """
    :param agent: saved agent
    :param stock: see ``make_env``
    :param env_kwargs: see ``make_env``
    :raises UserError: if the agent cannot be loaded, or its spaces differ from those of its environment
    """
    model = agent.load_model()
    with closing(make_env(agent, stock, **env_kwargs)) as env:
        wrapped = BaseAlgorithm._wrap_env(env, verbose=0, monitor_wrapper=False)  # pictures channel-first
        observations = model.observation_space
        if isinstance(model, ExportedPolicy):  # its file has shape and dtype, not the bounds
            ours: Any = wrapped.observation_space
            if (ours.shape, ours.dtype) == (observations.shape, observations.dtype):
                observations = ours
        try:
            check_for_correct_spaces(wrapped, observations, model.action_space)
        except ValueError as error:
            raise UserError(
                f"'{agent.model_path}' does not fit the environment of '{agent.config_path}': {error}"
            ) from error


def evaluate(
    agents: AgentLike | Sequence[AgentLike],
    tracks: Sequence[int] = HELD_OUT_SEEDS,
    *,
    checkpoint: WhichCheckpoint = "best",
    stock: bool = True,
    n_processes: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    final: bool = False,
    progress: bool = False,
) -> list[Evaluation]:
    """
    Drive the same tracks or episodes greedily with several saved agents of one environment.

    Each agent keeps its own preprocessing. The result does not depend on the number of processes. With
    several processes a script needs ``if __name__ == "__main__":``, as with SB3's ``SubprocVecEnv``.

    :param agents: one or several run folders, zip files in them, ``.safetensors`` files, names of shipped
        agents, "NAME=PATH", ``Run``, ``Agent`` or ``SafeAgent``
    :param tracks: seeds of the tracks or episodes, without training seeds
    :param checkpoint: agent of a run folder: "best" on validation seeds, or "final"
    :param stock: True for Gymnasium's picture of CarRacing, False for the picture used in training, usually
        that of ``FastRender``, which draws several times as fast; the race is bit-identical, the picture
        nearly so; episodes are then driven ``SIDE_BY_SIDE`` at a time
    :param n_processes: number of parallel processes, at least 1; None for one per core
    :param env_kwargs: arguments of ``gym.make`` that change the race, such as ``domain_randomize=True``
    :param final: True to allow ``FINAL_SEEDS``, which final agents drive once
    :param progress: True to show a progress bar on stderr
    :return: one evaluation per agent, in the order of ``agents``
    :raises UserError: if an agent is missing, cannot be loaded or does not fit, or a seed is not allowed
    """
    tracks, env_kwargs = list(tracks), dict(env_kwargs or {})
    if n_processes is not None and n_processes < 1:
        raise UserError(f"needs n_processes >= 1, got {n_processes}")
    found = find_agents(agents, checkpoint)
    task = task_of(found[0].env_id)
    check_seeds(tracks, task, final)
    for agent in found:
        check_fits(agent, stock, **env_kwargs)
    # longer jobs, because side by side the last episodes of each leave environments without one
    together = 1 if stock else 3 * SIDE_BY_SIDE
    parts = [tracks[first : first + together] for first in range(0, len(tracks), together)]
    jobs = [(agent, part) for agent in found for part in parts]
    _loaded.cache_clear()  # files may have changed since the last call
    specs = [gym.spec(agent.env_id) for agent in found]
    with _workers(min(n_processes or n_cores(), len(jobs)), specs) as map_:
        driven = map_(partial(_drive, stock=stock, env_kwargs=env_kwargs), jobs)
        results = []
        doing = "driving" if task.has_laps else f"{task.episode}s"
        with tqdm(None, doing, len(found) * len(tracks), unit=task.episode, disable=not progress) as bar:
            for result in driven:
                results.append(result)
                bar.update(len(result[0]))
    evaluations = []
    for i, agent in enumerate(found):
        drives, seconds = zip(*results[i * len(parts) : (i + 1) * len(parts)], strict=True)
        rows = pd.DataFrame([asdict(one) for one in chain.from_iterable(drives)]).rename(
            columns={"seed": "track"}
        )
        rows = rows if task.has_laps else rows.drop(columns=LAPS)
        evaluations.append(Evaluation(agent, rows, float(np.median(seconds))))
    return evaluations
