"""CarRacing's random track, for FastRender: faster, with bit-identical tiles from the same random numbers."""

import math
from typing import Any

import numpy as np
from Box2D import b2Body, b2BodyDef, b2PolygonShape, b2World
from gymnasium.envs.box2d.car_racing import (
    BORDER,
    BORDER_MIN_COUNT,
    SCALE,
    TRACK_DETAIL_STEP,
    TRACK_RAD,
    TRACK_TURN_RATE,
    TRACK_WIDTH,
)

# the functions behind Box2D's methods, which check and convert arguments in Python
_set_vertex, _finish_shape = b2PolygonShape.set_vertex, b2PolygonShape._b2PolygonShape__set_vertices_internal
_create_body, _create_fixture = b2World._b2World__CreateBody, b2Body._b2Body__CreateFixture
CHECKPOINTS = 12
TURN = 2 * math.pi
START_ALPHA = TURN * (-0.5) / CHECKPOINTS
HARD_TURN = TRACK_TURN_RATE * 0.2  # radians a tile
MOST_POINTS = 2500
LAPS = 4
# bounds of the random numbers: for each checkpoint an angle, then a radius
_LOW = np.tile((0.0, TRACK_RAD / 3), CHECKPOINTS)
_HIGH = np.tile((TURN * 1 / CHECKPOINTS, TRACK_RAD), CHECKPOINTS)

Point = tuple[float, float, float, float]  # angle around the middle of the field, heading, x, y
Corners = list[tuple[float, float]]


