"""Saved agents: what a run folder or a zip file holds, and how it was trained."""

import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from rl_zoo3 import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

import sb3_cardqn.zoo  # noqa: F401  registers cardqn in ALGOS
from sb3_cardqn import trust
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.experiment import check_algorithm
from sb3_cardqn.export import SafeAgent, shipped_agents
from sb3_cardqn.yaml_files import UniqueKeyLoader, read_yaml

Checkpoint: TypeAlias = Literal["best", "final"]


class _ZooConfigLoader(UniqueKeyLoader):
    """Reads the zoo's config.yml, an OrderedDict; of a class it reads the name, as text."""


_ZooConfigLoader.add_constructor(
    "tag:yaml.org,2002:python/object/apply:collections.OrderedDict",
    lambda loader, node: OrderedDict(loader.construct_sequence(node, deep=True)[0]),  # type: ignore[arg-type]
)
_ZooConfigLoader.add_multi_constructor(  # a class that -params named
    "tag:yaml.org,2002:python/name:", lambda loader, name, node: name
)


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path, _ZooConfigLoader) or {}
    if not isinstance(content, dict):
        raise UserError(f"'{path}' needs names and values, as the zoo's config.yml has, got {content!r:.50}")
    return content


def _read_config(path: Path, env_id: str) -> dict[str, Any]:
    config = _read_yaml(path)
    config = config.get(env_id, config)  # hyperparams/*.yml has an entry for each environment
    args = path.with_name("args.yml")  # the zoo keeps --env-kwargs there
    from_command_line = (_read_yaml(args).get("env_kwargs") if args.is_file() else None) or {}
    return config | {"env_kwargs": (config.get("env_kwargs") or {}) | from_command_line}


