"""Tests of a comparison when something fails: runs, agents, drives, files."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sb3_cardqn import trust
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.compare import Plan, command, compare, comparison, scheduler
from sb3_cardqn.compare.attempt import peak_bytes
from sb3_cardqn.compare.launchers import LocalLauncher, local_launcher
from sb3_cardqn.compare.run import PlannedRun, State, runs_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate.evaluation import _workers
from sb3_cardqn.zoo.resumable import CHECKPOINTS
from tests.named import error_naming, missing

SHORT = {"env": "CartPole-v1", "n_timesteps": 1000, "n_evaluations": 1, "eval_episodes": 1, "tracks": 1}
DQN = "dqn buffer_size:1000 learning_starts:900"
UNFIT = f"{DQN} optimize_memory_usage:True replay_buffer_kwargs:dict(handle_timeout_termination=False)"


@pytest.mark.slow
def test_a_lost_run_is_trained_again_and_a_damaged_agent_ends_nothing_else(tmp_path: Path) -> None:
    plan = Plan.of({"dqn": DQN, "unfit": UNFIT}, seeds=1, **SHORT)
    results = compare(plan, tmp_path, LocalLauncher(2), videos=False)
    assert not results.failures
    lost, damaged = runs_of(plan, tmp_path)
    shutil.rmtree(lost.folder)
    (damaged.folder / "drives.csv").unlink()
    (damaged.folder / "best_model.zip").write_bytes(b"PK")

    results = compare(plan, tmp_path, LocalLauncher(2), videos=False)
    assert results.runs["contestant"].tolist() == ["dqn"]
    assert results.runs["attempts"].tolist() == [2]
    assert set(results.failures) == {str(damaged)}
    assert not missing("best_model.zip", results.failures[str(damaged)])


def test_an_error_of_an_environment_ends_its_own_drives_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = runs_of(Plan.of([DQN], seeds=2, **SHORT), tmp_path)
    first.log_folder.joinpath("dqn").mkdir(parents=True)

    def drive(run: PlannedRun, n_processes: int) -> None:
        if run == first:
            raise RuntimeError("simulator crashed")

    monkeypatch.setattr(comparison, "_drive", drive)
    assert comparison._drive_held_out([first, second], 1) == [first]
    assert not missing("RuntimeError | simulator crashed", first.state.failure)
    first, second = second, first  # this time it drives
    assert comparison._drive_held_out([second], 1) == []
    assert second.state.failure == ""


def test_a_score_that_is_no_number_fails_its_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (planned,) = runs_of(Plan.of([DQN], seeds=1, **SHORT), tmp_path)
    planned.log_folder.joinpath("dqn").mkdir(parents=True)
    drives = pd.DataFrame({"track": [0], "score": [np.nan]})
    monkeypatch.setattr(comparison, "agent_of", lambda *_: None)
    monkeypatch.setattr(comparison, "evaluate", lambda *_, **__: [SimpleNamespace(drives=drives)] * 2)
    assert comparison._drive_held_out([planned], 1) == [planned]
    assert not missing("ValueError | nan", planned.state.failure)


def test_the_memory_of_a_run_is_not_that_of_the_comparison(tmp_path: Path) -> None:
    """Linux hands the parent's largest size down to the children, in ru_maxrss."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("only Linux tells it")
    big = np.ones(2**26)  # 512 MB of this process
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert 0 < peak_bytes(process.pid) < big.nbytes / 4
    process.communicate(b"\n")
    assert peak_bytes(process.pid) == 0  # it has ended


def test_runs_with_other_hyperparameters_are_not_taken_for_the_same(tmp_path: Path) -> None:
    """As after another release of the package, whose file has another number."""
    plan = Plan.of([DQN], seeds=1, **SHORT)
    tried = plan.try_out()
    read = tried[DQN].hyperparams
    assert read["buffer_size"] == "1000"  # as typed
    assert read["gamma"] == "0.99"
    (run,) = runs_of(plan, tmp_path, tried)
    run.folder.mkdir(parents=True)
    old = {DQN: replace(tried[DQN], hyperparams=read | {"gamma": "0.5"})}
    (before,) = runs_of(plan, tmp_path, old)
    before.save_state(State(finished=True, attempts=1, asked=before.asked))
    with error_naming(UserError, "{'gamma': '0.5'} | {'gamma': '0.99'}"):
        run.check_folder()
    before.save_state(State(finished=True, attempts=1, asked={"seed": 0}))  # of a release that kept none
    run.check_folder()


def test_only_what_a_checkpoint_can_hold_gets_checkpoints(tmp_path: Path) -> None:
    plan = Plan.of({"dqn": DQN, "unfit": UNFIT, "ppo": "ppo"}, seeds=1, **SHORT)
    tried = plan.try_out()
    checkpoints = {name: found.checkpoint_bytes for name, found in tried.items()}
    assert checkpoints == {"dqn": 1000 * (2 * 4 * 4 + 8 + 3 * 4), "unfit": None, "ppo": None}
    asked = ["--checkpoint-freq" in run.train_arguments(1) for run in runs_of(plan, tmp_path, tried)]
    assert asked == [True, False, False]


