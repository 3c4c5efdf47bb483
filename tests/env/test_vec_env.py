import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import SimpleMultiObsEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack, VecNormalize

from sb3_cardqn.env.meanwhile import Meanwhile
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import WorkerDiedError
from tests.named import error_naming

pytestmark = pytest.mark.slow


class Breaks(gym.Wrapper):
    """Breaks at the third step."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 3:
            raise RuntimeError("a wheel came off")
        return super().step(action)


def make(vec_env_cls: type[VecEnv], env_id: Any = "CartPole-v1", n_envs: int = 3, **kwargs: Any) -> VecEnv:
    return make_vec_env(env_id, n_envs, seed=0, vec_env_cls=vec_env_cls, **kwargs)


@pytest.mark.parametrize("n_processes", [1, 2, 9])
def test_the_same_episodes_as_in_sb3s(n_processes: int) -> None:
    theirs = make(DummyVecEnv)
    ours = make(GroupedSubprocVecEnv, vec_env_kwargs={"n_processes": n_processes})
    assert len(ours.processes) == min(n_processes, 3)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    assert np.array_equal(ours.reset(), theirs.reset())
    assert list(ours.reset_infos) == list(theirs.reset_infos)
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.integers(2, size=3)
        (*arrays, infos), (*expected, expected_infos) = ours.step(actions), theirs.step(actions)
        for array, other in zip(arrays, expected, strict=True):
            assert np.array_equal(array, other)
            assert array.dtype == other.dtype
        for info, other in zip(infos, expected_infos, strict=True):
            assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            assert np.array_equal(info.get("terminal_observation"), other.get("terminal_observation"))
            assert ("episode" in info) == ("episode" in other)
    ours.seed(7), theirs.seed(7)
    assert np.array_equal(ours.reset(), theirs.reset())
    ours.close()


def test_what_sb3_asks_of_environments() -> None:
    env = make(GroupedSubprocVecEnv, env_kwargs={"render_mode": "rgb_array"})
    env.reset()
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(Breaks, [0, 2]) == [False] * 2
    assert env.get_attr("render_mode", 1) == ["rgb_array"]
    env.set_attr("colour", "red", [2])
    assert env.get_attr("colour", 2) == ["red"]
    assert not env.has_attr("wheels")
    assert env.env_method("get_wrapper_attr", "spec", indices=[0])[0].id == "CartPole-v1"
    images = env.get_images()
    assert len(images) == 3
    assert all(image.shape == (400, 600, 3) for image in images)
    env.close()
    env.close()
    assert not any(process.is_alive() for process in env.processes)


class Pair(gym.Wrapper):
    """Observes the environment twice, as a tuple."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Tuple((env.observation_space, env.observation_space))

    def reset(self, **kwargs: Any) -> Any:
        obs, info = super().reset(**kwargs)
        return (obs, -obs), info

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return (obs, -obs), *rest


@pytest.mark.parametrize("n_processes", [1, 2])
def test_dict_and_tuple_observations(n_processes: int) -> None:
    processes = {"n_processes": n_processes}
    env = make(GroupedSubprocVecEnv, lambda: SimpleMultiObsEnv(random_start=False), vec_env_kwargs=processes)
    observations = env.reset()
    assert isinstance(observations, dict)
    for key, space in env.observation_space.spaces.items():
        assert observations[key].shape == (3, *space.shape)
        assert all(space.contains(observation) for observation in observations[key])
    env.close()
    ours = make(GroupedSubprocVecEnv, wrapper_class=Pair, vec_env_kwargs=processes)
    theirs = make(DummyVecEnv, wrapper_class=Pair)
    for ask in (lambda env: env.reset(), lambda env: env.step(np.zeros(3, int))[0]):
        for part, other in zip(ask(ours), ask(theirs), strict=True):
            assert np.array_equal(part, other)
    ours.close()


def test_options_reach_their_environments() -> None:
    env = make(GroupedSubprocVecEnv, vec_env_kwargs={"n_processes": 2})
    env.seed(0)
    env.set_options([{"low": 0.01 * i, "high": 0.01 * i} for i in range(3)])
    assert np.allclose(env.reset(), [[0.0] * 4, [0.01] * 4, [0.02] * 4])
    assert np.abs(env.reset()).max() > 0  # options hold for one reset
    env.close()


