"""What CarRacing looks like, without drawing 1000×800: FastRender asks, the 96×96 observation comes out."""

import math
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.box2d import car_racing as stock

from sb3_cardqn.common.fast_parts import CAR_COLS, CAR_ROWS, car_layer, dashboard

# one observed pixel, in pixels of the 1000×800 screen that stock draws and shrinks
PIXEL_W, PIXEL_H = stock.WINDOW_W / stock.STATE_W, stock.WINDOW_H / stock.STATE_H
WORLD_ROWS = 84  # the 12 rows below them are the dashboard, 5/40 of the screen
CAR_X, CAR_Y = stock.WINDOW_W / 2, stock.WINDOW_H / 4  # where the car is on the screen, y upwards
VIEW_AHEAD = 250.0  # from the car to the middle of the visible world, screen pixels
VIEW_HALF = (stock.WINDOW_W / 2 + 10, 350 + 10.0)  # half its width and height, and a pixel to spare

# A texel of 3.3 screen pixels, blurred by [1 2 1] / 4 and sampled once per observed pixel, is as wide as
# smoothscale's box of 10.4×8.3 in the mean of all directions (docs/fast_render.md has the other choices).
TEXEL = 3.3
WINDOW, ZOOM_WINDOW = 768, 448  # texels along a side; the small one while the camera zooms in
FULL_ZOOM = stock.ZOOM * stock.SCALE
ZOOM_AHEAD = 1.15  # in the first second, paint finer than is seen by this much, to paint less often
# How far, in texels, cv2 fills beyond the corners it is given; gfxdraw does by 0.6 screen pixels.
SPREAD_AA, SPREAD = 0.66, 0.48
EDGE = 0.6 / TEXEL - SPREAD_AA
SHIFT = 4  # fractional bits of a corner given to cv2
GRASS_LEVELS = 4
STRIP = 12  # tiles painted at once: too few to make a loop, whose inside cv2 would leave out
SHADES_FROM = 4.0  # zoom from which tiles are told apart
SMOOTHSCALE_LOSS = 2  # smoothscale makes 100 out of a plain 102, and 0 out of 0


def _plain(color: Any) -> tuple[int, int, int, int]:
    """
    What smoothscale makes of an area of one colour.

    :param color: three numbers from 0 to 255, as CarRacing holds them
    :return: four channels, because ``cv2.warpAffine`` is twice as fast on four as on three
    """
    red, green, blue = (max(int(c) - SMOOTHSCALE_LOSS, 0) for c in color)
    return red, green, blue, 0


