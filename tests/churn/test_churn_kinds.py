"""Every kind of definition: hand-made users, and an independent reference in plain Python."""

from calendar import monthrange
from datetime import date, timedelta
from fractions import Fraction
from math import ceil
from random import Random

import pytest
from pydantic import ValidationError

from churnwatch.churn import eligible_users, labels
from churnwatch.flow import flow
from churnwatch.settings import Definition
from smallworld import activity, as_of, contracts, first_days, on_days, plan_of, rows, settings, stacked

TODAY = date(2024, 2, 28)  # the next is 29 February
CHURN = {
    "primary": "silent",
    "definitions": {
        "silent": {"horizon_days": 2, "lead_days": 1, "active_within_days": 2},
        "half": {
            "kind": "drop",
            "measure": "spend_cents",
            "before_days": 4,
            "min_before": 10,
            "min_before_days": 2,
            "keep_share": 0.3,
            "lead_days": 1,
            "horizon_days": 3,
        },
        "left": {"kind": "event", "events": ["port_out"], "active_within_days": 3, "lead_days": 1, "horizon_days": 2},
        "ends": {
            "kind": "event",
            "attribute": "plan",
            "renewed_by": ["renew"],
            "active_within_days": 3,
            "lead_days": 1,
            "horizon_days": 3,
        },
        "habit": {
            "kind": "gap",
            "active_within_days": 8,
            "min_active_days": 2,
            "times": 1.5,
            "min_gap_days": 2,
            "lead_days": 1,
            "horizon_days": 5,
        },
        "silent_long": {"horizon_days": 100, "lead_days": 5, "active_within_days": 95},
        "left_long": {"kind": "event", "events": ["port_out"], "lead_days": 3, "horizon_days": 95, "active_within_days": 100},
    },
}
ONE = settings(churn=CHURN)
T = contracts(churn=CHURN)
MEANT = ONE.churn.definitions
NO_COUNTS = {f"def_{name}": 0 for name in MEANT}


def on(days):
    return TODAY + timedelta(days=days)


def did(user, offset, **values):
    return activity(user, on(offset), **{**NO_COUNTS, **values})


def months_of(active):
    """monthly_activity of daily rows: what labels read of it."""
    found = {}
    for row in sorted(active, key=lambda r: r["day"]):
        end = row["day"].replace(day=monthrange(row["day"].year, row["day"].month)[1])
        month = found.setdefault((end, row["user_id"]), {"day": end, "user_id": row["user_id"], "first_day": row["day"]})
        month["last_day"] = row["day"]
        month |= {f"def_{name}_last_day": row["day"] for name in MEANT if row[f"def_{name}"] > 0}
        found[end, row["user_id"]] = month
    return list(found.values())


def inputs_of(spark, world, days, name, by_months=False, ahead=True):
    """Inputs as the runner cuts them: from daily rows alone, or as the flow declares them."""
    reads = next(j for j in flow(ONE) if j.full_name == f"label_churn:{name}").reads
    stored = {"daily_activity": world["activity"], "monthly_activity": months_of(world["activity"]), "users": world["users"]}
    stored["first_seen"] = first_days(world["activity"])
    wide = {
        "before": T.daily_activity.trailing(MEANT[name].seen_days),
        "after": T.daily_activity.following(1, MEANT[name].ahead_days),
    }
    if not by_months:
        reads = {alias: wide.get(alias, read) for alias, read in reads.items() if not alias.startswith("months")}
    made = {}
    for alias, read in reads.items():
        if read.span.as_of:
            made[alias] = as_of(spark, read.table, stored[read.table.name], days)
        elif ahead or read.span.last <= 0:
            first, last = read.span.days(min(days), max(days))
            made[alias] = rows(spark, read.table, on_days(stored[read.table.name], first, last))
    return made


def labelled(spark, world, days, name, by_months=False):
    return labels(inputs_of(spark, world, days, name, by_months), days, ONE, name)["user_labels"]