def test_sb3s_wrappers() -> None:
    stacked = VecFrameStack(VecNormalize(make(GroupedSubprocVecEnv)), 2)
    assert isinstance(stacked.unwrapped, SubprocVecEnv)
    assert stacked.reset().shape == (3, 8)
    stacked.close()


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize("broken", [0, 2])
def test_an_error_in_an_environment_is_raised_and_close_works(n_processes: int, broken: int) -> None:
    env = make(GroupedSubprocVecEnv, wrapper_class=Breaks, vec_env_kwargs={"n_processes": n_processes})
    env.env_method("set_wrapper_attr", "steps", -100, indices=[i for i in range(3) if i != broken])
    env.reset()
    env.step(np.zeros(3, int))
    env.step(np.zeros(3, int))
    with pytest.raises(RuntimeError, match="a wheel came off"):
        env.step(np.zeros(3, int))
    env.close()
    assert not any(process.is_alive() for process in env.processes)


class LeavesAMark(gym.ObservationWrapper):
    """Sees a big picture, and makes a file when it steps."""

    mark = Path()

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 255, (4, 128, 128), np.uint8)

    def observation(self, observation: Any) -> np.ndarray:
        return np.zeros(self.observation_space.shape or (), np.uint8)

    def step(self, action: Any) -> Any:
        self.mark.touch()
        return super().step(action)


def test_all_environments_step_while_the_learner_is_busy(tmp_path: Path) -> None:
    # 16 answers of 64 KiB, which no pipe holds
    env = make(GroupedSubprocVecEnv, n_envs=16, wrapper_class=LeavesAMark, vec_env_kwargs={"n_processes": 1})
    env.reset()
    for i in range(16):
        env.env_method("set_wrapper_attr", "mark", tmp_path / str(i), indices=i)
    env.step_async(np.zeros(16, int))
    deadline = time.monotonic() + 3600  # a step that is never taken would be waited for without end
    while len(list(tmp_path.iterdir())) < 16:
        assert time.monotonic() < deadline, "some environments wait for their answers to be read"
        time.sleep(0.01)
    observations, *_ = env.step_wait()
    assert observations.shape == (16, 4, 128, 128)
    env.close()


@pytest.mark.parametrize("n_processes", [1, 2])
def test_close_while_the_environments_step(n_processes: int) -> None:
    env = make(GroupedSubprocVecEnv, vec_env_kwargs={"n_processes": n_processes})
    env.reset()
    env.step_async(np.zeros(3, int))
    env.close()
    assert not any(process.is_alive() for process in env.processes)


def test_an_environment_that_cannot_be_made() -> None:
    def broken() -> gym.Env:
        raise RuntimeError("no car")

    with pytest.raises(RuntimeError, match="no car"):
        GroupedSubprocVecEnv([broken])


@pytest.mark.parametrize("first", ["slow", "broken"])
@pytest.mark.parametrize("error", [RuntimeError("no car"), EOFError("no car")])
def test_one_of_two_environments_that_cannot_be_made(
    first: str, error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    def slow() -> gym.Env:
        time.sleep(1)  # meanwhile the other process ends
        return gym.make("CartPole-v1")

    def broken() -> gym.Env:
        raise error

    with pytest.raises(type(error), match="no car"):
        GroupedSubprocVecEnv([slow, broken] if first == "slow" else [broken, slow], n_processes=2)
    assert "BrokenPipeError" not in capfd.readouterr().err


FULL_DISK = """
import gymnasium as gym
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv

class FullDisk(gym.Wrapper):
    def close(self):
        raise OSError("cannot write the recording")

if __name__ == "__main__":
    env = GroupedSubprocVecEnv([lambda: FullDisk(gym.make("CartPole-v1"))])
    env.reset()
    env.close()
"""


def test_an_error_of_close_is_printed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FULL_DISK)
    words = [sys.executable, str(tmp_path / "script.py")]
    assert "cannot write the recording" in subprocess.run(words, capture_output=True, text=True).stderr


def test_meanwhile_works_between_the_actions_and_their_results() -> None:
    events = []

    class Events(DummyVecEnv):
        def step_async(self, actions: np.ndarray) -> None:
            events.append("actions")
            super().step_async(actions)

        def step_wait(self) -> Any:
            events.append("results")
            return super().step_wait()

    env = Meanwhile(make(Events), lambda: events.append("work"))
    env.reset()
    env.step(np.zeros(3, int))
    assert events == ["actions", "work", "results"]


class TwoWordsError(Exception):
    def __init__(self, part: str, number: int) -> None:
        super().__init__(f"{part} {number}")


