"""Tells what an exported agent can do, in the format of the Hugging Face hub."""

from huggingface_hub import EvalResult, ModelCardData
from rl_zoo3 import ALGOS

from sb3_cardqn.agents.exported import SafeAgent
from sb3_cardqn.evaluate import Evaluation


def model_card(evaluation: Evaluation, command: str) -> str:
    """
    Write a model card: metadata for the hub, then results, use, training and limits for people.

    :param evaluation: of an exported agent, on tracks it never saw
    :param command: that repeats the evaluation
    :return: text of a README.md
    """
    agent = evaluation.agent
    assert isinstance(agent, SafeAgent)
    name, env_id = ALGOS[agent.algo].__name__, agent.env_id
    summary = evaluation.summary()
    result = EvalResult(
        task_type="reinforcement-learning",
        task_name="reinforcement-learning",
        dataset_type=env_id,
        dataset_name=env_id,
        metric_type="mean_reward",
        metric_name="mean_reward",
        metric_value=f"{summary['mean']:.2f} +/- {summary['std']:.2f}",
    )
    metadata = ModelCardData(
        library_name="stable-baselines3",
        tags=[
            env_id,
            "deep-reinforcement-learning",
            "reinforcement-learning",
            "stable-baselines3",
            "sb3-cardqn",
        ],
        model_name=name,
        eval_results=[result],
    )
    tracks = evaluation.drives["track"]
    worst = evaluation.drives.loc[evaluation.drives["score"].idxmin()]
    unfinished = int((~evaluation.drives["lap_finished"]).sum())
    facts = "\n".join(
        f"| {fact} | {value} |" for fact, value in agent.about["training"].items() if fact != "command"
    )
    return f"""---
{metadata.to_yaml()}
---

# {name} on {env_id}

Drives Gymnasium's `{env_id}` greedily, from {_sight(agent)}, with {agent.about["actions"]} actions.
Made with [Stable-Baselines3](https://github.com/DLR-RM/stable-baselines3) and sb3-cardqn.

## Results

| over {len(tracks)} tracks it never saw, {tracks.min()} to {tracks.max()} | |
|---|---|
| mean score | {summary["mean"]:.1f} |
| its 95 % interval | {summary["low"]:.1f} to {summary["high"]:.1f} |
| standard deviation over tracks | {summary["std"]:.1f} |
| median, minimum | {summary["median"]:.1f}, {summary["minimum"]:.1f} |
| tracks of 900 or more | {summary["share_900"]:.0%} |
| laps finished | {summary["share_laps"]:.0%} |
| CPU time of a decision, one thread | {1000 * summary["seconds_per_decision"]:.2f} ms |

    {command}

## Use

`{agent.model_path.name}` holds weights and JSON, and runs no code when it is loaded:

```python
from sb3_cardqn import load_policy

policy = load_policy("{agent.model_path.name}")
action, _ = policy.predict(obs)  # preprocessed as "env" in its header says
```

    sb3-cardqn enjoy {agent.model_path.name}

## Training

    {agent.about["training"].get("command", "(not recorded)")}

| | |
|---|---|
{facts}

## Limits

- It knows the tracks that `{env_id}` makes, seen through its own preprocessing, and nothing of real roads.
- {_colours(agent)}
- Worst track: {worst["track"]}, score {worst["score"]:.1f}. Laps not finished: {unfinished} of {len(tracks)}.
"""


def _sight(agent: SafeAgent) -> str:
    space = agent.about["observation_space"]
    return f"{space['dtype']} observations of shape {tuple(space['shape'])}"


def _colours(agent: SafeAgent) -> str:
    if agent.about["env"]["kwargs"].get("domain_randomize"):
        return "It was trained with a new set of colours on each track (`domain_randomize=True`)."
    return "It always saw the same colours: how it drives among others (`domain_randomize=True`) is open."
