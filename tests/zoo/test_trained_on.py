"""``resume -n``: a run goes on to another budget, whether it had spent its own or not."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from rl_zoo3 import ALGOS

from sb3_cardqn import CarDQN
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Run
from sb3_cardqn.publish.export import training_command
from sb3_cardqn.zoo import commands as zoo
from sb3_cardqn.zoo.clock import read_clock
from tests.named import error_naming

RUN = Path("logs/cardqn/CartPole-v1_1")
TRAIN = "--env CartPole-v1 --seed 1 --eval-freq 200 --eval-episodes 2 --checkpoint-freq 100"
SMALL = "-params learning_starts:100 train_freq:4 gradient_steps:1 policy_kwargs:dict(net_arch=[16])"
CONSTANT = "learning_rate:1e-3 exploration_decay:'constant'"


def train(
    folder: Path, budget: str = "-n 600", more: str = "learning_rate:'lin_1e-3'", algo: str = "cardqn"
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        zoo.run("train", ["--algo", algo, *f"{TRAIN} {budget} {SMALL} {more}".split()])


@contextmanager
def stopped_at(agent_step: int) -> Iterator[None]:
    """In this context, training is stopped at an agent step, as by a crash: no checkpoint follows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ExactCheckpoint, "_on_step", lambda callback: callback.num_timesteps < agent_step)
        yield


def left(run: Path) -> dict[str, Any]:
    """What must be the same: weights, evaluations, episodes."""
    model = CarDQN.load(run / "CartPole-v1.zip", device="cpu")
    evaluations = np.load(run / "evaluations.npz")
    return {
        "agent steps": model.num_timesteps,
        "weights": th.cat([value.flatten() for value in model.policy.state_dict().values()]).tolist(),
        "evaluations": {name: evaluations[name].tolist() for name in evaluations},
        "episodes": [line.split(",")[:2] for line in (run / "0.monitor.csv").read_text().splitlines()[1:]],
        "files": sorted(str(path.relative_to(run)) for path in run.rglob("*")),
    }


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train(folder)
    return folder


