"""Settings and frames of a small campaign: base records, and the fields that matter."""

from datetime import date

import pytest

from churnwatch.settings import Settings
from churnwatch.tables import tables

OFFERS = [
    {"name": "voucher", "causes": ["price"], "min_value_cents": 500, "channel": "email", "cost_cents": 100, "save_share": 0.5},
    {"name": "tour", "causes": ["engagement"], "channel": "push", "cost_cents": 5},
    {"name": "hello", "channel": "email", "cost_cents": 1},
]
CAMPAIGN = {"name": "wave", "tiers": ["critical", "high"], "holdout_share": 0.5, "offers": OFFERS}

TREE = {
    "domain": "test",
    "storage": {"root": "x", "files": "x"},
    "mlflow": {"tracking_uri": "sqlite:///x.db"},
    "privacy": {"id_key": {"file": "x"}},
    "sources": {
        "events": [
            {
                "name": "log",
                "format": "csv",
                "path": "x",
                "map": {"user_id": "u", "event_time": "t", "event_type": "k"},
            }
        ]
    },
    "measures": {"measures": {"spend_cents": {"kind": "sum", "of": "amount_cents"}}},
    "churn": {
        "primary": "silent_14d",
        "definitions": {"silent_14d": {"horizon_days": 14, "active_within_days": 14}},
    },
    "tiers": {
        "tiers": [{"name": "critical", "top_share": 0.1}, {"name": "high", "top_share": 0.3}, {"name": "low"}],
        "levels": [],
    },
}

SCORE = {
    "margin": 0.0,
    "probability": 0.5,
    "percentile": 0.9,
    "tier": "high",
    "previous_tier": None,
    "value_cents": 1000,
    "value_at_risk_cents": 500,
    "reasons": [],
    "model_version": "1",
}
ALERT = {
    "scope": "user",
    "segment": None,
    "value": None,
    "rule_id": "model",
    "level": "red",
    "cause": "price",
    "evidence": "",
    "owner": "retention",
    "due_on": None,
}
CONSENT = {"purpose": "contact", "granted": True, "changed_at": None, "full": False, "until": date(9999, 12, 31)}
ACTION = {
    "campaign": "wave",
    "offer": "voucher",
    "channel": "email",
    "arm": "offer",
    "suppressed_because": None,
    "cause": "price",
    "tier": "high",
    "probability": 0.5,
    "value_cents": 1000,
    "cost_cents": 100,
    "expected_value_cents": 150,
    "earliest_send_at": None,
    "expires_at": None,
}


def settings_with(campaigns=None, experiments=None, **offers) -> Settings:
    """Settings of the small campaign; ``campaigns`` are changes of CAMPAIGN, ``offers`` keys of offers.yaml."""
    changed = [CAMPAIGN | change for change in ([{}] if campaigns is None else campaigns)]
    no_global = {"global_holdout_share": 0.0}
    return Settings.model_validate(
        TREE | {"offers": no_global | offers | {"campaigns": changed}, "experiments": experiments or {}}
    )


class Frames:
    """Makes rows of a table from a base record and the fields that matter."""

    def __init__(self, spark) -> None:
        self._spark = spark
        self._tables = tables(settings_with())

    def of(self, table: str, base: dict, *changes: dict):
        """A frame of ``table``: one row a change of ``base``."""
        schema = self._tables[table].schema
        if "until" in base:
            schema = type(schema)(list(schema.fields)).add("until", "date")
        # a column that may be null is, unless a row names it
        rows = [tuple((base | change).get(name) for name in schema.names) for change in changes]
        return self._spark.createDataFrame(rows, schema)

    def scores(self, *changes: dict):
        """Rows of user_scores."""
        return self.of("user_scores", SCORE | {"day": date(2025, 5, 1)}, *changes)

    def alerts(self, *changes: dict):
        """Rows of risk_alerts, each with an id of its own."""
        numbered = [{"alert_id": f"a{n}"} | change for n, change in enumerate(changes)]
        return self.of("risk_alerts", ALERT | {"day": date(2025, 5, 1), "due_on": date(2025, 5, 2)}, *numbered)

    def consents(self, *changes: dict):
        """Rows of consents, as they are read as of a day."""
        return self.of("consents", CONSENT | {"day": date(2025, 1, 1)}, *changes)

    def actions(self, *changes: dict):
        """Rows of retention_actions."""
        return self.of("retention_actions", ACTION, *changes)

    def assignments(self, *changes: dict):
        """Rows of assignments, as they are read as of a day."""
        return self.of("assignments", {"campaign": "wave", "arm": "offer", "until": date(9999, 12, 31)}, *changes)

    def labels(self, *changes: dict):
        """Rows of user_labels."""
        base = {"definition": "silent_14d", "churned": False, "last_active_day": date(2025, 4, 30)}
        return self.of("user_labels", base, *changes)

    def activity(self, *changes: dict):
        """Rows of daily_activity: user, day and spend."""
        names = ("user_id", "day", "spend_cents")
        rows = [tuple(change[name] for name in names) for change in changes]
        return self._spark.createDataFrame(rows, "user_id string, day date, spend_cents long")

    def units(self, *changes: dict):
        """Rows of experiment_units, as they are read as of a day."""
        base = {"experiment": "trial", "cluster": None, "stratum": None, "covariates": None}
        base |= {"day": date(2025, 1, 1), "until": date(9999, 12, 31)}
        return self.of("experiment_units", base, *changes)


@pytest.fixture(scope="session")
def frames(spark):
    """Maker of small frames."""
    return Frames(spark)


@pytest.fixture(scope="session")
def make_settings():
    """``settings_with``, for tests that lie in files without an import path to this one."""
    return settings_with
