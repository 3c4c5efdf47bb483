from types import SimpleNamespace

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from sb3_cardqn import CarDQN, CarRacingCNN, DuelingHead, HistogramHead, QuantileHead
from sb3_cardqn.cardqn.heads import Head
from sb3_cardqn.cardqn.policies import CnnPolicy
from sb3_cardqn.cardqn.td import td_of
from tests.cardqn.small import IMAGES, Catch, SmallHistogram, flat, pictures
from tests.devices import DEVICES


def test_the_gradient_of_pictures_is_the_plain_formulas() -> None:
    kwargs = {"features_extractor_class": CarRacingCNN, "head_class": SmallHistogram}
    network = CarDQN("CnnPolicy", Catch(), policy_kwargs=kwargs, **IMAGES).q_net
    layers = network.features_extractor
    network(pictures(64)).square().sum().backward()
    gradients = [weight.grad for weight in network.parameters()]
    network.zero_grad()
    head = network.q_net[-1]
    histogram = head.logits(layers.linear(layers.cnn(pictures(64) / 255))).softmax(dim=2)
    (histogram @ head.centers).square().sum().backward()
    for gradient, weight in zip(gradients, network.parameters(), strict=True):
        assert weight.grad.abs().max() > 0
        assert th.allclose(gradient, weight.grad, rtol=1e-3, atol=1e-4 * float(weight.grad.abs().max()))


@pytest.mark.parametrize("channels", [1, 2, 4, 130])
def test_learning_sees_every_channel_where_it_is(channels: int) -> None:
    space = spaces.Box(0, 255, (channels, 36, 40), np.uint8)
    policy = CnnPolicy(space, spaces.Discrete(2), lambda _: 0.0, features_extractor_class=CarRacingCNN)
    rng = np.random.default_rng(0)
    batch = th.as_tensor(rng.integers(0, 256, (3, *space.shape), dtype=np.uint8))
    with th.no_grad():
        acting = policy.q_net(batch)
    assert th.allclose(policy.q_net(batch), acting, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the tracer, which will go
def test_a_traced_network_sees_what_it_is_given() -> None:
    network = CarDQN("CnnPolicy", Catch(), **IMAGES).q_net
    traced = th.jit.trace(network, pictures(1), check_trace=False)
    assert th.allclose(traced(pictures(6)), network(pictures(6)), atol=1e-5)


def test_pictures_are_seen_as_sb3_shows_them() -> None:
    policy = CarDQN("CnnPolicy", Catch(), **IMAGES).policy
    batch = pictures(6).numpy()
    for given in (batch, batch[0], batch[::2], np.moveaxis(batch, 1, -1), np.moveaxis(batch[0], 0, -1)):
        ours, theirs = policy.obs_to_tensor(given), BasePolicy.obs_to_tensor(policy, given)
        assert th.equal(ours[0], theirs[0])
        assert ours[1] is theirs[1]
    with pytest.raises(ValueError, match="shape"):
        policy.obs_to_tensor(batch[:, :, :7])


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_is_close_and_its_q_values_are_float32(device: str) -> None:
    kwargs = {"policy_kwargs": {"features_extractor_class": CarRacingCNN}, "device": device}
    model = CarDQN("CnnPolicy", Catch(), **IMAGES | kwargs)
    seen = pictures(64).to(device)
    with th.no_grad():
        model.q_net.q_net[-1].bias.fill_(100.0)  # where bfloat16 has steps of 0.5
        exact = model.q_net(seen)
        with th.autocast(device, th.bfloat16):
            mixed = model.q_net(seen)
    assert mixed.dtype == th.float32
    assert not th.equal(mixed, exact)
    assert (mixed - exact).abs().max() < 0.01
    assert th.equal(model.q_net(seen), exact)  # and without autocast nothing has changed


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("head", [nn.Linear, DuelingHead, QuantileHead, HistogramHead])
def test_mixed_precision_computes_targets_and_errors_in_float32(head: Head, device: str) -> None:
    kwargs = {"features_extractor_class": CarRacingCNN, "head_class": head}
    model = CarDQN("CnnPolicy", Catch(), **IMAGES | {"policy_kwargs": kwargs, "device": device})
    seen = pictures(64).to(device)
    zeros = th.zeros(64, 1, device=device)
    batch = SimpleNamespace(observations=seen, next_observations=seen, actions=zeros, rewards=zeros)
    with th.no_grad():
        for weight in model.policy.parameters():
            weight.mul_(1.5)
        with th.autocast(device, th.bfloat16):
            q_values = model.q_net(seen)
            td = td_of(model.q_net)(model.q_net, model.q_net_target, batch, zeros[:, 0], False, 0.7)
    assert th.allclose(td.q_value, q_values[:, 0], rtol=1e-5, atol=1e-5)
    expected = -0.7 * (q_values.max(dim=1).values - q_values[:, 0]) - q_values[:, 0]
    assert th.allclose(td.error, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("normalize_images", [True, False])
def test_mixed_precision_treats_pixels_as_float32_does(
    normalize_images: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mean(FlattenExtractor):
        def forward(self, observations: th.Tensor) -> th.Tensor:
            return super().forward(observations)[:, :3]

    kwargs = {"features_extractor_class": Mean, "normalize_images": normalize_images, "net_arch": []}
    model = CarDQN("MlpPolicy", Catch(), **IMAGES | {"policy_kwargs": kwargs, "device": device})
    monkeypatch.setattr(model.q_net, "q_net", nn.Sequential(nn.Identity()))  # the features themselves
    with th.autocast(device, th.bfloat16):
        features = model.q_net(pictures(64).to(device)).cpu()
    expected = pictures(64).flatten(1)[:, :3] / (255 if normalize_images else 1)
    assert th.allclose(features, expected, rtol=2**-8, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_learns_only_where_it_was_asked_for_and_the_device_has_it(
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trained(asked: bool, has: bool) -> tuple[np.ndarray, list[bool]]:
        monkeypatch.setattr("sb3_cardqn.cardqn.cardqn.has_bfloat16", lambda device: has)
        seen = []

        class Spy(CarRacingCNN):
            def forward(self, observations: th.Tensor) -> th.Tensor:
                seen.append(th.is_autocast_enabled(device))
                return super().forward(observations)

        kwargs = {"policy_kwargs": {"features_extractor_class": Spy}, "device": device}
        model = CarDQN("CnnPolicy", Catch(), mixed_precision=asked, **IMAGES | kwargs)
        model.learn(60)
        return flat(model), seen

    exact, seen = trained(asked=False, has=True)
    assert not any(seen)
    same, seen = trained(asked=True, has=False)
    assert not any(seen)
    assert np.array_equal(exact, same)
    mixed, seen = trained(asked=True, has=True)
    assert any(seen)
    assert not all(seen)  # it acts in float32
    assert mixed.dtype == np.float32
    assert not np.array_equal(exact, mixed)
    assert np.allclose(exact, mixed, atol=2e-3)
