import copy
import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from Box2D import b2Vec2
from gymnasium.envs.box2d.car_racing import CarRacing, FrictionDetector
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_cardqn import EndWhenLost, FrameSkip, GrayscaleObservation
from sb3_cardqn.bench.command import main
from sb3_cardqn.bench.parity import drive
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.fast_render.physics import _view
from sb3_cardqn.errors import UserError
from tests.named import error_naming

CAR = (slice(None), slice(66, 77), slice(45, 51))  # frames, rows, columns
DASHBOARD = (slice(None), slice(84, 96))


def blind(**kwargs: Any) -> Any:
    """Stock physics without stock's drawing, which takes 98 % of the time."""
    env = CarRacing(**kwargs)
    env._render = lambda mode: None  # type: ignore[method-assign]
    return env


def stock_picture(env: Any) -> np.ndarray:
    return CarRacing._render(env.unwrapped, "state_pixels").astype(int)


def watch(env: Any, every: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """
    Fast and stock pictures of the same moments: each of the first second, then one in so many.

    Stock draws the score before it takes 0.1 off, so that looking after step() would be too late.
    """
    car_racing, fast, stock = env.unwrapped, [], []
    hook = car_racing._render

    def both(mode: str) -> np.ndarray:
        picture = hook(mode)
        if car_racing.t < 1 or round(car_racing.t * 50) % every == 0:
            fast.append(picture)
            stock.append(stock_picture(env))
        return picture

    car_racing._render = both
    return fast, stock


def pose(env: Any) -> list[Any]:
    car_racing = env.unwrapped
    car = car_racing.car
    state = [car_racing.reward, car_racing.tile_visited_count, car.fuel_spent]
    for body in (car.hull, *car.wheels):
        state += [*body.position, body.angle, *body.linearVelocity, body.angularVelocity]
    for wheel in car.wheels:
        state += [wheel.omega, wheel.phase, wheel.gas, wheel.joint.angle, wheel.joint.motorSpeed]
    return state + [(particle.color, particle.poly) for particle in car.particles]


def noisy(env: Any, rng: np.random.Generator, noise: float) -> np.ndarray:
    return np.clip(drive(env.unwrapped) + rng.normal(0, noise, 3), [-1, 0, 0], 1).astype(np.float32)


def off_by(fast: np.ndarray, stock: np.ndarray) -> tuple[float, float]:
    """Mean difference in grey levels; part of the pixels that are within 12 in each colour."""
    difference = np.abs(fast.astype(int) - stock)
    return difference.mean(), (difference.max(axis=-1) <= 12).mean()


@pytest.mark.parametrize(
    ("seed", "how"), [(0, "driven"), (1, "driven"), (2, "random"), (3, "wild"), (4, "discrete")]
)
def test_race_is_bit_identical(seed: int, how: str) -> None:
    continuous = how != "discrete"
    stock, fast = blind(continuous=continuous), FastRender(CarRacing(continuous=continuous))
    stock.reset(seed=seed)
    fast.reset(seed=seed)
    rng = np.random.default_rng(seed)
    skids, blocked, off_road = 0, 0, 0
    action: Any
    for frame in range(600):
        if how == "driven":
            action = noisy(stock, rng, 0.3)
        elif how == "wild":
            action = np.array([np.sin(frame / 40), 1, 0.95 * (frame % 37 > 33)], np.float32)
        elif frame % 20 == 0:
            action = rng.uniform([-1, 0, 0], 1).astype(np.float32) if continuous else int(rng.integers(5))
        expected, got = stock.step(action), fast.step(action)
        assert got[1:] == expected[1:]
        assert pose(fast) == pose(stock)
        skids += len(stock.car.particles) > 0
        blocked += stock.car.wheels[0].brake >= 0.9
        off_road += any(not wheel.tiles for wheel in stock.car.wheels)
        if expected[2]:
            break
    # or the test has not met what it is about
    assert off_road > 10
    assert skids > 10 or not continuous
    assert blocked > 10 or how not in ("wild", "random")


def test_lap_end_is_identical() -> None:
    results: list[list[Any]] = []
    stock, fast = blind(), FastRender(CarRacing())
    for env in (stock, fast):
        env.reset(seed=1)
        car_racing: Any = env.unwrapped
        for tile in car_racing.road:
            tile.road_visited = tile.idx != 5
        car_racing.tile_visited_count = len(car_racing.road) - 1
        results.append([])
        while not results[-1] or (not results[-1][-1][1] and len(results[-1]) < 150):
            results[-1].append(env.step(np.array([0, 0.5, 0], np.float32))[1:])
    assert results[0] == results[1]
    assert results[1][-1][1:] == (True, False, {"lap_finished": True})
    assert pose(fast) == pose(stock)


def test_race_and_picture_beyond_the_edge_of_the_field() -> None:
    stock, fast = blind(), FastRender(CarRacing())
    fast_pictures, stock_pictures = watch(fast, every=3)
    stock.reset(seed=0)
    fast.reset(seed=0)
    for _ in range(400):
        off = (stock.car.hull.angle + np.pi / 2 + np.pi) % (2 * np.pi) - np.pi  # from heading along x
        action = np.array([np.clip(2 * off, -0.3, 0.3), 0.1, 0], np.float32)
        expected, got = stock.step(action), fast.step(action)
        assert got[1:] == expected[1:]
        assert pose(fast) == pose(stock)
        if expected[2]:
            break
    assert expected[1:3] == (-100, True)
    assert (stock_picture(fast)[:84] == 0).all(axis=-1).mean() > 0.3  # there is nothing out there
    for part in (slice(0, 50), slice(50, None)):
        mean, within = off_by(np.array(fast_pictures[part]), np.array(stock_pictures[part]))
        assert mean < 0.3
        assert within > 0.995


@pytest.mark.parametrize(("seed", "domain_randomize"), [(0, False), (5, False), (1, True), (2, True)])
def test_picture_is_stock_picture(seed: int, domain_randomize: bool) -> None:
    env, rng = FastRender(CarRacing(domain_randomize=domain_randomize)), np.random.default_rng(seed)
    fast_pictures, stock_pictures = watch(env, every=6)
    env.reset(seed=seed)
    for _ in range(500):
        env.step(noisy(env, rng, 0.2))
    fast, stock = np.array(fast_pictures), np.array(stock_pictures)
    assert len(fast) > 120
    for part in (slice(0, 50), slice(50, None)):
        mean, within = off_by(fast[part], stock[part])
        assert mean < 0.3
        assert within > 0.995
    mean, within = off_by(fast[CAR], stock[CAR])
    assert mean < 1.0
    assert within > 0.97
    # the bars and the score are right to less than a tenth of a pixel
    assert np.abs(fast[DASHBOARD].astype(int) - stock[DASHBOARD]).max() <= 2


@pytest.mark.parametrize(("seed", "domain_randomize"), [(5, False), (2, True)])
def test_gray_picture_is_stock_picture_made_gray(seed: int, domain_randomize: bool) -> None:
    car_racing = TimeLimit(CarRacing(domain_randomize=domain_randomize), 500)
    env = GrayscaleObservation(EndWhenLost(FrameSkip(FastRender(car_racing), skip=2)))
    fast_pictures, stock_pictures = watch(env, every=5)
    rng = np.random.default_rng(seed)
    observations = [env.reset(seed=seed)[0]]
    for _ in range(240):
        observations.append(env.step(noisy(env, rng, 0.2))[0])
    assert env.drawn
    assert all(env.observation_space.contains(observation) for observation in observations)
    assert np.array_equal(fast_pictures[0], observations[0])
    gray = [cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_RGB2GRAY) for picture in stock_pictures]
    fast, stock = np.array(fast_pictures)[..., None], np.array(gray)[..., None].astype(int)
    assert len(fast) > 60
    for part in (slice(0, 25), slice(25, None)):
        mean, within = off_by(fast[part], stock[part])
        assert mean < 0.3
        assert within > 0.995
    mean, within = off_by(fast[CAR], stock[CAR])
    assert mean < 1.0
    assert within > 0.97
    assert np.abs(fast[DASHBOARD].astype(int) - stock[DASHBOARD]).max() <= 2


