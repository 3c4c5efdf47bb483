import pandas as pd
import pytest
from huggingface_hub import ModelCard

from sb3_cardqn import CarDQN
from sb3_cardqn.agents.exported import SafeAgent
from sb3_cardqn.evaluate import Evaluation
from sb3_cardqn.publish.export import export
from sb3_cardqn.publish.model_card import model_card
from tests.evaluate.test_evaluate import save

ENV = "MountainCar-v0"  # its threshold is -110; without it, the scores decide


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> SafeAgent:
    folder = tmp_path_factory.mktemp("logs")
    model = CarDQN("MlpPolicy", ENV, buffer_size=10, policy_kwargs={"net_arch": [8]})
    return SafeAgent(export(save(folder, "cardqn", model, env=ENV, buffer_size=10).folder))


def card(agent: SafeAgent, scores: list[float]) -> ModelCard:
    drives = pd.DataFrame({"track": range(200_000, 200_000 + len(scores)), "score": scores, "frames": 200})
    return ModelCard(model_card(Evaluation(agent, drives, 0.0005), "sb3-cardqn evaluate policy.safetensors"))


def test_small_scores_keep_their_digits(agent: SafeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_cardqn.env.task.Task.solved", None)
    text = card(agent, [0.03, 0.04]).text
    assert "| mean score | 0.0350 |" in text
    assert "| 95 % interval of the mean | 0.0300 to 0.0400 |" in text
    assert "| median, minimum | 0.0350, 0.0300 |" in text
    assert "score 0.0300." in text
    (result,) = card(agent, [0.03, 0.04]).data.eval_results
    assert result.metric_value == "0.0350 +/- 0.0050"


def test_large_scores_have_one_digit(agent: SafeAgent) -> None:
    text = card(agent, [-120.0, -141.0]).text
    assert "| mean score | -130.5 |" in text
    assert "| 2 held-out episodes, 200000 to 200001 | |" in text
    assert "Laps" not in text
    assert "lap_finished" not in text


def test_one_episode_has_no_interval(agent: SafeAgent) -> None:
    text = card(agent, [-120.0]).text
    assert "| 1 held-out episode, 200000 to 200000 | |" in text
    assert "| score | -120.0 |" in text
    assert "interval" not in text
    assert "nan" not in text
