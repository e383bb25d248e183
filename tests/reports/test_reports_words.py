"""How the page says things."""

from pathlib import Path

from churnwatch.reports.page.words import evidence_texts, measure_title, measure_value, money, reason_texts
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


def test_reasons_of_attributes_read_like_the_others():
    known = load(CONF)
    kinds = {"age": "number", "contract_end": "date", "suspended": "boolean", "plan": "category"}
    measures = known.measures.model_validate(
        known.measures.model_dump(by_alias=True)
        | {"attributes": {name: {"kind": kind} for name, kind in kinds.items()}, "sensitive_allowed": ["age"]}
    )
    settings = known.model_copy(update={"measures": measures})
    given = [
        {"measure": "attribute_plan", "feature": "attribute_plan_is_family%20%26%20friends", "value": 1.0, "usual": 0.0},
        {"measure": "attribute_plan", "feature": "attribute_plan_is_gold", "value": 0.0, "usual": 1.0},
        {"measure": "attribute_contract_end", "feature": "attribute_contract_end_days", "value": 12.0, "usual": -1.0},
        {"measure": "attribute_suspended", "feature": "attribute_suspended", "value": 1.0, "usual": 0.0},
        {"measure": "attribute_age", "feature": "attribute_age", "value": 34.0, "usual": None},
    ]
    assert reason_texts([one | {"contribution": 0.5} for one in given], settings, most=5) == [
        "↑ plan: family & friends",
        "↑ plan: not gold",
        "↑ days until contract end: 12 (usual −1)",
        "↑ suspended: yes (usual no)",
        "↑ age: 34",
    ]
    assert measure_title("attribute_contract_end_days", settings) == "days until contract end"


def test_money_is_shown_in_major_units_of_the_domains_currency():
    known = load(CONF)
    shown = {
        code: (money(1234567, one), money(1950, one), measure_value("spend_cents_7d", 1950, one))
        for code in (None, "EUR", "JPY", "KWD")
        for one in [known.model_copy(update={"money": known.money.model_validate({"currency": code})})]
    }
    assert shown[None] == shown["EUR"] == ("12,346", "19.50", "19.5")
    assert shown["JPY"] == ("1,234,567", "1,950", "1,950")
    assert shown["KWD"] == ("1,235", "1.950", "1.95")
