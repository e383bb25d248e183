"""Lift of campaigns: who counts, when, in what, and that a planted effect is found."""

from datetime import date, datetime, timedelta

import pytest

from churnwatch.retention import measure_lift

FIRST, LAST = date(2025, 4, 1), date(2025, 4, 3)
READ_OUT = LAST + timedelta(days=16)  # horizon 14, settled after 2
WAVE = {"from_day": FIRST, "until_day": LAST}

MESSAGE = {"kind": "offer", "destination": "hash", "channel": "email", "subject": "s", "body": "b"}
ATTEMPT = {"day": FIRST, "attempt": 1, "at": datetime(2025, 4, 2)}


@pytest.fixture(scope="module")
def read(frames):
    """Rows of retention_lift by (campaign, arm, outcome, segment, value)."""

    def made(settings, day, actions=(), labels=(), activity=(), units=(), messages=(), attempts=()):
        inputs = {
            "actions": frames.actions(*actions),
            "assignments": frames.assignments(*first_assignments(actions)),
            "labels": frames.labels(*labels),
            "activity": frames.activity(*activity),
            "units": frames.units(*units),
            "notifications": frames.of("notifications", MESSAGE, *messages),
            "deliveries": frames.of("deliveries", ATTEMPT, *attempts),
        }
        rows = [row.asDict() for row in measure_lift(inputs, (day,), settings)["retention_lift"].collect()]
        keys = ("campaign", "arm", "outcome", "segment", "value")
        found = {tuple(row[key] for key in keys): row for row in rows}
        assert len(found) == len(rows)
        return found

    return made


def first_assignments(actions):
    """The first assignment to an arm of each user and campaign among ``actions``."""
    found = {}
    for action in sorted((one for one in actions if one["arm"]), key=lambda one: one["day"]):
        found.setdefault((action["user_id"], action.get("campaign")), {name: action[name] for name in ("user_id", "day", "arm")})
    return found.values()


