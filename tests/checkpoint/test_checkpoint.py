import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnNoModelImprovement,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import SimpleMultiObsEnv
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from sb3_cardqn import FrameReplayBuffer, PrioritizedFrameReplayBuffer
from sb3_cardqn.checkpoint import state
from sb3_cardqn.checkpoint.exact import ExactCheckpoint, Stopped
from sb3_cardqn.checkpoint.files import CheckpointWarning, newest_checkpoint
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import NotFiniteError, UserError
from tests.devices import DEVICES, PAIRS
from tests.named import error_naming, missing
from tests.small_training import (
    TOTAL,
    At,
    Crash,
    agent,
    cart_pole,
    crash,
    fingerprint,
    killed,
    stacked_dots,
    uninterrupted,
)

Make = Callable[..., Any]


def dots(**kwargs: Any) -> Any:
    env = cart_pole(stacked_dots, vec_env_cls=kwargs.pop("vec_env_cls", None))
    return agent(env, **{"replay_buffer_class": FrameReplayBuffer} | kwargs)


def normalized(**kwargs: Any) -> Any:
    return agent(VecNormalize(VecFrameStack(VecMonitor(cart_pole()), 2)), **kwargs)


AGENTS: dict[str, Make] = {
    "CarDQN": agent,
    "n-step": partial(agent, n_steps=3),
    "averaged": partial(agent, policy_kwargs={"average_fraction": 0.2}),
    "drop-out": partial(agent, policy_kwargs={"activation_fn": nn.Dropout}),
    "episodes": lambda **kwargs: agent(cart_pole(n_envs=1), train_freq=(2, "episode"), **kwargs),
    "frames": dots,
    "prioritized frames": partial(
        dots,
        replay_buffer_class=PrioritizedFrameReplayBuffer,
        n_steps=2,
        replay_buffer_kwargs={"beta_steps": 500},
    ),
    "wrappers of the vector": normalized,
    "other processes, overlapped": partial(dots, vec_env_cls=GroupedSubprocVecEnv),
    "SB3's processes": lambda **kwargs: agent(cart_pole(vec_env_cls=SubprocVecEnv), **kwargs),
    "SB3's DQN": partial(agent, cls=DQN),
    "QRDQN on frames": partial(dots, cls=QRDQN),
}


def interrupted(make: Make, folder: Path, at: int, freq: int = 100, **kwargs: Any) -> Any:
    """Train until a crash, then go on with another agent, as another process would."""
    model = make()
    callbacks = kwargs.pop("callbacks", list)
    with pytest.raises(Crash):
        model.learn(TOTAL, callback=[ExactCheckpoint(folder, freq), *callbacks(), At(at, crash)], **kwargs)
    model.env.close()
    model = make()
    random.seed(1), np.random.seed(1), th.manual_seed(1)
    after = callbacks()
    model.learn(
        TOTAL,
        callback=[ExactCheckpoint(folder, freq, resume=True), *after, At(TOTAL, lambda: None)],
        **kwargs,
    )
    model.env.close()
    return (model, after) if after else model


def resumed(make: Make, folder: Path, freq: int = 100) -> dict[str, str]:
    model = make()
    model.learn(TOTAL, callback=[ExactCheckpoint(folder, freq, resume=True), At(TOTAL, lambda: None)])
    return fingerprint(model)


IN_PROCESSES = ("other processes, overlapped", "SB3's processes")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in IN_PROCESSES)) for name in AGENTS]
)
def test_it_goes_on_as_if_nothing_had_happened(name: str, device: str, tmp_path: Path) -> None:
    make = partial(AGENTS[name], device=device)
    expected = uninterrupted(make)
    # before learning starts; before the buffer is full; after it was overwritten twice
    for at in (50, 420, 800) if name == "CarDQN" else (800,):
        assert fingerprint(interrupted(make, tmp_path / str(at), at)) == expected, at


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_another_device_goes_on_with_the_same_numbers(before: str, after: str, tmp_path: Path) -> None:
    """Until the first update, as sums are rounded differently there."""
    seen = []

    def look(model: Any) -> None:
        moments = [value for state in model.policy.optimizer.state.values() for value in state.values()]
        seen.append([tensor.tolist() for tensor in (*model.policy.state_dict().values(), *moments)])

    def train(device: str, then: Any, **kwargs: Any) -> Any:
        model = agent(device=device)
        # checkpoint of agent step 600, three environments' next step, the update is at 606
        callbacks = [ExactCheckpoint(tmp_path, 100, **kwargs), At(603, partial(look, model)), At(690, then)]
        return model.learn(TOTAL, callback=callbacks)

    with pytest.raises(Crash):
        train(before, crash)
    resumed = train(after, lambda: None, resume=True)
    assert seen[0] == seen[1]
    assert resumed.num_timesteps == TOTAL
    assert {parameter.device.type for parameter in resumed.policy.parameters()} == {after}