class Talks(gym.Wrapper):
    """Answers with what it is told, and breaks in two ways."""

    def echo(self, what: Any) -> Any:
        return what

    def breaks(self, error: str) -> None:
        raise KeyError("wheel") if error == "plain" else TwoWordsError("wheel", 3)

    @property
    def fixed(self) -> int:
        return 0


def test_large_questions_and_large_answers() -> None:
    env = make(GroupedSubprocVecEnv, wrapper_class=Talks)
    what = np.arange(10**6)  # 8 MB, which no pipe holds
    answers = env.env_method("echo", what)
    assert len(answers) == 3
    assert all(np.array_equal(answer, what) for answer in answers)
    env.close()


@pytest.mark.parametrize(
    ("told", "kind", "named"),
    [("plain", KeyError, "wheel"), ("other", RuntimeError, "TwoWordsError: wheel 3")],
)
def test_an_error_says_where_it_was_raised(told: str, kind: type[Exception], named: str) -> None:
    env = make(GroupedSubprocVecEnv, wrapper_class=Talks)
    with error_naming(kind, named) as error:
        env.env_method("breaks", told)
    assert "in breaks" in error.value.__notes__[0]
    env.close()


def test_an_error_is_raised_while_a_large_question_is_asked() -> None:
    env = make(GroupedSubprocVecEnv, wrapper_class=Talks)
    with pytest.raises(AttributeError, match="fixed"):
        env.set_attr("fixed", np.zeros(10**6))
    env.close()


@pytest.mark.parametrize("n_actions", [1, 5])
def test_an_action_for_each_environment(n_actions: int) -> None:
    env = make(GroupedSubprocVecEnv, vec_env_kwargs={"n_processes": 2})
    env.reset()
    with error_naming(ValueError, f"3 | {n_actions}"):
        env.step(np.zeros(n_actions, int))
    assert env.step(np.zeros(3, int))[0].shape == (3, 4)
    env.close()


@pytest.mark.parametrize("ask", ["reset", "step", "get_attr"])
def test_work_meanwhile_cannot_ask_the_environments(ask: str) -> None:
    arguments = {"reset": (), "step": (np.zeros(3, int),), "get_attr": ("spec",)}[ask]
    env = make(GroupedSubprocVecEnv, vec_env_kwargs={"n_processes": 2})
    asked = Meanwhile(env, lambda: getattr(env, ask)(*arguments))
    asked.reset()
    with error_naming(RuntimeError, f"'{ask}' | overlap=False"):
        asked.step(np.zeros(3, int))
    assert env.step(np.zeros(3, int))[0].shape == (3, 4)  # no answer is left over
    env.close()


def kill_worker(env: GroupedSubprocVecEnv, number: int) -> None:
    os.kill(env.processes[number].pid, signal.SIGKILL)
    env.processes[number].join()


def test_a_killed_process_is_named() -> None:
    env = make(GroupedSubprocVecEnv, vec_env_kwargs={"n_processes": 2})
    env.reset()
    kill_worker(env, 0)
    with error_naming(WorkerDiedError, "0, 1 | -9 | SIGKILL") as error:
        env.step(np.zeros(3, int))
    assert (error.value.envs, error.value.exit_code) == ([0, 1], -signal.SIGKILL)
    # never replaced: a new process's environments are not seeded, and their stacks do not follow the old ones
    with error_naming(WorkerDiedError, "0, 1 | -9"):
        env.reset()
    env.close()


@pytest.mark.parametrize("then", ["step", "reset"])
def test_an_answer_that_ctrl_c_kept_from_being_read_is_dropped(then: str) -> None:
    ours, theirs = (make(cls) for cls in (GroupedSubprocVecEnv, DummyVecEnv))
    for env in (ours, theirs):
        env.seed(0)
        env.reset()
    ours.step_async(np.zeros(3, int))
    ours.waiting = False  # as after Ctrl-C in step_wait
    theirs.step(np.zeros(3, int))
    for _ in range(3):
        answers = [env.reset() if then == "reset" else env.step(np.ones(3, int))[0] for env in (ours, theirs)]
        np.testing.assert_array_equal(*answers)
    ours.close()


def test_ctrl_c_is_the_learners_to_handle() -> None:
    env = make(GroupedSubprocVecEnv)
    env.reset()
    os.kill(env.processes[0].pid, signal.SIGINT)
    env.step(np.zeros(3, int))
    env.close()
