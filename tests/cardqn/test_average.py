from pathlib import Path

import numpy as np
import pytest
import torch as th
from torch import nn

from sb3_cardqn import CarDQN
from tests.cardqn.small import SMALL
from tests.devices import DEVICES


def test_the_average_takes_a_counter_as_it_is() -> None:
    class Counts(nn.Identity):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("batches", th.tensor(0))

    model = CarDQN(
        "MlpPolicy", "CartPole-v1", **SMALL | {"policy_kwargs": {"activation_fn": Counts, "average_fraction": 0.5}}
    )  # fmt: skip
    assert model.policy.q_net_average is not None
    for batches in (1, 4, 8):
        for buffer in model.q_net.buffers():
            buffer.fill_(batches)
        model.policy.q_net_average.update_parameters(model.q_net)
        assert [int(buffer) for buffer in model.policy.q_net_average.module.buffers()] == [batches] * 2


@pytest.mark.parametrize("device", DEVICES)
def test_the_average_drives_and_the_newest_learns_and_explores(device: str, tmp_path: Path) -> None:
    policy_kwargs = {"net_arch": [], "average_fraction": 0.5}
    model = CarDQN("MlpPolicy", "CartPole-v1", device=device, **SMALL | {"policy_kwargs": policy_kwargs})
    average, bias = model.policy.q_net_average, model.q_net.q_net[-1].bias
    for value in (1.0, 4.0, 6.0):  # the first is copied, then 1 / 1.5 and 1 / 2 of the way: 3, 4.5
        with th.no_grad():
            bias.copy_(th.tensor([value, 5.0]))
        average.update_parameters(model.q_net)
        model.q_net.q_net[-1].weight.data.zero_()
    assert average.module.q_net[-1].bias.tolist() == pytest.approx([4.5, 5.0])
    average.module.q_net[-1].weight.data.zero_()
    model.exploration_rate = 0.0
    obs = np.zeros((5, 4), np.float32)
    assert model.predict(obs, deterministic=True)[0].tolist() == [1] * 5
    assert model.predict(obs)[0].tolist() == [0] * 5

    model.learn(60)
    assert int(average.n_averaged) == 3 + model._n_updates
    model.save(tmp_path / "agent.zip")
    loaded = CarDQN.load(tmp_path / "agent.zip", device=device)
    for name, weight in average.state_dict().items():
        assert th.equal(loaded.policy.q_net_average.state_dict()[name], weight), name
