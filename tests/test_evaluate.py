import re
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from stable_baselines3.common.env_util import make_vec_env

from sb3_cardqn import CarDQN, CarRacingCNN, CarRacingWrapper, seeds
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Drive, Run, drive, drive_at_random, make_env

WRAPPERS: list[Any] = [
    "sb3_cardqn.common.fast_render.FastRender",
    {"sb3_cardqn.common.wrappers.DiscretizeActions": {"actions": [[0, 1, 0], [0.5, 0, 0]]}},
    {"sb3_cardqn.common.wrappers.FrameSkip": {"skip": 4}},
    "sb3_cardqn.common.wrappers.GrayscaleObservation",
    {"sb3_cardqn.common.wrappers.ResizeObservation": {"shape": [64, 64]}},
    {"sb3_cardqn.common.wrappers.FrameStack": {"num_frames": 4}},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run folder as the zoo leaves it, of an agent that has learned nothing."""
    folder = tmp_path_factory.mktemp("logs") / "cardqn" / "CarRacing-v3_1"
    (folder / "CarRacing-v3").mkdir(parents=True)
    config = OrderedDict(buffer_size=1000, env_wrapper=WRAPPERS, n_envs=8)
    (folder / "CarRacing-v3" / "config.yml").write_text(yaml.dump(config))
    actions = [[0, 1, 0], [0.5, 0, 0]]
    env = make_vec_env("CarRacing-v3", wrapper_class=lambda env: CarRacingWrapper(env, actions))
    policy_kwargs = {"features_extractor_class": CarRacingCNN}
    CarDQN("CnnPolicy", env, buffer_size=1000, policy_kwargs=policy_kwargs, seed=0).save(
        folder / "CarRacing-v3.zip"
    )
    return Run(folder)


def test_ranges_of_tracks_never_meet() -> None:
    ranges = [seeds.TRAINING_SEEDS, seeds.VALIDATION_SEEDS, seeds.HELD_OUT_SEEDS]
    for earlier, later in pairwise(ranges):
        assert earlier.stop <= later.start


def test_stock_means_the_unmodified_picture(run: Run) -> None:
    stock, fast = make_env(run), make_env(run, stock=False)
    assert "FastRender" not in str(stock.envs[0])
    assert "FastRender" in str(fast.envs[0])
    reference = CarRacingWrapper(gym.make("CarRacing-v3"), [[0, 1, 0], [0.5, 0, 0]], fast_render=False)
    stock.seed(7)
    assert np.array_equal(stock.reset()[0], reference.reset(seed=7)[0])
    assert np.array_equal(stock.step(np.array([0]))[0][0], reference.step(0)[0])


def test_stock_is_stock_also_where_another_wrapper_brought_the_fast_picture(run: Run) -> None:
    path = run.config_folder / "config.yml"
    good = path.read_text()
    wrapper = {"sb3_cardqn.CarRacingWrapper": {"actions": [[0, 1, 0], [0.5, 0, 0]]}}
    path.write_text(yaml.dump(OrderedDict(buffer_size=1000, env_wrapper=wrapper)))
    env = make_env(run)
    path.write_text(good)
    reference = CarRacingWrapper(gym.make("CarRacing-v3"), [[0, 1, 0], [0.5, 0, 0]], fast_render=False)
    env.seed(7)
    assert np.array_equal(env.reset()[0], reference.reset(seed=7)[0])
    assert np.array_equal(env.step(np.array([0]))[0][0], reference.step(0)[0])


def test_a_drive_is_one_episode_of_the_environments_own_reward(run: Run) -> None:
    model = run.load_model()
    *steps, result = drive(model, make_env(run, stock=False), seed=200_000)
    assert set(steps) == {None}
    reference = CarRacingWrapper(gym.make("CarRacing-v3"), [[0, 1, 0], [0.5, 0, 0]])
    obs, _ = reference.reset(seed=200_000)
    score, ended = 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = reference.step(model.predict(obs, deterministic=True)[0])
        score, ended = score + float(reward), terminated or truncated
    assert isinstance(result, Drive)
    assert result.score == pytest.approx(score, abs=1e-4)  # the Monitor rounds to six digits
    assert len(steps) < result.frames <= 4 * (len(steps) + 1)
    assert result.lap_finished is False


def test_random_driving_is_repeatable_and_bad() -> None:
    result = drive_at_random("CarRacing-v3", 200_000)
    assert result == drive_at_random("CarRacing-v3", 200_000)
    assert -150 < result.score < 50
    assert result.frames <= 1000


def test_the_agent_that_did_best_on_validation_tracks_is_taken(run: Run, tmp_path: Path) -> None:
    assert run.model_path.name == "CarRacing-v3.zip"
    best = run.folder / "best_model.zip"
    best.write_bytes(run.model_path.read_bytes())
    assert run.model_path == best
    best.unlink()


def test_a_config_that_would_run_code_is_not_loaded(run: Run) -> None:
    path = run.config_folder / "config.yml"
    good = path.read_text()
    path.write_text("!!python/object/apply:os.system ['touch /tmp/never']")
    with pytest.raises(yaml.constructor.ConstructorError, match="could not determine a constructor"):
        _ = run.config
    path.write_text(good)


@pytest.mark.parametrize("name", ["absent", "cardqm/CarRacing-v3_1"])
def test_what_is_no_run_folder_is_refused(name: str, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / name / "CarRacing-v3"
    folder.mkdir(parents=True)
    if "cardqm" in name:
        (folder / "config.yml").touch()
    with pytest.raises(UserError, match=re.escape(f"'{tmp_path / name}' is no run folder")):
        Run(tmp_path / name)


def test_a_run_without_an_agent_says_so(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cardqn" / "CarRacing-v3_9"
    (folder / "CarRacing-v3").mkdir(parents=True)
    (folder / "CarRacing-v3" / "config.yml").touch()
    with pytest.raises(UserError, match=r"has no agent yet: neither best_model.zip nor CarRacing-v3.zip"):
        _ = Run(folder).model_path
