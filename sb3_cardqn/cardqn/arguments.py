"""Checks of the arguments of CarDQN and its policies, made at construction and again before learning."""

import inspect
import math
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn.cardqn.schedules import DECAYS
from sb3_cardqn.checks import check_flag, check_normalized, check_number, check_whole, is_number
from sb3_cardqn.replay.buffers import FrameReplayBuffer

_ROUNDING = 1e-9  # of a schedule, beside 0 and 1
# name -> lower bound of a whole number
_WHOLE = {
    "buffer_size": 1,
    "batch_size": 1,
    "gradient_steps": -1,
    "n_steps": 1,
    "target_update_interval": 1,
}


def check_env(env: Any) -> None:
    """
    Refuse what SB3 would take for an environment of OpenAI Gym.

    :param env: environment or its id
    :raises TypeError: if it is a function that makes environments, or a vector environment of Gymnasium
    """
    makes_environments = callable(env) and not isinstance(env, (gym.Env, VecEnv))
    if env is None or makes_environments or isinstance(env, (VectorEnv, list, tuple)):
        raise TypeError(
            "CarDQN needs env to be an environment, its id, or an SB3 VecEnv, as DummyVecEnv([make]) and "
            f"make_vec_env(id, n_envs=4) make it, got {env!r}"
        )


def check_arguments(agent: Any) -> None:
    """
    Check the arguments that the agent was constructed or loaded with, and convert numbers to Python's types.

    :param agent: agent with all arguments as attributes
    :raises ValueError: if an argument is out of range; the text names it, its value and its range
    """
    _check_numbers(agent)
    for name in ("double_q", "mixed_precision"):
        check_flag("CarDQN", name, getattr(agent, name))
    check_flag("CarDQN", "overlap", agent.overlap, or_none=True)
    _check_exploration(agent)


def _check_exploration(agent: Any) -> None:
    for name in ("exploration_initial_eps", "exploration_final_eps"):
        setattr(agent, name, check_number("CarDQN", name, getattr(agent, name), 0, 1))
    if agent.exploration_steps is not None:
        agent.exploration_steps = check_whole("CarDQN", "exploration_steps", agent.exploration_steps)
    fraction = check_number("CarDQN", "exploration_fraction", agent.exploration_fraction, 0)
    agent.exploration_fraction = fraction
    if fraction > 1:
        warnings.warn(
            f"exploration_fraction={fraction} is more than the whole budget, so exploration will "
            "not reach exploration_final_eps; for a number of agent steps use exploration_steps",
            stacklevel=5,
        )
    decay: Any = agent.exploration_decay
    if not (callable(decay) or (isinstance(decay, str) and decay in DECAYS)):
        raise ValueError(
            f"CarDQN needs exploration_decay from {sorted(DECAYS)}, or a function of the progress "
            f"remaining, got {decay!r}"
        )
    if decay == "exponential" and (fraction or agent.exploration_steps):  # else it is constant
        for name in ("exploration_initial_eps", "exploration_final_eps"):  # no factor reaches 0
            check_number("CarDQN", name, getattr(agent, name), 0, 1, above=True)


def _check_numbers(agent: Any) -> None:
    for name, least in _WHOLE.items():
        setattr(agent, name, check_whole("CarDQN", name, getattr(agent, name), least))
    starts = check_number("CarDQN", "learning_starts", agent.learning_starts, 0, infinite=True)
    agent.learning_starts = int(starts) if float(starts).is_integer() else starts
    train_freq: Any = agent.train_freq
    if not isinstance(train_freq, tuple):
        agent.train_freq = check_whole("CarDQN", "train_freq", train_freq)
    elif not isinstance(train_freq, TrainFreq):  # SB3 converts a tuple to a TrainFreq
        frequency = check_whole("CarDQN", "train_freq", train_freq[0])
        agent.train_freq = (frequency, *train_freq[1:])
    for name in ("tau", "gamma", "advantage_learning"):
        setattr(agent, name, check_number("CarDQN", name, getattr(agent, name), 0, 1))
    if agent.advantage_learning == 1:
        raise ValueError(
            "CarDQN needs advantage_learning below 1 (at 1 gaps grow forever), got "
            f"{agent.advantage_learning!r}"
        )
    if not callable(agent.learning_rate):
        agent.learning_rate = check_number("CarDQN", "learning_rate", agent.learning_rate, 0)
    norm = math.inf if agent.max_grad_norm is None else agent.max_grad_norm  # QRDQN's way to clip nothing
    agent.max_grad_norm = check_number("CarDQN", "max_grad_norm", norm, 0, infinite=True)


def check_budget(agent: Any, total_timesteps: Any) -> None:
    """
    :param agent: agent that is about to learn
    :param total_timesteps: agent steps; with inf, only a callback stops the run
    :raises ValueError: if the budget is not a number
    """
    if not is_number(total_timesteps) or math.isnan(total_timesteps):
        raise ValueError(f"CarDQN.learn needs total_timesteps, a number or inf, got {total_timesteps!r}")
    is_constant = isinstance(agent.exploration_schedule, ConstantSchedule)
    if total_timesteps == math.inf and not agent.exploration_steps and not is_constant:
        warnings.warn(
            "with total_timesteps=inf exploration never decreases, because exploration_fraction is a "
            "fraction of them; for a number of agent steps use exploration_steps",
            stacklevel=4,
        )


