import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from gymnasium import spaces
from gymnasium.envs.box2d.car_racing import CarRacing
from gymnasium.utils.env_checker import check_env as check_gymnasium_env
from gymnasium.wrappers import RecordVideo, TransformObservation
from hypothesis import given, settings
from hypothesis import strategies as st
from rl_zoo3.exp_manager import get_wrapper_class
from stable_baselines3.common.env_checker import check_env as check_sb3_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage, VecVideoRecorder

from sb3_cardqn import (
    CarRacingWrapper,
    DiscretizeActions,
    FrameSkip,
    FrameStack,
    GrayscaleObservation,
    ResizeObservation,
)
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.race.camera import Camera
from sb3_cardqn.race.ghost import Recorder
from tests.named import error_naming


class Pictures(gym.Env):
    """Random pictures in one buffer that each step writes over; an episode of ``length`` steps."""

    def __init__(self, shape: tuple[int, ...] = (96, 96, 3), length: int = 6, dtype: Any = np.uint8) -> None:
        self.observation_space = spaces.Box(0, 255, shape, dtype)
        self.action_space = spaces.Box(np.array([-1, 0, 0]), np.array([1, 1, 1]), dtype=np.float32)
        self.picture = np.zeros(shape, dtype)
        self.length = length

    def _draw(self) -> np.ndarray:
        self.picture[...] = self.np_random.integers(0, 256, self.picture.shape)
        return self.picture

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        self.steps = 0
        return self._draw(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._draw(), self.steps, self.steps == self.length, False, {"steps": self.steps}


def car_racing(**kwargs: Any) -> gym.Env:
    return gym.make("CarRacing-v3", **kwargs)


ACTION = np.array([0.3, 0.5, 0.0], dtype=np.float32)
WRAPPERS: list[tuple[Callable[..., gym.Env], dict[str, Any]]] = [
    (DiscretizeActions, {"actions": "default5"}),
    (FrameSkip, {"skip": 2}),
    (GrayscaleObservation, {}),
    (GrayscaleObservation, {"keep_dim": True}),
    (ResizeObservation, {"shape": [48, 40], "crop": [0, 12, 0, 0]}),
    (lambda env, **kwargs: FrameStack(GrayscaleObservation(env), **kwargs), {"num_frames": 3}),
    (CarRacingWrapper, {}),
    (CarRacingWrapper, {"fast_render": False, "screen_size": 84}),
    (CarRacingWrapper, {"colors": "rgb", "num_frames": 2}),
    (CarRacingWrapper, {"colors": "road_contrast"}),
]


@pytest.mark.parametrize(("wrapper", "kwargs"), WRAPPERS)
def test_checkers_seeding_info_render_and_pickling(
    wrapper: Callable[..., gym.Env], kwargs: dict[str, Any]
) -> None:
    env = wrapper(car_racing(render_mode="rgb_array"), **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both remark on CarRacing's own action space and on image sizes
        check_gymnasium_env(env, skip_render_check=True)
        check_sb3_env(env, skip_render_check=True)

    env.action_space.seed(0)
    action = env.action_space.sample()
    obs, _ = env.reset(seed=5)
    after = env.step(action)
    assert after[4] == {}
    assert env.render().shape == (400, 600, 3)

    twin = pickle.loads(pickle.dumps(env))
    twin_obs, _ = twin.reset(seed=5)
    assert np.array_equal(obs, twin_obs)
    assert np.array_equal(after[0], twin.step(action)[0])


def test_default5_drives_like_continuous_false() -> None:
    ours, theirs = DiscretizeActions(car_racing(), "default5"), car_racing(continuous=False)
    ours.reset(seed=3)
    theirs.reset(seed=3)
    for action in np.random.default_rng(0).integers(5, size=60):
        obs, reward, *_ = ours.step(action)
        their_obs, their_reward, *_ = theirs.step(int(action))
        assert reward == their_reward
        assert np.array_equal(obs, their_obs)


def test_gas_and_steer12_is_every_steer_with_every_pedal() -> None:
    actions = DiscretizeActions(Pictures(), "gas_and_steer12").actions
    assert actions.shape == (12, 3)
    assert len({tuple(row) for row in actions}) == 12
    assert [-1, 1, 0] in actions.tolist()  # full gas while steering, which the built-in set lacks


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        ("defualt5", "DiscretizeActions | 'default5' | 'gas_and_steer12' | 'defualt5'"),
        ([], "actions | []"),
        ([[0, 0, 0], [-1.5, 0, 0]], "actions | -1.5"),
        ([[0, float("nan"), 0]], "actions | nan"),
        ([["left", 0, 0]], "actions | 'left'"),
        ([[0, 0, 0], [1, 0]], "actions | [1, 0]"),
        ({0: [0, 0, 0]}, "actions | {0: [0, 0, 0]}"),
    ],
)
def test_discretize_actions_names_bad_actions(actions: Any, named: str) -> None:
    with error_naming(ValueError, named):
        DiscretizeActions(Pictures(), actions)


