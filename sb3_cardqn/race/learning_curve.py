"""plot_learning_curve: scores of training episodes and evaluations over the minutes of training."""

import glob
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from stable_baselines3.common.monitor import load_results

from sb3_cardqn.durable import replacing
from sb3_cardqn.evaluate import Run
from sb3_cardqn.zoo.clock import FILE_NAME, Reading, read_clock


def has_curve(run: Run) -> bool:
    """
    :param run: a training run, perhaps of rl-zoo3 itself, which measures no training time
    :return: True if it can be plotted
    """
    return (run.folder / FILE_NAME).is_file() and any(run.folder.glob("*.monitor.csv"))


def plot_learning_curve(run: Run, path: Path) -> None:
    """
    Plot the scores of training episodes and of the evaluations on validation seeds.

    :param run: the training run
    :param path: picture to write
    """
    episodes = load_results(glob.escape(str(run.folder)))
    clock = [Reading(), *read_clock(run.folder)]

    def minutes_at(agent_steps: np.ndarray) -> np.ndarray:
        return np.interp(agent_steps, [r.agent_steps for r in clock], [r.seconds / 60 for r in clock])

    # an approximation that is good enough for a picture: lengths are frames of all environments, in the
    # order in which episodes ended
    minutes = minutes_at(episodes["l"].cumsum().to_numpy() / episodes["l"].sum() * clock[-1].agent_steps)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        minutes, episodes["r"], ".", markersize=3, alpha=0.35, color="tab:gray", label="training episodes"
    )
    mean = episodes["r"].rolling(50, min_periods=10).mean()
    axes.plot(minutes, mean, color="tab:blue", label="mean of 50 training episodes")
    evaluations = run.folder / "evaluations.npz"
    if evaluations.is_file():
        data = np.load(evaluations)
        axes.plot(
            minutes_at(data["timesteps"]),
            data["results"].mean(axis=1),
            "o-",
            color="tab:red",
            label="evaluations on validation seeds",
        )
    axes.set(xlabel="minutes of training", ylabel="score", title=f"{run.algo} on {run.env_id}")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)
