"""Kinds of losses, and when they happened."""

from datetime import date, timedelta
from random import Random

import pytest
from pydantic import ValidationError

from churnwatch.flow import flow
from churnwatch.reports.lost_users import classify_losses
from churnwatch.settings.churn import Churn
from smallworld import activity, as_of, collected, contracts, first_days, on_days, plan_of, rows, settings, stacked

TODAY = date(2024, 2, 28)  # a Wednesday; the next is 29 February
SILENT = {"events": ["order"], "horizon_days": 4, "lead_days": 2, "active_within_days": 5}
LOSSES = [
    {"id": "dead", "kind": "natural", "voluntary": False, "attribute": "plan", "values": ["dead", "moved"]},
    {"id": "ported", "kind": "competitive", "voluntary": True, "definitions": ["left"]},
    {"id": "unpaid", "kind": "passive", "voluntary": False, "causes": ["payment", "debt"]},
    {"id": "silent", "kind": "active", "voluntary": True},
]
DEFINITIONS = {
    "silent": SILENT,
    "left": {"kind": "event", "events": ["port_out"], "horizon_days": 4, "active_within_days": 5},
}
CAUSES = {name: {"title": name, "measures": []} for name in ("payment", "debt", "price")}
CHURN = {"primary": "silent", "definitions": DEFINITIONS, "losses": LOSSES}
ONE = settings(churn=CHURN, causes={"causes": CAUSES})
T = contracts(churn=CHURN)


def on(days):
    return TODAY + timedelta(days=days)


def did(user, offset, **values):
    return activity(user, on(offset), **{"def_left": 0, **values})


def lost(user, offset=0, last=0, churned=True, definition="silent"):
    return {"day": on(offset), "definition": definition, "user_id": user, "churned": churned, "last_active_day": on(last)}


def scored(user, cause, offset=0):
    return {"day": on(offset), "user_id": user, "cause": cause}


def losses(spark, world, days=(TODAY,), one=ONE):
    """lost_users of inputs that are cut as the flow declares."""
    (job,) = (job for job in flow(one) if job.name == "classify_losses")
    stored = {
        "user_labels": world["labels"],
        "user_scores": world.get("scores", []),
        "daily_activity": world.get("activity", []),
        "users": world.get("users", []),
        "first_seen": world.get("first_seen") or first_days(world.get("activity", [])),
    }
    inputs = {}
    for alias, read in job.reads.items():
        if read.span.as_of:
            inputs[alias] = as_of(spark, read.table, stored[read.table.name], days)
        else:
            inputs[alias] = rows(spark, read.table, on_days(stored[read.table.name], *read.span.days(min(days), max(days))))
    return classify_losses(inputs, days, one)["lost_users"]


WORLD = {
    "labels": [
        *map(lost, ("dies", "died before", "dies too late", "ports", "ports first", "ports too early", "dead and ported")),
        lost("debtor", last=-3), lost("dear", last=-1), lost("no score"), lost("stays", churned=False),
        lost("of another definition", definition="left"),
    ],
    "users": [
        plan_of("dies", on(-9), "free", registered_on=on(-30)), plan_of("dies", on(6), "dead", registered_on=on(-30)),
        plan_of("died before", on(-9), "moved"), plan_of("dead and ported", on(-9), "dead"),
        plan_of("dies too late", on(-9), "free"), plan_of("dies too late", on(7), "dead"),
        plan_of("debtor", on(-9), "free", registered_on=on(-10)), plan_of("dear", on(-9), "free", registered_on=on(0)),
    ],
    "activity": [
        did("ports", 6, def_left=1), did("ports first", -4, def_left=1), did("ports too early", -5, def_left=1),
        did("dead and ported", 1, def_left=1),
        # an order in the lead, and one before it; a visit is none
        did("no score", 0), did("no score", 1), did("no score", 2, def_silent=0),
    ],
    "scores": [scored("debtor", "debt"), scored("dear", "price"), scored("ports", "payment")],
}  # fmt: skip


