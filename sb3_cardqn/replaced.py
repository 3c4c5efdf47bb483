"""replaced: temporary changes in other libraries, which docs/explanation/architecture.md lists."""

import contextlib
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

_ABSENT = object()


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any, reader: Callable[..., Any] | None = None) -> Iterator[None]:
    """
    Replace an object of another library, and restore it at the end.

    >>> import math
    >>> with replaced(math, "pi", 3):
    ...     print(math.pi)
    3
    >>> round(math.pi, 2)
    3.14

    :param owner: module, class or object with that attribute, or mapping with that key
    :param name: name of the attribute or key; removed at the end if it did not exist
    :param value: temporary value
    :param reader: function of the other library that must look up the name, or None for no check
    :return: context in which the value is replaced
    :raises RuntimeError: if ``reader`` does not look up the name
    """
    if reader is not None and name not in reader.__code__.co_names:
        raise RuntimeError(
            f"{reader.__module__}.{reader.__qualname__} needs to look up '{name}', got one that does not: "
            "this release of the library is not supported"
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
