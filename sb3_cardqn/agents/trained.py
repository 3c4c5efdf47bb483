"""What every trained agent offers, whether SB3 saved it (``Agent``) or it was exported (``SafeAgent``)."""

from pathlib import Path
from typing import Any, Protocol


class TrainedAgent(Protocol):
    """What ``Agent`` and ``SafeAgent`` have in common: all that it takes to drive."""

    @property
    def name(self) -> str:
        """In tables and videos."""

    @property
    def algo(self) -> str:
        """Name of the algorithm, as rl-zoo3 has it."""

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
        :return: the agent to drive with: its ``predict`` chooses actions as SB3's algorithms do
        """

    def renamed(self, name: str) -> "TrainedAgent":
        """
        :param name: for tables and videos
        :return: the same agent with that name
        """
