"""What a checkpoint is made with is compared where it goes on: settings, versions, what it leaves out."""

import contextlib
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.utils import FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecEnvWrapper, VecMonitor, VecNormalize

from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.checkpoint.files import CheckpointWarning, newest_checkpoint
from sb3_cardqn.checkpoint.made_with import described
from sb3_cardqn.durable import read_signed_json, write_signed_json
from sb3_cardqn.errors import UserError
from tests.named import error_naming, missing
from tests.small_training import At, agent, cart_pole

TOTAL = 400


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, of agent steps 204 and 300."""
    folder = tmp_path_factory.mktemp("written")
    agent().learn(300, callback=ExactCheckpoint(folder, 100))
    edit(folder, lambda content: content.update(total=TOTAL))  # as if it was to go on
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


def go_on(folder: Path, total: int = TOTAL, **kwargs: Any) -> int:
    model = agent(**kwargs)
    model.learn(total, callback=ExactCheckpoint(folder, 100, resume=True))
    return model.num_timesteps


def test_with_the_same_settings_it_goes_on_without_a_word(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        assert go_on(folder) >= TOTAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 0.5),
        ("learning_rate", 1e-3),
        ("learning_rate", LinearSchedule(1e-4, 0, 1)),
        ("batch_size", 31),
        ("target_update_interval", 9999),
        ("exploration_fraction", 0.2),
        ("exploration_decay", "cosine"),
        ("double_q", True),
        ("train_freq", 4),
        ("overlap", True),
        ("policy_kwargs", {"optimizer_class": th.optim.RMSprop}),
        ("policy_kwargs", {"optimizer_kwargs": {"eps": 1e-3}}),
    ],
)
def test_another_setting_is_named_before_anything_is_trained(folder: Path, name: str, value: Any) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with error_naming(UserError, name):
        go_on(folder, **{name: value})
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("freq", "greedy", "named"),
    [
        (90, True, None),
        (70, True, "1.EvalCallback.eval_freq | 90 | 70"),
        (90, False, "1.EvalCallback.deterministic | True | False"),
    ],
)
def test_another_argument_of_a_callback_is_named(
    tmp_path: Path, freq: int, greedy: bool, named: str | None
) -> None:
    def evaluation(freq: int, greedy: bool = True) -> EvalCallback:
        return EvalCallback(cart_pole(), eval_freq=freq, n_eval_episodes=1, verbose=0, deterministic=greedy)

    agent().learn(
        300, callback=[ExactCheckpoint(tmp_path, 100), evaluation(50), evaluation(90), evaluation(50)]
    )
    edit(tmp_path, lambda content: content.update(total=TOTAL))
    with error_naming(UserError, named) if named else contextlib.nullcontext():
        again = [evaluation(50), evaluation(freq, greedy), evaluation(50)]
        agent().learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 100, resume=True), *again])


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the lists of all checkpoints, with the right checksum."""
    for path in folder.glob("checkpoint-*.json"):
        content = read_signed_json(path)
        change(content)
        write_signed_json(path, content)


def test_schedules_span_a_new_total_which_is_named(folder: Path) -> None:
    model = agent()
    with pytest.warns(CheckpointWarning, match=f"{TOTAL}.*800"):
        model.learn(800, callback=ExactCheckpoint(folder, 100, resume=True))
    assert model.num_timesteps > 2 * TOTAL - 10
    # with the old total it would be -1: a rate that falls to 0 would be negative
    assert model._current_progress_remaining == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    "library", ["python", "torch", "numpy", "gymnasium", "stable_baselines3", "sb3_cardqn"]
)
def test_another_version_is_named_and_it_goes_on(folder: Path, library: str) -> None:
    edit(folder, lambda content: content["versions"].update({library: "0.0.1"}))
    with pytest.warns(CheckpointWarning, match=rf"{library} 0\.0\.1\b"):
        assert go_on(folder) >= TOTAL


PARTS = (
    "format", "agent_steps", "total", "agent", "settings", "versions", "buffer", "clocks", "envs", "callbacks", "log",
    "buffer_numbers", "random", "rows", "segments", "own",
)  # fmt: skip


def test_these_are_all_parts(written: Path) -> None:
    newest = newest_checkpoint(written)
    assert newest is not None
    assert set(newest.content) == set(PARTS)


