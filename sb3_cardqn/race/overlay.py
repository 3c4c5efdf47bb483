"""Overlay: draws a pane of the video, with picture, score, speed, time and a bar per action."""

from itertools import groupby
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sb3_cardqn.env.task import CarRacingTask, Task
from sb3_cardqn.evaluate import Drive
from sb3_cardqn.evaluate.numbers import decimals, score_text
from sb3_cardqn.race.camera import Frame
from sb3_cardqn.race.q_values import Thought

PANE = (480, 432)  # width and height in pixels; multiples of 16 for video codecs
_VIEW = (480, 280)  # size of the environment's picture in the pane
_MARGIN = 16
_SEAM = 2  # columns at each side that separate panes
_BARS = (344, 394)  # top and bottom row of the bars
_GAP = 14  # columns between bars of different steering

_CAR_RACING = CarRacingTask()
_PAPER, _TROUGH, _BAR = "#11151b", "#1d242e", "#465264"
_INK, _MUTED, _ACCENT = "#f2f5f8", "#8a95a5", "#ffc53d"
_GOOD, _BAD = "#4ade80", "#f87171"
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """
    :param size: pixels
    :param bold: True for bold
    :return: Matplotlib's own font
    """
    return ImageFont.truetype(_FONTS / f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)


_HUGE, _VALUE, _TITLE = font(40, bold=True), font(19, bold=True), font(17, bold=True)
_ARROW, _SMALL, _SMALL_BOLD, _TINY = font(20), font(12), font(12, bold=True), font(10)


def _amount(value: float, all_values: np.ndarray) -> str:
    """
    :param value: value of an action
    :param all_values: values of all actions
    :return: the number, or "" if a word is enough because it is the only value, or 1
    """
    levels = {abs(one) for one in all_values if one}
    return "" if len(levels) == 1 or abs(value) == 1 else f"{abs(value):g}".lstrip("0") + " "


def action_names(actions: np.ndarray) -> list[tuple[str, str]]:
    """
    Short names that distinguish the actions.

    >>> action_names(np.array([[-1, 0.5, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0.4]]))
    [('←', '.5 gas'), ('↑', 'gas'), ('↑', 'coast'), ('→', 'brake')]

    :param actions: (actions, 3) steer, gas, brake
    :return: steering and pedal of each action
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
    :param subtitle: text under the name
    :param actions: (actions, 3) steer, gas and brake of each discrete action, or None
    :param task: task of the environment
    """

    def __init__(
        self, title: str, subtitle: str, actions: np.ndarray | None, task: Task = _CAR_RACING
    ) -> None:
        self._actions, self._task = actions, task
        self._spread = 0.0  # recent difference between the best and the worst Q-value
        self.title = title
        self._header = _header(title, subtitle)
        # text is slow to draw, so the pane of a thought is kept until the next thought
        self._thought: Thought | None = None
        self._pane = Image.new("RGB", PANE, _PAPER)

    def draw(self, frame: Frame, thought: Thought, result: Drive | None) -> np.ndarray:
        """
        :param frame: the current frame
        :param thought: values behind the current action
        :param result: the finished drive, or None before its end
        :return: (height, width, 3) uint8 of ``PANE``
        """
        if thought is not self._thought:
            self._thought, self._pane = thought, self._think(thought)
        pane = self._pane.copy()
        picture = _fitted(frame.picture)
        if result is not None:
            picture = picture // 2
        pane.paste(Image.fromarray(picture[:, _SEAM:-_SEAM]), (_SEAM, 0))
        pane.paste(self._header, mask=self._header)
        draw = ImageDraw.Draw(pane)
        shown = [(_MARGIN, score_text(self._task, frame.score), "points"), (330, f"{frame.seconds:.1f}", "s")]
        if frame.speed is not None:
            shown.append((176, f"{3.6 * frame.speed:.0f}", "km/h"))
        for x, value, unit in shown:
            draw.text((x, 312), value, _INK, _VALUE, anchor="ls")
            draw.text((x + draw.textlength(value, _VALUE) + 6, 312), unit, _MUTED, _SMALL, anchor="ls")
        if result is not None:
            text, colour = self._verdict(result)
            draw.text((_VIEW[0] / 2, 140), score_text(self._task, result.score, 1), _INK, _HUGE, anchor="ms")
            draw.text((_VIEW[0] / 2, 172), text, colour, _TITLE, anchor="ms")
        return np.asarray(pane)

    def _verdict(self, result: Drive) -> tuple[str, str]:
        """
        :param result: the finished drive
        :return: text and colour
        """
        if self._task.has_laps:
            return ("lap finished", _GOOD) if result.lap_finished else ("lap not finished", _BAD)
        if self._task.solved is None:
            return f"{result.frames} {self._task.step}s", _INK
        solved = result.score >= self._task.solved
        return f"{'' if solved else 'not '}solved (≥ {self._task.solved:g})", _GOOD if solved else _BAD

    def _think(self, thought: Thought) -> Image.Image:
        """
        :param thought: values behind an action
        :return: pane with these values, without the parts that change every frame
        """
        pane = Image.new("RGB", PANE, _PAPER)
        draw = ImageDraw.Draw(pane)
        if len(thought.values):
            self._bars(draw, thought)
        else:
            action = thought.action if self._actions is None else self._actions[int(thought.action)]
            if self._task.has_laps:
                _pedals(draw, np.ravel(action))
            else:
                text = np.array2string(np.ravel(action), precision=2, separator=", ", threshold=8)
                draw.text((_MARGIN, 350), f"action {text}", _ACCENT, _SMALL_BOLD, anchor="ls")
        return pane

    def _bars(self, draw: ImageDraw.ImageDraw, thought: Thought) -> None:
        """
        Draw a bar per action: its probability, or its Q-value, where the best one has a full bar.

        :param draw: drawing of the pane
        :param thought: thought with values
        """
        values, chosen = thought.values, int(thought.action)
        if thought.kind == "Q-value":
            # the range follows recent values, so that small differences look small
            self._spread = max(float(np.ptp(values)), 0.97 * self._spread, 1e-6)
            heights = 1 + (values - values.max()) / self._spread
            text = f"{values[chosen]:.{decimals([values[chosen]], least=1)}f}"
            caption = f"Q-value of each action, bars span {self._spread:.{decimals([self._spread])}f}"
        else:
            heights, text = values, f"{values[chosen]:.0%}"
            caption = "probability of each action"
        draw.text((_MARGIN, 334), caption, _MUTED, _SMALL, anchor="ls")
        draw.text((PANE[0] - _MARGIN, 334), text, _ACCENT, _SMALL_BOLD, anchor="rs")

        names = (
            [("", str(i)) for i in range(len(values))]
            if self._actions is None
            else action_names(self._actions)
        )
        groups = [list(group) for _, group in groupby(range(len(names)), lambda i: names[i][0])]
        top, bottom = _BARS
        width = PANE[0] - 2 * _MARGIN
        gap = min(_GAP, width / 4 / len(groups))
        cell = (width - gap * (len(groups) - 1)) / len(values)
        x = float(_MARGIN)
        for group in groups:
            colour = _ACCENT if chosen in group else _MUTED
            draw.text((x + cell * len(group) / 2, 427), names[group[0]][0], colour, _ARROW, anchor="ms")
            for i in group:
                height = max(2, round((bottom - top) * float(np.nan_to_num(heights[i]))))
                left = round(x + min(2, cell / 4))
                bar = (left, bottom - height, max(left, round(x + cell - 3)), bottom)
                draw.rectangle(bar, _ACCENT if i == chosen else _BAR)
                draw.text(
                    (x + cell / 2, 407), names[i][1], _INK if i == chosen else _MUTED, _TINY, anchor="ms"
                )
                x += cell
            x += gap