@pytest.mark.parametrize("action", [5, -1, 1.5])
def test_discretize_actions_refuses_an_action_outside(action: Any) -> None:
    env = DiscretizeActions(Pictures(), "default5")
    env.reset(seed=0)
    with error_naming(ValueError, f"Discrete(5) | {action}"):
        env.step(action)


def test_frame_skip_sums_rewards_and_stops_with_the_episode() -> None:
    env = FrameSkip(Pictures(length=6), skip=4)
    env.reset(seed=0)
    assert env.step(ACTION)[1:] == (1 + 2 + 3 + 4, False, False, {"steps": 4})
    assert env.step(ACTION)[1:] == (5 + 6, True, False, {"steps": 6})


@pytest.mark.parametrize("max_episode_steps", [40, 42])  # 42: the episode ends on a frame in mid-skip
def test_frame_skip_around_stock_car_racing_is_bit_identical_to_drawing_all(max_episode_steps: int) -> None:
    skipped = FrameSkip(car_racing(max_episode_steps=max_episode_steps), skip=4)
    plain = car_racing(max_episode_steps=max_episode_steps)
    skipped.reset(seed=1)
    plain.reset(seed=1)
    rng = np.random.default_rng(1)
    ended = False
    while not ended:
        action = rng.uniform([-1, 0, 0], [1, 1, 0.3]).astype(np.float32)
        obs, reward, terminated, truncated, _ = skipped.step(action)
        expected_reward = 0.0
        for _ in range(4):
            expected_obs, frame_reward, expected_terminated, expected_truncated, _ = plain.step(action)
            expected_reward += float(frame_reward)
            if expected_terminated or expected_truncated:
                break
        assert reward == expected_reward
        assert np.array_equal(obs, expected_obs)
        assert (terminated, truncated) == (expected_terminated, expected_truncated)
        ended = terminated or truncated


def test_frame_skip_draws_the_score_as_it_was_when_the_episode_ended() -> None:
    # CarRacing draws the score before it takes 0.1 off. 99.54 shows as 100, 99.44 would show as 99.
    skipped = FrameSkip(car_racing(max_episode_steps=6), skip=4)
    plain = car_racing(max_episode_steps=6)
    for env in (skipped, plain):
        env.reset(seed=1)
    skipped.step(ACTION)
    for _ in range(5):
        plain.step(ACTION)
    for env, reward in ((skipped, 99.64), (plain, 99.54)):  # one frame more is still to come in `skipped`
        env.unwrapped.reward = env.unwrapped.prev_reward = reward
    late = skipped.step(ACTION)[0]
    expected = plain.step(ACTION)[0]
    assert np.array_equal(late, expected)


def count_drawings(env: gym.Env, steps: int) -> int:
    drawn = []
    car: Any = env.unwrapped
    draw = type(car)._render
    car._render = lambda mode: drawn.append(mode) or draw(car, mode)
    env.reset(seed=0)
    drawn.clear()
    for _ in range(steps):
        env.step(ACTION)
    return len(drawn)


def test_frame_skip_draws_only_what_it_returns() -> None:
    assert count_drawings(FrameSkip(car_racing(), skip=4), steps=3) == 3


