import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections import OrderedDict
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import psutil
import pytest
import torch as th
import yaml
from sb3_contrib import ARS, RecurrentPPO
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn import CarDQN, CarRacingCNN, CarRacingWrapper, QuantileHead, seeds, trust
from sb3_cardqn.agents.find import default_agent
from sb3_cardqn.agents.saved import load_to_drive
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.wrappers import FrameSkip, GrayscaleObservation, ResizeObservation
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import (
    Agent,
    Drive,
    Evaluation,
    Run,
    drive,
    drive_at_random,
    evaluate,
    find_agents,
    make_env,
    table,
)
from sb3_cardqn.evaluate.command import main
from tests.devices import DEVICES
from tests.named import error_naming

WRAPPERS: list[Any] = [
    "sb3_cardqn.FastRender",
    {"sb3_cardqn.DiscretizeActions": {"actions": [[0, 1, 0], [0.5, 0, 0]]}},
    {"sb3_cardqn.FrameSkip": {"skip": 4}},
    "sb3_cardqn.GrayscaleObservation",
    {"sb3_cardqn.ResizeObservation": {"shape": [64, 64]}},
    {"sb3_cardqn.FrameStack": {"num_frames": 4}},
]


# a continuous agent that sees 8x8 grey pixels
SMALL: list[Any] = [
    "sb3_cardqn.FastRender",
    {"sb3_cardqn.FrameSkip": {"skip": 3}},
    "sb3_cardqn.GrayscaleObservation",
    {"sb3_cardqn.ResizeObservation": {"shape": [8, 8]}},
]
SHORT = {"max_episode_steps": 30}  # frames


def small_env(**kwargs: Any) -> gym.Env:
    env = FrameSkip(FastRender(gym.make("CarRacing-v3", **kwargs)), 3)
    return ResizeObservation(GrayscaleObservation(env), [8, 8])


