"""Ctrl-C and its like: who is told, and who is not."""

import contextlib
import signal
import threading
from collections.abc import Iterator


def not_ignored(*names: str) -> list[int]:
    """
    :param names: of signals, such as "SIGHUP"
    :return: their numbers, without those that this platform lacks and those that ``nohup`` keeps away
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """
    Start processes that do not hear Ctrl-C, which a terminal sends to all: who started them ends them.

    :return: context to start them in
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
