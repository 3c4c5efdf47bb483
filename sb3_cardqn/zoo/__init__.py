"""rl-zoo3 with cardqn; importing this package registers the algorithm with the zoo."""

from sb3_cardqn.zoo.registry import register

register()