WRONG: tuple[Any, ...] = ("missing", None, [], {}, [[1]], "text", -1)


@pytest.mark.filterwarnings("ignore::sb3_cardqn.checkpoint.made_with.CheckpointWarning")
@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        (part, wrong)
        for part in PARTS
        if part != "total"  # for a warning only
        for wrong in WRONG
        # no other callbacks, an empty buffer, versions that all differ: that can be
        if (part, wrong) not in (("callbacks", []), ("segments", []), ("versions", {}))
    ],
)
def test_a_signed_list_that_is_incomplete_is_refused_in_one_line(folder: Path, part: str, wrong: Any) -> None:
    def spoil(content: dict[str, Any]) -> None:
        content.pop(part) if wrong == "missing" else content.update({part: wrong})

    edit(folder, spoil)
    with pytest.raises(UserError) as refused:
        go_on(folder)
    assert "\n" not in str(refused.value)


def test_the_complete_one_before_is_used(folder: Path) -> None:
    newest = sorted(folder.glob("checkpoint-*.json"))[-1]
    content = read_signed_json(newest)
    del content["random"]
    write_signed_json(newest, content)
    with pytest.warns(CheckpointWarning, match=newest.name):
        assert go_on(folder) >= TOTAL


class Scales(VecEnvWrapper):
    """A user's own, which remembers."""

    def __init__(self, venv: Any) -> None:
        super().__init__(venv)
        self.largest = 1.0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.largest = max(self.largest, float(np.max(rewards)))
        return obs, rewards / self.largest, dones, infos


class RemembersNothing(Scales):
    def __init__(self, venv: Any) -> None:
        VecEnvWrapper.__init__(self, venv)

    def step_wait(self) -> Any:
        return self.venv.step_wait()


class MyNormalize(VecNormalize):
    steps = 0


@pytest.mark.parametrize(
    ("wrap", "named"),
    [
        (Scales, "Scales | largest"),
        (lambda env: VecNormalize(Scales(env)), "Scales | largest"),
        (MyNormalize, "MyNormalize"),
        (RemembersNothing, None),
        (lambda env: VecNormalize(VecMonitor(env)), None),
    ],
)
def test_what_a_wrapper_of_the_users_own_remembers_is_not_dropped_in_silence(
    tmp_path: Path, wrap: Callable[[Any], Any], named: str | None
) -> None:
    model = agent(wrap(cart_pole()))
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        model.learn(100, callback=ExactCheckpoint(tmp_path, 50))
    texts = [str(one.message) for one in given if one.category is CheckpointWarning]
    assert len(texts) == (named is not None)
    if named is not None:
        assert not missing(named, texts[0])


@pytest.mark.parametrize("noise", [NormalActionNoise, OrnsteinUhlenbeckActionNoise])
def test_noise_that_remembers_is_named(tmp_path: Path, noise: Any) -> None:
    model = SAC("MlpPolicy", "Pendulum-v1", action_noise=noise(np.zeros(1), np.ones(1)), buffer_size=100)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        model.learn(20, callback=[ExactCheckpoint(tmp_path, 10), At(20, lambda: None)])
    named = [one for one in given if one.category is CheckpointWarning and noise.__name__ in str(one.message)]
    assert bool(named) == (noise is OrnsteinUhlenbeckActionNoise)


def test_noise_of_use_sde_is_left_out_and_named(tmp_path: Path) -> None:
    model = SAC("MlpPolicy", "Pendulum-v1", use_sde=True, buffer_size=100)
    with pytest.warns(CheckpointWarning, match="use_sde"):
        model.learn(20, callback=ExactCheckpoint(tmp_path, 10))


def a_function(progress_remaining: float) -> float:
    return progress_remaining


def test_settings_are_described_as_json_gives_them_back() -> None:
    assert described({"net_arch": (64, 32), 3: np.float32(0.5), "none": None}) == {
        "net_arch": [64, 32], "3": 0.5, "none": None,
    }  # fmt: skip
    assert described(a_function) == f"{__name__}.a_function"
    assert described(partial(a_function, 1)) == [f"{__name__}.a_function", [1], {}]
    schedule = "stable_baselines3.common.utils.LinearSchedule"
    assert described(FloatSchedule(LinearSchedule(1, 0, 0.5))) == [
        schedule, {"start": 1, "end": 0, "end_fraction": 0.5},
    ]  # fmt: skip
