"""Attributes of users as features: each type, in force on the day."""

from datetime import date, timedelta

from churnwatch.features import per_user
from churnwatch.tables import tables
from smallworld import activity, as_of, collected, first_days, rows, settings

TODAY = date(2025, 6, 2)
ATTRIBUTES = {
    "balance": {"kind": "number"},
    "plan": {"kind": "category"},
    "contract_end": {"kind": "date"},
    "suspended": {"kind": "boolean"},
}
MAP = {"user_id": "user_id", **{name: name for name in ATTRIBUTES}}
FEATURES = ["attribute_balance", "attribute_plan", "attribute_contract_end_days", "attribute_suspended"]
# the texts of a user -> the features
CASES = {
    "plain": (["-12.50", "gold", "2025-06-12", "true"], [-12.5, "gold", 10.0, 1.0]),
    "other words": ([" 1e3", " gold ", "2025-06-01T23:00:00Z", "no"], [1e3, "gold", -1.0, 0.0]),
    "unreadable": (["much", "  ", "soon", "maybe"], [None] * 4),
    "not finite": (["NaN", None, "2025-02-29", None], [None] * 4),
    "infinite": (["Infinity", None, None, None], [None] * 4),
    "unknown user": (None, [None] * 4),
}


def test_each_type_is_read_as_of_the_day(spark):
    one = settings(
        measures={"attributes": ATTRIBUTES},
        sources={"users": {"name": "u", "format": "parquet", "path": "unused", "map": MAP}},
    )
    t = tables(one)
    stated = [
        {
            "day": TODAY - timedelta(days=9),
            "user_id": user,
            "attributes": dict(zip(ATTRIBUTES, texts, strict=True)),
            "full": False,
        }
        for user, (texts, _) in CASES.items()
        if texts
    ]
    # what is said later changes nothing, what was said on the day itself counts
    stated.append({"day": TODAY + timedelta(days=1), "user_id": "plain", "attributes": {"plan": "late"}, "full": False})
    stated.append({"day": TODAY - timedelta(days=20), "user_id": "plain", "attributes": {"plan": "early"}, "full": False})
    active = [activity(user, TODAY) for user in CASES]
    inputs = {
        "activity": rows(spark, t.daily_activity, active),
        "first_seen": as_of(spark, t.first_seen, first_days(active), [TODAY]),
        "users": as_of(spark, t.users, stated, [TODAY]),
        "consents": as_of(spark, t.consents, [], [TODAY]),
    }
    frame = per_user(inputs, [TODAY], one)["user_features"]
    assert frame.columns == t.user_features.schema.names
    found = {row["user_id"]: [row[name] for name in FEATURES] for row in collected(frame)}
    assert found == {user: features for user, (_, features) in CASES.items()}
