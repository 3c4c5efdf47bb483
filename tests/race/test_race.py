import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pygame
import pytest
import torch as th
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from sb3_cardqn.env.actions import ACTION_SETS
from sb3_cardqn.env.car_racing import CarRacingWrapper
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Drive, Run, evaluate, make_env
from sb3_cardqn.race import animate, film, race
from sb3_cardqn.race.camera import Camera, Frame
from sb3_cardqn.race.command import main
from sb3_cardqn.race.overlay import PANE, Overlay, action_names
from sb3_cardqn.race.q_values import Mind, Thought, discrete_actions
from sb3_cardqn.race.storyboard import storyboard
from tests.evaluate.test_evaluate import SMALL, save, small_env
from tests.named import error_naming

SHORT = {"max_episode_steps": 10}  # frames
ACTIONS = [[0, 1, 0], [0.5, 0, 0], [-0.5, 0, 0.8]]
ACCENT = (255, 197, 61)


def discrete_env() -> gym.Env:
    return CarRacingWrapper(gym.make("CarRacing-v3"), ACTIONS, screen_size=8, num_frames=1)


def discrete_run(folder: Path, algo: str, model_class: type[BaseAlgorithm], **kwargs: Any) -> Run:
    """A run of an agent that has learned nothing."""
    model = model_class("MlpPolicy", make_vec_env(discrete_env), seed=0, **kwargs)
    wrapper = {"sb3_cardqn.CarRacingWrapper": {"actions": ACTIONS, "screen_size": 8, "num_frames": 1}}
    return save(folder, algo, model, env_wrapper=wrapper)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """An agent with a frame skip of 4 and one with 3."""
    folder = tmp_path_factory.mktemp("logs")
    ppo = PPO("MlpPolicy", make_vec_env(small_env), n_steps=16, batch_size=16, seed=0)
    return [
        discrete_run(folder, "dqn", DQN, buffer_size=1),
        save(folder, "ppo", ppo, env_wrapper=SMALL),
    ]


@pytest.mark.slow
def test_agents_with_different_frame_skips_share_one_clock(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, Frame]] = []
    draw = Overlay.draw

    def spy(self: Overlay, frame: Frame, *rest: Any) -> np.ndarray:
        shown.append((self.title, frame))
        return draw(self, frame, *rest)

    monkeypatch.setattr(Overlay, "draw", spy)
    video = tmp_path / "race.mp4"
    drives = race(runs, [200_000, 200_001], video, env_kwargs=SHORT)
    expected = evaluate(runs, [200_000, 200_001], n_processes=1, env_kwargs=SHORT)
    for driven, evaluation in zip(drives, expected, strict=True):
        rows = evaluation.drives.to_dict("records")
        assert driven == [Drive(row.pop("track"), **row) for row in rows]
    assert len(shown) == 4 * 11  # the start and ten frames of each pane
    for i in range(0, len(shown), 4):
        assert [name for name, _ in shown[i : i + 4]] == ["dqn/CarRacing-v3_1", "ppo/CarRacing-v3_1"] * 2
        assert [frame.seconds for _, frame in shown[i : i + 4]] == pytest.approx([i / 4 / 50] * 4)
    assert [frame.score for _, frame in shown[-4:]] == pytest.approx(
        [drives[agent][track].score for track in (0, 1) for agent in (0, 1)], abs=1e-4
    )
    pictures: Any = imageio.mimread(video, memtest=False)
    assert len(pictures) == 11 + film.ENDING * 50
    assert pictures[0].shape == (2 * PANE[1], 2 * PANE[0], 3)


