"""Every public constructor, command and YAML key with what it cannot take: the error names it and the value."""

import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import rl_zoo3
import torch as th
import yaml
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from rl_zoo3 import ALGOS, utils

import sb3_cardqn
from sb3_cardqn import CarDQN, cli
from sb3_cardqn.cardqn.schedules import CosineSchedule, ExponentialSchedule
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import UserError
from sb3_cardqn.yaml_files import with_numbers
from sb3_cardqn.zoo.commands import run
from sb3_cardqn.zoo.config_checks import check_entries, check_values
from tests.env.test_wrappers import Pictures

NAN, INF = math.nan, math.inf
STACK, ACTIONS = spaces.Box(0, 255, (4, 8, 8), np.uint8), spaces.Discrete(5)
IMAGE = spaces.Box(0, 255, (4, 64, 64), np.uint8)
CAR_RACING = gym.make("CarRacing-v3")
GRAY = (4, 5)  # shape of a picture that FrameStack takes


# what takes the argument -> how it is called with all others right
CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "CarDQN": lambda wrong: CarDQN(
        **{"policy": "MlpPolicy", "env": "CartPole-v1", "buffer_size": 500, "device": "cpu"} | wrong
    ),
    "CarDQNPolicy": lambda wrong: CarDQN(
        "MlpPolicy", "CartPole-v1", buffer_size=500, device="cpu", policy_kwargs=wrong
    ),
    "CosineSchedule": lambda wrong: CosineSchedule(**{"start": 1.0, "end": 0.1} | wrong),
    "ExponentialSchedule": lambda wrong: ExponentialSchedule(**{"start": 1.0, "end": 0.1} | wrong),
    "GroupedSubprocVecEnv": lambda wrong: GroupedSubprocVecEnv(**{"env_fns": [Pictures]} | wrong),
    "CarRacingCNN": lambda wrong: sb3_cardqn.CarRacingCNN(**{"observation_space": IMAGE} | wrong),
    "DuelingHead": lambda wrong: sb3_cardqn.DuelingHead(**{"in_features": 3, "out_features": 2} | wrong),
    "HistogramHead": lambda wrong: sb3_cardqn.HistogramHead(**{"in_features": 3, "out_features": 2} | wrong),
    "QuantileHead": lambda wrong: sb3_cardqn.QuantileHead(**{"in_features": 3, "out_features": 2} | wrong),
    "ExactCheckpoint": lambda wrong: sb3_cardqn.ExactCheckpoint(**{"folder": "x", "freq": 5} | wrong),
    "load_policy": lambda wrong: sb3_cardqn.load_policy(**wrong),
    "load_pretrained": lambda wrong: sb3_cardqn.load_pretrained(**wrong),
}


def with_right(name: str, **right: Any) -> Callable[[dict[str, Any]], Any]:
    """Call it with what is right, but for what is wrong."""
    return lambda wrong: getattr(sb3_cardqn, name)(**right | wrong)


for _name in ("FrameReplayBuffer", "PrioritizedFrameReplayBuffer"):
    CALLS[_name] = with_right(
        _name, buffer_size=10, observation_space=STACK, action_space=ACTIONS, device="cpu"
    )
_WRAPPED = {
    "CarRacingWrapper": CAR_RACING, "DiscretizeActions": Pictures(),
    "EndAtLine": CAR_RACING, "EndWhenLost": CAR_RACING,
    "FastRender": CAR_RACING, "FrameSkip": Pictures(), "FrameStack": Pictures(GRAY),
    "GrayscaleObservation": Pictures(), "PenalizeMissedTiles": CAR_RACING, "PenalizeSpeed": CAR_RACING,
    "ResizeObservation": Pictures(), "ResumableEpisode": CAR_RACING, "RoadContrastObservation": CAR_RACING, "ScaleReward": Pictures(),
}  # fmt: skip
CALLS |= {name: with_right(name, env=env) for name, env in _WRAPPED.items()}

NO_COUNT: tuple[Any, ...] = (
    None,
    True,
    "4",
    [],
    [1],
    -1,
    0,
    0.5,
    2.5,
    NAN,
    INF,
    np.float64(2.5),
    1e5 + 0.5,
)  # nor a whole number >= 1
NO_NUMBER: tuple[Any, ...] = (None, True, "4", [], NAN, INF, -0.5)  # nor one >= 0
NO_SHARE = (*NO_NUMBER, 1.5)  # nor one between 0 and 1
NO_FLAG: tuple[Any, ...] = (None, "False", 0, 1.0, [])
NO_ENV = (None, "CarRacing-v3", 3, spaces.Discrete(3))
NO_PATH: tuple[Any, ...] = (None, 3, NAN, [])
NO_CLASS = (True, "x", 3, [0])  # nor what makes an object