def test_no_step_warns() -> None:
    with warnings.catch_warnings(), closing(gym.make("sb3_cardqn:CarRacingPixels-v3")) as env:
        warnings.simplefilter("error")
        env.reset(seed=0)
        for _ in range(3):
            env.step(1)


def test_frame_skip_draws_all_for_a_wrapper_inside_that_remembers() -> None:
    env = FrameSkip(FrameStack(GrayscaleObservation(car_racing())), skip=4)
    assert count_drawings(env, steps=3) == 12


def record(env: gym.Env, folder: Path) -> None:
    video = RecordVideo(env, str(folder))
    video.reset(seed=0)
    for _ in range(24):
        video.step(np.int64(2))
    video.close()


def record_vectorized(env: gym.Env, folder: Path) -> None:
    video = VecVideoRecorder(DummyVecEnv([lambda: env]), str(folder), lambda step: step == 0, 25)
    video.reset()
    for _ in range(25):
        video.step(np.array([2]))
    video.close()


@pytest.mark.slow
@pytest.mark.parametrize("film", [record, record_vectorized])
def test_a_film_of_skipped_frames_lasts_as_long_as_the_drive(
    tmp_path: Path, film: Callable[[gym.Env, Path], None]
) -> None:
    film(CarRacingWrapper(car_racing(render_mode="rgb_array")), tmp_path)
    (path,) = tmp_path.glob("*.mp4")
    # 25 pictures, 4 frames apart, 50 frames a second
    assert iio.immeta(path)["duration"] == pytest.approx(2, abs=0.1)
    assert car_racing().metadata["render_fps"] == 50  # of every other environment


def test_frame_skip_leaves_the_drawing_as_it_was_when_a_step_fails() -> None:
    env = FrameSkip(car_racing(), skip=4)
    env.reset(seed=0)
    with pytest.raises(Exception, match="astype"):
        env.step("left")
    assert "_render" not in vars(env.unwrapped)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_grayscale_is_the_luminance(seed: int) -> None:
    env = GrayscaleObservation(Pictures((8, 9, 3)))
    gray, _ = env.reset(seed=seed)
    luminance = env.unwrapped.picture @ np.array([0.299, 0.587, 0.114])
    assert gray.dtype == np.uint8
    assert np.abs(gray - luminance).max() <= 0.51
    keep_dim, _ = GrayscaleObservation(Pictures((8, 9, 3)), keep_dim=True).reset(seed=seed)
    assert np.array_equal(keep_dim, gray[:, :, None])


def test_resize_averages_blocks_after_the_crop() -> None:
    env = ResizeObservation(Pictures((12, 8)), shape=[4, 4], crop=[0, 4, 0, 0])
    resized, _ = env.reset(seed=0)
    blocks = env.unwrapped.picture[:8].reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert resized.dtype == np.uint8
    assert np.abs(resized - blocks).max() <= 0.51


@pytest.mark.parametrize("shape", [(12, 8), (12, 8, 1), (12, 8, 3)])
def test_resize_keeps_the_channels_and_crops_each_side(shape: tuple[int, ...]) -> None:
    env = ResizeObservation(Pictures(shape), shape=[8, 3], crop=[1, 3, 2, 3])
    resized, _ = env.reset(seed=0)
    assert resized.shape == env.observation_space.shape == (8, 3, *shape[2:])
    assert np.array_equal(resized, env.unwrapped.picture[1:9, 2:5])


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"shape": 0}, "shape | 0"),
        ({"shape": [64]}, "shape | [64]"),
        ({"shape": [64, 6.5]}, "shape | [64, 6.5]"),
        ({"crop": [0, -1, 0, 0]}, "crop | [0, -1, 0, 0]"),
        ({"crop": [12]}, "crop | [12]"),
        ({"crop": [90, 6, 0, 0]}, "crop | 96x96 | [90, 6, 0, 0]"),
    ],
)
def test_resize_refuses_bad_sizes(kwargs: dict[str, Any], named: str) -> None:
    with error_naming(ValueError, named):
        ResizeObservation(Pictures(), **kwargs)


