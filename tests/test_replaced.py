import contextlib
import math
from types import SimpleNamespace

import pytest

from sb3_cardqn.replaced import replaced


class Owner:
    name = "old"

    def read(self) -> str:
        return self.name


@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.parametrize("is_mapping", [True, False])
def test_the_old_object_comes_back_also_after_an_error(has_it: bool, is_mapping: bool) -> None:
    content = {"name": "old", "other": 1} if has_it else {"other": 1}
    owner = dict(content) if is_mapping else SimpleNamespace(**content)
    held = owner if isinstance(owner, dict) else vars(owner)
    with contextlib.suppress(KeyError), replaced(owner, "name", "new"):
        assert held["name"] == "new"
        raise KeyError
    assert held == content


def test_a_class_keeps_its_own_functions() -> None:
    function = vars(Owner)["read"]
    with replaced(Owner, "read", lambda self: "new"):
        assert Owner().read() == "new"
    assert vars(Owner)["read"] is function


def test_a_function_that_looks_up_another_name_is_refused() -> None:
    with replaced(Owner, "name", "new", Owner.read):
        assert Owner().read() == "new"
    with pytest.raises(RuntimeError, match=r"read.*'tau'"), replaced(math, "tau", 6, Owner.read):
        pytest.fail("not refused")
    assert math.tau > 6
