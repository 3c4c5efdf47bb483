"""What the numbers of a comparison say, in words: its verdict, and how far to trust it."""

import pandas as pd

from sb3_cardqn.compare.statistics import FEW, REPS

NO_NUMBER = "\N{EN DASH}"
NOTES = (
    "Scores in sentences and charts are interquartile means of the runs; clear is explained below.",
    "The unit is the training run, one seed each: its score is its mean over the tracks, which are the "
    "same for all runs. Intervals say what other training seeds would do on these tracks, nothing about "
    "other tracks.",
    "The interquartile mean leaves out the lowest and the highest quarter of the runs (of 5 runs, one "
    f"each; of up to 3, none). Intervals are 95 % bootstrap intervals by rliable, from {REPS:,} seeded "
    "samples.",
    "Intervals from few runs promise too much: of simulated sets of normal scores, such an interval of the "
    "mean held the truth in 51 % with 2 runs, 74 % with 3, 83 % with 5, 89 % with 10, 93 % with 20.",
    "A difference is called clear if its interval holds no 0, that of the probability of improvement holds "
    "no 0.5, and there are enough runs (4 each, or 3 and 5) that luck would part two equals so completely "
    "in 5 % of cases at most. No correction is made for the number of pairs.",
    "The final checkpoint is what training ended with. The best one was chosen on validation tracks, never "
    "on the held-out tracks that both are scored on.",
    "Equal wall-clock time is when the fastest contestant has finished all of its runs: seconds of "
    "training, without evaluations. Scores there are on validation tracks, interpolated between two "
    "evaluations.",
    "The profile of single drives describes these drives. Drives of one run are not independent, so it has "
    "no interval.",
)


def number(value: float, digits: int = 0) -> str:
    """
    Round for people.

    >>> number(-1234.56), number(float("nan"))
    ('−1,235', '–')

    :param value: to show; NaN where there is none
    :param digits: after the point
    :return: with a thousands separator and a real minus sign
    """
    return NO_NUMBER if pd.isna(value) else f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float, digits: int = 0) -> str:
    """
    Write an interval, or that there is none.

    >>> interval(-3.2, 4.9)
    '−3 to 5'

    :param low: lower bound; NaN where one seed allows no interval
    :param high: upper bound
    :param digits: after the point
    :return: both
    """
    return "none from one seed" if pd.isna(low) else f"{number(low, digits)} to {number(high, digits)}"


def count_seeds(seeds: "pd.Series[int]") -> str:
    """
    Count seeds, and call few few.

    >>> count_seeds(pd.Series([5, 3]))
    '3 to 5 seeds: few'

    :param seeds: how many each contestant has
    :return: the number, with what to think of it
    """
    fewest, most = int(seeds.min()), int(seeds.max())
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    few = ": too few for an interval" if most == 1 else ": few" if fewest < FEW else ""
    return f"{count} seed{'s' if most > 1 else ''}{few}"


def _joined(leads: list[str]) -> str:
    """
    :param leads: smallest first
    :return: all in one phrase, or the first few
    """
    shown = leads if len(leads) <= 3 else [*leads[:2], f"{len(leads) - 2} others by more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _against(baseline: str, aggregates: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    own = aggregates[aggregates["contestant"] == baseline]
    if own.empty:
        return f"{baseline}, the baseline, has no score here."
    leads: dict[bool, list[str]] = {True: [], False: []}
    for row in comparisons.itertuples():
        bounds = interval(row.difference_low, row.difference_high)
        leads[row.clear].append(f"{row.other} by {number(row.difference)} ({bounds})")
    clear, unclear = (", ".join(some) or "none" for some in (leads[True], leads[False]))
    return (
        f"{baseline} scores {number(own['iqm'].iloc[0])}. It leads (95 % intervals; behind, where below 0) "
        f"clearly: {clear}; not clearly: {unclear}; {count_seeds(aggregates['seeds'])}."
    )


def verdict(aggregates: pd.DataFrame, comparisons: pd.DataFrame, baseline: str | None = None) -> str:
    """
    Say who wins, by how much, with what interval, in one sentence.

    :param aggregates: of one measure
    :param comparisons: of the same
    :param baseline: that each other contestant is compared with: says how far it leads them instead
    :return: the sentence; "clear" is what ``comparisons`` calls so
    """
    if baseline is not None:
        return _against(baseline, aggregates, comparisons)
    best = aggregates.loc[aggregates["iqm"].idxmax()]
    leader, score, seeds = best["contestant"], number(best["iqm"]), count_seeds(aggregates["seeds"])
    if len(aggregates) == 1:
        bounds = interval(best["iqm_low"], best["iqm_high"])
        return f"{leader} scores {score} (95 % interval: {bounds}), with nothing to compare it with; {seeds}."
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
