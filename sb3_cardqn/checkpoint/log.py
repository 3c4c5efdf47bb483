"""The log of a training run: values not yet written, and TensorBoard's folder."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import TensorBoardOutputFormat
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch.utils.tensorboard import SummaryWriter


def get_log(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """
    :param model: algorithm, while it learns
    :return: values recorded but not yet written, and the name of TensorBoard's folder
    """
    logger = model.logger
    state: dict[str, Any] = {
        "values": {
            name: [value, logger.name_to_count.get(name, 0), logger.name_to_excluded[name]]
            for name, value in logger.name_to_value.items()
            if isinstance(value, (bool, int, float, str, np.number))
        },
        "tensorboard": None,
    }
    board = _tensorboard(model)
    if board is not None:
        board.writer.flush()
        state["tensorboard"] = {"folder": Path(board.writer.log_dir).name}
    return state


def continue_log(model: OffPolicyAlgorithm, state: dict[str, Any], agent_steps: int) -> None:
    """
    Continue the old TensorBoard folder instead of the one that the agent's logger writes to.

    Values written after the checkpoint stay in the files, but TensorBoard hides them.

    :param model: algorithm whose logger has just been made
    :param state: result of ``get_log``
    :param agent_steps: agent step of the checkpoint
    """
    board = _tensorboard(model)
    if board is None or state["tensorboard"] is None:
        return
    new = Path(board.writer.log_dir)
    old = new.parent / Path(state["tensorboard"]["folder"]).name  # a forged folder cannot lead elsewhere
    if old.name == ".." or old.is_symlink() or not old.is_dir():
        return
    if new != old:
        if model._custom_logger:
            return  # the user has chosen another folder
        board.writer.close()
        if len(list(new.iterdir())) == 1:  # it is new: learn(reset_num_timesteps=False) takes another run's
            shutil.rmtree(new)
    board.writer = SummaryWriter(str(old), purge_step=agent_steps + 1)
    model.logger.dir = str(old)


def set_log(model: OffPolicyAlgorithm, state: dict[str, Any]) -> None:
    """
    :param model: algorithm, while it learns
    :param state: result of ``get_log``
    """
    logger = model.logger
    for name, (value, count, excluded) in state["values"].items():
        logger.name_to_value[name] = value
        if count:
            logger.name_to_count[name] = count
        logger.name_to_excluded[name] = tuple(excluded)


def _tensorboard(model: OffPolicyAlgorithm) -> TensorBoardOutputFormat | None:
    formats = [one for one in model.logger.output_formats if isinstance(one, TensorBoardOutputFormat)]
    return formats[0] if formats else None