def planted(users=400, effect=0.2):
    """Actions and labels: of the control half 50 % stay, of the treated ``effect`` more; half the users each tier."""
    actions, labels = [], []
    for n in range(users):
        treated, day = n % 2 == 0, FIRST + timedelta(days=n // 2 % 3)
        tier = "critical" if n // 2 % 2 else "high"
        actions.append({"user_id": f"u{n}", "day": day, "arm": "offer" if treated else "control", "tier": tier})
        stays = (n // 2) % 10 < 5 + 10 * effect * treated
        labels.append({"user_id": f"u{n}", "day": day, "churned": not stays})
    return actions, labels


WHOLE = ("wave", "offer", "retained", "all", "all")


def test_a_planted_effect_is_found_and_counted(read, make_settings):
    actions, labels = planted()
    found = read(make_settings([WAVE]), READ_OUT, actions, labels)
    row = found[WHOLE]
    assert (row["treated"], row["control"], row["treated_mean"], row["control_mean"]) == (200, 200, 0.7, 0.5)
    assert row["low"] > 0 and row["p"] < 0.001 and row["q"] == row["p"]
    assert row["low"] < 0.2 < row["high"] and row["relative_lift"] == pytest.approx(0.4)
    assert (row["interim"], row["randomised"], row["srm_alarm"], row["srm_p"]) == (False, True, False, 1.0)
    assert row["incremental_users"] == pytest.approx(40)
    assert (row["incremental_cents"], row["cost_cents"]) == (40_000, 20_000)
    segments = {(segment, value) for _, _, _, segment, value in found}
    assert segments == {("all", "all"), ("tier", "critical"), ("tier", "high"), ("cause", "price"), ("offer", "voucher")}
    tiers = [found[*WHOLE[:3], "tier", tier] for tier in ("critical", "high")]
    assert sum(row["treated"] for row in tiers) == 200
    assert all(row["q"] >= row["p"] for row in tiers) and any(row["q"] > row["p"] for row in tiers)


@pytest.mark.case(43)
def test_held_out_users_whom_an_offer_reached_are_counted(read, make_settings):
    actions, labels = planted()
    controls = [one for one in actions if one["arm"] == "control"]
    days = {"u1": FIRST, "u3": LAST + timedelta(days=2), "u5": FIRST, "u0": LAST, "u7": LAST}  # u5 was assigned on the last day
    assert {one["user_id"] for one in controls} >= {"u1", "u3", "u5", "u7"}
    messages = [{"user_id": user, "campaign": "other", "day": day, "message_id": user} for user, day in days.items()]
    attempts = [{"message_id": user, "outcome": "failed" if user == "u7" else "sent"} for user in days]
    found = read(make_settings([WAVE]), READ_OUT, actions, labels, messages=messages, attempts=attempts)
    assert found[WHOLE]["held_out_reached"] == 2, "neither before the assignment, nor of the treated, nor what was not sent"
    assert {row["held_out_reached"] for key, row in found.items() if key != WHOLE} == {None}


def test_before_all_assignments_have_matured_rows_are_interim_and_carry_no_p(read, make_settings):
    actions, labels = planted()
    early = [label for label in labels if label["day"] < LAST]
    row = read(make_settings([WAVE]), READ_OUT - timedelta(days=1), actions, early)[WHOLE]
    assert (row["interim"], row["p"], row["q"]) == (True, None, None)
    assert row["treated"] == 134 and row["low"] is not None and row["srm_p"] == 1.0
    assert row["cost_cents"] == 13_400, "costs of the users whose outcome is known"


def test_a_campaign_without_an_end_stays_interim(read, make_settings):
    actions, labels = planted()
    row = read(make_settings(), date(2025, 5, 30), actions, labels)[WHOLE]
    assert row["interim"] and row["p"] is None and row["treated"] == 200


def test_after_its_days_have_left_the_view_a_campaign_is_read_no_more(read, make_settings):
    actions, labels = planted()
    settings = make_settings([WAVE], campaign_max_days=30)
    assert WHOLE in read(settings, FIRST + timedelta(days=30), actions, labels)
    rest = [action for action in actions if action["day"] > FIRST]
    assert read(settings, FIRST + timedelta(days=31), rest, labels) == {}


def test_a_user_assigned_twice_counts_once_by_the_first_assignment(read, make_settings):
    actions, labels = planted(40)
    again = [actions[0] | {"day": LAST, "arm": "control", "tier": "critical"}]
    churned = [labels[0] | {"day": LAST, "churned": True}]
    once = read(make_settings([WAVE]), READ_OUT, actions, labels)[WHOLE]
    twice = read(make_settings([WAVE]), READ_OUT, actions + again, labels + churned)[WHOLE]
    assert twice == once | {"cost_cents": once["cost_cents"] + 100}


def test_a_second_assignment_is_no_first_one_when_the_first_has_left_the_view(read, make_settings):
    actions, labels = planted(40)
    day = LAST + timedelta(days=40)
    again = [action | {"day": day - timedelta(days=20)} for action in actions]
    assert read(make_settings(campaign_max_days=30), day, actions + again, labels) == {}
    assert WHOLE in read(make_settings(campaign_max_days=30), day, again, labels)


def test_a_day_of_few_users_raises_no_sample_ratio_alarm(read, make_settings):
    actions, labels = planted()
    held = [{"user_id": f"g{n}", "day": FIRST, "arm": "global_control"} for n in range(7)]
    alone = [{"user_id": "g", "day": LAST + timedelta(days=1), "arm": "global_control"}]
    row = read(make_settings([WAVE], global_holdout_share=0.02), READ_OUT + timedelta(days=1), actions + held + alone, labels)[
        WHOLE
    ]
    assert not row["srm_alarm"] and (row["srm_day_p"] is None or row["srm_day_p"] > 0.01)


def test_suppressed_users_are_in_no_arm_and_unlabelled_ones_have_no_outcome(read, make_settings):
    actions, labels = planted(40)
    actions.append({"user_id": "s", "day": FIRST, "arm": None, "suppressed_because": "no consent to contact"})
    labels.append({"user_id": "s", "day": FIRST, "churned": True})
    row = read(make_settings([WAVE]), READ_OUT, actions, labels[2:])[WHOLE]
    assert (row["treated"], row["control"], row["srm_p"]) == (19, 19, 1.0)


@pytest.mark.case(42)
def test_users_missing_from_an_arm_raise_the_sample_ratio_alarm(read, make_settings):
    actions, labels = planted(200)
    lost = [action for n, action in enumerate(actions) if action["arm"] == "offer" or n % 8 != 1]
    row = read(make_settings([WAVE]), READ_OUT, lost, labels)[WHOLE]
    assert row["srm_p"] == pytest.approx(0.0588, abs=1e-3) and not row["srm_alarm"]
    stricter = make_settings([WAVE], sample_ratio_alarm_p=0.06)
    assert read(stricter, READ_OUT, lost, labels)[WHOLE]["srm_alarm"]
    unknown = [label for n, label in enumerate(labels) if n % 2 == 0 or n % 4 == 1]
    row = read(make_settings([WAVE]), READ_OUT, actions, unknown)[WHOLE]
    assert row["srm_p"] == 1.0 and row["srm_outcome_p"] < 1e-4 and row["srm_alarm"]


def test_a_mismatch_that_days_hide_from_each_other_is_seen(read, make_settings):
    one_sided = [{"user_id": f"a{n}", "day": FIRST, "arm": "offer"} for n in range(40)]
    other_sided = [{"user_id": f"b{n}", "day": LAST, "arm": "control"} for n in range(40)]
    row = read(make_settings([WAVE]), FIRST + timedelta(days=4), one_sided + other_sided)[WHOLE]
    assert row["srm_p"] == 1.0 and row["srm_day_p"] < 1e-6 and row["srm_alarm"]
    assert (row["treated"], row["difference"]) == (0, None), "the ratio is checked before any outcome is known"


def test_the_global_hold_out_counts_in_the_ratio_alone(read, make_settings):
    actions, labels = planted(160)
    actions += [{"user_id": f"g{n}", "day": FIRST, "arm": "global_control"} for n in range(40)]
    labels += [{"user_id": f"g{n}", "day": FIRST, "churned": True} for n in range(40)]
    row = read(make_settings([WAVE], global_holdout_share=0.2), READ_OUT, actions, labels)[WHOLE]
    assert (row["treated"], row["control"], row["srm_p"]) == (80, 80, pytest.approx(1.0))


def test_a_measure_is_summed_after_the_assignment_and_steadied_by_the_days_before(read, make_settings):
    outcomes = {"spend_10d": {"measure": "spend_cents", "days": 10, "before_days": 5}}
    actions, activity = [], []
    for n in range(60):
        user, habit = {"user_id": f"u{n}"}, 100 * (n // 2 % 10)
        actions.append(user | {"day": FIRST, "arm": "offer" if n % 2 == 0 else "control"})
        gain = 50 if n % 2 == 0 else 0
        spends = {-6: 9_000, -5: habit, 0: 9_000, 1: habit + gain, 10: n % 7, 11: 9_000}
        activity += [user | {"day": FIRST + timedelta(days=age), "spend_cents": cents} for age, cents in spends.items()]
    actions.append({"user_id": "never active", "day": FIRST, "arm": "control"})
    settings = make_settings([WAVE], outcomes=outcomes)
    row = read(settings, LAST + timedelta(days=12), actions, activity=activity)["wave", "offer", "spend_10d", "all", "all"]
    assert (row["treated"], row["control"], row["interim"]) == (30, 31, False)
    assert row["low"] < 50 < row["high"] and row["high"] - row["low"] < 4, "the habit's spread of 287 is gone"
    assert row["cuped_variance_saved"] > 0.99
    assert row["incremental_users"] is None and row["incremental_cents"] == round(30 * row["difference"])


def test_without_campaigns_actions_or_experiments_there_are_no_rows(read, make_settings):
    assert read(make_settings([]), READ_OUT) == {}
    assert read(make_settings(), READ_OUT) == {}


EXPERIMENT = {
    "source": {"name": "trial", "format": "csv", "path": "x", "map": {"unit": "u", "arm": "a"}},
    "outcomes": {"stayed": "s"},
    "control": "old",
    "shares": {"old": 0.5, "new": 0.25, "newer": 0.25},
}


def test_an_experiment_compares_every_arm_with_its_control(read, make_settings):
    arms = ["old", "new", "old", "newer"] * 50
    units = [
        {"unit": f"u{n}", "arm": arm, "outcomes": {"stayed": float(n % 8 < 4), "minutes": n / 7}, "stratum": "xy"[n // 4 % 2]}
        for n, arm in enumerate(arms)
    ]
    found = read(make_settings(experiments={"trial": EXPERIMENT}), READ_OUT, units=units)
    row = found["trial", "newer", "stayed", "all", "all"]
    assert (row["treated"], row["control"], row["interim"], row["srm_p"]) == (50, 100, False, pytest.approx(1.0))
    assert row["p"] == 1.0 and row["cost_cents"] is None
    assert found["trial", "new", "minutes", "stratum", "x"]["incremental_users"] is None
    assert {key[1] for key in found} == {"new", "newer"}
    assert {key[3:] for key in found} == {("all", "all"), ("stratum", "x"), ("stratum", "y")}


def test_where_clusters_were_assigned_a_cluster_is_one_unit(read, make_settings):
    mapped = EXPERIMENT["source"] | {"map": {"unit": "u", "arm": "a", "cluster": "c"}}
    settings = make_settings(experiments={"trial": EXPERIMENT | {"source": mapped}})
    units = [
        {"unit": f"u{n}", "arm": "old" if n % 8 < 4 else "new", "cluster": f"c{n % 8}", "outcomes": {"stayed": float(n % 3 == 0)}}
        for n in range(400)
    ]
    row = read(settings, READ_OUT, units=units)["trial", "new", "stayed", "all", "all"]
    assert (row["treated"], row["control"]) == (4, 4)
