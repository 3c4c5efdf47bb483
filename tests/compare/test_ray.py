import os
import time
from pathlib import Path
from typing import Any

import pytest

from sb3_cardqn.compare import Plan, command, comparison, scheduler
from sb3_cardqn.compare.hand_over import agent_of
from sb3_cardqn.compare.run import runs_of
from sb3_cardqn.errors import UserError
from tests.named import error_naming

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

ROOT = Path(__file__).parent.parent.parent


def test_a_lost_nodes_run_goes_on_elsewhere_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sb3_cardqn.compare.ray_launcher import RayLauncher

    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setattr(comparison, "n_cores", lambda: 1)  # drives in this process
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = _nodes(cluster, 2, tmp_path, monkeypatch)
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")  # --trust: the checkpoint is another node's
    go = tmp_path / "go"
    waiting = {"tests.small_training.WaitFor": {"agent_step": 1500, "path": str(go)}}
    slow = {"algo": "dqn", "learning_starts": 0, "train_freq": 8, "gradient_steps": 1, "callback": [waiting]}
    plan = Plan.of(
        {"slow": slow},
        seeds=2,
        env="CartPole-v1",
        n_timesteps=3000,
        n_evaluations=10,
        eval_episodes=1,
        tracks=1,
    )
    runs = list(runs_of(plan, tmp_path))

    def sleep_and_kill(seconds: float) -> None:
        time.sleep(seconds)
        begun = [list(run.folder.glob("checkpoints/checkpoint-*.json")) for run in runs]
        if all(begun) and not go.exists():
            cluster.remove_node(nodes[0], allow_graceful=False)
            go.touch()

    monkeypatch.setattr(scheduler, "time", type("", (), {"sleep": staticmethod(sleep_and_kill)}))
    try:
        results = comparison.compare(plan, tmp_path, RayLauncher(cluster.address))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert go.exists()
    assert sorted(results.runs["attempts"]) == [1, 2]
    commands = [[line for line in run.log.read_text().splitlines() if line[0] == "$"] for run in runs]
    assert sorted(" resume " in lines[-1] for lines in commands) == [False, True]
    assert (results.runs["agent_steps"] >= 3000).all()
    for _, curve in results.curves.groupby("seed"):
        assert curve["agent_steps"].tolist() == list(range(300, 3300, 300))


def test_nodes_that_do_not_trust_each_others_zips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sb3_cardqn.compare.ray_launcher import RayLauncher

    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setattr(comparison, "n_cores", lambda: 1)  # drives in this process
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    _nodes(cluster, 1, tmp_path, monkeypatch)
    small = "learning_starts:10 train_freq:100"
    plan = Plan.of(
        {"ours": f"cardqn {small}", "sb3": f"dqn {small}"},
        seeds=1,
        env="CartPole-v1",
        n_timesteps=200,
        n_evaluations=2,
        eval_episodes=1,
        tracks=2,
    )
    try:
        results = comparison.compare(plan, tmp_path / "out", RayLauncher(cluster.address))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert results.drives.groupby(["contestant", "checkpoint"]).size().tolist() == [2, 2, 2, 2]
    assert (results.runs["core_hours"] > 0).all()
    assert "core-hours" in (tmp_path / "out" / "report.md").read_text()
    for run in runs_of(plan, tmp_path / "out"):
        assert agent_of(run, "final").model_path.name == "final.safetensors"
        with (run.folder / "CartPole-v1.zip").open("ab") as file:
            file.write(b"later")  # as if it was trained on: the export is out of date, and the zip is refused
        with error_naming(UserError, f"'{run.folder / 'CartPole-v1.zip'}'"):
            agent_of(run, "final").load_model()


def _nodes(cluster: Any, count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """
    :return: nodes with state folders of their own, like machines; this process gets another one
    """
    nodes = []
    for i in range(count):
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / f"node_{i}"))
        nodes.append(cluster.add_node(num_cpus=1))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "coordinator"))
    return nodes


def test_without_an_address_a_cluster_starts_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from sb3_cardqn.compare.ray_launcher import RayLauncher

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # another cluster, of which nothing was said
    try:
        assert RayLauncher().at_once >= 1
    finally:
        ray.shutdown()


def test_the_cluster_is_left_when_a_check_fails(tmp_path: Path) -> None:
    from sb3_cardqn.compare.ray_launcher import RayLauncher

    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    plan = Plan.of(["dqn"], seeds=1, env="CartPole-v1", n_timesteps=1000, baseline="ppo")
    try:
        with error_naming(UserError, "'ppo'"):
            comparison.compare(plan, tmp_path, RayLauncher(cluster.address))
        assert not ray.is_initialized()
        typed = f"dqn --env Pendulum-v1 -n 1000 --dry-run --launcher ray --address {cluster.address}"
        with error_naming(UserError, "'dqn'"):
            command.main([*typed.split(), "--output", str(tmp_path / "other")])
        assert not ray.is_initialized()
        with error_naming(UserError, "1 | 4"):
            RayLauncher(cluster.address, num_gpus=4)
        assert not ray.is_initialized()
    finally:
        ray.shutdown()
        cluster.shutdown()
