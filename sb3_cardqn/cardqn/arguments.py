"""What CarDQN's arguments may be: checked at construction, and again before learning."""

from typing import TYPE_CHECKING

import numpy as np

from sb3_cardqn.common.schedules import DECAYS

if TYPE_CHECKING:
    from sb3_cardqn.cardqn.cardqn import CarDQN


def check_arguments(agent: "CarDQN") -> None:
    """
    Check the arguments that the agent was constructed or loaded with.

    :param agent: with all of them as attributes
    :raises ValueError: if one is out of range; the text names it, its value and what would be right
    """
    train_freq = agent.train_freq[0] if isinstance(agent.train_freq, tuple) else agent.train_freq
    for name, value, low, high in (
        ("buffer_size", agent.buffer_size, 1, np.inf),
        ("learning_starts", agent.learning_starts, 0, np.inf),
        ("batch_size", agent.batch_size, 1, np.inf),
        ("tau", agent.tau, 0, 1),
        ("gamma", agent.gamma, 0, 1),
        ("train_freq", train_freq, 1, np.inf),
        ("gradient_steps", agent.gradient_steps, -1, np.inf),
        ("n_steps", agent.n_steps, 1, np.inf),
        ("target_update_interval", agent.target_update_interval, 1, np.inf),
        ("exploration_initial_eps", agent.exploration_initial_eps, 0, 1),
        ("exploration_final_eps", agent.exploration_final_eps, 0, 1),
        ("exploration_steps", 1 if agent.exploration_steps is None else agent.exploration_steps, 1, np.inf),
    ):
        if not isinstance(value, (int, float, np.number)) or not low <= value <= high:  # refuses NaN too
            needed = f">= {low}" if high == np.inf else f"between {low} and {high}"
            raise ValueError(f"CarDQN needs {name} {needed}, got {value!r}")
    if not 0 < agent.exploration_fraction <= 1:
        raise ValueError(
            "CarDQN needs exploration_fraction above 0 and at most 1 (a part of the learning period; for "
            f"agent steps give exploration_steps), got {agent.exploration_fraction!r}"
        )
    if not agent.max_grad_norm > 0:
        raise ValueError(f"CarDQN needs max_grad_norm > 0, got {agent.max_grad_norm!r}")
    if agent.batch_size > agent.buffer_size:
        raise ValueError(
            f"CarDQN needs batch_size <= buffer_size ({agent.buffer_size}), got {agent.batch_size}"
        )
    if not callable(agent.exploration_decay) and agent.exploration_decay not in DECAYS:
        raise ValueError(
            f"CarDQN needs exploration_decay from {sorted(DECAYS)} or a function of the progress "
            f"remaining, got {agent.exploration_decay!r}"
        )
