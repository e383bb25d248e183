"""The cause of a user: surprise of symptoms, the order of specific, ruled and general causes, evidence. No Spark."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import gamma, poisson

from churnwatch.scoring.causes import SHRINK_EVENTS, cause_finder, cause_rules, rule_inputs, symptom_columns
from churnwatch.scoring.worker_causes import (
    CauseFinder,
    Symptom,
    cause_columns,
    chosen_causes,
    fired_rules,
    measure_symptoms,
    per_cause,
    surprise_of,
)
from smallworld import settings

DAY = date(2025, 6, 2)
CAUSES = {
    "least": 2.5,
    "prior_events": 0.5,
    "windows_days": [2, 4],
    "causes": {
        "use": {"title": "less use", "measures": ["events", "orders"], "general": True},
        "price": {"title": "price", "measures": ["cancels", "cancel_rate"], "symptoms": ["cancels"]},
        "money": {"title": "money", "measures": ["spend_cents"], "symptoms": ["spend_cents"]},
        "contract": {"title": "contract", "measures": []},
    },
}
# columns of the raw matrix: events over 14 and 30 days, crashes, waits (ms), complaints
EVENTS, CRASHES, WAITS, COMPLAINTS = (0, 1), (2, 3), (4, 5), (6, 7)


def finder(**changes):
    """Two specific causes with symptoms, one that only rules name, and a general one. Rows of rates: north, everybody."""

    def rates(*values):
        return [np.array(values), np.array(values)]

    given = {
        "names": ["quality", "service", "contract"],
        "general": "use",
        "general_measures": [0],
        "windows": [(14, EVENTS[0]), (30, EVENTS[1])],
        "symptoms": [
            Symptom("crashes", 0, 1.0, CRASHES, rates(0.02, 0.01)),
            Symptom("service_wait_ms", 1, 60_000.0, WAITS, rates(0.01, 0.01)),
            Symptom("complaints", 1, 1.0, COMPLAINTS, rates(0.0, 0.0)),
        ],
        "least": 2.5,
        "prior_events": 0.5,
        "rules": ["bad_release", "angry", "ends", "falls"],
        "levels": [3, 1, 1, 1],
        "rule_columns": [(0, "rule_0"), (1, "rule_1"), (2, "rule_2"), (3, "rule_3")],
    }
    return CauseFinder(**given | changes)


def raw(*users):
    """A row a user: (events, crashes, waits, complaints), each a number for both windows or a pair."""
    pairs = [[part if isinstance(part, tuple) else (part, part) for part in user] for user in users]
    return np.array([[value for pair in user for value in pair] for user in pairs], dtype=np.float64)


def found(users, spec, rules=None, general=0.0, row=1):
    """cause, cause_rule, causes, evidence of each user; ``rules``: {user: {cause: rule}}."""
    values, count = raw(*users), len(users)
    fired = np.full((len(spec.names) + 1, count), -1)
    for user, own in (rules or {}).items():
        for cause, rule in own.items():
            fired[cause, user] = rule
    made = cause_columns(values, np.full(count, row), fired, np.full(count, general), spec)
    rows = [dict(zip(made, one, strict=True)) for one in zip(*(made[name].to_pylist() for name in made), strict=True)]
    return [row | {"causes": row["causes"] if row["causes"] is None else dict(row["causes"])} for row in rows]


def test_surprise_is_the_best_gain_of_likelihood_and_prior_over_the_usual_rate():
    for count, expected in ((4, 0.6), (1, 0.05), (3, 1e-9), (30, 11.0)):

        def loss(r, count=count, expected=expected):
            prior = gamma(a=1.5, scale=2.0)  # mode 1, rate 0.5
            data = poisson.logpmf(count, r * expected) - poisson.logpmf(count, expected)
            return -(data + prior.logpdf(r) - prior.logpdf(1.0))

        best = minimize_scalar(loss, bounds=(1.0, 1000.0), method="bounded", options={"xatol": 1e-9})
        assert surprise_of(np.array([float(count)]), np.array([expected]), 0.5)[0] == pytest.approx(-best.fun, abs=1e-6)


def test_only_what_is_twice_as_much_as_usual_surprises_however_many_events_a_user_has():
    counts, expected = np.array([3.0, 3000.0, 1900.0, 0.0, 0.0]), np.array([1.0, 1000.0, 1000.0, 0.0, 5.0])
    few, many, less, nothing, fewer = surprise_of(counts, expected, 0.5)
    assert 0 < few < 2.5 < many and less == nothing == fewer == 0.0


def test_a_cause_without_a_usual_rate_is_named_by_several_symptoms_and_not_by_one():
    one, three = found([(40, 0, 0, 1), (40, 0, 0, 3)], finder())
    assert (one["cause"], three["cause"]) == (None, "service")
    assert three["evidence"] == [{"measure": "complaints", "days": 14, "value": 3.0, "usual": 0.0}]
    assert all(np.isfinite(list(one["causes"].values())))


def test_usual_depends_on_events_segments_and_windows_and_sums_count_in_units_of_their_usual_size():
    users = [
        (30, 4, 0, 0),  # 0.3 usual
        (900, 4, 0, 0),  # 9 usual
        ((10, 100), (0, 5), 0, 0),  # only over 30 days
        (30, 0, 240_000, 0),  # four waits of the usual size
        (30, 0, 100_000, 0),  # less than two
        (2, 2, 0, 0),  # a newcomer
        (np.nan, np.nan, -5_000, np.nan),
    ]
    usual, heavy, later, waits, short, new, missing = found(users, finder())
    assert usual["cause"] == "quality"
    assert usual["evidence"] == [{"measure": "crashes", "days": 14, "value": 4.0, "usual": 0.3}]
    assert heavy["cause"] is None and heavy["causes"] == {"quality": 0.0, "service": 0.0}
    assert later["cause"] == "quality" and later["evidence"][0]["days"] == 30
    assert waits["cause"] == "service"
    assert waits["evidence"] == [{"measure": "service_wait_ms", "days": 14, "value": 240_000.0, "usual": 18_000.0}]
    assert short["cause"] is new["cause"] is missing["cause"] is None and new["causes"]["quality"] > 1.0
    assert missing["causes"] == {"quality": 0.0, "service": 0.0} and missing["evidence"] == []
    # in the north crashes are usual
    north = found(users[:1], finder(), row=0)[0]
    assert north["causes"]["quality"] < usual["causes"]["quality"]


def test_symptoms_of_a_cause_add_up_and_the_most_surprising_stands_first():
    spec = finder()
    measured = measure_symptoms(raw((30, 0, 120_000, 2)), np.array([1]), spec)
    surprise, window = per_cause(measured, spec)
    assert surprise[1, 0] == pytest.approx(measured.surprise[1:, 0, 0].sum()) and window[1, 0] == 0
    (both,) = found([(30, 0, 120_000, 2)], spec)
    assert both["cause"] == "service" and [one["measure"] for one in both["evidence"]] == ["complaints", "service_wait_ms"]
    assert both["causes"]["service"] == pytest.approx(surprise[1, 0], abs=1e-4)


def test_a_rule_wins_then_the_most_surprising_cause_then_the_general_one():
    quiet, crashed, angry = (30, 0, 0, 0), (30, 4, 0, 0), (30, 4, 0, 4)
    cases = [  # user, rules that are true by cause, part of the general measures in the risk; cause, rule
        (quiet, {}, 0.0, None, None),
        (quiet, {}, 0.1, "use", None),
        (quiet, {3: 3}, 0.0, "use", "falls"),
        (crashed, {3: 3}, 0.1, "quality", None),  # a rule of the general cause does not hide a specific one
        (angry, {}, 0.1, "service", None),
        (crashed, {1: 1}, 0.1, "service", "angry"),
        (quiet, {2: 2}, 0.1, "contract", "ends"),  # a cause without symptoms
        (crashed, {0: 0, 1: 1}, 0.1, "quality", "bad_release"),  # the higher level
        (angry, {1: 1, 2: 2}, 0.1, "service", "angry"),  # equal levels: the more surprising
    ]
    for user, rules, general, cause, rule in cases:
        (made,) = found([user], finder(), {0: rules}, general)
        assert (made["cause"], made["cause_rule"]) == (cause, rule), (user, rules, general)
    assert found([crashed], finder(general=None), {0: {3: 3}}, 0.1)[0]["cause"] == "quality"
    assert found([quiet], finder(general=None), {0: {3: 3}}, 0.1)[0]["cause"] is None


def test_evidence_is_of_the_named_cause_alone():
    (made,) = found([(30, 9, 0, 3)], finder(), {0: {1: 1}})
    assert made["cause"] == "service" and [one["measure"] for one in made["evidence"]] == ["complaints"]
    assert made["causes"]["quality"] > made["causes"]["service"] > 2.5
    assert found([(30, 9, 0, 3)], finder(), {0: {2: 2}})[0]["evidence"] == []


def test_without_symptoms_or_causes_nothing_is_named_but_the_general_cause():
    bare = finder(symptoms=[], windows=[])
    assert [one["cause"] for one in found([(30, 9, 0, 3)], bare, general=0.2)] == ["use"]
    assert found([(30, 9, 0, 3)], bare)[0] == {"cause": None, "cause_rule": None, "causes": None, "evidence": []}
    nothing = finder(names=[], general=None, symptoms=[], windows=[], rules=[], levels=[], rule_columns=[])
    assert found([(30, 9, 0, 3)], nothing)[0]["cause"] is None
    assert chosen_causes(np.zeros((0, 2)), np.full((1, 2), -1), np.ones(2), nothing).tolist() == [-1, -1]


def test_rules_arrive_as_one_column_a_cause():
    columns = {"rule_0": pa.array([None, 0], pa.int32()), "rule_3": pa.array([3, None], pa.int32())}
    spec = finder(rule_columns=[(0, "rule_0"), (3, "rule_3")])
    assert fired_rules(columns, 2, spec).tolist() == [[-1, 0], [-1, -1], [-1, -1], [3, -1]]


# --- what the release and the settings give ------------------------------------------------------------------------------


def reference(**rates):
    """Usual values of events and symptoms for 'gold' (100 rows) and for all 1,000 rows; ``rates`` by feature."""
    columns = {f"{name}_{days}d" for name in ("cancels", "spend_cents") for days in (2, 4)}
    return {
        "usual": {
            "by": "segment_plan",
            "values": ["gold"],
            "rows": [100, 1000],
            "per": "events",
            "medians": {},
            "means": {"events_2d": [10.0, 10.0], "events_4d": [20.0, 20.0]},
            "sizes": {"spend_cents_1d": [500.0, 400.0]},
            "rates": {name: rates.get(name, [0.02, 0.01]) for name in columns} | rates,
        }
    }


def made_finder(one, release, measures=("events", "orders", "cancels")):
    place = {name: n for n, name in enumerate(symptom_columns(release, one))}
    return cause_finder(release, measures, place, DAY, one)


def test_usual_rates_come_from_the_release_and_small_segments_are_drawn_to_all_users():
    one = settings(causes=CAUSES)
    spec = made_finder(one, reference(spend_cents_2d=[0.0, 8.0], spend_cents_4d=[None, 8.0]))
    assert (spec.names, spec.general, spec.general_measures) == (["price", "money", "contract"], "use", [0, 1])
    cancels, spend = spec.symptoms
    assert (cancels.cause, cancels.unit, spend.cause, spend.unit) == (0, 1.0, 1, 400.0)
    # 0.02 x 1,000 events = 20 cancels of gold users, beside a prior of 20 at 0.01
    gold, everybody = cancels.rates[0]
    assert everybody == 0.01 and gold == pytest.approx((20 + SHRINK_EVENTS) / (1000 + SHRINK_EVENTS / 0.01))
    # no spend among gold users, or no rate: still near that of all
    assert spend.rates[0][0] == pytest.approx(20 / (1000 + 20 / 0.02)) and spend.rates[1][0] > 0
    assert [days for days, _ in spec.windows] == [2, 4]
    never = made_finder(one, reference(cancels_2d=[0.0, 0.0], cancels_4d=[0.0, 0.0])).symptoms[0]
    assert [rate.tolist() for rate in never.rates] == [[0.0, 0.0], [0.0, 0.0]]


def test_a_release_without_usual_rates_names_no_cause_by_symptoms(caplog):
    one = settings(causes=CAUSES)
    old = {"usual": {"by": None, "values": [], "medians": {}}}
    for release in (None, old):
        with caplog.at_level("INFO"):
            assert made_finder(one, release).symptoms == [] and symptom_columns(release, one) == []
        assert "no usual rate of cancels, spend_cents" in caplog.text
    unknown = reference()
    unknown["usual"]["rates"] = {name: rate for name, rate in unknown["usual"]["rates"].items() if "cancels" not in name}
    assert [symptom.measure for symptom in made_finder(one, unknown).symptoms] == ["spend_cents"]


def test_rules_decide_on_causes_unless_they_name_scores():
    def rule(name, when, level="blue", **more):
        return {"id": name, "title": name, "when": when, "level": level, "cause": "price", **more}

    levels = [{"name": name, "owner": "o", "within_days": 1} for name in ("blue", "red")]
    one = settings(
        causes=CAUSES,
        tiers={"levels": levels},
        measures={"indicators": {"cancelling": {"of": "cancels"}}},
        rules={
            "rules": [
                rule("many", "cancels_4d >= 3"),
                rule("gold", "plan = 'gold' AND cancels_4d >= 1", level="red"),
                rule("risky", "probability > 0.5"),
                rule("above", "cancels_4d > cancelling_base"),
                rule("over", "cancels_4d >= 1", valid_to="2025-01-01"),
                rule("region", "share < 0.5", scope="group"),
            ]
        },
    )
    assert [found.id for found in cause_rules(DAY, one)] == ["gold", "many", "above"]
    assert rule_inputs(one) == (["plan"], ["cancelling"]) and rule_inputs(settings(causes=CAUSES)) == ([], [])
    spec = made_finder(one, reference())
    assert (spec.rules, spec.levels, spec.rule_columns) == (["gold", "many", "above"], [2, 1, 1], [(0, "rule_0")])
