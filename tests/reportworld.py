"""A made-up but plausible state of the tables that the page reads on a day, as rows by input alias."""

import json
import math
import random
from datetime import date, datetime, timedelta

from churnwatch.core.intervals import wilson_interval
from churnwatch.tables import tables
from frames import frame as of_rows

DAY = date(2025, 9, 27)
TIERS = (("critical", 0.05), ("high", 0.15), ("medium", 0.4), ("low", 1.0))
CAUSES = ("engagement", "price", "quality", "service", "competitor", "unknown")
LEVEL = {"critical": "red", "high": "orange"}


def ago(days):
    """The day ``days`` days before DAY."""
    return DAY - timedelta(days=days)


READS = {
    "scores": "user_scores",
    "alerts": "risk_alerts",
    "actions": "retention_actions",
    "trend": "activity_trend",
    "cohorts": "cohort_churn",
    "rates": "churn_rates",
    "lift": "retention_lift",
    "causes": "churn_causes",
    "profile": "churn_profile",
    "alert_quality": "alert_quality",
    "alert_events": "alert_events",
    "model_quality": "model_quality",
    "drift": "feature_drift",
    "model_runs": "model_runs",
    "rejected": "rejected_events",
    "runs": "job_runs",
}


def frames(spark, settings, rows=None, reads=None):
    """Inputs of a job with ``rows`` by alias (absent: empty), under the contracts of ``reads``: alias -> table."""
    contracts = tables(settings)
    rows = rows or {}
    return {alias: frame(spark, contracts[name].schema, rows.get(alias, [])) for alias, name in (reads or READS).items()}


def frame(spark, schema, rows):
    """A frame under ``schema``; columns that a row does not name are null."""
    return of_rows(spark, rows, schema)


def interval(hits, total):
    """Rate and Wilson interval."""
    return hits / total, *wilson_interval(hits, total)


def full(settings, users=1200):
    """Rows of every input on DAY."""
    chance = random.Random(5)
    scores = _scores(chance, users)
    return {
        "scores": scores,
        "alerts": _alerts(chance, scores),
        "actions": _actions(chance, scores),
        "trend": _trend(chance),
        "cohorts": _cohorts(chance),
        "rates": _rates(chance),
        "lift": _lift(),
        "causes": _causes(),
        "profile": _profile(chance, settings),
        "alert_quality": _alert_quality(),
        "alert_events": _alert_events(),
        "model_quality": _model_quality(),
        "drift": _drift(chance, settings),
        "model_runs": _model_runs(),
        "rejected": _rejected(chance),
        "runs": _runs(settings),
    }


def _scores(chance, users):
    rows = []
    for days_ago in (1, 0):
        for n in range(users):
            rank = (n + 0.5) / users
            p = round(0.92 * math.exp(-5.5 * rank) + 0.01, 6)
            tier = next(name for name, top in TIERS if rank <= top)
            before = tier if chance.random() < 0.85 else chance.choice([t for t, _ in TIERS] + [None])
            value = chance.choice([300, 300, 900, 1500, 4800, 12500])
            cause = chance.choices(CAUSES, (50, 18, 12, 9, 6, 5))[0]
            measure = {
                "price": "price_views_14d",
                "quality": "crashes_7d",
                "service": "complaints_30d",
                "competitor": "competitor_views_14d",
            }
            reasons = [
                {
                    "measure": measure.get(cause, "logins_7d"),
                    "value": float(chance.randint(0, 6)),
                    "contribution": 1.2,
                    "cause": None if cause == "unknown" else cause,
                },
                {"measure": "use_ms_14d", "value": 1234567.0, "contribution": 0.5, "cause": "engagement"},
                {
                    "measure": "events_days_since",
                    "value": float(chance.randint(0, 13)),
                    "contribution": -0.2,
                    "cause": "engagement",
                },
                {"measure": "(other)", "value": None, "contribution": 0.1, "cause": None},
                {"measure": "(base)", "value": None, "contribution": -2.0, "cause": None},
            ]
            rows.append(
                {
                    "day": ago(days_ago),
                    "user_id": f"raw-user-{n:05d}",
                    "margin": math.log(p / (1 - p)),
                    "probability": p,
                    "percentile": 1 - rank,
                    "tier": tier,
                    "previous_tier": before,
                    "value_cents": value,
                    "value_at_risk_cents": int(p * value),
                    "reasons": reasons,
                    "cause": None if cause == "unknown" else cause,
                    "evidence": [{"measure": "crashes", "days": 14, "value": 4.0, "usual": 0.61}] if cause == "quality" else [],
                    "improvement": {"measure": "service_wait_ms", "probability": p / 2} if cause == "service" else None,
                    "model_version": "3",
                }
            )
    return rows