@dataclass(frozen=True)
class Agent:
    """
    An agent that some algorithm of SB3, sb3-contrib or rl-zoo3 has saved.

    :param model_path: its zip file
    :param algo: name of the algorithm, as the zoo has it: "cardqn", "ppo_lstm", ...
    :param config_path: the zoo's config.yml, or a file of hyperparameters with an entry for ``env_id``;
        ``vecnormalize.pkl`` is looked for beside it
    :param name: in tables and videos
    :param env_id: what it was trained on
    :raises UserError: if the algorithm is unknown, or a file is missing or no zip file
    """

    model_path: Path
    algo: str
    config_path: Path
    name: str
    env_id: str = "CarRacing-v3"

    def __post_init__(self) -> None:
        check_algorithm(self.algo)
        for path in (self.model_path, self.config_path):
            if not path.is_file():
                raise UserError(f"no such file: '{path}'")
        if not zipfile.is_zipfile(self.model_path):
            raise UserError(f"'{self.model_path}' is no zip file, which is what SB3 saves agents in")

    @property
    def config(self) -> dict[str, Any]:
        """The hyperparameters the agent was trained with."""
        return _read_config(self.config_path, self.env_id)

    def load_model(self) -> BaseAlgorithm:
        """
        Load the agent to drive with, without a replay buffer, on the CPU.

        :return: the agent
        :raises UserError: if the file holds no agent of this algorithm, or was not made on this machine and
            nobody vouches for it, see ``trust``
        """
        trust.require_run(self.config_path.parent, self.model_path)
        algorithm = ALGOS[self.algo]
        kwargs: dict[str, Any] = {
            # only training needs them, and other versions of Python can't unpickle them
            "custom_objects": {
                "learning_rate": 0.0,
                "lr_schedule": lambda _: 0.0,
                "clip_range": lambda _: 0.0,
            }
        }
        if issubclass(algorithm, OffPolicyAlgorithm):
            kwargs["buffer_size"] = 1
        try:
            return algorithm.load(self.model_path, device="cpu", **kwargs)
        except Exception as error:
            raise UserError(
                f"'{self.model_path}' can't be loaded as {self.algo}: {type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True)
class Run:
    """
    A folder in which ``sb3-cardqn train`` left an agent, such as ``logs/cardqn/CarRacing-v3_1``.

    :param folder: path of the folder; the algorithm is the name of its parent
    :raises UserError: if it is no such folder
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.config_path.is_file():
            root = self.folder.parent.parent
            runs = [str(path.parent.parent) for path in sorted(root.glob("*/*/*/config.yml"))]
            known = [*runs, *shipped_agents()]
            offer = did_you_mean(str(self.folder), known) if known and not self.folder.is_dir() else ""
            raise UserError(
                f"'{self.folder}' is no run folder: it has no {self.env_id}/{self.config_path.name}{offer}"
            )
        if self.algo not in ALGOS:
            raise UserError(f"'{self.folder}' is no run folder: '{self.algo}' is no algorithm")

    @property
    def algo(self) -> str:
        """Name of the algorithm."""
        return self.folder.resolve().parent.name

    @property
    def env_id(self) -> str:
        """Id of the environment."""
        return self.folder.resolve().name.split("_")[0]

    @property
    def config_folder(self) -> Path:
        """Where the zoo keeps the configuration and the normalization statistics."""
        return self.folder / self.env_id

    @property
    def config_path(self) -> Path:
        """Where the zoo keeps the configuration."""
        return self.config_folder / "config.yml"

    @property
    def config(self) -> dict[str, Any]:
        """The hyperparameters the agent was trained with."""
        return _read_config(self.config_path, self.env_id)

    def agent(self, checkpoint: Checkpoint = "best", model_path: Path | None = None) -> Agent:
        """
        Take one of the agents that the run saved.

        :param checkpoint: "best" on validation tracks (the last one if none was validated), or "final", as it
            was when training ended
        :param model_path: of a particular one instead
        :return: the agent
        :raises UserError: if it is not there
        """
        if checkpoint not in get_args(Checkpoint):
            raise UserError(f"checkpoint needs to be 'best' or 'final', got '{checkpoint}'")
        name = f"{self.algo}/{self.folder.resolve().name}"
        if model_path is not None:
            return Agent(model_path, self.algo, self.config_path, f"{name}/{model_path.stem}", self.env_id)
        best, final = self.folder / "best_model.zip", self.folder / f"{self.env_id}.zip"
        path = best if checkpoint == "best" and best.is_file() else final
        if not path.is_file():
            missing = f"agent yet: neither {best.name} nor" if checkpoint == "best" else "final agent yet: no"
            raise UserError(f"'{self.folder}' has no {missing} {final.name}")
        return Agent(path, self.algo, self.config_path, name, self.env_id)

    @property
    def model_path(self) -> Path:
        """The agent that did best on validation tracks; the last one if none was validated."""
        return self.agent().model_path

    def load_model(self) -> BaseAlgorithm:
        """
        Load the agent of ``model_path`` to drive with, without a replay buffer.

        :return: the agent
        """
        return self.agent().load_model()


def _configs_in_logs() -> list[Path]:
    return sorted(Path("logs").glob("*/CarRacing*/*/config.yml"))


def car_racing_run(folder: Path | None) -> Run:
    """
    Take a run on CarRacing from the command line.

    :param folder: run folder; None for the one in ``logs`` whose training was started last
    :return: the run
    :raises UserError: if there is none, or it is on another environment
    """
    if folder is None:
        configs = _configs_in_logs()
        if not configs:
            raise UserError("no run on CarRacing in folder 'logs', train one with: sb3-cardqn train")
        folder = max(configs, key=lambda path: path.stat().st_mtime).parent.parent
    run = Run(folder)
    if not run.env_id.startswith("CarRacing"):
        raise UserError(f"needs a run on CarRacing, got one on {run.env_id}: '{folder}'")
    return run


def default_agent() -> Run | SafeAgent:
    """
    :return: the run on CarRacing in ``logs`` whose training was started last; where there is none, the agent
        that comes with the package
    :raises UserError: if there is neither
    """
    shipped = shipped_agents()
    if "cardqn" in shipped and not _configs_in_logs():
        return SafeAgent(shipped["cardqn"])
    return car_racing_run(None)


AgentLike: TypeAlias = str | Path | Run | Agent | SafeAgent


def find_agents(
    agents: AgentLike | Sequence[AgentLike],
    checkpoint: Checkpoint = "best",
    config: Path | None = None,
    algo: str | None = None,
) -> list[Agent | SafeAgent]:
    """
    Find agents where the user says they are.

    :param agents: one or several of: an agent, a run, path of a run folder, path of a zip file (which finds
        its configuration when it is in a run folder), path of a .safetensors file, name of an agent that
        comes with the package; "NAME=PATH" gives it a name for tables and videos
    :param checkpoint: which agent of a run folder
    :param config: the zoo's configuration of zip files; by default that of the run folder they are in
    :param algo: their algorithm; by default that of the run folder
    :return: the agents, in that order, each with another name
    :raises UserError: if one is not there, or is not on CarRacing, the algorithm is unknown, or ``config`` or
        ``algo`` is of no use to any
    """
    if isinstance(agents, str | Path | Run | Agent | SafeAgent):
        agents = [agents]
    if not agents:
        raise UserError("needs at least one agent, got none")
    if config is not None and not config.is_file():
        raise UserError(f"no such file: '{config}'")
    if algo is not None:
        check_algorithm(algo)
    found = [_find(agent, checkpoint, config, algo) for agent in agents]
    for option, value in (("--config", config), ("--algo", algo)):
        if value is not None and not any(str(agent).endswith(".zip") for agent in agents):
            raise UserError(f"{option} is for zip files of agents, got {option} {value} and no zip file")
    names = [agent.name for agent in found]
    return [
        replace(agent, name=str(agent.model_path)) if names.count(agent.name) > 1 else agent
        for agent in found
    ]


def _split(agent: str) -> tuple[str, str]:
    """
    :param agent: "NAME=PATH", where both may have more of "=" in them, or a path alone
    :return: name, "" if it has none, and path: cut where there is such a path, else at the first "="
    """
    parts = agent.split("=")
    cuts = [("=".join(parts[:i]), "=".join(parts[i:])) for i in range(len(parts))]
    found = (cut for cut in cuts if cut[1] in shipped_agents() or (cut[1] and Path(cut[1]).exists()))
    return next(found, cuts[min(1, len(cuts) - 1)])


def _find(
    agent: AgentLike, checkpoint: Checkpoint, config: Path | None, algo: str | None
) -> Agent | SafeAgent:
    if isinstance(agent, Agent | SafeAgent):
        return agent
    if isinstance(agent, Run):
        return car_racing_run(agent.folder).agent(checkpoint)
    name, where = _split(str(agent))
    found = _find_unnamed(where, checkpoint, config, algo)
    return replace(found, name=name) if name else found


def _find_unnamed(
    where: str, checkpoint: Checkpoint, config: Path | None, algo: str | None
) -> Agent | SafeAgent:
    shipped = shipped_agents().get(where)
    path = Path(where) if shipped is None or Path(where).exists() else shipped
    if path.suffix == ".safetensors":
        safe = SafeAgent(path)
        if not safe.env_id.startswith("CarRacing"):
            raise UserError(f"needs an agent for CarRacing, got one for {safe.env_id}: '{path}'")
        return safe
    if path.suffix != ".zip":
        return car_racing_run(path).agent(checkpoint)
    if any(path.parent.glob("*/config.yml")):
        found = car_racing_run(path.parent).agent(model_path=path)
        return replace(found, config_path=config or found.config_path, algo=algo or found.algo)
    if config is None or algo is None:
        raise UserError(
            f"'{path}' is in no run folder: needs its configuration (--config) and its algorithm (--algo)"
        )
    return Agent(path, algo, config, path.stem)
