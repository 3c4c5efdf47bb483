"""make_env (the environment an agent was trained in) and drive (one greedy episode in it)."""

import contextlib
import io
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
from sb3_cardqn.agents.saved import Run, TrainedAgent
from sb3_cardqn.env.fast_render import FastRender, draw_stock, is_car_racing
from sb3_cardqn.env.task import Task, task_of
from sb3_cardqn.env.training_wrappers import judged_wrappers, sees_normalized
from sb3_cardqn.errors import UserError
from sb3_cardqn.seeds import FINAL_SEEDS, HELD_OUT_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS
from sb3_cardqn.zoo.run_names import STATISTICS, statistics_file

_FAST_RENDER = "sb3_cardqn.FastRender"


@dataclass(frozen=True)
class Drive:
    """
    Result of one episode.

    :param seed: seed of the track or episode
    :param score: sum of the environment's own rewards
    :param frames: steps of the environment itself; of CarRacing, frames, 50 per second
    :param lap_finished: True if every tile was visited; None where nothing has laps
    :param missed_tiles: tiles that were not visited; None where nothing has laps
    """

    seed: int
    score: float
    frames: int
    lap_finished: bool | None = None
    missed_tiles: int | None = None


class CountMissedTiles(gym.Wrapper):
    """
    Put CarRacing's tiles that were not visited into ``info["missed_tiles"]`` when an episode ends.

    :param env: CarRacing, wrapped or not
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step
        """
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            race: Any = self.unwrapped
            info["missed_tiles"] = len(race.track) - race.tile_visited_count
        return obs, reward, terminated, truncated, info


def check_seeds(seeds: Sequence[int], task: Task, final: bool = False) -> None:
    """
    :param seeds: seeds of the tracks or episodes
    :param task: task of the environment
    :param final: True to allow ``FINAL_SEEDS``
    :raises UserError: if there are none, or if one is a training seed or kept for the final evaluation
    """
    if len(seeds) == 0:
        raise UserError(f"needs at least one {task.episode}, got none")
    for seed in seeds:
        if seed < TRAINING_SEEDS.stop:
            raise UserError(
                f"needs {task.episode}s that no agent was trained on: {HELD_OUT_SEEDS.start} to "
                f"{HELD_OUT_SEEDS[-1]} for reports, {VALIDATION_SEEDS.start} to {VALIDATION_SEEDS[-1]} for "
                f"choices; got {seed}"
            )
        if seed in FINAL_SEEDS and not final:
            raise UserError(
                f"seed {seed} is kept for the final evaluation, once a recipe is frozen: evaluate --final"
            )


