"""CarDQN, the agent: epsilon-greedy acting, storing transitions, gradient updates, target network."""

import warnings
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import get_parameters_by_name, polyak_update

from sb3_cardqn.cardqn.arguments import (
    check_arguments,
    check_budget,
    check_env,
    check_epsilon,
    check_policy,
    check_replay_buffer,
    check_spaces,
    n_step_arguments,
)
from sb3_cardqn.cardqn.finite import check_first_observation, check_transitions, clip_gradient
from sb3_cardqn.cardqn.overlap import OverlapAlgorithm
from sb3_cardqn.cardqn.policies import (
    CarDQNPolicy,
    CnnPolicy,
    MlpPolicy,
    MultiInputPolicy,
    shape_of_actions,
)
from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.cardqn.schedules import DECAYS
from sb3_cardqn.cardqn.td import importance_weights, td_of
from sb3_cardqn.hardware import has_bfloat16, keep_freed_memory


class CarDQN(OverlapAlgorithm):
    """
    Deep Q-Network (Mnih et al. 2015), with the constructor, attributes and files of SB3's DQN.

    >>> model = CarDQN("MlpPolicy", "CartPole-v1", seed=0).learn(200)

    With DQN's arguments, one environment and the same seed, it learns the same weights, bit by bit. With
    pictures they are equal up to float32 rounding. An environment in another process, as in
    ``SubprocVecEnv``, needs ``overlap=False`` for the same weights.
    Differences from SB3's DQN:

    1. Epsilon-greedy exploration draws once per environment, not once for the whole vector.
    2. With ``exploration_steps`` epsilon decays over that many agent steps, from ``learning_starts`` on.
    3. The target network is updated whenever the agent steps pass a multiple of ``target_update_interval``,
       even if it is not a multiple of the number of environments.
    4. ``gamma``, and ``n_steps`` above 1, reach a custom ``replay_buffer_class`` that takes arguments of
       these names, unless ``replay_buffer_kwargs`` override them.
    5. Meaningless numbers are errors: a probability, ``tau`` or ``gamma`` outside [0, 1], a count below its
       lower bound. ``learn()`` raises ``NotFiniteError`` at the first NaN or infinity in a reward, an
       observation or the gradient, before it reaches the buffer or the weights.
    6. ``policy_kwargs`` accept ``head_class``, ``head_kwargs`` and ``average_fraction``. ``CarRacingCNN``
       and ``MinAtarCNN`` get no hidden layers by default, like ``NatureCNN``.
    7. It is not a subclass of ``DQN``, and its TensorBoard runs are named ``CarDQN``.
    8. With ``overlap`` updates are made while the environments step, so a learning rate, network or buffer
       that asks the environments needs ``overlap=False``.

    docs/reference/metrics.md lists everything it logs, with formulas.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"``, ``"MultiInputPolicy"`` or a class
    :param env: environment with ``Discrete`` actions, or its id
    :param learning_rate: number, or function of the progress remaining (1 to 0)
    :param buffer_size: capacity of the replay buffer in transitions
    :param learning_starts: agent steps of random actions before the first update
    :param batch_size: transitions per gradient update
    :param tau: Polyak coefficient of the target update, in [0, 1]; 1 copies the weights
    :param gamma: discount factor per agent step, in [0, 1]
    :param train_freq: agent steps of each environment between updates, or ``(n, "episode")``
    :param gradient_steps: gradient updates per ``train()``; -1 for as many as agent steps were taken
    :param replay_buffer_class: ``FrameReplayBuffer`` to save memory with frame stacks; SB3's own by default
    :param replay_buffer_kwargs: keyword arguments of the replay buffer
    :param optimize_memory_usage: passed to the replay buffer
    :param n_steps: rewards summed before bootstrapping (Sutton 1988)
    :param target_update_interval: agent steps between target updates
    :param exploration_fraction: fraction of the budget in which epsilon decays, as in DQN
    :param exploration_initial_eps: probability of a random action before the decay
    :param exploration_final_eps: probability of a random action after the decay
    :param max_grad_norm: maximum norm of the gradient; larger ones are scaled down to it; None for no maximum
    :param stats_window_size: number of episodes in the logged means
    :param tensorboard_log: folder for TensorBoard, or None
    :param policy_kwargs: keyword arguments of the policy, such as ``features_extractor_class``
    :param verbose: 0, 1 or 2
    :param seed: seed of Python, NumPy, torch, action space and environment
    :param device: ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    :param double_q: True to choose the next action with the online network and value it with the target
        network (van Hasselt et al. 2016)
    :param advantage_learning: alpha in [0, 1); widens the gap between the best action's value and the others
        by the factor 1 / (1 - alpha), so that errors of the network matter less (Bellemare et al. 2016)
    :param exploration_decay: ``"linear"``, ``"exponential"``, ``"cosine"``, ``"constant"`` (at the final
        value), or any function of the progress remaining (1 to 0)
    :param exploration_steps: agent steps after ``learning_starts`` in which epsilon decays, instead of
        ``exploration_fraction``
    :param mixed_precision: True to compute features in bfloat16 while learning, if the device supports it (a
        CPU with AVX-512 BF16 or AMX, a recent GPU); head, loss, weights and acting stay in float32
    :param overlap: True to update while the environments step, so that actions come from weights one
        ``train()`` older; None to do so if the environments run in other processes (``SubprocVecEnv``)
    :param _init_setup_model: True to build the networks and the buffer now
    :raises ValueError: if an argument is out of range; the text names it, its value and its range
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    policy: CarDQNPolicy
    q_net: QNetwork
    q_net_target: QNetwork
    exploration_schedule: Schedule
    _default_buffer: type[ReplayBuffer] | None = None  # chosen here, and anew by load()

    def __init__(
        self,
        policy: str | type[CarDQNPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 32,
        tau: float = 1.0,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 4,
        gradient_steps: int = 1,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 10_000,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        max_grad_norm: float | None = 10,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        double_q: bool = False,
        advantage_learning: float = 0.0,
        exploration_decay: str | Schedule = "linear",
        exploration_steps: int | None = None,
        mixed_precision: bool = False,
        overlap: bool | None = None,
        _init_setup_model: bool = True,
    ) -> None:
        if _init_setup_model:
            check_env(env)
        super().__init__(
            policy,
            env,
            learning_rate,
            buffer_size,
            learning_starts,
            batch_size,
            tau,
            gamma,
            train_freq,
            gradient_steps,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
            sde_support=False,
            support_multi_env=True,
        )
        self.target_update_interval = target_update_interval
        self.exploration_fraction = exploration_fraction
        self.exploration_initial_eps = exploration_initial_eps
        self.exploration_final_eps = exploration_final_eps
        self.exploration_decay = exploration_decay
        self.exploration_steps = exploration_steps
        self.max_grad_norm: Any = max_grad_norm  # a number, once it is checked
        self.double_q = double_q
        self.advantage_learning = advantage_learning
        self.mixed_precision = mixed_precision
        self.overlap = overlap
        self.exploration_rate = 0.0
        self._n_calls = 0
        if _init_setup_model:
            check_spaces(self)
            self._setup_model()

    def _setup_model(self) -> None:
        check_arguments(self)
        is_default, given = self.replay_buffer_class is self._default_buffer, self.replay_buffer_kwargs
        if is_default:  # as SB3 chooses, which would also write n_steps and gamma into replay_buffer_kwargs
            self.replay_buffer_class = NStepReplayBuffer if self.n_steps > 1 else None
        self.replay_buffer_kwargs = n_step_arguments(self)
        with warnings.catch_warnings():
            if self.replay_buffer_kwargs.get("n_steps") == self.n_steps:
                # SB3 would warn that n_steps does not reach a custom replay buffer, but here it does
                warnings.filterwarnings("ignore", message="`n_steps=", category=UserWarning)
            super()._setup_model()
        self.replay_buffer_kwargs = given  # else n_steps and gamma would survive a load() with other values
        if is_default:
            self._default_buffer = self.replay_buffer_class
        self._create_aliases()
        self.batch_norm_stats = get_parameters_by_name(self.q_net, ["running_"])
        self.batch_norm_stats_target = get_parameters_by_name(self.q_net_target, ["running_"])
        self._td = td_of(self.q_net)
        ours = isinstance(self.q_net, QNetwork)  # others have no head that stays in float32
        self._in_bfloat16 = self.mixed_precision and ours and has_bfloat16(self.device)
        fraction = self.exploration_fraction if self.exploration_steps is None else 1.0  # of these steps
        if callable(self.exploration_decay):
            self.exploration_schedule = self.exploration_decay
        else:
            self.exploration_schedule = DECAYS[self.exploration_decay if fraction else "constant"](
                self.exploration_initial_eps, self.exploration_final_eps, fraction
            )

    def _create_aliases(self) -> None:
        check_policy(self.policy)
        self.q_net = self.policy.q_net
        self.q_net_target = self.policy.q_net_target

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "CarDQN",
        progress_bar: bool = False,
    ) -> Any:
        check_arguments(self)  # again, because a script can change them
        check_budget(self, total_timesteps)
        check_spaces(self)
        check_replay_buffer(self)
        keep_freed_memory()
        told = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        check_first_observation(self)
        return told

    def _update_exploration_rate(self) -> None:
        remaining = self._current_progress_remaining
        if self.exploration_steps is not None:
            remaining = 1 - (self.num_timesteps - self.learning_starts) / self.exploration_steps
        # the last rollout may pass the budget
        epsilon = float(self.exploration_schedule(min(max(remaining, 0.0), 1.0)))
        if self.exploration_schedule is self.exploration_decay:
            check_epsilon(self, epsilon)
        self.exploration_rate = min(max(epsilon, 0.0), 1.0)

    def _on_step(self) -> None:
        self._n_calls += 1
        # agent steps of all learn() calls; they grow by n_envs at a time and may jump over the multiple
        if self._n_calls * self.n_envs % self.target_update_interval < self.n_envs:
            polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
            # running statistics of batch normalisation are copied, not averaged (SB3 #996)
            polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)
        self._update_exploration_rate()
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: np.ndarray,
        new_obs: np.ndarray | dict[str, np.ndarray],
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        check_transitions(new_obs, reward, dones, infos, self.num_timesteps, self._vec_normalize_env)
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)

    def _update(self, gradient_steps: int, batch_size: int) -> None:
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        logged: dict[str, list[float]] = {"loss": [], "td_error": [], "q_value": []}
        for _ in range(gradient_steps):
            batch: Any = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            gamma_n = self.gamma if batch.discounts is None else batch.discounts
            discount_t = ((1 - batch.dones) * gamma_n).flatten()  # (batch,)
            with th.autocast(self.device.type, th.bfloat16, enabled=self._in_bfloat16):
                td = self._td(
                    self.q_net, self.q_net_target, batch, discount_t, self.double_q, self.advantage_learning
                )
            weights = importance_weights(batch, self.replay_buffer)
            loss = (td.loss if weights is None else weights * td.loss).mean()

            self.policy.optimizer.zero_grad()
            loss.backward()
            clip_gradient(self.policy.parameters(), self.max_grad_norm, self.num_timesteps)
            self.policy.optimizer.step()
            average = getattr(self.policy, "q_net_average", None)  # SB3's policies have none
            if average is not None:
                average.update_parameters(self.q_net)

            if weights is not None:
                buffer: Any = self.replay_buffer
                buffer.update_priorities(batch.indices, td.error.abs())
            logged["loss"].append(loss.item())
            logged["td_error"].append(td.error.abs().mean().item())
            logged["q_value"].append(td.q_value.mean().item())
            if td.clipped is not None:
                logged.setdefault("clipped_targets", []).append(td.clipped.float().mean().item())

        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in logged.items():
            self.logger.record(f"train/{name}", np.mean(values))

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Choose actions epsilon-greedily, with one draw per observation.

        :param observation: one observation, or a batch of them
        :param state: state of a recurrent policy, passed on
        :param episode_start: start flags for a recurrent policy, passed on
        :param deterministic: True to never explore, and to use the averaged network if there is one
        :return: int64 action or (batch,) actions; state
        """
        if deterministic:
            return self.policy.predict(observation, state, episode_start, deterministic)
        # SB3 seeds NumPy's global generator
        drawn = np.random.random(shape_of_actions(self.policy, observation))  # noqa: NPY002
        explores = np.asarray(drawn < self.exploration_rate)
        action = np.zeros(explores.shape, np.int64)
        if not explores.all():  # else, as in SB3, the policy is not asked, which may draw too
            action[...], state = self.policy.predict(observation, state, episode_start, deterministic)
        action[explores] = [self.action_space.sample() for _ in range(np.count_nonzero(explores))]
        return action, state

    def _excluded_save_params(self) -> list[str]:
        dqns = ("q_net", "q_net_target", "batch_norm_stats", "batch_norm_stats_target")
        default = ["replay_buffer_class"] if self.replay_buffer_class is self._default_buffer else []
        ours = ("_meanwhile", "_due", "_td", "_collects", "_default_buffer", *default)
        return [*super()._excluded_save_params(), *dqns, *ours]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []
