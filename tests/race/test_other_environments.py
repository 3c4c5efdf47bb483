import os
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pygame
import pytest
from PIL import ImageDraw
from stable_baselines3 import DQN

from sb3_cardqn import trust
from sb3_cardqn.env.task import Task
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Agent
from sb3_cardqn.race import race
from sb3_cardqn.race.camera import Camera, Frame
from sb3_cardqn.race.film import _Pane
from sb3_cardqn.race.overlay import PANE, Overlay
from sb3_cardqn.race.play import watch
from sb3_cardqn.race.q_values import Thought
from tests.named import error_naming

STEPS, ENDING = 5, 4  # an episode has 6 pictures, then 4 times the last one
SHORT = {"max_episode_steps": STEPS}
GRAY = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
RGB = np.stack([GRAY, GRAY + 1, GRAY + 2], axis=2)


class Drawn(gym.Env):
    """An environment that gives a tenth of a point a step, and shows the picture it is given."""

    metadata = gym.Env.metadata | {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space = gym.spaces.Box(0, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, picture: Any = RGB, render_mode: str | None = None) -> None:
        self.render_mode, self._picture = render_mode, picture

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(2, np.float32), 0.1, False, False, {}

    def render(self) -> Any:
        return self._picture


def agent_of(env_id: str, folder: Path) -> Agent:
    """An agent that has learned nothing."""
    folder.mkdir()
    model = DQN("MlpPolicy", env_id, buffer_size=1, seed=0, policy_kwargs={"net_arch": [8]})
    model.save(folder / "agent.zip")
    trust.remember(folder / "agent.zip")
    (folder / "config.yml").write_text("{}")
    return Agent(folder / "agent.zip", "dqn", folder / "config.yml", "an agent", env_id)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    gym.register("Drawn-v0", Drawn, disable_env_checker=True)
    yield agent_of("Drawn-v0", tmp_path_factory.mktemp("logs") / "drawn")
    del gym.registry["Drawn-v0"]


def watched(monkeypatch: pytest.MonkeyPatch, at: int, do: Callable[[], object], fps: int = 50) -> list[int]:
    """Do something while a picture is shown; return the numbers of the pictures that are shown."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setattr("sb3_cardqn.race.film.ENDING", ENDING / fps)
    shown: list[int] = []
    flip = pygame.display.flip

    def flip_and_do() -> None:
        flip()
        shown.append(len(shown))
        assert len(shown) < 40, "nothing ends it"
        if shown[-1] == at:
            do()

    monkeypatch.setattr(pygame.display, "flip", flip_and_do)
    return shown


def escape() -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))


@pytest.mark.parametrize(("env_id", "fps"), [("CartPole-v1", 50), ("Acrobot-v1", 15)])
def test_environments_that_quit_pygame_are_watched_one_episode_after_another(
    env_id: str, fps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = watched(monkeypatch, 12, escape, fps)
    agents = [agent_of(env_id, tmp_path / "one"), agent_of(env_id, tmp_path / "other")]
    watch(agents, 500_000, True, SHORT)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["episode 500000"]
    assert len(shown) == 13
    assert not pygame.display.get_init()


def close() -> None:
    pygame.event.post(pygame.event.Event(pygame.QUIT))


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("at", [7, 9])  # in the ending, and on its last picture
@pytest.mark.parametrize(
    "do",
    [escape, close, pytest.param(end, marks=pytest.mark.skipif(os.name == "nt", reason="ends the process"))],
)
def test_watching_ends_while_the_last_picture_stays(
    do: Callable[[], None],
    at: int,
    drawn: Agent,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = watched(monkeypatch, at, do)
    watch([drawn], 500_000, True, SHORT)
    assert capsys.readouterr().out == "episode 500000: an agent 0.500\n"
    assert len(shown) == at + 1


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that are drawn."""
    written: list[str] = []
    draw_text = ImageDraw.ImageDraw.text

    def text(self: Any, xy: Any, text: str, *args: Any, **kwargs: Any) -> None:
        written.append(text)
        draw_text(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


@pytest.mark.parametrize(
    ("score", "values", "named"),
    [
        (0.25, [0.5, 0.5714], ["0.250", "0.571", "Q-value of each action, bars span 0.0714"]),
        (1.0, [0.0, 2.0], ["1.00", "2.00", "Q-value of each action, bars span 2.00"]),
        (-0.04, [-0.5, -0.2], ["-0.0400", "-0.200", "Q-value of each action, bars span 0.300"]),
        (926.4, [60.0, 78.34], ["926", "78.3", "Q-value of each action, bars span 18.3"]),
        (12345.6, [0.0, 1234.56], ["12346", "1234.6", "Q-value of each action, bars span 1235"]),
    ],
)
def test_numbers_have_the_digits_they_need(
    score: float, values: list[float], named: list[str], texts: list[str]
) -> None:
    frame = Frame(np.zeros((2, 3, 3), np.uint8), score, None, 1.5)
    Overlay("agent", "episode", None, Task("Drawn-v0")).draw(
        frame, Thought("Q-value", np.array(values), 1), None
    )
    assert set(named) <= set(texts), texts


def test_small_returns_of_a_race_are_told_apart(drawn: Agent, tmp_path: Path, texts: list[str]) -> None:
    race(drawn, path=tmp_path / "race.png", env_kwargs=SHORT)
    scores = [before for before, unit in pairwise(texts) if unit == "points"]
    assert scores == ["0", "0.100", "0.200", "0.300", "0.400", "0.500"]

    texts.clear()
    race(agent_of("FrozenLake-v1", tmp_path / "lake"), path=tmp_path / "race.png", env_kwargs=SHORT)
    spans = [float(text.split("span ")[1]) for text in texts if "span" in text]
    assert spans
    assert min(spans) > 0


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (GRAY, np.stack([GRAY] * 3, 2)),
        (GRAY[:, :, None], np.stack([GRAY] * 3, 2)),
        (GRAY > 120, np.stack([np.where(GRAY > 120, 255, 0)] * 3, 2)),
        (np.dstack([RGB, 0 * GRAY]), RGB),
        (RGB.astype(np.int64), RGB),
    ],
    ids=["gray", "one channel", "black and white", "RGBA", "int64"],
)
def test_pictures_of_other_kinds_are_filmed_in_rgb(
    picture: np.ndarray, expected: np.ndarray, drawn: Agent, tmp_path: Path
) -> None:
    camera = Camera(Drawn(picture))
    camera.reset()
    assert camera.frames[0].picture.dtype == np.uint8
    assert np.array_equal(camera.frames[0].picture, expected)

    (drives,) = race(drawn, path=tmp_path / "race.png", env_kwargs=SHORT | {"picture": picture})
    assert [drive.frames for drive in drives] == [STEPS]
    assert imageio.imread(tmp_path / "race.png").shape == (2 * PANE[1], 4 * PANE[0], 3)


