"""
Effect of eight parts of cardqn.yml: 16 pairs of runs, in which each part is in one run and not in the other.

python factorial.py OUTPUT trains what is missing, two runs at a time, prints the effects and draws them, in
OUTPUT/effects.png; python factorial.py RUNS.csv does so again, from the table of its runs.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from sb3_cardqn.compare import Plan, Results, compare
from sb3_cardqn.compare.inference import holm
from sb3_cardqn.compare.launchers import LocalLauncher
from sb3_cardqn.compare.measures import area_scores, held_out_scores, times_to
from sb3_cardqn.evaluate.evaluation import lost_cars
from sb3_cardqn.yaml_files import read_yaml
from sb3_cardqn.zoo.configuration import own_file

PARTS = ("histograms", "3 steps", "gaps", "12 actions", "penalties", "decay", "double Q", "priorities")
SEEDS = range(10_000, 26_000, 1_000)  # of training, one per pair
BUDGET = 300_000  # agent steps
PENALTIES = "sb3_cardqn.PenalizeSideslip", "sb3_cardqn.PenalizeRoadEdge"
HISTOGRAMS = "head_class=sb3_cardqn.HistogramHead, head_kwargs=dict(n_bins=51)"
MEASURES = ("learning curve", "final", "lost")
LABELS = {
    "learning curve": "area under the learning curve",
    "final": "score at the end",
    "lost": "lost cars of 100",
}
RANKS = "learning curve, ranks"  # of all runs, 1 for the lowest: a collapse cannot decide them


def design() -> np.ndarray:
    """
    First run of each pair; the second has the opposite signs.

    All together are an eighth of 2^8, F = ABC, G = ABD, H = ABE, of resolution IV: no part's effect is mixed
    with another's, nor with what two parts do together.

    :return: (pairs, parts) 1 for a part that is in the run, -1 for one that is not
    """
    a, b, c, d = np.array(list(product((1, -1), repeat=4))).T
    e = np.ones_like(a)
    return np.stack([a, b, c, d, e, a * b * c, a * b * d, a * b * e], axis=1)


def contestant(signs: np.ndarray) -> tuple[str, dict[str, Any]]:
    """
    :param signs: (parts,) row of the design
    :return: name, which lists the parts that are in; hyperparameters
    """
    parts = [part for part, sign in zip(PARTS, signs, strict=True) if sign > 0]
    recipe = read_yaml(own_file("cardqn"))["CarRacing-v3"]
    del recipe["n_timesteps"]
    if "histograms" not in parts:
        recipe["policy_kwargs"] = recipe["policy_kwargs"].replace(
            HISTOGRAMS, "head_class=sb3_cardqn.QuantileHead"
        )
    if "3 steps" not in parts:
        recipe["n_steps"] = 1
    if "gaps" not in parts:
        recipe["advantage_learning"] = 0.0
    wrappers = recipe["env_wrapper"]
    if "12 actions" not in parts:
        actions = {"sb3_cardqn.DiscretizeActions": {"actions": "default5"}}
        wrappers = [actions if "sb3_cardqn.DiscretizeActions" in wrapper else wrapper for wrapper in wrappers]
    if "penalties" not in parts:
        wrappers = [wrapper for wrapper in wrappers if not any(name in wrapper for name in PENALTIES)]
    recipe["env_wrapper"] = wrappers
    if "decay" not in parts:
        recipe["learning_rate"] = float(recipe["learning_rate"].removeprefix("lin_"))
    recipe["double_q"] = "double Q" in parts
    if "priorities" in parts:
        recipe["replay_buffer_class"] = "sb3_cardqn.PrioritizedFrameReplayBuffer"
    return ", ".join(parts) or "none", {"algo": "cardqn", **recipe}


def measured(results: Results) -> pd.DataFrame:
    """
    :param results: results of one or more runs
    :return: a row per run: contestant, seed, a column per part (1 or -1), learning curve, final (mean on
        held-out tracks), lost (cars on these), agent_steps (to 900)
    """
    runs = times_to(900, results).drop(columns="seconds").set_index(["contestant", "seed"])
    names = runs.index.get_level_values("contestant").str.split(", ")
    for part in PARTS:
        runs[part] = [1 if part in name else -1 for name in names]
    for scores in (area_scores(results), held_out_scores(results)):
        for measure, own in scores.groupby("measure"):
            runs[measure] = own.set_index(["contestant", "seed"])["score"]
    final = results.drives[results.drives["checkpoint"] == "final"]
    runs["lost"] = lost_cars(final).groupby([final["contestant"], final["seed"]]).sum()
    return runs.reset_index()


def effects(runs: pd.DataFrame) -> pd.DataFrame:
    """
    Effect of every part: the mean of its 16 runs minus the mean of the 16 without it.

    The two runs of a pair share a seed and differ in every part. So the differences of the pairs are
    regressed on the parts, which leaves 8 degrees of freedom for the noise.

    :param runs: a row per run, as from ``measured``
    :return: measure, part, effect, low and high (95 %, Student's t), p (Holm's correction for eight parts)
    :raises ValueError: if the runs are not those of the design: with fewer, effects are mixed
    """
    runs = runs.assign(**{RANKS: runs["learning curve"].rank()})
    first, second = (runs[runs["penalties"] == sign].sort_values("seed") for sign in (1, -1))
    signs, opposite = (half[list(PARTS)].to_numpy() for half in (first, second))
    complete = sorted(map(tuple, signs)) == sorted(map(tuple, design()))
    if not complete or list(first["seed"]) != list(second["seed"]) or (signs != -opposite).any():
        raise ValueError(f"effects needs both runs of all {len(SEEDS)} pairs, got {len(runs)} runs")
    pairs, parts = signs.shape
    rows = []
    for measure in (*MEASURES, RANKS):
        differences = first[measure].to_numpy() - second[measure].to_numpy()  # (pairs,)
        effect = signs.T @ differences / pairs  # (parts,), columns of the design are orthogonal
        noise = np.sqrt(((differences - signs @ effect) ** 2).sum() / (pairs - parts) / pairs)
        p = holm(2 * stats.t.sf(abs(effect) / noise, pairs - parts))
        reach = noise * stats.t.ppf(0.975, pairs - parts)
        table = {"part": PARTS, "effect": effect, "low": effect - reach, "high": effect + reach, "p": p}
        rows.append(pd.DataFrame({"measure": measure, **table}))
    return pd.concat(rows, ignore_index=True)


def picture(table: pd.DataFrame) -> Figure:
    """
    :param table: effects of the parts, as from ``effects``
    :return: a panel per measure with each effect and its interval, filled where p is at most 0.05
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, measure in zip(figure.subplots(1, len(MEASURES), sharey=True), MEASURES, strict=True):
        for place, row in enumerate(table[table["measure"] == measure].itertuples()):
            axes.plot([row.low, row.high], [-place, -place], "-", color="#0072B2", lw=2)
            fill = "#0072B2" if row.p <= 0.05 else "white"
            axes.plot(row.effect, -place, "o", color="#0072B2", markerfacecolor=fill, ms=8)
        axes.axvline(0, color="gray", lw=1)
        axes.set(title=LABELS[measure], yticks=[-place for place in range(len(PARTS))], yticklabels=PARTS)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def train(output: Path) -> pd.DataFrame:
    """
    Train all pairs, or what is missing of them.

    :param output: folder with a comparison for each pair, and the tables of all
    :return: a row per run
    """
    tables: dict[str, list[pd.DataFrame]] = {"runs": [], "curves": [], "drives": []}
    for seed, signs in zip(SEEDS, design(), strict=True):
        plan = Plan.of(
            dict(map(contestant, (signs, -signs))),
            [seed],
            n_timesteps=BUDGET,
            n_evaluations=15,
            eval_episodes=10,
            fast=True,
        )
        results = compare(plan, output / f"seed_{seed}", LocalLauncher(jobs=2, num_threads=1), videos=False)
        tables["runs"].append(measured(results))
        tables["curves"].append(results.curves)
        tables["drives"].append(results.drives)
        for name, parts in tables.items():  # after every pair, so that nothing is lost
            pd.concat(parts).to_csv(output / f"{name}.csv", index=False)
    return pd.concat(tables["runs"], ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("given", metavar="OUTPUT | RUNS.csv", type=Path, help="folder, or table of its runs")
    given = parser.parse_args().given
    every_run = pd.read_csv(given) if given.suffix == ".csv" else train(given)
    for part in PARTS:
        reached = np.isfinite(every_run["agent_steps"]).groupby(every_run[part]).sum()
        with_it, without = reached[1], reached[-1]
        print(f"{part}: {with_it} runs reach 900 with it, {without} without, of {len(every_run) // 2} each")
    found = effects(every_run)
    print(found.round(3).to_string(index=False))
    picture(found).savefig((given.parent if given.suffix == ".csv" else given) / "effects.png", dpi=120)
