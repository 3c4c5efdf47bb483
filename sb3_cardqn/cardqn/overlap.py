"""OverlapAlgorithm: SB3's off-policy algorithm with gradient updates while the environments step."""

from typing import Any, Self

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback, RolloutReturn
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_cardqn.env.meanwhile import Meanwhile, stepped
from sb3_cardqn.replay.buffers import FrameReplayBuffer


class OverlapAlgorithm(OffPolicyAlgorithm):
    """
    SB3's off-policy algorithm, able to postpone gradient updates until the environments step.

    A subclass sets ``overlap`` (None means True if the environments run in other processes) and makes the
    updates in ``_update``.
    """

    overlap: bool | None
    starts_trained: bool = False  # True: actions before learning_starts are the agent's, not random
    _meanwhile: Meanwhile | None = None  # set while an overlapped learn() runs
    _due: tuple[int, int] | None = None  # postponed by train(): gradient updates, batch size
    _collects: bool = False  # while collect_rollouts() runs, and with it callbacks

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """
        Collect transitions, and meanwhile make the updates that are due. An agent that starts trained acts by
        its policy before ``learning_starts`` too, not at random.

        :param env: the environments
        :param args: arguments of SB3's method
        :param kwargs: keyword arguments of SB3's method
        :return: agent steps, episodes, and whether to continue training
        """
        if self.starts_trained:
            kwargs["learning_starts"] = 0
        if self._meanwhile is None:  # a checkpoint of a run that overlapped
            self._catch_up()
        elif self._meanwhile.venv is not env:  # a callback has called set_env()
            self._catch_up()
            self._meanwhile = Meanwhile(env, self._catch_up) if self.overlaps(env) else None
        rollout, self._collects = None, True
        try:
            rollout = super().collect_rollouts(self._meanwhile or env, *args, **kwargs)
            return rollout
        finally:
            self._collects = False
            stopped = rollout is None or not rollout.continue_training
            if stopped and isinstance(self.replay_buffer, FrameReplayBuffer):
                self._last_obs = None  # a step was taken and not stored: the next learn() resets

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """
        Sample the replay buffer and move the Q-network towards the Bellman target.

        With overlap it only records the updates that are due; they are made while the environments step. If
        a callback calls it, the updates are made at once.

        :param gradient_steps: number of gradient updates
        :param batch_size: transitions per gradient update
        """
        self._catch_up()
        if self._meanwhile is None or self._collects or self.num_timesteps >= self._total_timesteps:
            self._update(gradient_steps, batch_size)
        else:
            self._due = gradient_steps, batch_size

    def _update(self, gradient_steps: int, batch_size: int) -> None:
        raise NotImplementedError

    def _catch_up(self) -> None:
        if self._due is not None:
            due, self._due = self._due, None
            self._update(*due)
            self.policy.set_training_mode(False)  # as callbacks find it without overlap

    def overlaps(self, env: VecEnv) -> bool:
        """
        :param env: the environments
        :return: True if updates happen while the environments step; False if the buffer itself calls the
            environments, as ``HerReplayBuffer`` does for rewards, or a wrapper has a ``step`` of its own
        :raises ValueError: if ``overlap`` is True with such a buffer or wrapper
        """
        asks = isinstance(getattr(self.replay_buffer, "env", None), VecEnv)
        if asks and self.overlap:
            raise ValueError(
                f"CarDQN needs overlap=False for {type(self.replay_buffer).__name__}, which calls the "
                "environments during updates, got True"
            )
        steps = stepped(env)
        undivided = isinstance(steps, VecEnv) and type(steps).step is not VecEnv.step
        if undivided and self.overlap:
            raise ValueError(
                f"CarDQN needs overlap=False for {type(steps).__name__}, which overrides step() and not "
                "step_async() and step_wait(), got True"
            )
        overlap = isinstance(steps, SubprocVecEnv) if self.overlap is None else self.overlap
        return overlap and not asks and not undivided

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "CarDQN",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """
        Train the agent.

        :param total_timesteps: agent steps, all environments together
        :param callback: callback or list of callbacks, called at every step
        :param log_interval: episodes between logs
        :param tb_log_name: name of the TensorBoard run
        :param reset_num_timesteps: False to continue counting in a second ``learn``
        :param progress_bar: True to show a progress bar
        :return: self
        """
        if self.env is None:
            raise ValueError(
                "CarDQN.learn() needs an environment, and a loaded agent has none: use "
                "CarDQN.load(path, env=env), or call set_env(env) before learn()"
            )
        if self.overlaps(self.env):
            self._meanwhile = Meanwhile(self.env, self._catch_up)
        try:
            super().learn(
                total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar
            )
            self._catch_up()
        finally:
            self._meanwhile, self._due = None, None
        return self
