from math import inf, nan

import pytest

from sb3_cardqn.evaluate.numbers import decimals, time_spent


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([926.4, -61.0, 0.2], 0),
        ([-110.0], 0),
        ([99.9], 1),
        ([1.0, 0.0], 2),
        ([0.74, 0.03], 3),
        ([0.0042], 5),
        ([0.0], 0),
        ([None, nan, inf, 8.0], 2),
        ([], 0),
    ],
)
def test_the_largest_number_has_three_digits(values: list[float | None], digits: int) -> None:
    assert decimals(values) == digits
    assert decimals(values, least=1) == max(digits, 1)


def test_a_short_time_is_not_0() -> None:
    assert [time_spent(hours) for hours in (1234.56, 3.0, 0.96, 0.04, 0.0)] == [
        "1,234.6",
        "3.0",
        "1.0",
        "0.04",
        "0.0",
    ]
