"""Helpers of the notebooks: budgets, check of answers, code of the package to show."""

import ast
import inspect
import os
import textwrap
import time
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import torch as th
from IPython.display import HTML, Markdown
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn

# what is not public in the package is imported here only, for all notebooks
from sb3_cardqn.cardqn import losses
from sb3_cardqn.cardqn.schedules import DECAYS
from sb3_cardqn.compare import inference, measures, statistics
from sb3_cardqn.compare.results import Results
from sb3_cardqn.env.actions import ACTION_SETS
from sb3_cardqn.evaluate import evaluate
from sb3_cardqn.policy_file.read import ExportedPolicy
from sb3_cardqn.race.camera import Frame
from sb3_cardqn.race.overlay import PANE, Overlay
from sb3_cardqn.race.q_values import Mind
from sb3_cardqn.seeds import VALIDATION_SEEDS

__all__ = ["DECAYS", "PANE", "VALIDATION_SEEDS", "ExportedPolicy", "Frame", "Mind"]
__all__ += ["Overlay", "evaluate", "losses", "measures", "statistics"]

HEAD_TO_HEAD = Path(__file__).parent.parent / "head_to_head"  # committed measurements
FAST = os.environ.get("FAST") == "1"  # budgets that only show that a cell runs
TRACK = 100_000  # a validation track: no agent of this package was trained on it
# (12, 3) steering, gas, brake
ACTIONS = np.array(ACTION_SETS["gas_and_steer12"])
_STEERING = {-1: "left", 0: "straight", 1: "right"}
ACTION_NAMES = [
    f"{_STEERING[steer]}, {f'brake {brake:g}' if brake else f'gas {gas:g}'}"
    for steer, gas, brake in ACTIONS
]

th.set_num_threads(1)  # small networks are slower with more
warnings.filterwarnings("ignore", category=DeprecationWarning)


def budget(ample: int, fast: int) -> int:
    """
    :param ample: agent steps, updates, seeds, ... by default
    :param fast: the same with ``FAST=1``
    :return: the one that holds now
    """
    return fast if FAST else ample


def check(answer: Callable[..., Any], *cases: tuple[tuple[Any, ...], Any]) -> bool:
    """
    Try a reader's function on examples and print the first wrong result.

    >>> check(lambda x: 2 * x, ((1,), 2), ((2,), 4))
    right: 2 of 2
    True

    :param answer: function to try; None as its result means "not answered yet"
    :param cases: pairs of arguments and expected result, numbers or arrays
    :return: True if all results are right
    """
    for i, (arguments, expected) in enumerate(cases):
        got = answer(*arguments)
        if got is None:
            print("not answered yet")
            return False
        same_shape = np.shape(got) == np.shape(expected)
        if not same_shape or not np.allclose(got, expected, atol=1e-5):
            call = f"{answer.__name__}({', '.join(map(str, arguments))})"
            print(f"not yet: {call} should be {expected}, got {got};", end=" ")
            print(f"{i} of {len(cases)} right")
            return False
    print(f"right: {len(cases)} of {len(cases)}")
    return True


def source(*functions: Callable[..., Any]) -> Markdown:
    """
    :param functions: functions of the package
    :return: their code from the first line to the last, without the docstrings
    """
    code = "\n\n".join(_without_docstring(function) for function in functions)
    return Markdown(f"```python\n{code}\n```")


def table(frame: pd.DataFrame) -> HTML:
    """
    :param frame: any; its index is not shown
    :return: a table that scrolls where the page is narrow
    """
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    columns = [_cells(frame[name]) for name in frame.columns]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    body = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    style = 'class="table-wrapper" style="overflow-x: auto"'
    return HTML(f'<div {style}><table class="docutils">{body}</table></div>')


def _cells(column: pd.Series) -> list[str]:
    if column.dtype.kind == "f":
        # as many decimals as the longest number of the column needs
        decimals = max(len(f"{value:.10g}".partition(".")[2]) for value in column)
        texts = [f"{value:,.{decimals}f}" for value in column]
    else:
        texts = [f"{value:,}" if type(value) is int else str(value) for value in column]
    side = "left" if column.dtype.kind == "O" else "right"
    return [f'<td style="text-align: {side}">{escape(text)}</td>' for text in texts]


