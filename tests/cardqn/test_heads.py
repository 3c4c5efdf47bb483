from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch as th
from scipy.special import log_softmax
from scipy.stats import norm

from sb3_cardqn import CarDQN, DuelingHead, HistogramHead, QuantileHead
from sb3_cardqn.cardqn.td import td_of
from tests.cardqn.small import SMALL


def test_dueling_head_by_hand() -> None:
    head = DuelingHead(1, 3)
    with th.no_grad():
        head.value.weight.fill_(0.0)
        head.value.bias.fill_(5.0)
        head.advantage.weight.fill_(0.0)
        head.advantage.bias.copy_(th.tensor([1.0, 2.0, 6.0]))
    assert head(th.ones(1, 1)).tolist() == [[3.0, 4.0, 8.0]]  # 5 + a - 3


def test_double_q_of_quantiles_uses_the_online_choice() -> None:
    head = partial(QuantileHead, n_quantiles=2)
    targets = []
    for double_q in (False, True):
        model = CarDQN(
            "MlpPolicy",
            "CartPole-v1",
            double_q=double_q,
            **SMALL | {"policy_kwargs": {"net_arch": [], "head_class": head}},
        )
        for net, bias in ((model.q_net, [0.0, 9.0, 0.0, 9.0]), (model.q_net_target, [6.0, 3.0, 8.0, 5.0])):
            for parameter in net.parameters():
                parameter.data.zero_()
            net.q_net[-1].bias.data.copy_(th.tensor(bias))  # (quantile, action)
        obs = th.zeros(1, 4)
        batch = SimpleNamespace(
            observations=obs, next_observations=obs, actions=th.zeros(1, 1), rewards=th.ones(1, 1)
        )
        for alpha in (0.0, 0.5):
            td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, th.tensor([0.5]), double_q, alpha)
            targets.append((td.error + td.q_value).item())
    # 1 + 0.5 * mean(6, 8) with the target's own choice; 1 + 0.5 * mean(3, 5) with the online network's;
    # advantage learning takes 0.5 * (9 - 0) off, what the online network thinks the action lacks
    assert targets == [4.5, 0.0, 3.0, -1.5]


@pytest.mark.parametrize(("double_q", "alpha"), [(False, 0.0), (True, 0.0), (False, 0.5)])
def test_histograms_are_moved_to_the_target_of_their_means(double_q: bool, alpha: float) -> None:
    head = partial(HistogramHead, low=-10, high=10, n_bins=40)
    kwargs = {"policy_kwargs": {"net_arch": [], "head_class": head}}
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL | kwargs)
    for seed, net in enumerate((model.q_net, model.q_net_target)):
        net.q_net[-1].weight.data.normal_(generator=th.Generator().manual_seed(seed))
    generator = th.Generator().manual_seed(2)
    batch = SimpleNamespace(
        observations=th.randn(64, 4, generator=generator),
        next_observations=th.randn(64, 4, generator=generator),
        actions=th.randint(2, (64, 1), generator=generator),
        rewards=th.randn(64, 1, generator=generator),
    )
    td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, th.full((64,), 0.5), double_q, alpha)
    with th.no_grad():
        q_t_online, q_t = model.q_net(batch.next_observations), model.q_net_target(batch.next_observations)
        q_tm1 = model.q_net(batch.observations)
    assert (q_t_online.argmax(dim=1) != q_t.argmax(dim=1)).any()
    for i, action in enumerate(batch.actions.flatten().tolist()):
        best = (q_t_online if double_q else q_t)[i].argmax()
        target = batch.rewards[i, 0] + 0.5 * q_t[i, best] - alpha * (q_tm1[i].max() - q_tm1[i, action])
        assert float(td.q_value[i]) == pytest.approx(float(q_tm1[i, action]), abs=1e-5)
        assert float(td.error[i]) == pytest.approx(float(target - q_tm1[i, action]), abs=1e-5)


def test_a_histogram_is_a_gaussian_of_three_quarters_of_a_bin() -> None:
    head = partial(HistogramHead, low=-10, high=10, n_bins=10)  # bins of 2
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", **SMALL | {"policy_kwargs": {"net_arch": [], "head_class": head}}
    )
    batch = SimpleNamespace(
        observations=th.zeros(1, 4), next_observations=th.zeros(1, 4), actions=th.tensor([[1]]),
        rewards=th.tensor([[3.3]]),
    )  # fmt: skip
    td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, th.zeros(1), False, 0.0)
    cdf = norm.cdf(np.linspace(-10, 10, 11), loc=3.3, scale=1.5)
    target = np.diff(cdf) / (cdf[-1] - cdf[0])
    logits = model.q_net.q_net[-1].bias.detach().double().numpy()[10:]
    assert float(td.loss[0].detach()) == pytest.approx(-(target * log_softmax(logits)).sum(), abs=1e-5)


def test_a_histogram_head_begins_near_zero() -> None:
    q_values = HistogramHead(256, 12)(th.rand(50, 256, generator=th.Generator().manual_seed(0)))
    assert q_values.shape == (50, 12)
    assert q_values.abs().max() < 3
