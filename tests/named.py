"""An error is told by its type and by what it names: arguments, values, files. Its English can be mended."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


def missing(named: str, text: str) -> list[str]:
    """
    :param named: names and values, with `` | `` between them
    :param text: of an error
    :return: those that the text does not have, each as a whole word: 0 is not in 100, gamma not in gammas
    """
    return [part for part in named.split(" | ") if not _whole_word(part).search(text)]


def _whole_word(part: str) -> re.Pattern[str]:
    before = r"(?<![\w\-])(?<!\d\.)" if re.match(r"\w", part) else ""
    after = r"(?!\w|\.\d)" if re.search(r"\w$", part) else ""
    return re.compile(before + re.escape(part) + after)


@contextmanager
def error_naming(error: type[Exception] | tuple[type[Exception], ...], named: str) -> Iterator[Any]:
    """
    As ``pytest.raises``, of an error that names something.

    :param error: its type
    :param named: names and values, with `` | `` between them
    :return: what ``pytest.raises`` gives
    """
    with pytest.raises(error) as raised:
        yield raised
    text = str(raised.value)
    assert not missing(named, text), text