class Decay(BaseCallback):
    """Changes the agent at the start of every rollout, by a counter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.rollouts += 1
        for parameter in self.model.policy.parameters():
            parameter.data *= 1 - 0.01 / self.rollouts


@pytest.mark.parametrize("place", [0, 1, 2])
def test_its_place_among_callbacks_does_not_matter(place: int, tmp_path: Path) -> None:
    def train(at: int, then: Any, **kwargs: Any) -> Any:
        model, callbacks = agent(), [Decay(), At(at, then)]
        callbacks.insert(place, ExactCheckpoint(tmp_path / "checkpoints", 100, **kwargs))
        model.learn(TOTAL, callback=callbacks)
        return model, next(one for one in callbacks if isinstance(one, Decay)).rollouts

    whole, decay = agent(), Decay()
    whole.learn(TOTAL, callback=decay)
    expected = fingerprint(whole), decay.rollouts
    with pytest.raises(Crash):
        train(700, crash)
    model, rollouts = train(TOTAL, lambda: None, resume=True)
    assert (fingerprint(model), rollouts) == expected


class Remembers(BaseCallback):
    """As callbacks that stop early do."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.sums, self.counts = deque([0], maxlen=3), np.zeros(2), Counter({"steps": 0})
        self.pictures = [np.zeros(4)]  # would be lists, and large

    def _on_step(self) -> bool:
        self.last.append(self.num_timesteps)
        self.sums += self.num_timesteps
        self.counts["steps"] += 1
        return True


def test_what_a_callback_remembers_goes_on(tmp_path: Path) -> None:
    whole, model = Remembers(), agent()
    model.learn(TOTAL, callback=whole)
    _, (again,) = interrupted(agent, tmp_path, 700, callbacks=lambda: [Remembers()])
    assert again.last == whole.last
    assert again.last.maxlen == 3
    np.testing.assert_array_equal(again.sums, whole.sums)
    assert again.counts == whole.counts
    assert isinstance(again.counts, Counter)
    assert isinstance(again.pictures[0], np.ndarray)


def test_no_folder_of_another_run_is_removed(tmp_path: Path) -> None:
    """With reset_num_timesteps=False SB3 begins in the newest folder, whosever it is."""

    def new() -> Any:
        return agent(tensorboard_log=str(tmp_path / "tb"))

    with pytest.raises(Crash):
        new().learn(TOTAL, callback=[ExactCheckpoint(tmp_path / "ck", 100), At(700, crash)])
    new().learn(300)
    (other,) = (tmp_path / "tb/CarDQN_2").glob("events*")
    before = other.read_bytes()
    callbacks = [ExactCheckpoint(tmp_path / "ck", 100, resume=True), At(TOTAL, lambda: None)]
    new().learn(TOTAL, callback=callbacks, reset_num_timesteps=False)
    assert other.read_bytes() == before
    assert len(list((tmp_path / "tb/CarDQN_1").glob("events*"))) == 2


def test_it_can_be_interrupted_again_and_again(tmp_path: Path) -> None:
    expected = uninterrupted(dots)
    for at in (0, 333, 340, 601, 800):
        model = dots()
        with pytest.raises(Crash):
            model.learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 70, resume=True), At(at, crash)])
    assert resumed(dots, tmp_path, 70) == expected


def test_evaluations_and_nested_callbacks_go_on(tmp_path: Path) -> None:
    folders = iter(("whole", "killed", "resumed"))

    def callbacks() -> list[Any]:
        evaluation = EvalCallback(
            make_vec_env("CartPole-v1", seed=9), eval_freq=1, n_eval_episodes=2, verbose=0,
            log_path=str(tmp_path / next(folders)), callback_after_eval=StopTrainingOnNoModelImprovement(50),
        )  # fmt: skip
        return [EveryNTimesteps(150, evaluation)]

    whole = callbacks()
    model = agent()
    model.learn(TOTAL, callback=whole)
    expected = fingerprint(model)
    after, (again,) = interrupted(agent, tmp_path / "checkpoints", 700, callbacks=callbacks)
    assert fingerprint(after) == expected
    ours, theirs = again.callback, whole[0].callback
    assert ours.evaluations_timesteps == theirs.evaluations_timesteps == [150, 300, 450, 600, 750, 900]
    assert ours.evaluations_results == theirs.evaluations_results
    assert ours.callback.no_improvement_evals == theirs.callback.no_improvement_evals
    assert (ours.n_calls, ours.best_mean_reward) == (theirs.n_calls, theirs.best_mean_reward)


