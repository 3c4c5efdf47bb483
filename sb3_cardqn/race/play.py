"""Command ``sb3-cardqn play``: drive against an agent, or watch agents."""

import itertools
import random
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
from PIL import Image, ImageDraw

from sb3_cardqn.agents.exported import SafeAgent, shipped_agents
from sb3_cardqn.agents.find import default_agent
from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.task import CarRacingTask, Task, task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate.command import add_agent_options, chosen_agents, judged_kwargs
from sb3_cardqn.evaluate.driving import check_seeds
from sb3_cardqn.evaluate.numbers import score_text
from sb3_cardqn.options import Parser
from sb3_cardqn.race.film import race_until_closed
from sb3_cardqn.race.ghost import Pose, draw_ghost, ghost_of
from sb3_cardqn.race.overlay import font
from sb3_cardqn.race.window import Window, WindowClosedError
from sb3_cardqn.seeds import FINAL_SEEDS

FPS = 50  # CarRacing's frames per second
UNSEEN = range(500_000, 1_000_000)  # tracks for playing: no agent is trained, chosen or scored on them
_SIZE = 600, 400  # pixels
_LARGE, _SMALL = font(24, bold=True), font(14, bold=True)
_LEFT, _RIGHT = (pygame.K_LEFT, pygame.K_a), (pygame.K_RIGHT, pygame.K_d)
_GAS, _BRAKE = (pygame.K_UP, pygame.K_w), (pygame.K_DOWN, pygame.K_s)


def action_of(held: set[int]) -> np.ndarray:
    """
    :param held: pygame's codes of the keys that are held
    :return: (3,) steering, gas and brake
    """
    left, right, gas, brake = (any(key in held for key in keys) for keys in (_LEFT, _RIGHT, _GAS, _BRAKE))
    return np.array([right - left, gas, 0.8 * brake], np.float32)


def _written(picture: np.ndarray, *lines: str, large: bool = False) -> np.ndarray:
    """
    :param picture: (400, 600, 3) uint8
    :param lines: text
    :param large: True for large text in the middle, False for a small line at the top
    :return: copy of the picture with the text
    """
    image = Image.fromarray(picture)
    place: tuple[float, float] = (_SIZE[0] / 2, 170) if large else (10, 8)
    ImageDraw.Draw(image).multiline_text(
        place, "\n".join(lines), "white", _LARGE if large else _SMALL, anchor="mm" if large else "la",
        align="center", stroke_width=2, stroke_fill="black",
    )  # fmt: skip
    return np.asarray(image)


def _lap(
    window: Window, seed: int, name: str, ghost: list[Pose], env_kwargs: dict[str, Any]
) -> tuple[float, np.ndarray]:
    """
    :param window: window to show the race in, whose keys drive
    :param seed: seed of the track
    :param name: name of the ghost
    :param ghost: poses of the ghost, one per frame
    :param env_kwargs: arguments of ``gym.make``
    :return: score of the person at the keyboard, and the last picture
    :raises WindowClosedError: if the window is closed
    """
    score, ended = 0.0, False
    with closing(FastRender(gym.make("CarRacing-v3", render_mode="rgb_array", **env_kwargs))) as env:
        env.reset(seed=seed)
        for frame in itertools.count():
            picture, pose = np.array(env.render()), ghost[min(frame, len(ghost) - 1)]
            draw_ghost(picture, env.unwrapped, pose)
            scores = f"you {score:.0f}   {name} {pose.score:.0f}"
            picture = _written(picture, f"{scores}   {frame / FPS:.1f} s   track {seed}")
            if ended:
                break
            window.append_data(picture)
            _, reward, terminated, truncated, _ = env.step(action_of(window.held))
            score, ended = score + float(reward), terminated or truncated
    return score, picture


