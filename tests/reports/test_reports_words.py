"""How the page says things."""

from pathlib import Path

from churnwatch.reports.page.words import reason_texts
from churnwatch.settings import load

CONF = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"


def test_a_reason_says_value_direction_and_what_is_usual():
    given = [
        {"measure": "logins", "value": 1.0, "contribution": 1.2, "usual": 6.0},
        {"measure": "crashes", "value": None, "contribution": -0.2, "usual": None},
        {"measure": "(base)", "value": None, "contribution": -2.0, "usual": None},
    ]
    risen, fallen = reason_texts(given, load(CONF))
    assert risen.startswith("↑ ") and risen.endswith(": 1 (usual 6)")
    assert fallen.startswith("↓ ") and fallen.endswith(": none")
