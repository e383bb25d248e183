"""Review rules over all judged days: those not shown to help, and those that nearly always fire together."""

from collections.abc import Mapping, Sequence
from typing import Any

from churnwatch.core.intervals import wilson_interval
from churnwatch.reports.alert_quality import RULE, TOGETHER
from churnwatch.settings.terms import ALL

Rows = Sequence[Mapping[str, Any]]

ENOUGH_MATURED = 100  # effective users with a known outcome; a rule with fewer is not reviewed
TOGETHER_SHARE = 0.95


def unproven_rules(history: Rows) -> list[tuple[str, float, float, float]]:
    """(rule, precision, its lower end, base rate) of rules that have not been shown to help, those with the most users first.

    ``history``: sums over judged days per rule and level: ``effective`` users, ``hits`` among them, ``expected`` hits at the
    base rate of each day. A rule is listed when it has at least 100 effective users and the lower end of its precision's 95 %
    interval is not above the base rate. Such a rule may help; the data do not show it.
    """
    found = []
    for row in history:
        if row["by"] != RULE or row["level"] != ALL or (row["effective"] or 0.0) < ENOUGH_MATURED:
            continue
        base = row["expected"] / row["effective"]
        low, _ = wilson_interval(row["hits"], row["effective"])
        if low <= base:
            found.append((row["effective"], row["rule_id"], row["hits"] / row["effective"], low, base))
    return [(rule, precision, low, base) for _, rule, precision, low, base in sorted(found, key=lambda f: (-f[0], f[1]))]


def overlapping_rules(history: Rows, few: int) -> list[tuple[str, str, int]]:
    """(rule, other, users) of two rules that fired for the same user in at least 95 % of the cases in which the rarer one did."""
    fired = {row["rule_id"]: row["fired"] for row in history if row["by"] == RULE and row["level"] == ALL}
    pairs = [
        (row["rule_id"], row["value"], row["fired"])
        for row in history
        if row["by"] == TOGETHER
        and row["fired"] >= few
        and row["fired"] >= TOGETHER_SHARE * min(fired.get(row["rule_id"], 0), fired.get(row["value"], 0))
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair))