def make_env(
    agent: Run | TrainedAgent | Mapping[str, Any],
    stock: bool = True,
    innermost: list[Any] | None = None,
    **env_kwargs: Any,
) -> VecEnv:
    """
    Build the environment an agent was trained in, without training-only wrappers.

    CarRacing is always the unmodified race: of its arguments in training only ``continuous`` is kept, because
    it defines the agent's actions. Other environments keep their arguments.

    :param agent: an agent, a run, or the zoo's hyperparameters of CarRacing-v3
    :param stock: True for observations drawn by Gymnasium; False for FastRender's, if training used it
    :param innermost: wrappers in the zoo's form to put inside the agent's own wrappers
    :param env_kwargs: arguments of ``gym.make``, such as ``domain_randomize=True``
    :return: vector of one environment
    :raises UserError: if observations were normalized and the statistics are missing, or if a file that can
        run code was not made on this machine and is not trusted, see ``trust``
    """
    if isinstance(agent, Mapping):
        config, env_id = dict(deepcopy(agent)), "CarRacing-v3"
    else:
        config, env_id = agent.config, agent.env_id
    wrappers = judged_wrappers(config.get("env_wrapper"))
    if stock:
        wrappers = [wrapper for wrapper in wrappers if wrapper != _FAST_RENDER]
    if task_of(env_id).has_laps:
        wrappers.append(f"{CountMissedTiles.__module__}.{CountMissedTiles.__qualname__}")
    config["env_wrapper"] = [*(innermost or []), *wrappers]
    config["frame_stack"] = config.get("frame_stack") or 0  # None switches it off
    config["vec_env_wrapper"] = judged_wrappers(config.get("vec_env_wrapper"))
    kept = task_of(env_id).env_kwargs(config.get("env_kwargs") or {})
    config["normalize"] = sees_normalized(config.get("normalize"))
    statistics = None
    if config["normalize"] and not isinstance(agent, Mapping):
        statistics = statistics_file(agent.model_path, agent.config_path.parent)
    if config["normalize"] and not (statistics and statistics.is_file()):
        raise UserError(
            f"an agent trained with normalized observations needs {STATISTICS} beside its configuration, got "
            f"none as '{statistics}'"
        )
    config["normalize_kwargs"] = {}  # the zoo only prints them; the saved statistics hold all it needs
    folder, code = (statistics.parent, [statistics]) if statistics else (Path(), [])
    with (
        trust.private_copies(folder, code) as private,
        contextlib.redirect_stdout(io.StringIO()),  # the zoo prints every stack and statistic
    ):
        if statistics:
            (private / statistics.name).replace(private / STATISTICS)
        env = create_test_env(
            env_id,
            stats_path=str(private),
            should_render=False,
            hyperparams=config,
            env_kwargs=kept | env_kwargs,
        )
    if stock and task_of(env_id).has_laps:
        for car_racing in env.get_attr("unwrapped"):
            draw_stock(car_racing)  # there may be a FastRender inside another wrapper
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
    :param seed: seed of the track or episode
    :return: iterator over None after each step and, at the end, the finished drive
    """
    obs = _start(env, seed)
    state, episode_start = None, np.ones(1, dtype=bool)
    while True:
        action, state = model.predict(obs, state=state, episode_start=episode_start, deterministic=True)
        obs, _, dones, infos = env.step(action)
        result = _ended(seed, dones[0], infos[0])
        yield result
        if result:
            return
        episode_start = dones


def drive_side_by_side(model: Driver, envs: Sequence[VecEnv], seeds: Sequence[int]) -> list[Drive]:
    """
    Drive several episodes greedily, with one forward pass per step for all of them.

    The batch is always as large as ``envs``, so that an episode does not depend on the others. Q-values can
    differ in the last bit from those of a batch of one, as in ``drive``.

    :param model: the agent
    :param envs: results of ``make_env`` with the same arguments
    :param seeds: seeds of the tracks or episodes, at least one
    :return: the finished drives, in the order of ``seeds``
    """
    queue = iter(range(len(seeds)))
    finished: dict[int, Drive] = {}
    places = [next(queue, None) for _ in envs]  # position of each one's seed; None: nothing left to drive
    observations = [_start(env, seeds[place or 0]) for env, place in zip(envs, places, strict=True)]
    state, episode_starts = None, np.ones(len(envs), dtype=bool)
    while len(finished) < len(seeds):
        if isinstance(observations[0], dict):
            batch: Any = {key: np.concatenate([one[key] for one in observations]) for key in observations[0]}
        else:
            batch = np.concatenate(observations)
        actions, state = model.predict(batch, state=state, episode_start=episode_starts, deterministic=True)
        for i, place in enumerate(places):
            if place is None:
                continue
            observations[i], _, dones, infos = envs[i].step(actions[i : i + 1])
            episode_starts[i] = dones[0]
            if result := _ended(seeds[place], dones[0], infos[0]):
                finished[place] = result
                places[i] = following = next(queue, None)
                if following is not None:
                    observations[i] = _start(envs[i], seeds[following])
    return [finished[place] for place in range(len(seeds))]


def _start(env: VecEnv, seed: int) -> Any:
    """
    :param env: vector of one environment
    :param seed: seed of the track or episode
    :return: first observation
    """
    env.seed(int(seed))  # Gymnasium refuses NumPy's
    return env.reset()


def _ended(seed: int, done: bool, info: Mapping[str, Any]) -> Drive | None:
    """
    :param seed: seed of the track or episode
    :param done: True if the vector resets the environment
    :param info: the step's info
    :return: the finished drive; None before the episode ends
    """
    if not done:
        return None
    if "episode" not in info:
        if info.get("TimeLimit.truncated"):
            raise UserError(
                "an episode ended outside its Monitor, so it has no score: replace TimeLimit in env_wrapper "
                "by env_kwargs: {max_episode_steps: N}"
            )
        return None  # a lost life of several ends nothing
    # the Monitor is inside the wrappers: raw rewards, every frame
    return _result(seed, float(info["episode"]["r"]), int(info["episode"]["l"]), info)


def _result(seed: int, score: float, frames: int, info: Mapping[str, Any]) -> Drive:
    if "missed_tiles" not in info:
        return Drive(seed, score, frames)
    return Drive(seed, score, frames, bool(info.get("lap_finished", False)), info["missed_tiles"])


def unwrapped_env(agent: TrainedAgent, **env_kwargs: Any) -> gym.Env:
    """
    :param agent: an agent
    :param env_kwargs: further arguments of ``gym.make``
    :return: the environment that it is judged in, without its wrappers
    """
    kept = task_of(agent.env_id).env_kwargs(agent.config.get("env_kwargs") or {})
    return gym.make(agent.env_id, **kept | env_kwargs)


def drive_at_random(agent: TrainedAgent, seed: int, **env_kwargs: Any) -> Drive:
    """
    Drive one episode with random actions, as a baseline; ``FastRender`` saves time and changes no reward.

    :param agent: agent whose environment to drive in
    :param seed: seed of the episode and of the actions
    :param env_kwargs: arguments of ``gym.make`` that change the race
    :return: the finished drive
    """
    env = unwrapped_env(agent, **env_kwargs)
    env = CountMissedTiles(FastRender(env)) if is_car_racing(env) else env
    env.reset(seed=int(seed))
    env.action_space.seed(int(seed))
    score, frames, done = 0.0, 0, False
    info: dict[str, Any] = {}
    while not done:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        score, frames, done = score + float(reward), frames + 1, terminated or truncated
    env.close()
    return _result(seed, score, frames, info)
