"""``sb3-cardqn bench decision``: CPU time of choosing an action, in torch and in ONNX Runtime."""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from sb3_cardqn.agents.exported import SafeAgent
from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.evaluate import find_agents, make_env
from sb3_cardqn.options import Parser, positive
from sb3_cardqn.policy_file.onnx import write_onnx
from sb3_cardqn.seeds import VALIDATION_SEEDS

REPEATS = 10  # decisions in a row

Decide = Callable[[np.ndarray], np.ndarray]  # (1, ...) observation -> (1,) action


def _in_torch(policy: QNetwork) -> Decide:
    return lambda obs: np.asarray(policy.predict(obs, deterministic=True)[0])


def _in_onnx_runtime(policy: QNetwork) -> Decide | None:
    """
    :param policy: policy to write as ONNX
    :return: function that decides with ONNX Runtime on one thread; None if it is not installed
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  writes the file
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.onnx"
        write_onnx(policy, path)
        session = onnxruntime.InferenceSession(path, options)
    return lambda obs: session.run(None, {"observation": obs})[0].argmax(axis=1)


def bench_decision(agent: SafeAgent, decisions: int) -> dict[str, tuple[float, float]]:
    """
    Drive validation tracks with the contestants in turn, and time their decisions.

    Each decision is timed after a step of the environment, which empties the processor's caches as in real
    driving, and then ten times in a row.

    :param agent: exported agent; it uses torch's current number of threads
    :param decisions: decisions of each contestant, at least 1
    :return: name -> median CPU milliseconds per decision: after a step, in a row
    """
    policy = agent.load_model()
    contestants = {"torch": _in_torch(policy)}
    onnx_runtime = _in_onnx_runtime(policy)
    if onnx_runtime is not None:
        contestants["ONNX Runtime"] = onnx_runtime
    after_a_step: dict[str, list[float]] = {name: [] for name in contestants}
    in_a_row: dict[str, list[float]] = {name: [] for name in contestants}
    with closing(make_env(agent, stock=False)) as env:
        env.seed(VALIDATION_SEEDS.start)
        obs = np.asarray(env.reset())
        for _ in range(decisions):
            for name, decide in contestants.items():
                began = time.process_time()
                action = decide(obs)
                decided = time.process_time()
                for _ in range(REPEATS):
                    decide(obs)
                in_a_row[name].append((time.process_time() - decided) / REPEATS)
                after_a_step[name].append(decided - began)
                obs = np.asarray(env.step(action)[0])
    return {
        name: (1e3 * float(np.median(after_a_step[name])), 1e3 * float(np.median(in_a_row[name])))
        for name in contestants
    }


def main(argv: list[str]) -> None:
    """
    :param argv: arguments after ``bench decision``
    """
    parser = Parser(
        prog="sb3-cardqn bench decision",
        description="Measure the CPU time to choose an action, on one thread, in torch and, if it is "
        "installed, in ONNX Runtime.",
    )
    parser.add_argument(
        "agent",
        nargs="?",
        default="cardqn",
        help="exported file or name of a shipped agent (default: cardqn)",
    )
    parser.add_argument("--decisions", type=positive, default=500, help="decisions of each (default: 500)")
    args = parser.parse_args(argv)
    (agent,) = find_agents(args.agent)
    if not isinstance(agent, SafeAgent):
        parser.error(f"agent needs to be an exported one (see sb3-cardqn export), got '{args.agent}'")
    print(f"{'':16}{'after a step':>14}{'in a row':>12}  ms")
    for name, (cold, warm) in bench_decision(agent, args.decisions).items():
        print(f"{name:16}{cold:14.2f}{warm:12.2f}")
