"""What features are by configuration: it changes with what computes them, and with nothing else."""

import pytest

from churnwatch.model.schema import Schema, schema_of
from churnwatch.settings import feature_names
from churnwatch.settings.meanings import feature_meanings
from smallworld import SMALL, settings

MEASURES = SMALL["measures"]
ORDERS = {f"orders_{of}" for of in ("1d", "2d", "4d", "trend", "days_since")} | {f"cancel_rate_{n}d" for n in (1, 2, 4)}


def with_measures(**changes):
    return {"measures": {**MEASURES, "measures": {**MEASURES["measures"], **changes}}}


def changed(**changes):
    """Features whose meaning is another one under the changed settings."""
    before, after = feature_meanings(settings()), feature_meanings(settings(**changes))
    return {name for name in before if name in after and before[name] != after[name]}


@pytest.mark.parametrize(
    ("changes", "features"),
    [
        (with_measures(orders={"kind": "count", "where": "event_type = 'buy'"}), ORDERS),
        (with_measures(orders={"kind": "count", "where": "event_type  =\n'order'", "comment": "said better"}), set()),
        (with_measures(slowest_ms={"kind": "min", "of": "duration_ms"}), {f"slowest_ms_{n}d" for n in (1, 2, 4)}),
        (
            {"measures": {**MEASURES, "ratios": {"cancel_rate": "cancels / (orders + 1)"}}},
            {f"cancel_rate_{n}d" for n in (1, 2, 4)},
        ),
        ({"measures": {**MEASURES, "trend_days": 2}}, {f"{n}_trend" for n in ("events", "sessions", "orders", "cancels")}),
        ({"activity": {"session_gap_minutes": 20}}, {"sessions_1d", "sessions_2d", "sessions_4d", "sessions_trend"}),
        ({"activity": {"distinct_cap": 100}}, {f"items_{n}d" for n in (1, 2, 4)}),
        # acts decide who is active; counts of events stay what they were
        (
            {"measures": {**MEASURES, "acts": ["order"]}},
            {f"{n}_{w}d" for n in ("sessions", "active_days") for w in (1, 2, 4)}
            | {"sessions_trend", "tenure_days", "history_days"},
        ),
        # another window is another name; what lies beyond it is missing
        ({"measures": {**MEASURES, "windows_days": [1, 2, 4, 8], "population_days": 8}}, set()),
        ({"measures": {**MEASURES, "segments": []}}, set()),
    ],
)
def test_a_feature_means_something_else_when_what_computes_it_changes(changes, features):
    found = changed(**changes)
    # every measure has a day since which it was not seen; what summed measures are called is told elsewhere
    assert {name for name in found if not name.endswith(("_days_since", "spend_cents_trend"))} == {
        name for name in features if not name.endswith("_days_since")
    }
    assert {name for name in features if name.endswith("_days_since")} <= found


def test_every_feature_has_a_meaning_in_words():
    found = feature_meanings(settings())
    assert list(found) == feature_names(settings())
    assert found["orders_trend"] == "count where event_type = 'order', 1 days against the 1 before"
    assert found["cancel_rate_4d"] == (
        "cancels / orders (cancels: count where event_type = 'cancel'; orders: count where event_type = 'order')"
    )
    assert found["tenure_days"] == found["active_days_4d"] == ""


def test_the_hash_of_a_schema_covers_what_its_features_mean():
    names = ["orders_4d", "tenure_days"]
    one, other = (
        schema_of(names, settings()),
        schema_of(names, settings(**with_measures(orders={"kind": "sum", "of": "amount_cents"}))),
    )
    assert (one.features, one.fills, one.measures) == (other.features, other.fills, other.measures) and one.hash != other.hash
    assert one.matches(one.hash) and not one.matches(other.hash)
    assert one.redefined(feature_meanings(settings())) == {}
    assert list(other.redefined(feature_meanings(settings()))) == ["orders_4d"]
    assert Schema.from_json(one.to_json()) == one and one.only(["orders_4d"]).meanings == one.meanings[:1]


def test_a_release_of_before_meanings_were_kept_is_known_by_names_and_fills():
    one = schema_of(["orders_4d", "tenure_days"], settings())
    stored = {name: value for name, value in one.to_json().items() if name != "meanings"}
    old = Schema.from_json(stored)
    assert old.meanings == () and old.redefined({"orders_4d": "anything"}) == {} and old.only(["orders_4d"]).meanings == ()
    # its hash is the one that was stored then
    assert old.hash == "9b15512066a66c3a" and one.matches(old.hash)
