"""Sentences of a report: verdict, notes, and formatting of numbers, intervals and seeds."""

from math import inf

import pandas as pd

from sb3_cardqn.compare.analysis import WORTH
from sb3_cardqn.compare.statistics import FEW
from sb3_cardqn.evaluate.numbers import time_spent

_MOST_TIMES = 4  # contestants in a sentence
NO_NUMBER = "\N{EN DASH}"


def notes(threshold: float | None, has_curves: bool) -> list[str]:
    """
    :param threshold: reward threshold of the environment, None if it has none
    :param has_curves: True if the runs were evaluated during training
    :return: notes on how to read a report
    """
    timed = threshold is not None and has_curves
    narrow = ""
    if threshold is not None:
        narrow = (
            ", or for an interval that reaches less than 1/180 of the reward threshold "
            f"({WORTH * abs(threshold):.3g} points of {threshold:g}) to each side"
        )
    general = [
        "Scores in sentences and charts are interquartile means over runs. A note below defines 'clear'.",
        "The unit is the training run, with one seed. Its score is its mean over the held-out episodes, "
        "which are the same for all runs. Intervals describe other training seeds in these episodes, not "
        "others.",
        "The interquartile mean leaves out the lowest and the highest quarter of the runs, rounded down "
        "(with 5 runs, one each; with up to 3, none), and has Yuen's 95 % interval. The mean has Student's, "
        "a difference of means Welch's; equal runs have none. In simulations with 5 to 15 seeds Yuen's "
        "intervals contain the truth in 91 to 98 % of cases. Student's and Welch's do so in 91 to 98 % until "
        "runs collapse: if one run in ten does, the interval of the mean contains it in 49 % of cases with 5 "
        "seeds.",
        "A difference of interquartile means is called clear if its p is at most 0.05 after Holm's "
        "correction for the number of pairs in its table. The p is Yuen's, or Mann-Whitney's if one of the "
        "two has equal runs."
        + " So is a difference of times, by the Mann-Whitney test." * timed
        + " The final checkpoint is the main measure; nothing is corrected for the number of measures.",
        "Seeds to settle is the number of seeds that each side needs if spread and difference are as "
        "observed: for an 80 % chance that Yuen's test finds the difference at 5 % divided by the number of "
        f"pairs{narrow}. It is as rough as the spread of a few runs.",
        "The final checkpoint is the agent at the end of training. The best checkpoint was chosen by the "
        "evaluations during training, never in the held-out episodes in which both are scored.",
    ]
    of_curves = [
        "Equal wall-clock time is the moment when the fastest contestant has finished all its runs, in "
        "seconds of training without evaluations. Scores at that time are interpolated between two "
        "evaluations. A contestant has one only if all its runs have been evaluated by then.",
        "The area under the learning curve is a run's mean score in the evaluations over the budget, "
        "interpolated between them.",
    ]
    of_times = [
        "The time to the reward threshold counts to the first evaluation that reaches it, if the next one "
        "does too. A run that never gets there counts as slower than all that do. A pair is "
        "compared until its first run ends: what gets there later counts as never there.",
    ]
    last = ["Profiles describe these runs and these episodes only."]
    return general + of_curves * has_curves + of_times * timed + last


def number(value: float, digits: int = 0) -> str:
    """
    Round for people.

    >>> number(-1234.56), number(-0.3), number(float("inf")), number(float("nan"))
    ('−1,235', '0', '∞', '–')

    :param value: number, or NaN for none
    :param digits: digits after the decimal point
    :return: text with thousands separators and a minus sign
    """
    text = f"{value:z,.{digits}f}".replace("-", "\N{MINUS SIGN}").replace("inf", "\N{INFINITY}")
    return NO_NUMBER if pd.isna(value) else text


def p_value(p: float) -> str:
    """
    Round the p of a test.

    >>> p_value(0.0004), p_value(0.0342), p_value(float("nan"))
    ('<0.001', '0.034', '–')

    :param p: p of a test, or NaN for none
    :return: text with three digits
    """
    return "<0.001" if p < 0.001 else number(p, 3)


def seeds_each(seeds: float) -> str:
    """
    Format the number of seeds of each side.

    >>> seeds_each(23.0), seeds_each(float("inf")), seeds_each(float("nan"))
    ('23', 'more than 1,000', '–')

    :param seeds: number of seeds that would settle a difference
    :return: text of it
    """
    return "more than 1,000" if seeds == inf else number(seeds)


def interval(low: float, high: float, digits: int = 0, none: str = "none") -> str:
    """
    Format an interval.

    >>> interval(-3.2, 4.9)
    '−3 to 5'

    :param low: lower bound; NaN if there is none
    :param high: upper bound
    :param digits: digits after the decimal point
    :param none: text if there is none
    :return: text of both bounds
    """
    return none if pd.isna(low) else f"{number(low, digits)} to {number(high, digits)}"


