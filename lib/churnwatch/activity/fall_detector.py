"""Detect a sudden fall of the share of users who come back, for every group of activity_trend on its newest day.

A group is a segment and value. Its share is compared with a forecast from its own past: the same weekday of earlier weeks,
by their median (``level``) or by a robust line through them (``line``), whichever had the smaller errors so far. A
deviation in the same week of the year before, such as a holiday, is added to the forecast. The distance between share and
forecast is measured in binomial standard errors, widened by the spread of the group's earlier distances (median absolute
deviation), so that small groups and groups with large variation need a larger fall.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEEK_DAYS = 7
LINE_WEEKS, LEVEL_WEEKS = 8, 4  # weeks of the same weekday that a line and a level use
FEWEST_WEEKS = {LINE_WEEKS: 5, LEVEL_WEEKS: 3}
YEAR_DAYS = 364  # the same weekday a year before
SCALE_DAYS = 364  # days of past distances that give the spread
FEWEST_DISTANCES = 14
ONSET_DAYS = 7  # a fall builds up over a week, so its days are not used as past
LARGEST_SEASON = 0.5  # largest change of the forecast, in logits, by the year before
STOOD_OUT = 3.0  # standard errors above which a week of the year before counts as a deviation
LOOKS_A_YEAR = 365
MAD_TO_SD = 1.4826  # for a normal distribution
# least standard deviation of a distance: that of the share and of a median of 4, or of the end of a robust line through 8
FLOOR = {"level": 1.2, "line": 1.4}
PAST_WEEKS = 4  # weight of FLOOR, in weeks, beside the weeks of the past
NAMED, NAMED_SHARE = 3, 0.8  # an explanation names up to 3 groups, until they explain 80 %

Floats = NDArray[np.float64]
Days = NDArray[np.int64]  # indices of days in a series


def logit(share: Floats) -> Floats:
    """Return the log-odds of a share."""
    return np.log(share / (1 - share))


def expit(logits: Floats) -> Floats:
    """Return the share that has these log-odds."""
    return 1 / (1 + np.exp(-logits))


def forecasts(logits: Floats) -> dict[str, Floats]:
    """Forecast each day from the same weekday of earlier weeks, at least 7 days back, by two methods.

    NaN when fewer than 3 (level) or 5 (line) of the weeks have a value.
    """
    weeks = np.stack([_shifted(logits, WEEK_DAYS * week) for week in range(1, LINE_WEEKS + 1)])
    level = np.where(_count_known(weeks[:LEVEL_WEEKS]) >= FEWEST_WEEKS[LEVEL_WEEKS], _median(weeks[:LEVEL_WEEKS]), np.nan)
    # Theil-Sen: median of the slopes of all pairs, then of the ends (Sen 1968, doi:10.1080/01621459.1968.10480934)
    slope = _median(np.stack([(weeks[i] - weeks[j]) / (j - i) for j in range(LINE_WEEKS) for i in range(j)]))
    ends = _median(weeks + slope * np.arange(1, LINE_WEEKS + 1)[:, None])
    line = np.where(_count_known(weeks) >= FEWEST_WEEKS[LINE_WEEKS], ends, np.nan)
    return {"level": level, "line": line}


def _shifted(values: Floats, days: int) -> Floats:
    moved = np.full(len(values), np.nan)
    moved[days:] = values[: max(len(values) - days, 0)]
    return moved


def _count_known(rows: Floats) -> Floats:
    return np.isfinite(rows).sum(axis=0)


def _median(rows: Floats) -> Floats:
    """Return the median of each column without NaN; NaN when the column has no value."""
    ordered = np.sort(rows, axis=0)  # NaN last
    known = _count_known(rows)
    columns = np.arange(rows.shape[1])
    low, high = np.maximum((known - 1) // 2, 0), np.minimum(known // 2, len(rows) - 1)
    return np.where(known > 0, (ordered[low, columns] + ordered[high, columns]) / 2, np.nan)


def expected_and_fall(active: Floats, came_back: Floats, at: Days) -> tuple[Floats, Floats]:
    """Return the expected share and z of one group on the days ``at``; z > 0 is a fall; NaN when the past is too short.

    ``active``, ``came_back``: one value for every day, NaN for a day without a row. Only earlier days and the day itself
    decide on a day.
    """
    share, logits = came_back / active, logit((came_back + 0.5) / (active + 1))
    ago = at[:, None] - YEAR_DAYS + np.arange(-3, 4)
    days = np.unique(np.concatenate([at, ago[ago >= 0]]))
    expected, middle, spread, weeks = (np.full(len(active), np.nan) for _ in range(4))
    expected[days], middle[days], spread[days], weeks[days] = _without_season(share, logits, active, days)
    missed = logits - expected
    z = (middle - _distance(share, expit(expected), active)) / spread
    season = _season(missed, z, ago)
    seasonal = expit(expected[at] + season)
    fall = (middle[at] - _distance(share[at], seasonal, active[at])) / spread[at]
    return seasonal, _as_normal(fall, weeks[at])


def _without_season(share: Floats, logits: Floats, active: Floats, days: Days) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the forecast (a logit) with the smaller spread, and the median, spread and weeks of its earlier distances, per
    day of ``days``."""
    least = np.full(len(days), np.inf)
    best = np.full((4, len(days)), np.nan)
    for name, forecast in forecasts(logits).items():
        middle, spread, weeks = _past(_distance(share, expit(forecast), active), days)
        # the shorter the past, the more the spread is drawn to the floor
        floor = FLOOR[name]
        spread = np.sqrt((weeks * np.maximum(spread, floor) ** 2 + PAST_WEEKS * floor**2) / (weeks + PAST_WEEKS))
        better = np.isfinite(spread) & np.isfinite(forecast[days]) & (spread < least)
        least = np.where(better, spread, least)
        best = np.where(better, np.stack([forecast[days], middle, spread, weeks + PAST_WEEKS]), best)
    return best[0], best[1], best[2], best[3]