def save(folder: Path, algo: str, model: BaseAlgorithm, env: str = "CarRacing-v3", **config: Any) -> Run:
    """Leave a run folder behind as the zoo does."""
    run = folder / algo / f"{env}_1"
    (run / env).mkdir(parents=True)
    (run / env / "config.yml").write_text(yaml.dump(OrderedDict(config)))
    model.save(run / f"{env}.zip")
    trust.remember(run / f"{env}.zip")
    return Run(run)


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run folder as the zoo leaves it, of an agent that has learned nothing on a device."""
    device = getattr(request, "param", "cpu")
    actions = [[0, 1, 0], [0.5, 0, 0]]
    env = make_vec_env("CarRacing-v3", wrapper_class=lambda env: CarRacingWrapper(env, actions))
    policy_kwargs = {"features_extractor_class": CarRacingCNN}
    model = CarDQN("CnnPolicy", env, buffer_size=1000, policy_kwargs=policy_kwargs, seed=0, device=device)
    return save(tmp_path_factory.mktemp("logs"), "cardqn", model, buffer_size=1000, env_wrapper=WRAPPERS)


def test_ranges_of_tracks_never_meet() -> None:
    ranges = [seeds.TRAINING_SEEDS, seeds.VALIDATION_SEEDS, seeds.HELD_OUT_SEEDS, seeds.FINAL_SEEDS]
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


def test_a_class_that_params_named_does_not_keep_an_agent_from_driving(run: Run) -> None:
    path = run.config_folder / "config.yml"
    good = path.read_text()
    config = {
        "buffer_size": 1000,
        "env_wrapper": WRAPPERS,
        "policy_kwargs": {
            "head_class": QuantileHead,
            "features_extractor_class": CarRacingCNN,
        },
    }
    path.write_text(yaml.dump(OrderedDict(config)))
    env = make_env(run)
    path.write_text(good)
    assert env.observation_space.shape == (4, 64, 64)


@pytest.mark.slow
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


@pytest.mark.slow
def test_random_driving_is_repeatable_and_bad(run: Run) -> None:
    result = drive_at_random(run.agent(), 200_000)
    assert result == drive_at_random(run.agent(), 200_000)
    assert -150 < result.score < 50
    assert result.frames <= 1000
    # colours are drawn before the track, so it is another one
    assert drive_at_random(run.agent(), 200_000, domain_randomize=True) != result


def test_seeds_may_be_numpys(run: Run) -> None:
    ours, plain = (
        evaluate(run, tracks, n_processes=1, env_kwargs=SHORT)[0].drives
        for tracks in (np.arange(200_000, 200_002), [200_000, 200_001])
    )
    assert ours.equals(plain)


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
    with error_naming(UserError, "config.yml"):
        _ = run.config
    path.write_text(good)


@pytest.mark.parametrize("name", ["absent", "cardqm/CarRacing-v3_1"])
def test_what_is_no_run_folder_is_refused(name: str, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / name / "CarRacing-v3"
    folder.mkdir(parents=True)
    if "cardqm" in name:
        (folder / "config.yml").touch()
    with error_naming(UserError, f"'{tmp_path / name}'"):
        Run(tmp_path / name)


def test_a_run_without_an_agent_says_so(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cardqn" / "CarRacing-v3_9"
    (folder / "CarRacing-v3").mkdir(parents=True)
    (folder / "CarRacing-v3" / "config.yml").touch()
    with error_naming(UserError, f"{folder} | best_model.zip | CarRacing-v3.zip"):
        _ = Run(folder).model_path


@pytest.mark.slow
def test_driving_processes_end_with_the_one_that_started_them(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""
from sb3_cardqn.evaluate import evaluate
if __name__ == "__main__":
    evaluate({str(run.folder)!r}, range(200_000, 210_000), n_processes=2)
"""
    )
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    parent = psutil.Process(process.pid)
    while len(drivers := [child for child in parent.children() if child.cpu_times().user > 3]) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(drivers, timeout=3600)
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize("run", DEVICES, indirect=True)
def test_an_evaluation_is_the_drives_whatever_the_number_of_processes(run: Run) -> None:
    agents = [run, f"again={run.folder}"]
    alone = evaluate(agents, range(200_000, 200_003), n_processes=1, env_kwargs=SHORT)
    together = evaluate(agents, range(200_000, 200_003), n_processes=2, env_kwargs=SHORT)
    assert [one.name for one in alone] == ["cardqn/CarRacing-v3_1", "again"]
    for one, other in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(one.drives, other.drives)
    expected = [[*drive(run.load_model(), make_env(run, **SHORT), track)][-1] for track in (200_000, 200_001)]
    rows = alone[0].drives[:2].to_dict("records")
    assert [Drive(row.pop("track"), **row) for row in rows] == expected
    assert list(table(together).index) == ["cardqn/CarRacing-v3_1", "again"]
    assert together[0].seconds_per_decision > 0


@pytest.mark.slow
def test_episodes_side_by_side_are_those_driven_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # the third track begins where another ended
    monkeypatch.setattr("sb3_cardqn.evaluate.evaluation.SIDE_BY_SIDE", 2)
    tracks = range(200_000, 200_003)
    together = evaluate(run, tracks, stock=False, n_processes=1, env_kwargs=SHORT)[0]
    env = make_env(run, stock=False, **SHORT)
    alone = [[*drive(run.load_model(), env, track)][-1] for track in tracks]
    assert [Drive(row.pop("track"), **row) for row in together.drives.to_dict("records")] == alone


