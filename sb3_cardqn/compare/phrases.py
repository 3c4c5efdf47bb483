"""Sentences of a report: verdict, notes, and formatting of numbers, intervals and seeds."""

import pandas as pd

from sb3_cardqn.compare.statistics import FEW, REPS

NO_NUMBER = "\N{EN DASH}"
NOTES = (
    "Scores in sentences and charts are interquartile means over runs. A note below defines 'clear'.",
    "The unit is the training run, with one seed. Its score is its mean over the held-out episodes, which "
    "are the same for all runs. Intervals describe other training seeds in these episodes, not others.",
    "The interquartile mean leaves out the lowest and the highest quarter of the runs (with 5 runs, one "
    f"each; with up to 3, none). Intervals are 95 % bootstrap intervals by rliable, from {REPS:,} seeded "
    "samples.",
    "Intervals from few runs are too narrow. With simulated normal scores, such an interval of the mean "
    "contained the true mean in 51 % of cases with 2 runs, 74 % with 3, 83 % with 5, 89 % with 10, 93 % with "
    "20.",
    "A difference is called clear if three conditions hold: its interval excludes 0; the interval of the "
    "probability of improvement excludes 0.5; there are enough runs (4 each, or 3 and 5) that chance "
    "separates two equal contestants completely in at most 5 % of cases. The number of pairs is not "
    "corrected for.",
    "The final checkpoint is the agent at the end of training. The best checkpoint was chosen by the "
    "evaluations during training, never in the held-out episodes in which both are scored.",
    "Equal wall-clock time is the moment when the fastest contestant has finished all its runs, in seconds "
    "of training without evaluations. Scores at that time are interpolated between two evaluations.",
    "The profile of single episodes describes these episodes only. It has no interval, because episodes of "
    "one run are not independent.",
)


def number(value: float, digits: int = 0) -> str:
    """
    Round for people.

    >>> number(-1234.56), number(float("nan"))
    ('−1,235', '–')

    :param value: number, or NaN for none
    :param digits: digits after the decimal point
    :return: text with thousands separators and a minus sign
    """
    return NO_NUMBER if pd.isna(value) else f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float, digits: int = 0) -> str:
    """
    Format an interval.

    >>> interval(-3.2, 4.9)
    '−3 to 5'

    :param low: lower bound; NaN with one seed, which allows no interval
    :param high: upper bound
    :param digits: digits after the decimal point
    :return: text of both bounds, or of there being none
    """
    return "none from one seed" if pd.isna(low) else f"{number(low, digits)} to {number(high, digits)}"


def count_seeds(seeds: "pd.Series[int]") -> str:
    """
    Count seeds, and warn if there are few.

    >>> count_seeds(pd.Series([5, 3]))
    '3 to 5 seeds (few)'

    :param seeds: number of seeds of each contestant
    :return: range of the numbers, with a warning below ``FEW``
    """
    fewest, most = int(seeds.min()), int(seeds.max())
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    few = " (too few for an interval)" if most == 1 else " (few)" if fewest < FEW else ""
    return f"{count} seed{'s' if most > 1 else ''}{few}"


def _joined(leads: list[str]) -> str:
    """
    :param leads: phrases, smallest lead first
    :return: one phrase with all of them, or with the first two
    """
    shown = leads if len(leads) <= 3 else [*leads[:2], f"{len(leads) - 2} others by more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _against(baseline: str, aggregates: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    own = aggregates[aggregates["contestant"] == baseline]
    if own.empty:
        return f"The baseline {baseline} has no score here."
    leads: dict[bool, list[str]] = {True: [], False: []}
    for row in comparisons.itertuples():
        bounds = interval(row.difference_low, row.difference_high)
        leads[row.clear].append(f"{row.other} {number(row.difference)} ({bounds})")
    clear, unclear = (", ".join(some) or "none" for some in (leads[True], leads[False]))
    return (
        f"{baseline} scores {number(own['iqm'].iloc[0])}. Differences to the others (positive if {baseline} "
        f"scores more) with 95 % intervals, clear: {clear}; not clear: {unclear}; "
        f"{count_seeds(aggregates['seeds'])}."
    )


def verdict(aggregates: pd.DataFrame, comparisons: pd.DataFrame, baseline: str | None = None) -> str:
    """
    The result of one measure in one sentence: the leader, its lead and the interval of that.

    :param aggregates: aggregates of the measure
    :param comparisons: comparisons of the measure
    :param baseline: contestant whose differences to all others to describe instead
    :return: the sentence; column ``clear`` of ``comparisons`` decides what it calls clear
    """
    if baseline is not None:
        return _against(baseline, aggregates, comparisons)
    best = aggregates.loc[aggregates["iqm"].idxmax()]
    leader, score, seeds = best["contestant"], number(best["iqm"]), count_seeds(aggregates["seeds"])
    if len(aggregates) == 1:
        bounds = interval(best["iqm_low"], best["iqm_high"])
        return f"{leader} scores {score} (95 % interval: {bounds}); there is no other contestant; {seeds}."
    leads: dict[bool, list[str]] = {True: [], False: []}
    for row in comparisons[comparisons["contestant"] == leader].itertuples():
        explained = "" if any(leads.values()) else "95 % interval: "
        bounds = interval(row.difference_low, row.difference_high)
        leads[row.clear].append(f"{row.other} by {number(row.difference)} ({explained}{bounds})")
    clear, unclear = leads[True], leads[False]
    if not unclear:
        return f"{leader} wins: it scores {score} and leads {_joined(clear)}; {seeds}."
    beaten = f"; it clearly leads {_joined(clear)}" if clear else ""
    missing = "winner" if clear else "difference"
    ahead = f"{leader} scores {score} and leads {_joined(unclear)}"
    return f"No clear {missing}: {ahead}, which may be chance{beaten}; {seeds}."
