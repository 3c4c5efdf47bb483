"""Drive a trained agent on tracks it never saw, on the unmodified CarRacing-v3."""

from collections import OrderedDict
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import yaml
from rl_zoo3 import ALGOS, create_test_env
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

import sb3_cardqn.zoo  # noqa: F401  registers cardqn in ALGOS
from sb3_cardqn.common.fast_render import FastRender
from sb3_cardqn.errors import UserError

_FAST_RENDER = "sb3_cardqn.common.fast_render.FastRender"


@dataclass(frozen=True)
class Drive:
    """
    One episode.

    :param seed: of the track
    :param score: sum of the environment's own rewards
    :param frames: physics frames, 50 a second
    :param lap_finished: every tile was visited
    """

    seed: int
    score: float
    frames: int
    lap_finished: bool


class _ZooConfigLoader(yaml.SafeLoader):
    """Reads the zoo's config.yml, an OrderedDict, and builds no other Python object."""


_ZooConfigLoader.add_constructor(
    "tag:yaml.org,2002:python/object/apply:collections.OrderedDict",
    lambda loader, node: OrderedDict(loader.construct_sequence(node, deep=True)[0]),  # type: ignore[arg-type]
)


@dataclass(frozen=True)
class Run:
    """
    A folder in which ``sb3-cardqn train`` left an agent, such as ``logs/cardqn/CarRacing-v3_1``.

    :param folder: path of the folder; the algorithm is the name of its parent
    :raises UserError: if it is no such folder
    """

    folder: Path

    def __post_init__(self) -> None:
        if not (self.config_folder / "config.yml").is_file():
            raise UserError(f"'{self.folder}' is no run folder: it has no {self.env_id}/config.yml")
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
    def config(self) -> dict[str, Any]:
        """The hyperparameters the agent was trained with."""
        return yaml.load((self.config_folder / "config.yml").read_text(), Loader=_ZooConfigLoader)

    @property
    def model_path(self) -> Path:
        """The agent that did best on validation tracks; the last one if none was validated."""
        best = self.folder / "best_model.zip"
        path = best if best.is_file() else self.folder / f"{self.env_id}.zip"
        if not path.is_file():
            raise UserError(f"'{self.folder}' has no agent yet: neither best_model.zip nor {path.name}")
        return path

    def load_model(self) -> BaseAlgorithm:
        """
        Load the agent to drive with, without a replay buffer.

        :return: the agent of ``model_path``
        """
        buffer: dict[str, Any] = (
            {"buffer_size": 1} if "buffer_size" in self.config or self.algo.endswith("dqn") else {}
        )
        return ALGOS[self.algo].load(self.model_path, device="cpu", **buffer)


def car_racing_run(folder: Path | None) -> Run:
    """
    Take a run on CarRacing from the command line.

    :param folder: run folder; None for the one in ``logs`` whose training was started last
    :return: the run
    :raises UserError: if there is none, or it is on another environment
    """
    if folder is None:
        configs = sorted(
            Path("logs").glob("*/CarRacing*/*/config.yml"), key=lambda path: path.stat().st_mtime
        )
        if not configs:
            raise UserError("no run on CarRacing in folder 'logs', train one with: sb3-cardqn train")
        folder = configs[-1].parent.parent
    run = Run(folder)
    if not run.env_id.startswith("CarRacing"):
        raise UserError(f"needs a run on CarRacing, got one on {run.env_id}: '{folder}'")
    return run


def make_env(run: Run, stock: bool = True, innermost: list[Any] | None = None, **env_kwargs: Any) -> VecEnv:
    """
    Build the environment an agent was trained with.

    :param run: the agent's
    :param stock: draw the observations as Gymnasium does, whatever it was trained with
    :param innermost: wrappers in the zoo's form to put inside the agent's own
    :param env_kwargs: arguments of the environment, on top of those it was trained with
    :return: one environment, vectorized
    """
    config = deepcopy(run.config)
    wrappers = config.get("env_wrapper") or []
    wrappers = wrappers if isinstance(wrappers, list) else [wrappers]
    if stock:
        wrappers = [wrapper for wrapper in wrappers if wrapper != _FAST_RENDER]
    config["env_wrapper"] = [*(innermost or []), *wrappers]
    config.setdefault("normalize", False)
    config["normalize_kwargs"] = {}  # the zoo prints them; what counts is in the saved statistics
    env = create_test_env(
        run.env_id,
        stats_path=str(run.config_folder),
        should_render=False,
        hyperparams=config,
        env_kwargs=(config.get("env_kwargs") or {}) | env_kwargs,
    )
    if stock:
        for car_racing in env.get_attr("unwrapped"):
            vars(car_racing).pop("_render", None)  # a FastRender inside another wrapper put it there
    return env


class Driver(Protocol):
    """Whatever chooses actions as SB3's algorithms do."""

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """
        :param args: observation of each environment
        :param kwargs: ``state``, ``episode_start``, ``deterministic``
        :return: actions, state
        """


def drive(model: Driver, env: VecEnv, seed: int) -> Iterator[Drive | None]:
    """
    Drive one episode greedily, yielding after each agent step so that several can be driven side by side.

    :param model: the agent
    :param env: from ``make_env``
    :param seed: of the track
    :return: iterator over None, and in the end the finished drive
    """
    env.seed(seed)
    obs: Any = env.reset()
    state, episode_start = None, np.ones(1, dtype=bool)
    while True:
        action, state = model.predict(obs, state=state, episode_start=episode_start, deterministic=True)
        obs, _, dones, infos = env.step(action)
        if dones[0]:
            episode = infos[0]["episode"]  # the Monitor is inside the wrappers: raw rewards, every frame
            yield Drive(
                seed, float(episode["r"]), int(episode["l"]), bool(infos[0].get("lap_finished", False))
            )
            return
        episode_start = dones
        yield None


def drive_at_random(env_id: str, seed: int) -> Drive:
    """
    Drive one episode with actions drawn from the environment's action space: what no learning would score.

    :param env_id: id of a CarRacing; ``FastRender``, which changes no reward, saves drawing it
    :param seed: of the track and of the actions
    :return: the finished drive
    """
    env = FastRender(gym.make(env_id))
    env.reset(seed=seed)
    env.action_space.seed(seed)
    score, frames, done = 0.0, 0, False
    info: dict[str, Any] = {}
    while not done:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        score, frames, done = score + float(reward), frames + 1, terminated or truncated
    env.close()
    return Drive(seed, score, frames, bool(info.get("lap_finished", False)))