def _alerts(chance, scores):
    rows = []
    for r in scores:
        rules = [("model", LEVEL[r["tier"]])] if r["tier"] in LEVEL and chance.random() < 0.3 else []
        rules += [("no_login_7d", "yellow")] if chance.random() < 0.03 else []
        rules += [("crashes", "orange")] if chance.random() < 0.01 else []
        for rule, level in rules:
            rows.append(
                {
                    "day": r["day"],
                    "alert_id": f"{r['day']}{rule}{r['user_id']}",
                    "scope": "user",
                    "user_id": r["user_id"],
                    "rule_id": rule,
                    "level": level,
                    "cause": "engagement",
                    "evidence": "no log-in",
                    "owner": "retention",
                    "due_on": r["day"] + timedelta(days=3),
                }
            )
    rows.append(
        {
            "day": ago(2),
            "alert_id": "group",
            "scope": "group",
            "segment": "region",
            "value": "north",
            "rule_id": "group_stays_away",
            "level": "orange",
            "cause": "sudden",
            "evidence": "612 of 1,104 came back: 0.55, at most 0.58; usual is 0.71",
            "owner": "product",
            "due_on": ago(-1),
        }
    )
    return rows


def _actions(chance, scores):
    rows = []
    for r in scores:
        if r["day"] == DAY and r["tier"] in LEVEL:
            arm = chance.choices(["offer", "control", "global_control", None], (45, 45, 4, 30))[0]
            rows.append(
                {
                    "day": DAY,
                    "user_id": r["user_id"],
                    "campaign": "autumn_wave",
                    "offer": "price_voucher",
                    "channel": "email",
                    "arm": arm,
                    "suppressed_because": None if arm else chance.choice(["no consent to email", "contact pause"]),
                    "cause": "price",
                    "tier": r["tier"],
                    "probability": r["probability"],
                    "cost_cents": 200,
                    "expected_value_cents": 310,
                }
            )
    return rows


def _trend(chance):
    rows = []
    for n in range(90):
        share = 0.71 + 0.03 * math.sin(n / 9) - (0.11 if 20 <= n <= 26 else 0) + chance.uniform(-0.006, 0.006)
        p, low, high = interval(int(5200 * share), 5200)
        rows.append(
            {
                "day": ago(n),
                "segment": "all",
                "value": "all",
                "active": 5200,
                "came_back": int(5200 * share),
                "share": p,
                "low": low,
                "high": high,
            }
        )
    return rows


def _cohorts(chance):
    rows = []
    for start in range(8):
        cohort = date(2025, 2 + start, 1)
        size = 900 + 37 * start
        for period in range(8 - start):
            day = date(2025, cohort.month + period, 1)
            active = size if period == 0 else int(size * (0.78 - 0.055 * period - 0.01 * start + chance.uniform(-0.01, 0.01)))
            p, low, high = interval(active, size)
            rows.append(
                {
                    "day": day,
                    "cohort_by": "month",
                    "cohort": cohort,
                    "segment": "all",
                    "value": "all",
                    "period": period,
                    "size": size,
                    "active": active,
                    "retained": p,
                    "churned": 1 - p,
                    "low": low,
                    "high": high,
                    "change": None if start == 0 else -0.012,
                    "complete": day < date(2025, 9, 1),
                    # the data begin with February
                    "before_data": start == 0,
                }
            )
    return rows