def test_summary_of_scores_worked_by_hand() -> None:
    drives = pd.DataFrame(
        {
            "track": range(200_000, 200_005),
            "score": [100.0, 800.0, 900.0, 850.0, 950.0],
            "frames": [1000, 1000, 700, 1000, 800],
            "lap_finished": [False, False, True, False, True],
            "missed_tiles": [200, 21, 0, 20, 0],
        }
    )
    agent: Any = SimpleNamespace(env_id="CarRacing-v3")
    summary = Evaluation(agent, drives, 0.002).summary()
    low, high = summary.pop("low"), summary.pop("high")
    assert summary == {
        "mean": 720.0,
        "std": pytest.approx(np.sqrt((620**2 + 80**2 + 180**2 + 130**2 + 230**2) / 5)),
        "median": 850.0,
        "p10": 380.0,  # four tenths of the way from 100 to 800
        "minimum": 100.0,
        "share_solved": 0.4,
        "frames": 900.0,
        "share_laps": 0.4,
        "frames_per_lap": 750.0,
        "lost": 2.0,
        "lost_low": pytest.approx(0.052745, abs=1e-6),  # 2 of 5, Clopper and Pearson
        "lost_high": pytest.approx(0.853367, abs=1e-6),
        "seconds_per_decision": 0.002,
    }
    # means of five draws: the lowest possible is 100, and one in about thirty has three or more of the 100
    assert 380 <= low < 500
    assert 880 < high <= 930
    assert Evaluation(agent, drives, 0.002).summary()["low"] == low


def test_one_unfinished_drive_has_no_interval_and_no_lap() -> None:
    drives = pd.DataFrame(
        {
            "track": [200_000],
            "score": [5.0],
            "frames": [1000],
            "lap_finished": [False],
            "missed_tiles": [250],
        }
    )
    agent: Any = SimpleNamespace(env_id="CarRacing-v3")
    summary = Evaluation(agent, drives, 0.002).summary()
    assert [name for name, value in summary.items() if np.isnan(value)] == ["low", "high", "frames_per_lap"]


