"""How the page says things."""

from pathlib import Path

from churnwatch.reports.page.words import evidence_texts, reason_texts
from churnwatch.settings import load

CONF = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"


def test_a_reason_says_value_direction_and_what_is_usual():
    given = [
        {"measure": "service_wait_ms", "feature": "service_wait_ms_30d", "value": 4.32e6, "contribution": 1.2, "usual": 9e5},
        {"measure": "crashes", "feature": "crashes_days_since", "value": None, "contribution": -0.2, "usual": None},
        {"measure": "logins", "value": 1.0, "contribution": 0.1, "usual": 6.0},  # from before features were stored
        {"measure": "(base)", "value": None, "contribution": -2.0, "usual": None},
    ]
    assert reason_texts(given, load(CONF)) == [
        "↑ time until the service answered, 30 days: 72 min (usual 15 min)",
        "↓ days without crashes: none",
        "↑ log-ins: 1 (usual 6)",
    ]


def test_evidence_says_how_much_and_what_is_usual_for_so_much_use():
    given = [
        {"measure": "crashes", "days": 30, "value": 4.0, "usual": 0.6},
        {"measure": "service_wait_ms", "days": 14, "value": 4.32e6, "usual": 2.0e5},
    ]
    assert evidence_texts(given, load(CONF)) == [
        "4 crashes in 30 days, 0.6 usual for so much use",
        "72 min of time until the service answered in 14 days, 3.3 min usual for so much use",
    ]