def test_a_killed_drive_says_what_to_change() -> None:
    with error_naming(UserError, "2 processes"), _workers(2, []) as map_:
        list(map_(os._exit, [1]))


class Stuck:
    """A run that cannot save its state."""

    waited = 0

    def poll(self) -> State | None:
        raise KeyboardInterrupt

    def stop(self) -> None: ...

    def wait(self) -> None:
        Stuck.waited += 1
        raise OSError(28, "No space left on device")


class StuckLauncher:
    slots = at_once = 3
    num_threads = 1

    def start(self, run: PlannedRun) -> Stuck:
        return Stuck()

    def close(self) -> None: ...


def test_every_run_gets_its_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_POLL_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        scheduler.train(list(runs_of(Plan.of([DQN], seeds=3, **SHORT), tmp_path)), StuckLauncher())
    assert Stuck.waited == 3


def test_ctrl_c_names_the_command_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "compare", interrupted)
    typed = ["dqn", "-n", "1000", "--env", "CartPole-v1", "--jobs", "1", "--output", str(tmp_path / "a b")]
    with pytest.raises(SystemExit):
        command.main(typed)
    assert not missing(f"--jobs 1 --output '{tmp_path}/a b'", capsys.readouterr().err)


def test_a_dry_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "estimate", lambda *_: (60.0, "measured"))
    command.main([DQN, "-n", "1000", "--env", "CartPole-v1", "--output", str(tmp_path / "new"), "--dry-run"])
    assert not (tmp_path / "new").exists()


def test_a_dry_run_counts_the_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "estimate", lambda *_: (3600.0, "measured"))
    command.main(
        [
            DQN,
            "-n",
            "1000",
            "--env",
            "CartPole-v1",
            "-o",
            str(tmp_path),
            "--dry-run",
            "--jobs",
            "2",
            "--num-threads",
            "1",
        ]
    )
    assert not missing("3.0 h | 5.0 core-hours", capsys.readouterr().out)  # five runs, two at a time


def test_a_dry_run_counts_what_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "estimate", lambda *_: (3600.0, "measured"))
    (run,) = runs_of(Plan.of([DQN], seeds=1, **SHORT), tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "training_clock.csv").write_text("agent_steps,seconds\n500,6.0\n750,9.0\n")
    typed = [DQN, "-n", "1000", "--env", "CartPole-v1", "--seeds", "1", "-o", str(tmp_path), "--dry-run"]
    for checkpoints, hours in (([], "1.0"), (["checkpoint-500.json"], "0.5")):
        for name in checkpoints:
            (run.folder / CHECKPOINTS).mkdir()
            (run.folder / CHECKPOINTS / name).touch()
        command.main([*typed, "--jobs", "1", "--num-threads", "1"])
        assert not missing(f"about {hours} h", capsys.readouterr().out)


@pytest.mark.slow
def test_a_dry_run_of_what_no_callback_can_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(
        ["ars", "--env", "CartPole-v1", "-n", "20000", "--seeds", "1", "-o", str(tmp_path), "--dry-run"]
    )
    assert "agent steps/s" in capsys.readouterr().out


def test_one_run_on_all_cores_has_them_alone() -> None:
    plan = Plan.of([DQN], seeds=2, **SHORT, vec_env="subproc")
    assert (local_launcher(plan).slots, local_launcher(plan).num_threads) == (1, 1)
    assert local_launcher(plan, jobs=2).slots == 2


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    victim, output, checkpoints = (tmp_path / name for name in ("victim", "output", "checkpoints"))
    victim.write_text("kept")
    for link in (output / ".lock", checkpoints / "lock"):
        link.parent.mkdir()
        link.symlink_to(victim)
    with error_naming(UserError, f"{output}/.lock"), comparison.opened(output):
        pass
    with error_naming(UserError, f"{checkpoints}/lock"):
        ExactCheckpoint(checkpoints, freq=10).lock()
    assert victim.read_text() == "kept"


SCRIPT = """
from pathlib import Path
from sb3_cardqn.compare import Plan, compare
from sb3_cardqn.compare.launchers import LocalLauncher

if __name__ == "__main__":
    plan = Plan.of(["dqn"], 1, env="CartPole-v1", n_timesteps=200, n_evaluations=1, eval_episodes=1, tracks=1)
    compare(plan, Path("out"), LocalLauncher(2), videos=False)
"""


@pytest.mark.slow
def test_runs_of_a_script_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    script, current = tmp_path / "elsewhere/script.py", tmp_path / "current"
    for folder in (script.parent, current):
        folder.mkdir()
    script.write_text(SCRIPT)
    for module in ("yaml", "pickle"):  # the worker's, and what a spawned process imports first
        (current / f"{module}.py").write_text("import os; os.mkdir('proof')")
    result = subprocess.run([sys.executable, str(script)], cwd=current, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not (current / "proof").exists()


def test_children_import_what_their_parent_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with trust.safe_path():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    monkeypatch.syspath_prepend(str(tmp_path))
    with trust.safe_path():
        assert "PYTHONSAFEPATH" not in os.environ
