"""Lookup of agents by name or path, shared by evaluate, race, play, export and bench."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from rl_zoo3 import ALGOS

from sb3_cardqn.agents.exported import SafeAgent
from sb3_cardqn.agents.saved import Agent, Run, TrainedAgent, WhichCheckpoint, typed_env_id
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file.read import locate, shipped_agents
from sb3_cardqn.zoo.settings import check_algorithm, check_environment

# for the --help of every command that takes an agent
WHICH_AGENT = (
    f"run folder, zip, .safetensors file, or name of a shipped agent ({', '.join(shipped_agents())}); "
    "write ./NAME for a folder with such a name"
)


def default_agent() -> Run | TrainedAgent:
    """
    :return: the most recently started run in ``logs``; without one, the shipped agent
    """
    found = sorted(Path("logs").glob("*/*/*/config.yml"))
    configs = [path for path in found if path.parts[-4] in ALGOS]
    if configs:
        return Run(max(configs, key=lambda path: path.stat().st_mtime).parent.parent)
    return SafeAgent(shipped_agents()["cardqn"])


AgentLike: TypeAlias = str | Path | Run | TrainedAgent


def find_agents(
    agents: AgentLike | Sequence[AgentLike],
    checkpoint: WhichCheckpoint = "best",
    config: Path | None = None,
    algo: str | None = None,
    env: str | None = None,
) -> list[TrainedAgent]:
    """
    Find agents by name or path.

    :param agents: one or several agents, runs, run folders, zip files (with their configuration if they are
        in a run folder), .safetensors files or names of shipped agents; the text "NAME=PATH" sets the name in
        tables and videos
    :param checkpoint: agent of a run folder: "best" on validation tracks, or "final"
    :param config: the zoo's configuration of zip files; by default that of their run folder
    :param algo: algorithm of zip files; by default that of their run folder
    :param env: environment of zip files outside a run folder; by default that of args.yml beside ``config``,
        else CarRacing-v3
    :return: the agents, in the order of ``agents``, with distinct names
    :raises UserError: if an agent is missing, the agents are for different environments, a name is unknown,
        ``config``, ``algo`` or ``env`` applies to no agent, or ``env`` is not that of a zip's run folder
    """
    if isinstance(agents, str) or not isinstance(agents, Sequence):
        agents = [agents]
    if not agents:
        raise UserError("needs at least one agent, got none")
    _check_zip_options(agents, config, algo, env)
    found = [_find(agent, checkpoint, config, algo, env) for agent in agents]
    _check_one_environment(found)
    names = [agent.name for agent in found]
    for i, agent in enumerate(found):
        if names.count(agent.name) > 1:
            found[i] = replace(agent, name=str(agent.model_path))
    return _numbered(found)


def _check_zip_options(
    agents: Sequence[AgentLike], config: Path | None, algo: str | None, env: str | None
) -> None:
    if config is not None and not config.is_file():
        raise UserError(f"no such file: '{config}'")
    if algo is not None:
        check_algorithm(algo)
    if env is not None:
        check_environment(env)
    for option, value in (("--config", config), ("--algo", algo), ("--env", env)):
        if value is not None and not any(str(agent).endswith(".zip") for agent in agents):
            raise UserError(f"{option} applies to zip files only, got {option} {value} and no zip file")


def _check_one_environment(agents: Sequence[TrainedAgent]) -> None:
    first = agents[0]
    for agent in agents:
        check_environment(agent.env_id)
        if task_of(agent.env_id) != task_of(first.env_id):
            raise UserError(
                f"agents that are judged together need one environment, got {first.env_id} ('{first.name}') "
                f"and {agent.env_id} ('{agent.name}')"
            )


def _numbered(agents: list[TrainedAgent]) -> list[TrainedAgent]:
    """
    :param agents: agents, possibly with equal names
    :return: agents with distinct names; the second of a name ends in (2)
    """
    names: set[str] = set()
    for i, agent in enumerate(agents):
        name, number = agent.name, 1
        while name in names:
            number += 1
            name = f"{agent.name} ({number})"
        names.add(name)
        agents[i] = replace(agent, name=name)
    return agents


def split_name(agent: str) -> tuple[str, str]:
    """
    :param agent: "NAME=PATH", both of which may contain "=", or only a path
    :return: name ("" without one) and path, split where the path exists, else at the first "="
    """
    parts = agent.split("=")
    cuts = [("=".join(parts[:i]), "=".join(parts[i:])) for i in range(len(parts))]
    found = (cut for cut in cuts if cut[1] in shipped_agents() or (cut[1] and Path(cut[1]).exists()))
    return next(found, cuts[min(1, len(cuts) - 1)])


def _find(
    agent: AgentLike, checkpoint: WhichCheckpoint, config: Path | None, algo: str | None, env: str | None
) -> TrainedAgent:
    if isinstance(agent, Run):
        return agent.agent(checkpoint)
    if not isinstance(agent, str | Path):
        return agent
    name, where = split_name(agent) if isinstance(agent, str) else ("", agent)
    found = _find_unnamed(locate(where), checkpoint, config, algo, env)
    return replace(found, name=name) if name else found


def _is_run(folder: Path) -> bool:
    try:
        Run(folder)
    except UserError:  # any folder may hold another with a config.yml
        return False
    return True


def _find_unnamed(
    path: Path, checkpoint: WhichCheckpoint, config: Path | None, algo: str | None, env: str | None
) -> TrainedAgent:
    if path.suffix == ".safetensors":
        return SafeAgent(path)
    if path.suffix != ".zip":
        return Run(path).agent(checkpoint)
    if not path.is_file():
        raise UserError(f"no such file: '{path}'")
    is_told = config is not None and algo is not None
    if any(path.parent.glob("*/config.yml")) and not (is_told and not _is_run(path.parent)):
        found = Run(path.parent).agent(model_path=path)
        if env not in (None, found.env_id):
            raise UserError(f"--env {env}: '{path}' was trained on {found.env_id}")
        return replace(found, config_path=config or found.config_path, algo=algo or found.algo)
    if config is None or algo is None:
        raise UserError(
            f"'{path}' is outside a run folder: it needs a configuration (--config) and an algorithm (--algo)"
        )
    return Agent(path, algo, config, path.stem, env or typed_env_id(config) or "CarRacing-v3")
