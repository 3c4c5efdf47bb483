"""SafeAgent (an agent from an exported file) and load_pretrained."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.policy_file.read import ExportedPolicy, load_policy, read, shipped_agents
from sb3_cardqn.python_text import with_short_names


@dataclass(frozen=True)
class SafeAgent:
    """
    An exported agent, which ``evaluate``, ``race`` and ``play`` accept like an agent saved by SB3.

    :param model_path: the ``.safetensors`` file
    :param name: name in tables and videos, by default that of the file
    :raises UserError: if it is not an exported policy, or does not name its environment
    """

    model_path: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.model_path.stem)
        if self.about["env"] is None:
            raise UserError(
                f"'{self.model_path}' does not name its environment; export a run folder to include it"
            )

    @cached_property
    def about(self) -> dict[str, Any]:
        """Description in the file, after all checks."""
        return read(self.model_path).about

    @property
    def algo(self) -> str:
        """Name of the algorithm."""
        return self.about["algorithm"]

    @property
    def env_id(self) -> str:
        """Id of the environment."""
        return self.about["env"]["id"]

    @property
    def config_path(self) -> Path:
        """The file itself, which contains the configuration."""
        return self.model_path

    @property
    def config(self) -> dict[str, Any]:
        """The zoo's configuration of the environment."""
        return {
            "env_kwargs": self.about["env"]["kwargs"],
            "env_wrapper": with_short_names(self.about["env"]["wrappers"]),
        }

    def load_model(self) -> ExportedPolicy:
        """
        :return: Q-network to drive with
        """
        return load_policy(self.model_path)


def load_pretrained(name: str = "cardqn") -> ExportedPolicy:
    """
    Load an agent shipped with the package.

    :param name: name of the agent: ``"cardqn"`` or ``"cardqn_any_colors"``
    :return: Q-network, see ``load_policy``
    :raises UserError: if no agent has this name
    """
    agents = shipped_agents()
    if name not in agents:
        known = did_you_mean(name, list(agents))
        raise UserError(f"no agent '{name}' is shipped with this version of sb3-cardqn{known}")
    return load_policy(agents[name])