def _fitted(picture: np.ndarray) -> np.ndarray:
    """
    :param picture: (height, width, 3) uint8 of any size
    :return: (280, 480, 3) uint8, with black bars where the shapes differ
    """
    height, width = picture.shape[:2]
    scale = min(_VIEW[0] / width, _VIEW[1] / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    result = np.zeros((_VIEW[1], _VIEW[0], 3), np.uint8)
    left, top = (_VIEW[0] - size[0]) // 2, (_VIEW[1] - size[1]) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    result[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=how)
    return result


def _header(title: str, subtitle: str) -> Image.Image:
    """
    :param title: name of the agent
    :param subtitle: text under the name
    :return: (64, width) RGBA texts on a shade, so that they are readable above grass and road
    """
    shade = np.zeros((64, _VIEW[0], 4), np.uint8)
    shade[:, :, 3] = np.linspace(200, 0, 64)[:, None]
    header = Image.fromarray(shade)
    text = Image.new("RGBA", header.size)
    draw = ImageDraw.Draw(text)
    draw.text((_MARGIN, 10), title, _INK, _TITLE)
    draw.text((_MARGIN, 33), subtitle, _INK, _SMALL)
    return Image.alpha_composite(header, text)


def _pedals(draw: ImageDraw.ImageDraw, action: np.ndarray) -> None:
    """
    Draw steering wheel, gas and brake, for an agent without values per action.

    :param draw: drawing of the pane
    :param action: (3,) steer, gas and brake
    """
    left, right = 76, PANE[0] - 72
    for row, (name, value) in enumerate(zip(("steer", "gas", "brake"), action, strict=False)):
        y = 338 + 29 * row
        zero = (left + right) / 2 if name == "steer" else left
        end = zero + float(value) * (right - zero)
        draw.text((_MARGIN, y + 12), name, _MUTED, _SMALL, anchor="ls")
        draw.rectangle((left, y, right, y + 15), _TROUGH)
        draw.rectangle((min(zero, end), y, max(zero, end), y + 15), _ACCENT)
        draw.text((PANE[0] - _MARGIN, y + 12), f"{float(value):z.2f}", _INK, _SMALL, anchor="rs")
