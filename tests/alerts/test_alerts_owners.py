"""Who owns a warning, and who answers for owners."""

from datetime import timedelta

import pytest
from alertworld import CAUSES, DAY, LEVELS, RULE, TIERS, TREND, USER, before, frame, raised, world
from pyspark.sql import functions as F

from churnwatch.alerts.messages import owner_messages
from churnwatch.alerts.owners import group_owner, routed_owner, superior_of
from churnwatch.settings.check import cross_faults
from smallworld import contracts, settings

ROUTES = [{"when": "plan = 'gold'", "attribute": "manager"}, {"when": "orders_2d > 5", "owner": "key_accounts"}]


def test_the_first_route_that_holds_names_the_owner(spark):
    made = settings(owners={"routing": ROUTES, "groups": "product"})
    rows = [("gold", "mia", 9), ("gold", " ", 9), ("gold", None, 1), ("basic", "mia", 6), (None, "mia", None)]
    people = spark.createDataFrame(rows, "plan string, manager string, orders_2d long")
    assert [r[0] for r in people.select(routed_owner(made)).collect()] == ["mia", "key_accounts", None, "key_accounts", None]
    assert (group_owner(made), group_owner(settings())) == ("product", None)
    assert [r[0] for r in people.select(routed_owner(settings())).collect()] == [None] * 5


MEASURES = {"blue": "watch", "yellow": "in-app message", "orange": "offer", "red": "personal offer"}


def test_a_warning_goes_by_route_then_rule_then_level_and_says_what_is_to_be_done_until_when(spark):
    sources = {"users": {"name": "u", "format": "csv", "path": "x", "map": {n: n for n in ("user_id", "plan", "manager")}}}
    tiers = {"tiers": TIERS, "levels": [level | {"measure": MEASURES[level["name"]]} for level in LEVELS]}
    rules = [
        RULE | {"when": "orders_2d > 0 AND user_id NOT LIKE '%own'"},
        RULE | {"id": "own", "when": "user_id LIKE '%own'", "owner": "care", "level": "red"},
        RULE | {"id": "group", "scope": "group", "when": "active > 0", "level": "orange"},
        RULE | {"id": "base", "scope": "base", "when": "active > 0", "level": "blue", "owner": "board"},
    ]
    made = world(*rules, sources=sources, tiers=tiers, causes=CAUSES, owners={"routing": ROUTES, "groups": "product"})
    # plan, manager, orders; both routes hold for the first, of whom the manager is asked
    people = {
        "both routes": ("gold", "mia", 9),
        "second route": ("basic", "mia", 9),
        "no route": ("basic", "mia", 3),
        "no manager": ("gold", " ", 3),
        "no route, own": ("basic", None, 3),
        "first route, own": ("gold", "mia", 3),
    }
    given = {
        "features": [USER | {"user_id": u, "orders_2d": float(n)} for u, (_, _, n) in people.items()],
        "users": [
            {"user_id": u, "attributes": {"plan": plan, "manager": manager}, "full": False}
            for u, (plan, manager, _) in people.items()
        ],
        "trend": [TREND | {"day": before(1)}, TREND | {"day": before(1), "segment": "all", "value": "all"}],
    }
    found = raised(spark, made, **given)
    told = {w["user_id"] or w["scope"]: (w["owner"], w["measure"], w["due_on"]) for w in found}
    week, three, one, five = (DAY + timedelta(days=n) for n in (7, 3, 1, 5))
    assert told == {
        "both routes": ("mia", "in-app message", five),
        "second route": ("key_accounts", "in-app message", five),
        "no route": ("operations", "in-app message", five),
        "no manager": ("operations", "in-app message", five),
        "no route, own": ("care", "personal offer", one),
        "first route, own": ("mia", "personal offer", one),
        "group": ("product", "offer", three),
        "base": ("board", "watch", week),
    }
    # what is about a group or the base is a task of its owner, everything else stands in digests
    written = owner_messages(frame(spark, contracts().risk_alerts, found), None, DAY, lambda user: user, made).collect()
    assert {(row["kind"], row["destination"]) for row in written if row["kind"] == "task"} == {
        ("task", "product"),
        ("task", "board"),
    }


