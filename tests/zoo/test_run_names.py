import os
from pathlib import Path
from typing import Any
from uuid import UUID

import gymnasium as gym
import pytest

from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Run
from sb3_cardqn.policy_file import read as policy_file
from sb3_cardqn.zoo.commands import resume
from sb3_cardqn.zoo.run_names import find_run, parse_name
from tests.command_line import run_well
from tests.named import error_naming

UUIDS = [UUID(int=number) for number in (7, 2**127)]
gym.register("space_craft/Lan_der-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")


def leave(folder: Path, env_name: str, started: int = 0) -> Path:
    """A run folder, as far as its names go."""
    config = folder / env_name / "config.yml"
    config.parent.mkdir(parents=True)
    config.touch()
    os.utime(config, (started, started))
    return folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CarRacing-v3_12", ("CarRacing-v3", 12)),
        ("My_Env-v0_1", ("My_Env-v0", 1)),
        ("v0_1_2", ("v0_1", 2)),
        (f"CarRacing-v3_3_{UUIDS[0]}", ("CarRacing-v3", 3)),
        (f"My_Env-v0_3_{UUIDS[1]}", ("My_Env-v0", 3)),
        ("CarRacing-v3", None),
        ("CarRacing-v3_best", None),
        (f"CarRacing-v3_{UUIDS[0]}", None),
        ("report_CarRacing-v3_500-trials-900000-tpe-median_1699999999.csv", None),
    ],
)
def test_names_of_run_folders(name: str, expected: tuple[str, int] | None) -> None:
    assert parse_name(name) == expected


def test_the_newest_run_is_found_with_and_without_a_uuid(tmp_path: Path) -> None:
    assert find_run(tmp_path / "absent", "CarRacing-v3") is None
    assert find_run(tmp_path, "CarRacing-v3") is None
    leave(tmp_path / "My_CarRacing-v3_9", "My_CarRacing-v3")
    leave(tmp_path / "CarRacing-v3_1", "CarRacing-v3")
    newest = tmp_path / f"CarRacing-v3_2_{UUIDS[0]}"
    leave(tmp_path / f"CarRacing-v3_2_{UUIDS[1]}", "CarRacing-v3", started=1)
    leave(newest, "CarRacing-v3", started=2)
    assert find_run(tmp_path, "CarRacing-v3") == find_run(tmp_path, "CarRacing-v3", 2) == newest
    assert find_run(tmp_path, "CarRacing-v3", 1) == tmp_path / "CarRacing-v3_1"
    assert find_run(tmp_path, "CarRacing-v3", 3) is None
    assert find_run(tmp_path, "My_CarRacing-v3") == tmp_path / "My_CarRacing-v3_9"


MY_ENV = """
import gymnasium
gymnasium.register("My_Env-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=50)
"""


def test_a_run_with_a_uuid_on_an_environment_with_an_underscore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_env.py").write_text(MY_ENV)
    options = "--env My_Env-v0 --gym-packages my_env"
    small = "-n 300 --eval-freq -1 -params buffer_size:100 learning_starts:50"
    run_well(tmp_path, f"train {options} -uuid {small}")
    (run,) = (tmp_path / "logs/cardqn").glob("My_Env-v0_1_*")
    for which in ("", " --exp-id 1"):
        assert "Mean reward" in run_well(tmp_path, f"enjoy {options} --no-render -n 60{which}")
    run_well(tmp_path, f"export {run}")
    env: Any = policy_file.read(run / "policy.safetensors").about["env"]
    assert env["id"] == "My_Env-v0"
    stopped = "--checkpoint-freq 100 --run-id 7"
    run_well(tmp_path, f"train {options} {stopped} {small}")
    with error_naming(UserError, "My_Env-v0.zip"):
        resume(tmp_path / "logs/cardqn/My_Env-v0_7")


@pytest.mark.parametrize(
    "name", ["space_craft-Lan_der-v0_1", f"space_craft-Lan_der-v0_1_{UUIDS[0]}", "renamed", "a_b"]
)
def test_a_run_knows_its_environment(tmp_path: Path, name: str) -> None:
    run = Run(leave(tmp_path / "dqn" / name, "space_craft-Lan_der-v0"))
    assert run.env_id == "space_craft/Lan_der-v0"
    assert run.config_path == run.folder / "space_craft-Lan_der-v0" / "config.yml"
