"""Targets and losses of DQN: pure functions of tensors, in the papers' symbols, one equation per line."""

import torch as th
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)


def q_learning_target(r_t: th.Tensor, discount_t: th.Tensor, q_t: th.Tensor) -> th.Tensor:
    """
    Q-learning target from the Bellman optimality equation, Mnih et al. 2015, algorithm 1.

    :param r_t: (batch,) reward, already summed over n steps
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated (a time limit does not)
    :param q_t: (batch, actions) target network at the next observation
    :return: (batch,) r + discount · max_a q_t(a)
    """
    return r_t + discount_t * q_t.max(dim=1).values


def double_q_target(
    r_t: th.Tensor, discount_t: th.Tensor, q_t_online: th.Tensor, q_t_target: th.Tensor
) -> th.Tensor:
    """
    Double DQN target, van Hasselt et al. 2016: eq. 4 with the target network's weights for θ′.

    :param r_t: (batch,) reward, already summed over n steps
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated (a time limit does not)
    :param q_t_online: (batch, actions) online network at the next observation; chooses the action
    :param q_t_target: (batch, actions) target network at the next observation; values the action
    :return: (batch,) r + discount · q_t_target(argmax_a q_t_online(a))
    """
    a_t = q_t_online.argmax(dim=1, keepdim=True)  # (batch, 1)
    return r_t + discount_t * q_t_target.gather(1, a_t).squeeze(1)


def advantage_learning_target(
    target_tm1: th.Tensor, q_tm1: th.Tensor, a_tm1: th.Tensor, alpha: float
) -> th.Tensor:
    """
    Advantage learning, Bellemare et al. 2016: at the fixed point (of a table) the gap between the best action
    and the others grows by the factor 1 / (1 − alpha), and the value of the best action stays the same.

    :param target_tm1: (batch,) bootstrap target, or (batch, quantiles)
    :param q_tm1: (batch, actions) network at the observation
    :param a_tm1: (batch,) int64 action taken there
    :param alpha: strength, in [0, 1)
    :return: target − alpha · (max_a q_tm1(a) − q_tm1(a_tm1)), in the shape of ``target_tm1``
    """
    gap = q_tm1.max(dim=1).values - q_tm1.gather(1, a_tm1.unsqueeze(1)).squeeze(1)  # (batch,)
    return target_tm1 - alpha * gap.view(-1, *[1] * (target_tm1.dim() - 1))


def td_error(q_tm1: th.Tensor, a_tm1: th.Tensor, target_tm1: th.Tensor) -> th.Tensor:
    """
    TD error of the network at the action that was taken. No gradient flows into the target.

    :param q_tm1: (batch, actions) online network at the observation
    :param a_tm1: (batch,) int64 action taken there
    :param target_tm1: (batch,) bootstrap target
    :return: (batch,) target − q_tm1(a_tm1)
    """
    return target_tm1.detach() - q_tm1.gather(1, a_tm1.unsqueeze(1)).squeeze(1)


def huber(x: th.Tensor) -> th.Tensor:
    """
    Huber loss with threshold 1, the "clipped error" of Mnih et al. 2015.

    :param x: errors, any shape
    :return: x²/2 where abs(x) < 1, else abs(x) − 1/2; same shape
    """
    return F.huber_loss(x, th.zeros_like(x), reduction="none")


def quantile_target(r_t: th.Tensor, discount_t: th.Tensor, z_t: th.Tensor, a_t: th.Tensor) -> th.Tensor:
    """
    Distributional Bellman target, Dabney et al. 2018, algorithm 1.

    :param r_t: (batch,) reward, already summed over n steps
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated (a time limit does not)
    :param z_t: (batch, quantiles, actions) target network at the next observation
    :param a_t: (batch,) int64 action chosen there
    :return: (batch, quantiles) r + discount · z_t(a_t)
    """
    return r_t[:, None] + discount_t[:, None] * z_t[th.arange(len(a_t), device=a_t.device), :, a_t]


def quantile_huber(z_tm1: th.Tensor, target_tm1: th.Tensor) -> th.Tensor:
    """
    Quantile Huber loss, Dabney et al. 2018, eq. 10. No gradient flows into the target.

    :param z_tm1: (batch, quantiles) quantiles of the action taken, at τ_i = (i + 1/2) / quantiles
    :param target_tm1: (batch, quantiles) samples of the target
    :return: (batch,) Σ_i mean_j abs(τ_i − [u_ji < 0]) · huber(u_ji), u_ji = target_j − z_i
    """
    u = target_tm1.detach()[:, :, None] - z_tm1[:, None, :]  # (batch, j, i)
    tau = (th.arange(z_tm1.shape[1], device=u.device) + 0.5) / z_tm1.shape[1]  # (i,)
    return ((tau - (u.detach() < 0).float()).abs() * huber(u)).mean(dim=1).sum(dim=1)


def gaussian_histogram(x: th.Tensor, edges: th.Tensor, sigma: float) -> th.Tensor:
    """
    Histogram of a Gaussian around a value: HL-Gauss, Imani and White 2018, as in Farebrother et al. 2024,
    section 3.1.

    :param x: (batch,) values, clipped to the first and the last edge
    :param edges: (bins + 1,) edges of the bins, ascending
    :param sigma: standard deviation, in the unit of ``x``
    :return: (batch, bins) Φ((edge_i+1 − x) / σ) − Φ((edge_i − x) / σ), divided by their sum
    """
    x = x.clamp(edges[0], edges[-1])
    cdf = th.special.ndtr((edges - x[:, None]) / sigma)  # (batch, bins + 1)
    return cdf.diff(dim=1) / (cdf[:, -1:] - cdf[:, :1])


def cross_entropy(logits_tm1: th.Tensor, p_target: th.Tensor) -> th.Tensor:
    """
    Cross-entropy of two histograms. No gradient flows into the target.

    :param logits_tm1: (batch, bins) logits of the action that was taken
    :param p_target: (batch, bins) probabilities
    :return: (batch,) −Σ_i p_target_i · log softmax(logits_tm1)_i
    """
    return -(p_target.detach() * logits_tm1.log_softmax(dim=1)).sum(dim=1)
