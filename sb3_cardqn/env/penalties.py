"""Training-only penalties: they lower the reward of what loses points later."""

import math
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.checks import check_number
from sb3_cardqn.env.training_wrappers import furthest_tile, require_car_racing

HALF_ROAD = 40 / 6  # units, CarRacing's TRACK_WIDTH


class PenalizeMissedTiles(gym.Wrapper, RecordConstructorArgs):
    """
    Subtract a penalty from the reward each time the car passes tiles without touching them.

    A lap counts only when every tile was touched. Cutting a corner too far costs the reward of a few tiles
    now, and 0.1 per frame until frame 1000. A discounted return hardly includes that later cost, so
    the penalty represents it. A car that leaves the field, or is lost for an inner ``EndWhenLost``, pays once
    more for the rest of the lap; otherwise staying away would be cheaper than returning past a gap.
    Wrap it around a Monitor, so that the Monitor keeps the environment's own scores.

    >>> env = PenalizeMissedTiles(gym.make("CarRacing-v3"), penalty=200)

    :param penalty: points subtracted once per gap, whatever its length, at least 0
    :raises TypeError: if the environment is not CarRacing
    :raises ValueError: if ``penalty`` is negative, or not finite
    """

    training_only = True
    MARGIN = 2  # tiles; a wheel may touch a tile before it touches the one behind

    def __init__(self, env: gym.Env, penalty: float = 200.0) -> None:
        penalty = check_number("PenalizeMissedTiles", "penalty", penalty, 0)
        RecordConstructorArgs.__init__(self, penalty=penalty)
        super().__init__(env)
        require_car_racing(self)
        self.penalty = penalty
        self._furthest = self._judged = 0  # tiles, counted from the start line
        self._in_gap = False

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info
        """
        self._furthest, self._judged, self._in_gap = 0, 0, False
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step, with the penalties subtracted from the reward
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        lost = terminated and not info.get("lap_finished", True)
        penalties = self.penalty * (self._new_gaps() + lost)
        return observation, float(reward) - penalties, terminated, truncated, info

    def _new_gaps(self) -> int:
        car_racing: Any = self.unwrapped
        tiles = car_racing.road
        self._furthest = furthest_tile(car_racing, self._furthest)
        # once the car has crossed the line, the last tiles count too
        behind = self._furthest - (self.MARGIN if self._furthest < len(tiles) else 0)
        gaps = 0
        for i in range(self._judged, behind):
            missed = not tiles[i].road_visited
            gaps += missed and not self._in_gap
            self._in_gap = missed
        self._judged = max(self._judged, behind)
        return gaps


class _StatePenalty(gym.Wrapper, RecordConstructorArgs):
    """Subtracts points from the reward by the car's state after a step."""

    training_only = True

    def __init__(self, env: gym.Env, **arguments: Any) -> None:
        RecordConstructorArgs.__init__(self, **arguments)
        super().__init__(env)
        require_car_racing(self)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step, with the penalty for the state after it subtracted from the reward
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) - self._points(self.unwrapped), terminated, truncated, info

    def _points(self, car_racing: Any) -> float:
        """
        :param car_racing: the unwrapped environment, after the step
        :return: points to subtract
        """
        raise NotImplementedError


class PenalizeSpeed(_StatePenalty):
    """
    Subtract points from the reward for driving faster than the picture can show the road ahead.

    At 100 units/s, the car's top speed, the picture shows the next 0.4 s of road, and three of four lost cars
    that were looked at drove faster than 95 units/s a second before (docs/explanation/recipe.md). A lap that
    is 1 % faster scores only 0.7 of 1,000 points more, but its discounted return is 1 % higher at every step,
    so an agent learns to risk its car.

    >>> env = PenalizeSpeed(gym.make("CarRacing-v3"), limit=90)

    :param limit: speed in units/s above which driving costs points, above 0; a road tile is about 3.5 units
        long
    :param penalty: points per step (per agent step around a ``FrameSkip``) and unit/s above the limit, at
        least 0
    :raises TypeError: if the environment is not CarRacing
    :raises ValueError: if ``limit`` is not above 0, ``penalty`` is negative, or one is not finite
    """

    def __init__(self, env: gym.Env, limit: float = 90.0, penalty: float = 0.2) -> None:
        limit = check_number("PenalizeSpeed", "limit", limit, 0, above=True)
        penalty = check_number("PenalizeSpeed", "penalty", penalty, 0)
        super().__init__(env, limit=limit, penalty=penalty)
        self.limit = limit
        self.penalty = penalty

    def _points(self, car_racing: Any) -> float:
        speed = math.hypot(*car_racing.car.hull.linearVelocity)
        return self.penalty * max(0.0, speed - self.limit)


