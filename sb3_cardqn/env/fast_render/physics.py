"""CarRacing's physics in Python floats, for FastRender: faster, with bit-identical forces and rewards."""

import math
from typing import Any

from Box2D import b2Filter, b2RevoluteJoint
from gymnasium.envs.box2d.car_dynamics import (
    ENGINE_POWER,
    FRICTION_LIMIT,
    SIZE,
    WHEEL_MOMENT_OF_INERTIA,
    Car,
)
from gymnasium.envs.box2d.car_racing import FPS, PLAYFIELD, CarRacing, FrictionDetector
from gymnasium.error import InvalidAction

# the functions behind Box2D's properties; looking them up takes longer than running them
_joint_angle, _set_motor_speed = b2RevoluteJoint.angle.fget, b2RevoluteJoint.motorSpeed.fset
# A visited tile has its colour and needs to notice wheels only: the categories of stock's tiles and wheels.
FOR_WHEELS = b2Filter(categoryBits=0x0001, maskBits=0x0020, groupIndex=0)
STIFFNESS = 205000 * SIZE * SIZE
GRASS_FRICTION = FRICTION_LIMIT * 0.6
BRAKE_FORCE = 15  # radians per second


class FastCar(Car):
    """
    A ``Car`` that computes with Python floats instead of NumPy scalars, with fewer calls to Box2D.

    Every expression keeps the order of ``Car.step``, because the last bit depends on it.
    """

    hull_position: Any
    hull_velocity: Any
    wheel_positions: list[Any]
    wheel_parts: list[tuple[Any, Any, Any, Any, Any]]  # wheel, joint, rotation, velocity, ApplyForceToCenter

    @staticmethod
    def take_over(car: Any) -> None:
        """
        Turn an existing car into a fast one.

        Box2D's vectors are views of its memory that follow the car, so they are fetched only once.

        :param car: Gymnasium's car, changed in place
        """
        car.__class__ = FastCar
        car.hull_position, car.hull_velocity = _view(car.hull, "position"), _view(car.hull, "linearVelocity")
        car.wheel_positions = [_view(w, "position") for w in car.wheels]
        car.wheel_parts = [
            (w, w.joint, _view(w, "transform").q, _view(w, "linearVelocity"), w.ApplyForceToCenter)
            for w in car.wheels
        ]

    def control(self, steer: float, gas: float, brake: float) -> None:
        """
        ``steer``, ``gas`` and ``brake`` at once.

        :param steer: target direction of the front wheels, in [-1, 1]
        :param gas: gas pedal, clipped to [0, 1]; acts on the rear wheels
        :param brake: brake pedal in [0, 1]; 0.9 or more blocks the wheels
        """
        gas = min(max(gas, 0.0), 1.0)
        front_left, front_right, rear_left, rear_right = self.wheels
        front_left.steer = front_right.steer = steer
        # gradually increase, but stop immediately
        rear_left.gas += min(gas - rear_left.gas, 0.1)
        rear_right.gas += min(gas - rear_right.gas, 0.1)
        front_left.brake = front_right.brake = rear_left.brake = rear_right.brake = brake

    def destroy(self) -> None:
        """Destroy the bodies, after which no step must touch them."""
        super().destroy()
        self.wheel_parts = []

    def step(self, dt: float) -> None:
        """
        :param dt: seconds per frame
        """
        power = dt * ENGINE_POWER
        for w, joint, rotation, velocity, push in self.wheel_parts:
            turn = 50.0 * (w.steer - _joint_angle(joint))
            _set_motor_speed(joint, 3.0 if turn > 3.0 else -3.0 if turn < -3.0 else turn)

            friction_limit = GRASS_FRICTION
            for tile in w.tiles:
                on_tile = FRICTION_LIMIT * tile.road_friction
                if on_tile > friction_limit:
                    friction_limit = on_tile

            # GetWorldVector((1, 0)) is (cos, sin), GetWorldVector((0, 1)) is that turned by 90 degrees
            cos, sin = rotation.c, rotation.s
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
            push((p_force * cos - f_force * sin, p_force * sin + f_force * cos), True)

    def _skid(self, w: Any, skids: bool) -> None:
        """
        Record the skid marks that ``render()`` shows.

        :param w: a wheel
        :param skids: True if it skids
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


def _view(body: Any, name: str) -> Any:
    """
    :param body: a body of Box2D
    :param name: name of one of its vectors
    :return: view that follows the body
    :raises RuntimeError: if Box2D returns a copy
    """
    view, again = getattr(body, name), getattr(body, name)
    if int(view.this) != int(again.this):
        raise RuntimeError(f"FastRender needs a Box2D whose {name} follows its body, got a copy")
    return view


class FastFrictionDetector(FrictionDetector):
    """
    A ``FrictionDetector`` that asks Box2D for each fixture's owner once per episode.

    This is safe because only ``CarRacing.reset`` destroys bodies, and it also makes a new listener. A contact
    that has begun keeps its address until it ends.
    """

    @staticmethod
    def take_over(listener: Any) -> None:
        """
        Turn an existing listener into a fast one.

        :param listener: Gymnasium's listener, changed in place
        """
        listener.__class__ = FastFrictionDetector
        listener.owners, listener.touching = {}, {}

    def BeginContact(self, contact: Any) -> None:  # noqa: N802, Box2D's name
        """
        :param contact: contact of two fixtures that begins
        """
        self.touching[int(contact.this)] = tile, wheel = self._who(contact)
        if tile is None:
            return
        visited = tile.road_visited
        if not visited:  # a visited tile has been painted before
            tile.color[:] = self.env.road_color
        if wheel is None:
            return
        wheel.tiles.add(tile)
        if not visited:
            env = self.env
            tile.road_visited = True
            tile.fixtures[0].filterData = FOR_WHEELS
            env.reward += 1000.0 / len(env.track)
            env.tile_visited_count += 1
            if tile.idx == 0 and env.tile_visited_count / len(env.track) > self.lap_complete_percent:
                env.new_lap = True

    def EndContact(self, contact: Any) -> None:  # noqa: N802, Box2D's name
        """
        :param contact: contact of two fixtures that ends
        """
        tile, wheel = self.touching.pop(int(contact.this), None) or self._who(contact)
        if wheel is not None:
            wheel.tiles.remove(tile)

    def _who(self, contact: Any) -> tuple[Any, Any]:
        """
        :param contact: contact of two fixtures
        :return: tile and wheel, each None if it is not part of the contact
        """
        first, second = contact.fixtureA, contact.fixtureB
        tile, wheel = self.owners.get(int(first.this)) or self._own(first)
        other_tile, other_wheel = self.owners.get(int(second.this)) or self._own(second)
        # like stock, take the second if both are tiles
        return (tile, other_wheel) if other_tile is None else (other_tile, wheel)

    def _own(self, fixture: Any) -> tuple[Any, Any]:
        """
        :param fixture: fixture of a body
        :return: tile and wheel, each None if the body is something else
        """
        body = fixture.body.userData
        known = vars(body) if body is not None else {}
        owner = body if "road_friction" in known else None, body if "tiles" in known else None
        self.owners[int(fixture.this)] = owner
        return owner


class FastStep:
    """
    Stands in for the ``step`` method of one CarRacing.

    :param car_racing: the unwrapped environment
    """

    def __init__(self, car_racing: CarRacing) -> None:
        self._car_racing: Any = car_racing

    def __call__(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        :param action: action of CarRacing, or None
        :return: the result of stock's ``step``
        :raises InvalidAction: if the action is not in the discrete action space
        """
        car_racing = self._car_racing
        self.take_over()  # in the first frame of an episode
        car = car_racing.car
        assert car is not None, "reset() comes before step()"
        if action is not None:
            self._control(car, action)

        car.step(1.0 / FPS)
        car_racing.world.Step(1.0 / FPS, 6 * 30, 2 * 30)
        car_racing.t += 1.0 / FPS
        car_racing.state = car_racing._render("state_pixels")

        step_reward, terminated, info = 0.0, False, {}
        if action is not None:
            car_racing.reward -= 0.1
            car.fuel_spent = 0.0
            step_reward = car_racing.reward - car_racing.prev_reward
            car_racing.prev_reward = car_racing.reward
            if car_racing.tile_visited_count == len(car_racing.track) or car_racing.new_lap:
                terminated = True
                info["lap_finished"] = True
            position = car.hull_position
            if abs(position.x) > PLAYFIELD or abs(position.y) > PLAYFIELD:
                terminated = True
                info["lap_finished"] = False
                step_reward = -100
        if car_racing.render_mode == "human":
            car_racing.render()
        return car_racing.state, step_reward, terminated, False, info

    def take_over(self) -> None:
        """Make a new race's car and friction fast."""
        if self._car_racing.car.__class__ is Car:
            FastCar.take_over(self._car_racing.car)
            FastFrictionDetector.take_over(self._car_racing.world.contactListener)

    def _control(self, car: Any, action: Any) -> None:
        """
        :param car: the car to control
        :param action: action of CarRacing
        :raises InvalidAction: if the action is not in the discrete action space
        """
        if self._car_racing.continuous:
            steer, gas, brake = map(float, action.tolist()[:3])  # stock ignores more
            car.control(-steer, gas, brake)
            return
        if not self._car_racing.action_space.contains(action):
            raise InvalidAction(
                f"you passed the invalid action `{action}`. "
                f"The supported action_space is `{self._car_racing.action_space}`"
            )
        steer = -0.6 * (action == 1) + 0.6 * (action == 2)
        car.control(float(steer), float(0.2 * (action == 3)), float(0.8 * (action == 4)))
