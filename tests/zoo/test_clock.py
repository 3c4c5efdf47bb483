from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor

from sb3_cardqn.checkpoint.state import get_callback, set_callback
from sb3_cardqn.zoo import clock as training_clock
from sb3_cardqn.zoo.clock import (
    Reading,
    SecondsBar,
    TrainingClock,
    bar_of,
    by_the_clock,
    last_reading,
    print_time_to,
    read_clock,
)
from sb3_cardqn.zoo.validation import ValidationCallback


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the machine's clock shows."""
    now = [100.0]
    monkeypatch.setattr(training_clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def started(clock: TrainingClock, num_timesteps: int = 0) -> SimpleNamespace:
    model = SimpleNamespace(num_timesteps=num_timesteps, logger=None, _total_timesteps=10**12, get_env=object)
    clock.init_callback(model)
    clock.on_training_start({}, {})
    clock.on_rollout_start()
    return model


def test_evaluations_are_not_counted(tmp_path: Path, seconds: list[float]) -> None:
    class TakesTime(EvalCallback):
        def _on_step(self) -> bool:
            seconds[0] += 50 if self.n_calls % self.eval_freq == 0 else 0
            return True

    env = Monitor(gym.make("CartPole-v1"))
    clock = TrainingClock(tmp_path, [TakesTime(env, eval_freq=2), TakesTime(env, eval_freq=3)])
    model = started(clock)
    for num_timesteps in (8, 16, 24):
        model.num_timesteps = num_timesteps
        seconds[0] += 2
        assert clock.on_step()
    readings = read_clock(tmp_path)
    expected = [Reading(8, 2.0), Reading(16, 4.0), Reading(16, 4.0), Reading(24, 6.0), Reading(24, 6.0)]
    assert readings == expected


def test_at_most_one_line_a_second_and_the_last_step(tmp_path: Path, seconds: list[float]) -> None:
    clock = TrainingClock(tmp_path)
    model = started(clock)
    for num_timesteps in range(1, 8):
        model.num_timesteps = num_timesteps
        seconds[0] += 0.25
        clock.on_step()
    clock.on_training_end()
    clock.on_training_end()  # the zoo may end it twice
    assert read_clock(tmp_path) == [Reading(1, 0.25), Reading(5, 1.25), Reading(7, 1.75)]


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / training_clock.FILE_NAME).write_text("agent_steps,seconds\n8,1.0\n16,2.")
    assert read_clock(tmp_path) == [Reading(8, 1.0)]
    assert read_clock(tmp_path / "absent") == []


def test_goes_on_where_the_checkpoint_was_made(tmp_path: Path, seconds: list[float]) -> None:
    (tmp_path / training_clock.FILE_NAME).write_text("agent_steps,seconds\n100,1.0\n200,2.0\n300,3.0\n")
    clock = TrainingClock(tmp_path)
    seconds[0] += 500  # between the processes
    model = started(clock, 250)
    clock.seconds = 2.5  # as the checkpoint restores it
    model.num_timesteps = 260
    seconds[0] += 0.25
    clock.on_step()
    assert read_clock(tmp_path) == [Reading(100, 1.0), Reading(200, 2.0), Reading(260, 2.75)]


@pytest.mark.parametrize("algorithm", [DQN, by_the_clock(PPO)])
def test_a_budget_in_minutes_stops_evaluates_evenly_and_drives_schedules(
    algorithm: Any, tmp_path: Path, seconds: list[float]
) -> None:
    class OneSecondAStep(gym.Wrapper):
        def step(self, action: int) -> tuple:
            seconds[0] += 1
            return super().step(action)

    zoos = EvalCallback(Monitor(gym.make("CartPole-v1")), verbose=0)
    clock = TrainingClock(tmp_path, [ValidationCallback(zoos, str(tmp_path))], minutes=1, n_evaluations=4)
    rates: dict[int, float] = {}
    schedule = (
        {"n_steps": 5, "batch_size": 5}
        if issubclass(algorithm, PPO)
        else {"learning_starts": 0, "train_freq": 5}
    )

    def learning_rate(progress_remaining: float) -> float:
        rates[model.num_timesteps if rates else 0] = progress_remaining
        return 1e-3

    env = OneSecondAStep(gym.make("CartPole-v1"))
    model = SimpleNamespace(num_timesteps=0)
    model = algorithm("MlpPolicy", env, learning_rate=learning_rate, **schedule)
    model.learn(10**12, callback=clock)

    assert model.num_timesteps == 60
    assert np.load(tmp_path / "evaluations.npz")["timesteps"].tolist() == [15, 30, 45, 60]
    # one agent step a second: half of the minute is over after 30 of them
    assert rates[30] == pytest.approx(0.5, abs=0.02)