def test_gray_is_drawn_only_for_what_is_observed_in_gray() -> None:
    class Looks(gym.ObservationWrapper):
        def observation(self, observation: np.ndarray) -> np.ndarray:
            return observation // 2

    for env in (GrayscaleObservation(Looks(FastRender(CarRacing()))), GrayscaleObservation(CarRacing())):
        assert not env.drawn
        assert env.reset(seed=0)[0].shape == (96, 96)
        assert env.unwrapped.observation_space.shape == (96, 96, 3)
    env = GrayscaleObservation(FastRender(CarRacing(render_mode="rgb_array")), keep_dim=True)
    assert env.reset(seed=0)[0].shape == (96, 96, 1)
    assert env.unwrapped.observation_space.shape == (96, 96)
    assert env.render().shape == (400, 600, 3)


@pytest.mark.parametrize("speed", [-40.0, -3.0, 0.0, 0.004, 17.0, 120.0])
def test_dashboard_bars(speed: float) -> None:
    env = FastRender(CarRacing())
    env.reset(seed=0)
    car = env.unwrapped.car
    car.hull.linearVelocity = (0, speed)
    for wheel, factor in zip(car.wheels, (1.0, 1.3, 0.7, 2.0), strict=True):
        wheel.omega = factor * speed
    for spin in (-9.0, -0.01, 0.0, 4.3, 12.0):  # the last reaches the steering bar
        car.hull.angularVelocity = spin
        env.unwrapped.reward = 31.4 * spin
        picture = env.unwrapped._render("state_pixels")
        assert np.abs(picture[84:] - stock_picture(env)[84:]).max() <= (2 if speed >= 0 else 25)


