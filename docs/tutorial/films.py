"""Films of the notebooks: a table that fills, and an agent that tells why it acts."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image
from matplotlib.animation import FuncAnimation, PillowWriter
from PIL import Image as Pixels

from pictures import draw_table
from reader import ACTIONS, PANE, ExportedPolicy, Frame, Mind, Overlay


def of_tables(squares: list[str], snapshots: list[tuple[int, np.ndarray]]) -> Image:
    """
    :param squares: rows of letters
    :param snapshots: number of races, (squares, 4) Q-table after them
    :return: an animation
    """
    figure, axes = plt.subplots(figsize=(4.2, 2.9))

    def frame(i: int) -> None:
        races, table = snapshots[i]
        draw_table(axes, squares, table, f"Q-table, races: {races}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.gif"
        FuncAnimation(figure, frame, len(snapshots)).save(
            path, PillowWriter(fps=5), dpi=90
        )
        data = path.read_bytes()
    plt.close(figure)
    return Image(data)


@dataclass(frozen=True)
class Moment:
    """
    One decision.

    :param pane: (height, width, 3) picture, with the Q-values below
    :param action: index of the action that was chosen
    :param values: (12,) Q-values
    """

    pane: np.ndarray
    action: int
    values: np.ndarray


def think_aloud(policy: ExportedPolicy, track: int, agent_steps: int) -> list[Moment]:
    """
    Drive a lap, and print how it ended.

    :param policy: the driver
    :param track: seed of the track
    :param agent_steps: budget
    :return: every fourth decision
    """
    env = policy.make_env(stock=False, render_mode="rgb_array")
    mind = Mind(policy)
    overlay = Overlay("cardqn, shipped", f"track {track}", ACTIONS)
    obs, _ = env.reset(seed=track)
    score, steps, over, moments = 0.0, 0, False, []
    while not over and steps < agent_steps:
        actions, _ = mind.predict(obs[None], deterministic=True)
        if steps % 4 == 0:
            speed = env.unwrapped.car.hull.linearVelocity.length
            frame = Frame(env.render(), score, speed, steps * 0.08)
            pane = overlay.draw(frame, mind.thought, None)
            moments.append(Moment(pane, int(actions[0]), mind.thought.values))
        obs, reward, terminated, truncated, info = env.step(int(actions[0]))
        score, steps, over = score + reward, steps + 1, terminated or truncated
    finished = info.get("lap_finished", False)
    print(f"track {track}: {score:.1f} points in {steps * 0.08:.1f} s,", end=" ")
    print(f"lap finished: {finished}")
    return moments


def of_moments(moments: list[Moment]) -> Image:
    """
    :param moments: some decisions
    :return: an animation, twice as fast as they were made
    """
    size = (PANE[0] // 2, PANE[1] // 2)
    small = [
        Pixels.fromarray(moment.pane).resize(size, Pixels.Resampling.LANCZOS)
        for moment in moments
    ]
    sheet = Pixels.fromarray(np.vstack([np.asarray(picture) for picture in small[::3]]))
    # one palette for all: what does not change takes no space
    palette = sheet.quantize(96, Pixels.Quantize.MAXCOVERAGE)
    frames = [
        picture.quantize(palette=palette, dither=Pixels.Dither.NONE)
        for picture in small
    ]
    film, options = io.BytesIO(), {"duration": 160, "loop": 0}
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:], **options)
    return Image(film.getvalue())
