"""The world in FastRender's picture: field, grass and road."""

import math
from functools import lru_cache
from itertools import chain
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.box2d import car_racing as stock

from sb3_cardqn.env.fast_render.filter import PIXEL_H, PIXEL_W, SIDE, WORLD_ROWS, seen_colors
from sb3_cardqn.env.fast_render.grass import LEVELS, coverage
from sb3_cardqn.env.fast_render.quads import SHIFT, Quads

CAR_X, CAR_Y = stock.WINDOW_W / 2, stock.WINDOW_H / 4  # the car's place on the screen, y upwards
VIEW_AHEAD = 250.0  # screen pixels from the car to the centre of the visible world
VIEW_HALF = (500.0 + 10, 350.0 + 10)  # half its width and height, plus a margin of one observed pixel
FULL_ZOOM = stock.ZOOM * stock.SCALE  # after the first second

# A texel of 3.8 screen pixels, blurred by [1 2 1] / 4 and sampled once per observed pixel, is as wide as
# smoothscale's box of 10.4×8.3, averaged over all directions (docs/explanation/fast_render.md).
TEXEL = 3.8
WINDOW = 444  # texels along a side
ZOOM_AHEAD = 1.3  # in the first second, paint this much finer than visible, to paint less often
# Texels that cv2 fills beyond the given corners; gfxdraw fills 0.6 screen pixels beyond them.
SPREAD_SMOOTH, SPREAD_PLAIN = 0.66, 0.48
GROWTH = 0.6 / TEXEL
EDGE = GROWTH - SPREAD_SMOOTH
_SAMPLE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
SMOOTHSCALE_LOSS = 2  # smoothscale makes 100 out of a plain 102, and 0 out of 0


@lru_cache(maxsize=256)
def _paint(color: tuple[float, ...], gray: bool) -> Any:
    """
    :param color: CarRacing's colour, three numbers from 0 to 255
    :param gray: True to draw in gray
    :return: what cv2 paints for an area of it, after smoothscale: a gray level, or four channels
    """
    plain = seen_colors(np.array([max(int(c) - SMOOTHSCALE_LOSS, 0) for c in color]), gray)
    return round(plain[0]) if gray else (*plain.astype(int).tolist(), 0)


def _channels(texels: np.ndarray) -> np.ndarray:
    """
    :param texels: (...) uint32, each four packed channels; or uint8
    :return: (..., 4) uint8 channels; or the same
    """
    return texels if texels.dtype == np.uint8 else texels[..., None].view(np.uint8)


def _uncovered(moved: int) -> slice:
    """
    :param moved: texels from the old window to the new one
    :return: part of the new window that the old one did not show
    """
    return slice(WINDOW - moved, WINDOW) if moved > 0 else slice(0, -moved)