def test_score_after_a_window_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = FastRender(CarRacing())
    env.reset(seed=0)
    window = CarRacing(render_mode="human")
    window.reset(seed=1)
    window.close()
    env.unwrapped.reward = 765.4  # a score that no other test has drawn
    picture = env.unwrapped._render("state_pixels")
    assert np.abs(picture[84:] - stock_picture(env)[84:]).max() <= 2


def test_visited_tiles_take_the_road_colour() -> None:
    env = FastRender(CarRacing())
    before = env.reset(seed=0)[0]
    car_racing: Any = env.unwrapped
    for _ in range(60):
        before = env.step(np.zeros(3, np.float32))[0]
    for tile in car_racing.road:  # as the contact listener does
        tile.color[:] = car_racing.road_color
    after = car_racing._render("state_pixels")
    assert (before != after).mean() > 0.05
    assert off_by(after, stock_picture(env))[0] < 0.25


def test_picture_is_a_function_of_the_state_in_memory_of_its_own() -> None:
    env = FastRender(CarRacing())
    first = env.reset(seed=3)[0]
    kept = first.copy()
    again = env.unwrapped._render("state_pixels")
    assert np.array_equal(first, again)
    assert not np.shares_memory(first, again)
    for _ in range(30):
        env.step(np.array([0, 1, 0], np.float32))
    assert np.array_equal(first, kept)
    assert env.observation_space.contains(first)


def test_render_stays_stock() -> None:
    stock, fast = CarRacing(render_mode="rgb_array"), FastRender(CarRacing(render_mode="rgb_array"))
    for env in (stock, fast):
        env.reset(seed=1)
        for _ in range(20):
            env.step(np.array([1, 1, 0], np.float32))
    assert np.array_equal(np.asarray(fast.render()), np.asarray(stock.render()))


def test_reset_options_and_seeds() -> None:
    env = FastRender(CarRacing(domain_randomize=True))
    first = env.reset(seed=7)[0]
    color = env.unwrapped.road_color.copy()
    env.reset(options={"randomize": False})
    assert np.array_equal(env.unwrapped.road_color, color)
    assert off_by(env.reset(options={"randomize": True})[0], stock_picture(env))[0] < 0.3
    assert not np.array_equal(env.unwrapped.road_color, color)
    fresh = FastRender(CarRacing(domain_randomize=True))
    assert np.array_equal(fresh.reset(seed=7)[0], first)


def test_two_environments_do_not_mix() -> None:
    alone = FastRender(CarRacing())
    expected = [alone.reset(seed=1)[0]] + [alone.step(np.array([0, 1, 0], np.float32))[0] for _ in range(60)]
    one, other = FastRender(CarRacing()), FastRender(CarRacing(domain_randomize=True))
    got = [one.reset(seed=1)[0]]
    other.reset(seed=2)
    for _ in range(60):
        got.append(one.step(np.array([0, 1, 0], np.float32))[0])
        other.step(np.array([1, 1, 0], np.float32))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("duplicate", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])
