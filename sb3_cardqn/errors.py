"""Exceptions for user-facing errors, and the offer of the nearest name."""

import difflib
import signal

_LONG = 40  # a list of more names is not shown in full


class UserError(ValueError):
    """A mistake of the user: the command line prints its text and exits with status 2."""


class NotFiniteError(ArithmeticError, ValueError):
    """
    NaN or infinity during training. It is a ValueError, because ``-optimize`` prunes trials that raise one.

    :param place: name of the quantity that is not finite
    :param agent_steps: agent step at which it was found
    """

    def __init__(self, place: str, agent_steps: int) -> None:
        super().__init__(f"{place} is NaN or infinite at agent step {agent_steps}")
        self.place, self.agent_steps = place, agent_steps

    def __reduce__(self) -> tuple[type["NotFiniteError"], tuple[str, int]]:
        return type(self), (self.place, self.agent_steps)


class WorkerDiedError(RuntimeError):
    """
    A process with environments ended on its own, or was killed.

    :param envs: indices of its environments
    :param exit_code: exit code of the process; a negative one is the signal that killed it
    """

    def __init__(self, envs: list[int], exit_code: int | None) -> None:
        names = {-number.value: f", {number.name}" for number in signal.Signals}
        super().__init__(
            f"the process of environments {', '.join(map(str, envs))} died with exit code "
            f"{exit_code}{names.get(exit_code or 0, '')}"
        )
        self.envs, self.exit_code = envs, exit_code

    def __reduce__(self) -> tuple[type["WorkerDiedError"], tuple[list[int], int | None]]:
        return type(self), (self.envs, self.exit_code)


def nearest(name: str, known: list[str]) -> str:
    """
    :param name: unknown name
    :param known: known names
    :return: the nearest name, for the end of an error; "" if none is near
    """
    found = difflib.get_close_matches(name, known, n=1)
    return f", did you mean '{found[0]}'?" if found else ""


def did_you_mean(name: str, known: list[str]) -> str:
    """
    Offer the nearest name, for the end of an error.

    >>> did_you_mean("cardqm", ["cardqn", "dqn"])
    ", did you mean 'cardqn'?"

    :param name: unknown name
    :param known: known names
    :return: the nearest name; if none is near, all names, or the five nearest of a long list
    """
    offer = nearest(name, known)
    if offer:
        return offer
    if len(known) > _LONG:
        return f"; nearest names: {', '.join(difflib.get_close_matches(name, known, n=5, cutoff=0))}"
    return f"; known names: {', '.join(sorted(known))}"
