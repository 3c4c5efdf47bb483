"""PlannedRun: a run of a comparison, its files and its state."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_sb3 import EnvironmentName

from sb3_cardqn.compare.contestant import Contestant
from sb3_cardqn.compare.names import folder_names
from sb3_cardqn.compare.plan import FIXED, Plan, TriedOut, differing
from sb3_cardqn.durable import is_zip, write_text
from sb3_cardqn.errors import UserError
from sb3_cardqn.hardware import n_cores
from sb3_cardqn.zoo.clock import Reading, last_reading, read_clock
from sb3_cardqn.zoo.resumable import checkpoints_of

_CHECKPOINT_STEPS = 10_000  # agent steps between checkpoints if the budget is in minutes


@dataclass(frozen=True)
class State:
    """
    State of a run after its process has ended.

    :param finished: True if it used up its budget and saved its agent
    :param attempts: number of processes started so far
    :param peak_memory_mb: largest resident size of these processes, in 2**20 bytes
    :param wall_seconds: wall-clock time of these processes, with evaluations and start-up
    :param core_hours: cores times hours of these processes
    :param num_threads: torch threads
    :param failure: how the last process failed, or ""
    :param asked: what it was started with (algorithm, seed, budget, ...); empty in old comparisons
    :param machine: hardware and versions of the last process; empty in old comparisons
    """

    finished: bool = False
    attempts: int = 0
    peak_memory_mb: float = 0.0
    wall_seconds: float = 0.0
    core_hours: float = 0.0
    num_threads: int = 1
    failure: str = ""
    asked: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    """
    A contestant with a seed.

    :param plan: plan of the comparison
    :param contestant: contestant to train
    :param seed: training seed
    :param output: absolute folder of the comparison
    :param has_checkpoints: True if it can resume from checkpoints
    :param hyperparams: the contestant's hyperparameters, by name, as text; empty if nothing is to be trained
    """

    plan: Plan
    contestant: Contestant
    seed: int
    output: Path
    has_checkpoints: bool = True
    hyperparams: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.contestant.name}, seed {self.seed}"

    @property
    def log_folder(self) -> Path:
        """Folder of all the contestant's runs, for the option ``-f`` of the zoo's commands."""
        return self.output / "runs" / folder_names(self.plan.names)[self.contestant.name]

    @property
    def number(self) -> int:
        """The zoo's number of the run."""
        return self.plan.seeds.index(self.seed) + 1

    @property
    def folder(self) -> Path:
        """Run folder, as chosen by the zoo."""
        return self.log_folder / self.contestant.algo / f"{EnvironmentName(self.plan.env)}_{self.number}"

    @property
    def log(self) -> Path:
        """File with the output of all attempts, in order."""
        return Path(f"{self.folder}.log")

    @property
    def reading(self) -> Reading:
        """Latest reading of the training clock."""
        return last_reading(self.folder)

    @property
    def progress(self) -> float:
        """Used part of the budget, in [0, 1]."""
        return self._used(self.reading)

    @property
    def kept_progress(self) -> float:
        """Used part of the budget at the newest checkpoint, where the next attempt resumes, in [0, 1]."""
        newest = max(checkpoints_of(self.folder), default=-1)
        kept = [reading for reading in read_clock(self.folder) if reading.agent_steps <= newest]
        return self._used(kept[-1]) if kept else 0.0

    def _used(self, reading: Reading) -> float:
        if self.plan.minutes is not None:
            return min(reading.seconds / round(60 * self.plan.minutes, 3), 1.0)  # rounded as the clock
        return min(reading.agent_steps / self.agent_steps, 1.0)

    @property
    def agent_steps(self) -> Any:
        """Budget in agent steps, None if it is in minutes."""
        return self.plan.n_timesteps

    @property
    def state(self) -> State:
        """Last saved state, corrected from the run's files in case the coordinator was killed."""
        saved = self._saved_state
        has_agent = is_zip(self.folder / f"{EnvironmentName(self.plan.env)}.zip")
        is_done = saved.attempts > 0 and has_agent and self.progress == 1 and not checkpoints_of(self.folder)
        return replace(saved, finished=is_done)

    @property
    def _saved_state(self) -> State:
        path = self._state_path
        try:
            return State(**json.loads(path.read_text())) if path.is_file() else State()
        except (ValueError, TypeError) as error:
            raise UserError(f"'{path}' is not the state of a run: {error}") from error

    @property
    def _state_path(self) -> Path:
        return Path(f"{self.folder}.json")

    def check_folder(self) -> None:
        """
        :raises UserError: if the run's folder is not part of this comparison, a link leads to it, or it was
            started with another seed, budget or value than the plan has now
        """
        places = [self.folder, *self.folder.parents]
        for place in [self.log, *places[: places.index(self.output)]]:
            if place.is_symlink():
                raise UserError(f"'{place}' is a link, but a comparison's runs must be in its own folder")
        if self.log.exists() and not self.log.is_file():
            raise UserError(f"cannot write '{self.log}': it is not a regular file")
        if self.folder.exists() and self.state.attempts == 0:
            raise UserError(
                f"'{self.folder}' exists and is not part of this comparison: use another output folder"
            )
        began = self.state.asked
        for name, value in self.asked.items():
            if began.get(name, value) != value:
                old, new = differing(began[name], value)
                raise UserError(
                    f"'{self.folder}' was started with {name} {old}, and now has {new}: use another output "
                    "folder, or put back what has changed, such as plan.yml or a file of hyperparameters"
                )

    @property
    def asked(self) -> dict[str, Any]:
        """Settings that determine its result, named as in the plan and typed as JSON returns them."""
        own = {
            "algorithm": self.contestant.algo,
            "overrides": list(self.contestant.overrides),
            "seed": self.seed,
        }
        read = {"hyperparameters": dict(self.hyperparams)} if self.hyperparams else {}
        return own | {name: getattr(self.plan, name) for name in FIXED} | read

    def save_state(self, state: State) -> None:
        """
        :param state: state to save, atomically
        """
        write_text(self._state_path, json.dumps(asdict(state), indent=2))

    def save_failure(self, reason: str) -> State:
        """
        :param reason: why its process ended without a state, or its agents do not drive; "" if they do
        :return: the new state, which is saved too
        """
        state = replace(self.state, failure=reason)
        self.save_state(state)
        return state

    def train_arguments(self, num_threads: int) -> list[str]:
        """
        :param num_threads: torch threads
        :return: command line that trains it, without ``sb3-cardqn``
        """
        plan = self.plan
        if plan.minutes is not None:
            budget = ["--minutes", str(plan.minutes), "--n-evaluations", str(plan.n_evaluations)]
            every = _CHECKPOINT_STEPS
        else:
            every = max(self.agent_steps // plan.n_evaluations, 1)
            budget = ["-n", str(plan.n_timesteps), "--eval-freq", str(every)]
        packages = ["--gym-packages", *plan.gym_packages] if plan.gym_packages else []
        overrides = ["-params", *self.contestant.overrides] if self.contestant.overrides else []
        return [
            "train", "--algo", self.contestant.algo, "--env", plan.env, "--seed", str(self.seed), *budget,
            "--eval-episodes", str(plan.eval_episodes), "--num-threads", str(num_threads),
            "--log-interval", "100", "-f", str(self.log_folder), "--run-id", str(self.number),
            *(["--checkpoint-freq", str(every)] if self.has_checkpoints else []),
            *(["--vec-env", plan.vec_env] if plan.vec_env != "dummy" else []), *packages, *overrides,
        ]  # fmt: skip

    def cores(self, num_threads: int) -> int:
        """
        :param num_threads: torch threads
        :return: number of cores that it keeps busy on this machine
        """
        return num_threads if self.plan.vec_env == "dummy" else n_cores()

    def command(self) -> str:
        """
        :return: command that trains it, run in the comparison's folder
        """
        words = self.train_arguments(self.state.num_threads)
        words[words.index(str(self.log_folder))] = str(self.log_folder.relative_to(self.output))
        return shlex.join(["sb3-cardqn", *words])

    def last_lines(self) -> str:
        """
        :return: last three lines of the log, joined to one line
        """
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        return " | ".join([line.strip() for line in lines if line.strip()][-3:])


def runs_of(plan: Plan, output: Path, tried: Mapping[str, TriedOut] | None = None) -> Iterator[PlannedRun]:
    """
    :param plan: plan of the comparison
    :param output: folder of the comparison
    :param tried: result of ``plan.try_out``; None if nothing is to be trained
    :return: its runs, seed by seed, so that contestants can be compared early
    """
    for seed in plan.seeds:
        for contestant in plan.contestants:
            found = tried[contestant.name] if tried else TriedOut(0, {})
            has_checkpoints = found.checkpoint_bytes is not None
            yield PlannedRun(plan, contestant, seed, output.absolute(), has_checkpoints, found.hyperparams)
