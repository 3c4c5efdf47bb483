"""Devices of the tests that have one as a parameter: ``cpu``, and ``cuda`` where torch finds it."""

import itertools
from typing import Any

import pytest
import torch as th


def _on(*devices: str) -> Any:
    return pytest.param(*devices, marks=[pytest.mark.gpu] * ("cuda" in devices))


_FOUND = ["cpu", *(["cuda"] if th.cuda.is_available() else [])]
DEVICES = [_on(device) for device in _FOUND]
# from one device to another, or to the same
PAIRS = [_on(*pair) for pair in itertools.product(_FOUND, repeat=2)]