@pytest.fixture
def finished(_finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run folder of a spent budget of 600 agent steps, in the current folder."""
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return RUN


def test_a_finished_run_is_trained_on_in_its_folder(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, best = left(finished), (finished / "best_model.zip").read_bytes()
    clock = read_clock(finished)
    (finished / "CartPole-v1/command.txt").write_text("/home/me/bin/sb3-cardqn train --seed 1")
    zoo.main([str(finished), "-n", "1200"])
    assert "replay buffer" in capsys.readouterr().out  # what starts anew
    commands = f"sb3-cardqn train --seed 1 && sb3-cardqn resume {finished} -n 1200"
    assert training_command(Run(finished)) == {"command": commands}
    after = left(finished)
    assert after["agent steps"] == 1200
    assert after["files"] == before["files"]
    assert after["weights"] != before["weights"]
    assert after["evaluations"]["timesteps"] == [200, 400, 600, 800, 1000, 1200]
    for name, rows in before["evaluations"].items():
        assert after["evaluations"][name][:3] == rows
    assert after["episodes"][: len(before["episodes"])] == before["episodes"]
    assert len(after["episodes"]) > len(before["episodes"])
    means = np.mean(after["evaluations"]["results"], axis=1)
    assert ((finished / "best_model.zip").read_bytes() == best) == (max(means[:3]) >= max(means[3:]))
    readings = read_clock(finished)
    assert readings[: len(clock)] == clock
    assert readings == sorted(readings, key=lambda reading: (reading.agent_steps, reading.seconds))
    model = CarDQN.load(finished / "CartPole-v1.zip", device="cpu")
    assert model.exploration_rate == model.exploration_final_eps
    (group,) = model.policy.optimizer.param_groups
    assert 0 <= group["lr"] <= 2e-5  # of 1e-3: the schedule is over the new budget

    zoo.resume(finished, 1400)  # and again
    assert left(finished)["evaluations"]["timesteps"][-2:] == [1200, 1400]


def test_until_its_buffer_is_filled_a_finished_run_learns_nothing(finished: Path) -> None:
    before = left(finished)
    zoo.resume(finished, 690)  # learning_starts is 100
    assert left(finished)["weights"] == before["weights"]


@pytest.mark.parametrize("stop", [650, 950])
def test_a_finished_run_that_is_trained_on_resumes_exactly(
    stop: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts").mkdir()
    shutil.copytree("logs", "parts/logs")
    zoo.resume(finished, 1200)
    whole = left(finished)
    monkeypatch.chdir("parts")
    with stopped_at(stop):
        zoo.resume(finished, 1200)
    (finished / "CartPole-v1.zip").write_bytes(b"a crash while the agent was written")
    zoo.resume(finished)
    assert left(finished) == whole


def test_a_stopped_run_gets_a_new_budget_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With schedules that follow no budget, it is the run that had this budget from the beginning."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    train(tmp_path / "whole", "-n 1000", CONSTANT)
    with stopped_at(450):
        train(tmp_path / "parts", "-n 600", CONSTANT)
    monkeypatch.chdir(tmp_path / "parts")
    with stopped_at(450):
        zoo.resume(RUN, 700)  # no checkpoint with this budget is written
    with error_naming(UserError, f"-n | 400 | '{RUN}'"):
        zoo.resume(RUN, 400)
    zoo.resume(RUN, 1000)
    assert left(RUN) == left(tmp_path / "whole" / RUN)


def test_a_new_budget_is_kept_when_it_stops_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stopped_at(450):
        train(tmp_path)
    monkeypatch.chdir(tmp_path)
    for stop in (450, 750):
        with stopped_at(stop):
            zoo.resume(RUN, 900)
    zoo.resume(RUN)
    model = CarDQN.load(RUN / "CartPole-v1.zip", device="cpu")
    assert model.num_timesteps == 900
    (group,) = model.policy.optimizer.param_groups
    assert 0 <= group["lr"] <= 2e-5
    with error_naming(UserError, f"'{RUN}' | CartPole-v1.zip | -n"):
        zoo.resume(RUN)


@pytest.mark.parametrize("algo", ["dqn", "qrdqn"])
def test_other_algorithms_are_trained_on_too(
    algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, "-n 200 --save-replay-buffer", algo=algo)
    monkeypatch.chdir(tmp_path)
    zoo.resume(Path(f"logs/{algo}/CartPole-v1_1"), 500)
    model = ALGOS[algo].load(f"logs/{algo}/CartPole-v1_1/CartPole-v1.zip", device="cpu")
    assert (model.num_timesteps, model._n_updates > 50) == (500, True)
    model.load_replay_buffer(f"logs/{algo}/CartPole-v1_1/replay_buffer.pkl")
    assert model.replay_buffer.size() == 500  # with those of the first 200


@pytest.mark.parametrize(
    ("spoil", "agent_steps", "named"),
    [
        (lambda run: None, 600, "-n | 600"),
        (lambda run: None, 599, "-n | 600 | 599"),
        (lambda run: None, 0, "-n | 600 | 0"),
        (lambda run: (run / "CartPole-v1/command.json").unlink(), 900, "--algo cardqn --env CartPole-v1 -i"),
        (lambda run: (run / "CartPole-v1/command.json").write_text('["-n"'), 900, "command.json | --trust"),
        (lambda run: (run / "CartPole-v1.zip").unlink(), 900, "it has no checkpoints"),
        (lambda run: (run / "evaluations.npz").write_bytes(b"PK"), 900, "evaluations.npz"),
    ],
)
def test_what_cannot_be_trained_on_is_named(spoil: Any, agent_steps: int, named: str, finished: Path) -> None:
    spoil(finished)
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with error_naming(UserError, f"{named} | {finished}"):
        zoo.resume(finished, agent_steps)
    after = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before


def test_a_budget_in_minutes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = "--env CartPole-v1 --seed 1 --eval-freq -1 --checkpoint-freq 100 --minutes 0.01"
    zoo.run("train", [*options.split(), *SMALL.split()])
    with error_naming(UserError, "-n | --minutes 0.01"):
        zoo.resume(RUN, 10**6)


@pytest.mark.parametrize("of_its_parent", [True, False])
def test_a_finished_run_with_another_name_or_place_is_found(finished: Path, of_its_parent: bool) -> None:
    elsewhere = Path("away" if of_its_parent else "logs", "cardqn", "the_best_2")  # looks like that of a run
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    finished.rename(elsewhere)
    with error_naming(UserError, f"-n | {elsewhere}"):
        zoo.resume(elsewhere)
    zoo.resume(elsewhere, 700)
    assert CarDQN.load(elsewhere / "CartPole-v1.zip", device="cpu").num_timesteps == 700


def test_a_run_whose_first_place_cannot_be_made_again_goes_on(finished: Path) -> None:
    shutil.move("logs", "moved")
    Path("logs").touch()  # as good as another user's folder
    zoo.resume("moved" / finished.relative_to("logs"), 700)
    model = CarDQN.load("moved" / finished.relative_to("logs") / "CartPole-v1.zip", device="cpu")
    assert model.num_timesteps == 700


def test_the_algorithm_of_a_run_elsewhere_is_the_one_that_was_typed(finished: Path) -> None:
    finished.rename("CartPole-v1_1")
    run = Run(Path("CartPole-v1_1"))
    assert (run.algo, run.env_id) == ("cardqn", "CartPole-v1")