def check_epsilon(agent: Any, epsilon: float) -> None:
    """
    :param agent: agent that is learning
    :param epsilon: value of its ``exploration_decay``, a function
    :raises ValueError: if it is outside [0, 1]
    """
    if not -_ROUNDING <= epsilon <= 1 + _ROUNDING:
        raise ValueError(
            f"CarDQN needs an exploration_decay that stays between 0 and 1, got {epsilon!r} from "
            f"{agent.exploration_decay!r} at agent step {agent.num_timesteps}"
        )


def check_spaces(agent: Any) -> None:
    """
    Check spaces and normalization; SB3 would fail only at the first steps or updates.

    :param agent: agent with its environments
    :raises ValueError: if it cannot learn from them
    """
    if not isinstance(agent.action_space, spaces.Discrete):
        raise ValueError(
            f"CarDQN needs a Discrete action space, got {agent.action_space}: for CarRacing use "
            "DiscretizeActions, else a wrapper that offers a list of actions, or another algorithm (SAC and "
            "TD3 learn Box actions, PPO also MultiDiscrete and MultiBinary ones)"
        )
    if agent.action_space.start != 0:
        raise ValueError(f"CarDQN needs a Discrete action space that starts at 0, got {agent.action_space}")
    space = agent.observation_space
    for part in space.spaces.values() if isinstance(space, spaces.Dict) else [space]:
        if np.any(getattr(part, "start", 0)):  # SB3 one-hot encodes 0 to n - 1
            raise ValueError(
                f"CarDQN needs Discrete observations that start at 0, got {space}; subtract the start with "
                "gymnasium.wrappers.TransformObservation"
            )
    if agent.env is not None:
        stores_frames = issubclass(agent.replay_buffer_class or ReplayBuffer, FrameReplayBuffer)
        check_normalized(type(agent).__name__, agent.env, stores_frames)


def n_step_arguments(agent: Any) -> dict[str, Any]:
    """
    Keyword arguments of the replay buffer, completed with the agent's n_steps and gamma.

    :param agent: agent with all arguments as attributes
    :return: replay_buffer_kwargs, plus n_steps and gamma if the class takes them and they are not given
    :raises ValueError: if the observations are Dicts and n_steps is above 1
    """
    default = NStepReplayBuffer if agent.n_steps > 1 else ReplayBuffer
    given: Any = agent.replay_buffer_class
    replay_buffer_class = default if given in (None, agent._default_buffer) else given
    if isinstance(agent.observation_space, spaces.Dict) and replay_buffer_class is NStepReplayBuffer:
        raise ValueError(
            "CarDQN needs n_steps=1 and no NStepReplayBuffer for Dict observations, which that buffer does "
            f"not support, got n_steps={agent.n_steps}"
        )
    defaults: dict[str, Any] = {}
    for base in replay_buffer_class.__mro__:  # as far as **kwargs hand them on
        parameters = inspect.signature(base).parameters.values() if "__init__" in vars(base) else ()
        defaults = {parameter.name: parameter.default for parameter in parameters} | defaults
        if parameters and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    ours = {"n_steps": agent.n_steps, "gamma": agent.gamma}
    if agent.n_steps == 1 and is_number(defaults.get("n_steps")):  # SB3's NStepReplayBuffer has 3
        ours["n_steps"] = defaults["n_steps"]
    return {**{name: ours[name] for name in ours if name in defaults}, **agent.replay_buffer_kwargs}


def check_replay_buffer(agent: Any) -> None:
    """
    Check the replay buffer against the agent, because ``load_replay_buffer`` takes any buffer.

    :param agent: agent with its replay buffer
    :raises ValueError: if the buffer was made for another number of environments
    """
    buffer: Any = agent.replay_buffer
    # a user's own add() may divide the environments
    knows_envs = type(buffer).add.__module__.startswith(("stable_baselines3.", "sb3_cardqn."))
    if knows_envs and buffer.n_envs != agent.n_envs:
        raise ValueError(f"CarDQN needs a replay buffer with n_envs={agent.n_envs}, got {buffer.n_envs}")
    told = n_step_arguments(agent)
    wanted = {"n_steps": told.get("n_steps", 1)}
    if wanted["n_steps"] > 1:  # with one step the agent's own gamma is used
        wanted["gamma"] = told.get("gamma", agent.gamma)
    # SB3's ReplayBuffer has no n_steps, which means 1; a user's class may have none of these
    got = {name: getattr(buffer, name, 1 if name == "n_steps" else value) for name, value in wanted.items()}
    if got != wanted:
        warnings.warn(f"CarDQN has {wanted}, and learns from a replay buffer with {got}", stacklevel=4)


def check_policy(policy: Any) -> None:
    """
    Check that a policy has the networks of a DQN's.

    :param policy: policy of any class
    :raises TypeError: if it is a policy of another algorithm
    """
    missing = [name for name in ("q_net", "q_net_target") if not hasattr(policy, name)]
    if missing:
        raise TypeError(
            "CarDQN needs policy to have q_net and q_net_target, like CarDQNPolicy and SB3's DQNPolicy, got "
            f"{type(policy).__name__} without {', '.join(missing)}"
        )
