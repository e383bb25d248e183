"""A small world with warnings: settings, base records, and the fields that matter."""

from datetime import date, timedelta

from pyspark.sql import functions as F

from churnwatch import alerts
from smallworld import contracts, rows, settings


def reason(measure, value, contribution, cause):
    """A reason of a score; further fields are null."""
    return {"measure": measure, "value": value, "contribution": contribution, "cause": cause}


DAY = date(2026, 3, 10)
FOREVER = date(9999, 12, 31)
LEVELS = [
    {"name": "blue", "owner": "operations", "within_days": 7},
    {"name": "yellow", "owner": "operations", "within_days": 5},
    {"name": "orange", "owner": "retention", "within_days": 3},
    {"name": "red", "owner": "retention", "within_days": 1},
]
TIERS = [
    {"name": "critical", "top_share": 0.1, "level": "red"},
    {"name": "high", "top_share": 0.3, "level": "orange"},
    {"name": "low"},
]
CAUSES = {
    "causes": {
        "price": {"title": "price", "measures": ["spend_cents"], "symptoms": ["spend_cents"]},
        "service": {"title": "s", "measures": ["cancels"], "symptoms": ["cancels"]},
    }
}
RULE = {"id": "quiet", "title": "no order", "when": "orders_2d < 3", "level": "yellow", "cause": "price"}
USER = {"day": DAY, "user_id": "anna", "orders_2d": 5.0, "cancels_2d": 0.0}
SCORE = {
    "day": DAY,
    "user_id": "anna",
    "margin": 1.0,
    "probability": 0.834,
    "percentile": 0.99,
    "tier": "critical",
    "value_cents": 1000,
    "value_at_risk_cents": 834,
    "reasons": [
        reason("spend_cents", 1200.0, 0.7, "price"),
        reason("cancels", 2.5, 0.9, "service"),
        reason("(base)", None, 3.0, None),
    ],
    "cause": "service",
    "model_version": "1",
}
ALERT = {
    "day": DAY,
    "alert_id": "a1",
    "scope": "user",
    "user_id": "anna",
    "rule_id": "quiet",
    "level": "yellow",
    "cause": "price",
    "evidence": "5 orders",
    "owner": "operations",
    "due_on": DAY + timedelta(days=5),
}
TREND = {"segment": "plan", "value": "basic", "active": 100, "came_back": 40, "share": 0.4, "low": 0.31, "high": 0.5}


def world(*rules, **changes):
    """Settings with ``rules``."""
    parts = {"tiers": {"tiers": TIERS, "levels": LEVELS}, "causes": CAUSES, "privacy": {"min_group_size": 10}}
    return settings(rules={"rules": list(rules)}, **(parts | changes))


def before(days):
    """The day ``days`` before DAY."""
    return DAY - timedelta(days=days)


def inputs(spark, **given):
    """Inputs of raise_alerts: no row but the ``given`` ones."""
    t = contracts()
    tables = {
        "features": t.user_features,
        "scores": t.user_scores,
        "trend": t.activity_trend,
        "rates": t.churn_rates,
        "thresholds": t.thresholds,
        "alerts": t.risk_alerts,
        "alert_events": t.alert_events,
    }
    frames = {alias: frame(spark, table, given.get(alias)) for alias, table in tables.items()}
    frames["users"] = in_force(spark, t.users, given.get("users"))
    if "context" in given:
        frames["context"] = in_force(spark, t.context, given["context"])
    return frames


def frame(spark, table, given):
    """Rows of ``table``; without any, a frame that the optimizer knows to be empty, which saves its joins' seconds."""
    if given:
        return rows(spark, table, given)
    nothing = ", ".join(f"CAST(NULL AS {f.dataType.simpleString()}) AS `{f.name}`" for f in table.schema)
    return spark.sql(f"SELECT {nothing} WHERE false")


def in_force(spark, table, given):
    """Rows of ``table`` as they are read as of DAY: with ``until``."""
    return frame(spark, table, [{"day": before(9), **row} for row in given or []]).withColumn("until", F.lit(FOREVER))


def raised(spark, settings, **given):
    """Warnings of DAY as dictionaries, by user or group and rule."""
    frame = alerts.raise_alerts(inputs(spark, **given), (DAY,), settings)["risk_alerts"]
    return sorted(
        (r.asDict() for r in frame.collect()), key=lambda r: (r["user_id"] or f"{r['segment']}={r['value']}", r["rule_id"])
    )


def whom(warnings):
    """(subject, rule) of each warning."""
    return [(w["user_id"] or f"{w['segment']}={w['value']}", w["rule_id"]) for w in warnings]