@given(num_frames=st.integers(1, 5), steps=st.integers(0, 8), channels=st.sampled_from([(), (1,), (3,)]))
@settings(max_examples=40)
def test_frame_stack_holds_the_last_frames_oldest_first(
    num_frames: int, steps: int, channels: tuple[int, ...]
) -> None:
    env = FrameStack(Pictures((4, 5, *channels), length=100), num_frames)

    def picture() -> np.ndarray:  # (C, 4, 5)
        return np.moveaxis(env.unwrapped.picture.copy().reshape(4, 5, -1), 2, 0)

    obs, _ = env.reset(seed=0)
    frames = [picture()] * num_frames
    returned = [(obs, np.concatenate(frames))]
    for _ in range(steps):
        obs, *_ = env.step(ACTION)
        frames = [*frames[1:], picture()]
        returned.append((obs, np.concatenate(frames)))
    for obs, expected in returned:  # looked at only now: earlier arrays have not changed
        assert np.array_equal(obs, expected)
        assert env.observation_space.contains(obs)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_frame_stack_with_zeros_is_sb3s(channels: int, channels_first: bool) -> None:
    shape = (channels, 40, 44) if channels_first else (40, 44, channels)

    def make() -> gym.Env:
        return TransformObservation(Pictures(shape, length=5), np.copy, None)

    env = FrameStack(make(), 3, padding_type="zero")
    theirs: Any = VecFrameStack(DummyVecEnv([make]), 3)
    if not channels_first:
        theirs = VecTransposeImage(theirs)
    assert env.observation_space == theirs.observation_space
    theirs.seed(0)
    observation = theirs.reset()
    for episode in range(2):
        obs, _ = env.reset(seed=None if episode else 0)
        assert np.array_equal(obs, observation[0])
        assert not obs[:-channels].any()
        done = False
        while not done:
            obs, _, done, _, _ = env.step(ACTION)
            observation, _, dones, infos = theirs.step(ACTION[None])
            assert np.array_equal(obs, infos[0]["terminal_observation"] if dones[0] else observation[0])


def test_frame_stack_refuses_another_padding() -> None:
    with error_naming(ValueError, "FrameStack | padding_type | 'reset' | 'zero' | 'edge'"):
        FrameStack(Pictures((4, 5)), padding_type="edge")


def test_frame_stack_survives_a_caller_that_writes_into_what_it_got() -> None:
    env = FrameStack(Pictures((4, 5)), 2)
    obs, _ = env.reset(seed=0)
    first = obs[1].copy()
    obs[:] = 0
    assert np.array_equal(env.step(ACTION)[0][0], first)


@pytest.mark.parametrize(
    ("wrap", "named"),
    [
        (lambda: DiscretizeActions(gym.make("CartPole-v1")), "DiscretizeActions | Discrete(2)"),
        (lambda: DiscretizeActions(car_racing(continuous=False)), "DiscretizeActions | Discrete(5)"),
        (lambda: GrayscaleObservation(gym.make("CartPole-v1")), "GrayscaleObservation | uint8 | (4,)"),
        (lambda: GrayscaleObservation(Pictures((96, 96))), "GrayscaleObservation | (96, 96)"),
        (lambda: ResizeObservation(Pictures(dtype=np.int64)), "ResizeObservation | uint8 | int64"),
        (lambda: FrameStack(Pictures((96, 96, 2))), "FrameStack | (96, 96, 2)"),
        (lambda: CarRacingWrapper(gym.make("CartPole-v1")), "CarRacing"),
    ],
)  # fmt: skip
def test_an_environment_that_does_not_fit_is_refused(wrap: Callable[[], gym.Env], named: str) -> None:
    with error_naming(TypeError, named):
        wrap()


def test_car_racing_wrapper_hands_its_arguments_on() -> None:
    env: gym.Env = CarRacingWrapper(
        car_racing(), [[0, 1, 0]], 3, [40, 50], [0, 12, 0, 0], 2, fast_render=False
    )
    layers = {type(env).__name__: env}
    while isinstance(env, gym.Wrapper):
        env = env.env
        layers[type(env).__name__] = env
    assert layers["DiscretizeActions"].actions.tolist() == [[0, 1, 0]]
    assert layers["FrameSkip"].skip == 3
    assert layers["ResizeObservation"].observation_space.shape == (40, 50)
    assert layers["ResizeObservation"].spec.additional_wrappers[-1].kwargs["crop"] == [0, 12, 0, 0]
    assert layers["FrameStack"].num_frames == 2
    assert "FastRender" not in layers


