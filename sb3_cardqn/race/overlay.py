"""One pane of the video: the picture, what the car does, and what its driver thinks of each action."""

from itertools import groupby
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sb3_cardqn.evaluate import Drive
from sb3_cardqn.race.camera import Frame
from sb3_cardqn.race.thoughts import Thought

PANE = (480, 432)  # pixels, width and height; multiples of 16, which video codecs want
_VIEW = (480, 280)  # of it, the picture: CarRacing's without its dashboard
_DASHBOARD = 50  # rows at the bottom of CarRacing's 400
_MARGIN = 16
_BARS = (344, 396)  # rows between which bars stand

_INK, _MUTED, _BAR, _ACCENT, _PAPER = "#f2f5f8", "#8a95a5", "#465264", "#ffc53d", "#11151b"
_GOOD, _BAD = "#4ade80", "#f87171"
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONTS / f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)


_TITLE, _VALUE, _BADGE, _SMALL, _ARROW = (
    _font(17, True),
    _font(19, True),
    _font(22, True),
    _font(12),
    _font(15),
)


def _amount(value: float, all_values: np.ndarray) -> str:
    """
    :param value: one of them
    :param all_values: of all actions
    :return: the number, or nothing where a word is enough since there is only this one or it is all there is
    """
    levels = {abs(one) for one in all_values if one}
    return "" if len(levels) == 1 or value == 1 else f"{abs(value):g}".lstrip("0") + " "


def action_names(actions: np.ndarray) -> list[tuple[str, str]]:
    """
    Say in as few words as it takes to tell them apart what the actions do.

    >>> action_names(np.array([[-1, 0.5, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0.4]]))
    [('←', '.5 gas'), ('↑', 'gas'), ('↑', 'coast'), ('→', 'brake')]

    :param actions: (actions, 3) steer, gas, brake
    :return: steering and pedal of each
    """
    names = []
    for steer, gas, brake in actions:
        arrow = "↑" if steer == 0 else _amount(steer, actions[:, 0]) + ("←" if steer < 0 else "→")
        pedals = [
            f"{_amount(value, column)}{name}"
            for name, value, column in (("gas", gas, actions[:, 1]), ("brake", brake, actions[:, 2]))
            if value
        ]
        names.append((arrow, "+".join(pedals) or "coast"))
    return names