@pytest.mark.parametrize(
    ("picture", "named"),
    [
        (None, "Drawn-v0 | None"),
        ([GRAY], "Drawn-v0 | list"),
        ("a picture", "Drawn-v0 | str"),
        (GRAY[0], "Drawn-v0 | (3,)"),
        (RGB[:, :, :2], "Drawn-v0 | (2, 3, 2)"),
        (RGB[None], "Drawn-v0 | (1, 2, 3, 3)"),
        (np.zeros((0, 3, 3), np.uint8), "Drawn-v0 | (0, 3, 3)"),
    ],
)
def test_what_is_no_picture_is_named(picture: Any, named: str, drawn: Agent, tmp_path: Path) -> None:
    for name in ("race.mp4", "race.gif", "race.png"):
        with error_naming(UserError, named):
            race(drawn, path=tmp_path / name, env_kwargs=SHORT | {"picture": picture})
    assert not list(tmp_path.iterdir())


def test_a_film_of_one_step_ends_with_that_step(drawn: Agent, tmp_path: Path) -> None:
    ((one,),) = race(drawn, [500_000], tmp_path / "one.png", env_kwargs={"max_episode_steps": 1})
    pane = _Pane(drawn, 500_000, True, {"max_episode_steps": 1})
    next(pane.pictures)
    next(pane.pictures)
    pane.close()
    assert one.score == pytest.approx(0.1)
    assert (pane.result, pane.score) == (one, pytest.approx(0.1))  # not the first picture of the next episode


@pytest.mark.parametrize("actions", [27, 90, 300])
def test_many_actions_have_a_bar_each(actions: int) -> None:
    steering = np.linspace(-1, 1, actions)
    rows = np.stack([steering, np.zeros(actions), np.zeros(actions)], axis=1)  # each is a group of its own
    values = np.where(np.arange(actions) == 3, np.nan, steering)  # of a diverged network
    frame = Frame(np.zeros((2, 2000, 3), np.uint8), 0.0, None, 0.0)  # and a picture of an extreme shape
    for known in (rows, None):
        pane = Overlay("many", "", known).draw(frame, Thought("Q-value", values, np.array(5)), None)
        assert pane.shape == (PANE[1], PANE[0], 3)
