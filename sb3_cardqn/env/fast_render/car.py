"""The car in FastRender's picture: hull and wheels, always at the same place and facing up."""

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

from sb3_cardqn.env.fast_render.filter import PIXEL_H, PIXEL_W, box_filter, seen_colors
from sb3_cardqn.env.fast_render.picture import CAR_X, CAR_Y, SMOOTHSCALE_LOSS

# observed pixels that a car can reach, and the screen pixels they cover
CAR_ROWS, CAR_COLS = slice(66, 77), slice(45, 51)
PATCH_LEFT, PATCH_RIGHT, PATCH_TOP, PATCH_BOTTOM = 468, 532, 550, 642
_DOWN = box_filter(CAR_ROWS, PIXEL_H, PATCH_TOP, PATCH_BOTTOM)
_ACROSS = box_filter(CAR_COLS, PIXEL_W, PATCH_LEFT, PATCH_RIGHT).T.copy()
_PATCH = slice(0, PATCH_BOTTOM - PATCH_TOP), slice(0, PATCH_RIGHT - PATCH_LEFT)
HULL_COLOR = np.array((204, 0, 0))  # int(0.8 * 255)
# what no shape, a black one and a white one add to the light (SMOOTHSCALE_LOSS is subtracted from the world
# already) and to the visible part of the world
_COVER = np.array(((0, -SMOOTHSCALE_LOSS, WHEEL_WHITE[0] - SMOOTHSCALE_LOSS), (0, -1, -1)), np.float32)


def _shapes(
    polygons: Iterable[tuple[int, Iterable[tuple[float, float]]]], rows: slice, cols: slice
) -> np.ndarray:
    """
    Fill the same pixels as stock, with the same pygame function.

    :param polygons: fill value, and corners in screen coordinates, y upwards
    :param rows: rows of the patch to draw
    :param cols: columns of the patch to draw
    :return: (rows, columns) fill value of the last polygon over each pixel, 0 without one
    """
    surface = pygame.Surface((cols.stop - cols.start, rows.stop - rows.start), depth=8)
    left, low = PATCH_LEFT + cols.start, stock.WINDOW_H - PATCH_TOP - rows.stop
    for fill, corners in polygons:
        # pygame truncates coordinates; the patch starts at a whole pixel
        pygame.draw.polygon(surface, fill, [(int(x) - left, int(y) - low) for x, y in corners])
    return pygame.surfarray.array2d(surface).T[::-1]


@cache
def _hull(zoom: float) -> np.ndarray:
    """
    The hull never turns on the screen, because the camera turns with it.

    :param zoom: screen pixels per world unit
    :return: (patch rows, patch columns) 1 where the hull is, else 0
    """
    polygons = []
    for hull_poly in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4):
        # pygame's pixels depend on the order of the corners, so use Box2D's order
        corners = polygonShape(vertices=[(x * SIZE, y * SIZE) for x, y in hull_poly]).vertices
        polygons.append((1, [(x * zoom + CAR_X, y * zoom + CAR_Y) for x, y in corners]))
    return _shapes(polygons, *_PATCH)


