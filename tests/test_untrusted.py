"""docs/untrusted.md's table of files, tried: each command with each kind of hostile file, and what each opens."""

import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn import CarDQN, CarRacingWrapper, cli, trust
from sb3_cardqn.compare.command import PLAN_FILE
from sb3_cardqn.zoo.resumable import DONE
from tests.command_line import ROOT

pytestmark = pytest.mark.slow

ENV = "CarRacing-v3"
RUN = Path("logs/cardqn/CarRacing-v3_1")
PICTURE = {"screen_size": [64, 48], "crop": [0, 0, 12, 12]}  # of cardqn.yml
WRAPPED: dict[str, Any] = {"env_wrapper": [{"sb3_cardqn.CarRacingWrapper": PICTURE}]}
TABLE = [
    (file, command.strip(), kind)
    for file, commands, kind in re.findall(
        r"^\| `(.+?)` \| (.+?) \| (code|asked|data) \|$",
        (ROOT / "docs/untrusted.md").read_text(),
        re.MULTILINE,
    )
    for command in commands.split(",")
]
# How each command is typed, so that it reads the files of the table. (``rl_zoo3`` was imported by this module.)
COMMANDS = {
    "evaluate": f"evaluate {RUN} --tracks 1 --processes 1 --fast",
    "evaluate --config": f"evaluate {RUN}/lone/agent.zip --algo cardqn --config CONFIG.yml --tracks 1 --processes 1",
    "race": f"race {RUN} --fast",
    "race --config": f"race {RUN}/lone/agent.zip --algo cardqn --config CONFIG.yml",
    "export": f"export {RUN}",
    "bench agent": f"bench agent {RUN}",
    "enjoy": "enjoy --no-render -n 1",
    "record_video": "record_video -n 1",
    "push_to_hub": "push_to_hub -orga nobody",
    "train -i": f"train -i {RUN}/{ENV}.zip -n 10 -params n_envs:1",
    "train -conf": "train -conf CONFIG.yml -n 10",
    "train --storage": "train --storage sqlite:///STUDY.db --study-name study --trial-id 1 -n 10",
    "resume": f"resume {RUN}",
    "resume -n": f"resume {RUN} -n 2000",
    "compare --plan": "compare --plan PLAN.yml -o new --dry-run",
    "compare --output": "compare --output OUTPUT --dry-run",
    "plot_from_file": "plot_from_file -i PLOTS.pkl",
}  # fmt: skip
MODULE = "hostile_module"


def place(file: str) -> Path:
    """Where a file of the table is in the tests' folder."""
    named = {"*.zip": f"{RUN}/{ENV}.zip", "OUTPUT/plan.yml": f"OUTPUT/{PLAN_FILE}"}
    return Path(named.get(file, file.replace("RUN", str(RUN)).replace("ENV", ENV)))