def test_kinds_by_hand(spark):
    def spent(user, *cents):
        return [did(user, n, spend_cents=c) for n, c in cents]

    def seen(user, name, *offsets):
        return [did(user, n, **{f"def_{name}": 1}) for n in offsets]

    world = {
        "users": [plan_of("lapses", on(-9), str(on(3))), plan_of("renews in the lead", on(-9), str(on(3)))]
        + [plan_of("ends in the lead", on(-9), str(on(1))), plan_of("ends too late", on(-9), str(on(5)))]
        + [plan_of("moves on", on(-9), str(on(3))), plan_of("moves on", on(4), str(on(400)))]
        + [plan_of("moves too late", on(-9), str(on(3))), plan_of("moves too late", on(5), str(on(400)))]
        + [plan_of("says no date", on(-9), "soon")]
        + [plan_of("registered before", on(-9), None, registered_on=on(-3)), plan_of("bought before", on(-9), None, TODAY)],
        "activity": [
            # 40 cents in 4 days are 10 a day; 30 % of it over 3 days are 9: 9 is kept, 8 is lost
            *spent("keeps 30 %", (-3, 20), (0, 20), (2, 4), (4, 5)),
            *spent("keeps less", (-3, 20), (0, 20), (1, 99), (4, 8), (5, 99)),
            *spent("too little before", (-4, 99), (-3, 9), (0, 0)),
            # 40 cents in the 2 days since the first one are 20 a day; 30 % of it over 3 days are 18
            *spent("joined yesterday", (-1, 20), (0, 20), (2, 4), (4, 13)),
            *spent("joined yesterday, keeps 30 %", (-1, 20), (0, 20), (2, 4), (4, 14)),
            *spent("registered before", (-1, 20), (0, 20), (2, 4), (4, 5)),
            *spent("bought before", (-3, 20), (0, 20), (2, 4), (4, 5)),
            *spent("joined today", (0, 40)),
            *seen("ports out", "left", 2),
            did("ports out", 0),
            did("ports out in the lead", -2),
            *seen("ports out in the lead", "left", 1),
            did("ported before", 0),
            *seen("ported before", "left", -1, 3),
            *seen("was gone too long ago to matter", "left", -3),
            did("was gone too long ago to matter", -1),
            *(
                did(user, 0)
                for user in ("lapses", "ends in the lead", "ends too late", "says no date", "moves on", "moves too late")
            ),
            did("renews in the lead", 0),
            *seen("renews in the lead", "ends", 1),
            # days -6, -3, 0: a gap of 3 is usual, 1.5 x 3 is 4.5, so a pause of 5 days is no churn
            *seen("as usual", "habit", -6, -3, 0, 5),
            *seen("a day too late", "habit", -6, -3, 0, 6),
            *seen("pauses from the lead on", "habit", -6, -3, 0, 1, 7),
            *seen("as usual from the lead on", "habit", -6, -3, 0, 1, 6),
            *seen("began to pause before", "habit", -7, -4, -1, 5),
            *seen("began to pause before, in time", "habit", -7, -4, -1, 4),
            # days -1, 0: 1.5 x 1, so 2 days
            *seen("daily, a day late", "habit", -1, 0, 3),
            *seen("daily, in time", "habit", -1, 0, 2),
            *seen("daily, lost in the lead", "habit", -2, -1, 2),
            *seen("daily, back in the lead", "habit", -2, -1, 1, 3),
            *seen("daily, lost before", "habit", -7, -6, -5),
            *seen("daily, lost today", "habit", -3, -2, 2),
            # days -7, 0: 1.5 x 7 is 11, the horizon ends it at 5 days
            *seen("rare, silent", "habit", -7, 0, 7),
            *seen("one day is no habit", "habit", 0),
        ],
    }
    found, ended = {}, {}
    for r in stacked(labelled(spark, world, (TODAY,), name) for name in ("half", "left", "ends", "habit")).collect():
        found.setdefault(r["definition"], {})[r["user_id"]] = r["churned"]
        ended.setdefault(r["definition"], {})[r["user_id"]] = r["churned_on"]
    assert found["half"] == {
        "keeps 30 %": False,
        "keeps less": True,
        "joined yesterday": True,
        "joined yesterday, keeps 30 %": False,
        # both had all four days
        "registered before": False,
        "bought before": False,
    }
    # whoever was active may leave; who left in the lead left before the horizon
    left = {user: churned for user, churned in found["left"].items() if "port" in user or "gone" in user}
    assert left == {"ports out": True, "was gone too long ago to matter": False}
    assert found["ends"] == {"lapses": True, "renews in the lead": False, "moves on": False, "moves too late": True}
    assert found["habit"] == {
        "as usual": False,
        "a day too late": True,
        "pauses from the lead on": True,
        "as usual from the lead on": False,
        "began to pause before": True,
        "began to pause before, in time": False,
        "daily, a day late": True,
        "daily, in time": False,
        "daily, back in the lead": False,
        "rare, silent": True,
    }
    # a pause counts from the last event up to the end of the lead; the other kinds have no such day
    lasted = {user: day for user, day in ended["habit"].items() if found["habit"][user]}
    assert lasted == {
        "a day too late": on(5),
        "pauses from the lead on": on(6),
        "began to pause before": on(4),
        "daily, a day late": on(2),
        "rare, silent": on(5),
    }
    assert {day for name in ("half", "left", "ends") for day in ended[name].values()} == {None}


