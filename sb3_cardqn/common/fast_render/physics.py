"""Gymnasium's car in plain floats, for FastRender: the same forces to the last bit in half the time."""

import math
from typing import Any

from gymnasium.envs.box2d.car_dynamics import (
    ENGINE_POWER,
    FRICTION_LIMIT,
    SIZE,
    WHEEL_MOMENT_OF_INERTIA,
    Car,
)

STIFFNESS = 205000 * SIZE * SIZE
GRASS_FRICTION = FRICTION_LIMIT * 0.6
BRAKE_FORCE = 15  # radians per second


class FastCar(Car):
    """
    A ``Car`` that computes with Python's floats instead of numpy's scalars, and asks Box2D less.

    Give it to a car that exists: ``car.__class__ = FastCar``. Every expression keeps the order of
    ``Car.step``, on which the last bit depends.
    """

    def gas(self, gas: float) -> None:
        """
        :param gas: how much, clipped between 0 and 1; rear wheels only
        """
        gas = min(max(float(gas), 0.0), 1.0)
        for w in self.wheels[2:4]:
            w.gas += min(gas - w.gas, 0.1)  # gradually increase, but stop immediately

    def brake(self, b: float) -> None:
        """
        :param b: how hard, 0 to 1; more than 0.9 blocks the wheels
        """
        b = float(b)
        for w in self.wheels:
            w.brake = b

    def steer(self, s: float) -> None:
        """
        :param s: where the front wheels shall turn, -1 to 1
        """
        self.wheels[0].steer = self.wheels[1].steer = float(s)

    def step(self, dt: float) -> None:
        """
        :param dt: seconds a frame
        """
        power = dt * ENGINE_POWER
        for w in self.wheels:
            joint = w.joint
            off = w.steer - joint.angle
            joint.motorSpeed = math.copysign(min(50.0 * abs(off), 3.0), off)

            friction_limit = GRASS_FRICTION
            for tile in w.tiles:
                on_tile = FRICTION_LIMIT * tile.road_friction
                if on_tile > friction_limit:
                    friction_limit = on_tile

            # GetWorldVector((0, 1)) is this one turned by 90 degrees
            side, velocity = w.GetWorldVector((1, 0)), w.linearVelocity
            cos, sin = side.x, side.y  # by name: unpacking a vector costs half as much again
            v_x, v_y = velocity.x, velocity.y
            vf = -sin * v_x + cos * v_y
            vs = cos * v_x + sin * v_y

            omega, gas, brake = w.omega, w.gas, w.brake
            if gas:
                omega += power * gas / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
                self.fuel_spent += power * gas
            if brake >= 0.9:
                omega = 0
            elif brake > 0 and omega:
                omega += math.copysign(min(BRAKE_FORCE * brake, abs(omega)), -omega)
            w.phase += omega * dt

            wheel_rad = w.wheel_rad
            f_force = (-vf + omega * wheel_rad) * STIFFNESS
            p_force = -vs * STIFFNESS
            force = math.sqrt(f_force * f_force + p_force * p_force)
            if force > friction_limit:
                self._skid(w, force > 2.0 * friction_limit)
                f_force = f_force / force * friction_limit
                p_force = p_force / force * friction_limit
            else:
                w.skid_start = w.skid_particle = None

            w.omega = omega - dt * f_force * wheel_rad / WHEEL_MOMENT_OF_INERTIA
            w.ApplyForceToCenter((p_force * cos - f_force * sin, p_force * sin + f_force * cos), True)

    def _skid(self, w: Any, skids: bool) -> None:
        """
        The traces that ``render()`` shows.

        :param w: a wheel
        :param skids: whether it does
        """
        if not skids:
            w.skid_start = w.skid_particle = None
            return
        particle, grass = w.skid_particle, not w.tiles
        position = w.position
        if particle and particle.grass == grass and len(particle.poly) < 30:
            particle.poly.append((position[0], position[1]))
        elif w.skid_start is None:
            w.skid_start = position
        else:
            w.skid_particle = self._create_particle(w.skid_start, position, grass)
            w.skid_start = None