def scalars(folder: Path) -> dict[str, list[Any]]:
    (run,) = folder.iterdir()  # one run, one curve
    events = EventAccumulator(str(run)).Reload()
    names = [name for name in events.Tags()["scalars"] if not name.startswith("time/")]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def test_curves_go_on(tmp_path: Path) -> None:
    whole = agent(cart_pole(monitor_dir=str(tmp_path / "whole")), tensorboard_log=str(tmp_path / "tb"))
    whole.learn(TOTAL)

    makes = iter((True, False))

    def make() -> Any:
        time.sleep(1)  # TensorBoard reads a folder's files in the order of the second in their names
        monitor: Any = {
            "monitor_dir": str(tmp_path / "again"),
            "monitor_kwargs": {"override_existing": next(makes)},
        }
        return agent(cart_pole(**monitor), tensorboard_log=str(tmp_path / "tb_again"))

    interrupted(make, tmp_path / "checkpoints", 790)
    assert scalars(tmp_path / "tb_again") == scalars(tmp_path / "tb")
    for name in ("0.monitor.csv", "1.monitor.csv", "2.monitor.csv"):
        ours, theirs = ((tmp_path / folder / name).read_text().splitlines() for folder in ("again", "whole"))
        assert [line.split(",")[:2] for line in ours[1:]] == [line.split(",")[:2] for line in theirs[1:]]
        seconds = [float(line.split(",")[2]) for line in ours[2:]]
        assert seconds == sorted(seconds)  # one clock


def test_a_checkpoint_writes_what_is_new(tmp_path: Path) -> None:
    sizes, names = [], []

    def look() -> None:
        files = {path.name: path.stat().st_size for path in tmp_path.glob("replay-*")}
        names.append(set(files))
        sizes.append(sum(files.values()))

    model = dots(buffer_size=300)
    model.learn(
        TOTAL, callback=[ExactCheckpoint(tmp_path, 60), *(At(step, look) for step in range(90, TOTAL, 60))]
    )
    new = [len(after - before) for before, after in itertools.pairwise(names)]
    assert set(new) == {1}
    assert max(sizes) < 1.5 * sizes[4]  # 300 transitions; then old files go as new ones come
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2


def test_frames_that_take_slots_again_come_back(tmp_path: Path) -> None:
    def make() -> Any:
        return dots(buffer_size=90)  # all of it is new after two checkpoints

    expected = uninterrupted(make)
    assert fingerprint(interrupted(make, tmp_path, 860, 60)) == expected


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "torn":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crashed")
    with pytest.raises(Crash):
        agent().learn(TOTAL, callback=[ExactCheckpoint(folder, 100), At(600, crash)])
    return folder


@pytest.mark.parametrize("how", ["torn", "altered", "missing"])
@pytest.mark.parametrize("which", ["checkpoint", "networks", "arrays", "replay"])
def test_a_damaged_checkpoint_is_found_and_the_one_before_is_used(
    which: str, how: str, crashed: Path, tmp_path: Path
) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    newest = sorted(tmp_path.glob(f"{which}-*"))[-1]
    damage(newest, how)
    # without its list a checkpoint was never there
    warned = (which, how) != ("checkpoint", "missing")
    with pytest.warns(CheckpointWarning, match=newest.name) if warned else nullcontext():
        checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint.agent_steps == 402


def test_after_damage_it_goes_on_exactly_too(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    damage(sorted(tmp_path.glob("replay-*"))[-1], "torn")
    expected = uninterrupted()
    with pytest.warns(CheckpointWarning):
        assert resumed(agent, tmp_path) == expected


def test_when_none_is_whole_it_says_so(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("networks-*"):
        damage(path, "altered")
    with pytest.warns(CheckpointWarning), error_naming(UserError, f"{tmp_path} | 2"):
        newest_checkpoint(tmp_path)


def test_environments_that_forget_are_cut_as_truncated(tmp_path: Path) -> None:
    models = []
    for _ in range(2):
        env = make_vec_env(stacked_dots, 3, seed=0)
        models.append(agent(env, replay_buffer_class=FrameReplayBuffer, n_steps=3))
    first, second = models
    with pytest.raises(Crash):
        first.learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 100), At(600, crash)])
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    row = (newest.content["rows"] - 1) % second.replay_buffer.buffer_size
    seen = []

    def look() -> None:
        buffer = second.replay_buffer
        seen.append((buffer.ends[row].all(), (buffer.timeouts[row] | (first.replay_buffer.dones[row])).all()))

    with pytest.warns(CheckpointWarning, match="truncated"):
        second.learn(
            TOTAL, callback=[ExactCheckpoint(tmp_path, 100, resume=True), At(newest.agent_steps + 3, look)]
        )
    assert seen == [(True, True)]
    assert second.num_timesteps == TOTAL