def _rates(chance):
    rows = []
    for definition, lag, level in (("silent_14d", 16, 0.14), ("silent_30d", 32, 0.22)):
        for n in range(lag, 120, 7):
            churned = int(6400 * (level + 0.012 * math.sin(n / 11) + chance.uniform(-0.004, 0.004)))
            rows.append(_rate(ago(n), definition, "all", "all", 6400, churned))
    for segment, value, eligible, churned in (
        ("region", "north", 1600, 330),
        ("region", "south", 1700, 190),
        ("plan", "free", 4100, 690),
        ("plan", "plus", 2300, 210),
        ("region", "isle", 7, 3),
    ):
        rows.append(_rate(ago(16), "silent_14d", segment, value, eligible, churned))
    return rows


def _rate(day, definition, segment, value, eligible, churned):
    p, low, high = interval(churned, eligible)
    return {
        "day": day,
        "definition": definition,
        "segment": segment,
        "value": value,
        "eligible": eligible,
        "churned": churned,
        "rate": p,
        "low": low,
        "high": high,
    }


def _lift():
    def row(outcome, segment, value, treated, control, t, c, half, interim=False, **more):
        d = t - c
        return {
            "day": DAY,
            "campaign": "autumn_wave",
            "arm": "offer",
            "outcome": outcome,
            "segment": segment,
            "value": value,
            "treated": treated,
            "control": control,
            "treated_mean": t,
            "control_mean": c,
            "difference": d,
            "relative_lift": d / c,
            "low": d - half,
            "high": d + half,
            "p": None if interim else 0.0004,
            "q": None if interim or segment == "all" else 0.012,
            "srm_p": 0.61,
            "srm_outcome_p": 0.58,
            "srm_alarm": False,
            "min_detectable": 0.09,
            "incremental_users": d * treated if outcome == "retained" else None,
            "incremental_cents": 41200,
            "cost_cents": 28400,
            "interim": interim,
            "randomised": True,
        } | more

    return [
        row("retained", "all", "all", 402, 391, 0.622, 0.421, 0.068),
        row("retained", "tier", "critical", 140, 131, 0.51, 0.29, 0.112),
        row("retained", "tier", "high", 262, 260, 0.68, 0.49, 0.083),
        row("retained", "cause", "service", 6, 5, 0.68, 0.49, 0.4),
        row("spend_14d", "all", "all", 402, 391, 1240.0, 990.0, 310.0),
        row("retained", "all", "all", 88, 31, 0.5, 0.45, 0.2, True, campaign="october_care", srm_alarm=True, srm_p=0.0031),
    ]


def _causes():
    counts = (
        ("engagement", 610, 120),
        ("price", 240, 60),
        ("quality", 160, 44),
        ("service", 90, 30),
        ("unknown", 60, 9),
        ("competitor", 8, 3),
    )
    total = sum(c for *_, c in counts)
    rows = []
    for cause, users, churned in counts:
        p, low, high = interval(churned, total)
        rows.append(
            {
                "day": ago(16),
                "cause": cause,
                "users": users,
                "churned": churned,
                "share": p,
                "low": low,
                "high": high,
                "rate": churned / users,
                "association": True,
            }
        )
    return rows


def _profile(chance, settings):
    from churnwatch.settings import feature_names

    rows = []
    for name in feature_names(settings):
        d = round(chance.gauss(-0.25, 0.35), 4)
        rows.append(
            {
                "day": ago(16),
                "measure": name,
                "churned_mean": 3.1 + d,
                "stayed_mean": 3.1,
                "effect": d,
                "low": d - 0.07,
                "high": d + 0.07,
                "association": True,
            }
        )
    return rows


