from pathlib import Path

import pytest

from sb3_cardqn.evaluate import Run
from sb3_cardqn.publish.export import training_command


@pytest.mark.parametrize(
    ("written", "command"),
    [
        ("/bin/python /bin/sb3-cardqn train --seed 3 -tb train", "sb3-cardqn train --seed 3 -tb train"),
        ("'/my train/python' '/my train/sb3-cardqn' train -n 9", "sb3-cardqn train -n 9"),
        ("'/my resume set/python' -m sb3_cardqn --trust train -n 9", "sb3-cardqn train -n 9"),
        (
            "'/my train/sb3-cardqn' train -params \"policy:'CnnPolicy'\"\nsb3-cardqn resume 'my logs/A_1' -n 9\n",
            "sb3-cardqn train -params 'policy:'\"'\"'CnnPolicy'\"'\"'' && sb3-cardqn resume 'my logs/A_1' -n 9",
        ),
        ("python -m rl_zoo3.train --algo dqn", None),
        ("python /my train's/python train --algo dqn", None),  # not quoted, as rl-zoo3 writes it
        ("", None),
    ],
)
def test_the_commands_of_a_run_have_no_path_of_the_program(
    written: str, command: str | None, tmp_path: Path
) -> None:
    config = tmp_path / "cardqn/CartPole-v1_1/CartPole-v1"
    config.mkdir(parents=True)
    (config / "config.yml").write_text("{}")
    (config / "command.txt").write_text(written)
    assert training_command(Run(config.parent)).get("command") == command