def test_a_mean_is_over_the_days_that_history_has(spark):
    registered = [plan_of(user, on(-9), None, registered_on=on(-9)) for user in ("loses", "keeps")]
    spent = {"loses": {-1: 20, 0: 20, 4: 17}, "keeps": {-1: 20, 0: 20, 4: 18}}
    world = {
        "users": registered,
        "activity": [did(user, n, spend_cents=cents) for user, days in spent.items() for n, cents in days.items()],
    }
    found = {r["user_id"]: r["churned"] for r in labelled(spark, world, (TODAY,), "half").collect()}
    assert found == {"loses": True, "keeps": False}


def test_a_loss_is_labelled_while_the_pause_can_end_in_time_and_never_again(spark):
    # a pause of 5 days is no churn: from O+4 on it is over at the end of the lead
    world = {"users": [], "activity": [did("u", n, def_habit=1) for n in (-6, -3, 0)]}
    days = tuple(on(n) for n in range(10))
    found = sorted((r["day"], r["churned"]) for r in labelled(spark, world, days, "habit").collect())
    assert found == [(on(n), True) for n in range(4)]


# --- the reference ----------------------------------------------------------------------------------------------------


def expected(world, day, name):
    """user -> (churned, last_active_day) of eligible users, from the definition's words alone, day by day; churned None: no
    label."""
    meant, counted = MEANT[name], f"def_{name}"
    lead, end = meant.lead_days, meant.ahead_days
    history = (day - min(r["day"] for r in world["activity"])).days + 1
    found = {}
    for user in {r["user_id"] for r in world["activity"]}:
        by_offset = {(r["day"] - day).days: r for r in world["activity"] if r["user_id"] == user}
        before = {n: r for n, r in by_offset.items() if -meant.seen_days < n <= 0}
        ahead = {n: r for n, r in by_offset.items() if lead < n <= end}
        events = [n for n, r in sorted(before.items()) if r[counted]]
        events_ahead = [n for n, r in sorted(ahead.items()) if r[counted]]
        in_lead = [n for n, r in sorted(by_offset.items()) if 0 < n <= lead and r[counted]]
        if meant.kind == "inactivity":
            there, churned = events, not events_ahead
        elif meant.kind == "drop":
            there = [n for n in sorted(before) if before[n][meant.measure] != 0]
            total = sum(r[meant.measure] for r in before.values())
            days = min(meant.before_days, 1 - min(by_offset), history)
            there = there if total >= meant.min_before and days >= meant.min_before_days else []
            after = Fraction(sum(r[meant.measure] for r in ahead.values()), meant.horizon_days)
            churned = bool(there) and after < Fraction(str(meant.keep_share)) * Fraction(total, days)
        elif meant.attribute:
            stated = [r for r in world["users"] if r["user_id"] == user]
            ends = {(r["day"] - day).days: dated(r["attributes"]["plan"]) for r in stated}
            known = ends.get(max((n for n in ends if n <= 0), default=None))
            there = sorted(before) if known and lead < (known - day).days <= end else []
            moved = any(0 < n <= end and d and (d - day).days > end for n, d in ends.items())
            churned = not moved and not any(r[counted] for n, r in by_offset.items() if 0 < n <= end)
        elif meant.kind == "event":
            there, churned = [] if events else sorted(before), None if in_lead else bool(events_ahead)
        else:
            there = events if len(events) >= meant.min_active_days else []
            usual = Fraction(events[-1] - events[0], len(events) - 1) if there else 0
            days = max(meant.min_gap_days, min(meant.horizon_days, ceil(Fraction(str(meant.times)) * usual)))
            there = [n for n in there if -there[-1] < days]
            pause_from = max([*events, *in_lead], default=0)
            back = min(events_ahead, default=None)
            churned = None if lead - pause_from >= days else back is None or back - pause_from > days
        if there:
            found[user] = (churned, day + timedelta(days=there[-1]))
    return found


def dated(text):
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def a_world(seed, first, last, ends=()):
    """Days of a hundred users between two offsets, most of them without an event. The label of a user does not depend on
    others, so each is a case of its own."""
    random = Random(seed)
    made, plans = [], {}
    for n in range(100):
        user = f"u{n}"
        for offset in random.sample(range(first, last + 1), random.randint(1, 12)):
            counts = {column: int(random.random() < 0.4) for column in NO_COUNTS}
            made.append(did(user, offset, spend_cents=random.randint(-5, 30), **counts))
        for offset in random.sample(range(-9, 9), 2 if ends else 0):
            plans[user, offset] = random.choice(ends)
    return {"activity": made, "users": [plan_of(u, on(n), plan) for (u, n), plan in sorted(plans.items())]}


