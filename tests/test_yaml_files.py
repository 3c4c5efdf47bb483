import os
import zipfile
from pathlib import Path

import pytest
import yaml
from rl_zoo3 import ALGOS

from sb3_cardqn import cli
from sb3_cardqn.compare.plan import Plan
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Agent
from sb3_cardqn.yaml_files import read_yaml, with_numbers
from sb3_cardqn.zoo.commands import run
from tests.named import error_naming


def test_what_pyyaml_reads(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nx: {<<: *base, b: 3}\ny: {<<: *base, <<: {c: 4}}\nz: {b: é, 1: [true, 1e-4, ~]}\n"
    nested = "x: {y: &inner {<<: {k: 1}, k: 2}}\nz: {<<: *inner}\n"  # merged into before it is built
    for content in (text, nested, "", "3"):
        (tmp_path / "x.yml").write_text(content, encoding="utf-8")
        assert read_yaml(tmp_path / "x.yml") == yaml.safe_load(content)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: 1\nb: 2\na: 3", ("line 3", "'a'", "line 1")),
        ("a: 1\n'a': 3", ("line 2", "'a'")),
        ("x:\n  - {y: {gamma: 0.9, gamma: 0.8}}", ("line 2", "'gamma'")),
        ("1: x\n0x1: y", ("line 2", "key 1 ")),
        ("yes: x\ntrue: y", ("line 2", "True")),
        ("a: 1\nb: [1", ("line 2",)),
        ("a: 1\nb: !!python/object/apply:os.system [x]", ("line 2", "os.system")),
        ("a: *b", ("line 1", "'b'")),
        ("a: 2001-13-45", ("month",)),
        ("a: !!int ''", ("x.yml",)),
        ("a: !!bool x", ("x.yml",)),
        ("a: \x07", ("x.yml",)),
        ("a: 1\n---\na: 2", ("document",)),
        ("[" * 5000, ("x.yml",)),
        ("a: &a [*a]", ("x.yml", "itself")),
        (
            "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]\n" for i in range(1, 12)),
            ("1,000,000",),
        ),
        (
            "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{f'*a{i - 1},' * 9}]}}\n" for i in range(1, 9)),
            ("1,000,000",),
        ),
        (  # as keys
            "? &a0 [1]\n: 0\n" + "".join(f"? &a{i} [{f'*a{i - 1},' * 9}]\n: 0\n" for i in range(1, 9)),
            ("1,000,000",),
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(text: str, named: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    for part in (str(path), *named):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_no_yaml_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "bytes.yml").write_bytes(b"a: \xff\xfe\x00")
    for name in ("absent.yml", "pipe.yml", ".", "bytes.yml", "x" * 300):
        with pytest.raises(UserError) as error:
            read_yaml(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("compare --plan {path}", "contestants: [dqn]\nn_timesteps: 50\nseeds: 1\nn_timesteps: 60"),
        ("compare -o {folder} --dry-run", "contestants: [dqn]\nn_timesteps: 50\nseeds: 1\nn_timesteps: 60"),
        ("train --env CartPole-v1 -conf {path}", "CartPole-v1:\n  n_timesteps: 50\n  policy: MlpPolicy\n  n_timesteps: 60"),
    ],
)  # fmt: skip
def test_every_command_names_a_key_that_stands_twice(
    typed: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plan.yml"
    path.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        cli.main(typed.format(path=path, folder=tmp_path).split())
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "sb3-cardqn: " in line]
    for part in (str(path), "n_timesteps", "line 4"):
        assert part in line


def test_the_configuration_of_an_agent_names_a_key_that_stands_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w"):
        pass
    (tmp_path / "c.yml").write_text("CarRacing-v3:\n  gamma: 0.5\n  gamma: 0.6")
    agent = Agent(tmp_path / "x.zip", "dqn", tmp_path / "c.yml", "x")
    with error_naming(UserError, f"'{agent.config_path}' | line 3 | 'gamma'"):
        _ = agent.config


@pytest.mark.parametrize("algo", ["cardqn", "dqn"])
def test_numbers_that_yaml_takes_for_text_or_floats_are_trained_with(
    algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yml").write_text(
        "CartPole-v1: {policy: MlpPolicy, learning_rate: 1e-4, buffer_size: 1e3, learning_starts: 2e1, "
        "batch_size: !!float 8, n_timesteps: 6e1, tau: 1e-1, policy_kwargs: {net_arch: [1e1]}}"
    )
    run("train", ["--algo", algo, "--env", "CartPole-v1", "--eval-freq", "-1", "-conf", "c.yml"])
    model = ALGOS[algo].load(tmp_path / f"logs/{algo}/CartPole-v1_1/CartPole-v1.zip")
    assert (model.learning_rate(1.0), model.tau) == (1e-4, 0.1)
    counts = (model.buffer_size, model.learning_starts, model.batch_size, model.num_timesteps)
    assert counts == (1000, 20, 8, 60)
    assert model.policy_kwargs["net_arch"] == [10]


def test_a_plan_takes_them_too(tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text(
        "contestants: {a: {algo: dqn, learning_rate: 1e-4}, b: dqn}\nn_timesteps: 1e3\ntracks: !!float 2"
    )
    plan = Plan.load(tmp_path / "plan.yml")
    assert (plan.n_timesteps, plan.tracks) == (1000, 2)
    assert plan.contestants[0].hyperparams == {"learning_rate": 1e-4}


def test_quoted_or_not_other_text_stays_text() -> None:
    same = {"a": "e4", "b": "1e", "c": "lin_5e-4", "d": "1e4x", "e": "0x1e4", "f": "4", "g": True, "h": None}
    assert with_numbers(same) == same
