"""Every public constructor, command and YAML key with what it cannot take: the error names it and the value."""

import math
import os
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

import sb3_cardqn
from sb3_cardqn import CarDQN, cli
from sb3_cardqn.agents.find import find_agents
from sb3_cardqn.cardqn.schedules import ExponentialSchedule
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import UserError
from sb3_cardqn.yaml_files import with_numbers
from sb3_cardqn.zoo.commands import resume, run
from sb3_cardqn.zoo.config_checks import check_entries, check_values
from tests.env.test_wrappers import Pictures
from tests.named import error_naming, missing

NAN, INF = math.nan, math.inf
STACK, ACTIONS = spaces.Box(0, 255, (4, 8, 8), np.uint8), spaces.Discrete(5)
IMAGE = spaces.Box(0, 255, (4, 64, 64), np.uint8)
CAR_RACING = gym.make("CarRacing-v3")
PLANES = spaces.Box(0, 1, (10, 10, 4), bool)
GRAY = (4, 5)  # shape of a picture that FrameStack takes


# what takes the argument -> how it is called with all others right
CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "CarDQN": lambda wrong: CarDQN(
        **{"policy": "MlpPolicy", "env": "CartPole-v1", "buffer_size": 500, "device": "cpu"} | wrong
    ),
    "CarDQNPolicy": lambda wrong: CarDQN(
        "MlpPolicy", "CartPole-v1", buffer_size=500, device="cpu", policy_kwargs=wrong
    ),
    "ExponentialSchedule": lambda wrong: ExponentialSchedule(**{"start": 1.0, "end": 0.1} | wrong),
    "GroupedSubprocVecEnv": lambda wrong: GroupedSubprocVecEnv(**{"env_fns": [Pictures]} | wrong),
    "CarRacingCNN": lambda wrong: sb3_cardqn.CarRacingCNN(**{"observation_space": IMAGE} | wrong),
    "MinAtarCNN": lambda wrong: sb3_cardqn.MinAtarCNN(**{"observation_space": PLANES} | wrong),
    "HistogramHead": lambda wrong: sb3_cardqn.HistogramHead(**{"in_features": 3, "out_features": 2} | wrong),
    "QuantileHead": lambda wrong: sb3_cardqn.QuantileHead(**{"in_features": 3, "out_features": 2} | wrong),
    "ExactCheckpoint": lambda wrong: sb3_cardqn.ExactCheckpoint(**{"folder": "x", "freq": 5} | wrong),
    "load_policy": lambda wrong: sb3_cardqn.load_policy(**wrong),
    "load_pretrained": lambda wrong: sb3_cardqn.load_pretrained(**wrong),
    "load_weights": lambda wrong: sb3_cardqn.load_weights(
        **{"model": CarDQN("MlpPolicy", "CartPole-v1", buffer_size=500, device="cpu")} | wrong
    ),
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
    "PenalizeRoadEdge": CAR_RACING, "PenalizeSideslip": CAR_RACING,
    "ResizeObservation": Pictures(), "ResumableEpisode": CAR_RACING, "RoadContrastObservation": CAR_RACING, "ScaleReward": Pictures(),
}  # fmt: skip
CALLS |= {name: with_right(name, env=env) for name, env in _WRAPPED.items()}

REFUSED: tuple[type[Exception], ...] = (ValueError, TypeError)
if gym.__version__.startswith(("1.2.", "1.3.")):  # it asserts that what is wrapped is an environment
    REFUSED += (AssertionError,)
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

