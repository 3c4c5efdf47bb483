"""The dashboard and the score in FastRender's picture."""

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing as stock

from sb3_cardqn.env.fast_render.filter import PIXEL_H, PIXEL_W, SIDE, WORLD_ROWS, box_filter, seen_colors

# The dashboard is a matrix product: along a bar, the colour of a column is constant, so the picture is
# (12, bars) parts of rows times (bars, 96 * channels) colours of columns.
DASH_TOP, DASH_BOTTOM = 700, stock.WINDOW_H
_DASH_ROWS = box_filter(slice(WORLD_ROWS, SIDE), PIXEL_H, DASH_TOP, DASH_BOTTOM)
_DASH_COLUMNS = box_filter(slice(0, SIDE), PIXEL_W, 0, stock.WINDOW_W)
ABSENT = 100  # in the table of heights: a bar that stock does not draw
SIDEWAYS = 101  # in the table of heights: the two horizontal bars
WHITE, BLUE, VIOLET, GREEN, RED = (255, 255, 255), (0, 0, 255), (51, 0, 255), (0, 255, 0), (255, 0, 0)


def _heights() -> np.ndarray:
    """
    :return: (102, 12) part of each observed row that a bar covers: first for a bar from screen row 780 to
        each row of the dashboard, then zeros for an absent bar, then for the horizontal bars
    """
    table = np.zeros((SIDEWAYS + 1, 12), np.float32)
    table[SIDEWAYS] = _DASH_ROWS[:, 20:61].sum(axis=1)
    for end in range(ABSENT):
        low, high = sorted((end, 80))
        table[end] = _DASH_ROWS[:, low : high + 1].sum(axis=1)
    return table


def _columns(first: int, last: int, color: tuple[int, int, int]) -> np.ndarray:
    """
    :param first: first screen column of the bar
    :param last: last screen column of the bar, inclusive
    :param color: red, green, blue
    :return: (96, 3) after smoothscale's horizontal pass, which truncates
    """
    part = _DASH_COLUMNS[:, first : last + 1].sum(axis=1)
    return np.floor(np.maximum(part[:, None] * np.array(color) - 0.01, 0)).astype(np.float32)


@cache
def _bars() -> tuple[np.ndarray, np.ndarray]:
    """
    :return: (8, 96, 3) columns of the vertical bars; (2, 1000, 96, 3) columns of the steering bar and of the
        gyroscope, for every screen column where they may end
    """
    # pygame also fills the last column, so neighbours share one; it shows the higher bar, or the later one
    vertical = [
        _columns(125, 150, WHITE),
        _columns(175, 199, BLUE),
        _columns(200, 200, BLUE),
        _columns(201, 224, BLUE),
        _columns(225, 225, BLUE),
        _columns(225, 249, (51, 0, 0)) + _columns(226, 249, BLUE),
        _columns(250, 250, VIOLET),
        _columns(251, 275, VIOLET),
    ]
    sweeps = [
        [_columns(min(origin, end), max(origin, end), color) for end in range(stock.WINDOW_W)]
        for origin, color in ((500, GREEN), (750, RED))
    ]
    return np.stack(vertical), np.stack(sweeps)


def _height(value: float, shown: float) -> int:
    """
    :param value: number that stock compares with its threshold
    :param shown: length of the bar, in fortieths of the screen's height
    :return: row of the table of heights
    """
    if not abs(value) > 1e-4:
        return ABSENT
    return min(max(int(800.0 - (20.0 + 20.0 * shown)) - DASH_TOP, 0), ABSENT - 1)


def _end(value: float, shown: float, place: int) -> int:
    """
    :param value: number that stock compares with its threshold
    :param shown: length of the bar, in fortieths of the screen's width
    :param place: start of the bar, in fortieths of the screen's width
    :return: screen column of the bar's end, -1 if it is not drawn
    """
    if not abs(value) > 1e-4:
        return -1
    return min(max(int((place + shown) * 25.0), 0), stock.WINDOW_W - 1)


def _font() -> pygame.font.Font:
    """
    :return: stock's font; a new one, because closing a window makes all earlier fonts useless
    """
    pygame.font.init()
    return pygame.font.Font(pygame.font.get_default_font(), 42)