def test_copies_draw_fast(duplicate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = FastRender(gym.make("CarRacing-v3"))
    first = env.reset(seed=4)[0]
    twin = duplicate(env)
    monkeypatch.setattr(CarRacing, "_draw_colored_polygon", None)  # stock's drawing would fail
    assert np.array_equal(twin.reset(seed=4)[0], first)
    assert twin.unwrapped is not env.unwrapped


def test_twice_is_once() -> None:
    twice, once = FastRender(FastRender(CarRacing())), FastRender(CarRacing())
    assert np.array_equal(twice.reset(seed=5)[0], once.reset(seed=5)[0])
    action = np.array([0.3, 1, 0], np.float32)
    assert np.array_equal(twice.step(action)[0], once.step(action)[0])


@pytest.mark.slow
def test_in_subprocesses() -> None:
    envs = SubprocVecEnv([lambda: FastRender(gym.make("CarRacing-v3"))] * 2, start_method="fork")
    envs.seed(6)
    observations = envs.reset()
    envs.close()
    here = FastRender(CarRacing())
    assert np.array_equal(observations[0], here.reset(seed=6)[0])
    assert np.array_equal(observations[1], here.reset(seed=7)[0])


def test_other_environments_are_refused() -> None:
    with error_naming(TypeError, "FastRender | CarRacing | CartPoleEnv"):
        FastRender(gym.make("CartPole-v1"))


def test_other_drawing_is_refused() -> None:
    class Night(CarRacing):
        def _render_road(self, zoom, translation, angle):  # type: ignore[no-untyped-def]
            """Nothing to see."""

    with error_naming(RuntimeError, "CarRacing | 1.2 | 1.4 | Night"):
        FastRender(Night())


@pytest.mark.parametrize("part", ["_contact", "EndContact"])  # Gymnasium #1670 ends a lap in the first
def test_another_contact_listener_is_refused(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(CarRacing):
        """A key of its own in the cache of what is known."""

    monkeypatch.setattr(FrictionDetector, part, lambda self, *contact: None)
    with error_naming(RuntimeError, "CarRacing | 1.2 | 1.4 | Other"):
        FastRender(Other())


def test_changed_constants_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The track would have another width than stock's."""
    FastRender(CarRacing())
    monkeypatch.setattr("gymnasium.envs.box2d.car_racing.TRACK_WIDTH", 10.0)
    with error_naming(RuntimeError, "CarRacing | TRACK_WIDTH"):
        FastRender(CarRacing())


def test_copies_of_box2d_are_refused() -> None:
    class Copying:
        @property
        def position(self) -> Any:
            return b2Vec2(1, 2)

    with error_naming(RuntimeError, "Box2D | position"):
        _view(Copying(), "position")


def test_long_score_of_gymnasium_1_3(monkeypatch: pytest.MonkeyPatch) -> None:
    env = FastRender(CarRacing())
    car_racing: Any = env.unwrapped
    env.reset(seed=0)
    for _ in range(60):
        env.step(np.array([0.2, 1, 0], np.float32))
    car_racing._render._score_format = lambda reward: "12.345678901234567"
    picture = car_racing._render("state_pixels").astype(int)
    assert (picture[84:, :26] > 100).any(axis=-1).mean() > 0.2
    assert np.abs(picture - stock_picture(env))[84:, 27:].max() <= 2


def test_bench_parity(capsys: pytest.CaptureFixture[str]) -> None:
    main(["parity", "--seeds", "1", "--frames", "60"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("1 of 1" in line for line in lines[1:])


@pytest.mark.parametrize("broken", ["physics", "picture"])
def test_bench_parity_sees_a_difference(
    broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["parity", "--seeds", "1", "--frames", "60"])
    before = capsys.readouterr().out
    if broken == "physics":
        stiffness = np.nextafter(205000 * 0.02 * 0.02, 100)
        monkeypatch.setattr("sb3_cardqn.env.fast_render.physics.STIFFNESS", stiffness)
    else:
        draw = "sb3_cardqn.env.fast_render.render.Dashboard.draw"
        monkeypatch.setattr(draw, lambda self, env, score, out: out.fill(0))
    main(["parity", "--seeds", "1", "--frames", "60"])
    after = capsys.readouterr().out
    assert ("0 of 1" in after) == (broken == "physics")
    assert after != before


def test_bench_env(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["env", "--rounds", "1", "--frames", "8", "--json", str(tmp_path / "bench.json")])
    rows = {row["name"]: row for row in json.loads((tmp_path / "bench.json").read_text())["rows"]}
    assert rows["stock"]["times_stock"] == 1
    assert rows["FastRender"]["times_stock"] > 0
    skipping = rows["FastRender + FrameSkip(4)"]
    assert skipping["agent_steps_per_s"] == pytest.approx(skipping["frames_per_s"] / 4)
    assert "ms/reset" in capsys.readouterr().out


def test_opencv_has_its_threads_back_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seed: int, frames: int) -> np.ndarray:
        raise KeyboardInterrupt

    threads = cv2.getNumThreads()
    monkeypatch.setattr("sb3_cardqn.bench.env.recorded_lap", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(["env"])
    assert cv2.getNumThreads() == threads


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["env", "--rounds", "0"], "--rounds | '0'"),
        (["env", "--frames", "ten"], "--frames | 'ten'"),
        (["envs"], "'envs'"),
    ],
)
def test_bench_errors(arguments: list[str], named: str) -> None:
    with error_naming(UserError, named):
        main(arguments)


def test_it_may_be_put_around_a_race_that_has_begun() -> None:
    env, other = (gym.make("CarRacing-v3", render_mode="state_pixels") for _ in range(2))
    for one in (env, other):
        one.reset(seed=0)
        for _ in range(5):
            one.step(np.array([0.1, 1, 0], np.float32))
    fast = FastRender(env)
    assert fast.render().shape == (96, 96, 3)
    action = np.array([0.1, 1, 0, 7], np.float32)  # stock ignores what comes after the brake
    ours, theirs = fast.unwrapped.step(action), other.unwrapped.step(action)
    assert ours[1:4] == theirs[1:4]
    assert tuple(env.unwrapped.car.hull.position) == tuple(other.unwrapped.car.hull.position)