# who takes it, the argument, what it cannot be
TABLE: list[tuple[str, str, tuple[Any, ...]]] = [
    *((name, "env", NO_ENV) for name in _WRAPPED),
    ("CarRacingWrapper", "colors", (None, True, "grey", [], {})),
    ("DiscretizeActions", "actions", (None, True, 4, NAN, [], "defualt5", [1], [[0, 0]], [[0, -0.1, 0]], np.empty((0, 3)))),
    ("EndWhenLost", "patience", NO_COUNT),
    ("FrameSkip", "skip", NO_COUNT),
    ("FrameStack", "num_frames", NO_COUNT),
    ("FrameStack", "padding_type", (None, True, 0, "", "zeros", [])),
    ("PenalizeMissedTiles", "penalty", NO_NUMBER),
    ("PenalizeRoadEdge", "margin", NO_NUMBER),
    ("PenalizeRoadEdge", "penalty", NO_NUMBER),
    ("PenalizeSideslip", "limit", NO_NUMBER),
    ("PenalizeSideslip", "penalty", NO_NUMBER),
    ("PenalizeSpeed", "limit", (*NO_NUMBER, 0)),
    ("PenalizeSpeed", "penalty", NO_NUMBER),
    ("ScaleReward", "scale", (*NO_NUMBER, 0)),
    ("ResizeObservation", "shape", (None, True, "64", [64], [64, 6.5], [True, 9], [1, 2, 3], 0, NAN, {})),
    ("ResizeObservation", "crop", (None, 3, "0000", [12], [0, -1, 0, 0], [True, 0, 0, 0], [0, 0, NAN, 0])),
    ("CarRacingCNN", "observation_space", (None, "x", ACTIONS)),
    ("MinAtarCNN", "observation_space", (None, "x", ACTIONS)),
    ("HistogramHead", "n_bins", NO_COUNT),
    ("HistogramHead", "low", (None, True, "4", [], NAN, -INF, 0, 0.5)),
    ("HistogramHead", "high", (*NO_NUMBER, 0)),
    ("QuantileHead", "n_quantiles", NO_COUNT),
    ("ExponentialSchedule", "start", (*NO_NUMBER, 0)),
    ("ExponentialSchedule", "end", (*NO_NUMBER, 0)),
    ("ExactCheckpoint", "freq", NO_COUNT),
    ("GroupedSubprocVecEnv", "n_processes", NO_COUNT),
    *(
        (buffer, *row)
        for buffer in ("FrameReplayBuffer", "PrioritizedFrameReplayBuffer")
        for row in (
            ("buffer_size", NO_COUNT),
            ("n_steps", NO_COUNT),
            ("frame_channels", NO_COUNT),
            ("gamma", NO_SHARE),
            ("observation_space", (None, "x", ACTIONS, spaces.Box(0, 1, ()))),
        )
    ),
    ("PrioritizedFrameReplayBuffer", "alpha", NO_NUMBER),
    ("PrioritizedFrameReplayBuffer", "beta", NO_SHARE),
    ("PrioritizedFrameReplayBuffer", "beta_steps", NO_COUNT[1:]),
    ("PrioritizedFrameReplayBuffer", "eps", (*NO_NUMBER, 0)),
    *(("CarDQN", name, NO_COUNT) for name in ("buffer_size", "batch_size", "n_steps", "target_update_interval", "train_freq")),
    ("CarDQN", "exploration_steps", NO_COUNT[1:]),
    ("CarDQN", "learning_starts", (None, True, "4", [], NAN, -0.5)),
    ("CarDQN", "gradient_steps", (None, True, "4", -2, 0.5, NAN)),
    *(("CarDQN", name, NO_SHARE) for name in ("tau", "gamma", "exploration_initial_eps", "exploration_final_eps", "advantage_learning")),
    ("CarDQN", "advantage_learning", (1, 1.0)),
    ("CarDQN", "exploration_fraction", NO_NUMBER),
    ("CarDQN", "max_grad_norm", (True, "4", [], NAN, -0.5)),
    ("CarDQN", "exploration_decay", (None, True, "lineal", [], 3)),
    *(("CarDQN", name, NO_FLAG) for name in ("double_q", "mixed_precision")),
    *(("CarRacingWrapper", name, NO_FLAG) for name in ("fast_render", "training")),
    *(("CarRacingCNN", name, NO_FLAG) for name in ("layer_norm", "normalized_image")),
    ("GrayscaleObservation", "keep_dim", NO_FLAG),
    ("CarDQN", "overlap", NO_FLAG[1:]),
    ("CarDQNPolicy", "net_arch", (True, "x", 3, [0], [-1], ["a"], [NAN], {"x": 1})),
    ("CarDQNPolicy", "average_fraction", (*NO_SHARE[1:], 0)),
]  # fmt: skip
# Python and torch say what they need
UNCHECKED = {"DuelingHead", "load_policy", "load_pretrained", "load_weights"}