def _left_end(
    text: str, font: pygame.font.Font, width: int, bars: tuple[tuple[int, int, tuple[int, int, int]], ...]
) -> np.ndarray:
    """
    The left end of the dashboard, drawn the way stock draws it.

    :param text: the score
    :param font: stock's font
    :param width: screen pixels, a multiple of 125
    :param bars: place, row in the table of heights, and color of each vertical bar
    :return: (12, width * 0.096, 3)
    """
    surface = pygame.Surface((width, DASH_BOTTOM - DASH_TOP), depth=32)
    for place, end, color in bars:
        if end != ABSENT:
            low, high = sorted((end, 80))
            surface.fill(color, (place * 25, low, 26, high + 1 - low))
    image = font.render(text, True, (255, 255, 255), (0, 0, 0))
    surface.blit(image, image.get_rect(center=(60, 50)))
    small = pygame.transform.smoothscale(surface, (width * 12 // 125, 12))
    return pygame.surfarray.array3d(small).swapaxes(0, 1)


class Dashboard:
    """
    Score and bars.

    :param gray: True to draw in gray
    """

    def __init__(self, gray: bool) -> None:
        self._gray = gray
        self._heights = _heights()
        vertical, self._sweeps = (self._seen(bars) for bars in _bars())
        self._columns = np.concatenate((vertical, np.zeros_like(vertical[:2])))
        self._score = lru_cache(maxsize=2048)(self._draw_score)

    def _seen(self, columns: np.ndarray) -> np.ndarray:
        """
        :param columns: (..., 96, 3) colours of columns
        :return: (..., 96 * channels) float32
        """
        return seen_colors(columns, self._gray).reshape(*columns.shape[:-2], -1).astype(np.float32)

    def _draw_score(self, text: str) -> np.ndarray | None:
        """
        :param text: the score
        :return: (12, 12, channels) left end of the dashboard, None if the score is wider
        """
        font = _font()
        return self._left_end(text, font, 125, ()) if font.size(text)[0] <= 125 else None

    def _left_end(self, *args: Any) -> np.ndarray:
        """
        :param args: arguments of the function ``_left_end``
        :return: (12, columns, channels) uint8
        """
        return np.rint(seen_colors(_left_end(*args), self._gray)).astype(np.uint8)

    def draw(self, car_racing: Any, score: str, out: np.ndarray) -> None:
        """
        :param car_racing: the unwrapped environment
        :param score: text of the score
        :param out: (12, 96, channels) rows of the picture to draw into
        """
        car = car_racing.car
        velocity = car.hull_velocity
        true_speed = math.sqrt(velocity.x * velocity.x + velocity.y * velocity.y)
        speed = _height(true_speed, 0.02 * true_speed)
        abs_7, abs_8, abs_9, abs_10 = (_height(wheel.omega, 0.01 * wheel.omega) for wheel in car.wheels)
        rows = (speed, abs_7, min(abs_7, abs_8), abs_8, min(abs_8, abs_9), abs_9, min(abs_9, abs_10), abs_10)
        left_end = self._score(score)
        if left_end is None:  # Gymnasium 1.3 writes all digits, even over the bars
            ends, colors = (speed, abs_7, abs_8, abs_9, abs_10), (WHITE, BLUE, BLUE, VIOLET, VIOLET)
            left_end = self._left_end(
                score, _font(), 375, tuple(zip((5, 7, 8, 9, 10), ends, colors, strict=True))
            )
        columns = self._columns.copy()
        angle, spin = car.wheels[0].joint.angle, car.hull.angularVelocity
        gyroscope_end = _end(spin, -0.8 * spin, 30)
        steering_end = _end(angle, -10.0 * angle, 20)
        steering, gyroscope = self._sweeps
        if gyroscope_end >= 0:
            columns[9] = gyroscope[gyroscope_end]
            if 0 <= gyroscope_end <= steering_end:
                steering_end = gyroscope_end - 1  # the gyroscope's bar is on top
        if steering_end >= 0:
            columns[8] = steering[steering_end]
        # 0.15 stands for what the vertical pass truncates; negative values become 0
        light = self._heights.take((*rows, SIDEWAYS, SIDEWAYS), axis=0).T @ columns
        out[:] = (light - 0.15).reshape(out.shape)
        out[:, : left_end.shape[1]] = left_end
