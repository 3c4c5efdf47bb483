"""Options of the zoo's commands: all that a command has is in its help, and is read as the zoo reads it."""

from pathlib import Path

import pytest

from sb3_cardqn import cli
from sb3_cardqn.options import ZOO_COMMANDS


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command.split(), "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("train", "--checkpoint-freq --minutes --run-id --trust --conf-file --hyperparams -optimize -uuid"),
        ("enjoy", "--trust --load-best --exp-id"),
        ("record_video", "--trust --output-folder"),
        ("push_to_hub", "--trust --organization"),
        ("load_from_hub", "--trust --repo-name"),
        ("plot_train", "--episode-window"),
        ("all_plots", "--no-million"),
        ("plot_from_file", "--trust --boxplot"),
        *((own, "--trust") for own in ("evaluate", "race", "resume", "export", "play", "bench agent")),
        ("compare", "--trust --seeds --seed"),
    ],
)
def test_help_shows_all_options(command: str, options: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = help_of(command, capsys).replace(",", " ").replace("[", " ").replace("]", " ").split()
    assert set(options.split()) <= set(words)


@pytest.mark.parametrize("command", ["train", "enjoy", "record_video", "push_to_hub", "load_from_hub"])
def test_help_shows_the_defaults_of_this_package(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(command, capsys).split())
    assert "(default: cardqn)" in text
    assert "(default: CarRacing-v3)" in text


@pytest.mark.parametrize(
    "command", [*ZOO_COMMANDS, *cli._OWN, "resume", "bench env", "bench agent", "bench learn", "bench to900"]
)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"usage: sb3-cardqn {command}" in help_of(command, capsys)


def test_options_of_this_package_stand_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also behind an option of the zoo with many values, and with =."""
    monkeypatch.chdir(tmp_path)
    cli.main(
        [
            "train",
            "--env",
            "CartPole-v1",
            "-n",
            "60",
            "--eval-freq",
            "-1",
            "-params",
            "gamma:0.9",
            "--run-id=7",
        ]
    )
    assert (tmp_path / "logs/cardqn/CartPole-v1_7/CartPole-v1.zip").is_file()


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [
        ("evaluate", "--trakcs", "--tracks"),
        ("race", "--outptu", "--output"),
        ("compare", "--basline", "--baseline"),
        ("play cardqn", "--wacth", "--watch"),
        ("export", "--onx", "--onnx"),
        ("resume", "--trsut", "--trust"),
        ("bench env", "--rond", "--rounds"),
        ("bench learn", "--jsn", "--json"),
    ],
)
def test_a_misspelled_option_of_our_own_is_one_line(
    command: str, typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), typed, "3"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"'{typed}'" in line
    assert f"'{meant}'" in line