@pytest.fixture(scope="module")
def found(spark):
    return {row["user_id"]: row for row in collected(losses(spark, WORLD))}


def test_the_first_rule_whose_sign_is_there_counts(found):
    assert {user: (row["kind"], row["voluntary"], row["rule"], row["cause"]) for user, row in found.items()} == {
        "dies": ("natural", False, "dead", "unknown"),
        "died before": ("natural", False, "dead", "unknown"),
        "dies too late": ("active", True, "silent", "unknown"),
        "ports": ("competitive", True, "ported", "payment"),
        "ports first": ("competitive", True, "ported", "unknown"),
        "ports too early": ("active", True, "silent", "unknown"),
        "dead and ported": ("natural", False, "dead", "unknown"),
        "debtor": ("passive", False, "unpaid", "debt"),
        "dear": ("active", True, "silent", "price"),
        "no score": ("active", True, "silent", "unknown"),
    }


def test_when_it_happened(found):
    # the lead lasts until 1 March
    assert {
        user: tuple(found[user][name] for name in ("lost_on", "weekday", "month", "tenure_days"))
        for user in ("debtor", "dear", "no score")
    } == {
        "debtor": (date(2024, 2, 25), 7, 2, 7),
        # registered after the last order
        "dear": (date(2024, 2, 27), 2, 2, 0),
        "no score": (date(2024, 2, 29), 4, 2, 1),
    }


def test_without_rules_the_kind_is_unknown_and_an_event_has_its_own_day(spark):
    leaving = {"primary": "left", "definitions": DEFINITIONS}
    world = {
        "labels": [lost("u", definition="left"), lost("u", definition="silent")],
        "activity": [did("u", 3, def_left=1), did("u", 4, def_left=1)],
    }
    one = settings(churn=leaving)
    (row,) = collected(losses(spark, world, one=one))
    assert (row["kind"], row["voluntary"], row["rule"], row["lost_on"]) == ("unknown", None, None, on(3))
    made, contract = losses(spark, world, one=one), T.lost_users
    assert [(f.name, f.dataType) for f in made.schema] == [(f.name, f.dataType) for f in contract.schema]


def test_a_range_equals_day_by_day(spark):
    chance, days = Random(3), (TODAY, on(1), on(2), on(5))
    users = [f"u{n}" for n in range(60)]
    world = {"labels": [], "users": [], "activity": [], "scores": []}
    for user in users:
        for n in range(6):
            world["labels"] += [lost(user, n, n - chance.randint(0, 4), chance.random() < 0.7)] * (chance.random() < 0.8)
            world["scores"] += [scored(user, chance.choice(["payment", "price", None]), n)] * (chance.random() < 0.5)
        world["users"] += [
            plan_of(user, on(n), chance.choice(["free", "dead"]), on(-20)) for n in sorted(chance.sample(range(-6, 12), 2))
        ]
        active = chance.sample(range(-8, 12), 5)
        world["activity"] += [did(user, n, def_left=chance.randint(0, 1), def_silent=chance.randint(0, 1)) for n in active]
    at_once = collected(losses(spark, world, days))
    assert at_once == collected(stacked(losses(spark, world, (day,)) for day in days))
    assert {row["kind"] for row in at_once} == {"natural", "competitive", "passive", "active"}


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ([{**LOSSES[3]}, {**LOSSES[2]}], r"losses \['silent'\] have no sign"),
        ([{**LOSSES[2]}, {**LOSSES[2]}], r"unique: \['unpaid'\]"),
        ([{**LOSSES[1], "causes": ["debt"]}], "one sign, this one has definitions, causes"),
        ([{**LOSSES[1], "definitions": ["silent"]}], r"names \['silent'\], not definitions of kind event"),
        ([{**LOSSES[0], "values": []}], "attribute and values belong together"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rules, fault):
    with pytest.raises(ValidationError, match=fault):
        Churn.model_validate({**CHURN, "losses": rules})