# who takes it, the argument, what it cannot be, and the part of the error that is behind "needs"
TABLE: list[tuple[str, str, tuple[Any, ...], str]] = [
    *((name, "env", NO_ENV, "an environment, as gym.make returns it") for name in _WRAPPED),
    ("CarRacingWrapper", "colors", (None, True, "grey", [], {}), "colors from ['gray', 'road_contrast', 'rgb']"),
    ("CarRacingWrapper", "fast_render", NO_FLAG, "fast_render to be True or False"),
    ("CarRacingWrapper", "training", NO_FLAG, "training to be True or False"),
    ("DiscretizeActions", "actions", (None, True, 4, NAN, [], {}), "a list of at least one [steer, gas, brake]"),
    ("DiscretizeActions", "actions", ("defualt5",), "actions from ['default5', 'gas_and_steer12']"),
    ("DiscretizeActions", "actions", ([1], [[0, 0]], [[0, NAN, 0]], [[True, 0, 0]], [["1", 0, 0]], [[0, 0, [1]]], [[10**400, 0, 0]]), "rows of [steer, gas, brake] within"),
    ("EndWhenLost", "patience", NO_COUNT, "patience >= 1"),
    ("FrameSkip", "skip", NO_COUNT, "skip >= 1"),
    ("FrameStack", "num_frames", NO_COUNT, "num_frames >= 1"),
    ("GrayscaleObservation", "keep_dim", NO_FLAG, "keep_dim to be True or False"),
    ("PenalizeMissedTiles", "penalty", NO_NUMBER, "penalty >= 0"),
    ("PenalizeSpeed", "limit", (*NO_NUMBER, 0), "limit > 0"),
    ("PenalizeSpeed", "penalty", NO_NUMBER, "penalty >= 0"),
    ("ScaleReward", "scale", (*NO_NUMBER, 0), "scale > 0"),
    ("ResizeObservation", "shape", (None, True, "64", [64], [64, 6.5], [True, 9], [1, 2, 3], 0, NAN, {}), "shape [height, width] of at least 1 pixel"),
    ("ResizeObservation", "crop", (None, 3, "0000", [12], [0, -1, 0, 0], [True, 0, 0, 0], [0, 0, NAN, 0]), "crop [top, bottom, left, right] >= 0"),
    ("CarRacingCNN", "features_dim", NO_COUNT, "features_dim >= 1"),
    ("CarRacingCNN", "width", NO_COUNT, "width >= 1"),
    ("CarRacingCNN", "normalized_image", NO_FLAG, "normalized_image to be True or False"),
    ("CarRacingCNN", "observation_space", (None, "x", ACTIONS), "channel-first images"),
    ("DuelingHead", "in_features", NO_COUNT, "in_features >= 1"),
    ("DuelingHead", "out_features", NO_COUNT, "out_features >= 1"),
    ("HistogramHead", "in_features", NO_COUNT, "in_features >= 1"),
    ("HistogramHead", "out_features", NO_COUNT, "out_features >= 1"),
    ("HistogramHead", "n_bins", NO_COUNT, "n_bins >= 1"),
    ("HistogramHead", "low", (None, True, "4", [], NAN, -INF, 0, 0.5), "low < 0"),
    ("HistogramHead", "high", (*NO_NUMBER, 0), "high > 0"),
    ("QuantileHead", "in_features", NO_COUNT, "in_features >= 1"),
    ("QuantileHead", "out_features", NO_COUNT, "out_features >= 1"),
    ("QuantileHead", "n_quantiles", NO_COUNT, "n_quantiles >= 1"),
    ("CosineSchedule", "start", (None, True, "4", NAN, INF), "start >="),
    ("CosineSchedule", "end_fraction", (*NO_SHARE, 0), "end_fraction above 0 and at most 1"),
    ("ExponentialSchedule", "start", (*NO_NUMBER, 0), "start >"),
    ("ExponentialSchedule", "end", (*NO_NUMBER, 0), "end >"),
    ("ExactCheckpoint", "folder", NO_PATH, "folder to be a path"),
    ("ExactCheckpoint", "freq", NO_COUNT, "freq (agent steps) >= 1"),
    ("ExactCheckpoint", "resume", NO_FLAG, "resume to be True or False"),
    ("GroupedSubprocVecEnv", "env_fns", (None, 3, [], [3], [Pictures()]), "a list of at least one function that makes an environment"),
    ("GroupedSubprocVecEnv", "n_processes", NO_COUNT, "n_processes >= 1"),
    ("GroupedSubprocVecEnv", "start_method", ("x", 3, True), "start_method from ["),
    ("load_policy", "path", NO_PATH, "path to be a path"),
    ("load_pretrained", "name", (None, 3, []), "the name of an agent"),
    *(
        (buffer, *row)
        for buffer in ("FrameReplayBuffer", "PrioritizedFrameReplayBuffer")
        for row in (
            ("buffer_size", NO_COUNT, "buffer_size >= 1"),
            ("n_envs", NO_COUNT, "n_envs >= 1"),
            ("n_steps", NO_COUNT, "n_steps >= 1"),
            ("frame_channels", NO_COUNT, "frame_channels >= 1"),
            ("gamma", NO_SHARE, "gamma between 0 and 1"),
            ("handle_timeout_termination", NO_FLAG, "handle_timeout_termination to be True or False"),
            ("observation_space", (None, "x", ACTIONS, spaces.Box(0, 1, ())), "a Box of stacked frames (k, ...)"),
        )
    ),
    ("PrioritizedFrameReplayBuffer", "alpha", NO_NUMBER, "alpha >= 0"),
    ("PrioritizedFrameReplayBuffer", "beta", NO_SHARE, "beta between 0 and 1"),
    ("PrioritizedFrameReplayBuffer", "beta_steps", NO_COUNT[1:], "beta_steps >= 1"),
    ("PrioritizedFrameReplayBuffer", "eps", (*NO_NUMBER, 0), "eps > 0"),
    *(("CarDQN", name, NO_COUNT, f"{name} >= 1") for name in ("buffer_size", "batch_size", "n_steps", "target_update_interval", "train_freq")),
    ("CarDQN", "exploration_steps", NO_COUNT[1:], "exploration_steps >= 1"),
    ("CarDQN", "learning_starts", (*NO_NUMBER, 2.5), "learning_starts >= 0"),
    ("CarDQN", "gradient_steps", (None, True, "4", -2, 0.5, NAN), "gradient_steps >= -1"),
    *(("CarDQN", name, NO_SHARE, f"{name} between 0 and 1") for name in ("tau", "gamma", "exploration_initial_eps", "exploration_final_eps", "advantage_learning")),
    ("CarDQN", "advantage_learning", (1, 1.0), "advantage_learning below 1"),
    ("CarDQN", "exploration_fraction", NO_NUMBER, "exploration_fraction >= 0"),
    ("CarDQN", "max_grad_norm", (None, True, "4", [], NAN, -0.5, 0), "max_grad_norm > 0"),
    ("CarDQN", "exploration_decay", (None, True, "lineal", [], 3), "exploration_decay from ['constant', 'cosine'"),
    *(("CarDQN", name, NO_FLAG, f"{name} to be True or False") for name in ("double_q", "mixed_precision")),
    ("CarDQN", "optimize_memory_usage", ("False", "no"), "optimize_memory_usage to be True or False"),
    ("CarDQN", "stats_window_size", (True, "4", -1, 2.5, NAN), "stats_window_size >= 0"),
    ("CarDQN", "overlap", NO_FLAG[1:], "overlap to be True, False or None"),
    ("CarDQN", "replay_buffer_class", (*NO_CLASS, int), "replay_buffer_class to be a class with add and sample"),
    ("CarDQN", "policy", (None, 3, int), "policy to be one of ['MlpPolicy', 'CnnPolicy', 'MultiInputPolicy']"),
    ("CarDQN", "env", (None, 3, int), "an environment, or the id of one"),
    ("CarDQN", "policy_kwargs", (True, "x", [1], 3), "policy_kwargs to be a dict"),
    ("CarDQNPolicy", "net_arch", (True, "x", 3, [0], [-1], ["a"], [NAN], {"x": 1}), "net_arch to be a list of units >= 1"),
    ("CarDQNPolicy", "activation_fn", (None, *NO_CLASS), "activation_fn to be nn.ReLU, or what makes one"),
    ("CarDQNPolicy", "features_extractor_class", NO_CLASS, "features_extractor_class to be NatureCNN, or what makes one"),
    ("CarDQNPolicy", "features_extractor_kwargs", (True, "x", [0]), "features_extractor_kwargs to be a dict"),
    ("CarDQNPolicy", "optimizer_class", (None, *NO_CLASS), "optimizer_class to be th.optim.Adam, or what makes one"),
    ("CarDQNPolicy", "average_fraction", (*NO_SHARE[1:], 0), "average_fraction above 0 and at most 1"),
    ("CarDQNPolicy", "normalize_images", ("False", "no"), "normalize_images to be True or False"),
    ("CarDQNPolicy", "head_class", (None, True, "x", 3), "head_class to be nn.Linear, DuelingHead, QuantileHead or HistogramHead"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("who", "argument", "values", "needed"),
    TABLE,
    ids=[f"{row[0]}-{row[1]}-{i}" for i, row in enumerate(TABLE)],
)
def test_a_wrong_argument_is_named_with_its_value(
    who: str, argument: str, values: tuple[Any, ...], needed: str
) -> None:
    for value in values:
        with pytest.raises((ValueError, TypeError)) as error:
            CALLS[who]({argument: value})
        text = str(error.value)
        assert f"{who} needs {needed}" in text, value
        shown = [value, *value] if isinstance(value, list) else [value]
        assert any(repr(part) in text or str(part) in text for part in shown), text


@pytest.mark.parametrize(
    ("who", "wrong", "message"),
    [
        ("CarDQN", {"policy": "MlpPolice"}, "CarDQN knows no policy 'MlpPolice', did you mean 'MlpPolicy'?"),
        ("CarDQN", {"policy_kwargs": {"head_clas": 1}}, "no 'head_clas' in policy_kwargs, did you mean 'head_class'?"),
        ("CarDQN", {"replay_buffer_class": sb3_cardqn.FrameReplayBuffer, "replay_buffer_kwargs": {"n_step": 3}}, "no 'n_step' in replay_buffer_kwargs, did you mean 'n_steps'?"),
        ("CarDQNPolicy", {"optimizer_kwargs": {"epps": 1}}, "no 'epps' in optimizer_kwargs, did you mean 'eps'?"),
        ("CarDQN", {"learning_rate": -1}, "CarDQN needs learning_rate >= 0, got -1"),
        ("CarDQN", {"train_freq": (1, "lap")}, "must be either 'step' or 'episode' not 'lap'"),
        ("CarDQN", {"device": "gpu"}, "device string: gpu"),
        ("FrameReplayBuffer", {"buffer_size": 10**30}, "FrameReplayBuffer with buffer_size=1000000000000000000000000000000 needs"),
        ("load_policy", {"path": "absent"}, "cannot read 'absent': No such file or directory"),
        ("load_policy", {"path": "."}, "'.' is no exported policy: not a file"),
        ("load_pretrained", {"name": "cardqm"}, "no agent 'cardqm' comes with this version of sb3-cardqn, did you mean 'cardqn'?"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(who: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError), match=re.escape(message)):
        CALLS[who](wrong)


def test_every_public_name_has_a_row() -> None:
    assert {row[0] for row in TABLE} >= set(sb3_cardqn.__all__)
    assert CALLS.keys() == {row[0] for row in TABLE}


# ---- the command line and its YAML, in this process ----

WRAPPED = "CarRacing-v3: {n_timesteps: 10, policy: CnnPolicy, env_wrapper: [%s]}"


@pytest.mark.parametrize(
    ("typed", "config", "message"),
    [
        ("trian", "", "unknown command 'trian', did you mean 'train'?"),
        ("train --algo cardqm", "", "unknown algorithm 'cardqm', did you mean 'cardqn'?"),
        ("train --env CarRacing-v4", "", "unknown environment 'CarRacing-v4', did you mean 'CarRacing-v3'?"),
        ("train -n many", "", "argument -n/--n-timesteps: invalid int value: 'many'"),
        ("train -n 0", "", "-n needs 1 or more agent steps, got 0"),
        ("train -params gamma", "", "-params needs name:value, got 'gamma'"),
        ("train -params learning_rate:lin_5e-4", "", "-params needs Python for a value, text in two pairs of quotes, as in learning_rate:\"'lin_5e-4'\", got learning_rate:lin_5e-4"),
        ("train --env-kwargs domain_randomize:yes", "", "--env-kwargs needs Python for a value"),
        ("train --minutes nan", "", "--minutes needs a finite number above 0, got nan"),
        ("train --minutes 0", "", "--minutes needs a finite number above 0, got 0"),
        ("train --minutes 5 -n 100", "", "needs one budget, --minutes or -n, got 5 and 100"),
        ("train --minutes 5 --eval-freq 50", "", "needs --n-evaluations, got --eval-freq 50"),
        ("train --minutes 5 -optimize", "", "-optimize needs -n, the agent steps of a trial"),
        ("train --minutes soon", "", "argument --minutes: invalid float value: 'soon'"),
        ("train --checkpoint-freq 0", "", "--checkpoint-freq needs 1 or more agent steps, got 0"),
        ("train --run-id x", "", "argument --run-id: invalid int value: 'x'"),
        ("train --gym-packages absent_package", "", "No module named 'absent_package'"),
        ("train --env CartPole-v1 -params gama:0.9", "", "unknown hyperparameter 'gama' for cardqn, did you mean 'gamma'?"),
        ("train --env CartPole-v1 -params gamma:2", "", "CarDQN needs gamma between 0 and 1, got 2"),
        ("train --env CartPole-v1 -params batch_size:True", "", "CarDQN needs batch_size >= 1, got True"),
        ("train -conf absent.yml", "", "absent.yml"),
        ("train -conf c.yml", "CarRacing-v3: {n_timesteps: 10, polic: CnnPolicy}", "unknown hyperparameter 'polic' for cardqn, did you mean 'policy'?"),
        ("train -conf c.yml", "CarRacing-v3: [1", "'c.yml', line 1: "),
        ("train -conf c.yml", WRAPPED % "sb3_cardqn.FrameStak", "FrameStak"),
        ("train -conf c.yml", WRAPPED % "{sb3_cardqn.FrameSkip: {skip: 0}}", "FrameSkip needs skip >= 1, got 0"),
        ("train -conf c.yml", WRAPPED % "{sb3_cardqn.FrameSkip: {skp: 2}}", "unexpected keyword argument 'skp'"),
        ("enjoy absent", "", "'absent'"),
        ("enjoy cardqn -n x", "", "argument -n/--n-timesteps: invalid int value: 'x'"),
        ("enjoy cardqn -n 0", "", "-n needs 1 or more agent steps, got 0"),
        ("enjoy cardqn --seed -1", "", "--seed needs 0 or more, got -1"),
        ("evaluate cardqn --csv x --json x", "", "--json and --csv need two files, got 'x' for both"),
        ("export cardqn -o x.zip", "", "-o needs a file that ends in .safetensors, or a folder, got 'x.zip'"),
        ("compare dqn -n 1000 --dry-run --output=", "", "--output: needs a folder, got ''"),
        ("enjoy --exp-id 9", "", "no run 9 of cardqn"),
        ("evaluate absent", "", "'absent'"),
        ("evaluate --tracks 0", "", "--tracks needs 1 to 100, got 0"),
        ("evaluate --first 7", "", "needs tracks that no agent was trained on: 200000 to 200099"),
        ("evaluate --first 1 --validation", "", "argument --validation: not allowed with argument --first"),
        ("evaluate cardqn --processes 0", "", "n_processes >= 1, got 0"),
        ("evaluate cardqn --config absent.yml", "", "no such file: 'absent.yml'"),
        ("evaluate cardqn --algo cardqm", "", "unknown algorithm 'cardqm', did you mean 'cardqn'?"),
        ("evaluate --checkpoint bset", "", "argument --checkpoint: invalid choice: 'bset'"),
        ("evaluate --json .", "", "can't write '.': it is no regular file"),
        ("race absent", "", "'absent'"),
        ("race --tracks 7", "", "--tracks needs 1 to 6, got 7"),
        ("race cardqn -o race.avi", "", "needs a video that ends in .mp4 or .gif, got 'race.avi'"),
        ("race cardqn --first 5", "", "needs tracks that no agent was trained on"),
        ("compare", "", "nothing to compare, name contestants such as"),
        ("compare cardqm -n 1000", "", "unknown algorithm 'cardqm', did you mean 'cardqn'?"),
        ("compare --plan c.yml", "contestants: [dqn]\nn_timestep: 5", "unknown key 'n_timestep' in the plan, did you mean 'n_timesteps'?"),
        ("compare dqn --minutes nan", "", "minutes: needs a number of at least 0.01, got nan"),
        ("train --seed 99999", "", "--seed needs 0 to 99984 with 16 environments"),
        ("plot_train -a cardqn -e CarRacing-v3 -f absent", "", "absent"),
        ("race . ", "", "'.' is no run folder"),
        ("evaluate cardqn_any_color", "", "did you mean 'cardqn_any_colors'?"),
        ("all_plots", "", "all_plots needs -a or --algos"),
        ("plot_from_file -i absent.pkl", "", "-i needs a file that all_plots -o wrote, got 'absent.pkl'"),
        ("plot_train", "", "the following arguments are required: -a/--algo"),
        ("record_video", "", "no run of cardqn on CarRacing-v3 in folder 'logs'"),
        ("push_to_hub -orga x", "", "no run of cardqn on CarRacing-v3 in folder 'logs'"),
        ("race cardqn -o absent/race.mp4", "", "can't write 'absent/race.mp4': No such file or directory"),
        ("resume", "", "the following arguments are required: run"),
        ("resume absent", "", "'absent' is no run to go on with: it has no checkpoints"),
        ("export absent", "", "'absent' is no run folder, no zip and no exported agent"),
        ("export c.yml", "no: zip", "c.yml"),
        ("export x --algo ppo", "", "argument --algo: invalid choice: 'ppo'"),
        ("bench", "", "the following arguments are required: what"),
        ("bench envs", "", "invalid choice: 'envs'"),
        ("bench env --json absent/x.json", "", "can't write 'absent/x.json': No such file or directory"),
        ("bench learn --json absent/x.json", "", "can't write 'absent/x.json': No such file or directory"),
        ("bench picture absent/x.png", "", "can't write 'absent/x.png': No such file or directory"),
        ("bench env --frames ten", "", "needs a whole number of 1 or more, got 'ten'"),
        ("bench agent --tracks 1", "", "--tracks needs 2 to 1000, got 1"),
        ("bench agent absent", "", "'absent' is no run folder"),
        ("bench learn --rounds 0", "", "--rounds needs 1 or more, got 0"),
        ("bench checkpoint --freq 0", "", "needs --transitions >= --freq >= 8, got 300000 and 0"),
        ("bench checkpoint --folder absent", "", "absent"),
        # abbreviations pass the zoo, and would pass by what is checked here
        ("train --se 5", "", "'--se', did you mean '--seed'?"),
        ("train --n-time 0", "", "'--n-time', did you mean '--n-timesteps'?"),
        ("train --eval-e=0", "", "'--eval-e', did you mean '--eval-episodes' or '--eval-env-kwargs'?"),
        ("enjoy --alg ppo", "", "'--alg', did you mean '--algo'?"),
        ("record_video --fold x", "", "'--fold', did you mean '--folder'?"),
        ("push_to_hub -orga x --load-b", "", "'--load-b', did you mean '--load-best'?"),
        ("load_from_hub --orga x", "", "'--orga', did you mean '--organization'?"),
        ("all_plots --algo x", "", "'--algo', did you mean '--algos'?"),
        ("train cardqn", "", "'cardqn'"),
        # numbers, paths and studies of train
        ("train --num-threads 100000", "", "--num-threads needs at most 1024, got 100000"),
        ("enjoy --num-threads 100000", "", "--num-threads needs at most 1024, got 100000"),
        ("train --log-interval 0", "", "--log-interval"),
        ("train --eval-episodes 0", "", "--eval-episodes needs 1 or more episodes, got 0"),
        ("train --n-eval-envs 0", "", "--n-eval-envs needs 1 or more environments, got 0"),
        ("record_video --n-envs 0", "", "--n-envs needs 1 or more environments, got 0"),
        ("train -optimize --n-evaluations 0", "", "--n-evaluations needs 1 or more evaluations, got 0"),
        ("train -optimize --n-trials 0", "", "--n-trials needs 1 or more trials, got 0"),
        ("train -optimize --n-startup-trials -1", "", "--n-startup-trials needs 0 or more trials, got -1"),
        ("train -optimize --n-jobs 0", "", "--n-jobs needs 1 or more, or -1"),
        ("train --run-id -1", "", "--run-id needs 1 or more, got -1"),
        ("train --env CartPole-v1 --seed 4294967296", "", "--seed needs at most 4294967295, got 4294967296"),
        ("train -i absent.zip", "", "-i needs the zip file of an agent, got 'absent.zip'"),
        ("train -f=", "", "-f needs a folder, got ''"),
        ("train -f c.yml", "a: b", "-f needs a folder, got 'c.yml'"),
        ("train -tb c.yml/tb", "a: b", "-tb needs a folder, got 'c.yml/tb'"),
        ("train -optimize --optimization-log-path c.yml", "a: b", "--optimization-log-path needs a folder, got 'c.yml'"),
        ("train --env CartPole-v1 -params train_freq:(1,'episode') n_envs:2", "", "train_freq 1 episode(s) with n_envs 2"),
        ("train --storage c.log", "", "--study-name"),
        ("train --trial-id 0", "", "--storage"),
        ("train --storage absent.log --study-name x", "", "no such file: 'absent.log'"),
        ("train --env CartPole-v1 --storage nowhere --study-name x", "", "--storage: 'nowhere' can't be read"),
        ("train --env PongNoFrameskip-v4", "", "unknown environment 'PongNoFrameskip-v4', Atari games come with: pip install ale-py"),
        ("compare dqn -n 9 --env ALE/Pong-v5", "", "pip install ale-py"),
        ("compare dqn -n 9 --seeds 31069", "", "seeds: needs 1 to 100 of them, got 31069; to name one: --seed 31069"),
        ("compare dqn -n 9 --seeds 5000000000", "", "seeds: needs 1 to 100 of them, got 5000000000"),
        ("compare dqn -n 9 --seed 3 --seeds 3", "", "not allowed with argument"),
        ("train --gym-packages absent_package", "", "--gym-packages needs names of packages, got 'absent_package'"),
        ("train -conf absent", "", "-conf needs a YAML file (.yml, .yaml), a Python file (.py) or a package, got 'absent'"),
        ("train -conf json", "", "'json' has none for CarRacing-v3"),
        ("train -i c.yml.zip", "", "-i needs the zip file of an agent, got 'c.yml.zip'"),
        ("compare --plan c.yml", "contestants: [dqn]\nn_timesteps: 50\nenv: [1]", "env: needs the id of an environment, got [1]"),
        ("export cardqn -o c.yml/x", "a: b", "'c.yml/x': Not a directory"),
        ("export c.yml", "no: zip", "'c.yml' is no run folder, no zip and no exported agent"),
        ("plot_from_file", "", "plot_from_file needs -i or --input"),
        ("plot_train -a dqn -e CartPole-v1 -f logs -w 0", "", "-w needs 1 or more episodes, got 0"),
        ("enjoy --env qqq", "", "unknown environment 'qqq', the nearest are: "),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(
    typed: str,
    config: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # what the commands change in a process of their own
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setitem(ALGOS, "cardqn", CarDQN)
    monkeypatch.setattr(utils, "get_model_path", utils.get_model_path)
    if config:
        Path("c.yml").write_text(config)
    with pytest.raises(SystemExit) as stopped:
        cli.main(typed.split())
    assert stopped.value.code == 2
    errors = capsys.readouterr().err
    assert message in errors.strip().splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "typed",
    [
        "evaluate cardqn --csv {pipe}",
        "evaluate cardqn --json {pipe}",
        "race cardqn -o {pipe}.mp4",
        "race cardqn -o {pipe}.gif",
        "bench env --json {pipe}",
        "bench learn --json {pipe}",
        "bench picture {pipe}.png",
        "compare --plan {pipe} --dry-run",
        "compare dqn -n 1000 --dry-run -o {pipe}",
        "train -conf {pipe}.yml",
    ],
)
def test_a_pipe_in_place_of_a_file_is_named(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    words = typed.format(pipe="pipe").split()
    (pipe,) = [word for word in words if word.startswith("pipe")]
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # with it, opening the pipe to write would not wait
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
    finally:
        os.close(reader)
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sb3-cardqn: ")]
    assert f"'{pipe}'" in line
    assert [path.name for path in tmp_path.iterdir()] == [pipe]


# a file of hyperparameters for CartPole-v1 -> part of the error
CONFIGS = {
    "": "c.yml' needs an entry for CartPole-v1",
    "- a": "c.yml' needs an entry for CartPole-v1",
    "just text": "got 'just text'",
    "Other-v1: {policy: MlpPolicy, n_timesteps: 200}": "'c.yml' has no hyperparameters for CartPole-v1, there are: Other-v1",
    "CartPole-v0: {policy: MlpPolicy, n_timesteps: 200}": "did you mean 'CartPole-v0'?",
    "CartPole-v1:": "'c.yml', CartPole-v1: needs names of hyperparameters with values, got None",
    "CartPole-v1: [1]": "got [1]",
    "default: 5": "'c.yml', default: needs names",
    "CartPole-v1: {5: 6}": "got {5: 6}",
    "CartPole-v1: {policy: MlpPolicy}": "'c.yml': needs n_timesteps",
    "CartPole-v1: {n_timesteps: 9}": "'c.yml': needs policy",
}
# a name in it, its value as YAML, and as the error shows it
CONFIG_VALUES = [
    ('n_timesteps', 'many', "'many'"),
    ('n_timesteps', '0', '0'),
    ('n_timesteps', 'null', 'None'),
    ('n_envs', '0', '0'),
    ('n_envs', 'two', "'two'"),
    ('n_envs', '1.5', '1.5'),
    ('n_envs', 'null', 'None'),
    ('policy', '5', '5'),
    ('policy', '[a]', "['a']"),
    ('policy', 'absent.Policy', "'absent.Policy'"),
    ('learning_rate', 'fast', "'fast'"),
    ('learning_rate', 'lin_x', "'lin_x'"),
    ('learning_rate', '[1]', '[1]'),
    ('policy_kwargs', "'dict('", "'dict('"),
    ('policy_kwargs', '7', '7'),
    ('replay_buffer_kwargs', '[1]', '[1]'),
    ('env_kwargs', '5', '5'),
    ('monitor_kwargs', '[5]', '[5]'),
    ('normalize', "'dict('", "'dict('"),
    ('env_wrapper', '5', '5'),
    ('env_wrapper', 'Wrapper', "'Wrapper'"),
    ('env_wrapper', '[[]]', '[[]]'),
    ('env_wrapper', '{}', '{}'),
    ('env_wrapper', '{a.b: 1, c.d: 2}', "{'a.b': 1, 'c.d': 2}"),
    ('env_wrapper', '[gymnasium.wrappers.TimeLimit: 5]', "[{'gymnasium.wrappers.TimeLimit': 5}]"),
    ('env_wrapper', 'absent.Wrapper', "'absent.Wrapper'"),
    ('env_wrapper', 'gymnasium.wrappers.Absent', "'gymnasium.wrappers.Absent'"),
    ('vec_env_wrapper', 'absent.Wrapper', "'absent.Wrapper'"),
    ('callback', '5', '5'),
    ('callback', 'absent.Callback', "'absent.Callback'"),
    ('frame_stack', '0', '0'),
    ('frame_stack', 'x', "'x'"),
    ('train_freq', '[1]', '[1]'),
    ('noise_type', 'normal', 'noise_std'),
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_without_hyperparameters_is_named(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yml").write_text(config)
    with pytest.raises(UserError, match=re.escape(CONFIGS[config])):
        run("train", ["--env", "CartPole-v1", "-conf", "c.yml"])
    assert not list(tmp_path.glob("logs/*/*"))


@pytest.mark.parametrize(("name", "value", "shown"), CONFIG_VALUES)
def test_a_value_that_the_zoo_cannot_use_is_named_with_its_file(
    name: str, value: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")
    right = {"policy": "MlpPolicy", "n_timesteps": "200"}
    Path("c.yml").write_text(
        "CartPole-v1: {" + ", ".join(f"{key}: {text}" for key, text in (right | {name: value}).items()) + "}"
    )
    with pytest.raises(UserError) as error:
        run("train", ["--env", "CartPole-v1", "-conf", "c.yml"])
    assert str(error.value).startswith(f"'c.yml': {name} needs ")
    assert shown in str(error.value)
    assert not list(tmp_path.glob("logs/*/*"))


def test_a_value_from_the_command_line_is_named_as_typed() -> None:
    with pytest.raises(UserError, match=r"^-params: n_envs needs .* got 0$"):
        run("train", ["--env", "CartPole-v1", "-params", "n_envs:0"])


def test_all_that_the_zoo_comes_with_is_taken() -> None:
    """Every file of hyperparameters, every entry."""
    files = list((Path(rl_zoo3.__file__).parent / "hyperparams").glob("*.yml"))
    assert files
    for path in files:
        entries = yaml.safe_load(path.read_text())
        for env_id, entry in entries.items():
            check_entries(entries, path, (env_id,))
            check_values(with_numbers(entry), str)


# ---- properties ----

anything = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.floats(-2, 3), st.just(NAN), st.just(INF), st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=4),
)  # fmt: skip


@given(
    st.sampled_from(
        [row[:2] for row in TABLE if row[0] not in ("CarDQN", "CarDQNPolicy", "GroupedSubprocVecEnv")]
    ),
    anything,
)
@settings(max_examples=300)
def test_whatever_comes_is_taken_or_named(place: tuple[str, str], value: Any) -> None:
    who, argument = place
    try:
        CALLS[who]({argument: value})
    except (ValueError, TypeError) as error:
        text = str(error)
    else:
        text = who
    assert any(part in text for part in (who, "no agent", "is no exported policy", "cannot read"))


@given(st.integers(1, 9), st.integers(1, 30), st.floats(0, 1))
@settings(max_examples=20)
def test_what_fits_makes_a_buffer_that_samples(n_steps: int, size: int, gamma: float) -> None:
    buffer = sb3_cardqn.FrameReplayBuffer(size, STACK, ACTIONS, "cpu", n_steps=n_steps, gamma=gamma)
    frames = np.zeros((1, *STACK.shape), np.uint8)
    buffer.add(frames, frames, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    batch = buffer.sample(3)
    assert batch.observations.shape == (3, *STACK.shape)
    assert th.isfinite(batch.rewards).all()
