"""Command ``sb3-cardqn export``, which writes a trained agent to a file that is safe to load."""

import contextlib
import shlex
from pathlib import Path

from sb3_cardqn.agents.find import WHICH_AGENT
from sb3_cardqn.agents.saved import load_to_drive
from sb3_cardqn.durable import is_zip, sha256, write_text
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Run, evaluate
from sb3_cardqn.options import Parser, add_gym_packages, add_trust
from sb3_cardqn.policy_file import read as policy_file
from sb3_cardqn.policy_file.onnx import write_onnx
from sb3_cardqn.policy_file.read import load_policy, locate
from sb3_cardqn.policy_file.write import EXPORTABLE, write_policy
from sb3_cardqn.zoo.settings import import_packages


def export(agent: str | Path, output: Path | None = None, algo: str | None = None) -> Path:
    """
    Export a trained agent.

    :param agent: run folder; zip saved by SB3 (in a run folder, the folder's environment is included);
        exported file or name of a shipped agent, both of which are copied
    :param output: ``.safetensors`` file to write, or its folder; by default the agent's folder, or the
        current folder for a shipped agent
    :param algo: the zoo's name of the algorithm, for a zip outside a run folder; by default "cardqn"
    :return: the ``.safetensors`` file
    :raises UserError: if ``agent`` is not an agent, is not trusted, or has a part that cannot be exported, or
        if ``algo`` is not its run folder's algorithm, or it is exported already
    """
    source = locate(agent)
    if source != Path(agent):
        output = output or Path()
    if source.suffix == ".safetensors":
        if algo is not None:
            raise UserError(f"--algo is for a zip outside a run folder, got {algo} and '{agent}'")
        return _copy(source, output)
    run, zipped = _find(source)
    name = "policy.safetensors" if source.is_dir() else f"{source.stem}.safetensors"
    facts = {"file": zipped.name, "file_sha256": sha256(zipped)}
    if run is None:
        algo = algo or "cardqn"
        model = load_to_drive(zipped, algo)
    elif algo in (None, run.algo):
        algo = run.algo
        model = run.agent(model_path=zipped).load_model()
        facts |= training_command(run)
    else:
        raise UserError(f"--algo {algo}: '{source}' was trained with {run.algo}")
    path = _target(output or zipped.parent, name)
    write_policy(model, algo, path, run, facts)
    return path


def _target(output: Path, name: str) -> Path:
    if output.suffix not in ("", ".safetensors") and not output.is_dir():
        raise UserError(f"-o needs a .safetensors file or a folder, got '{output}'")
    path = output if output.suffix == ".safetensors" else output / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _copy(source: Path, output: Path | None) -> Path:
    file, path = policy_file.read(source), _target(output or source.parent, source.name)
    policy_file.write(path, file.about, file.tensors)
    return path


def _find(source: Path) -> tuple[Run | None, Path]:
    if source.is_dir():
        run = Run(source)
        return run, run.model_path
    if not is_zip(source):
        raise UserError(f"export needs a run folder, a zip or an exported agent, got '{source}'")
    try:
        return Run(source.parent), source
    except UserError:
        return None, source


def training_command(run: Run) -> dict[str, str]:
    """
    :param run: run folder of ``train``
    :return: the commands that trained it, under "command", or an empty dict if they are unknown
    """
    path = run.config_folder / "command.txt"
    text = path.read_text() if path.is_file() else ""
    commands, line = [], ""
    for part in text.splitlines():
        line = f"{line}\n{part}" if line else part
        with contextlib.suppress(ValueError):  # within quotes, a line break; rl-zoo3 quotes nothing
            commands.append(_without_program(shlex.split(line)))
            line = ""
    commands = [command for command in commands if command]
    text = " && ".join(commands)
    printable = "".join(letter if letter.isprintable() else " " for letter in text)  # as a description needs
    return {"command": printable} if commands else {}


def _without_program(words: list[str]) -> str:
    """
    :param words: a command line, from the program on, whose path is this machine's
    :return: the same as it is typed anywhere; "" if it does not train
    """
    starts = [i for i, word in enumerate(words) if i > 0 and word in ("train", "resume")]
    return shlex.join(["sb3-cardqn", *words[starts[0] :]]) if starts else ""


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn export``.

    :param argv: arguments after ``export``
    """
    parser = Parser(
        prog="sb3-cardqn export",
        description="Export a trained agent's policy to a file that runs no code when loaded. The file is "
        "safetensors with a JSON description inside; a copy of the description is written beside it. "
        "load_policy, evaluate, race and play accept the file.",
    )
    parser.add_argument(
        "source",
        help=WHICH_AGENT,
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help=".safetensors file or folder to write (default: the agent's folder, or the current folder for a "
        "shipped agent)",
    )
    parser.add_argument("--onnx", action="store_true", help="also write ONNX")
    parser.add_argument(
        "--algo",
        choices=EXPORTABLE,
        help="algorithm of a zip outside a run folder (default: cardqn)",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="also evaluate the agent on 100 held-out seeds and write a model card, README.md",
    )
    add_gym_packages(parser)
    add_trust(parser)
    options = parser.parse_args(argv)
    import_packages(options.gym_packages)
    path = export(options.source, options.output, options.algo)
    if options.onnx:
        write_onnx(load_policy(path), path.with_suffix(".onnx"))
    files = [path, path.with_suffix(".json"), *([path.with_suffix(".onnx")] if options.onnx else [])]
    if options.card:
        files.append(path.with_name("README.md"))
        there = files[-1].read_text(errors="replace") if files[-1].is_file() else ""
        if there and not (there.startswith("---\n") and "\n- sb3-cardqn\n" in there):  # a card's tags
            raise UserError(
                f"--card would overwrite '{files[-1]}', which is not a model card: use another folder (-o)"
            )
        from sb3_cardqn.publish.model_card import model_card  # imports the hub's slow package

        (evaluation,) = evaluate(str(path), progress=True)
        write_text(files[-1], model_card(evaluation, f"sb3-cardqn evaluate {shlex.quote(path.name)}"))
    for file in files:
        print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")
