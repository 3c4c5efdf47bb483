"""Window: shows pictures at real speed or slower, and knows which keys are held."""

import os

import numpy as np
import pygame

from sb3_cardqn.errors import UserError


class WindowClosedError(Exception):
    """The user has closed the window."""


class Window:
    """
    A window on the screen.

    :param size: width and height in pixels
    :param fps: maximum pictures per second
    :raises UserError: if there is no screen
    """

    def __init__(self, size: tuple[int, int], fps: float) -> None:
        try:
            pygame.display.init()
            if pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("no video device")  # SDL would open a window that nobody sees
            self._screen = pygame.display.set_mode(size, pygame.SCALED | pygame.RESIZABLE)
        except pygame.error as error:
            raise UserError(
                f"play needs a screen: {error}; sb3-cardqn race writes a video without one"
            ) from error
        pygame.display.set_caption("sb3-cardqn")
        self._clock, self._fps = pygame.time.Clock(), fps
        self.held: set[int] = set()  # pygame's codes of the keys that are held

    def append_data(self, picture: np.ndarray) -> None:
        """
        :param picture: (height, width, 3) uint8
        :raises WindowClosedError: when the user closes the window or presses Escape, or at SIGTERM, which SDL
            turns into such an event
        """
        height, width, _ = picture.shape
        self._screen.blit(pygame.image.frombuffer(picture.tobytes(), (width, height), "RGB"), (0, 0))
        pygame.display.flip()
        self._clock.tick(self._fps)
        for event in pygame.event.get():  # after the wait, so that none is lost when this picture is the last
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                raise WindowClosedError
            if event.type == pygame.KEYDOWN:
                self.held.add(event.key)
            elif event.type == pygame.KEYUP:
                self.held.discard(event.key)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()
