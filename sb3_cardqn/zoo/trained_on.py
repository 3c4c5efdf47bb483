"""TrainedOn: continues the counters and curves of a run that has spent its budget."""

import zipfile
from pathlib import Path

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback

from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.clock import TrainingClock, last_reading
from sb3_cardqn.zoo.validation import ValidationCallback


class TrainedOn(BaseCallback):
    """
    Count on where a finished run ended: agent steps, seconds of training, evaluations and the best agent.

    It is the first callback, because others read the agent steps when training starts.

    :param agent_steps: agent steps of the finished run
    :param clock: clock of the run, with its evaluations
    """

    def __init__(self, agent_steps: int, clock: TrainingClock) -> None:
        super().__init__()
        self.agent_steps, self.clock = agent_steps, clock

    def _on_training_start(self) -> None:
        self.model.num_timesteps = self.agent_steps  # learn() has just set it to 0
        folder = self.clock.path.parent
        self.clock.seconds = last_reading(folder).seconds
        for evaluation in self.clock.evaluations:
            if isinstance(evaluation, ValidationCallback):
                written = evaluation.folder
            else:
                written = Path(evaluation.log_path or "").parent
            if written == folder:
                _continue(evaluation, folder / "evaluations.npz")

    def _on_step(self) -> bool:
        return True


def _continue(evaluation: EvalCallback, path: Path) -> None:
    """
    :param evaluation: callback that has not evaluated yet
    :param path: file of its earlier evaluations, if there were any
    :raises UserError: if the file cannot be read
    """
    if not path.is_file():
        return
    try:
        with np.load(path, allow_pickle=False) as earlier:
            evaluation.evaluations_timesteps = earlier["timesteps"].tolist()
            evaluation.evaluations_results = earlier["results"].tolist()
            evaluation.evaluations_length = earlier["ep_lengths"].tolist()
            if "successes" in earlier:
                evaluation.evaluations_successes = earlier["successes"].tolist()
            evaluation.best_mean_reward = float(earlier["results"].mean(axis=1).max())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read the earlier evaluations in '{path}': {error}") from error
