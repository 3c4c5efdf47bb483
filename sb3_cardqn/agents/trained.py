"""TrainedAgent: the protocol of agents saved by SB3 (``Agent``) and exported ones (``SafeAgent``)."""

from pathlib import Path
from typing import Any, Protocol


class TrainedAgent(Protocol):
    """Common attributes and methods of ``Agent`` and ``SafeAgent``."""

    @property
    def name(self) -> str:
        """Name in tables and videos."""

    @property
    def algo(self) -> str:
        """The zoo's name of the algorithm."""

    @property
    def env_id(self) -> str:
        """Id of the environment it was trained on."""

    @property
    def model_path(self) -> Path:
        """File of the agent."""

    @property
    def config_path(self) -> Path:
        """File of its configuration; normalization statistics are beside it."""

    @property
    def config(self) -> dict[str, Any]:
        """The hyperparameters it was trained with, at least those of its environment."""

    def load_model(self) -> Any:
        """
        :return: the agent, with the ``predict`` method of SB3's algorithms
        """

    def renamed(self, name: str) -> "TrainedAgent":
        """
        :param name: new name for tables and videos
        :return: the same agent with that name
        """

    def __hash__(self) -> int:
        """
        :return: hash of its files and its name
        """
