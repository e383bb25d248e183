"""What the demo prints at its end: short, readable at 80 columns, and honest about an effect that was not found."""

from datetime import date

import pytest
from pyspark.sql import Row

from churnwatch.demo import Found, summary

EFFECT = Row(difference=0.21, low=0.156, high=0.264, treated=345, control=313, campaign="autumn_wave")
WAVE = {"day": date(2025, 4, 10), "region": "south", "share": 0.4, "before": 0.927, "after": 0.562}
CAUSES = [
    Row(planted=planted, found=found, users=users)
    for planted, found, users in (
        (None, "engagement", 500),
        (None, "price", 20),
        ("(just begun)", "engagement", 9),
        ("engagement", "engagement", 80),
        ("engagement", "price", 20),
        ("price", "price", 30),
        ("price", "engagement", 10),
        ("price", "service", 10),
        ("service", "unknown", 10),
        ("service", "service", 40),
    )
]
METRICS = {"auc": 0.869, "auc_low": 0.853, "auc_high": 0.884, "rule_auc": 0.828}


def found(effects=(EFFECT,), planted=0.206):
    """What a demo of 8,000 users finds."""
    leavers = [Row(shows=text, users=100, top=100) for text in ("quiet", "declining", "no sign yet")]
    return Found(8000, 3_190_515, METRICS, leavers, CAUSES, [WAVE, WAVE], planted, effects, "warehouse/page.html", "engagement")


def test_the_summary_is_short_and_fits_80_columns():
    lines = summary(found(), "conf/local.yaml")
    assert len(lines) <= 16
    assert [line for line in lines if len(line) > 80] == []


def test_the_summary_says_what_was_planted_and_what_was_found():
    text = "\n".join(summary(found(), "conf/local.yaml"))
    for part in (
        "8,000 users, 3,190,515 events",
        "AUC 0.869 [0.853, 0.884]",
        "in the riskiest tenth: quiet 100%, declining 100%, no sign yet 100%",
    ):
        assert part in text
    causes = " ".join(line.strip() for line in text.splitlines())
    for part in (
        "of 200 warned users in decline (and 9 who just began): recall 73% on average,",  # 0.8, 0.6 and 0.8
        "70% of 100 specific causes right",  # 30 of 50 with price, 40 of 50 with service
        "engagement is named for 82% of all 729 warned",  # also of those who are not in decline
        "engagement 80% / 89%, price 60% / 60%, service 80% / 80%",
    ):
        assert part in causes
    assert "planted +20.6 points of retention, found +21.0 [+15.6, +26.4]" in text
    assert "covers the planted: yes; excludes 0: yes" in text and "warehouse/page.html" in text


@pytest.mark.parametrize(
    ("effects", "planted", "said"),
    [
        ([EFFECT], 0.3, "covers the planted: NO; excludes 0: yes"),
        ([Row(**EFFECT.asDict() | {"low": -0.01})], 0.206, "covers the planted: yes; excludes 0: NO"),
        ([EFFECT], None, "covers the planted: NO"),
        ([], 0.206, "no reading of their effect"),
    ],
)
def test_an_effect_that_was_not_found_is_not_called_proven(effects, planted, said):
    one = found(effects, planted)
    assert not one.proven and said in "\n".join(summary(one, "conf/local.yaml"))
    assert found().proven