class PenalizeSideslip(_StatePenalty):
    """
    Subtract points from the reward while the car slides sideways.

    Seven of nine lost cars that were looked at slid sideways before they left the road or stopped
    (docs/results/lost_cars.md). A trained agent slides in one lap of ten and loses its car in one of 250, so
    this penalty occurs 25 times as often as the loss that it represents. In 99 % of all frames the car moves
    sideways at less than 5 units/s.

    >>> env = PenalizeSideslip(gym.make("CarRacing-v3"), limit=8)

    :param limit: lateral speed of the car's hull in units/s above which driving costs points, at least 0
    :param penalty: points per step (per agent step around a ``FrameSkip``) and unit/s above the limit, at
        least 0
    :raises TypeError: if the environment is not CarRacing
    :raises ValueError: if ``limit`` or ``penalty`` is negative, or not finite
    """

    def __init__(self, env: gym.Env, limit: float = 8.0, penalty: float = 2.0) -> None:
        limit = check_number("PenalizeSideslip", "limit", limit, 0)
        penalty = check_number("PenalizeSideslip", "penalty", penalty, 0)
        super().__init__(env, limit=limit, penalty=penalty)
        self.limit = limit
        self.penalty = penalty

    def _points(self, car_racing: Any) -> float:
        hull = car_racing.car.hull
        lateral, _ = hull.GetLocalVector(hull.linearVelocity)
        return self.penalty * max(0.0, abs(lateral) - self.limit)


class PenalizeRoadEdge(_StatePenalty):
    """
    Subtract points from the reward while no wheel is well inside the road.

    A tile counts when one wheel touches it. Where a trained agent cuts a bend, its best wheel is about 2
    units inside the edge, and one lap in 60 misses a tile (docs/results/lost_cars.md). This penalty is seen
    more often.

    >>> env = PenalizeRoadEdge(gym.make("CarRacing-v3"), margin=1.5)

    :param margin: distance in units from the road's edge to the wheel closest to the middle, below which
        driving costs points; the road is 13.3 units wide, the car 2.5
    :param penalty: points per step (per agent step around a ``FrameSkip``) and unit short of the margin, at
        least 0; a car off the road counts as 3 units short
    :raises TypeError: if the environment is not CarRacing
    :raises ValueError: if ``margin`` or ``penalty`` is negative, or not finite
    """

    MOST = 3.0  # units short of the margin at most, as off the road

    def __init__(self, env: gym.Env, margin: float = 1.5, penalty: float = 5.0) -> None:
        margin = check_number("PenalizeRoadEdge", "margin", margin, 0)
        penalty = check_number("PenalizeRoadEdge", "penalty", penalty, 0)
        super().__init__(env, margin=margin, penalty=penalty)
        self.margin = margin
        self.penalty = penalty

    def _points(self, car_racing: Any) -> float:
        lacking = max(0.0, self.margin - _inside_the_road(car_racing))
        return self.penalty * min(self.MOST, lacking)


def _inside_the_road(car_racing: Any) -> float:
    """
    :param car_racing: the unwrapped environment
    :return: distance in units from the road's edge to the wheel closest to the middle; -inf off the road
    """
    inside = -math.inf
    for wheel in car_racing.car.wheels:
        x, y = wheel.position
        for tile in wheel.tiles:
            _, _, x1, y1 = car_racing.track[tile.idx - 1]
            _, _, x2, y2 = car_racing.track[tile.idx]
            from_middle = abs((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) / math.hypot(x2 - x1, y2 - y1)
            inside = max(inside, HALF_ROAD - from_middle)
    return inside
