from pathlib import Path

import pytest

from sb3_cardqn import CarDQN
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Run
from sb3_cardqn.publish.export import main, training_command
from tests.evaluate.test_evaluate import save
from tests.named import error_naming


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
        (
            "sb3-cardqn train -params 'policy_kwargs:dict(\n)'\nsb3-cardqn resume A_1 -n 9",
            "sb3-cardqn train -params 'policy_kwargs:dict( )' && sb3-cardqn resume A_1 -n 9",
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


def test_a_run_is_exported_with_no_other_algorithm_than_its_own(tmp_path: Path) -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", buffer_size=10, policy_kwargs={"net_arch": [8]})
    run = save(tmp_path / "logs", "cardqn", model, env="CartPole-v1", buffer_size=10)
    output = tmp_path / "policy.safetensors"
    for source in (run.folder, run.model_path):
        with error_naming(UserError, "--algo | dqn | cardqn"):
            main([str(source), "-o", str(output), "--algo", "dqn"])
        assert not output.exists()
        main([str(source), "-o", str(output), "--algo", "cardqn"])
        output.unlink()
    with error_naming(UserError, "--algo | dqn | cardqn"):
        main(["cardqn", "-o", str(output), "--algo", "dqn"])
    (run.config_folder / "command.txt").write_text("sb3-cardqn train -params 'policy_kwargs:dict(\n)'")
    main([str(run.folder), "-o", str(output)])
