"""Transitions between steps, beginnings and drop-outs."""

from rollupworld import DAY, NEXT, built, event

from smallworld import stacked

VIEWS = {"kind": "transition", "of": "item_id", "where": "event_type = 'view'"}
MEASURES = {
    "home_to_cart": {**VIEWS, "from": "home", "to": "cart"},
    "cart_to_cart": {**VIEWS, "from": "cart", "to": "cart"},
    "cart_to_pay": {**VIEWS, "from": "cart", "to": "pay"},
    "began_at_home": {**VIEWS, "to": "home"},
    "left_at_cart": {**VIEWS, "from": "cart"},
    "web_to_app": {"kind": "transition", "of": "channel", "from": "web", "to": "app"},
}
CHANGES = {"measures": {"measures": MEASURES, "ratios": {}}}


def views(user, *steps, day=DAY, **more):
    return [event(user, day, time, item_id=item, **more) for time, item in (step.split() for step in steps)]


EVENTS = [
    # what is no view, and a view of nothing, stand between steps and are none
    *views("between", "10:00 home", "10:05 cart"),
    event("between", time="10:06", kind="click", item_id="home"), event("between", time="10:07"),
    *views("between", "10:10 pay"),
    *views("in a minute", "10:00:10 home", "10:00:20 cart", "10:00:40 cart", "10:00:50 pay", "10:01:00 cart"),
    # a pause of exactly the gap goes on, a longer one ends the path
    *views("pauses", "10:00 home", "10:30 cart", "11:00:01 pay"),
    *views("pauses again", "10:00 home", "10:30:01 home"),
    *views("midnight", "10:00 cart", "23:50 cart"), *views("midnight", "00:10 pay", day=NEXT),
    *views("leaves", "23:50 cart"), *views("leaves", "09:00 home", day=NEXT),
    # each path has its own steps: `home` of the app follows `cart` of the web as a channel, and is no step of views
    event("channels", time="10:00", item_id="cart", channel="web"), event("channels", time="10:01", kind="tap", channel="app"),
]  # fmt: skip


def test_what_followed_what(spark):
    at_once = built(spark, EVENTS, (DAY, NEXT), **CHANGES).collect()
    found = {(row.user_id, row.day): tuple(row[name] for name in MEASURES) for row in at_once}
    # home_to_cart, cart_to_cart, cart_to_pay, began_at_home, left_at_cart, web_to_app
    assert found == {
        ("between", DAY): (1, 0, 1, 1, 0, 0),
        ("in a minute", DAY): (1, 1, 1, 1, 1, 0),
        ("pauses", DAY): (1, 0, 0, 1, 1, 0),
        ("pauses again", DAY): (0, 0, 0, 2, 0, 0),
        ("midnight", DAY): (0, 0, 0, 0, 2, 0),
        ("midnight", NEXT): (0, 0, 1, 0, -1, 0),  # the path went on, so it had not broken off
        ("leaves", DAY): (0, 0, 0, 0, 1, 0),
        ("leaves", NEXT): (0, 0, 0, 1, 0, 0),
        ("channels", DAY): (0, 0, 0, 0, 1, 1),
    }
    one_by_one = stacked(built(spark, EVENTS, (day,), **CHANGES) for day in (DAY, NEXT))
    assert sorted(at_once) == sorted(one_by_one.collect())
    assert {row.user_id: row.sessions for row in at_once if row.day == DAY}["between"] == 1, "rows of paths start no session"
