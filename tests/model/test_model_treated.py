"""Who was treated: cases that a day's labels judge, actions on them, and the weights of the users left alone."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest

from churnwatch.model.judged_cases import judged_cases
from churnwatch.model.untreated import with_treatment
from churnwatch.tables import tables
from frames import frame
from smallworld import rows, settings

DAY = date(2025, 5, 12)
LEVELS = [{"name": name, "owner": "o", "within_days": 1} for name in ("yellow", "orange", "red")]
TIERS = {"tiers": [{"name": "all"}], "levels": LEVELS, "open_days": 10}
HORIZON = 5  # lead 1, horizon 4


def conf(**changes):
    """The small world with labels of five days, and cases that stay open for ten."""
    churn = {
        "primary": "silent",
        "definitions": {"silent": {"events": ["order"], "horizon_days": 4, "lead_days": 1, "active_within_days": 2}},
    }
    return settings(churn=churn, tiers=TIERS, **changes)


def warning(case, days=0, raised=None, level="orange", **changes):
    """A warning about the user ``case``, ``days`` after DAY; ``raised``: its id, where it raises the level of the case."""
    base = {"scope": "user", "evidence": "e", "owner": "o", "due_on": DAY, "rule_id": "model", "level": level}
    keys = {"day": DAY + timedelta(days=days), "user_id": case, "alert_id": raised or case, "escalates": case if raised else None}
    return {**base, **keys, **changes}


def event(alert, days, action="acted"):
    """What somebody did about a warning, ``days`` after DAY."""
    day = DAY + timedelta(days=days)
    return {"day": day, "event_id": f"{alert}{days}{action}", "alert_id": alert, "at": datetime(2025, 5, 12), "who": "w"} | {
        "action": action
    }


# user -> (warnings, events, what is expected on DAY: None where no case is judged, else (is_new, acted))
CASES = {
    "new": ([warning("new")], [], (True, False)),
    "open": ([warning("open", -9)], [], (False, False)),
    "its last day": ([warning("its last day", -10)], [], (False, False)),
    "over": ([warning("over", -11)], [event("over", -3)], None),
    "to come": ([warning("to come", 1)], [], None),
    "closed before": ([warning("closed before", -4)], [event("closed before", -1, "closed")], None),
    "closed on the day": ([warning("closed on the day", -4)], [event("closed on the day", 0, "closed")], (False, False)),
    "closed after": ([warning("closed after", -4)], [event("closed after", 2, "closed")], (False, False)),
    "only seen": ([warning("only seen")], [event("only seen", 1, "acknowledged")], (True, False)),
    "acted": ([warning("acted")], [event("acted", 1)], (True, True)),
    "acted before": ([warning("acted before", -4)], [event("acted before", -2)], (False, True)),
    "on its last day": ([warning("on its last day")], [event("on its last day", HORIZON - 1)], (True, True)),
    "too late": ([warning("too late")], [event("too late", HORIZON)], (True, False)),
    "acted, rose": (
        [warning("acted, rose", -4), warning("acted, rose", 0, "acted, rose 2")],
        [event("acted, rose", -2)],
        (True, True),
    ),
    # later warnings answer what the user did after the day
    "rose, acted": (
        [warning("rose, acted"), warning("rose, acted", 2, "rose, acted 2")],
        [event("rose, acted", 3)],
        (True, False),
    ),
    "answered later": (
        [warning("answered later"), warning("answered later", 2, "answered later 2")],
        [event("answered later 2", 2)],
        (True, False),
    ),
    "before it rose": (
        [warning("before it rose"), warning("before it rose", 2, "before it rose 2")],
        [event("before it rose", 2)],
        (True, True),
    ),
    # the first warning is too old to be read
    "old": ([warning("old", -3, "old 2")], [event("old", -1)], (False, True)),
}


def test_cases_are_judged_by_the_actions_on_their_own_warnings(spark):
    one, contracts = conf(), tables(conf())
    group = warning("g") | {"scope": "group", "user_id": None, "segment": "plan", "value": "x"}
    alerts = rows(spark, contracts.risk_alerts, [group, *(w for warned, _, _ in CASES.values() for w in warned)])
    events = rows(spark, contracts.alert_events, [e for _, events, _ in CASES.values() for e in events])
    later = DAY + timedelta(days=7)
    found = judged_cases(alerts, events, [DAY, later], one).select("day", "user_id", "is_new", "acted").collect()
    on_day = {row["user_id"]: (row["is_new"], row["acted"]) for row in found if row["day"] == DAY}
    assert on_day == {user: expected for user, (_, _, expected) in CASES.items() if expected is not None}
    # a week later: what is open then was acted on whenever it was
    week = {row["user_id"]: (row["is_new"], row["acted"]) for row in found if row["day"] == later}
    assert week["rose, acted"] == (False, True) and week["to come"] == (False, False)
    assert "its last day" not in week and "closed after" not in week and week["too late"] == (False, True)


def treated(spark, one, users, alerts, events, actions=()):
    """Rows of ``with_treatment`` by user."""
    contracts = tables(one)
    labelled = frame(spark, [(DAY, user) for user in users], "day date, user_id string")
    cases = judged_cases(rows(spark, contracts.risk_alerts, alerts), rows(spark, contracts.alert_events, events), [DAY], one)
    done = [{"cost_cents": 0, "expected_value_cents": 0, "day": DAY, "campaign": "c"} | action for action in actions]
    return with_treatment(labelled, rows(spark, contracts.retention_actions, done), cases, [DAY], one).toPandas()


def test_users_left_alone_stand_for_those_of_their_level_whose_warnings_were_acted_on(spark):
    # orange: 60 of 100 acted on; red: 15 of 40, and 25 are too few; yellow: nobody
    sizes = {"orange": (100, 60), "red": (40, 15), "yellow": (5, 0)}
    names = {level: [f"{level}{n}" for n in range(users)] for level, (users, _) in sizes.items()}
    alerts = [warning(user, level=level) for level, users in names.items() for user in users]
    # of several cases the highest level counts
    alerts += [warning("red0", level="yellow") | {"alert_id": "second"}]
    events = [event(user, 1) for level, (_, acted) in sizes.items() for user in names[level][:acted]]
    users = [user for level in names.values() for user in level] + ["nobody"]
    found = treated(spark, conf(), users, alerts, events)
    found["level"] = found["user_id"].str.replace(r"\d+", "", regex=True)
    alone = found[~found["treated"]].groupby("level")
    assert alone.size().to_dict() == {"orange": 40, "red": 25, "yellow": 5, "nobody": 1}
    assert alone["weight"].agg(["min", "max"]).to_numpy() == pytest.approx(
        np.array([[1, 1], [2.5, 2.5], [1, 1], [1, 1]])  # nobody, orange, red, yellow
    )
    lacking = found[found["lacking"].notna()]
    assert set(lacking["level"]) == {"red"} and lacking["lacking"].nunique() == 1
    assert (
        lacking["lacking"]
        .iloc[0]
        .startswith(
            "somebody acted on the warnings of 15 of 40 users at level red, and the others count as 25.0 users, fewer than 30"
        )
    )


def test_held_out_users_who_are_kept_from_people_have_a_chance_of_their_own(spark):
    """Half of the assigned are held out and nobody acts on them; of the others with a warning two thirds were acted on."""
    campaign = {"name": "c", "tiers": ["all"], "offers": [], "holdout_share": 0.5}
    one = conf(offers={"global_holdout_share": 0.0, "campaigns": [campaign]})
    held, free = [f"h{n}" for n in range(40)], [f"f{n}" for n in range(90)]
    given = [f"o{n}" for n in range(40)]
    alerts = [warning(user) for user in (*held, *free, *given)]
    events = [event(user, 1) for user in (*free[:60], *given[:30])]
    actions = [{"user_id": u, "arm": "control"} for u in held] + [{"user_id": u, "arm": "offer"} for u in given]
    found = treated(spark, one, [*held, *free, *given], alerts, events, actions)
    found["kind"] = found["user_id"].str[0]
    weights = found[~found["treated"]].groupby("kind")["weight"].agg(["size", "min", "max"])
    assert weights.loc["h"].tolist() == pytest.approx([40, 2, 2]) and weights.loc["f"].tolist() == pytest.approx([30, 3, 3])
    assert set(weights.index) == {"h", "f"}


def planted(users=12_000, seed=5):
    """Warned and other users with the outcome that each would have if nobody acted on the warning of the day: arrays by name.

    Churn and the share of warnings that are acted on differ by level; an action saves most; churners are warned again, and then
    acted on to no avail.
    """
    rng = np.random.default_rng(seed)
    level = rng.choice(["none", "orange", "red"], users, p=[0.7, 0.2, 0.1])
    churn = rng.random(users) < np.select([level == "red", level == "orange"], [0.6, 0.3], 0.05)
    acted = rng.random(users) < np.select([level == "red", level == "orange"], [0.7, 0.2], 0.0)
    saved = acted & (rng.random(users) < 0.8)
    again = ~acted & (level != "none") & (rng.random(users) < np.where(churn, 0.6, 0.2))
    return {"level": level, "churn": churn, "acted": acted, "seen": churn & ~saved, "again": again}


def test_weighted_precision_is_that_of_warnings_that_nobody_acts_on(spark):
    truth = planted()
    level, warned = truth["level"], truth["level"] != "none"
    names = np.array([f"u{n}" for n in range(len(level))])
    alerts = [warning(u, level=of) for u, of in zip(names[warned], level[warned], strict=True)]
    alerts += [warning(u, 3, f"{u} again", level="red") for u in names[truth["again"]]]
    events = [event(u, 1) for u in names[truth["acted"]]] + [event(f"{u} again", 4) for u in names[truth["again"]]]
    found = treated(spark, conf(), names.tolist(), alerts, events).set_index("user_id").loc[names]
    kept, weight = ~found["treated"].to_numpy(), found["weight"].to_numpy()
    assert kept.sum() == (~truth["acted"]).sum()
    planted_rate = truth["churn"][warned].mean()
    here = kept & warned
    rate, effective = np.average(truth["seen"][here], weights=weight[here]), weight[here].sum() ** 2 / (weight[here] ** 2).sum()
    error = np.sqrt(planted_rate * (1 - planted_rate) / effective)
    assert abs(rate - planted_rate) < 3.29 * error  # 99.9 %, because there is one seed
    # what other rules would have said is far outside: all as they are, without weights, without those warned again
    for wrong in (truth["seen"][warned], truth["seen"][here], truth["seen"][here & ~truth["again"]]):
        assert abs(wrong.mean() - planted_rate) > 4 * error
