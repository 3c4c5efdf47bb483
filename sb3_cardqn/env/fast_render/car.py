"""The car as CarRacing's observation shows it, for FastRender: always in the same place, facing up."""

import math
from collections.abc import Iterable
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

from sb3_cardqn.env.fast_render.picture import CAR_X, CAR_Y, PIXEL_H, PIXEL_W, SMOOTHSCALE_LOSS, box_filter

# the observed pixels a car can reach, and the screen pixels that these cover
CAR_ROWS, CAR_COLS = slice(66, 77), slice(45, 51)
PATCH_LEFT, PATCH_RIGHT, PATCH_TOP, PATCH_BOTTOM = 468, 532, 550, 642
HULL_RED = 204  # int(0.8 * 255)

_CAR_DOWN = box_filter(CAR_ROWS, PIXEL_H, PATCH_TOP, PATCH_BOTTOM)
_CAR_ACROSS = box_filter(CAR_COLS, PIXEL_W, PATCH_LEFT, PATCH_RIGHT).T.copy()
# what nothing, black and white add to the light (the world lost some already) and to what is seen of it
_COVER = np.array(((0, -SMOOTHSCALE_LOSS, WHEEL_WHITE[0] - SMOOTHSCALE_LOSS), (0, -1, -1)), np.float32)


def _shapes(
    polygons: Iterable[tuple[int, Iterable[tuple[float, float]]]], rows: slice, cols: slice
) -> np.ndarray:
    """
    The same pixels as stock fills, with the same function.

    :param polygons: what to fill with, and corners in screen coordinates, y upwards
    :param rows: of the patch, where they are
    :param cols: of the patch
    :return: (rows, columns) of the last fill
    """
    surface = pygame.Surface((cols.stop - cols.start, rows.stop - rows.start), depth=8)
    left, low = PATCH_LEFT + cols.start, stock.WINDOW_H - PATCH_TOP - rows.stop
    for fill, corners in polygons:
        # pygame truncates, and the patch starts at whole pixels
        pygame.draw.polygon(surface, fill, [(int(x) - left, int(y) - low) for x, y in corners])
    return pygame.surfarray.array2d(surface).T[::-1]


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
    everywhere = slice(0, PATCH_BOTTOM - PATCH_TOP), slice(0, PATCH_RIGHT - PATCH_LEFT)
    shapes = _shapes(polygons, *everywhere)
    layer = _layer(shapes, *everywhere)
    layer[..., 0] -= HULL_RED * layer[..., 3]
    # Once for the whole car: see the world where nothing covers it, and truncate to the same numbers there.
    layer[..., :3] += 0.8
    layer[..., 3] += 1
    return layer, shapes > 0


def _layer(shapes: np.ndarray, rows: slice, cols: slice) -> np.ndarray:
    """
    :param shapes: (rows, columns) of screen pixels: 1 where black, 2 where white covers the world
    :param rows: of the patch, where they are
    :param cols: of the patch
    :return: (rows, columns, 4) what is added to red, green, blue, and to the part of the world that is seen
    """
    light, seen = _CAR_DOWN[:, rows] @ _COVER[:, shapes] @ _CAR_ACROSS[cols]
    return np.stack((light, light, light, seen), axis=2)


@lru_cache(maxsize=4096)  # 2 kB each
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
    cols = _within(min(tyre[0::2]) - PATCH_LEFT, max(tyre[0::2]) - PATCH_LEFT, PATCH_RIGHT - PATCH_LEFT)
    top = stock.WINDOW_H - 1 - PATCH_TOP
    rows = _within(top - max(tyre[1::2]), top - min(tyre[1::2]), PATCH_BOTTOM - PATCH_TOP)
    shapes = _shapes(polygons, rows, cols)
    shapes[_hull(zoom)[1][rows, cols]] = 0
    return _layer(shapes, rows, cols)


def _within(first: int, last: int, end: int) -> slice:
    """
    :param first: pixel of a shape in the patch
    :param last: pixel
    :param end: of the patch
    :return: the pixels, and one more on each side: pygame draws the mark up to there
    """
    return slice(min(max(first - 1, 0), end - 1), max(min(last + 2, end), 1))


def car_layer(car: Any, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """
    :param car: a ``FastCar``
    :param zoom: screen pixels a world unit
    :return: at ``CAR_ROWS``, ``CAR_COLS``: (11, 6, 3) light to add; (11, 6, 1) part of the world that is seen
    """
    center, angle = car.hull_position, car.hull.angle
    center_x, center_y = center.x, center.y
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
    layer = _hull(zoom)[0].copy()
    for wheel, position in zip(car.wheels, car.wheel_positions, strict=True):
        turn = wheel.angle - angle
        away_x, away_y = position.x - center_x, position.y - center_y
        x = CAR_X + cos * away_x + sin * away_y
        y = CAR_Y + cos * away_y - sin * away_x
        # half the axle and half the tread, in screen pixels
        cos_turn, sin_turn = math.cos(turn) * zoom * SIZE, math.sin(turn) * zoom * SIZE
        axle_x, axle_y = cos_turn * WHEEL_W, sin_turn * WHEEL_W
        tread_x, tread_y = -sin_turn * WHEEL_R, cos_turn * WHEEL_R
        # right to left, because that is Box2D's order of the corners, and pygame's pixels depend on it
        tyre = _corners(x, y, tread_x, tread_y, axle_x, axle_y, 1.0, -1.0)
        mark = _mark(wheel.phase)
        marked = mark and _corners(x, y, axle_x, axle_y, tread_x, tread_y, *mark)
        layer += _wheel(zoom, tyre, marked)
    return layer[..., :3], layer[..., 3:]


def _mark(phase: float) -> tuple[float, float] | None:
    """
    Where along the tread the white part of a tyre is, as ``Car.draw`` has it.

    :param phase: how far the wheel has rolled, radians
    :return: from where to where, -1 to 1; None when it is on the far side
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
    return cos_first, cos_last


def _corners(
    x: float,
    y: float,
    axle_x: float,
    axle_y: float,
    tread_x: float,
    tread_y: float,
    first: float,
    last: float,
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
