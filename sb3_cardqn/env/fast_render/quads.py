"""Quads: the quadrilaterals of the road in FastRender's picture, as corners for cv2."""

import numpy as np

SHIFT = 4  # fractional bits of a corner given to cv2


class Quads:
    """
    Quadrilaterals of the road, in texels of the current zoom.

    :param quads: (quads, 4, 2) left, right, previous right, previous left; world units
    :param across: texels added on both sides when painted
    :param along: (quads, 1, 1) texels added at both ends
    """

    def __init__(self, quads: np.ndarray, across: float, along: np.ndarray) -> None:
        self._quads, self._growth = quads, (across, along)
        self._sides = (
            self._outward(quads[:, [1, 1, 2, 2]] - quads[:, [0, 0, 3, 3]], (-1, 1, 1, -1)),
            self._outward(quads[:, [0, 1, 1, 0]] - quads[:, [3, 2, 2, 3]], (1, 1, -1, -1)),
        )

    @staticmethod
    def _outward(edges: np.ndarray, signs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """
        :param edges: (quads, 4, 2) edge at each corner
        :param signs: 1 where the edge points outward, else -1
        :return: (quads, 4, 2) unit vectors; (quads, 4, 1) furthest move of the corner, negative is inwards
        """
        length = np.maximum(np.hypot(edges[..., :1], edges[..., 1:]), 1e-6)
        return edges / length * np.array(signs)[:, None], -0.45 * length

    def corners(self, texels: float, across: float, along: float | np.ndarray) -> np.ndarray:
        """
        :param texels: texels per world unit
        :param across: texels added on both sides
        :param along: texels added at both ends
        :return: (quads, 4, 2) whole numbers with ``SHIFT`` fractional bits, texels from the world's origin
        """
        points = self._quads
        for (outward, most), by in zip(self._sides, (across, along), strict=True):
            points = points + outward * np.maximum(by / texels, most)
        return np.rint((points * texels - 0.5) * (1 << SHIFT)).astype(np.int32)

    def scale(self, texels: float) -> None:
        """
        :param texels: new number of texels per world unit
        """
        self._corners = self.corners(texels, *self._growth)
        # two more texels, because cv2 fills beyond the corners
        self._low_x, self._low_y = ((self._corners.min(axis=1) >> SHIFT) - 2).T.copy()
        self._high_x, self._high_y = ((self._corners.max(axis=1) >> SHIFT) + 3).T.copy()

    def inside(self, left: int, bottom: int, width: int, height: int) -> tuple[list[int], np.ndarray]:
        """
        :param left: first texel of a rectangle, in x
        :param bottom: first texel of the rectangle, in y
        :param width: width of the rectangle in texels
        :param height: height of the rectangle in texels
        :return: indices of the quads that reach into it; (quads, 4, 2) their corners for cv2, from its first
            texel
        """
        across = (self._low_x < left + width) & (self._high_x > left)
        along = (self._low_y < bottom + height) & (self._high_y > bottom)
        index = np.flatnonzero(across & along)
        return index.tolist(), self._corners[index] - (left << SHIFT, bottom << SHIFT)