class Evil:
    """Runs code when it is unpickled, and stops whatever goes on."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> Any:
        return exec, (self.code,)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was made here, as far as reading it goes."""
    root = tmp_path_factory.mktemp("made")
    run = root / RUN
    env = make_vec_env(ENV, wrapper_class=CarRacingWrapper, wrapper_kwargs=PICTURE)
    env = VecNormalize(env, norm_obs=False)
    model = CarDQN("CnnPolicy", env, buffer_size=100, seed=0)
    (run / "checkpoints").mkdir(parents=True)
    (run / ENV).mkdir()
    (run / "lone").mkdir()
    for name in (f"{ENV}.zip", "best_model.zip", "lone/agent.zip"):
        model.save(run / name)
    (run / ENV / "config.yml").write_text(yaml.dump(WRAPPED | {"normalize": True}))
    (run / ENV / "args.yml").write_text(yaml.dump({"env_kwargs": None}))
    again = ["-n", "1000", "--checkpoint-freq", "500", "-params", "n_envs:1"]
    (run / "checkpoints/command.json").write_text(json.dumps(again))
    (run / ENV / "command.json").write_text(json.dumps([*again, "--trained-on", "1000"]))
    env.save(str(run / ENV / "vecnormalize.pkl"))
    trust.remember(*(path for path in run.rglob("*") if path.is_file()))
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(made / "logs", tmp_path / "logs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(trust.TRUST, "")
    monkeypatch.syspath_prepend(tmp_path)
    signal.alarm(3600)  # a pipe that is waited for
    yield tmp_path
    signal.alarm(0)
    sys.modules.pop(MODULE, None)


def python(folder: Path) -> str:
    """Python text that leaves a proof and then stops whatever goes on."""
    return f"1 / 0 if __import__('os').mkdir({str(folder / 'proof')!r}) is None else 0"


def hostile_settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Hyperparameters that run code, by how they do."""
    (folder / f"{MODULE}.py").write_text(f"{python(folder)}\nclass Wrapper: ...")
    return {
        "evaluated": {"policy_kwargs": python(folder)},
        "normalize": {"normalize": python(folder)},
        # a class of this package by its last name, behind a call
        "called": {
            "normalize": f"sb3_cardqn.importlib.import_module('os').mkdir({str(folder / 'proof')!r}).FrameSkip"
        },
        "wrapper": {"env_wrapper": [{f"{MODULE}.Wrapper": {"a": 1}}]},
        "vector": {"vec_env_wrapper": f"{MODULE}.Wrapper"},
        "callback": {"callback": f"{MODULE}.Wrapper"},
        "policy": {"policy": f"{MODULE}.Wrapper"},
    }


def finish_for(command: str) -> None:
    """``resume -n`` reads these files of a finished run only, here of one that was killed at its very end."""
    if command == "resume -n":
        (RUN / "checkpoints").rename(RUN / DONE)


def write_hostile(file: str, command: str, way: str, folder: Path) -> None:
    """Put a hostile file in its place."""
    finish_for(command)
    path = place(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    code = f"import os\n{python(folder)}"
    if path.suffix == ".zip":
        model = CarDQN.load(path, buffer_size=1)
        model.extra = Evil(code)
        for name in (path, RUN / "best_model.zip"):
            model.save(name)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(Evil(code)))
    elif path.suffix == ".py":
        path.write_text(f"{code}\nhyperparams = {{}}")
    elif path.suffix == ".json":
        path.write_text(json.dumps(["-n", "10", "-params", f"gamma:{python(folder)}"]))
    elif path.suffix == ".db":
        study = optuna.create_study(storage=f"sqlite:///{path}", study_name="study")
        sampled: dict[str, Any] = {
            "one_minus_gamma": 0.1, "batch_size_pow": 5, "policy_kwargs": python(folder),
        }  # fmt: skip
        choices = {
            name: optuna.distributions.CategoricalDistribution([value]) for name, value in sampled.items()
        }
        for _ in range(2):
            study.add_trial(optuna.create_trial(params=sampled, distributions=choices, value=1.0))
    elif way == "tag":
        path.write_text(f"env_kwargs: null\nnormalize: !!python/object/apply:exec [{json.dumps(code)}]")
    else:
        settings = hostile_settings(folder)[way]
        if "plan" in file.lower():
            entry = {"algo": "cardqn"} | settings
            path.write_text(yaml.dump({"contestants": {"x": entry}, "n_timesteps": 1000}))
        else:
            path.write_text(yaml.dump({ENV: {"policy": "CnnPolicy", "n_timesteps": 1000} | settings}))


def ways(file: str, command: str, kind: str) -> list[str]:
    """In which ways a hostile file of the table runs code."""
    if place(file).suffix != ".yml":
        return ["itself"]
    if kind == "code":
        return ["tag"]
    if command == "export":
        return ["wrapper"]
    if command in ("evaluate", "race", "bench agent", "evaluate --config", "race --config"):
        return ["wrapper", "vector"]  # the rest is not used
    return ["evaluated", "normalize", "called", "wrapper", "vector", "callback", "policy"]


CASES = [
    (file, command, way)
    for file, command, kind in TABLE
    if kind != "data"
    for way in ways(file, command, kind)
]  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def say(command: str, file: str, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[Any, str]:
    """Run a command in this process, in which everything was imported: its exit status and what it says."""
    typed = COMMANDS[command].replace("CONFIG.yml", file if file.startswith("CONFIG") else "CONFIG.yml")
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([*shlex.split(typed), *more])
    return ended.value.code, capsys.readouterr().err


def test_the_table_is_whole() -> None:
    assert {kind for _, _, kind in TABLE} == {"code", "asked", "data"}
    assert {command for _, command, kind in TABLE if kind != "data"} == set(COMMANDS)
    # every command of the command line stands in it, but for one that downloads, which asks itself
    commands = {command.split()[0] for _, command, _ in TABLE}
    assert commands >= {*cli.ZOO_COMMANDS, *cli._OWN, "resume"} - {"load_from_hub"}


@pytest.mark.parametrize(("file", "command", "way"), CASES)
def test_nothing_hostile_runs(
    file: str, command: str, way: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hostile(file, command, way, folder)
    before = snapshot(folder)
    status, error = say(command, file, capsys)
    lines = [line for line in error.splitlines() if line.startswith("sb3-cardqn: ")]
    assert status == 2, error
    assert len(lines) == 1
    assert place(file).name in lines[0] or "best_model.zip" in lines[0]
    assert "--trust" in lines[0]
    assert MODULE not in sys.modules
    after = snapshot(folder)
    assert after == before
    # so there was code to run
    say(command, file, capsys, "--trust")
    assert (folder / "proof").is_dir()


def test_no_key_of_a_plan_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"algo": "cardqn", f"gamma:{python(folder)}#": 1}
    Path("PLAN.yml").write_text(yaml.dump({"contestants": {"x": entry}, "n_timesteps": 1000}))
    status, error = say("compare --plan", "PLAN.yml", capsys)
    assert status == 2
    assert "gamma:" in error
    assert not (folder / "proof").exists()


def test_the_entry_that_was_trained_vouches_for_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = {"policy": "MlpPolicy", "n_timesteps": 100, "policy_kwargs": python(folder)}
    harmless = {"policy": "MlpPolicy", "n_timesteps": 100}
    Path("CONFIG.yml").write_text(yaml.dump({"CartPole-v1": harmless, "Acrobot-v1": hostile}))
    cli.main(
        [
            "train",
            "-conf",
            "CONFIG.yml",
            "--env",
            "CartPole-v1",
            "--checkpoint-freq",
            "50",
            "--eval-freq",
            "-1",
            "-f",
            "here",
        ]
    )
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["train", "-conf", "CONFIG.yml", "--env", "Acrobot-v1", "--eval-freq", "-1", "-f", "here"])
    assert "--trust" in capsys.readouterr().err
    assert not (folder / "proof").exists()


def test_no_wrapper_of_a_default_entry_is_put_around_an_environment(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"policy": "MlpPolicy", "n_timesteps": 10, **hostile_settings(folder)["wrapper"]}
    Path("CONFIG.yml").write_text(yaml.dump({"default": entry}))
    with pytest.raises(SystemExit):
        cli.main(["train", "--env", "CartPole-v1", "-conf", "CONFIG.yml", "-n", "10"])
    assert "--trust" in capsys.readouterr().err
    assert MODULE not in sys.modules


@pytest.mark.parametrize("module", ["struct", "yaml"])
def test_processes_import_nothing_from_the_current_folder(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text("import os; os.mkdir('proof')")
    # as the installed command starts, which has no current folder in its path
    start = "import sys; sys.path.remove(''); from sb3_cardqn import cli; cli.main()"
    typed = {
        "struct": "train --env CartPole-v1 -n 50 --eval-freq -1 --vec-env subproc -params n_envs:2",
        "yaml": "compare dqn -n 200 --seeds 1 --n-evaluations 1 --tracks 1 --env CartPole-v1 --no-videos",
    }[module]
    result = subprocess.run(
        [sys.executable, "-c", start, *typed.split(" ")], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(("file", "command"), sorted({(file, command) for file, command, _ in CASES}))
def test_a_pipe_is_not_waited_for(
    file: str, command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hostile(file, command, next(way for a, b, way in CASES if (a, b) == (file, command)), folder)
    for path in [place(file), *([RUN / "best_model.zip"] if file == "*.zip" else [])]:
        path.unlink()
        os.mkfifo(path)
    status, error = say(command, file, capsys)
    assert status == 2, error


OF_DATA = COMMANDS | {
    "compare": "compare dqn -n 100 -o OUTPUT --dry-run",
    "compare --merge": "compare --merge FOLDER -o new",
    "all_plots": f"all_plots -a cardqn -e {ENV} -f logs -o PLOTS",
    "plot_train": f"plot_train -a cardqn -e {ENV} -f logs",
}


@pytest.mark.parametrize(
    ("file", "command"),
    [(file, command) for file, command, kind in TABLE if kind == "data" and "/" in file],
)
def test_a_pipe_in_place_of_data_is_not_waited_for(
    file: str, command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(str(place(file)).replace("*", "x"))
    if command == "compare" and "RUN" in file:
        path = "OUTPUT/runs/dqn" / path.relative_to("logs")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(OF_DATA[command]))
    assert ended.value.code == 2
    assert path.name in capsys.readouterr().err


# A short use of nearly all commands, in one folder, in this order: what they leave, the next ones read.
SHORT = "--env CartPole-v1 --seed 0 -n 300 --eval-freq 150 --eval-episodes 1"
SESSION = [
    f"train {SHORT} --checkpoint-freq 100 -conf CONFIG.yml -tb tb --save-replay-buffer",
    f"train {SHORT} -i logs/cardqn/CartPole-v1_1/best_model.zip -conf CONFIG.yml",
    f"train {SHORT} --checkpoint-freq 100 -conf CONFIG.yml -params \"callback:'tests.audited.StopAt200'\"",
    "resume logs/cardqn/CartPole-v1_3",
    f"train {SHORT} --checkpoint-freq 100 -conf CONFIG.py",
    "enjoy --env CartPole-v1 --no-render -n 5",
    "record_video --env CartPole-v1 -n 5",
    "plot_train -a cardqn -e CartPole-v1 -f logs -w 5",
    "all_plots -a cardqn -e CartPole-v1 -f logs -o PLOTS --no-display",
    "plot_from_file -i PLOTS.pkl -o plots.svg",
    f"evaluate {RUN} --tracks 1 --processes 1 --fast",
    f"evaluate {RUN} --checkpoint final --tracks 1 --processes 1 --fast",
    f"evaluate {RUN}/lone/agent.zip --algo cardqn --config CONFIG.yml --tracks 1 --processes 1 --fast",
    f"race {RUN} --fast --tracks 1",
    "export logs/cardqn/CarRacing-v3_2 -o exported",
    "evaluate exported/policy.safetensors --tracks 1 --processes 1 --fast",
    "compare --plan PLAN.yml --output OUTPUT --no-videos",
    "compare --output OUTPUT --no-videos",
    "compare --merge OUTPUT --output merged",
    f"train {SHORT} -conf CONFIG.yml --study-name study --storage sqlite:///STUDY.db -optimize --n-trials 2 --n-startup-trials 1 --no-optim-plots",
    f"train {SHORT} -conf CONFIG.yml --study-name study --storage sqlite:///STUDY.db --trial-id 1",
    "resume logs/cardqn/CartPole-v1_1 -n 500",
]
SMALL = {"policy": "MlpPolicy", "n_timesteps": 300, "buffer_size": 500, "learning_starts": 50}
# The machine's, and what is only locked, or read back by what has just written it.
KNOWN = (
    "/dev/",
    "/etc/",
    "/proc/",
    "/sys/",
    "/usr/",
    "/run/",
    f"{ROOT}/",
    f"{sys.prefix}/",
    f"{sys.base_prefix}/",
)
KNOWN_NAMES = {"lock", ".lock"}


def rows() -> dict[str, re.Pattern[str]]:
    """For each file of the table what its path looks like."""
    parts = {"RUN": r"[^/]+/[^/]+_\d+", "ENV": r"[^/]+", "FOLDER": r"[^/]+", "*": r"[^/]*"}
    return {
        file: re.compile(
            "(.*/)?"
            + "".join(parts.get(part, re.escape(part)) for part in re.split(r"(RUN|ENV|FOLDER|\*)", file))
        )
        for file, _, _ in TABLE
    }


def test_no_command_opens_a_file_that_no_row_names_nor_code_unchecked(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "logs", tmp_path / "logs")
    (tmp_path / "tmp").mkdir()
    shutil.copytree(made / RUN, tmp_path / "logs/cardqn/CarRacing-v3_2")
    (tmp_path / f"logs/cardqn/CarRacing-v3_2/{ENV}/config.yml").write_text(yaml.dump(WRAPPED))
    (tmp_path / f"logs/cardqn/CarRacing-v3_2/{ENV}/command.txt").write_text("sb3-cardqn train")
    configured = tmp_path / RUN / ENV
    shutil.copy(configured / "vecnormalize.pkl", configured / "best_vecnormalize.pkl")
    (tmp_path / "CONFIG.yml").write_text(yaml.dump({"CartPole-v1": SMALL, ENV: WRAPPED}))
    (tmp_path / "CONFIG.py").write_text(f"hyperparams = {{'CartPole-v1': {SMALL}}}")
    trust.remember(tmp_path / "CONFIG.py")
    small = [f"{name}:{value}" for name, value in SMALL.items() if name in ("buffer_size", "learning_starts")]
    plan: Any = {
        "contestants": {"dqn": shlex.join(["dqn", *small])},
        "env": "CartPole-v1",
        "n_timesteps": 300,
    }
    plan |= {"seeds": 1, "n_evaluations": 2, "eval_episodes": 1, "tracks": 1}
    (tmp_path / "PLAN.yml").write_text(yaml.dump(plan))
    (tmp_path / "commands.json").write_text(json.dumps([shlex.split(line) for line in SESSION]))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.audited", "commands.json", "report.json"],
        cwd=tmp_path,
        env=os.environ
        | {"TMPDIR": str(tmp_path / "tmp"), "MPLCONFIGDIR": str(tmp_path / "tmp/matplotlib")}
        | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    statuses = {line: status for line, (status, _) in zip(SESSION, report, strict=True)}

    assert statuses == {line: 130 if "StopAt200" in line else 0 for line in SESSION}, ran.stderr
    private = f"{tmp_path}/tmp/"  # copies of what was opened by its name
    can_run_code = {file for file, _, kind in TABLE if kind != "data"}
    unnamed, named, unchecked = [], set(), []
    for line, (_, opened) in zip(SESSION, report, strict=True):
        for path, by_others in opened.items():
            if path.startswith((*KNOWN, private)) or Path(path).name in KNOWN_NAMES:
                continue
            files = {file for file, row in rows().items() if row.fullmatch(path)}
            named |= files
            if not files:
                unnamed.append((line, path))
            if files & can_run_code and by_others:
                unchecked.append((line, path))
    assert unnamed == []
    assert unchecked == []  # what is used would not be what was checked
    # and no row is there that nothing reads
    of_no_session = {"OUTPUT/race_*.mp4", "OUTPUT/runs/*/*/ENV_*.log"}  # of a race, of a failure
    assert named >= {file for file, _, _ in TABLE} - of_no_session