def scored(spark, world, name):
    """The users scored at TODAY, in the columns of labels; no later day is read."""
    found = eligible_users(inputs_of(spark, world, (TODAY,), name, ahead=False), (TODAY,), ONE, name)
    return found.selectExpr(
        "day", f"'scored {name}' AS definition", "user_id", "NULL AS churned", "last_active_day", "NULL AS churned_on"
    )


def labels_of(frames):
    """(definition, day, user) -> (churned, last_active_day) of all ``frames``, read in one pass."""
    return {(r["definition"], r["day"], r["user_id"]): (r["churned"], r["last_active_day"]) for r in stacked(frames).collect()}


def test_every_kind_is_as_the_reference_says_day_by_day(spark):
    world = a_world(1, -9, 13, ends=(str(on(2)), str(on(4)), str(on(9)), "never", None))
    days, names = (TODAY, on(1), on(2), on(5)), ("silent", "half", "left", "ends", "habit")
    found = labels_of([labelled(spark, world, days, n) for n in names] + [scored(spark, world, n) for n in names])
    eligible = {(n, d, u): e for n in names for d in days for u, e in expected(world, d, n).items()}
    reference = {key: e for key, e in eligible.items() if e[0] is not None}
    reference |= {(f"scored {n}", d, u): (None, e[1]) for (n, d, u), e in eligible.items() if d == TODAY}
    assert found == reference
    assert {n for (n, *_), (churned, _) in eligible.items() if churned is None} == {"left", "habit"}
    assert {(n, churned) for (n, *_), (churned, _) in found.items() if churned is not None} == {
        (n, churned) for n in names for churned in (True, False)
    }


def test_long_definitions_are_the_same_by_months_and_by_days(spark):
    world = a_world(2, -120, 140)
    # 29 February, the end and the beginning of a month, and days from which a horizon ends with June
    days, names = (TODAY, on(1), on(17), on(18), on(25), on(32), on(33)), ("silent_long", "left_long")
    eligible = {(n, d, u): e for n in names for d in days for u, e in expected(world, d, n).items()}
    reference = {key: e for key, e in eligible.items() if e[0] is not None}
    assert len(reference) < len(eligible), "some left in the lead"
    assert labels_of(labelled(spark, world, days, n) for n in names) == reference
    assert labels_of(labelled(spark, world, days, n, by_months=True) for n in names) == reference
    alone = labels_of(labelled(spark, world, (on(17),), n, by_months=True) for n in names)
    assert alone == {key: e for key, e in reference.items() if key[1] == on(17)}


# --- configuration and spans ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "faults"),
    [
        ({"kind": "inactivity"}, ["kind inactivity lacks active_within_days"]),
        (
            {"active_within_days": 7, "measure": "orders"},
            ["kind inactivity has no measure (it has active_within_days, events, active_events)"],
        ),
        ({"kind": "drop", "before_days": 7, "events": ["x"]}, ["lacks measure", "lacks keep_share", "has no events"]),
        ({"kind": "event", "active_within_days": 7}, ["has either events or attribute"]),
        ({"kind": "event", "active_within_days": 7, "events": ["x"], "renewed_by": ["y"]}, ["renewed_by with attribute alone"]),
        ({"kind": "gap", "active_within_days": 7, "min_active_days": 3, "times": 1 / 3}, ["times with more than four decimals"]),
        (
            {"kind": "drop", "measure": "x", "before_days": 5, "min_before": 1, "keep_share": 0.5, "min_before_days": 6},
            ["min_before_days 6 above before_days 5"],
        ),
        (
            {"kind": "gap", "active_within_days": 7, "min_active_days": 3, "times": 2, "min_gap_days": 8},
            ["min_gap_days 8 above its horizon of 7 days"],
        ),
    ],
)
def test_keys_that_do_not_belong_to_a_kind_are_refused(given_, faults):
    with pytest.raises(ValidationError) as error:
        Definition.model_validate({"horizon_days": 7, **given_})
    assert [fault for fault in faults if fault not in str(error.value)] == []


def test_a_long_definition_reads_a_month_of_days_and_at_most_thirteen_months():
    long = {"horizon_days": 365, "lead_days": 14, "active_within_days": 365}
    one = settings(churn={"primary": "year", "definitions": {"year": long}})
    jobs = {job.full_name: job for job in flow(one)}
    spans = {alias: read.span for alias, read in jobs["label_churn:year"].reads.items()}
    partitions = {alias: span.last - span.first + 1 for alias, span in spans.items()}
    assert partitions == {"before": 31, "after": 31, "months_before": 365, "months_after": 379}
    assert max(span.last for span in spans.values()) == 379, "no further than what is known when the label is"
    # scores select their users by the same rows
    assert {"before", "months_before"} <= set(jobs["score_users"].reads)
    assert set(jobs["score_users"].reads).isdisjoint({"after", "months_after"})