def _checkpoints(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """
    :param rng: CarRacing's generator
    :return: angle, x and y of each checkpoint
    """
    draws = rng.uniform(_LOW, _HIGH).tolist()
    checkpoints = []
    for c, (noise, rad) in enumerate(zip(draws[0::2], draws[1::2], strict=True)):
        alpha = TURN * c / CHECKPOINTS + noise
        if c == 0:
            alpha, rad = 0.0, 1.5 * TRACK_RAD
        if c == CHECKPOINTS - 1:
            alpha, rad = TURN * c / CHECKPOINTS, 1.5 * TRACK_RAD
        checkpoints.append((alpha, rad * math.cos(alpha), rad * math.sin(alpha)))
    return checkpoints


def _drive(checkpoints: list[tuple[float, float, float]]) -> list[Point]:
    """
    Steer from checkpoint to checkpoint, several times around.

    :param checkpoints: angle, x and y of each
    :return: points on the way
    """
    atan2, cos, sin, copysign, most = math.atan2, math.cos, math.sin, math.copysign, 1.5 * math.pi
    x, y, beta, laps, far_side = 1.5 * TRACK_RAD, 0.0, 0.0, 0, False
    target, (dest_alpha, dest_x, dest_y) = 0, checkpoints[0]
    points: list[Point] = []
    while True:
        alpha = atan2(y, x)
        if alpha < 0:
            far_side = True
            alpha += TURN
        elif far_side and alpha > 0:
            laps += 1
            far_side = False
        while alpha > dest_alpha:
            target = (target + 1) % CHECKPOINTS
            dest_alpha, dest_x, dest_y = checkpoints[target]
            if target == 0:
                alpha -= TURN
        r1x, r1y = cos(beta), sin(beta)
        proj = r1x * (dest_x - x) + r1y * (dest_y - y)
        while beta - alpha > most:
            beta -= TURN
        while beta - alpha < -most:
            beta += TURN
        before = beta
        proj *= SCALE
        if abs(proj) > 0.3:
            beta -= copysign(min(TRACK_TURN_RATE, abs(0.001 * proj)), proj)
        x += -r1y * TRACK_DETAIL_STEP
        y += r1x * TRACK_DETAIL_STEP
        points.append((alpha, before * 0.5 + beta * 0.5, x, y))
        if laps > LAPS or len(points) == MOST_POINTS:
            return points


def _last_lap(points: list[Point]) -> list[Point] | None:
    """
    :param points: points on the way
    :return: those from start to start, None if they do not meet
    """
    starts: list[int] = []
    for i in range(len(points) - 1, 0, -1):
        if points[i - 1][0] <= START_ALPHA < points[i][0]:
            starts.append(i)
            if len(starts) == 2:
                break
    else:
        return None
    track = points[starts[1] : starts[0] - 1]
    _, beta, first_x, first_y = track[0]
    *_, last_x, last_y = track[-1]
    across, along = math.cos(beta) * (first_x - last_x), math.sin(beta) * (first_y - last_y)
    return track if math.sqrt(across * across + along * along) <= TRACK_DETAIL_STEP else None


def _with_kerbs(track: list[Point]) -> list[bool]:
    """
    :param track: the track's points
    :return: True for each tile that has a kerb, because the road turns hard in one direction for some tiles
    """
    turns = [track[i][1] - track[i - 1][1] for i in range(len(track))]
    hard = [(turn > HARD_TURN) - (turn < -HARD_TURN) for turn in turns]
    latest = [hard[len(hard) - back :] + hard[: len(hard) - back] for back in range(BORDER_MIN_COUNT)]
    kerbs = [abs(sum(turns)) == BORDER_MIN_COUNT for turns in zip(*latest, strict=True)]
    for i in range(len(track)):  # in this order, because negative indices wrap around
        if kerbs[i]:
            for back in range(1, BORDER_MIN_COUNT):
                kerbs[i - back] = True
    return kerbs


def _edges(track: list[Point]) -> tuple[Corners, Corners]:
    """
    :param track: the track's points
    :return: left and right edge of the road at each of them
    """
    cos, sin = math.cos, math.sin
    left, right = [], []
    for _, beta, x, y in track:
        across, along = TRACK_WIDTH * cos(beta), TRACK_WIDTH * sin(beta)
        left.append((x - across, y - along))
        right.append((x + across, y + along))
    return left, right


def _aside(point: Point, distance: float) -> tuple[float, float]:
    """
    :param point: point of the track
    :param distance: to the right of it, in world units
    :return: x and y
    """
    _, beta, x, y = point
    return x + distance * math.cos(beta), y + distance * math.sin(beta)


class FastTrack:
    """
    Stands in for the ``_create_track`` method of one CarRacing.

    Every expression keeps stock's order, because the last bit depends on it, and Box2D gets the same tiles in
    the same order.

    :param car_racing: the unwrapped environment
    """

    def __init__(self, car_racing: Any) -> None:
        self._car_racing = car_racing

    def __call__(self) -> bool:
        """
        :return: True if the track closes
        """
        car_racing = self._car_racing
        if car_racing.verbose:  # stock prints how it goes
            return type(car_racing)._create_track(car_racing)
        car_racing.start_alpha, car_racing.road = START_ALPHA, []
        track = _last_lap(_drive(_checkpoints(car_racing.np_random)))
        if track is None:
            return False
        shades = np.array([car_racing.road_color + 0.01 * shade * 255 for shade in range(3)])
        colors = shades[np.arange(len(track)) % 3]
        left, right = _edges(track)
        kerbs = _with_kerbs(track)
        world, road, road_poly = car_racing.world, car_racing.road, car_racing.road_poly
        definition, body = car_racing.fd_tile, b2BodyDef()
        definition.isSensor, shape = True, definition.shape
        for i, color in enumerate(colors):
            corners = [left[i], right[i], right[i - 1], left[i - 1]]
            for number, (x, y) in enumerate(corners):
                _set_vertex(shape, number, x, y)
            shape.vertexCount = 4
            _finish_shape(shape)
            tile = _create_body(world, body)
            _create_fixture(tile, definition)
            tile.userData = tile
            tile.color, tile.road_visited, tile.road_friction, tile.idx = color, False, 1.0, i
            road.append(tile)
            road_poly.append((corners, color))
            if kerbs[i]:
                road_poly.append(_kerb(i, track))
        car_racing.track = track
        return True


def _kerb(index: int, track: list[Point]) -> tuple[Corners, tuple[int, int, int]]:
    """
    :param index: number of the tile
    :param track: the track's points
    :return: corners and colour of its kerb, which is on the inner side of the bend
    """
    here, before = track[index], track[index - 1]
    turn = before[1] - here[1]
    side = float(turn > 0) - float(turn < 0)
    near, far = side * TRACK_WIDTH, side * (TRACK_WIDTH + BORDER)
    corners = [_aside(here, near), _aside(here, far), _aside(before, far), _aside(before, near)]
    return corners, (255, 255, 255) if index % 2 == 0 else (255, 0, 0)