def _seeds_from(first: int, task: Task) -> Iterator[int]:
    """
    :param first: first seed
    :param task: task of the environment
    :return: seeds from there on, without those of the final tracks
    """
    check_seeds([first], task)
    return (seed for seed in itertools.count(first) if seed not in FINAL_SEEDS)


def play(
    agent: TrainedAgent, first: int, env_kwargs: dict[str, Any] | None = None
) -> list[tuple[float, float]]:
    """
    Let a person drive on one track after another, beside an agent's ghost.

    :param agent: agent for CarRacing
    :param first: seed of the first track; the next ones have the following seeds
    :param env_kwargs: arguments of ``gym.make`` that change the race
    :return: scores of the person and of the agent, for every track driven to its end
    :raises UserError: if there is no screen
    """
    seeds = _seeds_from(first, task_of(agent.env_id))
    scores: list[tuple[float, float]] = []
    black = np.zeros((_SIZE[1], _SIZE[0], 3), np.uint8)
    with closing(Window(_SIZE, FPS)) as window, suppress(WindowClosedError):
        for seed in seeds:
            text = f"{agent.name} drives track {seed} first", "then you: arrow keys or WASD"
            window.append_data(_written(black, *text, large=True))
            ghost = ghost_of(agent, seed, **(env_kwargs or {}))
            window.held.clear()
            score, picture = _lap(window, seed, agent.name, ghost, env_kwargs or {})
            scores.append((score, ghost[-1].score))
            result = f"you {score:.1f}   {agent.name} {ghost[-1].score:.1f}"
            print(f"track {seed}: {result}", flush=True)
            picture = _written(picture, result, "Enter: next track   Escape: end", large=True)
            window.held.clear()
            while not window.held & {pygame.K_RETURN, pygame.K_KP_ENTER}:
                window.append_data(picture)
    return scores


def watch(agents: list[TrainedAgent], first: int, stock: bool, env_kwargs: dict[str, Any]) -> None:
    """
    Show agents in a window, side by side, in one episode after another, until it is closed.

    :param agents: agents of one environment
    :param first: seed of the first episode; the next ones have the following seeds
    :param stock: see ``race``
    :param env_kwargs: see ``race``
    """
    task = task_of(agents[0].env_id)
    for seed in _seeds_from(first, task):
        results, closed = race_until_closed(
            agents, [seed], None, stock=stock, window=True, env_kwargs=env_kwargs
        )
        if all(results):
            scores = (
                f"{agent.name} {score_text(task, drives[0].score, 1)}"
                for agent, drives in zip(agents, results, strict=True)
            )
            print(f"{task.episode} {seed}: {', '.join(scores)}", flush=True)
        if closed:
            return


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn play``.

    :param argv: arguments after ``play``
    """
    parser = Parser(
        prog="sb3-cardqn play",
        description="Drive CarRacing at the keyboard, with an agent's car as a ghost on the same road. Arrow "
        "keys or WASD drive, Escape ends. With --watch, watch agents of any environment.",
    )
    add_agent_options(parser, "cardqn; with --watch the newest run in logs, else cardqn")
    parser.add_argument("--watch", action="store_true", help="only watch, one agent or several")
    parser.add_argument(
        "--first",
        type=int,
        metavar="SEED",
        help="first track or episode (default: drawn from 500000 to 999999)",
    )
    options = parser.parse_args(argv)
    named = options.agents or [default_agent() if options.watch else SafeAgent(shipped_agents()["cardqn"])]
    agents = chosen_agents(options, named)
    task = task_of(agents[0].env_id)
    first = random.choice(UNSEEN) if options.first is None else options.first
    if options.watch:
        watch(agents, first, not options.fast, judged_kwargs(options))
        return
    if len(agents) != 1 or not isinstance(task, CarRacingTask):
        named = ", ".join(f"{agent.name} ({agent.env_id})" for agent in agents)
        raise UserError(f"play needs one agent for CarRacing, got {named}; to watch: --watch")
    play(agents[0], first, judged_kwargs(options))
