"""What an earlier version left on disk loads: a zip, a run folder, a checkpoint and an exported policy of f82cf3d."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sb3_cardqn import load_policy, trust
from sb3_cardqn.evaluate import Run, evaluate
from tests.command_line import ROOT, run_well

OLD = ROOT / "tests/made_at_f82cf3d"
RUN = OLD / "logs/cardqn/CarRacing-v3_1"


def test_an_exported_policy_chooses_as_its_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.TRUST, "True")
    model, policy = Run(RUN).load_model(), load_policy(RUN / "policy.safetensors")
    observations = np.random.default_rng(0).integers(0, 256, (20, 2, 36, 36), dtype=np.uint8)
    actions = model.predict(observations, deterministic=True)[0]
    assert np.array_equal(policy.predict(observations)[0], actions)


def test_a_run_folder_and_a_file_drive_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.TRUST, "True")
    of_run, of_file = evaluate(
        [str(RUN), str(RUN / "policy.safetensors")],
        [100_000],
        stock=False,
        n_processes=1,
        env_kwargs={"max_episode_steps": 200},
    )
    assert of_run.drives.equals(of_file.drives)


def test_a_checkpoint_goes_on(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    run = Path("logs/cardqn/CartPole-v1_1")
    assert "agent step 400" in run_well(tmp_path, f"resume {run} --trust")
    assert (tmp_path / run / "CartPole-v1.zip").is_file()
    assert not (tmp_path / run / "checkpoints").exists()
