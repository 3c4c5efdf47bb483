"""compare: runs a comparison from plan to report."""

import contextlib
import heapq
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sb3_cardqn import trust
from sb3_cardqn.compare.gather import best_validation_score, drives_path, gather
from sb3_cardqn.compare.hand_over import agent_of
from sb3_cardqn.compare.launchers import Launcher, local_launcher
from sb3_cardqn.compare.plan import Plan, TriedOut
from sb3_cardqn.compare.results import JUDGED, RESULTS, Results
from sb3_cardqn.compare.run import PlannedRun, runs_of
from sb3_cardqn.compare.scheduler import train
from sb3_cardqn.durable import locked, write_text
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import evaluate
from sb3_cardqn.hardware import n_cores
from sb3_cardqn.race.film import MAX_PANES, race

PLAN_FILE = "plan.yml"
_RUN_BYTES = 50 * 2**20  # disk space of the agents and logs of a run


def compare(plan: Plan, output: Path, launcher: Launcher | None = None, videos: bool = True) -> Results:
    """
    Train all runs, score them in held-out episodes, collect the results and write the report.

    Finished work in ``output`` is not repeated, and unfinished runs are resumed. The same call after an
    interruption continues the comparison; a call with more contestants or seeds adds them.

    >>> plan = Plan.of(["cardqn", "dqn"], seeds=5, n_timesteps=100_000)
    >>> results = compare(plan, Path("comparison"))  # doctest: +SKIP
    >>> results.drives.groupby(["contestant", "checkpoint"]).score.mean()  # doctest: +SKIP

    :param plan: plan of the comparison
    :param output: folder for runs, tables and report, created if missing
    :param launcher: launcher of the runs; by default on this machine, as many runs as cores and
        memory allow
    :param videos: True to film a race of the best agents for the report
    :return: tables of all finished runs, and the failures of the others
    :raises UserError: before training, if plan or folder is not valid; after it, if no run finished
    """
    launcher = launcher or local_launcher(plan)
    with closing(launcher), opened(output) as earlier:
        plan = plan.added_to(earlier) if earlier else plan
        tried = plan.try_out()
        runs = list(runs_of(plan, output, tried))
        for run in runs:
            run.check_folder()
        _check_disk(runs, output, launcher.at_once, tried)
        plan.save(output / PLAN_FILE)
        failed = train(runs, launcher)
        launcher.close()  # frees its cores for the drives
        failed += _drive_held_out([run for run in runs if run not in failed], min(launcher.slots, n_cores()))
        finished = [run for run in runs if run not in failed]
        if not finished:
            raise UserError(f"no run finished: {'; '.join(f'{run}: {run.state.failure}' for run in failed)}")
        results = gather(plan, finished, failed)
        results.save(output / RESULTS)
        _report(results, finished if videos else [], output)
    return results


def _report(results: Results, filmed: Sequence[PlannedRun], output: Path) -> None:
    """
    Write the report, even if the film fails.

    :param results: results of the comparison
    :param filmed: runs to film
    :param output: folder of the comparison
    """
    from sb3_cardqn.compare.report import analyse, write_report  # a second to import, also in every run

    analysis = analyse(results)
    page = write_report(results, output, analysis=analysis)
    try:
        films = _film(filmed, output) if filmed else {}
    except Exception as error:
        print(f"sb3-cardqn: no film: {type(error).__name__}: {error}", file=sys.stderr)
    else:
        page = write_report(results, output, films, analysis) if films else page
    print(f"report: {page}", file=sys.stderr)


@contextlib.contextmanager
def opened(output: Path) -> Iterator[Plan | None]:
    """
    Create and lock the folder of a comparison.

    :param output: the folder
    :return: context with the plan saved in the folder, None for a new folder
    :raises UserError: if it cannot be written to, another comparison uses it, or a link in it points outside
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = locked(output / ".lock", f"another comparison is using folder '{output}'")
    except OSError as error:
        raise UserError(f"cannot write to output folder '{output}': {error.strerror}") from error
    with lock:
        trust.refuse_links(output)
        path = output / PLAN_FILE
        yield Plan.load(path) if path.is_file() else None


def _check_disk(
    runs: Sequence[PlannedRun], output: Path, at_once: int, tried: Mapping[str, TriedOut]
) -> None:
    left = [run for run in runs if not run.state.finished]
    largest = heapq.nlargest(at_once, (tried[run.contestant.name].checkpoint_bytes or 0 for run in left))
    needed = len(left) * _RUN_BYTES + sum(largest)
    free = shutil.disk_usage(output).free
    if free < needed:
        raise UserError(
            f"'{output}' needs up to {needed / 2**30:.1f} GiB of free disk space for {len(left)} runs, got "
            f"{free / 2**30:.1f} GiB"
        )


def _drive_held_out(runs: Sequence[PlannedRun], n_processes: int) -> list[PlannedRun]:
    """
    :param runs: trained runs
    :param n_processes: number of parallel processes
    :return: runs whose agents could not drive; the reason is their state's failure
    """
    failed = []
    for i, run in enumerate(runs, start=1):
        if drives_path(run).is_file() and len(pd.read_csv(drives_path(run))) == len(JUDGED) * run.plan.tracks:
            continue
        print(f"held-out episodes: {run}, final and best agent (run {i} of {len(runs)})", file=sys.stderr)
        try:
            _drive(run, n_processes)
        except Exception as error:  # of somebody's environment, for example: the other runs are not lost
            run.save_failure(f"its agents do not drive: {type(error).__name__}: {error}")
            failed.append(run)
        else:
            run.save_failure("")
    return failed


def _drive(run: PlannedRun, n_processes: int) -> None:
    agents = [agent_of(run, checkpoint) for checkpoint in JUDGED]
    stock = not run.plan.fast
    evaluations = evaluate(agents, run.plan.held_out, stock=stock, n_processes=n_processes, progress=True)
    tables = [
        evaluation.drives.assign(checkpoint=checkpoint)
        for checkpoint, evaluation in zip(JUDGED, evaluations, strict=True)
    ]
    drives = pd.concat(tables)
    if not np.isfinite(drives["score"]).all():
        raise ValueError(f"scores need to be finite, got {drives['score'].to_numpy()}")
    write_text(drives_path(run), drives.to_csv(index=False))


def _film(runs: Sequence[PlannedRun], output: Path) -> dict[str, Path]:
    """
    Film the best agent of every contestant, by its evaluations.

    :param runs: finished runs
    :param output: folder of the comparison
    :return: caption -> video
    """
    best: dict[str, PlannedRun] = {}
    for run in sorted(runs, key=best_validation_score):
        best[run.contestant.name] = run
    racers = [contestant.name for contestant in runs[0].plan.contestants if contestant.name in best]
    videos = {}
    for i in range(0, len(racers), MAX_PANES):
        agents = [replace(agent_of(best[name], "best"), name=name) for name in racers[i : i + MAX_PANES]]
        path = output / f"race_{i // MAX_PANES + 1}.mp4"
        print(f"filming {path}", file=sys.stderr)
        race(agents, runs[0].plan.held_out[:1], path, stock=not runs[0].plan.fast)
        who = ", ".join(f"{agent.name} (seed {best[agent.name].seed})" for agent in agents)
        episode = task_of(runs[0].plan.env).episode
        videos[f"Held-out {episode} {runs[0].plan.first}, best seed by its evaluations: {who}"] = path
    return videos