def _alert_quality():
    rows = []
    for rule, fired, matured, churned in (
        ("model", 240, 130, 88),
        ("no_login_7d", 96, 71, 31),
        ("crashes", 40, 33, 9),
        ("looks_at_prices", 9, 6, 1),
    ):
        p, low, high = interval(churned, matured)
        for level in ("all", "orange"):
            rows.append(
                {
                    "day": ago(16),
                    "rule_id": rule,
                    "level": level,
                    "fired": fired,
                    "matured": matured,
                    "churned": churned,
                    "base_eligible": 6100,
                    "base_churned": 850,
                    "base_rate": 0.146,
                    "precision": p,
                    "low": low,
                    "high": high,
                    "recall": churned / 850,
                    "lift": p / 0.146,
                    "lead_days": 9.4,
                    "by": "rule",
                    "value": "all",
                    "effective": 20.0 * matured,
                }
            )
    model = rows[0]
    looks = {"level": "orange", "cause": "price", "owner": "retention", "region": "north"}
    rows += [model | {"rule_id": "all", "by": by, "value": value} for by, value in looks.items()]
    rows.append(rows[4] | {"level": "all", "by": "together", "rule_id": "crashes", "value": "no_login_7d", "fired": 39})
    return rows


def _alert_events():
    closed = {"who": "eva", "action": "closed", "at": datetime(2025, 9, 20, 12), "rule_id": "crashes", "outcome": "false_alarm"}
    lesson = closed | {"day": ago(7), "lesson": "crashes of <one> test device"}
    rows = [lesson | {"alert_id": f"a{n}"} for n in range(3)]
    rows += [closed | {"day": ago(2), "alert_id": "b", "lesson": None}]
    rows += [closed | {"day": ago(3), "alert_id": "c", "rule_id": None, "outcome": None, "lesson": "call before noon"}]
    return [row | {"event_id": row["alert_id"]} for row in rows]


def _model_quality():
    metrics = {
        "auc": 0.861,
        "average_precision": 0.612,
        "brier": 0.083,
        "log_loss": 0.281,
        "calibration_error": 0.014,
        "base_rate": 0.146,
    }
    rows = [
        {"day": ago(n), "model_version": "3", "metric": m, "users": 6100, "churned": 850, "metric_value": v - 0.001 * n}
        for n in (16, 17, 18)
        for m, v in metrics.items()
    ]
    parts = [("tenth", "10", 610, 0.72, 0.7), ("tenth", "2", 610, 0.02, 0.03), ("region", "north", 900, 0.161, 0.172)]
    parts += [("region", "<few>", 9, 0.5, 0.5)]
    for by, value, users, said, seen in parts:
        base = {"day": ago(16), "model_version": "3", "users": users, "churned": 1, "by": by, "value": value}
        rows += [{**base, "metric": "predicted", "metric_value": said}, {**base, "metric": "base_rate", "metric_value": seen}]
    return rows


def _drift(chance, settings):
    from churnwatch.settings import feature_names

    return [
        {
            "day": ago(16),
            "feature": f,
            "reference_day": ago(44),
            "psi": abs(chance.gauss(0, 0.06)) + (0.3 if f == "crashes_7d" else 0),
            "missing_share": 0.02,
            "reference_missing_share": 0.01,
        }
        for f in feature_names(settings)
    ]