def _without_docstring(function: Callable[..., Any]) -> str:
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    (definition,) = ast.parse("\n".join(lines)).body
    first = definition.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines)


def layer_table(network: nn.Module, observation: np.ndarray) -> pd.DataFrame:
    """
    :param network: made of convolutions, linear layers and layer normalization
    :param observation: one that it takes
    :return: a row per layer, with the shapes that really flow through it
    """
    rows = []

    def watch(
        layer: nn.Module, inputs: tuple[th.Tensor, ...], output: th.Tensor
    ) -> None:
        is_linear = isinstance(layer, nn.Linear)
        out = (layer.out_features,) if is_linear else tuple(output.shape[1:])
        row = {
            "layer": type(layer).__name__,
            "in": tuple(inputs[0].shape[1:]),
            "out": out,
        }
        row["parameters"] = sum(p.numel() for p in layer.parameters())
        row["multiplications"] = layer.weight[0].numel() * int(np.prod(out))
        rows.append(row)

    kinds = (nn.Conv2d, nn.Linear, nn.LayerNorm)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    hooks = [layer.register_forward_hook(watch) for layer in layers]
    with th.no_grad():
        network(th.as_tensor(observation[None]))
    for hook in hooks:
        hook.remove()
    return pd.DataFrame(rows)


def milliseconds(function: Callable[[], Any]) -> float:
    """
    :param function: to be called some times
    :return: median time of a call
    """
    times = []
    for _ in range(budget(30, 5)):
        began = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))


def remember_drive(
    policy: Any,
    env: gym.Env,
    buffers: list[ReplayBuffer],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Drive until the buffers are full, with one action in twenty at random.

    :param policy: the driver
    :param env: CarRacing, wrapped
    :param buffers: empty, of the same size
    :param rng: source of the random actions
    :return: (transitions, 64, 48) newest frame of each; (transitions,) rewards
    """
    frames, rewards, track = [], [], TRACK
    obs, _ = env.reset(seed=track)
    for _ in range(buffers[0].buffer_size):
        action, _ = policy.predict(obs, deterministic=True)
        if rng.random() < 0.05:
            action = rng.integers(env.action_space.n)
        next_obs, reward, terminated, truncated, _ = env.step(int(action))
        done = terminated or truncated
        info = {"TimeLimit.truncated": truncated and not terminated}
        step = (np.array([action]), np.array([reward]), np.array([done]), [info])
        for buffer in buffers:
            buffer.add(obs[None], next_obs[None], *step)
        frames.append(next_obs[3])
        rewards.append(reward)
        obs, track = next_obs, track + done
        if done:
            obs, _ = env.reset(seed=track)
    return np.array(frames), np.array(rewards)


def picture_at_rest(env: gym.Env) -> np.ndarray:
    """
    :param env: CarRacing, with its car somewhere on the way
    :return: (96, 96, 3) picture of the same place with the car standing still
    """
    car = env.unwrapped.car
    for body in (car.hull, *car.wheels):
        body.linearVelocity, body.angularVelocity = (0.0, 0.0), 0.0
    for wheel in car.wheels:
        wheel.omega = 0.0
    return env.unwrapped._render("state_pixels")


def head_to_head() -> Results:
    """
    :return: the committed measurements of ``sb3-cardqn compare``
    """
    return Results.load(HEAD_TO_HEAD / "results")


# Mnih et al. 2015, extended data table 1; an agent step is an action, 4 frames
PAPER = {
    "learning_rate": "0.00025 (RMSProp)",
    "buffer_size": "1,000,000",
    "learning_starts": "50,000",
    "batch_size": "32",
    "gamma": "0.99",
    "train_freq": "4",
    "n_steps": "1",
    "target_update_interval": "40,000 (10,000 updates)",
    "exploration_fraction": "first 1,000,000 frames",
    "exploration_final_eps": "0.1",
    "max_grad_norm": "none; error clipped to [-1, 1]",
    "double_q": "no",
}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """
    :param values: (seeds,) one number per training run
    :return: mean, lower and upper end of Student's 95 % interval
    """
    values = np.asarray(values, dtype=float)
    if np.ptp(values) == 0:
        return values[0], values[0], values[0]
    mean = inference.trimmed_mean(values, inference.MEAN)
    low, high = mean.bounds
    return float(mean.value), float(low), float(high)
