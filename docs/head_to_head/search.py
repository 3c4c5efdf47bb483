"""
Plans of a head-to-head between cardqn, dqn, qrdqn and ppo: of the search for their settings, and of its runs.

python search.py > search.yml prints eight settings of each. The first is the one of hyperparams (for PPO, the
zoo's for Atari), seven are drawn at random, with every learning rate at least once.

python search.py search/results > plan.yml takes the results of the search, and prints the head-to-head of the
settings with the largest area under the learning curve.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sb3_cardqn.compare import Results
from sb3_cardqn.compare.measures import area_scores
from sb3_cardqn.yaml_files import read_yaml
from sb3_cardqn.zoo.configuration import own_file

ALGOS = ("cardqn", "dqn", "qrdqn", "ppo")
BUDGET = 150_000  # agent steps of a trial
LONGER = 2  # a run of the head-to-head lasts two trials
TRIALS = 8  # settings of a contestant
SEED = 30_000  # of training and of the draws
CNN = "features_extractor_class=sb3_cardqn.CarRacingCNN, features_extractor_kwargs=dict(layer_norm=True)"
CHOICES: dict[str, dict[str, list[Any]]] = {
    "cardqn": {
        "learning_rate": [2.5e-4, 5e-4, 1e-3, "lin_2.5e-4", "lin_5e-4", "lin_1e-3"],
        "target_update_interval": [500, 1_000, 2_000, 4_000],
        "n_steps": [1, 3, 5],
        "exploration_steps": [20_000, 40_000],
        "advantage_learning": [0.0, 0.7],
        "replay_buffer_class": ["sb3_cardqn.FrameReplayBuffer", "sb3_cardqn.PrioritizedFrameReplayBuffer"],
    },
    "ppo": {
        "learning_rate": [1e-4, 3e-4, 1e-3, "lin_1e-4", "lin_3e-4", "lin_1e-3"],
        "n_steps": [64, 128, 256],
        "batch_size": [64, 256],
        "n_epochs": [4, 10],
        "ent_coef": [0.0, 0.01],
        "gamma": [0.97, 0.99],
    },
}
CHOICES["dqn"] = {
    **{name: CHOICES["cardqn"][name] for name in ("learning_rate", "target_update_interval")},
    "replay_buffer_kwargs": [f"dict(n_steps={steps})" for steps in CHOICES["cardqn"]["n_steps"]],
    "exploration_fraction": [25_000 / BUDGET, 45_000 / BUDGET],
    "batch_size": [64, 128],
}
CHOICES["qrdqn"] = CHOICES["dqn"] | {
    "policy_kwargs": [
        f"dict({CNN}, net_arch=[], n_quantiles={number}, optimizer_kwargs=dict(fused=True))"
        for number in (25, 50, 100)
    ]
}


def first(algo: str) -> dict[str, Any]:
    """
    :param algo: the zoo's name of an algorithm
    :return: its settings before the search, with the environment of cardqn.yml
    """
    if algo == "cardqn":
        return {}
    if algo in ("dqn", "qrdqn"):
        return {"exploration_fraction": 25_000 / BUDGET}
    recipe = read_yaml(own_file("cardqn"))["CarRacing-v3"]
    return {
        "env_wrapper": recipe["env_wrapper"],
        "n_envs": recipe["n_envs"],
        "policy_kwargs": f"dict({CNN})",
        "normalize": False,
        "frame_stack": 1,
        "use_sde": False,
        "sde_sample_freq": -1,
        "n_steps": 128,
        "n_epochs": 4,
        "batch_size": 256,
        "learning_rate": "lin_2.5e-4",
        "clip_range": "lin_0.1",
        "vf_coef": 0.5,
        "ent_coef": 0.01,
    }


def trials() -> dict[str, dict[str, Any]]:
    """
    :return: name -> settings of every trial
    """
    rng = np.random.default_rng(SEED)
    named = {}
    for algo in ALGOS:
        rates = rng.permutation(np.array(CHOICES[algo]["learning_rate"], object))
        for trial in range(TRIALS):
            drawn = {name: values[rng.integers(len(values))] for name, values in CHOICES[algo].items()}
            drawn["learning_rate"] = rates[trial % len(rates)]
            settings = {"algo": algo, **first(algo), **(drawn if trial else {})}
            named[f"{algo} {trial}"] = settings
    return named


def search() -> dict[str, Any]:
    """
    :return: plan of the search
    """
    plan = {"contestants": trials(), "seeds": [SEED], "n_timesteps": BUDGET}
    return plan | {"n_evaluations": 8, "eval_episodes": 10, "tracks": 1, "fast": True}


def head_to_head(results: Results) -> dict[str, Any]:
    """
    :param results: results of the search
    :return: plan of the head-to-head; epsilon decays over as many agent steps as in the search
    """
    areas = area_scores(results).set_index("contestant")["score"]
    contestants = {}
    for algo in ALGOS:
        own = areas.reindex([f"{algo} {trial}" for trial in range(TRIALS)])  # NaN for a trial that failed
        settings = trials()[own.idxmax()]
        if "exploration_fraction" in settings:
            settings["exploration_fraction"] /= LONGER
        contestants[algo] = settings
    plan = {"contestants": contestants, "baseline": "cardqn", "seeds": list(range(40_000, 50_000, 1_000))}
    plan |= {"n_timesteps": LONGER * BUDGET, "n_evaluations": 15, "eval_episodes": 10}
    return plan | {"tracks": 100, "first": 410_000, "fast": True}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="results of the search (default: print its plan)"
    )
    folder = parser.parse_args().folder
    if folder:
        made, file, output = head_to_head(Results.load(folder)), "plan.yml", "head_to_head"
    else:
        made, file, output = search(), "search.yml", "search"
    print(f"# sb3-cardqn compare --plan docs/head_to_head/{file} --output {output}   # made by search.py")
    print(yaml.safe_dump(made, sort_keys=False, width=150), end="")
