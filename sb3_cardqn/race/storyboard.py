"""storyboard: eight pictures of a drive that show how it ended, such as how a car was lost."""

from collections import deque
from collections.abc import Iterable

import numpy as np

PICTURES, COLUMNS = 8, 4
_EVERY = 0.4  # seconds between pictures
_AFTER = 1.0  # seconds shown after the last rise of the score


def storyboard(panes: Iterable[tuple[np.ndarray, float]], fps: float) -> np.ndarray:
    """
    Choose the pictures of a drive that show how it ended.

    In CarRacing only a new tile raises the score, so the pictures end a second after the last new tile. Where
    rewards continue until the end of the episode, the pictures show its last seconds.

    :param panes: (height, width, 3) uint8 picture and score of each step
    :param fps: steps per second
    :return: (2 * height, 4 * width, 3) uint8, row by row; black in place of what a short episode lacks
    """
    kept: deque[np.ndarray] = deque(maxlen=PICTURES)
    shown: list[np.ndarray] = []
    every, rise, previous = max(round(_EVERY * fps), 1), 0, -np.inf
    for step, (picture, score) in enumerate(panes):
        if score > previous:
            rise = step
        previous = score
        if step % every == 0:
            kept.append(picture)
        if step - rise <= _AFTER * fps:
            shown = list(kept)
    shown += [np.zeros_like(shown[0])] * (PICTURES - len(shown))
    return np.vstack([np.hstack(shown[i : i + COLUMNS]) for i in range(0, PICTURES, COLUMNS)])
