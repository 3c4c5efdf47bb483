import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest

from sb3_cardqn.agents.find import find_agents
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.task import CarRacingTask
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import evaluate
from sb3_cardqn.race.ghost import Pose, draw_ghost, ghost_of, on_screen
from sb3_cardqn.race.play import _seeds_from, action_of, main, play
from sb3_cardqn.race.window import Window
from tests.named import error_naming

SHORT = {"max_episode_steps": 40}  # frames


def race_after(frames: int) -> Any:
    env = FastRender(gym.make("CarRacing-v3", render_mode="rgb_array"))
    env.reset(seed=500_000)
    for _ in range(frames):
        env.step(np.array([-0.05, 0.3, 0], np.float32))
    return env


@pytest.mark.parametrize("frames", [10, 90])  # while the picture zooms in, and after it
def test_a_ghost_at_the_cars_place_covers_the_car(frames: int) -> None:
    env = race_after(frames)
    before, hull = np.array(env.render()), env.unwrapped.car.hull
    after = before.copy()
    draw_ghost(after, env.unwrapped, Pose(hull.position.x, hull.position.y, hull.angle, 0.0))
    around = np.s_[280:320, 288:312]  # without kerbs
    car = (before[around][..., 0] > 150) & (before[around][..., 1] < 60)  # the hull is red
    changed = (before != after).any(axis=2)
    assert car.sum() > 10
    assert changed[around][car].mean() > 0.95
    assert changed.sum() < 3 * car.sum()


def test_a_point_ahead_of_the_car_is_above_it() -> None:
    env = race_after(90)
    hull = env.unwrapped.car.hull
    ahead = hull.GetWorldPoint((0, 10))
    (x, y), (x_ahead, y_ahead) = on_screen(env.unwrapped, np.array([tuple(hull.position), tuple(ahead)]))
    assert (x, y) == pytest.approx((300, 300))  # the middle, a quarter above the lower edge
    assert x_ahead == pytest.approx(300)
    assert y_ahead == pytest.approx(300 - 10 * 2.7 * 6 / 2)  # 2.7 * 6 of 800 rows a metre, drawn on 400


def test_a_ghost_drives_as_the_agent_is_judged() -> None:
    (agent,) = find_agents("cardqn")
    ghost = ghost_of(agent, 500_000, **SHORT)
    (evaluation,) = evaluate("cardqn", [500_000], stock=False, n_processes=1, env_kwargs=SHORT)
    assert len(ghost) == 41  # the start and each frame
    assert ghost[-1].score == pytest.approx(evaluation.drives["score"][0], abs=1)  # skipped frames are drawn
    assert ghost[0].score == 0


def test_keys_drive() -> None:
    assert action_of(set()).tolist() == [0, 0, 0]
    assert action_of({pygame.K_LEFT, pygame.K_w}).tolist() == [-1, 1, 0]
    assert action_of({pygame.K_d, pygame.K_DOWN}).tolist() == pytest.approx([1, 0, 0.8])
    assert action_of({pygame.K_LEFT, pygame.K_RIGHT}).tolist() == [0, 0, 0]


def press(monkeypatch: pytest.MonkeyPatch, at: Callable[[int], list[tuple[int, int]]]) -> list[np.ndarray]:
    """Post synthetic events before each picture; return the pictures that are shown."""
    shown, show, number = [], Window.append_data, itertools.count()

    def append_data(self: Window, picture: np.ndarray) -> None:
        for kind, key in at(next(number)):
            pygame.event.post(pygame.event.Event(kind, key=key))
        shown.append(picture)
        show(self, picture)

    monkeypatch.setattr(Window, "append_data", append_data)
    return shown


