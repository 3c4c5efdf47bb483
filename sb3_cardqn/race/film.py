"""race (agents side by side, to a video, a window or both) and animate (a GIF of a video)."""

import subprocess
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
from tqdm import tqdm

from sb3_cardqn.agents.find import AgentLike
from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.durable import check_writable, replacing, write_file
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Drive, WhichCheckpoint, check_seeds, drive, find_agents, make_env
from sb3_cardqn.evaluate.driving import unwrapped_env
from sb3_cardqn.evaluate.evaluation import check_fits
from sb3_cardqn.race.camera import Camera, Frame
from sb3_cardqn.race.overlay import PANE, Overlay
from sb3_cardqn.race.q_values import Mind, discrete_actions
from sb3_cardqn.race.storyboard import storyboard
from sb3_cardqn.race.window import Window, WindowClosedError
from sb3_cardqn.seeds import HELD_OUT_SEEDS
from sb3_cardqn.signals import deaf_children

ENDING = 1.5  # seconds for which the last picture stays
_COLUMNS = 3
MAX_PANES = 12


class _Film:
    """
    An mp4 file that is being written.

    :param path: file to write
    :param fps: pictures per second
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._pictures = path.absolute(), 0  # ffmpeg would read "a:b.mp4" as a protocol
        self._writer: Any = imageio.get_writer(self._path, fps=fps, quality=7)

    def append_data(self, picture: np.ndarray) -> None:
        """
        :param picture: (height, width, 3) uint8
        :raises UserError: if ffmpeg has ended, as on a full disk
        """
        # the first picture starts ffmpeg, which must not end at Ctrl-C before the film is closed
        starts = nullcontext() if self._pictures else deaf_children()
        try:
            with starts:
                self._writer.append_data(picture)
        except OSError as error:
            raise UserError(f"cannot write the video: {' '.join(str(error).split())[-200:]}") from error
        self._pictures += 1

    def close(self) -> None:
        """Write the rest."""
        self._writer.close()

    def check(self) -> None:
        """
        :raises WindowClosedError: if no picture was written
        :raises UserError: if the file is incomplete
        """
        if not self._pictures:
            raise WindowClosedError
        try:
            # the index is written last; a missing one is the only sign of a failure
            imageio.get_reader(self._path).close()
        except (OSError, RuntimeError) as error:
            raise UserError("cannot write the video: ffmpeg did not finish it; is the disk full?") from error


class _Pane:
    """
    One agent in one episode, whose environment is open until ``close``.

    :param agent: the agent
    :param seed: seed of the track or episode
    :param stock: see ``race``
    :param env_kwargs: see ``race``
    """

    def __init__(self, agent: TrainedAgent, seed: int, stock: bool, env_kwargs: dict[str, Any]) -> None:
        self.result: Drive | None = None
        self.score = 0.0  # of the latest picture
        camera = f"{Camera.__module__}.{Camera.__qualname__}"
        self._env = make_env(agent, stock, innermost=[camera], **env_kwargs, render_mode="rgb_array")
        self.fps: float = self._env.get_attr("fps")[0]
        self.pictures = self._pictures(agent, seed)

    def _pictures(self, agent: TrainedAgent, seed: int) -> Generator[np.ndarray]:
        """
        :return: the pane at every step, including skipped ones; then the last one forever
        """
        env, task = self._env, task_of(agent.env_id)
        frames: list[Frame] = env.get_attr("frames")[0]
        mind, episode = Mind(agent.load_model()), 0
        overlay = Overlay(agent.name, f"{task.episode} {seed}", discrete_actions(env), task)
        for result in drive(mind, env, seed):
            if result is not None:  # after it, the environment has begun another episode
                if not episode:  # it ended with the first action
                    episode = max(frame.episode for frame in frames if frame.seconds > 0)
                frames[:] = [frame for frame in frames if frame.episode == episode]
            episode = frames[-1].episode
            assert mind.thought is not None
            *shown, last = frames
            for frame in shown:
                self.score = frame.score
                yield overlay.draw(frame, mind.thought, None)
            self.result, self.score = result, last.score
            picture = overlay.draw(last, mind.thought, result)
            yield picture
            frames.clear()
        while True:
            yield picture

    def until_the_end(self) -> Iterator[tuple[np.ndarray, float]]:
        """:return: picture and score of each step but the last, whose picture is darkened"""
        for picture in self.pictures:
            if self.result is not None:
                return
            yield picture, self.score

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def race(
    agents: AgentLike | Sequence[AgentLike],
    tracks: Sequence[int] = HELD_OUT_SEEDS[:1],
    path: str | Path | None = "race.mp4",
    *,
    checkpoint: WhichCheckpoint = "best",
    stock: bool = True,
    window: bool = False,
    env_kwargs: dict[str, Any] | None = None,
    progress: bool = False,
) -> list[list[Drive]]:
    """
    Film saved agents of one environment in the same episodes, side by side, with their Q-values.

    One agent gets a pane per episode, three in a row. With several agents, each gets a column and each
    episode a row.

    :param agents: agents in any form that ``evaluate`` takes
    :param tracks: seeds of the tracks or episodes, without training seeds
    :param path: video to write, ``.mp4`` or ``.gif``, or its ``storyboard``, ``.png``; None for no file
    :param checkpoint: agent of a run folder: "best" on validation seeds, or "final"
    :param stock: True if agents observe Gymnasium's picture of CarRacing, False for the picture used in
        training; the video always shows Gymnasium's
    :param window: True to show the race in a window while it is driven
    :param env_kwargs: arguments of ``gym.make`` that change the race, such as ``domain_randomize=True``
    :param progress: True to count frames on stderr
    :return: one list per agent, in the order of ``agents``, with one drive per episode; fewer drives if the
        window was closed
    :raises UserError: if an agent is missing or does not fit, a seed or the path is not allowed, or the
        environment draws no pictures
    """
    results, _ = race_until_closed(
        find_agents(agents, checkpoint),
        tracks,
        None if path is None else Path(path),
        stock=stock,
        window=window,
        env_kwargs=env_kwargs or {},
        progress=progress,
    )
    return results


def race_until_closed(
    agents: Sequence[TrainedAgent],
    tracks: Sequence[int],
    path: Path | None,
    *,
    stock: bool,
    window: bool,
    env_kwargs: dict[str, Any],
    progress: bool = False,
) -> tuple[list[list[Drive]], bool]:
    """
    As ``race``, and tell whether the user closed the window, as during the last picture of finished drives.

    :param agents: agents of one environment
    :param tracks: see ``race``
    :param path: see ``race``
    :param stock: see ``race``
    :param window: see ``race``
    :param env_kwargs: see ``race``
    :param progress: see ``race``
    :return: result of ``race``, and True if the window was closed
    :raises UserError: see ``race``
    """
    task = task_of(agents[0].env_id)
    check_seeds(tracks, task)
    if len(agents) * len(tracks) > MAX_PANES:
        raise UserError(
            f"race needs at most {MAX_PANES} panes, got {len(agents)} agents times {task.count(len(tracks))}"
        )
    if path is not None:
        if path.suffix not in (".mp4", ".gif", ".png"):
            raise UserError(f"race needs a path that ends in .mp4, .gif or .png, got '{path}'")
        check_writable(path)
    video, board = (None, path) if path is not None and path.suffix == ".png" else (path, None)
    if window and board is not None:
        raise UserError(f"a window shows a video, got '{board}': use .mp4, .gif or no path")
    for agent in agents:
        _check_draws(agent)
        check_fits(agent, stock, **env_kwargs)
    closed = False
    with ExitStack() as stack:
        # environments close after the window, because many of Gymnasium's quit pygame with all its windows
        panes = [
            stack.enter_context(closing(_Pane(agent, seed, stock, env_kwargs)))
            for seed in tracks
            for agent in agents
        ]
        columns = len(agents) if len(agents) > 1 else min(_COLUMNS, len(tracks))
        rows = -(-len(panes) // columns)
        screens: list[Window | _Film] = []
        if window:
            shown = Window((columns * PANE[0], rows * PANE[1]), panes[0].fps)
            screens.append(stack.enter_context(closing(shown)))
        if video is not None:
            screens.append(stack.enter_context(_video(video, panes[0].fps)))
        if board is not None:
            _write_storyboards(panes, board, progress)
        else:
            try:
                _show(panes, columns, screens, progress)
            except WindowClosedError:
                closed = True
    results = [
        [pane.result for pane in panes[i :: len(agents)] if pane.result is not None]
        for i in range(len(agents))
    ]
    return results, closed


def _check_draws(agent: TrainedAgent) -> None:
    """
    :param agent: an agent
    :raises UserError: if its environment draws no pictures
    """
    with closing(unwrapped_env(agent)) as env:
        modes = env.metadata.get("render_modes", [])
    if "rgb_array" not in modes:
        raise UserError(f"race needs an environment with render mode 'rgb_array', {agent.env_id} has {modes}")


def _show(panes: list[_Pane], columns: int, screens: list[Window | _Film], progress: bool) -> None:
    """
    :param panes: panes, row by row
    :param columns: panes per row; the last row may have fewer
    :param screens: video, window or both
    :param progress: True to count frames on stderr
    """
    nothing = [np.zeros((PANE[1], PANE[0], 3), np.uint8)] * (-len(panes) % columns)
    ending = max(1, round(ENDING * panes[0].fps))
    with tqdm(desc="filming", unit="frame", disable=not progress) as bar:
        while ending:
            ending -= all(pane.result is not None for pane in panes)
            pictures = [next(pane.pictures) for pane in panes] + nothing
            rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
            for screen in screens:
                screen.append_data(np.vstack(rows))
            bar.update()


def _write_storyboards(panes: list[_Pane], path: Path, progress: bool) -> None:
    """
    :param panes: panes, a row each
    :param path: picture to write
    :param progress: True to count drives on stderr
    """
    bar = tqdm(panes, "filming", unit="drive", disable=not progress)
    rows = [storyboard(pane.until_the_end(), pane.fps) for pane in bar]
    write_file(path, lambda file: imageio.imwrite(file, np.vstack(rows), format="png"))


@contextmanager
def _video(path: Path, fps: float) -> Iterator[_Film]:
    """
    :param path: video to write
    :param fps: pictures per second
    :return: context with the object that takes its pictures
    """
    if path.suffix == ".gif":
        with tempfile.TemporaryDirectory() as folder:
            with _video(Path(folder) / "race.mp4", fps) as screen:
                yield screen
            animate(Path(folder) / "race.mp4", path)
        return
    with suppress(WindowClosedError), replacing(path) as beside:
        with closing(_Film(beside, fps)) as film:
            yield film
        film.check()


def animate(video: Path, path: Path) -> None:
    """
    Make a small GIF of a video, at twice its speed.

    :param video: video to read
    :param path: GIF to write
    :raises UserError: if it cannot be written
    """
    # GIFs can show a picture for 80 ms: of CarRacing's 50 a second at twice the speed, every 8th. With one
    # palette for all pictures and no dithering, unchanged pixels take no space.
    filters = (
        "setpts=PTS/2,fps=12.5,scale=iw*2/3:-1:flags=area,split[a][b];"
        "[a]palettegen=max_colors=96:stats_mode=full[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
    )
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(video.absolute())]
    with replacing(path) as beside:
        done = subprocess.run(
            [*command, "-vf", filters, "-loop", "0", str(beside.absolute())],
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise UserError(f"cannot write '{path}': ffmpeg says {' '.join(done.stderr.split())[-200:]!r}")
