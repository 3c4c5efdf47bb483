"""How contestants and axes look, the same in all charts."""

from typing import NamedTuple

# Okabe and Ito 2008: told apart by colour-blind people too; without their black and yellow, which dark and
# light pages swallow
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")

# column of a learning curve -> title, factor
AXES = {"agent_steps": ("agent steps", 1.0), "seconds": ("minutes of training", 1 / 60)}


class Style(NamedTuple):
    """Colour as hexadecimal number, line and marker in plotly's words: no two contestants share all three."""

    colour: str
    dash: str
    symbol: str


def styles(contestants: list[str]) -> dict[str, Style]:
    """
    Give each contestant a look.

    >>> styles(["cardqn", "dqn"])["dqn"]
    Style(colour='#D55E00', dash='dash', symbol='square')

    :param contestants: names, in the order of the plan
    :return: contestant -> style
    """
    return {
        name: Style(_COLOURS[i % len(_COLOURS)], _DASHES[i % len(_DASHES)], _SYMBOLS[i % len(_SYMBOLS)])
        for i, name in enumerate(contestants)
    }