@pytest.fixture
def _no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.mark.usefixtures("_no_screen")
def test_a_person_drives_beside_the_ghost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def keys(number: int) -> list[tuple[int, int]]:
        # the gas from the first frame; after 40 frames the result, Enter, the next track; there Escape
        return {
            2: [(pygame.KEYDOWN, pygame.K_UP)],
            45: [(pygame.KEYDOWN, pygame.K_RETURN)],
            50: [(pygame.KEYDOWN, pygame.K_ESCAPE)],
        }.get(number, [])

    shown = press(monkeypatch, keys)
    (agent,) = find_agents("cardqn")
    ((you, ghost),) = play(agent, 500_000, SHORT)
    reference = gym.make("CarRacing-v3", **SHORT)
    reference.reset(seed=500_000)
    gas = [np.array([0, number > 0, 0], np.float32) for number in range(40)]
    assert you == pytest.approx(sum(float(reference.step(action)[1]) for action in gas))
    assert ghost == pytest.approx(ghost_of(agent, 500_000, **SHORT)[-1].score)
    assert f"track 500000: you {you:.1f}   cardqn {ghost:.1f}" in capsys.readouterr().out
    assert len(shown) == 51
    assert all(picture.shape == (400, 600, 3) for picture in shown)
    assert not pygame.display.get_init()


@pytest.mark.usefixtures("_no_screen")
def test_watching_goes_from_episode_to_episode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sb3_cardqn.race.play.judged_kwargs", lambda options: SHORT)
    press(monkeypatch, lambda number: [(pygame.KEYDOWN, pygame.K_ESCAPE)] * (number == 150))
    main(["cardqn", "again=cardqn", "--watch", "--fast", "--first", "500000"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("track 500000: cardqn ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["cardqn", "cardqn_any_colors"], "cardqn | cardqn_any_colors | --watch"),
        (["--first", "7"], "tracks | 7"),
        (["--first", "400000"], "400000"),
        (["absent"], "'absent'"),
    ],
)
@pytest.mark.usefixtures("_no_screen")
def test_wrong_use(arguments: list[str], named: str) -> None:
    with error_naming(UserError, named):
        main(arguments)


def test_a_window_needs_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "absent")
    with error_naming(UserError, "screen | absent | race"):
        main(["--first", "500000"])


def test_a_window_that_nobody_sees_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDL's last resort on a machine without a screen, unless the user asks for it."""
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setattr("pygame.display.get_driver", lambda: "offscreen")
    monkeypatch.setattr("pygame.display.init", lambda: None)
    with error_naming(UserError, "screen | race"):
        Window((64, 48), 50)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_it_runs_on_a_real_screen(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import pygame\n"
        "from sb3_cardqn.race import play\n"
        "from sb3_cardqn.race.window import Window\n"
        "show, count = Window.append_data, [0]\n"
        "def append_data(self, picture):\n"
        "    count[0] += 1\n"
        "    if count[0] in (2, 44, 48):\n"
        "        key = {2: pygame.K_UP, 44: pygame.K_RETURN, 48: pygame.K_ESCAPE}[count[0]]\n"
        "        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))\n"
        "    show(self, picture)\n"
        "Window.append_data = append_data\n"
        f"play.judged_kwargs = lambda options: {SHORT}\n"
        "play.main(['cardqn', '--first', '500000'])\n"
        "assert count[0] == 48, count\n"
    )
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("track 500000: you ")


def test_playing_passes_over_the_final_tracks() -> None:
    task = CarRacingTask()
    assert list(itertools.islice(_seeds_from(399_998, task), 3)) == [399_998, 399_999, 401_000]
    with error_naming(UserError, "400500"):
        _seeds_from(400_500, task)
    with error_naming(UserError, "5"):
        _seeds_from(5, task)


def test_a_ghost_behind_is_not_on_the_dashboard() -> None:
    env = gym.make("CarRacing-v3", render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(60):
        env.step(np.zeros(3, np.float32))
    before: Any = env.render()
    picture, hull = before.copy(), env.unwrapped.car.hull
    behind = hull.GetWorldPoint((0, -5))
    draw_ghost(picture, env.unwrapped, Pose(behind.x, behind.y, hull.angle, 0.0))
    assert not np.array_equal(picture, before)
    assert np.array_equal(picture[350:], before[350:])
