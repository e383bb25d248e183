"""Rules that have not been shown to help, and rules that fire together."""

import pytest

from churnwatch.core.intervals import wilson_interval
from churnwatch.reports.page.rule_review import overlapping_rules, unproven_rules


def look(rule, fired, effective=0.0, hits=0.0, expected=0.0, **more):
    """Judged days of a rule, added up."""
    return {
        "by": "rule",
        "rule_id": rule,
        "level": "all",
        "value": "all",
        "fired": fired,
        "effective": effective,
        "hits": hits,
        "expected": expected,
    } | more


def test_a_rule_that_has_not_shown_to_help_is_named_and_no_other():
    history = [
        look("helps", 300, 200.0, 60.0, 30.0),  # 30 %, at least 24 %: above 15 %
        look("does not", 300, 200.0, 36.0, 30.0),  # 18 %, at least 13 %
        look("little known", 300, 99.9, 10.0, 15.0),
        look("by level", 300, 200.0, 30.0, 30.0, level="red"),
        look("old days", 300, None, None, None),
    ]
    ((rule, precision, low, base),) = unproven_rules(history)
    assert (rule, precision, base) == ("does not", 0.18, 0.15) and low == pytest.approx(wilson_interval(36, 200)[0])


def test_rules_that_nearly_always_fire_together_are_named():
    pair = {"by": "together"}
    history = [
        look("a", 100),
        look("b", 1000),
        look("c", 100),
        look("a", 95, value="b", **pair),
        look("a", 94, value="c", **pair),
    ]
    history += [look("rare", 9), look("b", 9, value="rare", **pair)]
    assert overlapping_rules(history, 10) == [("a", "b", 95)]
