"""make_env (the environment an agent was trained with) and drive (one greedy episode in it)."""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from rl_zoo3 import create_test_env
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn import trust
from sb3_cardqn.agents.saved import Run
from sb3_cardqn.agents.trained import TrainedAgent
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.training_wrappers import judged_wrappers
from sb3_cardqn.errors import UserError
from sb3_cardqn.seeds import HELD_OUT_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS

_FAST_RENDER = "sb3_cardqn.FastRender"


@dataclass(frozen=True)
class Drive:
    """
    Result of one episode.

    :param seed: seed of the track
    :param score: sum of the environment's own rewards
    :param frames: physics frames, 50 per second
    :param lap_finished: True if every tile was visited
    """

    seed: int
    score: float
    frames: int
    lap_finished: bool


def check_tracks(tracks: Sequence[int]) -> None:
    """
    :param tracks: seeds of the tracks
    :raises UserError: if there are none, or if one is a training track
    """
    if len(tracks) == 0:
        raise UserError("needs at least one track, got none")
    for track in tracks:
        if track < TRAINING_SEEDS.stop:
            raise UserError(
                f"needs tracks that no agent was trained on: {HELD_OUT_SEEDS.start} to {HELD_OUT_SEEDS[-1]} "
                f"for reports, {VALIDATION_SEEDS.start} to {VALIDATION_SEEDS[-1]} for choices; got {track}"
            )


def make_env(
    agent: Run | TrainedAgent | Mapping[str, Any],
    stock: bool = True,
    innermost: list[Any] | None = None,
    **env_kwargs: Any,
) -> VecEnv:
    """
    Build the environment an agent was trained with.

    The race is always the unmodified one. Of the environment's arguments in training only ``continuous`` is
    kept, because it defines the agent's actions.

    :param agent: an agent, a run, or the zoo's hyperparameters of CarRacing-v3
    :param stock: True to draw observations with Gymnasium's own drawing, whatever was used in training
    :param innermost: wrappers in the zoo's form to put inside the agent's own wrappers
    :param env_kwargs: arguments of ``gym.make``, such as ``domain_randomize=True``
    :return: vector of one environment
    :raises UserError: if observations were normalized and the statistics are missing, or if a file that can
        run code was not made on this machine and is not trusted, see ``trust``
    """
    if isinstance(agent, Mapping):
        config, env_id, stats = dict(deepcopy(agent)), "CarRacing-v3", None
    else:
        config, env_id, stats = agent.config, agent.env_id, agent.config_path.parent
    wrappers = judged_wrappers(config.get("env_wrapper"))
    if stock:
        wrappers = [wrapper for wrapper in wrappers if wrapper != _FAST_RENDER]
    config["env_wrapper"] = [*(innermost or []), *wrappers]
    config["vec_env_wrapper"] = judged_wrappers(config.get("vec_env_wrapper"))
    trained_with = config.get("env_kwargs") or {}
    kept = {name: trained_with[name] for name in ("continuous",) if name in trained_with}
    normalize = config.get("normalize")  # a bool, a dict, or a string of Python that makes one
    config["normalize"] = bool(normalize) and re.search(r"norm_obs\W+False", str(normalize)) is None
    if config["normalize"] and not (stats and (stats / "vecnormalize.pkl").is_file()):
        raise UserError(
            "an agent trained with normalized observations needs vecnormalize.pkl beside its configuration, "
            f"got none in '{stats}'"
        )
    config["normalize_kwargs"] = {}  # the zoo only prints them; the saved statistics hold all it needs
    statistics = [stats / "vecnormalize.pkl"] if stats and config["normalize"] else []
    with (
        trust.private_copies(stats or Path(), statistics) as private,
        contextlib.redirect_stdout(io.StringIO()),  # the zoo prints every stack and statistic
    ):
        env = create_test_env(
            env_id,
            stats_path=str(private),
            should_render=False,
            hyperparams=config,
            env_kwargs=kept | env_kwargs,
        )
    if stock:
        for car_racing in env.get_attr("unwrapped"):
            vars(car_racing).pop("_render", None)  # set by a FastRender inside another wrapper
    return env


class Driver(Protocol):
    """An object with the ``predict`` method of SB3's algorithms."""

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """
        :param args: observations of the environments
        :param kwargs: ``state``, ``episode_start``, ``deterministic``
        :return: actions, state
        """


def drive(model: Driver, env: VecEnv, seed: int) -> Iterator[Drive | None]:
    """
    Drive one episode greedily, yielding after every agent step, so that several can be driven side by side.

    :param model: the agent
    :param env: result of ``make_env``
    :param seed: seed of the track
    :return: iterator over None after each step and, at the end, the finished drive
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
    Drive one episode with random actions, as a baseline; ``FastRender`` saves time and changes no reward.

    :param env_id: id of a CarRacing environment
    :param seed: seed of the track and of the actions
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