def test_an_environment_that_cannot_be_driven_again_is_found(tmp_path: Path) -> None:
    class Moody(gym.Wrapper):
        def step(self, action: Any) -> Any:
            obs, *rest = self.env.step(action)
            return obs + np.float32(time.perf_counter() % 1e-3), *rest

    def make() -> Any:
        return agent(cart_pole(wrapper_class=lambda env: ResumableEpisode(Moody(env))))

    with pytest.warns(CheckpointWarning, match="truncated"):
        assert interrupted(make, tmp_path, 600).num_timesteps == TOTAL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_leave_a_checkpoint_and_the_way_to_go_on(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    model = agent()
    callbacks = [ExactCheckpoint(tmp_path, 1000), At(577, lambda: os.kill(os.getpid(), number))]
    with pytest.raises(Stopped) as stopped:
        model.learn(TOTAL, callback=callbacks)
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before
    said = capsys.readouterr().err
    assert not missing("582 | ExactCheckpoint", said)
    expected = uninterrupted()
    assert resumed(agent, tmp_path, 1000) == expected


def test_after_an_error_signals_do_what_they_did(tmp_path: Path) -> None:
    # a process that a shell runs in the background ignores SIGINT
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(Crash):
        agent().learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 1000), At(100, crash)])
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


HOLD = """
import sys, filelock
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_folder_is_for_one_training_at_a_time(tmp_path: Path) -> None:
    hold = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    holder = subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with error_naming(UserError, f"{tmp_path}"):
        agent().learn(TOTAL, callback=ExactCheckpoint(tmp_path, 100))
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()
    agent().learn(200, callback=ExactCheckpoint(tmp_path, 100))  # of the dead it keeps nobody out


def test_on_a_full_disk_training_goes_on_and_the_old_checkpoint_stays(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = [
        lambda size=size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard)) for size in (30_000, hard)
    ]
    seen: list[Any] = []
    checkpoint = ExactCheckpoint(tmp_path, 100)

    def look() -> None:
        newest = newest_checkpoint(tmp_path)
        seen.append((newest.agent_steps, [path.name for path in tmp_path.glob(".*")]))

    model = agent()
    try:
        with pytest.warns(CheckpointWarning, match=r"\b204\b"):
            model.learn(
                TOTAL,
                callback=[checkpoint, At(250, limit[0]), At(550, look), At(650, limit[1]), At(760, look)],
            )
    finally:
        limit[1]()
    after = fingerprint(model)
    assert seen == [(204, []), (702, [])]
    assert after == uninterrupted()


def test_a_network_with_nan_is_never_written(tmp_path: Path) -> None:
    model = agent(cls=DQN)

    def spoil() -> None:
        with th.no_grad():
            next(model.policy.parameters())[0, 0] = th.nan

    with error_naming(NotFiniteError, "q_net.q_net.0.weight | 504"):
        model.learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 100), At(450, spoil)])
    assert newest_checkpoint(tmp_path).agent_steps == 402


def test_logs_survive_a_clock_that_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, now_ns = time.time, time.time_ns
    model = agent(cart_pole(monitor_dir=str(tmp_path)), tensorboard_log=str(tmp_path / "tb"))

    def jump() -> None:
        monkeypatch.setattr(time, "time", lambda: now() - 1e6)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 10**15)

    model.learn(TOTAL, callback=[ExactCheckpoint(tmp_path / "checkpoints", 100), At(400, jump)])
    monkeypatch.undo()
    expected = uninterrupted(lambda: agent(tensorboard_log=str(tmp_path / "tb_whole")))
    assert scalars(tmp_path / "tb") == scalars(tmp_path / "tb_whole")
    assert len((tmp_path / "0.monitor.csv").read_text()) > 100
    assert resumed(agent, tmp_path / "checkpoints") == expected


@pytest.mark.parametrize(
    ("again", "total", "named"),
    [
        (lambda: agent(cls=DQN), TOTAL, "CarDQN | DQN"),
        (
            lambda: agent(buffer_size=600),
            TOTAL,
            "'buffer_size': 150 | 'buffer_size': 200",
        ),
        (lambda: agent(n_steps=2), TOTAL, "'class': 'ReplayBuffer' | 'class': 'NStepReplayBuffer'"),
        (agent, 300, "504 | 300"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused(
    again: Make, total: int, named: str, tmp_path: Path
) -> None:
    agent().learn(560, callback=ExactCheckpoint(tmp_path, 100))
    with error_naming(UserError, named):
        again().learn(total, callback=ExactCheckpoint(tmp_path, 100, resume=True))


def test_other_callbacks_and_forgotten_checkpoints_are_refused(tmp_path: Path) -> None:
    agent().learn(200, callback=ExactCheckpoint(tmp_path, 100))
    with error_naming(UserError, "callbacks | [] | ['At']"):
        agent().learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 100, resume=True), At(TOTAL, crash)])
    with error_naming(UserError, f"{tmp_path} | 102 | resume=True"):
        agent().learn(TOTAL, callback=ExactCheckpoint(tmp_path, 100))
    with error_naming(ValueError, "freq | 0"):
        ExactCheckpoint(tmp_path, 0)


class _Counting(FrameReplayBuffer):
    """Knows more than is written."""


def test_algorithms_without_a_buffer_are_refused(tmp_path: Path) -> None:
    with error_naming(TypeError, "ExactCheckpoint | PPO"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=64).learn(10, ExactCheckpoint(tmp_path, 100))


def test_unknown_buffers_are_refused(tmp_path: Path) -> None:
    with error_naming(TypeError, "'FrameReplayBuffer' | _Counting"):
        dots(replay_buffer_class=_Counting).learn(200, callback=ExactCheckpoint(tmp_path, 100))


def test_no_code_is_run_from_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    with pytest.raises(Crash):
        dots().learn(TOTAL, callback=[ExactCheckpoint(tmp_path, 100), At(500, crash)])

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    dots().learn(600, callback=[ExactCheckpoint(tmp_path, 100, resume=True), At(600, lambda: None)])


@pytest.mark.slow
@pytest.mark.parametrize("file", [0, 1, 2, 5, 7])  # arrays, list, ... of the first checkpoints
def test_killed_while_it_writes(file: int, tmp_path: Path) -> None:
    result = tmp_path / "result"
    assert killed(tmp_path / "checkpoints", result, die_at_file=file) == -signal.SIGKILL
    assert not result.exists()
    newest = newest_checkpoint(tmp_path / "checkpoints")
    assert (newest is None) == (file < 3)
    assert killed(tmp_path / "checkpoints", result) == 0
    assert result.read_text() == repr(uninterrupted())


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("replay-buffer.pkl", "checkpoint-notes.txt", "checkpoint-1.json")]
    for path in theirs:
        path.write_text("mine")
    (tmp_path / "checkpoint-500").mkdir()
    agent().learn(300, callback=ExactCheckpoint(tmp_path, 100))
    agent().learn(TOTAL, callback=ExactCheckpoint(tmp_path, 100, resume=True))
    assert [path.read_text() for path in theirs] == ["mine"] * 3
    assert len(list(tmp_path.glob("checkpoint-0*.json"))) == 2


def stacked_dicts() -> Any:
    env = VecFrameStack(DummyVecEnv([SimpleMultiObsEnv]), 2)
    env.seed(0)
    return env


def test_stacks_of_dict_observations_come_back() -> None:
    here, there = stacked_dicts(), stacked_dicts()
    here.reset()
    there.reset()
    for _ in range(3):
        here.step([2])
    state.set_envs(there, state.get_envs(here))
    for key, part in here.stacked_obs.sub_stacked_observations.items():
        other = there.stacked_obs.sub_stacked_observations[key]
        np.testing.assert_array_equal(other.stacked_obs, part.stacked_obs)


@pytest.mark.parametrize("kwargs", [{}, {"policy_kwargs": {"optimizer_kwargs": {"eps": np.float64(1e-5)}}}])
@pytest.mark.parametrize("compiled", [True, False])
def test_networks_come_back(compiled: bool, kwargs: Any, tmp_path: Path) -> None:
    here, there = agent(**kwargs), agent(**kwargs | {"seed": 1})
    for model in (here, there) if compiled else ():
        model.policy = th.compile(model.policy)  # type: ignore[assignment]
    th.save(state.get_networks(here), tmp_path / "networks.pt")
    state.set_networks(there, th.load(tmp_path / "networks.pt", weights_only=True))
    for ours, theirs in zip(here.policy.parameters(), there.policy.parameters(), strict=True):
        assert th.equal(ours, theirs)
