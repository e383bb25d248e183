"""What the demo prints at its end: short, readable at 80 columns, and honest about an effect that was not found."""

from datetime import date

import pytest
from pyspark.sql import Row

from churnwatch.demo import Found, summary

EFFECT = Row(difference=0.21, low=0.156, high=0.264, treated=345, control=313, campaign="autumn_wave")
WAVE = {"day": date(2025, 4, 10), "region": "south", "share": 0.4, "before": 0.927, "after": 0.562}
METRICS = {"auc": 0.869, "auc_low": 0.853, "auc_high": 0.884, "rule_auc": 0.828}


def found(effects=(EFFECT,), planted=0.206):
    """What a demo of 8,000 users finds."""
    leavers = [Row(shows=text, users=100, top=100) for text in ("quiet", "declining", "no sign yet")]
    causes = [Row(cause="price", users=60, same=20), Row(cause="service", users=40, same=10)]
    return Found(8000, 3_190_515, METRICS, leavers, causes, [WAVE, WAVE], planted, effects, "warehouse/page.html")


def test_the_summary_is_short_and_fits_80_columns():
    lines = summary(found(), "conf/local.yaml")
    assert len(lines) <= 12
    assert [line for line in lines if len(line) > 80] == []


def test_the_summary_says_what_was_planted_and_what_was_found():
    text = "\n".join(summary(found(), "conf/local.yaml"))
    for part in (
        "8,000 users, 3,190,515 events",
        "AUC 0.869 [0.853, 0.884]",
        "in the riskiest tenth: quiet 100%, declining 100%, no sign yet 100%",
        "30% with the planted cause",
    ):
        assert part in text
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
