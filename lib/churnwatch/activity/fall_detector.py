"""Sudden falls of the share of users who come back, judged for every group of activity_trend on its newest day.

Numpy and pyarrow alone; travels by value (``activity.falls``). A group's share is compared with what its own past lets
expect: the same weekday of the weeks before, by their level or their robust line, whichever missed least so far; what
stood out in the same week a year before (a holiday) is expected again. The distance is measured in binomial standard
errors, stretched by how far the group's shares lay from their expectation before (median absolute deviation), so that
small groups, and groups that swing, need a larger fall.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

WEEK_DAYS = 7
LINE_WEEKS, LEVEL_WEEKS = 8, 4  # same weekdays that a line, and a level, is laid through
FEWEST_WEEKS = {LINE_WEEKS: 5, LEVEL_WEEKS: 3}
YEAR_DAYS = 364  # the same weekday a year before
SCALE_DAYS = 364  # past distances that a distance is measured by
FEWEST_DISTANCES = 14
ONSET_DAYS = 7  # a fall builds up over a week: its own days do not count as past
LARGEST_SEASON = 0.5  # logits that a year before may move what is expected
STOOD_OUT = 3.0  # standard errors from which on a week of the year before was no chance
LOOKS_A_YEAR = 365
MAD_TO_SD = 1.4826  # of a normal distribution
# least standard error of a distance: the share's own and that of a median of 4, or the end of a robust line through 8
FLOOR = {"level": 1.2, "line": 1.4}
PAST_WEEKS = 4  # weeks that the binomial floor is worth where the past is short
NAMED, NAMED_SHARE = 3, 0.8  # groups that an explanation names, and what they explain together

Floats = NDArray[np.float64]
Days = NDArray[np.int64]  # numbers of days in a series


def logit(share: Floats) -> Floats:
    """Log-odds."""
    return np.log(share / (1 - share))


def expit(logits: Floats) -> Floats:
    """The share of log-odds."""
    return 1 / (1 + np.exp(-logits))


def expectations(logits: Floats) -> dict[str, Floats]:
    """What each way of looking back lets expect of each day, from days at least a week before it; NaN: too little past."""
    weeks = np.stack([_shifted(logits, WEEK_DAYS * week) for week in range(1, LINE_WEEKS + 1)])
    level = np.where(_known(weeks[:LEVEL_WEEKS]) >= FEWEST_WEEKS[LEVEL_WEEKS], _median(weeks[:LEVEL_WEEKS]), np.nan)
    # Theil-Sen: median of the slopes of all pairs, then of the ends (Sen 1968, doi:10.1080/01621459.1968.10480934)
    slope = _median(np.stack([(weeks[i] - weeks[j]) / (j - i) for j in range(LINE_WEEKS) for i in range(j)]))
    ends = _median(weeks + slope * np.arange(1, LINE_WEEKS + 1)[:, None])
    line = np.where(_known(weeks) >= FEWEST_WEEKS[LINE_WEEKS], ends, np.nan)
    return {"level": level, "line": line}


def _shifted(values: Floats, days: int) -> Floats:
    moved = np.full(len(values), np.nan)
    moved[days:] = values[: max(len(values) - days, 0)]
    return moved


def _known(rows: Floats) -> Floats:
    return np.isfinite(rows).sum(axis=0)


def _median(rows: Floats) -> Floats:
    """Median of each column's known values; NaN where there are none."""
    ordered = np.sort(rows, axis=0)  # NaN last
    known = _known(rows)
    columns = np.arange(rows.shape[1])
    low, high = np.maximum((known - 1) // 2, 0), np.minimum(known // 2, len(rows) - 1)
    return np.where(known > 0, (ordered[low, columns] + ordered[high, columns]) / 2, np.nan)


def expected_and_fall(active: Floats, came_back: Floats, at: Days) -> tuple[Floats, Floats]:
    """Expected share and z (positive: a fall) of one group on the days ``at``; NaN where the past is too short.

    ``active``, ``came_back``: one value a day without gaps, NaN where there is no row. Only what lies before a day
    decides about it.
    """
    share, logits = came_back / active, logit((came_back + 0.5) / (active + 1))
    ago = at[:, None] - YEAR_DAYS + np.arange(-3, 4)
    days = np.unique(np.concatenate([at, ago[ago >= 0]]))
    expected, middle, spread, weeks = (np.full(len(active), np.nan) for _ in range(4))
    expected[days], middle[days], spread[days], weeks[days] = _without_season(share, logits, active, days)
    missed = logits - expected
    z = (middle - _distance(share, expit(expected), active)) / spread
    season = _season(missed, z, ago)
    wanted = expit(expected[at] + season)
    fall = (middle[at] - _distance(share[at], wanted, active[at])) / spread[at]
    return wanted, _as_normal(fall, weeks[at])


def _without_season(share: Floats, logits: Floats, active: Floats, days: Days) -> tuple[Floats, Floats, Floats, Floats]:
    """Expected logit, and median, spread and weeks of the distances before each of ``days``, by what missed least."""
    least = np.full(len(days), np.inf)
    best = np.full((4, len(days)), np.nan)
    for name, expectation in expectations(logits).items():
        middle, spread, weeks = _past(_distance(share, expit(expectation), active), days)
        # where the past is short, the floor has a say; a long past speaks for itself
        floor = FLOOR[name]
        spread = np.sqrt((weeks * np.maximum(spread, floor) ** 2 + PAST_WEEKS * floor**2) / (weeks + PAST_WEEKS))
        better = np.isfinite(spread) & np.isfinite(expectation[days]) & (spread < least)
        least = np.where(better, spread, least)
        best = np.where(better, np.stack([expectation[days], middle, spread, weeks + PAST_WEEKS]), best)
    return best[0], best[1], best[2], best[3]


def _distance(share: Floats, expected: Floats, active: Floats) -> Floats:
    return (share - expected) / np.sqrt(expected * (1 - expected) / active)


def _season(missed: Floats, z: Floats, ago: Days) -> Floats:
    """By how many logits the same week of the year before (rows of ``ago``) stood out; 0 where it did not, or is not known."""
    inside = np.where(ago >= 0, ago, 0)
    weeks = np.where(ago >= 0, missed[inside], np.nan).T
    stood_out = np.abs(_median(np.where(ago >= 0, z[inside], np.nan).T)) > STOOD_OUT
    return np.where(stood_out, np.clip(_median(weeks), -LARGEST_SEASON, LARGEST_SEASON), 0.0)


def _past(distance: Floats, at: Days) -> tuple[Floats, Floats, Floats]:
    """Median, robust standard deviation and number of weeks of the distances of the year before each day of ``at``."""
    padded = np.concatenate([np.full(SCALE_DAYS + ONSET_DAYS, np.nan), distance])
    # columns: the days of ``at``; rows: at - 371 .. at - 8
    rows = padded[np.arange(SCALE_DAYS)[:, None] + at[None, :]]
    known = _known(rows)
    middle = _median(rows)
    spread = MAD_TO_SD * _median(np.abs(rows - middle))
    enough = known >= FEWEST_DISTANCES
    return np.where(enough, middle, np.nan), np.where(enough, spread, np.nan), known / WEEK_DAYS


def _as_normal(t: Floats, degrees: Floats) -> Floats:
    """The normal deviate as rare as Student's ``t`` (Abramowitz & Stegun 26.7.8): few weeks tell little about the spread."""
    return t * (1 - 1 / (4 * degrees)) / np.sqrt(1 + t**2 / (2 * degrees))


def alarms_a_year(z: float, groups: int) -> float:
    """How many falls as large as ``z`` chance alone would show in a year of daily looks at ``groups``; at most 1."""
    return min(1.0, 0.5 * math.erfc(z / math.sqrt(2)) * LOOKS_A_YEAR * groups)


def rate_and_mix(weight: Floats, share: Floats, usual_weight: Floats, usual_share: Floats) -> tuple[Floats, Floats]:
    """What each group adds to the change of the whole: by its rate, and by the mix of users; together they are all of it.

    Kitagawa 1955 (doi:10.1080/01621459.1955.10501299): differences of one at the mean of the other; a group's mix is
    counted against the whole's mean share, which changes no sum since weights add up to 1.
    """
    middle = (usual_weight + weight) @ (usual_share + share) / 4 / ((usual_weight + weight).sum() / 2)
    rate = (share - usual_share) * (weight + usual_weight) / 2
    mix = (weight - usual_weight) * ((share + usual_share) / 2 - middle)
    return rate, mix


def detect_in_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of (day, segment, value, active, came_back) to one row a group of the newest day; see ``detect``."""
    given = [batch for batch in batches if batch.num_rows]
    if not given:
        return
    table = pa.Table.from_batches(given)
    rows = detect(
        table.column("day").cast(pa.int32()).to_numpy(),
        table.column("segment").to_pylist(),
        table.column("value").to_pylist(),
        table.column("active").to_numpy().astype(float),
        table.column("came_back").to_numpy().astype(float),
    )
    yield pa.RecordBatch.from_pylist(
        rows,
        pa.schema(
            [
                ("segment", pa.string()),
                ("value", pa.string()),
                ("expected_share", pa.float64()),
                ("fall_z", pa.float64()),
                ("fall_p", pa.float64()),
                ("fall_because", pa.string()),
            ]
        ),
    )


def detect(
    day: NDArray[np.int32], segment: list[str], value: list[str], active: Floats, came_back: Floats
) -> list[dict[str, Any]]:
    """One mapping a group with a row on the newest day: expected share, z, p over all groups, and the explanation."""
    first, last = int(day.min()), int(day.max())
    length = last - first + 1
    series: dict[tuple[str, str], Floats] = {}
    for i, group in enumerate(zip(segment, value, strict=True)):
        if active[i] > 0:
            rows = series.setdefault(group, np.full((2, length), np.nan))
            rows[:, int(day[i]) - first] = active[i], came_back[i]
    newest = np.array([length - 1])
    groups = {group: rows for group, rows in sorted(series.items()) if np.isfinite(rows[0, -1])}
    found = {group: expected_and_fall(rows[0], rows[1], newest) for group, rows in groups.items()}
    looks = sum(bool(np.isfinite(z[0])) for _, z in found.values())
    texts = _explained(groups, {group: float(expected[0]) for group, (expected, _) in found.items()})
    made = []
    for (name, of), (expected, z) in found.items():
        known = bool(np.isfinite(z[0]))
        made.append(
            {
                "segment": name,
                "value": of,
                "expected_share": float(expected[0]) if known else None,
                "fall_z": float(z[0]) if known else None,
                "fall_p": alarms_a_year(float(z[0]), looks) if known else None,
                "fall_because": texts.get((name, of)),
            }
        )
    return made


ALL_USERS = ("all", "all")
Series = dict[tuple[str, str], Floats]


def _explained(groups: Series, expected: dict[tuple[str, str], float]) -> dict[tuple[str, str], str]:
    """Why the base fell: for each group its part in words; for the base the segment that tells most."""
    if ALL_USERS not in groups or not math.isfinite(expected[ALL_USERS]):
        return {}
    texts: dict[tuple[str, str], str] = {}
    best: tuple[float, str] = (0.1, "no segment stands out: it falls everywhere alike")
    for name in sorted({segment for segment, _ in groups} - {ALL_USERS[0]}):
        members = [group for group in groups if group[0] == name and math.isfinite(expected[group])]
        told = _segment(name, members, groups, expected)
        if told is None:
            continue
        texts |= told[2]
        best = max(best, told[:2])
    if texts:
        texts[ALL_USERS] = best[1]
    return texts


def _segment(
    name: str, members: list[tuple[str, str]], groups: Series, expected: dict[tuple[str, str], float]
) -> tuple[float, str, dict[tuple[str, str], str]] | None:
    """How much more than its weight a segment's strongest groups explain, in words, and the words of each group.

    None where the segment's groups do not fall together.
    """
    if len(members) < 2:
        return None
    now = np.array([groups[group][:, -1] for group in members])
    # the weight of a group is what it was in the four weeks before the last
    before = np.array([np.nanmedian(groups[group][0, -1 - 35 : -1 - ONSET_DAYS]) for group in members])
    usual = np.array([expected[group] for group in members])
    weight, usual_weight = now[:, 0] / now[:, 0].sum(), before / before.sum()
    rate, mix = rate_and_mix(weight, now[:, 1] / now[:, 0], usual_weight, usual)
    total = float((rate + mix).sum())
    if total >= 0 or not math.isfinite(total):
        return None
    explains = (rate + mix) / total
    texts = {
        group: f"{group[0]}={group[1]} {explains[i]:.0%} of the fall "
        f"(rate {rate[i]:+.3f}, mix {mix[i]:+.3f}; {weight[i]:.0%} of users)"
        for i, group in enumerate(members)
    }
    order = np.argsort(-explains, kind="stable")
    named = [int(order[0])]
    for i in order[1:NAMED]:
        if explains[named].sum() < NAMED_SHARE and explains[i] > usual_weight[i]:
            named.append(int(i))
    excess = float((explains[named] - usual_weight[named]).sum())
    return excess, "; ".join(texts[members[i]] for i in named), texts