def _distance(share: Floats, expected: Floats, active: Floats) -> Floats:
    return (share - expected) / np.sqrt(expected * (1 - expected) / active)


def _season(missed: Floats, z: Floats, ago: Days) -> Floats:
    """Return the deviation, in logits, of the same week of the year before (rows of ``ago``); 0 when it was no deviation or is
    not known."""
    inside = np.where(ago >= 0, ago, 0)
    weeks = np.where(ago >= 0, missed[inside], np.nan).T
    stood_out = np.abs(_median(np.where(ago >= 0, z[inside], np.nan).T)) > STOOD_OUT
    return np.where(stood_out, np.clip(_median(weeks), -LARGEST_SEASON, LARGEST_SEASON), 0.0)


def _past(distance: Floats, at: Days) -> tuple[Floats, Floats, Floats]:
    """Return median, robust standard deviation and number of weeks of the distances in the year before each day of ``at``."""
    padded = np.concatenate([np.full(SCALE_DAYS + ONSET_DAYS, np.nan), distance])
    # columns: the days of ``at``; rows: at - 371 .. at - 8
    rows = padded[np.arange(SCALE_DAYS)[:, None] + at[None, :]]
    known = _count_known(rows)
    middle = _median(rows)
    spread = MAD_TO_SD * _median(np.abs(rows - middle))
    enough = known >= FEWEST_DISTANCES
    return np.where(enough, middle, np.nan), np.where(enough, spread, np.nan), known / WEEK_DAYS


def _as_normal(t: Floats, degrees: Floats) -> Floats:
    """Convert Student's ``t`` to the normal deviate with the same probability (Abramowitz & Stegun 26.7.8), because the
    spread comes from few weeks."""
    return t * (1 - 1 / (4 * degrees)) / np.sqrt(1 + t**2 / (2 * degrees))


def alarms_a_year(z: float, groups: int) -> float:
    """Return how many falls of at least ``z`` chance shows in a year of daily tests of ``groups`` groups, at most 1."""
    return min(1.0, 0.5 * math.erfc(z / math.sqrt(2)) * LOOKS_A_YEAR * groups)


def rate_and_mix(weight: Floats, share: Floats, usual_weight: Floats, usual_share: Floats) -> tuple[Floats, Floats]:
    """Split the change of the overall share into each group's change of rate and of mix; together they add up to it.

    Kitagawa 1955 (doi:10.1080/01621459.1955.10501299): the difference of one at the mean of the other. A group's mix is
    measured against the overall mean share, which leaves the sum unchanged because weights add up to 1.
    """
    middle = (usual_weight + weight) @ (usual_share + share) / 4 / ((usual_weight + weight).sum() / 2)
    rate = (share - usual_share) * (weight + usual_weight) / 2
    mix = (weight - usual_weight) * ((share + usual_share) / 2 - middle)
    return rate, mix


def detect(
    day: NDArray[np.int32], segment: list[str], value: list[str], active: Floats, came_back: Floats
) -> list[dict[str, Any]]:
    """Return one mapping per group with a row on the newest day: expected share, z, p over all groups, and the explanation."""
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
    tested = sum(bool(np.isfinite(z[0])) for _, z in found.values())
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
                "fall_p": alarms_a_year(float(z[0]), tested) if known else None,
                "fall_because": texts.get((name, of)),
            }
        )
    return made


ALL_USERS = ("all", "all")
Series = dict[tuple[str, str], Floats]


def _explained(groups: Series, expected: dict[tuple[str, str], float]) -> dict[tuple[str, str], str]:
    """Explain the fall of all users: per group its contribution in words, and for all users the segment that explains most."""
    if ALL_USERS not in groups or not math.isfinite(expected[ALL_USERS]):
        return {}
    texts: dict[tuple[str, str], str] = {}
    best: tuple[float, str] = (0.1, "no segment stands out: it falls everywhere alike")
    for name in sorted({segment for segment, _ in groups} - {ALL_USERS[0]}):
        members = [group for group in groups if group[0] == name and math.isfinite(expected[group])]
        found = _explained_by(members, groups, expected)
        if found is None:
            continue
        texts |= found[2]
        best = max(best, found[:2])
    if texts:
        texts[ALL_USERS] = best[1]
    return texts


def _explained_by(
    members: list[tuple[str, str]], groups: Series, expected: dict[tuple[str, str], float]
) -> tuple[float, str, dict[tuple[str, str], str]] | None:
    """Return how much more than their weight a segment's strongest groups explain, these groups in words, and each group
    in words. None when the segment has one group, or its groups did not fall in sum."""
    if len(members) < 2:
        return None
    now = np.array([groups[group][:, -1] for group in members])
    # the usual weight of a group is the median of the four weeks before the last
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
