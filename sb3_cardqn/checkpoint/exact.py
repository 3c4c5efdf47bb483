"""ExactCheckpoint: writes the complete state of a training run to disk, from which it resumes exactly."""

import contextlib
import io
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_cardqn.cardqn.finite import check_weights
from sb3_cardqn.checkpoint import log, state
from sb3_cardqn.checkpoint.files import FORMAT, Checkpoint, newest_checkpoint, remove_all_but
from sb3_cardqn.checkpoint.made_with import (
    CheckpointWarning,
    arguments_of,
    check_outermost,
    check_settings,
    described,
    settings,
    versions,
    warn_of_versions,
    warn_of_what_is_left_out,
)
from sb3_cardqn.checkpoint.replay_files import ReplayFiles, buffer_numbers, check_buffer, describe_buffer
from sb3_cardqn.checks import check_whole
from sb3_cardqn.durable import from_json, locked, sync_folder, to_json, write_file, write_signed_json
from sb3_cardqn.errors import UserError
from sb3_cardqn.signals import not_ignored


class Stopped(SystemExit):
    """Raised by ``learn()`` after a signal, when the checkpoint is written; ends the process quietly."""


class ExactCheckpoint(BaseCallback):
    """
    Write checkpoints, and resume from the newest one as if the run had never stopped.

    A checkpoint contains the counters of all other callbacks, anywhere in the list. Wrap the environments in
    ``ResumableEpisode``; without it, running episodes are truncated on resume. To resume, make agent,
    environments and callbacks as before, and call ``learn`` with the same total, with ``resume=True`` here.
    On SIGTERM, SIGHUP and Ctrl-C (which end SB3's ``SubprocVecEnv``) it writes one and raises ``Stopped``.

    >>> env = make_vec_env("CartPole-v1", 4, seed=0, wrapper_class=ResumableEpisode)  # doctest: +SKIP
    >>> model = CarDQN("MlpPolicy", env, seed=0)  # doctest: +SKIP
    >>> model.learn(50_000, callback=ExactCheckpoint("checkpoints", freq=10_000))  # doctest: +SKIP

    :param folder: folder of the checkpoints; the last two are kept
    :param freq: agent steps between checkpoints, at least 1
    :param resume: True to resume from the newest checkpoint in the folder, or start if there is none
    :param how_to_resume: command or code to print when the run is stopped
    :param verbose: 1 to print where a run resumes, 2 to print every checkpoint too
    :raises ValueError: if ``freq`` is smaller than 1
    """

    def __init__(
        self,
        folder: str | Path,
        freq: int,
        resume: bool = False,
        how_to_resume: str | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.folder = Path(folder)
        self.freq = check_whole("ExactCheckpoint", "freq (agent steps)", freq)
        self.resume = resume
        self.how_to_resume = how_to_resume or f"ExactCheckpoint({str(folder)!r}, freq={freq}, resume=True)"
        self._lock: filelock.BaseFileLock | None = None
        self._kept: list[Checkpoint] = []  # the last two
        self._last_attempt = -1  # agent steps
        self.signal: int | None = None  # signal that asked to stop
        self._handlers: dict[int, Any] = {}
        self.more_settings: dict[str, Any] = {}  # further settings that must be the same on resume
        self.new_budget = False  # True: n_timesteps may differ from the checkpoint's; schedules span it
        self._settings: dict[str, Any] = {}

    def lock(self) -> None:
        """
        Keep other processes out of the folder until the training run or this process ends.

        :raises UserError: if another process uses it
        """
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = f"another process is training in '{self.folder}': wait for it, or stop it"
        # a singleton per process: a run that ended in an error does not lock out the next run
        self._lock = locked(self.folder.resolve() / "lock", busy, is_singleton=True).lock

    def _init_callback(self) -> None:
        if not isinstance(self.model, OffPolicyAlgorithm):
            raise TypeError(
                "ExactCheckpoint needs an off-policy algorithm (OffPolicyAlgorithm), got "
                f"{type(self.model).__name__}"
            )
        assert self.model.replay_buffer is not None
        check_buffer(self.model.replay_buffer)
        assert self.model.env is not None
        check_outermost(self.model.env)
        warn_of_what_is_left_out(self.model)
        self._settings = settings(self.model) | described(self.more_settings)
        self.lock()
        self._kept, self._last_attempt, self.signal = [], -1, None
        newest = newest_checkpoint(self.folder)
        if newest is None:
            return
        if not self.resume:
            raise UserError(
                f"'{self.folder}' holds a checkpoint of agent step {newest.agent_steps}: resume it with "
                "resume=True, or use another folder"
            )
        self._kept = [newest]
        with _reading(newest):
            log.continue_log(self.model, newest.content["log"], newest.agent_steps)

    def _on_training_start(self) -> None:
        self._settings |= arguments_of(self._others())
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *not_ignored("SIGTERM", "SIGHUP")):
                left_over = getattr(signal.getsignal(number), "__self__", None)
                if isinstance(left_over, ExactCheckpoint):
                    left_over._give_signals_back()
                self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._give_signals_back()  # a second signal stops immediately
        while frame is not None and frame.f_code is not OffPolicyAlgorithm.learn.__code__:
            frame = frame.f_back
        if frame is None:  # learn() has ended in an error, which callbacks do not learn of
            signal.raise_signal(number)
            return
        self.signal = number
        print("finishing the step, then a checkpoint; a second signal stops at once", file=sys.stderr)

    def _give_signals_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _on_training_end(self) -> None:
        self._give_signals_back()
        if self._lock is not None:
            self._lock.release(force=True)
            self._lock = None

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        # Between rollouts nothing is half done: no step is running and every transition is stored.
        assert isinstance(self.model, OffPolicyAlgorithm)
        model = self.model
        if self._last_attempt < 0 and self._kept:
            with _reading(self._kept[-1]):
                self._restore(model, self._kept[-1])
        elif model.num_timesteps // self.freq > self._last_attempt // self.freq or self.signal is not None:
            self.save()
        if self.signal is not None:
            self._on_training_end()
            print(
                f"stopped at agent step {model.num_timesteps}; newest checkpoint: {self._last}; resume with: "
                f"{self.how_to_resume}",
                file=sys.stderr,
            )
            raise Stopped(128 + self.signal)

    def save(self) -> bool:
        """
        Write a checkpoint now; call it only between rollouts.

        :return: True if it was written; on a full disk a warning says what to do
        :raises NotFiniteError: if a network contains NaN or infinity; earlier checkpoints stay
        """
        assert isinstance(self.model, OffPolicyAlgorithm)
        self._last_attempt = self.model.num_timesteps
        check_weights(self.model.policy, self.model.num_timesteps)
        try:
            checkpoint = self._write(self.model)
        except OSError as error:
            remove_all_but(self._kept, self.folder)
            warnings.warn(
                f"no checkpoint at agent step {self.model.num_timesteps} ({error}); newest checkpoint: "
                f"{self._last}; training continues. Free disk space for '{self.folder.resolve()}'",
                CheckpointWarning,
                stacklevel=2,
            )
            return False
        self._kept = [*self._kept[-1:], checkpoint]
        remove_all_but(self._kept, self.folder)
        if self.verbose >= 2:
            print(f"Checkpoint of agent step {self.model.num_timesteps} in {self.folder}")
        return True

    @property
    def _last(self) -> str:
        return f"agent step {self._kept[-1].agent_steps}" if self._kept else "none"

    def _write(self, model: OffPolicyAlgorithm) -> Checkpoint:
        assert model.replay_buffer is not None
        assert model.env is not None
        steps = model.num_timesteps
        replay = self._replay_files().with_new(model.replay_buffer, steps)
        arrays: dict[str, np.ndarray] = {}
        content = to_json(
            {
                "format": FORMAT,
                "agent_steps": steps,
                "total": self.locals["total_timesteps"],
                "agent": type(model).__name__,
                "settings": self._settings,
                "versions": versions(),
                "buffer": describe_buffer(model.replay_buffer),
                "clocks": state.get_clocks(model),
                "envs": state.get_envs(model.env),
                "callbacks": [state.get_callback(callback) for callback in self._others()],
                "log": log.get_log(model),
                "buffer_numbers": buffer_numbers(model.replay_buffer),
                "random": state.get_random(model),
                "rows": replay.rows,
                "segments": replay.segments,
            },
            arrays,
        )
        networks = io.BytesIO()  # in memory first: on a full disk th.save does not raise an OSError
        th.save(state.get_networks(model), networks)
        content["own"] = [
            write_file(
                self.folder / f"networks-{steps:012}.pt", lambda file: file.write(networks.getbuffer())
            ),
            write_file(self.folder / f"arrays-{steps:012}.npz", lambda file: np.savez(file, **arrays)),  # type: ignore[arg-type]
        ]
        sync_folder(self.folder)
        path = self.folder / f"checkpoint-{steps:012}.json"
        write_signed_json(path, content)
        sync_folder(self.folder)
        return Checkpoint(path, content)

    def _replay_files(self) -> ReplayFiles:
        if not self._kept:
            return ReplayFiles(self.folder)
        last = self._kept[-1]
        return ReplayFiles(self.folder, last.segments, last.content["rows"], last.agent_steps)

    def _others(self) -> list[BaseCallback]:
        return [callback for callback in state.all_callbacks(self.locals["callback"]) if callback is not self]

    def _restore(self, model: OffPolicyAlgorithm, checkpoint: Checkpoint) -> None:
        assert model.replay_buffer is not None
        assert model.env is not None
        arrays_record = checkpoint.own[1]
        with np.load(self.folder / arrays_record.name, allow_pickle=False) as arrays:
            content = from_json(checkpoint.content, arrays)
        self._check(model, content)
        networks = (self.folder / checkpoint.own[0].name).read_bytes()
        # "cpu", whatever the device: networks and moments are copied to theirs, and Adam counts on the CPU
        state.set_networks(model, th.load(io.BytesIO(networks), map_location="cpu", weights_only=True))
        self._replay_files().read_into(model.replay_buffer, content["buffer_numbers"])
        exact = state.set_envs(model.env, content["envs"])
        if not exact:
            self._cut_episodes(model)
        state.set_clocks(model, content["clocks"], observations=exact)
        self._span_total(model, content)
        for callback, saved in zip(self._others(), content["callbacks"], strict=True):
            state.set_callback(callback, saved)
        log.set_log(model, content["log"])
        state.set_random(model, content["random"])
        self._last_attempt = self.num_timesteps = model.num_timesteps
        if self.verbose:
            print(f"Resuming from agent step {model.num_timesteps}")

    def _check(self, model: OffPolicyAlgorithm, content: dict[str, Any]) -> None:
        buffer: Any = model.replay_buffer
        for what, saved, ours in (
            ("agent", content["agent"], type(model).__name__),
            ("replay buffer", content["buffer"], describe_buffer(buffer)),
            (
                "callbacks",
                [callback["class"] for callback in content["callbacks"]],
                [type(callback).__name__ for callback in self._others()],
            ),
        ):
            if saved != ours:
                raise UserError(f"the checkpoint was written with the {what} {saved}, got {ours}")
        check_settings(content["settings"], self._settings, ["n_timesteps"] if self.new_budget else [])
        warn_of_versions(content["versions"])
        total = self.locals["total_timesteps"]
        if content["agent_steps"] >= total:
            raise UserError(
                f"learn() needs total_timesteps above {content['agent_steps']}, the agent step of the "
                f"checkpoint, got {total}"
            )

    def _span_total(self, model: OffPolicyAlgorithm, content: dict[str, Any]) -> None:
        total = self.locals["total_timesteps"]
        before = content.get("total", total)  # older checkpoints have none
        if before != total and not self.new_budget:
            warnings.warn(
                f"learn() had total_timesteps={before}, got {total}: schedules span the new total",
                CheckpointWarning,
                stacklevel=2,
            )
        if before != total or self.new_budget:
            model._total_timesteps = total

    def _cut_episodes(self, model: OffPolicyAlgorithm) -> None:
        warnings.warn(
            "the environments cannot be restored to their saved state: running episodes are truncated and "
            "new ones begin",
            CheckpointWarning,
            stacklevel=2,
        )
        assert model.env is not None
        buffer: Any = model.replay_buffer
        if buffer.size():
            newest = buffer.pos - 1  # row -1 after wrapping around
            running = buffer.dones[newest] == 0
            for name in ("dones", "timeouts", "ends"):
                if hasattr(buffer, name):
                    getattr(buffer, name)[newest, running] = True
        model._last_obs = model.env.reset()  # type: ignore[assignment]
        if model._vec_normalize_env is not None:
            model._last_original_obs = model._vec_normalize_env.get_original_obs()


@contextlib.contextmanager
def _reading(checkpoint: Checkpoint) -> Iterator[None]:
    """
    :param checkpoint: intact checkpoint, which may still not fit
    :return: context manager to restore it in
    :raises UserError: if restoring fails
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"'{checkpoint.path}' does not fit this training run: {type(error).__name__}: {error}"
        ) from error
