"""Agent (a zip saved by SB3), Run (a run folder of the zoo), and TrainedAgent, either sort of agent."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import gymnasium as gym
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_cardqn import trust
from sb3_cardqn.agents.exported import SafeAgent, shipped_agents
from sb3_cardqn.durable import is_zip, read_file, refuse_pipes
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.python_text import code_in, with_short_names
from sb3_cardqn.yaml_files import UniqueKeyLoader, parse_yaml
from sb3_cardqn.zoo.run_names import BEST_AGENT, parse_name
from sb3_cardqn.zoo.settings import check_algorithm

WhichCheckpoint: TypeAlias = Literal["best", "final"]

# replacements of objects that only training needs and that other Python versions cannot unpickle
_FOR_TRAINING: dict[str, Any] = {
    "learning_rate": 0.0,
    "lr_schedule": lambda _: 0.0,
    "clip_range": lambda _: 0.0,
    "exploration_schedule": lambda _: 0.0,
    "exploration_decay": "linear",
    "exploration_fraction": 0.0,  # no warning of one above 1
}
_WITHOUT_BUFFER: dict[str, Any] = {
    "replay_buffer_class": None,
    "replay_buffer_kwargs": {},
    "n_steps": 1,
    "optimize_memory_usage": False,
}


class _ZooConfigLoader(UniqueKeyLoader):
    """Reads the zoo's config.yml and args.yml; a class or another object becomes its name, as text."""


_ZooConfigLoader.add_constructor(
    "tag:yaml.org,2002:python/object/apply:collections.OrderedDict",
    lambda loader, node: OrderedDict(loader.construct_sequence(node, deep=True)[0]),  # type: ignore[arg-type]
)
_ZooConfigLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),  # type: ignore[arg-type]
)
_ZooConfigLoader.add_multi_constructor(  # a class that -params named
    "tag:yaml.org,2002:python/name:", lambda loader, name, node: name
)
_ZooConfigLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, name, node: node.tag)


def _mapping(contents: bytes, path: Path) -> dict[str, Any]:
    result = parse_yaml(contents, path, _ZooConfigLoader) or {}
    if not isinstance(result, dict):
        raise UserError(f"'{path}' must be a mapping of keys to values, got a {type(result).__name__}")
    return result


def _options(config_path: Path) -> dict[str, Any]:
    """
    :param config_path: the zoo's config.yml
    :return: options of the command that trained, which the zoo keeps beside it
    """
    path = config_path.with_name("args.yml")
    return _mapping(read_file(path), path) if path.exists() else {}


def typed_env_id(config_path: Path) -> str | None:
    """
    :param config_path: the zoo's config.yml
    :return: id of the environment that was typed for training, without its module; None if it is not known
    """
    typed = _options(config_path).get("env")
    return typed.split(":")[-1] if isinstance(typed, str) else None


def _read_config(path: Path, env_id: str) -> dict[str, Any]:
    contents = read_file(path)
    config = _mapping(contents, path)
    config = config.get(env_id, config)  # hyperparams/*.yml has one entry per environment
    if not isinstance(config, dict):
        raise UserError(f"'{path}' needs a mapping of hyperparameters for {env_id}, got {config!r:.80}")
    trust.require_for(code_in(config), path, contents)
    kwargs: dict[str, Any] = {}
    for place, given in ((path, config), (path.with_name("args.yml"), _options(path))):
        own = given.get("env_kwargs") or {}
        if not isinstance(own, dict):
            raise UserError(f"'{place}' needs env_kwargs to be a mapping, got {own!r:.80}")
        kwargs |= own
    return config | {
        "env_kwargs": kwargs,
        "env_wrapper": with_short_names(config.get("env_wrapper")),
    }


