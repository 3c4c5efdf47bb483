"""Changes in other libraries last for a while; docs/explanation/architecture.md lists them."""

import contextlib
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

_ABSENT = object()


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any, reader: Callable[..., Any] | None = None) -> Iterator[None]:
    """
    Replace what a name stands for in another library, and put the old object back at the end.

    >>> import math
    >>> with replaced(math, "pi", 3):
    ...     print(math.pi)
    3
    >>> round(math.pi, 2)
    3.14

    :param owner: module, class or object with that attribute, or mapping with that key
    :param name: of the attribute or key; removed at the end if it was not there
    :param value: to find there meanwhile
    :param reader: function of the other library that looks the name up
    :return: context
    :raises RuntimeError: if ``reader`` looks up no such name
    """
    if reader is not None and name not in reader.__code__.co_names:
        raise RuntimeError(
            f"{reader.__module__}.{reader.__qualname__} needs to look up '{name}', got one that does not: a "
            "release of that library that is not known here"
        )
    is_mapping = isinstance(owner, MutableMapping)
    old = (owner if is_mapping else vars(owner)).get(name, _ABSENT)

    def put(new: Any) -> None:
        if is_mapping:
            owner[name] = new
        else:
            setattr(owner, name, new)

    put(value)
    try:
        yield
    finally:
        if old is not _ABSENT:
            put(old)
        elif is_mapping:
            del owner[name]
        else:
            delattr(owner, name)
