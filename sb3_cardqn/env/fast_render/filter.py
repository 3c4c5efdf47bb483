"""Filters from the 1000×800 screen to the observation: smoothscale's boxes of pixels, and luminance."""

import numpy as np

SIDE = 96  # pixels of the picture along a side
WORLD_ROWS = 84  # the 12 rows below them are the dashboard, 5/40 of the screen
PIXEL_W, PIXEL_H = 1000 / SIDE, 800 / SIDE  # one pixel of the picture, in pixels of the screen
_LUMINANCE = np.array(((0.299,), (0.587,), (0.114,)))  # as in cv2.cvtColor


def box_filter(pixels: slice, size: float, start: int, stop: int) -> np.ndarray:
    """
    :param pixels: observed pixels
    :param size: screen pixels per observed pixel
    :param start: first screen pixel
    :param stop: end of the screen pixels
    :return: (observed pixels, screen pixels) part of each observed pixel that each screen pixel covers
    """
    first = np.arange(pixels.start, pixels.stop)[:, None] * size
    screen = np.arange(start, stop)[None, :]
    overlap = np.minimum(first + size, screen + 1) - np.maximum(first, screen)
    return (np.maximum(overlap, 0) / size).astype(np.float32)


def seen_colors(colors: np.ndarray, gray: bool) -> np.ndarray:
    """
    :param colors: (..., 3) red, green, blue
    :param gray: True to observe gray
    :return: (..., channels) float: the luminance, or the same
    """
    return np.asarray(colors @ _LUMINANCE if gray else colors, float)