@pytest.mark.parametrize(
    ("who", "argument", "values"),
    TABLE,
    ids=[f"{row[0]}-{row[1]}-{i}" for i, row in enumerate(TABLE)],
)
def test_a_wrong_argument_is_named_with_its_value(who: str, argument: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(REFUSED) as error:
            CALLS[who]({argument: value})
        text = str(error.value)
        assert argument in text, text
        shown = [value, *value] if isinstance(value, list) else [value, type(value).__name__]
        assert any(not missing(form, text) for part in shown for form in (repr(part), str(part))), text


@pytest.mark.parametrize(
    ("who", "wrong", "named"),
    [
        ("CarDQN", {"policy": "MlpPolice"}, "MlpPolice"),
        ("CarDQN", {"policy_kwargs": {"head_clas": 1}}, "'head_clas'"),
        ("CarDQN", {"learning_rate": -1}, "CarDQN | learning_rate | -1"),
        ("CarDQN", {"policy_kwargs": {"head_class": "DuelingHead"}}, "head_class | 'DuelingHead'"),
        ("CarDQN", {"train_freq": (1, "lap")}, "'step' | 'episode' | 'lap'"),
        ("CarDQN", {"device": "gpu"}, "gpu"),
        ("FrameReplayBuffer", {"buffer_size": 10**30}, "FrameReplayBuffer | buffer_size | 1000000000000000000000000000000"),
        ("load_policy", {"path": "absent"}, "'absent'"),
        ("load_policy", {"path": "."}, "'.'"),
        ("load_pretrained", {"name": "cardqm"}, "'cardqm' | 'cardqn'"),
        ("load_weights", {"path": "absent.zip"}, "'absent.zip'"),
        ("load_weights", {"path": "cardqn"}, "observation_space | (4, 64, 48) uint8 | (4,) float32"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(who: str, wrong: dict[str, Any], named: str) -> None:
    with error_naming((ValueError, TypeError, RuntimeError), named):
        CALLS[who](wrong)


def test_every_public_name_has_a_row() -> None:
    assert {row[0] for row in TABLE} | UNCHECKED >= set(sb3_cardqn.__all__)
    assert CALLS.keys() == {row[0] for row in TABLE} | {"load_policy", "load_pretrained", "load_weights"}


# ---- the command line and its YAML, in this process ----

WRAPPED = "CarRacing-v3: {n_timesteps: 10, policy: CnnPolicy, env_wrapper: [%s]}"


@pytest.mark.parametrize(
    ("typed", "config", "named"),
    [
        ("trian", "", "'trian' | 'train'"),
        ("train --algo cardqm", "", "'cardqm' | 'cardqn'"),
        ("train --env CarRacing-v4", "", "'CarRacing-v4' | 'CarRacing-v3'"),
        ("train -n many", "", "-n/--n-timesteps | 'many'"),
        ("train -n 0", "", "-n | 0"),
        ("train -params gamma", "", "-params | 'gamma'"),
        ("train -params learning_rate:lin_5e-4", "", "-params | \"'lin_5e-4'\" | learning_rate:lin_5e-4"),
        ("train --env-kwargs domain_randomize:yes", "", "--env-kwargs | domain_randomize:yes"),
        ("train --minutes nan", "", "--minutes | nan"),
        ("train --minutes 0", "", "--minutes | 0"),
        ("train --minutes 1 --algo ars", "", "--minutes | ars"),
        ("train -optimize --max-total-trials 0", "", "--max-total-trials | 0"),
        ("train -optimize --storage study.db", "", "--storage | .log | sqlite:/// | 'study.db'"),
        ("train -optimize --algo crossq", "", "-optimize | crossq"),
        ("train --run-id 3 -uuid", "", "--run-id 3 | -uuid"),
        ("train -params callback:rl_zoo3.callbacks.RawStatisticsCallback", "", "-params | callback"),
        ("enjoy --env-kwargs domain_randomize", "", "--env-kwargs | domain_randomize"),
        ("record_video --env-kwargs lap_complete_percent:high", "", "--env-kwargs | high"),
        ("train --minutes 5 -n 100", "", "--minutes | -n | 5 | 100"),
        ("train --minutes 5 --eval-freq 50", "", "--n-evaluations | --eval-freq 50"),
        ("train --minutes 5 -optimize", "", "-optimize | -n"),
        ("train -n 100 --n-evaluations 4", "", "--n-evaluations | --minutes | -optimize | --eval-freq | 4"),
        ("train --minutes soon", "", "--minutes | 'soon'"),
        ("train --checkpoint-freq 0", "", "--checkpoint-freq | 0"),
        ("train --run-id x", "", "--run-id | 'x'"),
        ("train --gym-packages absent_package", "", "'absent_package'"),
        ("train --env CartPole-v1 -params gama:0.9", "", "'gama' | 'gamma'"),
        ("train --env CartPole-v1 -params seed:1", "", "'seed' | --seed"),
        ("train --env CartPole-v1 -params device:'cpu'", "", "'device' | --device"),
        ("train --env CartPole-v1 -params gamma:2", "", "CarDQN | gamma | 2"),
        ("train --env CartPole-v1 -params batch_size:True", "", "CarDQN | batch_size | True"),
        ("train -conf absent.yml", "", "absent.yml"),
        ("train -conf c.yml", "CarRacing-v3: {n_timesteps: 10, polic: CnnPolicy}", "'polic' | 'policy'"),
        ("train -conf c.yml", "CarRacing-v3: [1", "'c.yml' | line 1"),
        ("train -conf c.yml", WRAPPED % "sb3_cardqn.FrameStak", "sb3_cardqn.FrameStak"),
        ("train -conf c.yml", WRAPPED % "{sb3_cardqn.FrameSkip: {skip: 0}}", "FrameSkip | skip | 0"),
        ("train -conf c.yml", WRAPPED % "{sb3_cardqn.FrameSkip: {skp: 2}}", "'skp'"),
        ("play absent", "", "'absent'"),
        ("play cardqn --first x", "", "--first | 'x'"),
        ("play cardqn --first -1", "", "-1"),
        ("play cardqn cardqn_any_colors", "", "cardqn_any_colors | --watch"),
        ("evaluate cardqn --csv x --json x", "", "--json | --csv | 'x'"),
        ("export cardqn -o x.zip", "", "-o | .safetensors | 'x.zip'"),
        ("compare dqn -n 1000 --dry-run --output=", "", "--output | ''"),
        ("enjoy --exp-id 9", "", "9 | cardqn"),
        ("evaluate absent", "", "'absent'"),
        ("evaluate --tracks 0", "", "--tracks | 100 | 0"),
        ("evaluate --first 7", "", "200000 | 200099 | 7"),
        ("evaluate --first 1 --validation", "", "--validation | --first"),
        ("evaluate cardqn --processes 0", "", "--processes | 0"),
        ("evaluate cardqn --config absent.yml", "", "'absent.yml'"),
        ("evaluate cardqn --algo cardqm", "", "'cardqm' | 'cardqn'"),
        ("evaluate --checkpoint bset", "", "--checkpoint | 'bset'"),
        ("evaluate --json .", "", "'.'"),
        ("race absent", "", "'absent'"),
        ("race --tracks 7", "", "--tracks | 6 | 7"),
        ("race cardqn -o race.avi", "", ".mp4 | .gif | .png | 'race.avi'"),
        ("race cardqn -o race.png --gif", "", "--gif | 'race.png'"),
        ("race cardqn --first 5", "", "5"),
        ("bench to900 -n 0", "", "-n | 1 | 0"),
        ("bench to900 --seeds 0", "", "seeds | 1 | 0"),
        ("compare dqn --vec-env subproc --launcher ray -n 1000", "", "vec_env | subproc | local | ray"),
        ("compare", "", "contestants"),
        ("compare cardqm -n 1000", "", "'cardqm' | 'cardqn'"),
        ("compare --plan c.yml", "contestants: [dqn]\nn_timestep: 5", "'n_timestep' | 'n_timesteps'"),
        ("compare dqn --minutes nan", "", "minutes | nan"),
        ("compare ars --minutes 1", "", "minutes | 1 | ars"),
        ("train --seed 99999", "", "--seed | 0 | 99984 | 16"),
        ("plot_train -a cardqn -e CarRacing-v3 -f absent", "", "absent"),
        ("race . ", "", "'.'"),
        ("evaluate cardqn_any_color", "", "'cardqn_any_colors'"),
        ("all_plots", "", "-a | --algos"),
        ("plot_from_file -i absent.pkl", "", "-i | 'absent.pkl'"),
        ("plot_train", "", "-a/--algo"),
        ("record_video", "", "cardqn | CarRacing-v3 | 'logs'"),
        ("push_to_hub -orga x", "", "cardqn | CarRacing-v3 | 'logs'"),
        ("race cardqn -o absent/race.mp4", "", "'absent/race.mp4'"),
        ("resume", "", "run"),
        ("resume absent", "", "'absent'"),
        ("export absent", "", "'absent'"),
        ("export c.yml", "no: zip", "c.yml"),
        ("export x --algo ppo", "", "--algo | 'ppo'"),
        ("bench", "", "what"),
        ("bench envs", "", "'envs'"),
        ("bench env --json absent/x.json", "", "'absent/x.json'"),
        ("bench learn --json absent/x.json", "", "'absent/x.json'"),
        ("bench picture absent/x.png", "", "'absent/x.png'"),
        ("bench picture drawn", "", ".png | 'drawn'"),
        ("bench env --frames ten", "", "'ten'"),
        ("bench agent --tracks 1", "", "--tracks | 2 | 1000 | 1"),
        ("bench agent absent", "", "'absent'"),
        ("bench learn --rounds 0", "", "--rounds | 1 | 0"),
        ("bench decision --decisions 0", "", "--decisions | 1 | 0"),
        ("bench checkpoint --freq 0", "", "--transitions | --freq | 300000 | 0"),
        ("bench checkpoint --folder absent", "", "absent"),
        # abbreviations pass the zoo, and would pass by what is checked here
        ("train --se 5", "", "'--se' | '--seed'"),
        ("train --n-time 0", "", "'--n-time' | '--n-timesteps'"),
        ("train --eval-e=0", "", "'--eval-e' | '--eval-episodes' | '--eval-env-kwargs'"),
        ("enjoy --alg ppo", "", "'--alg' | '--algo'"),
        ("record_video --fold x", "", "'--fold' | '--folder'"),
        ("push_to_hub -orga x --load-b", "", "'--load-b' | '--load-best'"),
        ("load_from_hub --orga x", "", "'--orga' | '--organization'"),
        ("all_plots --algo x", "", "'--algo' | '--algos'"),
        ("train cardqn", "", "'cardqn'"),
        # numbers, paths and studies of train
        ("train --num-threads 100000", "", "--num-threads | 1024 | 100000"),
        ("enjoy --num-threads 100000", "", "--num-threads | 1024 | 100000"),
        ("train --log-interval 0", "", "--log-interval"),
        ("train --eval-episodes 0", "", "--eval-episodes | 0"),
        ("train --n-eval-envs 0", "", "--n-eval-envs | 0"),
        ("record_video --n-envs 0", "", "--n-envs | 0"),
        ("train -optimize --n-evaluations 0", "", "--n-evaluations | 0"),
        ("train -optimize --n-trials 0", "", "--n-trials | 0"),
        ("train -optimize --n-startup-trials -1", "", "--n-startup-trials | -1"),
        ("train -optimize --n-jobs 0", "", "--n-jobs | 0"),
        ("train --run-id -1", "", "--run-id | -1"),
        ("train --env CartPole-v1 --seed 4294967296", "", "--seed | 4294967295 | 4294967296"),
        ("train -i absent.zip", "", "-i | 'absent.zip'"),
        ("train -i absent.safetensors", "", "'absent.safetensors'"),
        ("train -i cardqm", "", "-i | 'cardqm' | cardqn"),
        ("train -i cardqn -optimize", "", "-optimize | -i cardqn"),
        ("train -f=", "", "-f | ''"),
        ("train -f c.yml", "a: b", "-f | 'c.yml'"),
        ("train -tb c.yml/tb", "a: b", "-tb | 'c.yml/tb'"),
        ("train -optimize --optimization-log-path c.yml", "a: b", "--optimization-log-path | 'c.yml'"),
        ("train --env CartPole-v1 -params train_freq:(1,'episode') n_envs:2", "", "train_freq | n_envs | 2"),
        ("train --storage c.log", "", "--study-name"),
        ("train --trial-id 0", "", "--storage"),
        ("train --storage absent.log --study-name x", "", "'absent.log'"),
        ("train --env CartPole-v1 --storage nowhere --study-name x", "", "--storage | 'nowhere'"),
        ("train --env PongNoFrameskip-v4", "", "'PongNoFrameskip-v4' | pip install ale-py"),
        ("compare dqn -n 9 --env ALE/Pong-v5", "", "pip install ale-py"),
        ("train --env MinAtar/Breakout-v1", "", "'MinAtar/Breakout-v1' | pip install MinAtar"),
        ("train --env highway-v0", "", "'highway-v0' | pip install highway-env"),
        ("evaluate cardqn --env highway-fast-v0", "", "'highway-fast-v0' | pip install highway-env"),
        ("train --env MiniGrid-Empty-5x5-v0", "", "'MiniGrid-Empty-5x5-v0' | pip install minigrid"),
        ("train --env PandaReach-v3 --algo sac", "", "'PandaReach-v3' | pip install panda-gym"),
        ("train --env AntBulletEnv-v0 --algo sac", "", "'AntBulletEnv-v0' | pip install pybullet-envs-gymnasium"),
        ("train --env Pendulum-v1", "", "CarDQN | Discrete | Box(-2.0, 2.0, (1,), float32) | DiscretizeActions | SAC"),
        ("train --env CartPole-v1 -params policy:'MultiInputPolicy'", "", "CombinedExtractor | (4,) | MlpPolicy"),
        ("compare dqn -n 9 --seeds 31069", "", "seeds | 100 | --seed 31069"),
        ("compare dqn -n 9 --seeds 5000000000", "", "seeds | 100 | 5000000000"),
        ("compare dqn -n 9 --seed 3 --seeds 3", "", "--seeds | --seed"),
        ("train --gym-packages absent_package", "", "--gym-packages | 'absent_package'"),
        ("train -conf absent", "", "-conf | .yml | .py | 'absent'"),
        ("train -conf json", "", "'json' | CarRacing-v3"),
        ("train -i c.yml.zip", "", "-i | 'c.yml.zip'"),
        ("compare --plan c.yml", "contestants: [dqn]\nn_timesteps: 50\nenv: [1]", "env | [1]"),
        ("export cardqn -o c.yml/x", "a: b", "'c.yml/x'"),
        ("export c.yml", "no: zip", "'c.yml'"),
        ("plot_from_file", "", "-i | --input"),
        ("plot_train -a dqn -e CartPole-v1 -f logs -w 0", "", "-w | 0"),
        ("enjoy --env qqq", "", "'qqq'"),
        ("--verison", "", "'--verison' | '--version'"),
        ("--algo dqn train", "", "'--algo' | COMMAND"),
        ("train --learning-rate 1e-3", "", "'--learning-rate' | -params"),
        ("train -params policy_kwargs:dict(head_class=DualingHead)", "", "DualingHead | 'sb3_cardqn.DuelingHead'"),
        ("train --env CartPole-v1 -params policy:'MlpPolcy'", "", "'MlpPolcy' | 'MlpPolicy'"),
        ("train --env CartPole-v1 -conf c.yml", "CartPole-v1: {n_timesteps: 9, policy: CnnPolcy}", "'c.yml' | 'CnnPolicy'"),
        ("evaluate c.yml", "a: b", "'c.yml' | .zip | .safetensors"),
        ("evaluate absent.zip", "", "'absent.zip'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(
    typed: str,
    config: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if config:
        Path("c.yml").write_text(config)
    with pytest.raises(SystemExit) as stopped:
        cli.main(typed.split())
    assert stopped.value.code == 2
    errors = capsys.readouterr().err
    assert not missing(named, errors.strip().splitlines()[-1]), errors
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


# a file of hyperparameters for CartPole-v1 -> what the error names
CONFIGS = {
    "": "'c.yml' | CartPole-v1",
    "- a": "'c.yml' | CartPole-v1",
    "just text": "'c.yml' | 'just text'",
    "Other-v1: {policy: MlpPolicy, n_timesteps: 200}": "'c.yml' | CartPole-v1 | Other-v1",
    "CartPole-v0: {policy: MlpPolicy, n_timesteps: 200}": "'c.yml' | CartPole-v1 | 'CartPole-v0'",
    "CartPole-v1:": "'c.yml' | CartPole-v1 | None",
    "CartPole-v1: [1]": "'c.yml' | CartPole-v1 | [1]",
    "default: 5": "'c.yml' | default | 5",
    "CartPole-v1: {5: 6}": "'c.yml' | {5: 6}",
    "CartPole-v1: {policy: MlpPolicy}": "'c.yml' | n_timesteps",
    "CartPole-v1: {n_timesteps: 9}": "'c.yml' | policy",
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
    with error_naming(UserError, CONFIGS[config]):
        run("train", ["--env", "CartPole-v1", "-conf", "c.yml"])
    assert not list(tmp_path.glob("logs/*/*"))


@pytest.mark.parametrize("entry", ["CartPole-v1", "default"])
@pytest.mark.parametrize(("name", "value", "shown"), CONFIG_VALUES)
def test_a_value_that_the_zoo_cannot_use_is_named_with_its_file(
    name: str, value: str, shown: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")
    right = {"policy": "MlpPolicy", "n_timesteps": "200"}
    Path("c.yml").write_text(
        f"{entry}: {{" + ", ".join(f"{key}: {text}" for key, text in (right | {name: value}).items()) + "}"
    )
    with error_naming(UserError, f"'c.yml' | {name} | {shown}"):
        run("train", ["--env", "CartPole-v1", "-conf", "c.yml"])
    assert not list(tmp_path.glob("logs/*/*"))


def test_a_value_from_the_command_line_is_named_as_typed() -> None:
    with error_naming(UserError, "-params | n_envs | 0"):
        run("train", ["--env", "CartPole-v1", "-params", "n_envs:0"])


def test_a_folder_of_runs_is_answered_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(
        "train",
        [
            "--algo",
            "dqn",
            "--env",
            "CartPole-v1",
            "-n",
            "50",
            "--eval-freq",
            "-1",
            "-params",
            "learning_starts:40",
        ],
    )
    made = "logs/dqn/CartPole-v1_1"
    with error_naming(UserError, f"'logs' | {made}"):
        find_agents("logs")
    with error_naming(UserError, f"'{made}' | {made}/CartPole-v1.zip"):
        run("train", ["--env", "CartPole-v1", "-i", made])
    with error_naming(UserError, f"--checkpoint-freq | -i {made}/CartPole-v1.zip"):
        resume(Path(made))
    with error_naming(UserError, f"'logs/dqn/CartPole-v1_11' | '{made}'"):
        resume(Path("logs/dqn/CartPole-v1_11"))


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
    except REFUSED as error:
        text = str(error)
    else:
        text = who
    assert who in text or argument in text or repr(value) in text


@given(st.integers(1, 9), st.integers(1, 30), st.floats(0, 1))
@settings(max_examples=20)
def test_what_fits_makes_a_buffer_that_samples(n_steps: int, size: int, gamma: float) -> None:
    buffer = sb3_cardqn.FrameReplayBuffer(size, STACK, ACTIONS, "cpu", n_steps=n_steps, gamma=gamma)
    frames = np.zeros((1, *STACK.shape), np.uint8)
    buffer.add(frames, frames, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    batch = buffer.sample(3)
    assert batch.observations.shape == (3, *STACK.shape)
    assert th.isfinite(batch.rewards).all()
