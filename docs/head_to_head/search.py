"""
Eight settings of each contestant of the next head-to-head: python search.py > search.yml.

The first is the one of hyperparams (for PPO, the zoo's for Atari), seven are drawn at random.
"""

from typing import Any

import numpy as np
import yaml

from sb3_cardqn.yaml_files import read_yaml
from sb3_cardqn.zoo.configuration import own_file

BUDGET = 150_000  # agent steps
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
    for algo in ("cardqn", "dqn", "qrdqn", "ppo"):
        for trial in range(TRIALS):
            drawn = {name: values[rng.integers(len(values))] for name, values in CHOICES[algo].items()}
            settings = {"algo": algo, **first(algo), **(drawn if trial else {})}
            named[f"{algo} {trial}"] = settings
    return named


if __name__ == "__main__":
    print("# sb3-cardqn compare --plan docs/head_to_head/search.yml --output search   # made by search.py")
    plan: dict[str, Any] = {"contestants": trials(), "seeds": [SEED], "n_timesteps": BUDGET}
    plan |= {"n_evaluations": 8, "eval_episodes": 10, "tracks": 1, "fast": True}
    print(yaml.safe_dump(plan, sort_keys=False, width=150), end="")
