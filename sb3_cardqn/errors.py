"""What is said when the user mistypes, or when a training cannot go on."""

import difflib
import signal

_LONG = 40  # names that nobody reads


class UserError(ValueError):
    """A mistake in what the user typed: the command line prints its text and exits with status 2."""


class NotFiniteError(ArithmeticError, ValueError):
    """
    NaN or infinity turned up in a training. ``-optimize`` prunes a trial that ends in a ValueError.

    :param place: where
    :param agent_steps: when
    """

    def __init__(self, place: str, agent_steps: int) -> None:
        super().__init__(f"{place} is NaN or infinite at agent step {agent_steps}")
        self.place, self.agent_steps = place, agent_steps

    def __reduce__(self) -> tuple[type["NotFiniteError"], tuple[str, int]]:
        return type(self), (self.place, self.agent_steps)


class WorkerDiedError(RuntimeError):
    """
    A process with environments in it ended on its own, or was killed.

    :param envs: numbers of its environments
    :param exit_code: of the process; below 0 the signal that killed it
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


def did_you_mean(name: str, known: list[str]) -> str:
    """
    Offer the nearest name, to put behind an error.

    >>> did_you_mean("cardqm", ["cardqn", "dqn"])
    ", did you mean 'cardqn'?"

    :param name: what was typed
    :param known: what there is
    :return: the offer; where nothing is near the whole list, or what is nearest of a long one
    """
    nearest = difflib.get_close_matches(name, known, n=1)
    if nearest:
        return f", did you mean '{nearest[0]}'?"
    if len(known) > _LONG:
        return f", the nearest are: {', '.join(difflib.get_close_matches(name, known, n=5, cutoff=0))}"
    return f", there are: {', '.join(sorted(known))}"
