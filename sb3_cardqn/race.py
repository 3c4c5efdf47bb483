"""Pictures of driving: a video of an agent on tracks it never saw, and its learning curve."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import imageio.v2 as imageio
import numpy as np

from sb3_cardqn.evaluate import Drive, Run, car_racing_run, drive, drive_at_random, make_env
from sb3_cardqn.seeds import HELD_OUT_SEEDS

PANE = (480, 320)  # pixels, width and height; multiples of 16, which video codecs want
FPS = 50  # CarRacing's frames a second


class Camera(gym.Wrapper):
    """
    Keep the picture of every frame, for someone to take away and show.

    :param env: environment with ``render_mode="rgb_array"``
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.pictures: list[np.ndarray] = []
        self._score = 0.0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: handed on
        :return: observation and info
        """
        result = self.env.reset(**kwargs)
        self._score = 0.0
        self._take_picture()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: handed on
        :return: as the environment's
        """
        result = self.env.step(action)
        self._score += float(result[1])
        self._take_picture()
        return result

    def _take_picture(self) -> None:
        picture = cv2.resize(np.asarray(self.env.render()), PANE, interpolation=cv2.INTER_AREA)
        cv2.putText(
            picture,
            f"{self._score:.0f}",
            (12, 32),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.9,
            (255, 255, 255),
            2,
            cv2.LINE_AA,
        )
        self.pictures.append(picture)


def film(run: Run, seeds: Sequence[int], path: Path) -> list[Drive]:
    """
    Drive an agent on several tracks of the unmodified environment, side by side in one video.

    :param run: the agent's
    :param seeds: one for each track
    :param path: of the video; the ending chooses the format, ``.mp4`` or ``.gif``
    :return: how each drive went
    """
    model = run.load_model()
    camera = f"{Camera.__module__}.{Camera.__qualname__}"
    envs = [make_env(run, stock=True, innermost=[camera], render_mode="rgb_array") for _ in seeds]
    cameras = [env.get_attr("pictures")[0] for env in envs]
    drives: list[Drive | None] = [None] * len(envs)
    under_way = [drive(model, env, seed) for env, seed in zip(envs, seeds, strict=True)]
    last = [np.zeros((PANE[1], PANE[0], 3), np.uint8)] * len(envs)
    video: Any
    with imageio.get_writer(path, fps=FPS) as video:
        while None in drives:
            for i, steps in enumerate(under_way):
                if drives[i] is None:
                    drives[i] = next(steps)
                    if drives[i] is not None:
                        cameras[i].pop()  # taken after the environment had reset itself
            for frame in range(max(len(pictures) for pictures in cameras)):
                last = [
                    pictures[frame] if frame < len(pictures) else shown
                    for pictures, shown in zip(cameras, last, strict=True)
                ]
                video.append_data(np.hstack(last))
            for pictures in cameras:
                pictures.clear()
    for env in envs:
        env.close()
    return [result for result in drives if result is not None]


def animate(video: Path, path: Path) -> None:
    """
    Make a small GIF of a video, at twice its speed.

    :param video: to read
    :param path: of the GIF to write
    """
    skip = 8  # frames; every 8th of 50 a second, shown for 80 ms, is twice the speed
    reader: Any = imageio.get_reader(video)
    pictures = [
        cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for i, picture in enumerate(reader)
        if i % skip == 0
    ]
    imageio.mimsave(path, pictures, duration=80, loop=0)


def plot_learning_curve(run: Run, path: Path) -> None:
    """
    Plot the scores of training episodes and of the evaluations on validation tracks.

    :param run: the agent's
    :param path: of the picture to write
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from stable_baselines3.common.monitor import load_results

    episodes = load_results(str(run.folder))
    minutes = episodes["t"].to_numpy() / 60
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(
        minutes, episodes["r"], ".", markersize=3, alpha=0.35, color="tab:gray", label="training episodes"
    )
    mean = episodes["r"].rolling(50, min_periods=10).mean()
    axes.plot(minutes, mean, color="tab:blue", label="mean of the last 50")
    evaluations = run.folder / "evaluations.npz"
    if evaluations.is_file():
        data = np.load(evaluations)
        # agent steps to minutes: both grow together, near enough for a picture
        at = data["timesteps"] / data["timesteps"].max() * minutes.max()
        axes.plot(at, data["results"].mean(axis=1), "o-", color="tab:red", label="greedy, validation tracks")
    axes.set(xlabel="minutes of training", ylabel="score", title=f"{run.algo} on {run.env_id}")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn race``.

    :param argv: what follows on the command line
    """
    parser = argparse.ArgumentParser(
        prog="sb3-cardqn race",
        description="Drive a trained agent greedily on held-out tracks of the unmodified CarRacing-v3; print "
        "scores, write a video (race.mp4) and the curve (learning_curve.png) to its run folder.",
    )
    parser.add_argument("run", nargs="?", type=Path, help="run folder (default: the newest in logs)")
    parser.add_argument("--tracks", type=int, default=3, help="number of tracks, 1 to 6 (default: 3)")
    parser.add_argument("--gif", action="store_true", help="write race.gif as well, small and twice as fast")
    options = parser.parse_args(argv)
    if not 1 <= options.tracks <= 6:
        parser.error(f"--tracks needs 1 to 6, got {options.tracks}")

    run = car_racing_run(options.run)
    seeds = HELD_OUT_SEEDS[: options.tracks]
    print(f"Driving {run.model_path} on tracks {seeds.start} to {seeds.stop - 1}, which it never saw ...")
    drives = film(run, seeds, run.folder / "race.mp4")
    if options.gif:
        animate(run.folder / "race.mp4", run.folder / "race.gif")
    plot_learning_curve(run, run.folder / "learning_curve.png")
    at_random = [drive_at_random(run.env_id, seed) for seed in seeds]
    print(f"{'track':>8} {'score':>8} {'frames':>8}  lap        random actions")
    for result, chance in zip(drives, at_random, strict=True):
        lap = "finished" if result.lap_finished else "unfinished"
        print(f"{result.seed:>8} {result.score:>8.1f} {result.frames:>8}  {lap:<10} {chance.score:>8.1f}")
    mean, chance_mean = (np.mean([result.score for result in results]) for results in (drives, at_random))
    print(f"{'mean':>8} {mean:>8.1f} {'':>20} {chance_mean:>8.1f}")
    written = ["race.mp4", *(["race.gif"] if options.gif else []), "learning_curve.png"]
    print(f"Video and learning curve: {', '.join(str(run.folder / name) for name in written)}")
