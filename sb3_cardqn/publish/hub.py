"""rl-zoo3's hub commands, extended with the exported policy and this package's model card."""

import argparse
import contextlib
import datetime
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import huggingface_hub.repocard
import huggingface_sb3
from huggingface_hub.errors import EntryNotFoundError
from requests.exceptions import HTTPError

from sb3_cardqn.agents.exported import SafeAgent
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Evaluation, Run, evaluate
from sb3_cardqn.policy_file.write import EXPORTABLE, write_policy
from sb3_cardqn.publish.export import training_command
from sb3_cardqn.publish.model_card import model_card
from sb3_cardqn.replaced import replaced
from sb3_cardqn.seeds import HELD_OUT_SEEDS
from sb3_cardqn.trust import TRUST
from sb3_cardqn.zoo.commands import run
from sb3_cardqn.zoo.run_names import find_run


@contextlib.contextmanager
def mended() -> Iterator[None]:
    """
    Make rl-zoo3 2.9's hub commands work with current releases of huggingface_hub and huggingface_sb3.

    :return: context in which they do
    """
    push: Any = sys.modules["huggingface_sb3.push_to_hub"]
    download = huggingface_sb3.load_from_hub

    def load_from_hub(repo_id: str, filename: str) -> str:
        try:
            return download(repo_id, filename)
        except EntryNotFoundError as error:  # huggingface_hub 1.0 left requests; the zoo expects its error
            raise HTTPError(str(error)) from error
        except ValueError as error:
            if TRUST not in str(error):
                raise
            raise UserError(
                f"loading '{filename}' of '{repo_id}' can run any code that its author put in. If you trust "
                "them, add --trust"
            ) from error

    with contextlib.ExitStack() as stack:
        if not hasattr(push, "generate_metadata"):  # renamed in sb3-team-hf-integration 3.2
            generate = push._generate_metadata  # whose result the zoo wants as a dict
            stack.enter_context(replaced(push, "generate_metadata", lambda *args: generate(*args).to_dict()))
        stack.enter_context(replaced(huggingface_sb3, "load_from_hub", load_from_hub))
        yield


def with_safe_form(options: argparse.Namespace) -> AbstractContextManager[None]:
    """
    Make ``push_to_hub`` also upload the exported policy and this package's model card.

    :param options: options algo, env, folder and exp_id of the run
    :return: context in which it does
    """
    folder = find_run(Path(options.folder, options.algo), options.env, max(options.exp_id, 0))
    if options.exp_id >= 0 and folder is not None:  # else the zoo reports the error
        run = Run(folder)
        if run.algo in EXPORTABLE:
            return _safe_form_of(run)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _safe_form_of(run: Run) -> Iterator[None]:
    """
    Make ``push_to_hub`` also upload the exported policy of an agent, with its model card.

    Scores are from held-out seeds, whereas the zoo would evaluate on training seeds.

    :param run: run of the pushed agent
    :return: context in which it does
    """
    push: Any = sys.modules["huggingface_sb3.push_to_hub"]
    zoos_evaluation, zoos_card = push._evaluate_agent, huggingface_hub.repocard.metadata_save
    evaluations: list[Evaluation] = []

    def evaluate_agent(
        model: Any, env: Any, episodes: int, greedy: bool, folder: Path
    ) -> tuple[float, float]:
        path = folder / "policy.safetensors"
        try:
            write_policy(model, run.algo, path, run, training_command(run))
        except UserError as error:
            print(f"Uploading without an exported policy: {error}")
            return zoos_evaluation(model, env, episodes, greedy, folder)
        evaluations.extend(evaluate(SafeAgent(path), HELD_OUT_SEEDS[:episodes], stock=False, n_processes=1))
        summary = evaluations[0].summary()
        results = {
            "mean_reward": summary["mean"],
            "std_reward": summary["std"],
            "is_deterministic": True,
            "n_eval_episodes": episodes,
            "eval_datetime": datetime.datetime.now().isoformat(),
        }
        (folder / "results.json").write_text(json.dumps(results))
        return summary["mean"], summary["std"]

    def save_card(path: Path, metadata: dict[str, Any]) -> None:
        if not evaluations:
            zoos_card(path, metadata)
            return
        command = f"sb3-cardqn evaluate policy.safetensors --fast --tracks {len(evaluations[0].drives)}"
        path.write_text(model_card(evaluations[0], command))

    with (
        replaced(push, "_evaluate_agent", evaluate_agent),
        replaced(huggingface_hub.repocard, "metadata_save", save_card),
    ):
        yield


def main(command: str, argv: list[str]) -> None:
    """
    :param command: push_to_hub or load_from_hub
    :param argv: arguments after the command
    """
    with mended():
        run(command, argv, around=with_safe_form if command == "push_to_hub" else None)
