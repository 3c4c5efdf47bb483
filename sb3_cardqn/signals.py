"""Helpers for signals such as Ctrl-C: which to handle, and child processes that ignore Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator


def not_ignored(*names: str) -> list[int]:
    """
    :param names: names of signals, such as "SIGHUP"
    :return: their numbers, without signals that this platform lacks or that are ignored, as under ``nohup``
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """
    Start processes that ignore Ctrl-C, which a terminal sends to every process; the parent must end them.

    :return: context in which to start them
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
