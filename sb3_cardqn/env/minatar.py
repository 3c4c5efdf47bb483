"""Registration of MinAtar's games, which MinAtar itself no longer does under Gymnasium 1.0."""

from importlib.util import find_spec

import gymnasium as gym

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")


def register_minatar() -> None:
    """
    Register ``MinAtar/Breakout-v1`` and the others as in MinAtar 1.0.15, if it is installed.

    MinAtar registers them by an entry point, which Gymnasium read up to 0.29. ``v0`` has all six actions,
    ``v1`` those that the game uses. Nothing is imported before an environment is made.
    """
    if find_spec("minatar") is None:
        return
    for game in GAMES:
        for version, minimal in enumerate((False, True)):
            env_id = f"MinAtar/{game.title().replace('_', '')}-v{version}"
            if env_id not in gym.registry:
                kwargs = {"game": game, "use_minimal_action_set": minimal}
                gym.register(env_id, "minatar.gym:BaseEnv", kwargs=kwargs)
