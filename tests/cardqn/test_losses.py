import pytest
import torch as th
from sb3_contrib.common.utils import quantile_huber_loss
from torch.nn import functional as F  # noqa: N812

from sb3_cardqn.cardqn.losses import (
    advantage_learning_target,
    cross_entropy,
    double_q_target,
    gaussian_histogram,
    huber,
    q_learning_target,
    quantile_huber,
    quantile_target,
    td_error,
)


def test_q_learning_target_takes_the_best_next_action() -> None:
    # 1 + 0.5 · max(7, 4) = 4.5; the second transition crashed, so only its reward counts
    target = q_learning_target(
        r_t=th.tensor([1.0, -100.0]),
        discount_t=th.tensor([0.5, 0.0]),
        q_t=th.tensor([[7.0, 4.0], [50.0, 60.0]]),
    )
    assert target.tolist() == [4.5, -100.0]


def test_double_q_target_selects_online_evaluates_target() -> None:
    # online prefers action 1, the target net values it at 4: 1 + 0.5 * 4 = 3
    target = double_q_target(
        r_t=th.tensor([1.0]),
        discount_t=th.tensor([0.5]),
        q_t_online=th.tensor([[0.0, 9.0]]),
        q_t_target=th.tensor([[7.0, 4.0]]),
    )
    assert target.tolist() == [3.0]


def test_advantage_learning_takes_off_a_part_of_what_the_action_lacks() -> None:
    q_tm1, a_tm1 = th.tensor([[3.0, 7.0], [3.0, 7.0]]), th.tensor([0, 1])
    # 10 - 0.5 * (7 - 3) = 8; the best action lacks nothing
    assert advantage_learning_target(th.tensor([10.0, 10.0]), q_tm1, a_tm1, 0.5).tolist() == [8, 10]
    quantiles = th.tensor([[9.0, 11.0], [9.0, 11.0]])
    assert advantage_learning_target(quantiles, q_tm1, a_tm1, 0.5).tolist() == [[7, 9], [9, 11]]


def test_td_error_looks_at_the_action_taken_and_moves_only_the_prediction() -> None:
    q_tm1 = th.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    target = th.tensor([5.0, 5.0], requires_grad=True)
    error = td_error(q_tm1, th.tensor([1, 0]), target)
    assert error.tolist() == [3.0, 2.0]
    error.sum().backward()
    assert q_tm1.grad is not None
    assert q_tm1.grad.tolist() == [[0.0, -1.0], [-1.0, 0.0]]
    assert target.grad is None


@pytest.mark.parametrize(
    ("error", "loss", "slope"), [(0.5, 0.125, 0.5), (-0.5, 0.125, -0.5), (3.0, 2.5, 1.0), (-3.0, 2.5, -1.0)]
)
def test_huber_is_a_parabola_inside_one_and_a_line_outside(error: float, loss: float, slope: float) -> None:
    x = th.tensor([error], requires_grad=True)
    y = huber(x)
    assert y.tolist() == [loss]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [slope]


def test_quantile_target_moves_the_quantiles_of_the_chosen_action() -> None:
    z_t = th.tensor([[[1.0, 10.0], [2.0, 20.0]], [[3.0, 30.0], [4.0, 40.0]]])  # (batch, quantiles, actions)
    target = quantile_target(th.tensor([1.0, 2.0]), th.tensor([0.5, 0.0]), z_t, th.tensor([1, 0]))
    assert target.tolist() == [[6.0, 11.0], [2.0, 2.0]]


def test_quantile_huber_weighs_errors_by_the_quantiles_side() -> None:
    # tau = 1/4, 3/4; errors of z_0 = 0: 0.5 and 3 (above: weight 1/4), of z_1 = 1: -0.5 (below: 1/4), 2 (3/4)
    z = th.tensor([[0.0, 1.0]], requires_grad=True)
    target = th.tensor([[0.5, 3.0]], requires_grad=True)
    loss = quantile_huber(z, target)
    assert loss.tolist() == [(0.25 * 0.125 + 0.25 * 2.5) / 2 + (0.25 * 0.125 + 0.75 * 1.5) / 2]
    loss.sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[-(0.25 * 0.5 + 0.25) / 2, (0.25 * 0.5 - 0.75) / 2]]
    assert target.grad is None


def test_quantile_huber_is_that_of_sb3_contrib() -> None:
    generator = th.Generator().manual_seed(0)
    z, target = (3 * th.randn(16, 7, generator=generator) for _ in range(2))
    assert th.allclose(quantile_huber(z, target).mean(), quantile_huber_loss(z, target))


def test_gaussian_histogram_is_what_the_bell_has_in_each_bin() -> None:
    # of the bell around 0 34.13 % lie in (-1, 0) and 49.87 % in (0, 3); 99 is taken for 3
    histogram = gaussian_histogram(th.tensor([0.0, 3.0, 99.0]), th.tensor([-1.0, 0.0, 3.0]), sigma=1.0)
    assert histogram[0].tolist() == pytest.approx([0.3413 / 0.84, 0.4987 / 0.84], abs=1e-4)
    assert histogram[1].tolist() == histogram[2].tolist() == pytest.approx([0.0026, 0.9974], abs=1e-4)


def test_the_mean_of_a_gaussian_histogram_is_the_value() -> None:
    x = th.linspace(-17, 7, 50)
    histogram = gaussian_histogram(x, th.linspace(-20, 10, 31), sigma=0.75)
    assert th.allclose(histogram.sum(dim=1), th.ones(50))
    assert th.allclose(histogram @ th.arange(-19.5, 10), x, atol=1e-3)


def test_cross_entropy_is_torchs_and_moves_only_the_prediction() -> None:
    generator = th.Generator().manual_seed(0)
    logits = th.randn(16, 7, generator=generator, requires_grad=True)
    target = th.randn(16, 7, generator=generator).softmax(dim=1).requires_grad_()
    loss = cross_entropy(logits, target)
    assert th.allclose(loss, F.cross_entropy(logits, target, reduction="none"))
    loss.sum().backward()
    assert target.grad is None
    assert logits.grad is not None
    assert th.allclose(logits.grad, (logits.softmax(dim=1) - target).detach(), atol=1e-6)


def test_the_best_histogram_counts_a_rare_loss_in_full() -> None:
    # 99 times 0, once -28: the mean is -0.28, of which quantile Huber loss shows 0.05 (docs/explanation/recipe.md)
    edges = th.linspace(-60, 30, 91)
    targets = gaussian_histogram(th.tensor([0.0] * 99 + [-28.0]), edges, sigma=0.75)
    logits = targets.mean(dim=0).log().expand(100, -1).clone().requires_grad_()
    cross_entropy(logits, targets).mean().backward()
    assert logits.grad is not None
    assert logits.grad.sum(dim=0).abs().max() < 1e-6  # no other histogram fits them better
    assert float(logits[0].detach().softmax(dim=0) @ ((edges[1:] + edges[:-1]) / 2)) == pytest.approx(
        -0.28, abs=1e-3
    )
