"""Who owns a warning, and who answers for owners."""

import pytest
from pyspark.sql import functions as F

from churnwatch.alerts.owners import group_owner, routed_owner, superior_of
from churnwatch.settings.check import cross_faults
from smallworld import settings

ROUTES = [{"when": "plan = 'gold'", "attribute": "manager"}, {"when": "orders_2d > 5", "owner": "key_accounts"}]


def test_the_first_route_that_holds_names_the_owner(spark):
    made = settings(owners={"routing": ROUTES, "groups": "product"})
    rows = [("gold", "mia", 9), ("gold", " ", 9), ("gold", None, 1), ("basic", "mia", 6), (None, "mia", None)]
    people = spark.createDataFrame(rows, "plan string, manager string, orders_2d long")
    assert [r[0] for r in people.select(routed_owner(made)).collect()] == ["mia", "key_accounts", None, "key_accounts", None]
    assert (group_owner(made), group_owner(settings())) == ("product", None)
    assert [r[0] for r in people.select(routed_owner(settings())).collect()] == [None] * 5


def test_superiors_do_not_go_in_a_circle_and_a_route_has_one_owner():
    circle = {"a": {"superior": "b"}, "b": {"superior": "c"}, "c": {"superior": "a"}}
    with pytest.raises(ValueError, match="circle"):
        settings(owners={"owners": circle})
    for route in ({}, {"owner": "x", "attribute": "manager"}):
        with pytest.raises(ValueError, match="an owner, or the attribute"):
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
            "owner 'x' is none of sending.destinations, so that nobody gets the messages; did you mean 'room'?",
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
    assert found[3][1].startswith("owner 'product' is none of sending.destinations")
    told = dict.fromkeys(("a", "head", "boss", "product", "team", "key"), hook)
    assert list(cross_faults(settings(sending={"kind": "network", "destinations": told | {"room": hook}}, **parts))) == []
    assert list(cross_faults(settings(sending={"kind": "file"}, **parts))) == []
