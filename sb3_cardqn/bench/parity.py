"""``sb3-cardqn bench parity`` and ``picture``: differences between FastRender and stock on the same laps."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from sb3_cardqn.durable import replacing
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.errors import UserError

SKIP = 4  # frames per action
EPISODE = 1000  # frames, the time limit of CarRacing-v3
MOMENTS = (2, 16, 60, 150, 300, 600)  # frames of the lap in the picture


def drive(car_racing: Any) -> np.ndarray:
    """
    A simple driver that knows the track, good enough for a lap with kerbs and skids.

    :param car_racing: an unwrapped CarRacing
    :return: (3,) steer, gas, brake
    """
    car, track = car_racing.car, car_racing.track
    x, y = car.hull.position
    nearest = min(range(len(track)), key=lambda i: (track[i][2] - x) ** 2 + (track[i][3] - y) ** 2)
    _, _, target_x, target_y = track[(nearest + 6) % len(track)]
    off = _turn(math.atan2(x - target_x, target_y - y) - car.hull.angle)
    bend = abs(_turn(track[(nearest + 14) % len(track)][1] - track[nearest][1]))
    speed, limit = math.hypot(*car.hull.linearVelocity), 60 - 28 * min(bend, 1.2)
    steer = max(-1.0, min(1.0, -2 * off))
    gas = 0.7 * (1 - 0.5 * abs(steer)) if speed < limit else 0.0
    return np.array([steer, gas, 0.4 * (speed > limit + 8)], np.float32)


def _turn(angle: float) -> float:
    """
    :param angle: angle in radians
    :return: same direction in [-pi, pi)
    """
    return (angle + math.pi) % (2 * math.pi) - math.pi


def recorded_lap(seed: int, frames: int, noise: float = 0.1) -> np.ndarray:
    """
    :param seed: seed of the track and of the noise
    :param frames: number of frames
    :param noise: standard deviation of the noise on every action, which causes skids and grass
    :return: (frames, 3) actions of ``drive``, each held for ``SKIP`` frames
    """
    env, rng = CarRacing(), np.random.default_rng(seed)
    env._render = lambda mode: None  # type: ignore[method-assign]
    env.reset(seed=seed)
    actions = np.empty((frames, 3), np.float32)
    for frame in range(frames):
        if frame % SKIP == 0:
            action = np.clip(drive(env) + rng.normal(0, noise, 3), [-1, 0, 0], 1).astype(np.float32)
        actions[frame] = action
        env.step(action)
    return actions


def parity(seeds: int = 50, frames: int = EPISODE) -> None:
    """
    Compare the races and the pictures of FastRender and stock over whole laps, and print a table.

    Every picture of the first second is compared, then one in ten.

    :param seeds: laps of each kind, at least 1
    :param frames: maximum number of frames per lap
    """
    print(" " * 20 + "   same race  mean difference  within 12   first second  within 12")
    for kind in ("driven", "random", "domain_randomize"):
        laps = [_compare(kind, seed, frames) for seed in range(seeds)]
        same = f"{sum(lap[0] for lap in laps)} of {seeds}"
        line = f"{kind:20}{same:>12}"
        for part in (1, 2):
            pixels = np.concatenate([lap[part] for lap in laps])  # (pictures, 2)
            mean, within = pixels.mean(axis=0) if len(pixels) else (math.nan, math.nan)
            line += f"{mean:{17 if part == 1 else 15}.3f}{100 * within:10.2f}%"
        print(line)


def _compare(kind: str, seed: int, frames: int) -> tuple[bool, np.ndarray, np.ndarray]:
    """
    :param kind: "driven", "random" or "domain_randomize"
    :param seed: seed of the track and of the noise
    :param frames: maximum number of frames
    :return: True if rewards, ends and the car's path are bit-identical; (pictures, 2) mean difference in gray
        levels, and part of the pixels within 12, of all pictures; the same of the first second
    """
    rng, colored = np.random.default_rng(seed), kind == "domain_randomize"
    actions = recorded_lap(seed, frames, noise=0.3)
    if kind == "random":
        actions = np.repeat(rng.uniform([-1, 0, 0], 1, (frames, 3)).astype(np.float32), 10, axis=0)[:frames]
    stock, fast = CarRacing(domain_randomize=colored), FastRender(CarRacing(domain_randomize=colored))
    stock._render = lambda mode: None  # type: ignore[method-assign]
    car_racing: Any = fast.unwrapped
    seen = _watch(car_racing, lambda frame: frame < 50 or frame % 10 == 0)
    stock.reset(seed=seed)
    fast.reset(seed=seed)
    same = True
    for action in actions:
        expected, got = stock.step(action), fast.step(action)
        same = same and expected[1:] == got[1:] and _path(stock) == _path(car_racing)
        if expected[2]:
            break
    differences = [np.abs(drawn - pixels) for _, drawn, pixels in seen]
    rows = np.array([(each.mean(), (each.max(axis=-1) <= 12).mean()) for each in differences])
    return same, rows, rows[[frame < 50 for frame, _, _ in seen]]


def _path(car_racing: Any) -> list[float]:
    """
    :param car_racing: an unwrapped CarRacing
    :return: positions and angles of the car and its wheels, and angular speeds of the wheels
    """
    car = car_racing.car
    bodies = [number for body in (car.hull, *car.wheels) for number in (*body.position, body.angle)]
    return [*bodies, *(wheel.omega for wheel in car.wheels)]


def _watch(car_racing: Any, wanted: Callable[[int], bool]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """
    Also draw with stock, at the same moment, because the score changes later.

    :param car_racing: an unwrapped CarRacing under FastRender
    :param wanted: function of the frame's number, True to draw it with stock too
    :return: list of (frame, stock picture, fast picture) that grows with the race
    """
    draw, seen = car_racing._render, []

    def both(mode: str) -> np.ndarray:
        fast, frame = draw(mode), round(car_racing.t * 50)
        if wanted(frame):
            seen.append((frame, CarRacing._render(car_racing, mode).astype(int), fast))
        return fast

    car_racing._render = both
    return seen


def picture(path: str) -> None:
    """
    Draw docs/explanation/fast_render.png: six moments of a lap; stock, fast and eight times their difference.

    :param path: PNG to write
    """
    if Path(path).suffix != ".png":
        raise UserError(f"bench picture needs a path that ends with .png, got '{path}'")
    env = FastRender(CarRacing())
    seen = _watch(env.unwrapped, lambda frame: frame in MOMENTS)
    env.reset(seed=1)
    for action in recorded_lap(1, MOMENTS[-1], noise=0.3):
        env.step(action)
    columns = [
        np.concatenate([drawn, fast, np.clip(128 + 8 * (fast - drawn), 0, 255)]) for _, drawn, fast in seen
    ]
    image = np.concatenate(columns, axis=1).astype(np.uint8)  # (3 * 96, 6 * 96, 3)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    with replacing(Path(path)) as beside:
        if not cv2.imwrite(str(beside), cv2.cvtColor(large, cv2.COLOR_RGB2BGR)):
            raise OSError(f"cannot write '{path}'")