def _model_runs():
    metrics = {}
    for name, value, half in (
        ("auc", 0.872, 0.011),
        ("average_precision", 0.634, 0.028),
        ("base_rate", 0.142, 0.008),
        ("brier", 0.079, 0.004),
        ("log_loss", 0.268, 0.01),
        ("calibration_error", 0.011, 0.004),
        ("top_decile_lift", 4.9, 0.3),
        ("rule_auc", 0.811, 0.013),
        ("auc_minus_rule", 0.061, 0.012),
        ("column_auc", 0.823, 0.012),
    ):
        metrics |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
    metrics |= {
        "origins": 3.0,
        "origins_auc": 0.861,
        "origins_auc_sd": 0.012,
        "origins_auc_low": 0.831,
        "origins_auc_high": 0.891,
    }
    metrics |= {"search_loss": 0.271, "calibration_auc": 0.869, "train_users": 5400.0}
    origins = [{"spans": {"test": f"span {n}"}, "algorithm": "gbt", "metrics": {"auc": 0.85 + n / 100}} for n in range(3)]
    quality = {"base_rate": 0.14, "predicted": 0.15, "brier": 0.08, "log_loss": 0.27, "calibration_error": 0.02}
    segments = [{"segment": "region", "value": "north", "rows": 1600.0, "auc": 0.866, **quality}]
    bins = []
    for n in range(10):
        p, low, high = interval(int(900 * 0.004 * 1.75**n) + 1, 900)
        bins.append(
            {"predicted": 0.004 * 1.72**n + 0.001, "observed": p, "observed_low": low, "observed_high": high, "rows": 900.0}
        )
    return [
        {
            "day": ago(18),
            "run_id": "9a1c",
            "algorithm": "gbt",
            "at": datetime(2025, 9, 9, 4),
            "definition": "silent_14d",
            "spans": {"train": "2025-04-07 .. 2025-07-01"},
            "trials": 8,
            "parameters": {"trees": "18"},
            "metrics": metrics,
            "curves": json.dumps({"calibration": bins, "segments": segments}),
            "outcome": "released",
            "conditions": [
                "AUC 0.872 beats the best recency rule 0.811: ok",
                "9,000 users, at least 1,000: ok",
                "calibration error 0.011, at most 0.05: ok",
            ],
            "model_version": "3",
            "features": ["logins_7d"],
            "schema_hash": "5f",
            "mlflow_run_id": "m",
            "origins": json.dumps(origins),
            "left_out": {"tenure_days": "constant"},
        },
        {
            "day": ago(18),
            "run_id": "9a1c",
            "algorithm": "tree",
            "at": datetime(2025, 9, 9, 4),
            "definition": "silent_14d",
            "trials": 8,
            "metrics": {"search_loss": 0.3, "calibration_auc": 0.812},
            "outcome": "refused",
            "conditions": ["auc on the calibration span: 0.8120 >= 0.8690 of gbt, which went to the gate: failed"],
        },
    ]


def _rejected(chance):
    reasons = ("no user", "no time", "unknown type", "broken JSON", "value is NaN")
    return [
        {
            "day": ago(chance.randint(0, 20)),
            "source": "app_events",
            "reject_id": str(n),
            "file": "f",
            "reasons": sorted(chance.sample(reasons, chance.choice((1, 1, 2)))),
            "raw": "{}",
        }
        for n in range(240)
    ]


JOBS = ("ingest_events", "build_activity", "build_features", "train_model", "score_users", "raise_alerts")


def _runs(settings):
    rows, at = [], datetime(2025, 9, 28, 2)
    for n in (1, 0):
        for job in JOBS:
            counts = {
                "read": 12840,
                "accepted": 12790,
                "duplicate": 38,
                "rejected": 12,
                "outside_days": 0,
                "identical_across_files": 0,
            }
            status, message = "done", json.dumps({"app_events": counts}) if job == "ingest_events" else None
            if job == "train_model":
                status, message = "refused", "too little history: training works from 2025-10-12 on"
            at += timedelta(seconds=20)
            rows.append(run(ago(n), job, status, at, message))
    return rows


def run(day, job, status, at, message=None):
    """A row of job_runs."""
    return {
        "day": day,
        "run_id": f"run {day}",
        "job": job,
        "instance": "",
        "at": at,
        "status": status,
        "days": [{"first": day, "last": day}],
        "config_hash": "c",
        "code_hash": "c",
        "seconds": 3.2,
        "message": message,
    }
