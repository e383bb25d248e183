"""One row per user with all that is known."""

from datetime import date, timedelta

from churnwatch.flow import flow
from churnwatch.reports.profiles import build_profiles
from smallworld import as_of, at, collected, contracts, on_days, opted, plan_of, rows, settings

TODAY = date(2024, 3, 1)
ONE = settings(measures={"habit": True, "active_hours": True})


def ago(days):
    return TODAY - timedelta(days=days)


def profiles(spark, world):
    """user -> row, from inputs that are cut as the flow declares."""
    (job,) = (job for job in flow(ONE) if job.name == "build_profiles")
    inputs = {}
    for alias, read in job.reads.items():
        given, days = world.get(alias, []), (TODAY,)
        cut = as_of(spark, read.table, given, days) if read.span.as_of else None
        inputs[alias] = cut or rows(spark, read.table, on_days(given, *read.span.days(TODAY, TODAY)))
    made = build_profiles(inputs, (TODAY,), ONE)["user_profiles"]
    contract = contracts().user_profiles
    assert [(f.name, f.dataType) for f in made.schema] == [(f.name, f.dataType) for f in contract.schema]
    return {row["user_id"]: row for row in collected(made)}


def score(user, days, probability, cause):
    values = {"probability": probability, "tier": "all", "value_cents": 900, "value_at_risk_cents": 90, "cause": cause}
    return {"day": ago(days), "user_id": user, **values}


def warning(alert_id, user, days, level, escalates=None):
    about = {"scope": "user", "user_id": user, "rule_id": "model", "cause": "price", "evidence": "x", "owner": "team"}
    return {"day": ago(days), "alert_id": alert_id, "level": level, "escalates": escalates, "due_on": ago(days - 2), **about}


def event(alert_id, days, action):
    day = ago(days)
    return {
        "day": day,
        "event_id": f"{alert_id}{action}",
        "alert_id": alert_id,
        "at": at(day, "09:00"),
        "who": "ann",
        "action": action,
    }


def test_a_profile_holds_what_is_in_force_and_newest(spark):
    world = {
        "users": [plan_of("u", ago(9), "free", ago(40)), plan_of("u", TODAY, "gold", ago(40)), plan_of("quiet", ago(9), None)],
        "first_seen": [{"day": ago(30), "user_id": "u"}, {"day": ago(2), "user_id": "guest"}],
        "consents": [opted("u", ago(5), True), opted("u", ago(1), False)],
        "features": [
            {"day": TODAY, "user_id": "u", "tenure_days": 40.0, "events_days_since": 2.0, "active_days_4d": 3.0, "orders_4d": 9.0,
             "usual_gap_days": 1.5, "longest_gap_days": None, "segment_plan": "gold", "bot": False},
            {"day": ago(1), "user_id": "guest", "tenure_days": 1.0, "bot": False},
        ],
        "scores": [score("u", 7, 0.9, "price"), score("u", 3, 0.4, None), score("guest", 8, 0.5, "price")],
        "alerts": [
            warning("a", "u", 9, "yellow"), warning("b", "u", 4, "orange", escalates="a"),
            warning("c", "u", 5, "blue"), warning("d", "u", 3, "red"),
        ],
        "alert_events": [event("c", 4, "closed"), event("b", 2, "acknowledged")],
    }  # fmt: skip
    found = profiles(spark, world)
    u, guest, quiet = found["u"], found["guest"], found["quiet"]
    assert set(found) == {"u", "guest", "quiet"}
    assert (u["registered_on"], u["first_active_day"], u["attributes"]) == (ago(40), ago(30), {"plan": "gold"})
    assert (u["tenure_days"], u["silent_days"], u["segments"], u["bot"]) == (40, 2, {"plan": "gold"}, False)
    # the measures of single events are no habits; what is null is left out
    assert u["habits"] == {"active_days_4d": 3.0, "usual_gap_days": 1.5}
    assert (u["scored_on"], u["probability"], u["cause"], u["value_at_risk_cents"]) == (ago(3), 0.4, "unknown", 90)
    assert [(c["case_id"], c["level"], c["state"], c["risen_on"]) for c in u["open_cases"]] == [
        ("a", "orange", "acknowledged", ago(4)),
        ("d", "red", "open", ago(3)),
    ]
    assert [tuple(c) for c in u["consents"]] == [("profiling", "profiling", False, ago(1))]
    assert (guest["registered_on"], guest["first_active_day"], guest["habits"], guest["scored_on"]) == (None, ago(2), None, None)
    assert (quiet["first_active_day"], quiet["attributes"], quiet["open_cases"], quiet["consents"]) == (
        None,
        {"plan": None},
        [],
        [],
    )