def test_a_storyboard_ends_a_second_after_the_last_tile(runs: list[Run], tmp_path: Path) -> None:
    scores = [*np.arange(200.0), *np.arange(150.0, 50.0, -0.1)]  # lost from step 200 on, at 50 steps a second
    panes = [(np.full((2, 3, 3), step // 20, np.uint8), score) for step, score in enumerate(scores)]
    board = storyboard(panes, fps=50)  # to step 240; step 249 is a second after the last tile
    assert board[::2, ::3, 0].tolist() == [[5, 6, 7, 8], [9, 10, 11, 12]]
    board = storyboard(panes[:50], fps=50)
    assert board[::2, ::3, 0].tolist() == [[0, 1, 2, 0], [0, 0, 0, 0]]

    drives = race(runs, [200_000], tmp_path / "race.png", env_kwargs=SHORT)
    assert [one.frames for (one,) in drives] == [10, 10]
    assert imageio.imread(tmp_path / "race.png").shape == (2 * 2 * PANE[1], 4 * PANE[0], 3)


@pytest.mark.slow
def test_one_agent_has_a_pane_for_each_track_three_in_a_row(runs: list[Run], tmp_path: Path) -> None:
    (drives,) = race(
        runs[1], range(200_000, 200_004), tmp_path / "race.gif", env_kwargs={"max_episode_steps": 2}
    )
    assert [one.seed for one in drives] == [200_000, 200_001, 200_002, 200_003]
    gif: Any = imageio.mimread(tmp_path / "race.gif", memtest=False)
    assert gif[0].shape[:2] == (2 * PANE[1] * 2 // 3, 3 * PANE[0] * 2 // 3)


@pytest.mark.slow
def test_a_gif_is_twice_as_fast(runs: list[Run], tmp_path: Path) -> None:
    with imageio.get_writer(tmp_path / "race.mp4", fps=50) as writer:
        video: Any = writer
        for shade in np.linspace(0, 255, 80).astype(np.uint8):
            video.append_data(np.full((48, 48, 3), shade, np.uint8))
    animate(tmp_path / "race.mp4", tmp_path / "race.gif")
    gif: Any = imageio.get_reader(tmp_path / "race.gif")
    assert gif.get_meta_data()["duration"] == 80  # ms
    assert len(list(gif)) == 10  # 0.8 s instead of 1.6


def think(run: Run) -> tuple[Any, np.ndarray, Thought]:
    env = make_env(run, stock=False)
    env.seed(200_000)
    obs: Any = env.reset()
    model = run.load_model()
    mind = Mind(model)
    mind.predict(obs, deterministic=True)
    assert mind.thought is not None
    return model, obs, mind.thought


def test_q_values_are_the_networks(runs: list[Run], tmp_path: Path) -> None:
    model, obs, thought = think(runs[0])
    assert thought.kind == "Q-value"
    assert np.allclose(thought.values, model.q_net(th.as_tensor(obs)).detach().numpy()[0])
    assert thought.values.argmax() == thought.action

    model, obs, thought = think(discrete_run(tmp_path, "qrdqn", QRDQN, buffer_size=1))
    quantiles = model.quantile_net(th.as_tensor(obs)).detach().numpy()  # (1, quantiles, actions)
    assert np.allclose(thought.values, quantiles[0].mean(axis=0))
    assert thought.values.argmax() == thought.action


def test_a_policy_tells_its_probabilities(tmp_path: Path) -> None:
    _, _, thought = think(discrete_run(tmp_path, "ppo", PPO, n_steps=16, batch_size=16))
    assert thought.kind == "probability"
    assert thought.values.sum() == pytest.approx(1, abs=1e-6)
    assert thought.values.argmax() == thought.action


def test_others_tell_what_they_do(runs: list[Run], tmp_path: Path) -> None:
    model, obs, thought = think(runs[1])  # continuous
    assert len(thought.values) == 0
    assert np.array_equal(thought.action, model.predict(obs, deterministic=True)[0][0])
    run = save(
        tmp_path,
        "ppo_lstm",
        RecurrentPPO("MlpLstmPolicy", make_vec_env(discrete_env), n_steps=8),
        env_wrapper={"sb3_cardqn.CarRacingWrapper": {"actions": ACTIONS, "screen_size": 8, "num_frames": 1}},
    )
    _, _, thought = think(run)
    assert len(thought.values) == 0
    assert thought.action in (0, 1, 2)


def test_actions_have_names(runs: list[Run]) -> None:
    assert action_names(np.array(ACTION_SETS["default5"])) == [
        ("↑", "coast"), ("→", "coast"), ("←", "coast"), ("↑", "gas"), ("↑", "brake"),
    ]  # fmt: skip
    assert action_names(np.array(ACTION_SETS["gas_and_steer12"]))[:4] == [
        ("←", "coast"), ("←", ".5 gas"), ("←", "gas"), ("←", "brake"),
    ]  # fmt: skip
    assert action_names(np.array([[-0.3, 0.2, 0.1], [1, 0, 0.8]])) == [
        (".3 ←", "gas+.1 brake"),
        ("→", ".8 brake"),
    ]
    assert np.array_equal(discrete_actions(make_env(runs[0])), ACTIONS)
    assert discrete_actions(make_env(runs[1])) is None
    discrete = make_env({"env_kwargs": {"continuous": False}})
    assert np.array_equal(discrete_actions(discrete), ACTION_SETS["default5"])


def accent_columns(pane: np.ndarray) -> dict[int, int]:
    """
    :return: number of highlighted pixels in each column of the panel, where there are any
    """
    counts = (pane[340:400] == ACCENT).all(axis=2).sum(axis=0)
    return {int(x): int(counts[x]) for x in np.flatnonzero(counts)}


def test_the_chosen_action_has_a_full_highlighted_bar() -> None:
    frame = Frame(np.zeros((400, 600, 3), np.uint8), 12.0, 10.0, 1.5)
    overlay = Overlay("agent", "track", np.array(ACTIONS))
    bars = {}
    for chosen in range(3):
        values = np.full(3, 7.0)
        values[chosen] = 9.0
        bars[chosen] = accent_columns(overlay.draw(frame, Thought("Q-value", values, chosen), None))
        assert set(bars[chosen].values()) == {51}
    assert max(bars[0]) < min(bars[1]) <= max(bars[1]) < min(bars[2])
    half = accent_columns(overlay.draw(frame, Thought("probability", np.array([0.5, 0.3, 0.2]), 0), None))
    assert set(half.values()) == {26}
    assert half.keys() == bars[0].keys()


def test_steering_fills_from_the_middle() -> None:
    frame = Frame(np.zeros((400, 600, 3), np.uint8), 12.0, 10.0, 1.5)
    overlay = Overlay("agent", "track", None)
    left = accent_columns(overlay.draw(frame, Thought("", np.empty(0), np.array([-1.0, 0.0, 0.0])), None))
    right = accent_columns(overlay.draw(frame, Thought("", np.empty(0), np.array([1.0, 0.0, 0.0])), None))
    gas = accent_columns(overlay.draw(frame, Thought("", np.empty(0), np.array([0.0, 1.0, 0.0])), None))
    assert min(left) == min(gas)
    assert max(right) == max(gas)
    assert max(left) - min(left) == pytest.approx((max(gas) - min(gas)) / 2, abs=1)


def test_speed_is_the_cars(monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = Camera(gym.make("CarRacing-v3", render_mode="rgb_array"))
    env.reset(seed=0)
    for _ in range(20):
        env.step(np.array([0, 1, 0], np.float32))
    x, y = zip(*((frame.speed, frame.seconds) for frame in env.frames), strict=True)
    assert x[0] == pytest.approx(0, abs=0.1)
    velocity = env.unwrapped.car.hull.linearVelocity
    assert x[-1] == pytest.approx(np.hypot(*velocity))
    assert x[-1] > 5
    assert y[-1] == pytest.approx(0.4)


class Shades(gym.Env):
    """An environment whose picture is from 0 to 1, as MinAtar's."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def reset(self, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def render(self) -> Any:
        return np.array([[[0.0, 0.5, 1.0]]])


def test_a_picture_of_floats_is_filmed_in_its_colours() -> None:
    camera = Camera(Shades())
    camera.reset()
    assert camera.frames[0].picture.dtype == np.uint8
    assert camera.frames[0].picture.tolist() == [[[0, 127, 255]]]


def test_a_window_shows_the_race_until_it_is_closed(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    sizes = []
    flip = pygame.display.flip

    def flip_and_close() -> None:
        flip()
        sizes.append(pygame.display.get_surface().get_size())
        if len(sizes) == 3:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))

    monkeypatch.setattr(pygame.display, "flip", flip_and_close)
    assert race(runs, path=None, window=True, env_kwargs=SHORT) == [[], []]
    assert sizes == [(2 * PANE[0], PANE[1])] * 3
    assert not pygame.display.get_init()


def test_a_window_needs_a_screen(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "absent")
    with error_naming(UserError, "screen | absent"):
        race(runs, path=None, window=True, env_kwargs=SHORT)


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"path": "race.avi"}, ".mp4 | .gif | .png | 'race.avi'"),
        ({"path": "race.png", "window": True}, "window | 'race.png' | .mp4"),
        ({"path": "absent/race.mp4"}, "'absent/race.mp4'"),
        ({"tracks": [3]}, "200000 | 3"),
        ({"tracks": range(200_000, 200_007)}, "12 | 2 | 7"),
    ],
)
def test_wrong_use(
    kwargs: dict[str, Any], named: str, runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with error_naming(UserError, named):
        race(runs, **kwargs)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["race.mp4", "race.gif"])
def test_a_disk_that_is_full_leaves_the_old_film(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"the old film")
    script = (
        "import resource, sys; from sb3_cardqn.race import race; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "  # bytes of a file
        "race(sys.argv[1], path=sys.argv[2], env_kwargs={'max_episode_steps': 3})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "cardqn", tmp_path / name], stderr=subprocess.PIPE, text=True
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("sb3_cardqn.errors.UserError: ")
    assert (tmp_path / name).read_bytes() == b"the old film"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_a_race_writes_through_no_link(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "mine").write_text("mine")
    for name in ("race.mp4", "race.gif"):
        Path(name).symlink_to(tmp_path / "mine")
    monkeypatch.setattr(
        "sb3_cardqn.race.command.race", lambda *args, **kwargs: race(*args, **kwargs | {"env_kwargs": SHORT})
    )
    main([f"a={runs[0].folder}", f"b={runs[1].folder}", "--gif"])
    assert (tmp_path / "mine").read_text() == "mine"
    assert imageio.mimread("race.gif", memtest=False)
    assert not Path("race.mp4").is_symlink()


def test_a_window_that_is_closed_at_once_leaves_the_old_film(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    (tmp_path / "race.mp4").write_bytes(b"the old film")
    escape = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE)
    monkeypatch.setattr(pygame.event, "get", lambda: [escape])
    assert race(runs, path=tmp_path / "race.mp4", window=True, env_kwargs=SHORT) == [[], []]
    assert (tmp_path / "race.mp4").read_bytes() == b"the old film"


@pytest.mark.slow
def test_the_command_films_several_agents_here(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sb3_cardqn.race.command.race", lambda *args, **kwargs: race(*args, **kwargs | {"env_kwargs": SHORT})
    )
    main([f"SB3 DQN={runs[0].folder}", str(runs[1].folder), "--first", "200003", "--gif"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["race.gif", "race.mp4"]
    lines = capsys.readouterr().out.splitlines()
    assert [line[:19].strip() for line in lines[2:5]] == ["SB3 DQN", "ppo/CarRacing-v3_1", "random actions"]
    assert all("200003" in line for line in lines[2:5])
