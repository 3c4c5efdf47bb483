"""Helpers for signals such as Ctrl-C, and for child processes that ignore it and end with their parent."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


def not_ignored(*names: str) -> list[int]:
    """
    :param names: names of signals, such as "SIGHUP"
    :return: their numbers, without signals that this platform lacks or that are ignored, as under ``nohup``
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def handled(handler: Any, *names: str) -> Iterator[None]:
    """
    Set a handler for signals that are not ignored, and restore the old ones at the end.

    :param handler: handler, see ``signal.signal``
    :param names: names of signals, such as "SIGHUP"
    :return: context; it changes nothing outside the main thread, which alone can set handlers
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in (not_ignored(*names) if is_main else ())}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """
    Let an interruption by Ctrl-C reach the caller, also if code inside swallows it, as the zoo's commands do.

    :return: context that raises ``KeyboardInterrupt`` at its end if there was one
    """
    interruptions: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        interruptions.append(number)
        signal.default_int_handler(number, frame)

    try:
        with handled(interrupt, "SIGINT"):
            yield
    except Exception:  # of what follows an interruption, such as a study without a trial
        if not interruptions:
            raise
    if interruptions:
        raise KeyboardInterrupt


def deaf_children() -> contextlib.AbstractContextManager[None]:
    """
    Start processes that ignore Ctrl-C, which a terminal sends to every process; the parent must end them.

    :return: context in which to start them
    """
    return handled(signal.SIG_IGN, "SIGINT")


def end_after(wait: Callable[[], object]) -> None:
    """
    End this process as soon as something has happened, whatever it is doing.

    :param wait: function that returns when it has happened, such as the end of the parent process
    """

    def wait_and_end() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=wait_and_end, daemon=True).start()
