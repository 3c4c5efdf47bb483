"""Mind: an agent that records the Q-values or probabilities behind its actions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.env.actions import ACTION_SETS, DiscretizeActions
from sb3_cardqn.env.fast_render import is_car_racing


@dataclass(frozen=True)
class Thought:
    """
    The values behind one action.

    :param kind: kind of the values: "Q-value", "probability", or "" if there are none
    :param values: (actions,) one value per action, or empty
    :param action: index of the chosen action, or [steer, gas, brake]
    """

    kind: str
    values: np.ndarray
    action: Any


def discrete_actions(env: VecEnv) -> np.ndarray | None:
    """
    :param env: result of ``make_env``
    :return: (actions, 3) steer, gas and brake of each action; None if continuous or not CarRacing's
    """
    wrapped: Any = env.unwrapped.envs[0]  # type: ignore[attr-defined]
    wrapper = unwrap_wrapper(wrapped, DiscretizeActions)
    if isinstance(wrapper, DiscretizeActions):
        return wrapper.actions
    if is_car_racing(wrapped) and isinstance(wrapped.unwrapped.action_space, spaces.Discrete):
        return np.array(ACTION_SETS["default5"])
    return None


class Mind:
    """
    An agent that records the values behind its actions.

    :param model: the agent
    """

    def __init__(self, model: BaseAlgorithm | QNetwork) -> None:
        self._model = model
        self.thought: Thought | None = None  # for the last action

    def predict(self, observation: Any, **kwargs: Any) -> Any:
        """
        :param observation: observation of the agent
        :param kwargs: keyword arguments of the agent's ``predict``
        :return: result of the agent's ``predict``
        """
        actions, state = self._model.predict(observation, **kwargs)
        with th.no_grad():
            kind, values = self._values(observation)
        self.thought = Thought(kind, values, actions[0])
        return actions, state

    def _values(self, observation: Any) -> tuple[str, np.ndarray]:
        policy: Any = self._model if isinstance(self._model, QNetwork) else self._model.policy
        obs, _ = policy.obs_to_tensor(observation)
        if isinstance(policy, QNetwork):  # an exported agent
            return "Q-value", policy(obs)[0].numpy()
        if hasattr(policy, "q_net"):
            return "Q-value", getattr(policy, "driving_net", policy.q_net)(obs)[0].numpy()
        if hasattr(policy, "quantile_net"):
            return "Q-value", policy.quantile_net(obs).mean(dim=1)[0].numpy()  # (batch, quantiles, actions)
        chooses = isinstance(policy, ActorCriticPolicy) and isinstance(policy.action_space, spaces.Discrete)
        # a recurrent policy would need its memory again
        if chooses and not isinstance(policy, RecurrentActorCriticPolicy):
            return "probability", policy.get_distribution(obs).distribution.probs[0].numpy()
        return "", np.empty(0)
