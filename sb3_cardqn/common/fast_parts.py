"""The parts of the picture that are fixed to the screen: the car and the dashboard, for fast_picture."""

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pygame
from Box2D.b2 import polygonShape
from gymnasium.envs.box2d import car_racing as stock
from gymnasium.envs.box2d.car_dynamics import (
    HULL_POLY1,
    HULL_POLY2,
    HULL_POLY3,
    HULL_POLY4,
    SIZE,
    WHEEL_R,
    WHEEL_W,
    WHEEL_WHITE,
)

from sb3_cardqn.common.fast_picture import CAR_X, CAR_Y, PIXEL_H, PIXEL_W, SMOOTHSCALE_LOSS

# the observed pixels a car can reach, and the screen pixels that these cover
CAR_ROWS, CAR_COLS = slice(66, 77), slice(45, 51)
PATCH_LEFT, PATCH_RIGHT, PATCH_TOP, PATCH_BOTTOM = 468, 532, 550, 642
HULL_RED = 204  # int(0.8 * 255)


def _box_filter(pixels: slice, size: float, start: int, stop: int) -> np.ndarray:
    """
    :param pixels: observed pixels
    :param size: screen pixels an observed pixel
    :param start: first screen pixel
    :param stop: end of the screen pixels
    :return: (observed pixels, screen pixels) part of each observed pixel that a screen pixel is
    """
    first = np.arange(pixels.start, pixels.stop)[:, None] * size
    screen = np.arange(start, stop)[None, :]
    overlap = np.minimum(first + size, screen + 1) - np.maximum(first, screen)
    return (np.maximum(overlap, 0) / size).astype(np.float32)


_CAR_DOWN = _box_filter(CAR_ROWS, PIXEL_H, PATCH_TOP, PATCH_BOTTOM)
_CAR_ACROSS = _box_filter(CAR_COLS, PIXEL_W, PATCH_LEFT, PATCH_RIGHT).T.copy()


def _shapes(polygons: list[tuple[int, list[tuple[float, float]]]]) -> np.ndarray:
    """
    The same pixels as stock fills, with the same function.

    :param polygons: what to fill with, and corners in screen coordinates, y upwards
    :return: (patch rows, patch columns) of the last fill
    """
    surface = pygame.Surface((PATCH_RIGHT - PATCH_LEFT, PATCH_BOTTOM - PATCH_TOP), depth=8)
    low = stock.WINDOW_H - PATCH_BOTTOM
    for fill, corners in polygons:
        # pygame truncates, and the patch starts at whole pixels
        pygame.draw.polygon(surface, fill, [(int(x) - PATCH_LEFT, int(y) - low) for x, y in corners])
    return pygame.surfarray.array2d(surface).T[::-1]


def _observed(mask: np.ndarray) -> np.ndarray:
    """
    :param mask: (patch rows, patch columns) of screen pixels
    :return: (rows, columns) part of each observed pixel
    """
    return _CAR_DOWN @ mask.astype(np.float32) @ _CAR_ACROSS


@cache
def _hull(zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """
    The hull never turns on the screen: the camera turns with it.

    :param zoom: screen pixels a world unit
    :return: (rows, columns, 4) its layer; (patch rows, patch columns) where it is
    """
    polygons = []
    for hull_poly in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4):
        # pygame fills other pixels when the same corners come in another order: take Box2D's
        corners = polygonShape(vertices=[(x * SIZE, y * SIZE) for x, y in hull_poly]).vertices
        polygons.append((1, [(x * zoom + CAR_X, y * zoom + CAR_Y) for x, y in corners]))
    mask = _shapes(polygons) > 0
    part = _observed(mask)
    layer = _layer(part, part * HULL_RED, 0 * part)
    # Once for the whole car: see the world where nothing covers it, and truncate to the same numbers there.
    layer[..., :3] += 0.8
    layer[..., 3] += 1
    return layer, mask


