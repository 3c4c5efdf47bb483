"""Check for NaN and infinity in transitions; a single one would spread to every weight in the next update."""

from typing import Any

import numpy as np

from sb3_cardqn.errors import NotFiniteError


def check_transitions(
    obs: Any, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]], agent_steps: int
) -> None:
    """
    Check transitions before they are stored.

    :param obs: (n_envs, ...) observations, or a dict of them
    :param rewards: (n_envs,) rewards
    :param dones: (n_envs,) True where an episode ended
    :param infos: one dict per environment, with an ended episode's last observation
    :param agent_steps: number of agent steps, for the error
    :raises NotFiniteError: if a number is NaN or infinite; the text names it and its environment
    """
    _check("the reward", rewards, agent_steps)
    _check("the observation", obs, agent_steps)
    for i, done in enumerate(dones.tolist()):
        if done and infos[i].get("terminal_observation") is not None:
            _check("the last observation", infos[i]["terminal_observation"], agent_steps, i)


def _check(what: str, values: Any, agent_steps: int, env: int | None = None) -> None:
    if isinstance(values, dict):
        for key, part in values.items():
            _check(f"{what} '{key}'", part, agent_steps, env)
        return
    values = np.asarray(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        if env is None:
            env = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise NotFiniteError(f"{what} of environment {env}", agent_steps)