def load_to_drive(path: Path, algo: str) -> BaseAlgorithm:
    """
    Load an agent without a replay buffer, on the CPU.

    :param path: zip file
    :param algo: the zoo's name of the algorithm
    :return: the agent
    :raises UserError: if the file does not hold an agent of this algorithm, or was not made on this machine
        and is not trusted, see ``trust``
    """
    algorithm = ALGOS[algo]
    kwargs: dict[str, Any] = {"custom_objects": _FOR_TRAINING}
    if issubclass(algorithm, OffPolicyAlgorithm):
        kwargs = {"custom_objects": _FOR_TRAINING | _WITHOUT_BUFFER, "buffer_size": 1}
    try:
        with trust.private_copies(path.parent, [path]) as private:
            return algorithm.load(private / path.name, device="cpu", **kwargs)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"cannot load '{path}' as {algo}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Agent:
    """
    An agent saved by any algorithm of SB3, sb3-contrib or rl-zoo3.

    :param model_path: its zip file
    :param algo: the zoo's name of the algorithm: "cardqn", "ppo_lstm", ...
    :param config_path: the zoo's config.yml, or a file of hyperparameters with an entry for ``env_id``;
        ``vecnormalize.pkl`` is read from the same folder
    :param name: name in tables and videos
    :param env_id: id of the environment it was trained on
    :raises UserError: if the algorithm is unknown, or a file is missing or not a zip file
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
        if not is_zip(self.model_path):
            raise UserError(f"an agent saved by SB3 must be a zip file, got '{self.model_path}'")

    @property
    def config(self) -> dict[str, Any]:
        """The hyperparameters the agent was trained with."""
        return _read_config(self.config_path, self.env_id)

    def load_model(self) -> BaseAlgorithm:
        """
        Load the agent to drive with, without a replay buffer, on the CPU.

        :return: the agent
        :raises UserError: if the file does not hold an agent of this algorithm, or was not made on this
            machine and is not trusted, see ``trust``
        """
        return load_to_drive(self.model_path, self.algo)


TrainedAgent: TypeAlias = Agent | SafeAgent


@dataclass(frozen=True)
class Run:
    """
    A run folder of ``sb3-cardqn train``, such as ``logs/cardqn/CarRacing-v3_1``.

    :param folder: path of the folder; the algorithm is the name of its parent, else the one in args.yml
    :raises UserError: if it is not a run folder
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.config_path.is_file():
            raise UserError(self._why_not())
        if self.algo not in ALGOS:
            raise UserError(f"'{self.folder}' is not a run folder: '{self.algo}' is not an algorithm")
        refuse_pipes(self.folder)  # not before: another folder may hold anything, and any number of files

    def _why_not(self) -> str:
        """
        :return: why the folder is not that of a run, and which are near
        """
        if self.folder.is_file():
            return f"'{self.folder}' is not an agent: needs a run folder, .zip or .safetensors"
        places = ("*/*/config.yml", "*/*/*/config.yml", "runs/*/*/*/*/config.yml")  # compare's are the last
        inside = [path for place in places for path in sorted(self.folder.glob(place))]
        if inside:
            return f"'{self.folder}' holds runs; name one, such as {inside[-1].parent.parent}"
        if self.folder.is_dir():
            missing = f"{self.env_name}/{self.config_path.name}"
            return f"'{self.folder}' is not a run folder: it has no {missing}"
        root = self.folder.parent.parent
        runs = [str(path.parent.parent) for path in sorted(root.glob("*/*/*/config.yml"))]
        known = [*runs, *shipped_agents()]
        return f"no such file or folder: '{self.folder}'{did_you_mean(str(self.folder), known)}"

    @property
    def algo(self) -> str:
        """Name of the algorithm: that of the folder's parent, or, if the run was moved, the one typed."""
        name = self.folder.resolve().parent.name
        typed = _options(self.config_path).get("algo") if name not in ALGOS else None
        return typed if isinstance(typed, str) and typed in ALGOS else name

    @property
    def env_id(self) -> str:
        """Gymnasium's id of the environment."""
        if self.env_name in gym.registry:
            return self.env_name
        typed = typed_env_id(self.config_path)
        ids = gym.registry if typed is None else [typed, *gym.registry]
        return next((env_id for env_id in ids if EnvironmentName(env_id) == self.env_name), self.env_name)

    @property
    def env_name(self) -> str:
        """Id of the environment with "-" for "/", as in the zoo's file names."""
        configured = [path.parent.name for path in self.folder.glob("*/config.yml")]
        name = parse_name(self.folder.resolve().name)
        if len(configured) == 1:
            return configured[0]
        return name.env if name is not None else self.folder.resolve().name

    @property
    def config_folder(self) -> Path:
        """The zoo's folder of the configuration and the normalization statistics."""
        return self.folder / self.env_name

    @property
    def config_path(self) -> Path:
        """The zoo's configuration file."""
        return self.config_folder / "config.yml"

    @property
    def config(self) -> dict[str, Any]:
        """The hyperparameters the agent was trained with."""
        return _read_config(self.config_path, self.env_id)

    def agent(self, checkpoint: WhichCheckpoint = "best", model_path: Path | None = None) -> Agent:
        """
        An agent that the run saved.

        :param checkpoint: "best" in its evaluations (the final one if there was none), or "final", the
            agent at the end of training
        :param model_path: zip file of a particular agent, in place of ``checkpoint``
        :return: the agent
        :raises UserError: if it does not exist
        """
        if checkpoint not in get_args(WhichCheckpoint):
            raise UserError(f"checkpoint must be 'best' or 'final', got '{checkpoint}'")
        name = f"{self.algo}/{self.folder.resolve().name}"
        if model_path is not None:
            return Agent(model_path, self.algo, self.config_path, f"{name}/{model_path.stem}", self.env_id)
        best, final = self.folder / BEST_AGENT, self.folder / f"{self.env_name}.zip"
        path = best if checkpoint == "best" and best.is_file() else final
        if not path.is_file():
            missing = f"agent yet: neither {best.name} nor" if checkpoint == "best" else "final agent yet: no"
            raise UserError(f"run '{self.folder}' has no {missing} {final.name}")
        return Agent(path, self.algo, self.config_path, name, self.env_id)

    @property
    def model_path(self) -> Path:
        """Zip of the best agent of the evaluations, or of the final agent if there was none."""
        return self.agent().model_path

    def load_model(self) -> BaseAlgorithm:
        """
        Load the agent of ``model_path`` without a replay buffer.

        :return: the agent
        """
        return self.agent().load_model()
