"""Agents by what a user calls them: the one rule of evaluate, race, enjoy, export and bench."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from sb3_cardqn.agents.exported import SafeAgent, shipped_agents
from sb3_cardqn.agents.saved import Agent, Run, WhichCheckpoint
from sb3_cardqn.agents.trained import TrainedAgent
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.settings import check_algorithm

# in the --help of each command that takes one
WHICH_AGENT = (
    "run folder, zip or .safetensors file, or name of an agent that comes with the package "
    f"({', '.join(shipped_agents())}); a folder of that name is ./NAME"
)


def locate(agent: str | Path) -> Path:
    """
    Find the file or folder that is meant, whatever the current folder holds.

    >>> locate("cardqn").name, str(locate("./cardqn"))
    ('cardqn.safetensors', 'cardqn')

    :param agent: the bare name of an agent that comes with the package, as text; all else is a path
    :return: path of its file, or of a run folder
    """
    shipped = shipped_agents().get(agent) if isinstance(agent, str) else None
    return shipped or Path(agent)


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


def default_agent() -> Run | TrainedAgent:
    """
    :return: the run on CarRacing in ``logs`` whose training was started last; where there is none, the agent
        that comes with the package
    :raises UserError: if there is neither
    """
    shipped = shipped_agents()
    if "cardqn" in shipped and not _configs_in_logs():
        return SafeAgent(shipped["cardqn"])
    return car_racing_run(None)


AgentLike: TypeAlias = str | Path | Run | TrainedAgent


def find_agents(
    agents: AgentLike | Sequence[AgentLike],
    checkpoint: WhichCheckpoint = "best",
    config: Path | None = None,
    algo: str | None = None,
) -> list[TrainedAgent]:
    """
    Find agents where the user says they are.

    :param agents: one or several of: an agent, a run, what ``locate`` takes: a run folder, a zip file (which
        finds its configuration when it is in a run folder), a .safetensors file, the name of an agent that
        comes with the package; as text, "NAME=PATH" gives it a name for tables and videos
    :param checkpoint: which agent of a run folder
    :param config: the zoo's configuration of zip files; by default that of the run folder they are in
    :param algo: their algorithm; by default that of the run folder
    :return: the agents, in that order, each with another name
    :raises UserError: if one is not there, or is not on CarRacing, the algorithm is unknown, or ``config`` or
        ``algo`` is of no use to any
    """
    if isinstance(agents, str) or not isinstance(agents, Sequence):
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
    for i, agent in enumerate(found):
        if names.count(agent.name) > 1:
            found[i] = agent.renamed(str(agent.model_path))
    return _numbered(found)


def _numbered(agents: list[TrainedAgent]) -> list[TrainedAgent]:
    """
    :param agents: whose names may be the same
    :return: the same, the second of a name with a 2 behind it
    """
    names: set[str] = set()
    for i, agent in enumerate(agents):
        name, number = agent.name, 1
        while name in names:
            number += 1
            name = f"{agent.name} ({number})"
        names.add(name)
        agents[i] = agent.renamed(name)
    return agents


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
    agent: AgentLike, checkpoint: WhichCheckpoint, config: Path | None, algo: str | None
) -> TrainedAgent:
    if isinstance(agent, Run):
        return car_racing_run(agent.folder).agent(checkpoint)
    if not isinstance(agent, str | Path):
        return agent
    name, where = _split(agent) if isinstance(agent, str) else ("", agent)
    found = _find_unnamed(locate(where), checkpoint, config, algo)
    return found.renamed(name) if name else found


def _find_unnamed(
    path: Path, checkpoint: WhichCheckpoint, config: Path | None, algo: str | None
) -> TrainedAgent:
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