def _layer(part: np.ndarray, red: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """
    :param part: (rows, columns) part of each pixel that is covered
    :param red: (rows, columns) red light from the cover
    :param gray: (rows, columns) gray light from the cover
    :return: (rows, columns, 4) what is added to red, green and blue, and to the part of the world that is seen
    """
    loss = SMOOTHSCALE_LOSS * part  # the world has lost it already
    return np.stack([red + gray - loss, gray - loss, gray - loss, -part], axis=-1)


@lru_cache(maxsize=8192)  # 1 kB each
def _wheel(zoom: float, tyre: tuple[int, ...], mark: tuple[int, ...] | None) -> np.ndarray:
    """
    :param zoom: screen pixels a world unit
    :param tyre: x and y of four corners in whole screen pixels
    :param mark: the same of the white part of the tyre, None where it is on the far side
    :return: (rows, columns, 4) layer of what the hull leaves visible
    """
    polygons = [(1, list(zip(tyre[0::2], tyre[1::2], strict=True)))]
    if mark is not None:
        polygons.append((2, list(zip(mark[0::2], mark[1::2], strict=True))))
    shapes = np.where(_hull(zoom)[1], 0, _shapes(polygons))
    return _layer(_observed(shapes > 0), np.float32(0), _observed(shapes == 2) * WHEEL_WHITE[0])


def car_layer(car: Any, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """
    :param car: Gymnasium's car
    :param zoom: screen pixels a world unit
    :return: at ``CAR_ROWS``, ``CAR_COLS``: (11, 6, 3) light to add; (11, 6, 1) part of the world that is seen
    """
    hull = car.hull
    center, angle = hull.position, hull.angle
    center_x, center_y = center.x, center.y
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
    layer = _hull(zoom)[0].copy()
    for wheel in car.wheels:
        position, turn = wheel.position, wheel.angle - angle
        away_x, away_y = position.x - center_x, position.y - center_y
        x = CAR_X + cos * away_x + sin * away_y
        y = CAR_Y + cos * away_y - sin * away_x
        # half the axle and half the tread, in screen pixels
        cos_turn, sin_turn = math.cos(turn) * zoom * SIZE, math.sin(turn) * zoom * SIZE
        axle_x, axle_y = cos_turn * WHEEL_W, sin_turn * WHEEL_W
        tread_x, tread_y = -sin_turn * WHEEL_R, cos_turn * WHEEL_R
        # right to left, because that is Box2D's order of the corners, and pygame's pixels depend on it
        tyre = _corners(x, y, tread_x, tread_y, axle_x, axle_y, 1.0, -1.0)
        layer += _wheel(zoom, tyre, _mark(wheel.phase, x, y, axle_x, axle_y, tread_x, tread_y))
    return layer[..., :3], layer[..., 3:]


def _mark(phase: float, *where: float) -> tuple[int, ...] | None:
    """
    The white part of a tyre, as ``Car.draw`` has it.

    :param phase: how far the wheel has rolled, radians
    :param where: the wheel, as ``_corners`` takes it
    :return: its corners, None when it is on the far side
    """
    first, last = phase, phase + 1.2
    sin_first, sin_last = math.sin(first), math.sin(last)
    if sin_first > 0 and sin_last > 0:
        return None
    cos_first, cos_last = math.cos(first), math.cos(last)
    if sin_first > 0:
        cos_first = math.copysign(1.0, cos_first)
    if sin_last > 0:
        cos_last = math.copysign(1.0, cos_last)
    return _corners(*where, cos_first, cos_last)


def _corners(
    x: float, y: float, axle_x: float, axle_y: float, tread_x: float, tread_y: float, first: float, last: float
) -> tuple[int, ...]:
    """
    :param x: of the wheel on the screen
    :param y: of the wheel on the screen
    :param axle_x: half of its width
    :param axle_y: half of its width
    :param tread_x: half of its length
    :param tread_y: half of its length
    :param first: where the rectangle starts along the tread, -1 to 1
    :param last: where it ends
    :return: x and y of four corners, truncated as pygame does
    """
    first_x, first_y = x + first * tread_x, y + first * tread_y
    last_x, last_y = x + last * tread_x, y + last * tread_y
    return (
        int(first_x - axle_x),
        int(first_y - axle_y),
        int(first_x + axle_x),
        int(first_y + axle_y),
        int(last_x + axle_x),
        int(last_y + axle_y),
        int(last_x - axle_x),
        int(last_y - axle_y),
    )


# The dashboard is a product: what each column of the 1000 pixels shows does not change along a bar, so the
# picture is (12, bars) parts of rows times (bars, 96 * 3) colours of columns.
DASH_TOP, DASH_BOTTOM = 700, stock.WINDOW_H
_DASH_ROWS = _box_filter(slice(84, 96), PIXEL_H, DASH_TOP, DASH_BOTTOM)
_DASH_COLUMNS = _box_filter(slice(0, 96), PIXEL_W, 0, stock.WINDOW_W)
ABSENT = 100  # in the table of heights: a bar that stock does not draw
SIDEWAYS = 101  # in the table of heights: the two horizontal bars
SCORE_COLS = 12  # observed pixels left of the first bar, 125 screen pixels


def _heights() -> np.ndarray:
    """
    :return: (102, 12) for each screen row of the dashboard where a bar that stands on row 780 may end, the
        part of each observed row that it covers; none; the same of the horizontal bars
    """
    table = np.zeros((SIDEWAYS + 1, 12), np.float32)
    table[SIDEWAYS] = _DASH_ROWS[:, 20:61].sum(axis=1)
    for end in range(ABSENT):
        low, high = sorted((end, 80))
        table[end] = _DASH_ROWS[:, low : high + 1].sum(axis=1)
    return table


def _columns(first: int, last: int, color: tuple[int, int, int]) -> np.ndarray:
    """
    :param first: screen column where it starts
    :param last: screen column where it ends, inclusive
    :param color: red, green, blue
    :return: (96 * 3,) after smoothscale's horizontal pass, which truncates
    """
    part = _DASH_COLUMNS[:, first : last + 1].sum(axis=1)
    return np.floor(np.maximum(part[:, None] * np.array(color) - 0.01, 0)).astype(np.float32).ravel()


def _sweep(origin: int, color: tuple[int, int, int]) -> np.ndarray:
    """
    :param origin: screen column of the bar's zero
    :param color: red, green, blue
    :return: (1000, 96 * 3) for each screen column where the bar may end, its columns
    """
    ends = range(stock.WINDOW_W)
    return np.stack([_columns(min(origin, end), max(origin, end), color) for end in ends])


@cache
def _dash_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    :return: heights; (10, 96 * 3) columns with room for the two horizontal bars in the last two rows;
        the steering bar's and the gyroscope's sweeps
    """
    blue, violet = (0, 0, 255), (51, 0, 255)
    columns = np.zeros((10, 96 * 3), np.float32)
    # pygame fills the last column as well, so neighbours share one: it shows the higher (and the later)
    columns[0] = _columns(125, 150, (255, 255, 255))
    columns[1] = _columns(175, 199, blue)
    columns[2] = _columns(200, 200, blue)
    columns[3] = _columns(201, 224, blue)
    columns[4] = _columns(225, 225, blue)
    columns[5] = _columns(225, 249, (51, 0, 0)) + _columns(226, 249, blue)
    columns[6] = _columns(250, 250, violet)
    columns[7] = _columns(251, 275, violet)
    return _heights(), columns, _sweep(500, (0, 255, 0)), _sweep(750, (255, 0, 0))


def _height(value: float, shown: float) -> int:
    """
    :param value: what stock compares with its threshold
    :param shown: what it draws, in fortieths of the screen's height
    :return: row of the table of heights
    """
    if not abs(value) > 1e-4:
        return ABSENT
    return min(max(int(800.0 - (20.0 + 20.0 * shown)) - DASH_TOP, 0), ABSENT - 1)


def _end(value: float, shown: float, place: int) -> int:
    """
    :param value: what stock compares with its threshold
    :param shown: what it draws, in fortieths of the screen's width
    :param place: where the bar starts, in fortieths of the screen's width
    :return: screen column of the bar's end, -1 when it is not drawn
    """
    if not abs(value) > 1e-4:
        return -1
    return min(max(int((place + shown) * 25.0), 0), stock.WINDOW_W - 1)


@lru_cache(maxsize=2048)
def _score(text: str) -> np.ndarray:
    """
    :param text: the score
    :return: (12, 12, 3) the left end of the dashboard
    """
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    surface = pygame.Surface((125, 100), depth=32)
    image = font.render(text, True, (255, 255, 255), (0, 0, 0))
    surface.blit(image, image.get_rect(center=(60, 50)))
    return pygame.surfarray.array3d(pygame.transform.smoothscale(surface, (12, 12))).transpose(1, 0, 2)


def dashboard(car_racing: Any, out: np.ndarray) -> None:
    """
    :param car_racing: the unwrapped environment
    :param out: (12, 96, 3) where it goes
    """
    car = car_racing.car
    velocity = car.hull.linearVelocity
    true_speed = math.sqrt(velocity.x * velocity.x + velocity.y * velocity.y)
    heights, columns, steering, gyroscope = _dash_tables()
    speed = _height(true_speed, 0.02 * true_speed)
    abs_7, abs_8, abs_9, abs_10 = (_height(wheel.omega, 0.01 * wheel.omega) for wheel in car.wheels)
    rows = (speed, abs_7, min(abs_7, abs_8), abs_8, min(abs_8, abs_9), abs_9, min(abs_9, abs_10), abs_10)
    columns = columns.copy()
    angle, spin = car.wheels[0].joint.angle, car.hull.angularVelocity
    gyroscope_end = _end(spin, -0.8 * spin, 30)
    steering_end = _end(angle, -10.0 * angle, 20)
    if gyroscope_end >= 0:
        columns[9] = gyroscope[gyroscope_end]
        if 0 <= gyroscope_end <= steering_end:
            steering_end = gyroscope_end - 1  # the gyroscope's bar lies on top
    if steering_end >= 0:
        columns[8] = steering[steering_end]
    # 0.15 less for what the vertical pass truncates, negative values end at 0
    out[:] = (heights.take((*rows, SIDEWAYS, SIDEWAYS), axis=0).T @ columns - 0.15).reshape(12, 96, 3)
    out[:, :SCORE_COLS] = _score(f"{car_racing.reward:04.0f}")