def wrappers_of(env: gym.Env) -> Iterator[gym.Wrapper]:
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


def test_car_racing_wrapper_can_train_as_the_hyperparameters_do() -> None:
    path = Path(__file__).parent.parent.parent / "hyperparams" / "cardqn.yml"
    wrap = get_wrapper_class(yaml.safe_load(path.read_text())["CarRacing-v3"])
    assert wrap is not None
    _, *ours = wrappers_of(CarRacingWrapper(car_racing(), training=True))
    zoos = list(wrappers_of(wrap(car_racing())))
    assert [type(wrapper) for wrapper in ours] == [type(wrapper) for wrapper in zoos]
    training_only = [
        (mine, theirs) for mine, theirs in zip(ours, zoos, strict=True) if hasattr(mine, "training_only")
    ]
    assert len(training_only) == 7
    for mine, theirs in training_only:
        assert mine._saved_kwargs == theirs._saved_kwargs
    judged = [type(wrapper) for wrapper in wrappers_of(CarRacingWrapper(car_racing()))]
    assert not {type(mine) for mine, _ in training_only} & set(judged)


def test_car_racing_wrapper_is_the_composition() -> None:
    env = CarRacingWrapper(car_racing(), fast_render=False)
    obs, _ = env.reset(seed=2)
    plain = car_racing()
    frame, _ = plain.reset(seed=2)
    small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.array_equal(obs, np.stack([small] * 4))
    obs, reward, *_ = env.step(6)  # straight, full gas
    rewards = [plain.step(np.array([0.0, 1.0, 0.0])) for _ in range(4)]
    small = cv2.resize(
        cv2.cvtColor(rewards[-1][0], cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA
    )
    assert np.array_equal(obs[3], small)
    assert reward == sum(float(step[1]) for step in rewards)


def test_gymnasium_makes_all_of_it_by_an_id() -> None:
    by_id = gym.make("sb3_cardqn:CarRacingPixels-v3", frame_skip=2, training=True, max_episode_steps=20)
    by_hand = CarRacingWrapper(gym.make("CarRacing-v3", max_episode_steps=20), frame_skip=2, training=True)
    assert np.array_equal(by_id.reset(seed=4)[0], by_hand.reset(seed=4)[0])
    for action in (1, 4, 7):
        ours, theirs = by_id.step(action), by_hand.step(action)
        assert np.array_equal(ours[0], theirs[0])
        assert ours[1:4] == theirs[1:4]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasium_makes_several_by_the_id(mode: Any) -> None:
    with closing(gym.make_vec("sb3_cardqn:CarRacingPixels-v3", num_envs=2, vectorization_mode=mode)) as envs:
        several, _ = envs.reset(seed=4)
        assert envs.step(np.array([1, 4]))[1].shape == (2,)
    one = gym.make("sb3_cardqn:CarRacingPixels-v3")
    assert np.array_equal(several, [one.reset(seed=4)[0], one.reset(seed=5)[0]])


def test_the_id_takes_no_argument_that_neither_has() -> None:
    with pytest.raises(TypeError, match="frame_skp"):
        gym.make("sb3_cardqn:CarRacingPixels-v3", frame_skp=2)


def test_one_environment_may_be_wrapped_in_gray_twice() -> None:
    env = FastRender(gym.make("CarRacing-v3"))
    first, second = GrayscaleObservation(env), GrayscaleObservation(env, keep_dim=True)
    assert first.reset(seed=0)[0].shape == (96, 96)
    assert second.reset(seed=0)[0].shape == (96, 96, 1)


class Remembers(gym.wrappers.RecordEpisodeStatistics):
    """A subclass of a wrapper that looks at no picture, which looks at all."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.seen: list[np.ndarray] = []

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self.seen.append(result[0])
        return result


class RewardsWhatItSees(CarRacing):
    """Its step uses the picture."""

    def step(self, action: Any) -> Any:
        obs, reward, *rest = super().step(action)
        return obs, reward + obs.mean(), *rest


class Blurs(CarRacing):
    """Its picture depends on the one before."""

    before: Any = 0

    def _render(self, mode: str) -> Any:
        picture = super()._render(mode)
        if mode == "state_pixels" and picture is not None:
            picture, self.before = picture // 2 + self.before, picture // 2
        return picture


def test_frame_skip_draws_all_for_a_picture_that_depends_on_the_one_before() -> None:
    skipping, plain = FrameSkip(Blurs(), 4), Blurs()
    for one in (skipping, plain):
        one.reset(seed=0)
    action = np.array([0.3, 1, 0])
    *_, last = (plain.step(action)[0] for _ in range(4))
    np.testing.assert_array_equal(skipping.step(action)[0], last)


def test_an_environment_may_have_an_attribute_blind() -> None:
    class Poker(Pictures):
        blind = 5

    assert GrayscaleObservation(Poker((4, 4, 3))).observation_space.shape == (4, 4)


def test_frame_skip_draws_all_for_subclasses_that_may_look() -> None:
    env = FrameSkip(Remembers(gym.make("CarRacing-v3")), 4)
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.array([0.3, 1, 0]))
    assert all(not np.array_equal(a, b) for a, b in pairwise(env.env.seen))
    skipping, plain = FrameSkip(RewardsWhatItSees(), 4), RewardsWhatItSees()
    for one in (skipping, plain):
        one.reset(seed=0)
    action = np.array([0.3, 1, 0])
    assert skipping.step(action)[1] == sum(plain.step(action)[1] for _ in range(4))


@pytest.mark.parametrize("looks", [lambda env: ResizeObservation(env, 64), Remembers])
def test_gray_is_not_drawn_for_wrappers_inside_fast_render(looks: Any) -> None:
    env = GrayscaleObservation(FastRender(looks(gym.make("CarRacing-v3"))))
    obs, _ = env.reset(seed=0)
    assert not env.drawn
    assert (
        obs.shape
        == env.observation_space.shape
        == looks(gym.make("CarRacing-v3")).observation_space.shape[:2]
    )


def test_frame_skip_takes_any_rate_of_pictures() -> None:
    for rate, expected in ((None, None), (50, 25), (50.0, 25), (15, 7.5)):
        env = Pictures((4, 4, 3))
        env.metadata = {"render_fps": rate}
        halved = FrameSkip(env, 2).metadata["render_fps"]
        assert halved == expected
        assert type(halved) is type(expected)


def test_sizes_and_actions_may_be_arrays() -> None:
    env = gym.make("CarRacing-v3")
    assert ResizeObservation(env, np.array([8, 9])).observation_space.shape == (8, 9, 3)
    rows = [[0.0, 1.0, 0.0], [0.5, 0.0, 0.0]]
    spec = CarRacingWrapper(gym.make("CarRacing-v3"), actions=np.array(rows)).spec
    assert spec is not None
    assert json.dumps(rows) in spec.to_json()
    env = DiscretizeActions(gym.make("CarRacing-v3"), rows)
    assert env.action(True).tolist() == rows[1]


def test_the_limit_of_the_id_counts_agent_steps() -> None:
    env = gym.make("sb3_cardqn:CarRacingPixels-v3", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    assert env.spec is not None
    assert gym.spec("CarRacingPixels-v3").reward_threshold == 900


def test_what_only_films_changes_no_picture() -> None:
    for innermost in (Camera, Recorder):
        env = GrayscaleObservation(
            FrameSkip(FastRender(innermost(gym.make("CarRacing-v3", render_mode="rgb_array"))), 4)
        )
        assert env.drawn
        assert env.env._may_hold_drawing


@pytest.mark.slow
def test_the_zoos_time_limit_looks_at_nothing() -> None:
    """Gymnasium's class is another one after rl-zoo3 is imported."""
    code = (
        "from sb3_cardqn.env.car_racing import CarRacingWrapper\n"
        "import gymnasium as gym, rl_zoo3\n"
        "env = CarRacingWrapper(gym.make('CarRacing-v3'))\n"
        "print(env.get_wrapper_attr('drawn'), env.get_wrapper_attr('_may_hold_drawing'))\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "True"]
