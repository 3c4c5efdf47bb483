"""Positions of the field and its squares of grass in FastRender's picture, the same on every track."""

import math
from functools import lru_cache

import numpy as np
from gymnasium.envs.box2d import car_racing as stock

LEVELS = 4  # steps of how much of a texel is grass, in each direction


@lru_cache(maxsize=16)  # an entry per zoom of an episode, up to 80 kB each
def _field(texels: float, growth: float) -> tuple[int, np.ndarray, np.ndarray]:
    """
    :param texels: texels per world unit
    :param growth: texels by which squares are larger on all sides
    :return: first texel, in x or y; grass in each texel in this direction, from 0 to ``LEVELS``; part of each
        texel inside the field, in [0, 1]
    """
    bounds = stock.PLAYFIELD * texels
    start = -math.ceil(bounds) - 2
    edges = np.arange(start, 1 - start)
    corners = stock.GRASS_DIM * np.arange(-20.0, 20.0) * texels  # starts and ends of squares
    corners[0::2] -= growth
    corners[1::2] += growth
    lengths = corners[1::2] - corners[0::2]
    below = np.zeros(len(corners))
    np.cumsum(lengths, out=below[1::2])
    below[2::2] = below[1:-1:2]
    grass = np.rint(np.diff(np.interp(edges, corners, below)) * LEVELS).astype(np.intp)
    field = np.diff(np.clip(edges, -bounds - growth, bounds + growth))
    return start, grass, field


def coverage(texels: float, growth: float, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """
    :param texels: texels per world unit
    :param growth: texels by which squares are larger on all sides
    :param start: first texel, in x or y
    :param count: number of texels
    :return: (count,) grass in each texel in this direction, from 0 to ``LEVELS``; (count,) part of each texel
        inside the field, in [0, 1]
    """
    first, grass, field = _field(texels, growth)
    before, end = start - first, start - first + count
    if before >= 0 and end <= len(grass):
        return grass[before:end], field[before:end]
    # both ends are empty, and so is everything beyond them
    index = np.clip(np.arange(before, end), 0, len(grass) - 1)
    return grass[index], field[index]
