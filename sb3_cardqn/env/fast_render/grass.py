"""Where the field and its squares of grass are, for FastRender: the same on every track."""

import math
from functools import lru_cache

import numpy as np
from gymnasium.envs.box2d import car_racing as stock

LEVELS = 4  # of a texel that is partly grass, in either direction


@lru_cache(maxsize=16)  # the zooms of an episode; up to 80 kB each
def _field(texels: float, growth: float) -> tuple[int, np.ndarray, np.ndarray]:
    """
    :param texels: a world unit
    :param growth: texels by which squares are larger on all sides
    :return: first texel, in x or y; how much of each is grass in this direction, in ``LEVELS``; part inside
        the field
    """
    bounds = stock.PLAYFIELD * texels
    start = -math.ceil(bounds) - 2
    edges = np.arange(start, 1 - start)
    corners = stock.GRASS_DIM * np.arange(-20.0, 20.0) * texels  # where squares start and end
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
    :param texels: a world unit
    :param growth: texels by which squares are larger on all sides
    :param start: first texel, in x or y
    :param count: texels
    :return: (texels,) how much of each is grass in this direction, in ``LEVELS``; part inside the field
    """
    first, grass, field = _field(texels, growth)
    before, end = start - first, start - first + count
    if before >= 0 and end <= len(grass):
        return grass[before:end], field[before:end]
    # beyond both ends is nothing, as at the ends
    index = np.clip(np.arange(before, end), 0, len(grass) - 1)
    return grass[index], field[index]
