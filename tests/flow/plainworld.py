"""daily_activity and user_features of the small world (``smallworld.SMALL``) in plain Python, from raw lines by the words of
their contracts: nothing is put together twice, windows are counted from lines of their days, whatever Spark does."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

GAP = timedelta(minutes=30)
SUMMED = ("events", "sessions", "orders", "cancels", "spend_cents")
WINDOWS, TREND, POPULATION = (1, 2, 4), 1, 3
BOT_SHARE = 0.2  # of the active days


def by_user_and_day(lines, zone):
    """(user, local day) -> the user's events of the day as (instant, line), in order; lines without a user are none."""
    found = {}
    for line in lines:
        if user := str(line["user_id"]).strip():
            at = datetime.fromisoformat(line["event_time"])
            found.setdefault((user, at.astimezone(zone).date()), []).append((at, line))
    return {key: sorted(events, key=lambda event: event[0]) for key, events in found.items()}


def daily(lines, zone, bot_above, hashes):
    """(user, day) -> the row of daily_activity; ``hashes``: item -> what the table holds for it."""
    events_of = by_user_and_day(lines, zone)
    times = {}
    for (user, _), events in events_of.items():
        times.setdefault(user, []).extend(at for at, _ in events)
    made = {}
    for (user, day), events in events_of.items():
        begins = [at for at in {at for at, _ in events} if not any(at - GAP <= other < at for other in times[user])]
        kinds = [line["event_type"] for _, line in events]
        lasted = [line["duration_s"] * 1000 for _, line in events if line["duration_s"] is not None]
        made[user, day] = {
            "day": day,
            "user_id": user,
            "events": len(events),
            "acts": len(events),
            "sessions": len(begins),
            "first_time": events[0][0].astimezone(UTC),
            "last_time": events[-1][0].astimezone(UTC),
            "hours": sum(1 << hour for hour in {at.astimezone(zone).hour for at, _ in events}),
            "bot": len(events) > bot_above,
            "orders": kinds.count("order"),
            "cancels": kinds.count("cancel"),
            "spend_cents": sum(round(line["amount"] * 100) for _, line in events),
            "slowest_ms": max(lasted, default=None),
            "items": sorted({hashes[line["item_id"]] for _, line in events if line["item_id"] is not None}),
            "def_silent": kinds.count("order") + kinds.count("view"),
        }
    return made


def features(days, of, first_day):
    """user -> the row of user_features of the day ``of``, from the rows of ``daily``; ``first_day``: the first stored one."""
    made = {}
    for user in {user for user, _ in days}:
        mine = {(of - day).days: row for (who, day), row in days.items() if who == user and day <= of}
        if mine and min(mine) < POPULATION:
            made[user] = {"day": of, "user_id": user, **_of_user(mine, min((of - first_day).days + 1, WINDOWS[-1]))}
    return made


def _of_user(mine, history):
    """The features of a user whose rows of daily_activity are known by their age in days."""
    row = {"tenure_days": max(mine), "history_days": history}
    longest = [day for age, day in mine.items() if age < WINDOWS[-1]]
    row["bot"] = any(day["bot"] for day in longest) and sum(day["bot"] for day in longest) >= BOT_SHARE * len(longest)
    for window in WINDOWS:
        inside = [day for age, day in mine.items() if age < window]
        row[f"active_days_{window}d"] = len(inside)
        row |= {f"{name}_{window}d": sum(day[name] for day in inside) for name in SUMMED}
        row[f"slowest_ms_{window}d"] = max((day["slowest_ms"] for day in inside if day["slowest_ms"] is not None), default=None)
        row[f"items_{window}d"] = len(set().union(*(day["items"] for day in inside)))
        row[f"cancel_rate_{window}d"] = _ratio(row[f"cancels_{window}d"], row[f"orders_{window}d"])
    for name in SUMMED:
        last = row[f"{name}_{TREND}d"]
        before = row[f"{name}_{2 * TREND}d"] - last
        enough = min(max(mine) + 1, history) >= 2 * TREND
        row[f"{name}_trend"] = _ratio(last - before, abs(last) + abs(before)) if enough else None
    for name in (*SUMMED, "slowest_ms", "items"):
        if name != "sessions":
            seen = [age for age, day in mine.items() if age < WINDOWS[-1] and day[name] not in (None, 0, [])]
            # a duration of 0 is one too
            seen += [age for age, day in mine.items() if age < WINDOWS[-1] and name == "slowest_ms" and day[name] == 0]
            row[f"{name}_days_since"] = min(seen, default=None)
    return row


def _ratio(part, whole):
    return float(Fraction(part, whole)) if whole else None