class CarPicture:
    """
    Hull and wheels as layers over the world, which are kept by zoom and by corners in whole screen pixels.

    :param gray: True to draw in gray
    """

    def __init__(self, gray: bool) -> None:
        self._color = seen_colors(HULL_COLOR, gray)
        self._hull = cache(self._draw_hull)
        self._wheel = lru_cache(maxsize=4096)(self._draw_wheel)  # up to 2 kB each

    def _layer(self, shapes: np.ndarray, rows: slice, cols: slice) -> np.ndarray:
        """
        :param shapes: (rows, columns) of screen pixels: 1 where black covers the world, 2 where white does
        :param rows: rows of the patch that they are
        :param cols: columns of the patch that they are
        :return: (rows, columns, channels + 1) to add to each channel, and to the visible part of the world
        """
        light, seen = _DOWN[:, rows] @ _COVER[:, shapes] @ _ACROSS[cols]
        return np.stack((*[light] * len(self._color), seen), axis=2)

    def _draw_hull(self, zoom: float) -> np.ndarray:
        """
        :param zoom: screen pixels per world unit
        :return: (rows, columns, channels + 1) its layer
        """
        layer = self._layer(_hull(zoom), *_PATCH)
        layer[..., :-1] -= self._color * layer[..., -1:]
        # Added once for the whole car: the world is visible where nothing covers it, and truncates to itself.
        layer[..., :-1] += 0.8
        layer[..., -1] += 1
        return layer

    def _draw_wheel(self, zoom: float, tyre: tuple[int, ...], mark: tuple[int, ...] | None) -> np.ndarray:
        """
        :param zoom: screen pixels per world unit
        :param tyre: x and y of four corners in whole screen pixels
        :param mark: corners of the white part of the tyre, None if it is on the far side
        :return: (rows, columns, channels + 1) layer of the part that the hull does not cover
        """
        polygons = [(1, list(zip(tyre[0::2], tyre[1::2], strict=True)))]
        if mark is not None:
            polygons.append((2, list(zip(mark[0::2], mark[1::2], strict=True))))
        cols = _within(min(tyre[0::2]) - PATCH_LEFT, max(tyre[0::2]) - PATCH_LEFT, PATCH_RIGHT - PATCH_LEFT)
        top = stock.WINDOW_H - 1 - PATCH_TOP
        rows = _within(top - max(tyre[1::2]), top - min(tyre[1::2]), PATCH_BOTTOM - PATCH_TOP)
        shapes = _shapes(polygons, rows, cols)
        shapes[_hull(zoom)[rows, cols] > 0] = 0
        return self._layer(shapes, rows, cols)

    def draw(self, car: Any, zoom: float, out: np.ndarray) -> None:
        """
        :param car: a ``FastCar``
        :param zoom: screen pixels per world unit
        :param out: (rows, columns, channels) picture of the world, to draw over
        """
        center, angle = car.hull_position, car.hull.angle
        center_x, center_y = center.x, center.y
        cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
        layer = self._hull(zoom).copy()
        for wheel, position in zip(car.wheels, car.wheel_positions, strict=True):
            turn = wheel.angle - angle
            away_x, away_y = position.x - center_x, position.y - center_y
            x = CAR_X + cos * away_x + sin * away_y
            y = CAR_Y + cos * away_y - sin * away_x
            # half the axle and half the tread, in screen pixels
            cos_turn, sin_turn = math.cos(turn) * zoom * SIZE, math.sin(turn) * zoom * SIZE
            axle_x, axle_y = cos_turn * WHEEL_W, sin_turn * WHEEL_W
            tread_x, tread_y = -sin_turn * WHEEL_R, cos_turn * WHEEL_R
            # right to left: Box2D's order of the corners, on which pygame's pixels depend
            tyre = _corners(x, y, tread_x, tread_y, axle_x, axle_y, 1.0, -1.0)
            mark = _mark(wheel.phase)
            marked = mark and _corners(x, y, axle_x, axle_y, tread_x, tread_y, *mark)
            layer += self._wheel(zoom, tyre, marked)
        around = out[CAR_ROWS, CAR_COLS]
        np.maximum(around * layer[..., -1:] + layer[..., :-1], 0, out=around, casting="unsafe")


def _within(first: int, last: int, end: int) -> slice:
    """
    :param first: first pixel of a shape in the patch
    :param last: last pixel of the shape
    :param end: size of the patch in pixels
    :return: the shape's pixels and one more on each side, which pygame may draw for the mark
    """
    return slice(min(max(first - 1, 0), end - 1), max(min(last + 2, end), 1))


def _mark(phase: float) -> tuple[float, float] | None:
    """
    Where along the tread the white part of a tyre is, as in ``Car.draw``.

    :param phase: angle the wheel has rolled, in radians
    :return: start and end, each in [-1, 1]; None if it is on the far side
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
    Corners of a rectangle on a wheel; all lengths are in screen pixels.

    :param x: x of the wheel's centre
    :param y: y of the wheel's centre
    :param axle_x: x of the vector for half its width
    :param axle_y: y of the vector for half its width
    :param tread_x: x of the vector for half its length
    :param tread_y: y of the vector for half its length
    :param first: start of the rectangle along the tread, in [-1, 1]
    :param last: end of the rectangle along the tread, in [-1, 1]
    :return: x and y of four corners, truncated as pygame truncates
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
