"""First assignments: one row per user and campaign, whatever happens later, and all of them on the first of a month."""

from datetime import date, timedelta

from churnwatch.retention import record_assignments, replaced_assignments

FEB = date(2025, 2, 27)


def day(n):
    return FEB + timedelta(days=n)


def built(frames, settings, actions, stored, days):
    inputs = {
        "actions": frames.actions(*(action for action in actions if action["day"] in days)),
        "assignments": frames.assignments(*stored),
    }
    return {
        name: sorted((row.asDict() for row in made.collect()), key=repr)
        for name, made in record_assignments(inputs, days, settings).items()
    }


def test_the_first_assignment_stays_and_a_range_equals_day_by_day(frames, make_settings):
    actions = [
        {"user_id": "a", "day": day(0), "arm": "control"},
        {"user_id": "a", "day": day(3), "arm": "offer"},
        {"user_id": "a", "day": day(3), "arm": "offer", "campaign": "other"},
        {"user_id": "b", "day": day(1), "arm": None, "suppressed_because": "no consent to contact"},
        {"user_id": "b", "day": day(2), "arm": "offer"},
    ]
    days, settings = [day(n) for n in range(5)], make_settings()
    at_once = built(frames, settings, actions, [], days)
    found = {(row["user_id"], row["campaign"]): (row["day"], row["arm"]) for row in at_once["assignments"]}
    assert found == {
        ("a", "wave"): (day(0), "control"),
        ("a", "other"): (day(3), "offer"),
        ("b", "wave"): (day(2), "offer"),
    }
    stored, restated = [], []
    for one in days:
        rows = built(frames, settings, actions, stored, [one])
        stored, restated = stored + rows["assignments"], restated + rows["assignments_restated"]
    assert sorted(stored, key=repr) == at_once["assignments"]
    assert restated == at_once["assignments_restated"]
    # 1 March is the third day: all assignments up to it, with their own days
    assert [(r["day"], r["user_id"], r["since"]) for r in restated] == [
        (date(2025, 3, 1), "a", day(0)),
        (date(2025, 3, 1), "b", day(2)),
    ]


def test_a_run_of_an_older_day_drops_the_restatements_that_repeat_it():
    assert replaced_assignments([day(1), day(0)]) == {"assignments_restated": "day >= DATE'2025-02-27'"}
