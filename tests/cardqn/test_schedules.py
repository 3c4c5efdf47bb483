from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_cardqn.cardqn.schedules import DECAYS

probability = st.floats(0.01, 1)


@pytest.mark.parametrize(
    ("name", "quarter", "half"),
    # from 1 to 0.01 over half of the progress: a quarter of the progress is half of the way
    [("constant", 0.01, 0.01), ("linear", 0.505, 0.01), ("exponential", 0.1, 0.01), ("cosine", 0.505, 0.01)],
)
def test_values_on_the_way(name: str, quarter: float, half: float) -> None:
    schedule = DECAYS[name](1.0, 0.01, 0.5)
    assert schedule(1.0) == (0.01 if name == "constant" else 1.0)
    assert schedule(0.75) == pytest.approx(quarter)
    assert schedule(0.5) == pytest.approx(half)
    assert schedule(0.0) == pytest.approx(0.01)


def test_cosine_leaves_slowly() -> None:
    # an eighth of the way down the linear line is cos: 1 - (1 - cos(pi/4)) / 2 * 0.99
    assert DECAYS["cosine"](1.0, 0.01, 1.0)(0.75) == pytest.approx(0.855018)
    assert DECAYS["linear"](1.0, 0.01, 1.0)(0.75) == pytest.approx(0.7525)


@given(
    st.sampled_from(sorted(DECAYS)),
    probability,
    probability,
    probability,
    st.lists(st.floats(0, 1), min_size=2),
)
def test_decays_stay_between_start_and_end_and_go_one_way(
    name: str, start: float, end: float, fraction: float, progress: list[float]
) -> None:
    schedule = DECAYS[name](start, end, fraction)
    values = [schedule(remaining) for remaining in sorted(progress, reverse=True)]
    slack = 1e-12
    assert all(min(start, end) - slack <= value <= max(start, end) + slack for value in values)
    steps = [later - earlier for earlier, later in pairwise(values)]
    assert all(step * (end - start) >= -slack for step in steps)
