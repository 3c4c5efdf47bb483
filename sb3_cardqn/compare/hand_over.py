"""The agents of a finished run, exported for machines that do not trust each other's zips."""

from pathlib import Path

from sb3_cardqn.agents.exported import SafeAgent
from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.compare.results import JUDGED
from sb3_cardqn.compare.run import PlannedRun
from sb3_cardqn.durable import sha256
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Run, WhichCheckpoint
from sb3_cardqn.policy_file.write import EXPORTABLE
from sb3_cardqn.publish.export import export


def hand_over(run: PlannedRun) -> None:
    """
    Export the agents of a run on the machine that trained it; agents that cannot be exported stay zips.

    :param run: finished run
    """
    if run.contestant.algo not in EXPORTABLE:
        return
    for checkpoint in JUDGED:
        try:
            export(Run(run.folder).agent(checkpoint).model_path, _handed_over(run, checkpoint))
        except UserError as error:
            with run.log.open("a") as log:
                print(f"not exported: {error}", file=log)


def agent_of(run: PlannedRun, checkpoint: WhichCheckpoint) -> TrainedAgent:
    """
    :param run: finished run
    :param checkpoint: "final" or "best"
    :return: the zip, or the policy that was exported from it
    """
    zipped, path = Run(run.folder).agent(checkpoint), _handed_over(run, checkpoint)
    if path.is_file():
        exported = SafeAgent(path)
        if exported.about["training"].get("file_sha256") == sha256(zipped.model_path):
            return exported
    return zipped


def _handed_over(run: PlannedRun, checkpoint: WhichCheckpoint) -> Path:
    return run.folder / f"{checkpoint}.safetensors"