class Recorder:
    """Notes what an agent does, and in which state it was."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.actions: list[Any] = []
        self.states: list[Any] = []

    def predict(self, obs: Any, **kwargs: Any) -> Any:
        self.states.append(kwargs["state"])
        action, state = self.model.predict(obs, **kwargs)
        self.actions.append(action[0])
        return action, state


def test_a_recurrent_agent_remembers_within_a_track_only(tmp_path: Path) -> None:
    env = make_vec_env(small_env)
    model = RecurrentPPO(
        "MlpLstmPolicy", env, n_steps=8, policy_kwargs={"lstm_hidden_size": 8, "net_arch": []}, seed=0
    )
    run = save(tmp_path, "ppo_lstm", model, env_wrapper=SMALL, policy="MlpLstmPolicy")
    driver = Recorder(run.load_model())
    with_memory, without = [], []
    for track in (200_000, 200_001):
        assert [*drive(driver, make_env(run, stock=False, **SHORT), track)][-1].frames == 30
        obs, _ = (reference := small_env(**SHORT)).reset(seed=track)
        state, start, ended = None, True, False
        while not ended:
            without.append(model.predict(obs, deterministic=True)[0])
            action, state = model.predict(obs, state, np.array([start]), deterministic=True)
            with_memory.append(action)
            obs, _, terminated, truncated, _ = reference.step(action)
            start, ended = False, terminated or truncated
    assert np.allclose(driver.actions, with_memory, atol=1e-6)
    assert not np.allclose(driver.actions, without, atol=1e-6)
    assert [i for i, state in enumerate(driver.states) if state is None] == [0, 10]
    assert evaluate(run, [200_000], n_processes=1, env_kwargs=SHORT)[0].drives["frames"].to_list() == [30]


def test_normalized_observations_and_continuous_actions(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env(small_env))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, seed=0).learn(32)
    run = save(tmp_path, "ppo", model, env_wrapper=SMALL, normalize=True)
    with error_naming(UserError, "vecnormalize.pkl"):
        make_env(run)
    env.save(str(run.config_folder / "vecnormalize.pkl"))
    trust.remember(run.config_folder / "vecnormalize.pkl")
    made = make_env(run, stock=False)
    made.seed(200_000)
    raw = small_env().reset(seed=200_000)[0]
    assert np.allclose(made.reset()[0], env.normalize_obs(raw), atol=1e-6)
    drives = evaluate(run, [200_000], n_processes=1, env_kwargs=SHORT)[0].drives
    assert drives["frames"].to_list() == [30]
    # the best agent has statistics of its own
    final = made.obs_rms.mean
    env.obs_rms.mean = final + 1
    env.save(str(run.config_folder / "best_vecnormalize.pkl"))
    trust.remember(run.config_folder / "best_vecnormalize.pkl")
    shutil.copy(run.folder / "CarRacing-v3.zip", run.folder / "best_model.zip")
    for checkpoint, mean in (("best", final + 1), ("final", final)):
        assert np.array_equal(make_env(run.agent(checkpoint), stock=False).obs_rms.mean, mean)


def test_normalized_rewards_need_no_statistics(run: Run) -> None:
    env = make_env(run.config | {"normalize": "{'norm_obs': False, 'norm_reward': True}"})
    assert env.reset().dtype == np.uint8


def test_an_algorithm_without_gradients_drives_too(tmp_path: Path) -> None:
    model = ARS("LinearPolicy", make_vec_env(small_env), n_delta=1, seed=0)
    run = save(tmp_path, "ars", model, env_wrapper=SMALL)
    (evaluation,) = evaluate(run, [200_000], n_processes=1, stock=False, env_kwargs=SHORT)
    obs, _ = (reference := small_env(**SHORT)).reset(seed=200_000)
    score, ended = 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = reference.step(model.predict(obs, deterministic=True)[0])
        score, ended = score + float(reward), terminated or truncated
    assert evaluation.drives["score"].to_list() == pytest.approx([score], abs=1e-4)


def test_the_race_is_the_unmodified_one_whatever_the_training_had(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "dqn" / "CarRacing-v3_1"
    shutil.copytree(run.folder, folder)
    config = OrderedDict(env_wrapper=None, env_kwargs={"domain_randomize": True})
    (folder / "CarRacing-v3" / "config.yml").write_text(yaml.dump(config))
    # --env-kwargs of the command line is kept here only
    (folder / "CarRacing-v3" / "args.yml").write_text(yaml.dump({"env_kwargs": {"continuous": False}}))
    assert Run(folder).config["env_kwargs"] == {"domain_randomize": True, "continuous": False}
    env = make_env(Run(folder))
    assert env.action_space == gym.spaces.Discrete(5)
    assert env.get_attr("domain_randomize") == [False]
    assert make_env(Run(folder), domain_randomize=True).get_attr("domain_randomize") == [True]


def test_best_and_final_checkpoint_are_told_apart(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cardqn" / "CarRacing-v3_1"
    shutil.copytree(run.folder, folder)
    assert Run(folder).agent("best").model_path.name == "CarRacing-v3.zip"  # none was validated
    (folder / "CarRacing-v3.zip").rename(folder / "best_model.zip")
    with error_naming(UserError, f"{folder} | CarRacing-v3.zip"):
        find_agents(folder, "final")
    shutil.copy(folder / "best_model.zip", folder / "CarRacing-v3.zip")
    mistyped: Any = "Best"
    with error_naming(UserError, "checkpoint | 'best' | 'final' | 'Best'"):
        find_agents(folder, mistyped)
    (best,), (final,) = find_agents(folder, "best"), find_agents(folder, "final")
    assert (best.model_path.name, final.model_path.name) == ("best_model.zip", "CarRacing-v3.zip")


def test_agents_are_found_by_folder_zip_and_name(run: Run, tmp_path: Path) -> None:
    zip_file = run.folder / "CarRacing-v3.zip"
    elsewhere = tmp_path / "bought.zip"
    shutil.copy(zip_file, elsewhere)
    hyperparams = tmp_path / "cardqn.yml"
    hyperparams.write_text(yaml.dump({"CarRacing-v3": {"env_wrapper": WRAPPERS}, "default": {}}))
    agents = find_agents(
        [str(run.folder), zip_file, f"ours={zip_file}", elsewhere], config=hyperparams, algo="cardqn"
    )
    assert [agent.name for agent in agents] == [
        "cardqn/CarRacing-v3_1", "cardqn/CarRacing-v3_1/CarRacing-v3", "ours", "bought",
    ]  # fmt: skip
    compared = tmp_path / "double_q=True" / "cardqn" / "CarRacing-v3_1"  # as compare names its folders
    shutil.copytree(run.folder, compared)
    (named,) = find_agents(f"lr=1={compared}")
    assert (named.name, named.model_path.parent) == ("lr=1", compared)
    with error_naming(UserError, "'absent=1/CarRacing-v3_1'"):
        find_agents("a=absent=1/CarRacing-v3_1")
    assert agents[3].config["env_wrapper"] == agents[0].config["env_wrapper"]
    (evaluation,) = evaluate(agents[3], [200_000], n_processes=1, env_kwargs=SHORT)
    assert len(evaluation.drives) == 1
    twice = [str(zip_file), f"{zip_file} (2)"]
    assert [agent.name for agent in find_agents([run, run])] == twice
    assert [agent.name for agent in find_agents([f"a={compared}", f"a={compared}"])] != ["a", "a"]


def test_a_configuration_that_is_given_is_used_or_refused(run: Run, tmp_path: Path) -> None:
    zip_file, hyperparams = run.folder / "CarRacing-v3.zip", tmp_path / "mine.yml"
    hyperparams.write_text(yaml.dump({"env_wrapper": WRAPPERS[:-1]}))
    (agent,) = find_agents(zip_file, config=hyperparams)
    assert agent.config["env_wrapper"] == WRAPPERS[:-1]
    assert isinstance(agent, Agent)
    assert (agent.algo, agent.name) == ("cardqn", "cardqn/CarRacing-v3_1/CarRacing-v3")
    (other,) = find_agents(zip_file, algo="dqn")
    assert (other.algo, other.config_path) == ("dqn", run.config_path)
    for given in ({"config": hyperparams}, {"algo": "dqn"}):
        for agents in (run.folder, run, "cardqn", [f"mine={run.folder}", "cardqn"]):
            with error_naming(UserError, f"--{next(iter(given))} {next(iter(given.values()))}"):
                find_agents(agents, **given)


def test_the_environment_of_a_zip_in_a_run_folder_is_the_runs(run: Run) -> None:
    zip_file = run.folder / "CarRacing-v3.zip"
    with error_naming(UserError, "--env | CartPole-v1 | CarRacing-v3"):
        main([str(zip_file), "--env", "CartPole-v1"])
    assert find_agents(zip_file, env="CarRacing-v3") == find_agents(zip_file)


def test_what_can_not_be_evaluated_is_named(run: Run, tmp_path: Path) -> None:
    typo = run.folder.with_name("CarRacing-v3_l")
    with error_naming(UserError, f"'{typo}' | '{run.folder}'"):
        evaluate(typo)
    (text := tmp_path / "agent.zip").write_text("no zip")
    with error_naming(UserError, f"'{text}'"):
        evaluate(text)
    with error_naming(UserError, f"'{text}'"):
        Agent(text, "cardqn", run.config_path, "agent")
    with error_naming(UserError, "'cardqm' | 'cardqn'"):
        Agent(text, "cardqm", run.config_path, "agent")
    with error_naming(UserError, "'absent.zip'"):
        Agent(Path("absent.zip"), "cardqn", run.config_path, "agent")
    with error_naming(UserError, f"'{run.model_path}' | ppo"):
        Agent(run.model_path, "ppo", run.config_path, "agent").load_model()
    for wrong, named in (
        ({"tracks": []}, "track"),
        ({"tracks": [200_000, 7]}, "200000 | 200099 | 7"),
        ({"tracks": [400_000]}, "400000 | --final"),
        ({"n_processes": 0}, "n_processes | 0"),
        ({"agents": []}, "agent"),
    ):
        with error_naming(UserError, named):
            evaluate(**{"agents": run} | wrong)


def test_final_tracks_are_driven_when_told(run: Run, tmp_path: Path) -> None:
    csv = tmp_path / "final.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_cardqn.evaluate.command.judged_kwargs", lambda options: SHORT)
        main([str(run.folder), "--final", "--tracks", "1", "--fast", "--processes", "1", "--csv", str(csv)])
    assert pd.read_csv(csv)["track"].tolist() == [400_000]


def test_missed_tiles_are_those_not_visited(run: Run) -> None:
    reference: Any = CarRacingWrapper(gym.make("CarRacing-v3", **SHORT), [[0, 1, 0], [0.5, 0, 0]])
    obs, model, ended = reference.reset(seed=200_000)[0], run.load_model(), False
    while not ended:
        obs, _, terminated, truncated, _ = reference.step(model.predict(obs, deterministic=True)[0])
        ended = terminated or truncated
    tiles = reference.unwrapped.road
    *_, result = drive(model, make_env(run, stock=False, **SHORT), 200_000)
    assert result is not None
    assert result.missed_tiles == len(tiles) - sum(tile.road_visited for tile in tiles)


def test_an_agent_that_is_trained_again_is_loaded_again(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cardqn" / "CarRacing-v3_1"
    shutil.copytree(run.folder, folder)
    model, scores = run.load_model(), []
    head = model.q_net.q_net[-1]
    for bias in ([100.0, 0.0], [0.0, 100.0]):  # straight on, or turning on the spot
        with th.no_grad():
            head.bias.copy_(th.tensor(bias))
        model.save(folder / "CarRacing-v3.zip")
        trust.remember(folder / "CarRacing-v3.zip")
        drives = evaluate(folder, [200_000], n_processes=1, env_kwargs=SHORT, stock=False)[0].drives
        scores.append(drives["score"][0])
    assert scores[0] != scores[1]


def test_an_agent_that_does_not_fit_its_environment_is_refused(run: Run, tmp_path: Path) -> None:
    (config := tmp_path / "config.yml").write_text(yaml.dump({"env_wrapper": WRAPPERS[:-1]}))
    agent = Agent(run.model_path, "cardqn", config, "unstacked")
    with error_naming(UserError, f"'{run.model_path}' | (4, 64, 64) | (64, 64)"):
        evaluate(agent, [200_000])


@pytest.mark.parametrize("others", [1, 2])
def test_a_zip_beside_folders_that_are_no_runs(others: int, run: Run, tmp_path: Path) -> None:
    for i in range(others):
        (tmp_path / f"other{i}").mkdir()
        (tmp_path / f"other{i}/config.yml").write_text("not: a run")
    shutil.copy(run.model_path, tmp_path / "agent.zip")
    (agent,) = find_agents(tmp_path / "agent.zip", config=run.config_path, algo="cardqn")
    assert agent.config_path == run.config_path


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("config.yml", "CarRacing-v3: [1]", "config.yml | CarRacing-v3 | [1]"),
        ("config.yml", "env_kwargs: [1]", "config.yml | env_kwargs | [1]"),
        ("args.yml", "env_kwargs: [1]", "args.yml | env_kwargs | [1]"),
    ],
)
def test_a_configuration_of_another_shape_is_named(
    file: str, text: str, named: str, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(run.config_folder, tmp_path / "CarRacing-v3")
    (tmp_path / "CarRacing-v3" / file).write_text(text)
    agent = Agent(run.model_path, "cardqn", tmp_path / "CarRacing-v3/config.yml", "spoilt")
    with error_naming(UserError, named):
        _ = agent.config


def test_the_command_prints_and_writes(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_file, csv_file = tmp_path / "e.json", tmp_path / "e.csv"
    main(
        [
            f"mine={run.folder}",
            "--tracks",
            "1",
            "--first",
            "300000",
            "--fast",
            "--processes",
            "1",
            f"--json={json_file}",
            f"--csv={csv_file}",
        ]
    )
    header, row, tracks = capsys.readouterr().out.splitlines()
    assert " ".join(header.split()) == "score >= 900 laps lost frames/lap ms/decision"
    assert "nan" not in row
    rows = pd.read_csv(csv_file)
    assert list(rows.columns) == ["agent", "track", "score", "frames", "lap_finished", "missed_tiles"]
    assert rows["missed_tiles"].between(200, 400).all()  # it has learned nothing
    score = rows["score"][0]
    assert row.split()[:2] == ["mine", f"{score:.1f}"]
    assert tracks == f"1 track of CarRacing, 300000 to 300000, Gymnasium {gym.__version__}"
    written = yaml.safe_load(json_file.read_text())  # JSON is YAML; a NaN is neither
    assert written["command"].startswith(f"sb3-cardqn evaluate mine={run.folder} --tracks 1")
    assert written["machine"]["Gymnasium"] == gym.__version__
    assert written["tracks"] == [300_000]
    (agent,) = written["agents"]
    assert agent["drives"] == rows.drop(columns="agent").to_dict("records")
    assert agent["summary"]["low"] is None


def printed(capsys: pytest.CaptureFixture[str], env_id: str, scores: list[float], length: float) -> list[str]:
    """Header and row of what the command prints of made-up episodes, in words."""
    agent: Any = SimpleNamespace(env_id=env_id, name="mine", config={})
    count = len(scores)
    drives = pd.DataFrame({"track": range(200_000, 200_000 + count), "score": scores, "frames": length})
    if env_id.startswith("CarRacing"):
        drives = drives.assign(lap_finished=False, missed_tiles=250)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_cardqn.evaluate.command.chosen_agents", lambda *_: [agent])
        patch.setattr(
            "sb3_cardqn.evaluate.command.evaluate", lambda *_, **__: [Evaluation(agent, drives, 0.001)]
        )
        main(["mine", "--episodes", str(count)])
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[:2]]


def test_scores_have_as_many_digits_as_their_size_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    header, row = printed(capsys, "FrozenLake-v1", [0.0, 1.0, 1.0, 1.0], 8.5)
    assert header == "mean 95 % interval std median P10 min >= 0.7 steps ms/decision"
    assert row == "mine 0.75 0.25 to 1.00 0.43 1.00 0.30 0.00 75% 8.50 1.00"
    _, row = printed(capsys, "CarRacing-v3", [926.44, -61.2, 3.0], 1000)
    assert row == "mine 289.4 -61.2 to 926.4 451.2 3.0 -48.4 -61.2 33% 0.0% 3 (29.2% to 100.0%) none 1.00"


def test_one_episode_has_a_score_without_an_interval(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "Pendulum-v1", [-0.125], 200) == [
        "score steps ms/decision",
        "mine -0.125 200 1.00",
    ]


def test_agents_of_different_arguments_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = DQN("MlpPolicy", "MountainCar-v0", buffer_size=10, policy_kwargs={"net_arch": [8]})
    runs: list[str] = []
    for kwargs in ({}, {"goal_velocity": 0.01}):
        folder = tmp_path / str(len(runs))
        runs.append(str(save(folder, "dqn", model, env="MountainCar-v0", env_kwargs=kwargs).folder))
    main([*runs, "--episodes", "2"])
    header, *rows, _ = capsys.readouterr().out.splitlines()
    assert header.endswith("env_kwargs")
    assert [row.split("  ")[-1].strip() for row in rows] == ["{}", "{'goal_velocity': 0.01}"]
    main([runs[1], "--episodes", "2"])
    assert "env_kwargs" not in capsys.readouterr().out


def test_an_environment_without_laps_has_episodes_and_no_laps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=10, policy_kwargs={"net_arch": [8]})
    run = save(tmp_path, "dqn", model, env="CartPole-v1", buffer_size=10)
    (evaluation,) = evaluate(run, [200_000, 200_001], n_processes=1, progress=True)
    assert list(evaluation.drives) == ["track", "score", "frames"]
    assert np.isnan([evaluation.summary()[name] for name in ("share_laps", "frames_per_lap", "lost")]).all()
    bar = capsys.readouterr().err
    assert "episodes: 100%" in bar
    assert "driving" not in bar
    at_random = drive_at_random(run.agent("final"), 200_000)
    assert (at_random.lap_finished, at_random.missed_tiles) == (None, None)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ("--episodes 101", "--episodes | 100 | 101"),
        ("--episodes=0", "--episodes | 100 | 0"),
        ("--tracks 0", "--tracks | 100 | 0"),
        ("--tracks 101", "--tracks | 100 | 101"),
        ("--validation --tracks 1001", "--tracks | 1000 | 1001"),
        ("--json absent/e.json", "'absent/e.json'"),
        ("--csv .", "'.'"),
        ("--csv a.txt --json ./a.txt", "--json | --csv | 'a.txt'"),
        ("--csv a.txt --json absent/../a.txt", "--json | --csv | 'a.txt'"),
    ],
)
def test_wrong_use(argv: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with error_naming(UserError, named):
        main(argv.split())
    assert not list(tmp_path.iterdir())


def test_an_agent_that_learned_from_a_her_buffer_drives(tmp_path: Path) -> None:
    env = BitFlippingEnv(n_bits=3)
    model = DQN("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, buffer_size=100)
    with trust.remembering():
        model.save(tmp_path / "her")
    loaded = load_to_drive(tmp_path / "her.zip", "dqn")
    obs, _ = env.reset()
    assert loaded.predict(obs, deterministic=True)[0] == model.predict(obs, deterministic=True)[0]


def test_an_episode_that_a_wrapper_cuts_outside_its_monitor_is_an_error_and_no_endless_drive() -> None:
    class Goes:
        def predict(self, observations: Any, **kwargs: Any) -> Any:
            return np.ones(1, int), None

    cut = make_vec_env("CartPole-v1", 1, wrapper_class=partial(gym.wrappers.TimeLimit, max_episode_steps=3))
    with error_naming(UserError, "TimeLimit | max_episode_steps"):
        list(drive(Goes(), cut, 0))


def test_a_frame_stack_that_is_switched_off(run: Run) -> None:
    env = make_env({"env_wrapper": WRAPPERS, "frame_stack": None})
    assert env.observation_space == make_env(run).observation_space


def test_scores_that_are_no_numbers_are_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    drives = pd.DataFrame({"track": [200_000, 200_001], "score": [math.inf, math.nan], "frames": 10})
    agent: Any = SimpleNamespace(
        env_id="CartPole-v1", name="mine", config={}, algo="dqn", model_path=".", config_path="."
    )
    monkeypatch.setattr("sb3_cardqn.evaluate.command.chosen_agents", lambda *_: [agent])
    monkeypatch.setattr(
        "sb3_cardqn.evaluate.command.evaluate", lambda *_, **__: [Evaluation(agent, drives, 0.001)]
    )
    main(["mine", "--episodes", "2", "--json", "e.json", "--csv", "e.csv"])
    written = json.loads(Path("e.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert [drive["score"] for drive in written["agents"][0]["drives"]] == [None, None]
    assert len(pd.read_csv("e.csv")) == 2


def test_the_newest_run_is_that_of_an_algorithm(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, "logs/cardqn/CarRacing-v3_1")
    shutil.copytree(run.folder, "logs/cardqn_old/CarRacing-v3_2")
    os.utime("logs/cardqn_old/CarRacing-v3_2/CarRacing-v3/config.yml")
    assert default_agent().folder == Path("logs/cardqn/CarRacing-v3_1")