def test_a_long_update_is_evaluated_once(tmp_path: Path, seconds: list[float]) -> None:
    """Not once for each evaluation that fell into it, one agent step after the other."""
    zoos = EvalCallback(Monitor(gym.make("CartPole-v1")), verbose=0)
    clock = TrainingClock(tmp_path, [ValidationCallback(zoos, str(tmp_path))], minutes=1, n_evaluations=10)

    class LongUpdate(gym.Wrapper):
        def step(self, action: int) -> tuple:
            seconds[0] += 25 if model.num_timesteps == 10 else 1
            return super().step(action)

    model = DQN("MlpPolicy", LongUpdate(gym.make("CartPole-v1")), learning_starts=10**6)
    model.learn(10**12, callback=clock)
    # the step after agent step 10 ends at 35 seconds, past the evaluations at 12, 18, 24 and 30
    assert np.load(tmp_path / "evaluations.npz")["timesteps"].tolist() == [6, 11, 12, 18, 24, 30, 36]


def test_the_bar_of_a_budget_in_minutes_counts_seconds(tmp_path: Path, seconds: list[float]) -> None:
    clock = TrainingClock(tmp_path, minutes=0.5)
    bar = SecondsBar(30.0, lambda: clock.seconds)
    bar.init_callback(started(clock, 100))
    bar.on_training_start({"total_timesteps": 10**12}, {})
    assert bar.pbar.total == 30
    clock.seconds = 12.0
    bar.on_step()
    assert bar.pbar.n == 12
    bar.pbar.update(100)  # of a checkpoint, in agent steps
    clock.seconds = 20.0
    bar.on_training_end()
    assert bar.pbar.n == 20


@pytest.mark.parametrize(("trained_before", "shown"), [(0, (450, 900)), (300, (150, 600))])
def test_the_bar_of_a_resumed_run_starts_at_its_checkpoint(
    trained_before: int, shown: tuple[int, int], tmp_path: Path
) -> None:
    """A run that trains on counts from where the finished one ended."""
    clock = TrainingClock(tmp_path)
    state: dict[str, Any] = {}
    for is_resumed in (False, True):  # one after the other: the oldest rich shows one bar at a time
        bar = bar_of(clock)
        bar.on_training_end()  # of a run that failed before it began
        bar.init_callback(started(clock, trained_before))
        bar.on_training_start({"total_timesteps": 900}, {})
        if is_resumed:
            set_callback(bar, state)
            assert (bar.pbar.n, bar.pbar.total) == shown
        bar.num_timesteps = 450
        state |= get_callback(bar)
        bar.on_training_end()


def test_evaluations_on_a_full_disk_leave_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoos = EvalCallback(Monitor(gym.make("CartPole-v1")), eval_freq=10, n_eval_episodes=1, verbose=0)
    save, calls = np.savez, []

    def full(path: str, **arrays: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"PK")
            raise OSError(28, "No space left on device")
        save(path, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        DQN("MlpPolicy", "CartPole-v1").learn(100, callback=ValidationCallback(zoos, str(tmp_path)))
    assert np.load(tmp_path / "evaluations.npz")["timesteps"].tolist() == [10, 20]


def test_what_is_trained_by_the_clock_is_saved_as_always(tmp_path: Path) -> None:
    algorithm = by_the_clock(PPO)
    assert algorithm.__name__ == "PPO"
    algorithm("MlpPolicy", "CartPole-v1").save(tmp_path / "agent.zip")
    assert type(PPO.load(tmp_path / "agent.zip")) is PPO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent_st",
        "agent_steps,seconds\n",
        "agent_steps,seconds\n7,0.5\n",
        "agent_steps,seconds\n7,0.5\n12,1.5",
        "agent_steps,seconds\n7,0.5\n123456789,1234567.",
        "agent_steps,seconds\n" + "123456789,1234567.891\n" * 50 + "1234567",
        "agent_steps,seconds\n" + "".join(f"{i},{i / 8}\n" for i in range(99)),
    ],
)
def test_the_last_reading_is_the_last_of_all(text: str, tmp_path: Path) -> None:
    (tmp_path / "training_clock.csv").write_text(text)
    assert [last_reading(tmp_path)] == (read_clock(tmp_path) or [Reading()])[-1:]
    assert last_reading(tmp_path / "absent") == Reading()


@pytest.mark.parametrize(
    ("means", "text"),
    [
        ([910, 900, 0], "Reached 900 after 30 seconds of training, 100 agent steps"),
        ([910, 895, 905, 950], "Reached 900 after 2.0 minutes of training, 300 agent steps"),
        ([910, 0, 1000, 0], ""),
        ([900], ""),
    ],
)
def test_time_to_a_score_that_lasts(
    means: list[float], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = np.arange(1, len(means) + 1) * 100
    np.savez(
        tmp_path / "evaluations.npz", timesteps=steps, results=[[mean - 50, mean + 50] for mean in means]
    )
    clock = [f"{step},{seconds}" for step, seconds in zip(steps, (30, 75, 120, 150), strict=False)]
    (tmp_path / "training_clock.csv").write_text("\n".join(["agent_steps,seconds", *clock, ""]))
    print_time_to(900.0, tmp_path)
    assert capsys.readouterr().out.strip() == text


def test_no_time_to_a_score_without_evaluations_or_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_time_to(900.0, tmp_path)
    np.savez(tmp_path / "evaluations.npz", timesteps=[1, 2], results=[[1000], [1000]])
    print_time_to(None, tmp_path)
    assert capsys.readouterr().out == ""
