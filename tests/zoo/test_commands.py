import argparse
import contextlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import optuna
import pytest
import rl_zoo3.train
import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3.utils import StoreDict
from stable_baselines3.common import base_class, off_policy_algorithm
from stable_baselines3.common.monitor import load_results
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_cardqn import CarDQN, DuelingHead, FrameSkip, load_policy, trust
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo import commands as zoo
from sb3_cardqn.zoo import configuration, experiment
from sb3_cardqn.zoo.files import pushed_run
from sb3_cardqn.zoo.settings import names_for_the_zoo, parse_settings, run_python
from sb3_cardqn.zoo.validation import ValidationTracks
from tests.command_line import ROOT, run_well, sb3_cardqn
from tests.named import error_naming, missing

HYPERPARAMS = ROOT / "hyperparams"
SHORT = (
    "-n 600 --eval-freq 300 --eval-episodes 2 --seed 3 -params learning_starts:400 buffer_size:2000 n_envs:2"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which cardqn has been trained for a moment, through the zoo."""
    folder = tmp_path_factory.mktemp("trained")
    quoted = "exploration_decay:'linear'"
    result = sb3_cardqn(
        folder, f"train --algo cardqn --env CarRacing-v3 -P -tb tb --save-freq 300 {SHORT} {quoted}"
    )
    assert result.returncode == 0, result.stderr
    assert "Using cpu device" in result.stdout
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("typed", ["--algo dqn -n 300", "-n 300 --algo dqn", "--algo cardqn --seed 1"])
def test_the_environment_is_car_racing_wherever_the_algorithm_stands(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    train = rl_zoo3.train.train

    def record() -> None:
        told.append(sys.argv)
        if "--help" in sys.argv:
            train()

    monkeypatch.setattr(rl_zoo3.train, "train", record)
    monkeypatch.setattr(zoo, "_training", lambda manager: contextlib.nullcontext())
    zoo.run("train", typed.split())
    words = told[-1]
    assert words[words.index("--env") + 1] == "CarRacing-v3"


@pytest.mark.slow
def test_train_leaves_what_the_zoo_leaves(trained: Path) -> None:
    run = trained / "logs/cardqn/CarRacing-v3_1"
    for name in ("CarRacing-v3.zip", "best_model.zip", "rl_model_600_steps.zip", "CarRacing-v3/args.yml"):
        assert (run / name).is_file(), name
    assert np.load(run / "evaluations.npz")["timesteps"].tolist() == [300, 600]
    model = CarDQN.load(run / "CarRacing-v3.zip")
    assert (model.num_timesteps, model.learning_starts, model.n_steps) == (600, 400, 3)
    assert model.observation_space.shape == (4, 64, 48)
    assert 100 < load_results(str(run))["l"].max() <= 1000  # the Monitor counts frames
    assert list((trained / "tb").rglob("events.out.tfevents*"))
    command = shlex.split((run / "CarRacing-v3/command.txt").read_text())
    assert command[-2:] == ["n_envs:2", "exploration_decay:'linear'"]


@pytest.mark.slow
def test_enjoy_finds_the_newest_agent(folder: Path) -> None:
    output = run_well(folder, "enjoy --no-render -n 300")
    assert "logs/cardqn/CarRacing-v3_1/CarRacing-v3.zip" in output
    assert "Episode Reward" in output


@pytest.mark.slow
def test_what_params_say_is_played_too(tmp_path: Path) -> None:
    agent = "--algo dqn --env FrozenLake-v1"
    run_well(
        tmp_path,
        f"train {agent} -n 150 --eval-freq -1 -params env_kwargs:dict(map_name='8x8') frame_stack:None "
        "replay_buffer_class:stable_baselines3.common.buffers.ReplayBuffer",
    )
    for command in ("enjoy --no-render", "record_video"):
        run_well(tmp_path, f"{command} {agent} -n 5")
    assert list((tmp_path / "logs/dqn/FrozenLake-v1_1/videos").glob("*.mp4"))


@pytest.mark.slow
def test_record_video(folder: Path) -> None:
    run_well(folder, "record_video --algo cardqn --env CarRacing-v3 -n 20 --load-best")
    (video,) = (folder / "logs/cardqn/CarRacing-v3_1/videos").glob("*.mp4")
    assert video.stat().st_size > 1000


@pytest.mark.slow
def test_plots(folder: Path) -> None:
    run_well(folder, "plot_train -a cardqn -e CarRacing-v3 -f logs -w 1")
    run_well(folder, "all_plots -a cardqn -e CarRacing-v3 -f logs -o plots --no-display")
    assert "CarRacing-v3" in run_well(folder, "plot_from_file -i plots.pkl -o plots.svg")


# Stands in for the Hugging Face hub, of which only a folder is left: the zoo's and its glue's code runs for real.
FAKE_HUB = """
import shutil, sys
from pathlib import Path
from typing import Any
import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError

hub = Path("hub_server")

def download(repo_id, filename, **kwargs):
    if not (hub / repo_id / filename).is_file():
        raise EntryNotFoundError(filename)
    return str(hub / repo_id / filename)

def upload(self, repo_id, folder_path, **kwargs):
    shutil.copytree(folder_path, hub / repo_id)

def snapshot(self, repo_id, local_dir, **kwargs):
    Path(local_dir).mkdir(parents=True)

huggingface_hub.hf_hub_download = download
huggingface_hub.HfApi.create_repo = lambda self, repo_id, **kwargs: f"hub_server/{repo_id}"
huggingface_hub.HfApi.upload_folder = upload
huggingface_hub.HfApi.snapshot_download = snapshot
"""


def test_the_zoo_removes_no_film_of_the_users(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = argparse.Namespace(
        folder=str(folder / "logs"), algo="cardqn", env="CarRacing-v3", exp_id=0, load_best=False,
        load_checkpoint=None, load_last_checkpoint=False,
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("test.mp4", "mine.meta.json"):
        Path(name).touch()
        options.no_render = False
        with error_naming(UserError, f"'{name}' | --no-render"), pushed_run(options):
            pass
        options.no_render = True
        with pushed_run(options) as more:
            assert more[0] == "-f"
        Path(name).unlink()


@pytest.mark.slow
def test_an_agent_goes_to_the_hub_and_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sitecustomize.py").write_text(FAKE_HUB)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.delenv("TRUST_REMOTE_CODE", raising=False)
    pushed = sb3_cardqn(
        folder, "push_to_hub --algo cardqn --env CarRacing-v3 -f logs -orga driver --no-render"
    )
    assert pushed.returncode == 0, pushed.stderr
    card = (folder / "hub_server/driver/cardqn-CarRacing-v3/README.md").read_text()
    assert "# CarDQN on CarRacing-v3" in card.splitlines()
    assert "mean_reward" in card
    assert "sb3-cardqn evaluate policy.safetensors --fast --tracks 10" in card
    assert "sb3-cardqn train --algo cardqn --env CarRacing-v3" in card
    assert (
        load_policy(folder / "hub_server/driver/cardqn-CarRacing-v3/policy.safetensors").action_space.n == 12
    )

    refused = sb3_cardqn(folder, "load_from_hub --algo cardqn --env CarRacing-v3 -f away -orga driver")
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")
    loaded = sb3_cardqn(folder, "load_from_hub --algo cardqn --env CarRacing-v3 -f away -orga driver")
    assert loaded.returncode == 0, loaded.stderr
    assert "away/cardqn/CarRacing-v3_1/" in run_well(folder, "enjoy --no-render -n 10 -f away")


@pytest.mark.slow
def test_training_goes_on_from_a_saved_agent(folder: Path) -> None:
    agent = "logs/cardqn/CarRacing-v3_1/CarRacing-v3.zip"
    short = "-n 450 --eval-freq -1 --seed 3 -params learning_starts:400 buffer_size:2000 n_envs:2"
    output = run_well(folder, f"train --algo cardqn --env CarRacing-v3 -i {agent} {short}")
    assert "Loading pretrained agent" in output
    assert (folder / "logs/cardqn/CarRacing-v3_2/CarRacing-v3.zip").is_file()


@pytest.mark.parametrize("algo", ["dqn", "qrdqn"])
def test_the_baselines_train_on_the_same_environment(algo: str, tmp_path: Path) -> None:
    short = "-n 150 --eval-freq -1 --seed 3 -params learning_starts:100 buffer_size:1000 n_envs:2"
    run_well(tmp_path, f"train --algo {algo} --env CarRacing-v3 {short}")
    assert (tmp_path / f"logs/{algo}/CarRacing-v3_1/CarRacing-v3.zip").is_file()


def test_optimize_searches_and_stores(tmp_path: Path) -> None:
    optimize = (
        "-optimize --n-trials 2 --n-startup-trials 1 --n-evaluations 1 --eval-episodes 1 --no-optim-plots"
    )
    store = "--storage study.log --study-name cart"
    output = run_well(
        tmp_path,
        f"train --algo cardqn --env CartPole-v1 --seed 0 -n 60 {optimize} {store} -params buffer_size:500 learning_starts:50",
    )
    assert "Best trial" in output
    assert not list(tmp_path.rglob("CartPole-v1_*"))  # it would be the newest run, without an agent
    report = next((tmp_path / "logs/cardqn").glob("report_*.csv")).read_text()
    for name in ("learning_rate", "n_steps", "double_q", "exploration_decay"):
        assert f"params_{name}" in report
    train = run_well(
        tmp_path, f"train --algo cardqn --env CartPole-v1 -n 60 --eval-freq -1 {store} --trial-id 1"
    )
    assert "Loading from Optuna study" in train


@pytest.mark.parametrize("algo", ["dqn", "qrdqn"])
def test_the_gamma_of_a_trial_reaches_its_buffer(algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = optuna.trial.FixedTrial(
        {"one_minus_gamma": 0.02, "batch_size_pow": 5, "learning_rate": 1e-3, "train_freq": 1, "subsample_steps": 1,
         "exploration_final_eps": 0.1, "exploration_fraction": 0.1, "target_update_interval": 100, "net_arch": "small",
         "n_quantiles": 5}
    )  # fmt: skip
    hyperparams: dict[str, Any] = {"gamma": 0.97, "replay_buffer_kwargs": {"n_steps": 3, "gamma": 0.97}}
    manager = object.__new__(experiment.CarExperimentManager)
    vars(manager).update(algo=algo, n_actions=5, n_envs=1, _hyperparams=hyperparams)
    monkeypatch.setattr(
        experiment.ExperimentManager, "objective", lambda manager, trial: manager._hyperparams
    )
    tried: Any = manager.objective(trial)
    assert tried["replay_buffer_kwargs"] == {"n_steps": 3, "gamma": 0.98}
    assert hyperparams["replay_buffer_kwargs"] == {"n_steps": 3, "gamma": 0.97}  # the next trial's
    manager._hyperparams = {"gamma": 0.97}
    assert manager.objective(trial) == {"gamma": 0.97}


def test_trials_at_the_same_time_do_not_see_each_others_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def of_the_zoo(manager: Any, *_: Any) -> DummyVecEnv:
        seen.append((manager.env_wrapper, shared.env_wrapper))
        return DummyVecEnv([lambda: ValidationTracks(gym.make("CartPole-v1"), 1)])

    monkeypatch.setattr(experiment.ExperimentManager, "create_envs", of_the_zoo)
    shared = object.__new__(experiment.CarExperimentManager)
    vars(shared).update(
        algo="cardqn", seed=3, env_wrapper="training's", vec_env_wrapper=None, eval_env_wrapper=None, eval_vec_env_wrapper=None,
        env_name=EnvironmentName("CarRacing-v3"),
    )  # fmt: skip
    shared.create_envs(2, eval_env=True)
    shared.create_envs(2)
    assert seen[0][0] != "training's"
    assert [seen[0][1], *seen[1]] == ["training's"] * 3


@pytest.mark.slow
def test_race_scores_films_and_plots(folder: Path) -> None:
    output = run_well(folder, "race --tracks 1 --fast --gif")
    assert "200000" in output
    assert "random actions" in output
    run = folder / "logs/cardqn/CarRacing-v3_1"
    assert (run / "race.mp4").stat().st_size > 10_000
    assert (run / "race.gif").stat().st_size > 10_000
    assert (run / "learning_curve.png").stat().st_size > 10_000


@pytest.mark.slow
def test_bench_agent_drives_the_same_tracks_on_both_pictures(folder: Path) -> None:
    output = run_well(folder, "bench agent --tracks 2")
    assert "paired over 2 tracks" in output
    assert "95 % bootstrap interval" in output
    same = re.search(r"([\d.]+)% of (\d+) agent steps", output)
    assert same is not None
    assert float(same[1]) > 80
    assert int(same[2]) > 100


@pytest.mark.slow
def test_a_mistake_is_one_line_and_status_2(tmp_path: Path) -> None:
    """As it is typed; all others are in test_bad_input.py, in its process."""
    result = sb3_cardqn(tmp_path, "train --env CartPole-v1 -params gamma:2")
    assert result.returncode == 2
    last_line = result.stderr.strip().splitlines()[-1]
    assert not missing("ValueError | CarDQN | gamma | 2 | sb3-cardqn --traceback", last_line)
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "logs/cardqn").iterdir())


def test_an_error_reaches_python_when_its_traceback_is_asked_for(tmp_path: Path) -> None:
    with error_naming(ValueError, "CarDQN | gamma | 2"):
        run_well(tmp_path, "--traceback train --env CartPole-v1 -params gamma:2")


def test_gamma_from_the_command_line_reaches_the_baselines_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hyperparams = {"gamma": 0.5, "buffer_size": 100, "n_envs": 1}
    manager = experiment.CarExperimentManager(
        argparse.Namespace(), "dqn", "CarRacing-v3", "logs", hyperparams=hyperparams
    )
    model, _ = manager.setup_experiment()  # type: ignore[misc]
    assert (model.replay_buffer.gamma, model.replay_buffer.n_steps) == (0.5, 3)


def test_importing_registers_for_the_zoos_python_api() -> None:
    assert rl_zoo3.ALGOS["cardqn"] is CarDQN


def test_parameters_on_the_command_line_can_name_this_package() -> None:
    typed = [
        "policy_kwargs:dict(head_class=sb3_cardqn.DuelingHead)",
        "gamma:max(0.5, torch.tensor(0.25).item())",
        "tau:np.square(1)",
        "env_wrapper:gymnasium.wrappers.TimeAwareObservation",
        "replay_buffer_class:stable_baselines3.common.buffers.ReplayBuffer",
        "policy:sb3_contrib.qrdqn.MlpPolicy",
        "callback:rl_zoo3.callbacks.RawStatisticsCallback",
    ]
    assert parse_settings("-params", typed[:2]) == {
        "policy_kwargs": {"head_class": DuelingHead},
        "gamma": 0.5,
    }
    namespace = argparse.Namespace()
    with names_for_the_zoo():
        StoreDict(["-params"], "hyperparams")(argparse.ArgumentParser(), namespace, typed)
    assert namespace.hyperparams == parse_settings("-params", typed)


def test_text_is_read_as_data_and_run_only_if_it_is_more() -> None:
    assert run_python("dict(net_arch=[1])") == {"net_arch": [1]}
    assert run_python("dict(net_arch=[1] * 2)") == {"net_arch": [1, 1]}
    assert run_python("sb3_cardqn.common.wrappers.FrameSkip") is FrameSkip  # by its old path


def test_the_three_algorithms_share_the_environment_block() -> None:
    blocks = []
    for algo in ("cardqn", "dqn", "qrdqn"):
        path = configuration.hyperparams_path(algo, "CarRacing-v3")
        assert path is not None
        config = yaml.safe_load(Path(path).read_text())["CarRacing-v3"]
        blocks.append(
            {name: config[name] for name in ("n_envs", "env_wrapper", "n_timesteps", "buffer_size")}
        )
    assert blocks[0] == blocks[1] == blocks[2]


def test_any_colors_is_cardqn_with_road_contrast() -> None:
    """The file for other colours follows the recipe."""
    gray, contrast = (
        yaml.safe_load((ROOT / f"hyperparams/{name}.yml").read_text())["CarRacing-v3"]
        for name in ("cardqn", "any_colors")
    )
    place = gray["env_wrapper"].index("sb3_cardqn.GrayscaleObservation")
    gray["env_wrapper"][place] = "sb3_cardqn.RoadContrastObservation"
    assert contrast == gray | {"n_timesteps": 1.8e6}


def test_race_is_cardqn_but_for_what_it_says() -> None:
    full, race = (
        yaml.safe_load((ROOT / f"hyperparams/{name}.yml").read_text())["CarRacing-v3"]
        for name in ("cardqn", "race")
    )
    differ = {name for name in full.keys() | race.keys() if full.get(name) != race.get(name)}
    assert differ == {"n_timesteps", "mixed_precision", "replay_buffer_class", "learning_rate"}


def test_every_hyperparameter_says_its_unit_or_reason() -> None:
    names = ("n_timesteps", "n_envs", "buffer_size", "learning_starts", "target_update_interval")
    lines = [
        line
        for path in HYPERPARAMS.glob("*.yml")
        for line in path.read_text().splitlines()
        if line.partition(":")[0].strip() in names
    ]
    assert lines
    assert [line for line in lines if "#" not in line] == []


def test_environments_without_an_entry_keep_the_zoos() -> None:
    assert configuration.hyperparams_path("dqn", "CartPole-v1") is None
    assert configuration.hyperparams_path("ppo", "CarRacing-v3") is None


@pytest.mark.slow
@pytest.mark.parametrize("editable", [True, False])
def test_hyperparameters_are_found_from_an_installed_package(editable: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "*.egg-info", "logs", "build"))
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    install: list[Any] = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet"]
    subprocess.run([*install, *(["--editable"] if editable else []), source], check=True, cwd=tmp_path)
    # the new environment's own sb3_cardqn comes first, everything else from here
    site = next(Path(path) for path in sys.path if (Path(path) / "rl_zoo3").is_dir())
    code = "from sb3_cardqn.zoo import configuration; print(configuration.__file__, configuration.hyperparams_path('cardqn', 'CarRacing-v3'))"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": ""}
    code = f"import sys; sys.path.append({str(site)!r}); import sb3_cardqn; {code}"
    output = subprocess.run(
        [python, "-c", code], check=True, cwd=tmp_path, env=env, capture_output=True, text=True
    ).stdout
    module, config = output.split()[-2:]
    assert str(source if editable else tmp_path / "venv") in module
    assert str(source if editable else tmp_path / "venv") in config
    assert "env_wrapper" in Path(config).read_text()


def test_commands_leave_other_libraries_as_they_were(tmp_path: Path) -> None:
    holders: list[Any] = [rl_zoo3.utils, rl_zoo3.exp_manager, importlib.import_module("rl_zoo3.train")]
    holders += [base_class, off_policy_algorithm, VecNormalize]
    before = [dict(vars(holder)) for holder in holders], dict(rl_zoo3.ALGOS), list(sys.argv)
    threads = cv2.getNumThreads()
    CarDQN("MlpPolicy", "CartPole-v1", buffer_size=100).save(
        tmp_path / "cardqn/CartPole-v1_1/CartPole-v1.zip"
    )
    trust.remember(tmp_path / "cardqn/CartPole-v1_1/CartPole-v1.zip")
    zoo.run("enjoy", f"--env CartPole-v1 --no-render -n 5 -f {tmp_path}".split())
    zoo.run("train", f"--env CartPole-v1 -n 1000 -f {tmp_path} -params buffer_size:100".split())
    assert ([dict(vars(holder)) for holder in holders], dict(rl_zoo3.ALGOS), sys.argv) == before
    assert cv2.getNumThreads() == threads