class WorldPicture:
    """
    Field, grass and road of one CarRacing around its car.

    A window of the world is painted once and sampled until the view leaves it, so a picture costs one
    ``cv2.warpAffine``.

    :param gray: True to draw in gray
    """

    def __init__(self, gray: bool) -> None:
        self._gray = gray
        # A texel is one gray byte, or four bytes, because cv2 samples four channels twice as fast as three.
        # Memory is kept, because allocating it takes longer than painting it.
        texel = np.uint8 if gray else np.uint32
        self._memory = np.zeros(WINDOW**2, texel)
        self._window = _channels(self._memory.reshape(WINDOW, WINDOW))
        self._canvas = np.zeros((WINDOW + 2) ** 2, texel)
        self._sampled = np.empty((WORLD_ROWS, SIDE, 4), np.uint8)
        self._matrix = np.zeros((2, 3))
        self._road_poly: list[Any] | None = None
        self._zoom = 0.0  # zoom of the painted window, screen pixels per world unit; 0 before the first
        self._texels = 0.0  # texels per world unit
        self._left, self._bottom = 0, 0  # first texel of the window, counted from the world's origin

    def draw(self, car_racing: Any, zoom: float, out: np.ndarray) -> None:
        """
        :param car_racing: the unwrapped environment
        :param zoom: screen pixels per world unit
        :param out: (84, 96) or (84, 96, 3) rows of the picture to draw into
        """
        if car_racing.road_poly is not self._road_poly:
            self._new_track(car_racing)
        position, angle = car_racing.car.hull_position, car_racing.car.hull.angle
        x, y, cos, sin = position.x, position.y, math.cos(angle), math.sin(angle)
        if zoom > self._zoom or not self._shows(x, y, cos, sin, zoom):
            self._move(x, y, cos, sin, zoom)
        self._repaint_visited()
        # from an observed pixel's centre to the screen around the car (rows go down, y goes up) to texels
        scale = self._texels / zoom
        right, up = PIXEL_W / 2 - CAR_X, stock.WINDOW_H - PIXEL_H / 2 - CAR_Y
        left, bottom = x * self._texels - self._left - 0.5, y * self._texels - self._bottom - 0.5
        cos, sin = cos * scale, sin * scale
        matrix = self._matrix
        matrix[0] = cos * PIXEL_W, sin * PIXEL_H, cos * right - sin * up + left
        matrix[1] = sin * PIXEL_W, -cos * PIXEL_H, sin * right + cos * up + bottom
        sampled = out if self._gray else self._sampled
        cv2.warpAffine(self._window, matrix, (SIDE, WORLD_ROWS), dst=sampled, flags=_SAMPLE)
        if not self._gray:
            cv2.cvtColor(sampled, cv2.COLOR_BGRA2BGR, dst=out)

    def _new_track(self, car_racing: Any) -> None:
        """
        Read a new episode's polygons, and make all its tiles share one array of colours.

        :param car_racing: the unwrapped environment
        """
        self._road_poly = road_poly = car_racing.road_poly
        tiles = [i for i, (_, color) in enumerate(road_poly) if isinstance(color, np.ndarray)]
        kerbs = [i for i, (_, color) in enumerate(road_poly) if not isinstance(color, np.ndarray)]
        # tiles keep their length, so that they cover the seams of each other's smooth edges
        along = np.repeat((0.0, EDGE), (len(tiles), len(kerbs)))
        corners = chain.from_iterable(road_poly[i][0] for i in (*tiles, *kerbs))
        quads = np.fromiter(chain.from_iterable(corners), float).reshape(-1, 4, 2)
        self._quads = Quads(quads, EDGE, along[:, None, None])
        # stock's contact listener writes `tile.color[:] = road_color`; with rows of one array, one
        # comparison finds all changes
        self._colors = np.array([tile.color for tile in car_racing.road])
        for tile, index, color in zip(car_racing.road, tiles, self._colors, strict=True):
            tile.color = color
            road_poly[index] = (road_poly[index][0], color)
        self._seen = self._colors[:, 0].copy()
        colors = [tuple(color) for color in (*self._colors.tolist(), *(road_poly[i][1] for i in kerbs))]
        self._paints = [_paint(color, self._gray) for color in colors]
        parts = np.arange(LEVELS**2 + 1)[:, None] / LEVELS**2
        field, grass = (
            np.atleast_1d(_paint(tuple(color.tolist()), self._gray))
            for color in (car_racing.bg_color, car_racing.grass_color)
        )
        mixed = np.rint(field * (1 - parts) + grass * parts).astype(np.uint8)
        packed = mixed.view(self._memory.dtype)[:, 0]
        levels = np.arange(LEVELS + 1)
        self._grass_colors = packed[levels[:, None] * levels]  # indexed by the grass level in y and in x
        self._zoom = 0.0

    def _shows(self, x: float, y: float, cos: float, sin: float, zoom: float) -> bool:
        """
        :param x: x of the car
        :param y: y of the car
        :param cos: cosine of the car's angle
        :param sin: sine of the car's angle
        :param zoom: screen pixels per world unit
        :return: True if the window covers the visible world
        """
        scale, half = self._texels / zoom, WINDOW / 2
        (width, height), cos_scale, sin_scale = VIEW_HALF, cos * scale, sin * scale
        away_x = x * self._texels - sin_scale * VIEW_AHEAD - self._left - half
        away_y = y * self._texels + cos_scale * VIEW_AHEAD - self._bottom - half
        return (
            abs(away_x) + abs(cos_scale) * width + abs(sin_scale) * height < half
            and abs(away_y) + abs(sin_scale) * width + abs(cos_scale) * height < half
        )

    def _move(self, x: float, y: float, cos: float, sin: float, zoom: float) -> None:
        """
        Move the window in the car's direction, and paint the parts that are new.

        :param x: x of the car
        :param y: y of the car
        :param cos: cosine of the car's angle
        :param sin: sine of the car's angle
        :param zoom: screen pixels per world unit
        """
        new_zoom = min(zoom * ZOOM_AHEAD, FULL_ZOOM)
        texels = new_zoom / TEXEL
        # as far ahead as possible while the view still fits after any turn of the car
        ahead = WINDOW / 2 - (math.hypot(*VIEW_HALF) - VIEW_AHEAD) * texels / zoom
        left = round(x * texels - sin * ahead - WINDOW / 2)
        bottom = round(y * texels + cos * ahead - WINDOW / 2)
        right, up, everywhere = left - self._left, bottom - self._bottom, slice(0, WINDOW)
        self._left, self._bottom = left, bottom
        if new_zoom == self._zoom and max(abs(right), abs(up)) < WINDOW:
            moved = up * WINDOW + right
            if moved > 0:
                self._memory[:-moved] = self._memory[moved:]
            elif moved < 0:
                self._memory[-moved:] = self._memory[:moved]
            self._place_visited()
            rows, columns = _uncovered(up), _uncovered(right)
            self._cover(rows, everywhere)
            self._cover(slice(rows.stop, WINDOW) if up <= 0 else slice(0, rows.start), columns)
            return
        self._zoom, self._texels = new_zoom, texels
        self._quads.scale(texels)
        self._corners = self._quads.corners(texels, -SPREAD_PLAIN - 0.5, -SPREAD_PLAIN)
        self._place_visited()
        self._cover(everywhere, everywhere)

    def _place_visited(self) -> None:
        """Move the corners of visited tiles with the window."""
        origin = np.array((self._left << SHIFT, self._bottom << SHIFT), np.int32)
        self._visited_corners = self._corners - origin

    def _cover(self, rows: slice, columns: slice) -> None:
        """
        :param rows: rows of the window to paint
        :param columns: columns of the window to paint
        """
        edge = math.ceil(stock.PLAYFIELD * self._texels) + 2  # beyond it there is nothing
        first, end = max(rows.start, -edge - self._bottom), min(rows.stop, edge - self._bottom)
        start, stop = max(columns.start, -edge - self._left), min(columns.stop, edge - self._left)
        if end - first < rows.stop - rows.start or stop - start < columns.stop - columns.start:
            self._window[rows, columns] = 0
        if first >= end or start >= stop:
            return
        # one more texel on each side, for the blur
        width, height = stop - start + 2, end - first + 2
        left, bottom = self._left + start - 1, self._bottom + first - 1
        picture = self._grass_picture(left, bottom, width, height)
        paints = self._paints
        for index, corners in zip(*self._quads.inside(left, bottom, width, height), strict=True):
            cv2.fillConvexPoly(picture, corners, paints[index], cv2.LINE_AA, SHIFT)
        cv2.GaussianBlur(picture, (3, 3), 0, dst=picture)
        self._window[first:end, start:stop] = picture[1:-1, 1:-1]

    def _repaint_visited(self) -> None:
        """
        Repaint newly touched tiles, which take the plain road colour.

        Shades differ by at most 5 gray levels, so smooth edges are not needed inside the road. The repainted
        area stays clear of the road's own edges.
        """
        for index in (self._colors[:, 0] != self._seen).nonzero()[0].tolist():
            color = self._colors[index].tolist()
            self._seen[index] = color[0]
            self._paints[index] = paint = _paint(tuple(color), self._gray)
            cv2.fillConvexPoly(self._window, self._visited_corners[index], paint, cv2.LINE_8, SHIFT)

    def _grass_picture(self, left: int, bottom: int, width: int, height: int) -> np.ndarray:
        """
        :param left: first texel in x
        :param bottom: first texel in y
        :param width: width in texels
        :param height: height in texels
        :return: (height, width) or (height, width, 4) field and grass, a view of the canvas
        """
        grass_x, field_x = coverage(self._texels, GROWTH, left, width)
        grass_y, field_y = coverage(self._texels, GROWTH, bottom, height)
        kinds = self._grass_colors[:, grass_x]  # (levels, width): every row of the picture is one of these
        picture = self._canvas[: height * width].reshape(height, width)
        kinds.take(grass_y, axis=0, out=picture, mode="clip")
        for part, lines in ((field_y, picture), (field_x, picture.T)):
            if part[0] == part[-1] == 1:  # the field has no holes
                continue
            inside = np.flatnonzero(part)
            first, last = (inside[0], inside[-1]) if len(inside) else (len(part), len(part))
            lines[:first] = 0
            lines[last + 1 :] = 0
            for line in np.flatnonzero((part > 0) & (part < 1)):
                light = _channels(lines[line])
                np.multiply(light, part[line], out=light, casting="unsafe")
        return _channels(picture)
