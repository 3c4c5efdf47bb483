"""merge: one report of comparisons by the same plan, apart from their seeds."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import combinations, product
from pathlib import Path

import gymnasium as gym
import pandas as pd

from sb3_cardqn.compare.comparison import opened
from sb3_cardqn.compare.plan import Plan, differing
from sb3_cardqn.compare.results import ABOUT, RESULTS, Results, joined
from sb3_cardqn.durable import refuse_pipes
from sb3_cardqn.errors import UserError

# for plans of older releases; of JSON, which has no tuples
_DEFAULTS = {setting.name: setting.default for setting in fields(Plan)} | {"gym_packages": []}


def merge(parts: Sequence[tuple[Path, Results]]) -> Results:
    """
    Put the runs of several comparisons into one.

    :param parts: folder and results of each comparison; their plans may differ in the seeds
    :return: results of all their runs, whose folders begin with the folder of their comparison
    :raises UserError: if their plans differ in anything else, or the hyperparameters that were read, or two
        have runs with the same seed, or with seeds that their environments share
    """
    for one, other in combinations(parts, 2):
        _check_plans(one, other)
        _check_hyperparams(one, other)
        _check_seeds(one, other)
    all_results = [part for _, part in parts]
    runs = [
        part.runs.assign(folder=[str(_home(folder) / run) for run in part.runs["folder"]])
        for folder, part in parts
    ]
    seeds = dict.fromkeys(seed for part in all_results for seed in part.plan["seeds"])
    there = {f"{run.contestant}, seed {run.seed}" for part in all_results for run in part.runs.itertuples()}
    failures = {run: text for part in all_results for run, text in part.failures.items()}
    return Results(
        all_results[0].plan | {"seeds": list(seeds)},
        joined(part.machine for part in all_results),
        pd.concat(runs, ignore_index=True),
        pd.concat([part.curves for part in all_results], ignore_index=True),
        pd.concat([part.drives for part in all_results], ignore_index=True),
        {run: text for run, text in failures.items() if run not in there},
        {name: read for part in all_results for name, read in part.hyperparams.items()},
    )


def _check_plans(one: tuple[Path, Results], other: tuple[Path, Results]) -> None:
    for key in dict.fromkeys([*one[1].plan, *other[1].plan]):
        values = [part.plan.get(key, _DEFAULTS.get(key)) for _, part in (one, other)]
        if key != "seeds" and values[0] != values[1]:
            raise UserError(
                f"--merge needs comparisons that differ in their seeds only, got {key} {values[0]} in "
                f"'{one[0]}' and {values[1]} in '{other[0]}'"
            )


def _check_hyperparams(one: tuple[Path, Results], other: tuple[Path, Results]) -> None:
    first, second = one[1].hyperparams, other[1].hyperparams
    for name in first.keys() & second.keys():
        if first[name] != second[name]:
            old, new = differing(first[name], second[name])
            raise UserError(
                f"--merge needs contestants with the same hyperparameters, got '{name}' with {old} in "
                f"'{one[0]}' and {new} in '{other[0]}'"
            )


def _check_seeds(one: tuple[Path, Results], other: tuple[Path, Results]) -> None:
    first, second = (
        set(zip(part.runs["contestant"], part.runs["seed"], strict=True)) for _, part in (one, other)
    )
    if first & second:
        seeds = sorted({seed for _, seed in first & second})
        raise UserError(
            f"--merge needs comparisons with different seeds, got {', '.join(map(str, seeds))} in both "
            f"'{one[0]}' and '{other[0]}'"
        )
    n_envs = max(one[1].n_envs, other[1].n_envs)  # one may be of a release that did not keep it
    for seed, near in product(one[1].plan["seeds"], other[1].plan["seeds"]):
        if 0 < abs(seed - near) < n_envs:
            raise UserError(
                f"--merge needs seeds at least {n_envs} apart for {n_envs} environments, got {seed} in "
                f"'{one[0]}' and {near} in '{other[0]}'"
            )


def merge_folders(folders: Sequence[Path], output: Path) -> Path:
    """
    Merge comparisons, and write their results and report.

    :param folders: folders of comparisons, or the folders ``results`` in them
    :param output: folder to write to, created if missing
    :return: path of the report's page
    :raises UserError: if one holds no results, they do not fit together, or ``output`` is a comparison
    """
    from sb3_cardqn.compare.report import write_report  # a second to import

    results = merge([(folder, _load(folder)) for folder in folders])
    env = results.plan.get("env")
    if results.plan.get("gym_packages") and env not in gym.registry:
        print(
            f"sb3-cardqn: {env} is not registered, so the report has no reward threshold; --gym-packages "
            "names the package that registers it",
            file=sys.stderr,
        )
    with opened(output) as earlier:
        if earlier is not None:
            raise UserError(f"--merge needs an output folder without a comparison, got '{output}'")
        results.save(output / RESULTS)
        return write_report(results, output)


def _home(folder: Path) -> Path:
    """
    :param folder: folder of a comparison, or the folder ``results`` in it
    :return: folder of the comparison
    """
    return folder.parent if folder.name == RESULTS and (folder / ABOUT).is_file() else folder


def _load(folder: Path) -> Results:
    place = folder if (folder / ABOUT).is_file() else folder / RESULTS
    refuse_pipes(place)
    return Results.load(place)
