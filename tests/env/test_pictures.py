"""Pictures that agents were trained on, and what the libraries here make of the same moment."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from gymnasium.envs.box2d.car_racing import CarRacing
from PIL import Image

from sb3_cardqn import FastRender, GrayscaleObservation, ResizeObservation

PICTURES = Path(__file__).parent / "pictures"
PYGAME = "pygame-ce" if getattr(pygame, "IS_CE", False) else "pygame"  # they place the score differently


def same(picture: np.ndarray, name: str, folder: Path, libraries: list[str]) -> None:
    """
    Rounding by 2 grey levels is allowed, as between OpenCV 4.10 and 5.0. With and without SIMD all pixels are equal.

    :param picture: what is drawn here; left in ``folder`` for a look
    :param name: file of the picture that it has to be
    :param libraries: what draws it
    """
    Image.fromarray(picture).save(folder / name)
    off = np.abs(picture.astype(int) - np.asarray(Image.open(PICTURES / name))) > 2
    releases = ", ".join(f"{library} {version(library)}" for library in libraries)
    assert off.mean() < 0.001, f"{releases} draw {folder / name}, which is not {PICTURES / name}"


@pytest.fixture(scope="module")
def race() -> Any:
    """A CarRacing after 2.8 seconds, in front of a bend with a kerb."""
    env = FastRender(CarRacing())
    env.reset(seed=0)
    for frame in range(140):
        env.step(np.array([0.3 * np.sin(frame / 9), frame % 3 == 0, 0], np.float32))
    env.unwrapped.reward = 907  # a whole number is written in the same way by every Gymnasium
    return env.unwrapped


def test_the_car_is_where_it_was(race: Any) -> None:
    assert list(race.car.hull.position) == pytest.approx([224.23419, -17.61071], abs=1e-3), version("Box2D")


def test_stock_picture_is_as_it_was(race: Any, tmp_path: Path) -> None:
    picture = CarRacing._render(race, "state_pixels")
    same(picture, f"stock_{PYGAME}.png", tmp_path, [PYGAME, "Box2D", "gymnasium"])


@pytest.mark.skipif(PYGAME == "pygame", reason="test_fast_render compares it with the stock picture")
def test_fast_picture_is_as_it_was(race: Any, tmp_path: Path) -> None:
    same(
        race._render("state_pixels"),
        "fast_pygame-ce.png",
        tmp_path,
        ["opencv-python", PYGAME, "Box2D", "gymnasium"],
    )


def test_preprocessing_is_as_it_was(tmp_path: Path) -> None:
    gray = GrayscaleObservation(CarRacing())
    small = ResizeObservation(gray, (64, 64))
    picture = np.asarray(Image.open(PICTURES / "fast_pygame-ce.png"))
    same(small.observation(gray.observation(picture)), "observation.png", tmp_path, ["opencv-python"])