class Overlay:
    """
    Draws the panes of one drive.

    :param title: name of the agent
    :param subtitle: under it
    :param actions: (actions, 3) steer, gas and brake of each discrete action, or None
    """

    def __init__(self, title: str, subtitle: str, actions: np.ndarray | None) -> None:
        self._actions = actions
        self._names = [] if actions is None else action_names(actions)
        self._spread = 0.0  # between the best Q-value and the worst, lately
        self._pane = Image.new("RGB", PANE, _PAPER)
        shade = np.zeros((_VIEW[1], 1), np.float32)
        shade[:64, 0] = np.linspace(0.75, 0, 64)
        self._light = 1 - shade[:, :, None]  # (height, 1, 1): text stays readable on grass
        self._title, self._subtitle = title, subtitle

    def draw(self, frame: Frame, thought: Thought, result: Drive | None) -> np.ndarray:
        """
        :param frame: what happens
        :param thought: about the action that is being taken
        :param result: of the drive, when it is over
        :return: (height, width, 3) uint8 of ``PANE``
        """
        picture = cv2.resize(frame.picture[:-_DASHBOARD], _VIEW, interpolation=cv2.INTER_AREA)
        light = self._light if result is None else self._light * 0.5
        pane = self._pane.copy()
        pane.paste(Image.fromarray((picture * light).astype(np.uint8)))
        draw = ImageDraw.Draw(pane)
        draw.text((_MARGIN, 10), self._title, _INK, _TITLE)
        draw.text((_MARGIN, 33), self._subtitle, "#d5dbe3", _SMALL)
        self._metrics(draw, frame)
        if len(thought.values):
            self._bars(draw, thought)
        else:
            self._pedals(draw, thought)
        if result is not None:
            self._badge(draw, result)
        return np.asarray(pane)

    def _metrics(self, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
        for x, value, unit in (
            (_MARGIN, f"{frame.score:.0f}", "points"),
            (176, f"{3.6 * frame.speed:.0f}", "km/h"),
            (330, f"{frame.seconds:.1f}", "s"),
        ):
            draw.text((x, 312), value, _INK, _VALUE, anchor="ls")
            draw.text((x + draw.textlength(value, _VALUE) + 6, 312), unit, _MUTED, _SMALL, anchor="ls")

    def _bars(self, draw: ImageDraw.ImageDraw, thought: Thought) -> None:
        """
        A bar an action: its probability, or how far its Q-value is below the best one, which has a full bar.

        :param draw: the pane
        :param thought: with values
        """
        values = thought.values
        names = self._names or [("", str(i)) for i in range(len(values))]
        if thought.kind == "Q-value":
            # as wide a range as lately, so that what matters little looks like little
            self._spread = max(float(np.ptp(values)), 0.97 * self._spread, 1e-6)
            heights = 1 + (values - values.max()) / self._spread
        else:
            heights = values
        draw.text((_MARGIN, 332), f"{thought.kind} of each action", _MUTED, _SMALL, anchor="ls")
        best = f"{values[int(thought.action)]:.{1 if thought.kind == 'Q-value' else 2}f}"
        draw.text((PANE[0] - _MARGIN, 332), best, _ACCENT, _font(12, True), anchor="rs")
        top, bottom = _BARS
        x = float(_MARGIN)
        groups = [list(group) for _, group in groupby(range(len(values)), lambda i: names[i][0])]
        gap = 14
        cell = (PANE[0] - 2 * _MARGIN - gap * (len(groups) - 1)) / len(values)
        for group in groups:
            chosen_here = int(thought.action) in group
            middle = x + cell * len(group) / 2
            draw.text(
                (middle, 424), names[group[0]][0], _ACCENT if chosen_here else _MUTED, _ARROW, anchor="ms"
            )
            for i in group:
                chosen = i == int(thought.action)
                height = max(2, round((bottom - top) * float(heights[i])))
                draw.rectangle(
                    (round(x + 2), bottom - height, round(x + cell - 3), bottom), _ACCENT if chosen else _BAR
                )
                draw.text(
                    (x + cell / 2, 409), names[i][1], _INK if chosen else _MUTED, _font(10), anchor="ms"
                )
                x += cell
            x += gap

    def _pedals(self, draw: ImageDraw.ImageDraw, thought: Thought) -> None:
        """
        Steering wheel, gas and brake, for an agent that has no value for each action.

        :param draw: the pane
        :param thought: without values
        """
        action = thought.action if self._actions is None else self._actions[int(thought.action)]
        for row, (name, value) in enumerate(zip(("steer", "gas", "brake"), np.ravel(action), strict=False)):
            y = 340 + 28 * row
            left, right = 76, PANE[0] - 64
            zero = (left + right) / 2 if name == "steer" else left
            end = zero + float(value) * (right - zero)
            draw.text((_MARGIN, y + 12), name, _MUTED, _SMALL, anchor="ls")
            draw.rectangle((left, y, right, y + 15), "#1d242e")
            draw.rectangle((min(zero, end), y, max(zero, end), y + 15), _ACCENT)
            draw.text((PANE[0] - _MARGIN, y + 12), f"{value:+.2f}", _INK, _SMALL, anchor="rs")

    def _badge(self, draw: ImageDraw.ImageDraw, result: Drive) -> None:
        middle = (_VIEW[0] / 2, _VIEW[1] / 2 - 8)
        text = "lap finished" if result.lap_finished else "lap not finished"
        draw.text(middle, f"{result.score:.1f}", _INK, _font(40, True), anchor="ms")
        draw.text(
            (middle[0], middle[1] + 30), text, _GOOD if result.lap_finished else _BAD, _TITLE, anchor="ms"
        )