class _Quads:
    """
    Quadrilaterals that can grow by a width that depends on the zoom.

    :param quads: (quads, 4, 2) left, right, previous right, previous left
    """

    def __init__(self, quads: np.ndarray) -> None:
        self._quads = quads
        self._centers = quads.mean(axis=1)
        across, along = quads[:, [1, 1, 2, 2]] - quads[:, [0, 0, 3, 3]], quads[:, [0, 1, 1, 0]] - quads[:, [3, 2, 2, 3]]
        self._across, self._most_across = self._outward(across, (-1, 1, 1, -1))
        self._along, self._most_along = self._outward(along, (1, 1, -1, -1))

    @staticmethod
    def _outward(edges: np.ndarray, signs: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """
        :param edges: (quads, 4, 2) at each corner
        :param signs: whether the edge points outward there
        :return: (quads, 4, 2) unit vectors; (quads, 4, 1) how far the corner may move inwards
        """
        length = np.maximum(np.linalg.norm(edges, axis=2, keepdims=True), 1e-6)
        return edges / length * np.array(signs)[:, None], -0.45 * length

    def near(self, x: float, y: float, reach: float) -> np.ndarray:
        """
        :param x: world coordinate
        :param y: world coordinate
        :param reach: how far away in either
        :return: indices
        """
        return np.flatnonzero(np.abs(self._centers - (x, y)).max(axis=1) < reach)

    def grown(self, index: np.ndarray, across: float, along: float) -> np.ndarray:
        """
        :param index: which
        :param across: by how much their width grows on either side, world units; negative: shrinks
        :param along: by how much their length
        :return: (quads, 4, 2)
        """
        wider = self._across[index] * np.maximum(across, self._most_across[index])
        longer = self._along[index] * np.maximum(along, self._most_along[index])
        return self._quads[index] + wider + longer


class WorldPicture:
    """
    Field, grass and road of one CarRacing around its car.

    A window of the world is painted once and sampled until the view leaves it, so that a picture costs one
    ``cv2.warpAffine``.
    """

    def __init__(self) -> None:
        self._memory = np.zeros((WINDOW**2, 4), np.uint8)
        self._sampled = np.empty((WORLD_ROWS, stock.STATE_W, 4), np.uint8)
        self._road_poly: list[Any] | None = None
        self._zoom = 0.0  # of the painted window; 0: nothing is painted
        # squares of grass every other GRASS_DIM, in x as in y
        corners = stock.GRASS_DIM * np.arange(-20.0, 20.0)
        self._grass = corners[0::2], corners[1::2]

    def draw(self, car_racing: Any, x: float, y: float, angle: float, zoom: float, out: np.ndarray) -> None:
        """
        :param car_racing: the unwrapped environment
        :param x: of the car, world units
        :param y: of the car, world units
        :param angle: of the car, radians
        :param zoom: screen pixels a world unit
        :param out: (84, 96, 3) where the picture goes
        """
        if car_racing.road_poly is not self._road_poly:
            self._new_track(car_racing)
        cos, sin = math.cos(angle), math.sin(angle)
        self._cover_view(car_racing, x - sin * VIEW_AHEAD / zoom, y + cos * VIEW_AHEAD / zoom, cos, sin, zoom)
        self._repaint_visited()
        # from an observed pixel's centre to screen coordinates around the car, rows going down
        texels = self._zoom / TEXEL
        scale_x, scale_y = PIXEL_W / zoom, -PIXEL_H / zoom
        right, up = (PIXEL_W / 2 - CAR_X) / zoom, (stock.WINDOW_H - PIXEL_H / 2 - CAR_Y) / zoom
        matrix = np.array(
            (
                (
                    cos * scale_x * texels,
                    -sin * scale_y * texels,
                    (cos * right - sin * up + x - self._left) * texels - 0.5,
                ),
                (
                    sin * scale_x * texels,
                    cos * scale_y * texels,
                    (sin * right + cos * up + y - self._bottom) * texels - 0.5,
                ),
            )
        )
        cv2.warpAffine(
            self._window,
            matrix,
            (stock.STATE_W, WORLD_ROWS),
            dst=self._sampled,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        cv2.cvtColor(self._sampled, cv2.COLOR_BGRA2BGR, dst=out)

    def _new_track(self, car_racing: Any) -> None:
        """
        Take over the polygons of a new episode, and the one colour array that all its tiles share from now on.

        :param car_racing: the unwrapped environment
        """
        self._road_poly = road_poly = car_racing.road_poly
        is_tile = np.array([isinstance(color, np.ndarray) for _, color in road_poly])
        quads = np.array([quad for quad, _ in road_poly])  # (polygons, 4, 2): left, right, previous right and left
        self._tiles, self._kerbs = _Quads(quads[is_tile]), _Quads(quads[~is_tile])
        self._kerb_colors = [_plain(color) for (_, color), tile in zip(road_poly, is_tile, strict=True) if not tile]
        # stock's contact listener writes `tile.color[:] = road_color`: rows of one array show it in one look
        self._colors = np.array([tile.color for tile in car_racing.road])
        for tile, index, color in zip(car_racing.road, np.flatnonzero(is_tile), self._colors, strict=True):
            tile.color = color
            road_poly[index] = (road_poly[index][0], color)
        self._seen = self._colors[:, 0].copy()
        self._zoom = 0.0

    def _cover_view(self, car_racing: Any, x: float, y: float, cos: float, sin: float, zoom: float) -> None:
        """
        Paint a new window when the visible world leaves the painted one.

        :param car_racing: the unwrapped environment
        :param x: of the middle of the visible world
        :param y: of the middle of the visible world
        :param cos: of the car's angle
        :param sin: of the car's angle
        :param zoom: screen pixels a world unit
        """
        width, height = VIEW_HALF
        if zoom <= self._zoom:
            reach_x = abs(x - self._middle_x) + (abs(cos) * width + abs(sin) * height) / zoom
            reach_y = abs(y - self._middle_y) + (abs(sin) * width + abs(cos) * height) / zoom
            if max(reach_x, reach_y) < self._half:
                return
        self._zoom = min(zoom * ZOOM_AHEAD, FULL_ZOOM)
        self._size = WINDOW if self._zoom == FULL_ZOOM else ZOOM_WINDOW
        self._window = self._memory[: self._size**2].reshape(self._size, self._size, 4)
        self._half = self._size * TEXEL / 2 / self._zoom
        # as far ahead as the view fits in whichever way the car turns
        ahead = self._half - math.hypot(width, height) / zoom
        self._middle_x, self._middle_y = x - sin * ahead, y + cos * ahead
        self._left, self._bottom = self._middle_x - self._half, self._middle_y - self._half
        self._paint_grass(car_racing.bg_color, car_racing.grass_color)
        self._paint_road(np.asarray(car_racing.road_color))
        cv2.GaussianBlur(self._window, (3, 3), 0, dst=self._window)

    def _paint_road(self, road_color: np.ndarray) -> None:
        """
        :param road_color: of visited tiles
        """
        middle = (self._middle_x, self._middle_y)
        reach = self._half + stock.TRACK_WIDTH * 2
        tiles = self._tiles.near(*middle, reach)
        road = self._fixed(self._tiles.grown(tiles, EDGE * TEXEL / self._zoom, 0.0))
        shaded = self._colors[tiles, 0] != road_color[0]
        color = _plain(road_color)
        # runs of neighbours
        ends = np.flatnonzero(np.diff(tiles) != 1) + 1
        for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(tiles)], strict=True):
            for first in range(start, stop, STRIP):
                run = road[first : min(first + STRIP, stop)]
                if self._zoom < SHADES_FROM:
                    color = _plain(self._colors[tiles[first : first + len(run)]].mean(axis=0))
                # previous left of the first, then left of each; back along the right
                outline = np.concatenate([run[:1, 3], run[:, 0], run[::-1, 1], run[:1, 2]])
                cv2.fillPoly(self._window, [outline], color, cv2.LINE_AA, SHIFT)
        if self._zoom >= SHADES_FROM:
            self._paint_tiles(tiles[shaded])
        kerbs = self._kerbs.near(*middle, reach)
        corners = self._fixed(self._kerbs.grown(kerbs, EDGE * TEXEL / self._zoom, EDGE * TEXEL / self._zoom))
        for index, quad in zip(kerbs.tolist(), corners, strict=True):
            cv2.fillConvexPoly(self._window, quad, self._kerb_colors[index], cv2.LINE_AA, SHIFT)

    def _paint_tiles(self, tiles: np.ndarray) -> None:
        """
        Shades differ by 5 grey levels at most: no need for smooth edges, but to keep off the road's.

        :param tiles: indices
        """
        texel = TEXEL / self._zoom
        corners = self._fixed(self._tiles.grown(tiles, -(SPREAD + 0.5) * texel, -SPREAD * texel))
        for index, quad in zip(tiles.tolist(), corners, strict=True):
            cv2.fillConvexPoly(self._window, quad, _plain(self._colors[index]), cv2.LINE_8, SHIFT)

    def _repaint_visited(self) -> None:
        """A tile that was touched has taken the plain road colour."""
        now = self._colors[:, 0]
        changed = now != self._seen
        if changed.any():
            self._paint_tiles(np.flatnonzero(changed))
            self._seen = now.copy()

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        """
        :param points: (..., 2) world coordinates
        :return: (..., 2) window coordinates with ``SHIFT`` fractional bits
        """
        texels = (points - (self._left, self._bottom)) * (self._zoom / TEXEL) - 0.5
        return np.rint(texels * (1 << SHIFT)).astype(np.int32)

    def _paint_grass(self, bg_color: Any, grass_color: Any) -> None:
        """
        :param bg_color: of the field
        :param grass_color: of its lighter squares
        """
        background, grass = np.array(_plain(bg_color)), np.array(_plain(grass_color))
        grass_x, field_x = self._coverage(self._left)
        grass_y, field_y = self._coverage(self._bottom)
        # (levels, columns, channels): each row of the window is one of these
        levels = np.arange(GRASS_LEVELS + 1)[:, None, None] / GRASS_LEVELS * grass_x[None, :, None]
        rows = np.rint((background + (grass - background) * levels) * field_x[None, :, None]).astype(np.uint8)
        kind = np.rint(grass_y * GRASS_LEVELS).astype(np.intp)
        rows_32, window_32 = rows.view(np.uint32)[..., 0], self._window.view(np.uint32)[..., 0]
        np.take(rows_32, kind, axis=0, out=window_32, mode="clip")
        for row in np.flatnonzero(field_y < 0.99):
            self._window[row] = self._window[row] * field_y[row]

    def _coverage(self, start: float) -> tuple[np.ndarray, np.ndarray]:
        """
        :param start: where the window starts in x or y
        :return: (texels,) parts of each texel that is grass in this direction, and that is inside the field
        """
        edges = start + np.arange(self._size + 1) * (TEXEL / self._zoom)
        growth = 0.6 / self._zoom
        first, last = self._grass
        corners = np.stack([first - growth, last + growth], axis=1).ravel()
        below = np.concatenate([[0], np.cumsum(np.diff(corners) * (np.arange(len(corners) - 1) % 2 == 0))])
        grass = np.diff(np.interp(edges, corners, below)) * (self._zoom / TEXEL)
        field = np.diff(np.clip(edges, -stock.PLAYFIELD - growth, stock.PLAYFIELD + growth)) * (self._zoom / TEXEL)
        return grass, np.minimum(field, 1.0)


class Picture:
    """The whole observation of one CarRacing."""

    def __init__(self) -> None:
        self._world = WorldPicture()

    def draw(self, car_racing: Any) -> np.ndarray:
        """
        :param car_racing: the unwrapped environment
        :return: (96, 96, 3) what stock's ``_render("state_pixels")`` would return
        """
        hull = car_racing.car.hull
        position, angle = hull.position, hull.angle
        t = car_racing.t
        zoom = 0.1 * stock.SCALE * max(1 - t, 0) + stock.ZOOM * stock.SCALE * min(t, 1)
        observation = np.empty((stock.STATE_H, stock.STATE_W, 3), np.uint8)
        self._world.draw(car_racing, position.x, position.y, angle, zoom, observation[:WORLD_ROWS])
        layer = car_layer(car_racing.car, zoom)
        around = observation[CAR_ROWS, CAR_COLS]
        # 0.8: smoothscale rounds a mixture of colours down by 1.2 in the mean, a plain colour by 2
        around[:] = np.maximum(around * (1 - layer[..., 3:]) + layer[..., :3] + 0.8, 0)
        dashboard(car_racing, observation[WORLD_ROWS:])
        return observation