def test_superiors_do_not_go_in_a_circle_and_a_route_has_one_owner():
    circle = {"a": {"superior": "b"}, "b": {"superior": "c"}, "c": {"superior": "a"}}
    with pytest.raises(ValueError, match="circle"):
        settings(owners={"owners": circle})
    for route in ({}, {"owner": "x", "attribute": "manager"}):
        with pytest.raises(ValueError, match="either owner or attribute"):
            settings(owners={"routing": [route]})
    made = settings(owners={"owners": {"a": {"superior": "b", "destination": "room"}, "c": {}}}).owners
    assert (made.superiors, made.destinations, made.superior("b")) == ({"a": "b"}, {"a": "room"}, None)


def test_every_owner_has_a_superior_but_for_those_above(spark):
    owners = {"owners": {"a": {"superior": "b"}, "c": {}}, "superior_of_others": "boss"}
    wanted = {"a": "b", "b": None, "c": None, "mia": "boss", "boss": None}
    made = settings(owners=owners)
    assert {name: made.owners.superior(name) for name in wanted} == wanted
    rows = spark.createDataFrame([(name,) for name in wanted], "owner string")
    assert [row[0] for row in rows.select(superior_of(F.col("owner"), made)).collect()] == list(wanted.values())
    none = settings(owners={"owners": owners["owners"]})
    assert [row[0] for row in rows.select(superior_of(F.col("owner"), none)).collect()] == ["b", None, None, None, None]


def test_a_route_names_columns_and_a_network_owner_a_destination_that_exist():
    routing = [{"when": "order_2d > 5", "owner": "x"}, {"attribute": "plans"}]
    sending = {"kind": "network", "destinations": {"room": {"kind": "slack", "url": "https://hooks.example.org/x"}}}
    made = settings(owners={"routing": routing, "owners": {"a": {"destination": "rome"}}}, sending=sending)
    assert [(path, text) for path, text in cross_faults(made) if path[0] == "owners"] == [
        (("owners", "routing", 0, "when"), "column 'order_2d' is not known; did you mean 'orders_2d'?"),
        (("owners", "routing", 1, "attribute"), "attribute 'plans' is not known; did you mean 'plan'?"),
        (("owners", "owners", "a", "destination"), "destination 'rome' is not known; did you mean 'room'?"),
        (
            ("owners", "routing", 0),
            "owner 'x' has no destination in sending.destinations: nobody gets the messages; did you mean 'room'?",
        ),
    ]


def test_every_owner_by_name_has_a_destination_where_messages_go_over_the_network():
    rule = {"id": "quiet", "title": "t", "when": "orders_2d < 3", "level": "red", "cause": "price"}
    parts = {
        "owners": {"owners": {"a": {"superior": "head"}, "room": {}}, "groups": "product", "superior_of_others": "boss"},
        "tiers": {"tiers": [{"name": "all"}], "levels": [{"name": "red", "owner": "team", "within_days": 1}]},
        "rules": {"rules": [rule | {"owner": "key"}, rule | {"id": "by_plan", "owner": "{plan}"}]},
        "causes": {"causes": {"price": {"title": "p", "measures": ["orders"]}}},
    }
    hook = {"kind": "slack", "url": "https://hooks.example.org/x"}
    sending = {"kind": "network", "destinations": {"room": hook}}
    found = list(cross_faults(settings(sending=sending, **parts)))
    assert [path for path, _ in found] == [
        ("owners", "owners", "a"),
        ("owners", "owners", "a", "superior"),
        ("owners", "superior_of_others"),
        ("owners", "groups"),
        ("tiers", "levels", 0),
        ("rules", "rules", 0),
    ]
    assert found[3][1].startswith("owner 'product' has no destination in sending.destinations")
    told = dict.fromkeys(("a", "head", "boss", "product", "team", "key"), hook)
    assert list(cross_faults(settings(sending={"kind": "network", "destinations": told | {"room": hook}}, **parts))) == []
    assert list(cross_faults(settings(sending={"kind": "file"}, **parts))) == []