def count_seeds(seeds: "pd.Series[int]") -> str:
    """
    Count seeds, and warn if there are few.

    >>> count_seeds(pd.Series([5, 3])), count_seeds(pd.Series([5]))
    ('3 to 5 seeds (few)', '5 seeds')

    :param seeds: number of seeds of each contestant
    :return: range of the numbers, with a warning below ``FEW``
    """
    fewest, most = int(seeds.min()), int(seeds.max())
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    few = " (too few for an interval)" if most == 1 else " (few)" if fewest < FEW else ""
    return f"{count} seed{'s' if most > 1 else ''}{few}"


def _open(unclear: pd.DataFrame) -> str:
    """
    :param unclear: comparisons of one measure that are not clear
    :return: phrase with the seeds that would settle all of them, or "" if none is open or one cannot be told
    """
    needed = unclear["seeds_to_settle"]
    if needed.isna().any():
        return ""
    needed = needed[needed > unclear[["seeds", "other_seeds"]].min(axis=1)]  # others differ by too little
    return "" if needed.empty else f"; {seeds_each(needed.max())} seeds each would settle what is open"


def _joined(leads: list[str]) -> str:
    """
    :param leads: phrases, smallest lead first
    :return: one phrase with all of them, or with the first two
    """
    shown = leads if len(leads) <= 3 else [*leads[:2], f"{len(leads) - 2} others by more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _against(baseline: str, aggregates: pd.DataFrame, comparisons: pd.DataFrame, digits: int) -> str:
    own = aggregates[aggregates["contestant"] == baseline]
    if own.empty:
        return f"The baseline {baseline} has no score here."
    leads: dict[bool, list[str]] = {True: [], False: []}
    for row in comparisons.itertuples():
        bounds = interval(row.difference_low, row.difference_high, digits)
        leads[row.clear].append(f"{row.other} {number(row.difference, digits)} ({bounds})")
    clear, unclear = (", ".join(some) or "none" for some in (leads[True], leads[False]))
    return (
        f"{baseline} scores {number(own['iqm'].iloc[0], digits)}. Differences to the others (positive if "
        f"{baseline} scores more) with 95 % intervals, clear: {clear}; not clear: {unclear}; "
        f"{count_seeds(aggregates['seeds'])}{_open(comparisons[~comparisons['clear']])}."
    )


def verdict(
    aggregates: pd.DataFrame, comparisons: pd.DataFrame, baseline: str | None = None, digits: int = 0
) -> str:
    """
    The result of one measure in one sentence: the leader, its lead and the interval of that.

    :param aggregates: aggregates of the measure
    :param comparisons: comparisons of the measure
    :param baseline: contestant whose differences to all others to describe instead
    :param digits: digits of a score after the decimal point
    :return: the sentence; column ``clear`` of ``comparisons`` decides what it calls clear
    """
    if baseline is not None:
        return _against(baseline, aggregates, comparisons, digits)
    best = aggregates.loc[aggregates["iqm"].idxmax()]
    leader, seeds = best["contestant"], count_seeds(aggregates["seeds"])
    score = number(best["iqm"], digits)
    if len(aggregates) == 1:
        bounds = interval(best["iqm_low"], best["iqm_high"], digits)
        return f"{leader} scores {score} (95 % interval: {bounds}); no other contestant has a score; {seeds}."
    own = comparisons[comparisons["contestant"] == leader]
    leads: dict[bool, list[str]] = {True: [], False: []}
    for row in own.itertuples():
        explained = "" if any(leads.values()) else "95 % interval: "
        bounds = interval(row.difference_low, row.difference_high, digits)
        leads[row.clear].append(f"{row.other} by {number(row.difference, digits)} ({explained}{bounds})")
    clear, unclear = leads[True], leads[False]
    if not unclear:
        return f"{leader} wins: it scores {score} and leads {_joined(clear)}; {seeds}."
    beaten = f"; it clearly leads {_joined(clear)}" if clear else ""
    missing = "winner" if clear else "difference"
    ahead = f"{leader} scores {score} and leads {_joined(unclear)}"
    settled = _open(own[~own["clear"]])
    return f"No clear {missing}: {ahead}, which may be chance{beaten}; {seeds}{settled}."


def times_verdict(times: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """
    The times to the reward threshold in two sentences: who gets there when, and whose lead is clear.

    :param times: times of the contestants
    :param comparisons: comparisons of their times
    :return: the sentences
    """
    if not times["reached"].any():
        return "No run gets there."
    if len(times) > _MOST_TIMES:
        there = f"{times['reached'].sum()} of {times['seeds'].sum()} runs of {len(times)} contestants"
    else:
        there = ", ".join(
            f"{row.reached} of {row.seeds} runs of {row.contestant}"
            + f" (median: {number(row.agent_steps)} agent steps, {time_spent(row.seconds / 60)} minutes)"
            * (row.agent_steps < inf)
            for row in times.itertuples()
        )
    clear = comparisons[comparisons["clear"] & (comparisons["axis"] == "agent_steps")]
    sooner = [
        " before ".join((row.contestant, row.other) if row.probability > 0.5 else (row.other, row.contestant))
        for row in clear.itertuples()
    ]
    return f"{there} get there. Clear, in agent steps: {', '.join(sooner) or 'none'}."
