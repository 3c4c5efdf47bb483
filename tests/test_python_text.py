import importlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import rl_zoo3
import torch as th
import yaml
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

import sb3_cardqn
from sb3_cardqn import python_text
from sb3_cardqn.env import actions
from sb3_cardqn.python_text import NotDataError, code_in, evaluate, look_up
from tests.command_line import ROOT

ZOO = Path(rl_zoo3.__file__).parent / "hyperparams"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dict(net_arch=[256, 256], activation_fn=nn.ReLU)", {"net_arch": [256, 256], "activation_fn": th.nn.ReLU}),
        (" dict( eps=-1e-5, betas=(0.9, 1), )\n", {"eps": -1e-5, "betas": (0.9, 1)}),
        ("{'norm_obs': False, 1: [None, 'x', []]}", {"norm_obs": False, 1: [None, "x", []]}),
        ("tuple([1, list((2,))])", (1, [2])),
        ("RMSpropTFLike", RMSpropTFLike),
        ("HerReplayBuffer", HerReplayBuffer),
        ("th.optim.AdamW", th.optim.AdamW),
        ("sb3_cardqn.DuelingHead", sb3_cardqn.DuelingHead),
        ("sb3_cardqn.common.wrappers.FrameSkip", sb3_cardqn.FrameSkip),
        ("gymnasium.wrappers.TimeLimit", gym.wrappers.TimeLimit),
        ("1e999", float("inf")),
    ],
)  # fmt: skip
def test_data_is_read_as_python_reads_it(text: str, value: Any) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "open('x')", "print", "nn.ReLU()", "nn.Module", "nn", "lin_5e-4", "",
        "nn.utils.ReLU", "os.ReLU", "[0] * 9", "dict(**{'a': 1})", "dict(*[[]])", "{**{}}", "f'{1}'", "lambda: 0", "(x := 1)",
        "[x for x in (1,)]", "1 if 1 else 2", "dict.__subclasses__()", "(1).__class__", "{}[0]", "dict(1)", "{[]: 1}",
        "sb3_cardqn.load_policy", "sb3_cardqn.ExactCheckpoint", "a.b.FrameSkip",
        "sb3_cardqn.importlib.import_module('os').system('true').FrameSkip", "sb3_cardqn.f(1).FrameSkip",
        "sb3_cardqn[0].FrameSkip", "(sb3_cardqn or 1).FrameSkip", "sb3_cardqn.f'{1}'.FrameSkip",
        "(" * 5000, "-" * 5000 + "1", "\0", "1; 2", "import os", "--1", "not 1", "-'a'",
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(NotDataError):
        evaluate(text)


@pytest.mark.parametrize("name", ["ACTION_SETS", "DiscretizeActions"])
def test_the_old_path_of_actions_still_leads_to_them(name: str) -> None:
    with pytest.warns(FutureWarning, match=name):
        assert getattr(importlib.import_module("sb3_cardqn.common.wrappers"), name) is getattr(actions, name)


def test_a_name_is_looked_up_as_the_zoo_imports_it() -> None:
    assert look_up("rl_zoo3.wrappers.FrameSkip").__module__ == "rl_zoo3.wrappers"
    for alias in ("nn.ReLU", "HerReplayBuffer", "sb3.HerReplayBuffer", "th.nn.ReLU"):  # other modules there
        with pytest.raises(NotDataError):
            look_up(alias)


def test_every_class_of_the_table_is_there() -> None:
    names = [f"{package}.{name}" for package, classes in python_text._CLASSES.items() for name in classes]
    for name in names:
        if not name.startswith("minigrid."):  # not installed
            assert isinstance(look_up(name), type), name
    classes = {name for name in sb3_cardqn.__all__ if isinstance(getattr(sb3_cardqn, name), type)}
    # an agent is no part of one, and this callback writes files
    assert python_text._CLASSES["sb3_cardqn"] == classes - {"CarDQN", "ExactCheckpoint"}


def test_what_the_zoo_and_this_package_ship_is_data() -> None:
    files = [*ZOO.glob("*.yml"), *(ROOT / "hyperparams").glob("*.yml")]
    found = set()
    for path in files:
        for env_id, hyperparams in yaml.safe_load(path.read_text()).items():
            code = code_in(hyperparams)
            if code is not None and not code.startswith("minigrid."):  # not installed
                found.add((env_id, code))
    # neither is there; the first would load a file that an environment variable names
    assert {code for _, code in found} == {
        "ae.wrapper.AutoencoderWrapper",
        "gymnasium.wrappers.time_limit.TimeLimit",
    }


@pytest.mark.parametrize(
    ("hyperparams", "code"),
    [
        ({"policy": "MlpPolicy", "learning_rate": "lin_5e-4", "noise_type": "normal"}, None),
        ({"policy": "evil.Policy"}, "evil.Policy"),
        ({"env_wrapper": None, "normalize": True, "policy_kwargs": {"net_arch": [1]}}, None),
        ({"env_wrapper": "evil"}, "evil"),
        ({"env_wrapper": "sb3_cardqn.evil().FrameSkip"}, "sb3_cardqn.evil().FrameSkip"),
        ({"env_wrapper": ["sb3_cardqn.FrameSkip", {"evil.W": {"a": 1}}]}, "evil.W"),
        ({"env_wrapper": [{"sb3_cardqn.FrameSkip": {"skip": "evil"}}]}, None),
        ({"vec_env_wrapper": {"stable_baselines3.common.vec_env.VecMonitor": {"filename": "x"}}},
         "stable_baselines3.common.vec_env.VecMonitor"),
        ({"callback": [{"stable_baselines3.common.callbacks.CheckpointCallback": {}}]},
         "stable_baselines3.common.callbacks.CheckpointCallback"),
        ({"monitor_kwargs": "dict(info_keywords=('x',))"}, None),
        ({"monitor_kwargs": "evil()"}, "evil()"),
        ({"replay_buffer_class": "evil"}, "evil"),
        ({"replay_buffer_kwargs": "evil"}, "evil"),
        ({"normalize": "evil"}, "evil"),
        ({"policy_kwargs": "dict(a=evil)"}, "dict(a=evil)"),
    ],
)  # fmt: skip
def test_code_is_found_wherever_the_zoo_would_run_it(hyperparams: dict[str, Any], code: str | None) -> None:
    assert code_in(hyperparams) == code
