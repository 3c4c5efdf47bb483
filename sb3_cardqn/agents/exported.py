"""An exported policy in the place of an agent that SB3 saved, and the ones that come with the package."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sb3_cardqn.cardqn.policies import QNetwork
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.policy_file.read import load_policy, read
from sb3_cardqn.python_text import with_short_names

_SHIPPED = Path(__file__).parent.parent / "pretrained"


@dataclass(frozen=True)
class SafeAgent:
    """
    An exported agent, where ``evaluate``, ``race`` and ``enjoy`` otherwise take one that SB3 saved.

    :param model_path: the ``.safetensors`` file
    :param name: in tables and videos; by default the file's
    :raises UserError: if it is no exported policy, or does not say which environment it is for
    """

    model_path: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.model_path.stem)
        if self.about["env"] is None:
            raise UserError(
                f"'{self.model_path}' does not say which environment it is for, export a run folder"
            )

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the file says about the agent, checked."""
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
        """Where the configuration is: in the file."""
        return self.model_path

    @property
    def config(self) -> dict[str, Any]:
        """The environment's part of the zoo's configuration."""
        return {
            "env_kwargs": self.about["env"]["kwargs"],
            "env_wrapper": with_short_names(self.about["env"]["wrappers"]),
        }

    def load_model(self) -> QNetwork:
        """
        :return: the agent to drive with
        """
        return load_policy(self.model_path)

    def renamed(self, name: str) -> "SafeAgent":
        """
        :param name: for tables and videos
        :return: the same agent with that name
        """
        return SafeAgent(self.model_path, name)


def shipped_agents() -> dict[str, Path]:
    """
    :return: file of each agent that comes with the package, by name
    """
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.safetensors"))}


def load_pretrained(name: str = "cardqn") -> QNetwork:
    """
    Load an agent that comes with the package.

    :param name: see ``shipped_agents``
    :return: as ``load_policy``
    :raises UserError: if there is none of that name
    """
    agents = shipped_agents()
    if name not in agents:
        known = did_you_mean(name, list(agents)) if agents else ", which has none"
        raise UserError(f"no agent '{name}' comes with this version of sb3-cardqn{known}")
    return load_policy(agents[name])
