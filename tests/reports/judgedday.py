"""A judged day by hand: rows of scores, warnings, actions and labels of ``ON``."""

import json
from datetime import date, datetime, timedelta

import numpy as np

from churnwatch.model.schema import schema_of
from churnwatch.model.worker_model import fingerprint
from churnwatch.reports.score_quality import Bin

ON = date(2025, 9, 11)
READS = {
    "scores": "user_scores",
    "alerts": "risk_alerts",
    "alert_events": "alert_events",
    "actions": "retention_actions",
    "features": "user_features",
    "labels": "user_labels",
    "thresholds": "thresholds",
    "model_runs": "model_runs",
}
# bins of training: half of the values up to 1, half above, none missing
HALVES = {"edges": [1.0], "shares": [0.5, 0.5], "missing": 0.0}
# of the campaign's four users outside the global hold-out one is its control; 2 % are held out of everything
HELD = 1 / (0.02 + 0.98 / 4)
BASE = (HELD + 2) / (2 * HELD + 5)  # c, e and f churned, of c, d (held out), e .. i


def score(user, p, rank, total):
    """A row of user_scores."""
    return {
        "day": ON,
        "user_id": user,
        "margin": 0.0,
        "probability": p,
        "percentile": rank / total,
        "tier": "high",
        "value_cents": 1,
        "value_at_risk_cents": 1,
        "reasons": [],
        "model_version": "3",
        "features_hash": None,
    }


def release(settings, **changes):
    """A row of model_runs: the release that scored, trained on ``logins_7d`` and ``crashes_7d``."""
    bins = {"logins_7d": HALVES, "crashes_7d": HALVES, "(margin)": HALVES, "gone_7d": HALVES}
    features = ["logins_7d", "crashes_7d"]
    row = {
        "day": ON,
        "run_id": "r",
        "algorithm": "gbt",
        "at": datetime(2025, 9, 12),
        "definition": "silent_14d",
        "outcome": "released",
    }
    row |= {
        "model_version": "3",
        "mlflow_run_id": "m",
        "spans": {"train": "2025-05-05..2025-07-28"},
        "features": features,
    }
    row |= {"schema_hash": schema_of(features, settings).hash, "reference": json.dumps(bins)}
    return {**row, **changes}


def alert(user, rule="model", level="orange"):
    """A warning about a user."""
    return {
        "day": ON,
        "alert_id": f"{rule}-{user}",
        "scope": "user",
        "user_id": user,
        "rule_id": rule,
        "level": level,
        "evidence": "e",
        "owner": "o",
        "due_on": ON,
    }


def label(user, churned, idle=0, definition="silent_14d"):
    """A row of user_labels; ``idle``: days since the last active day."""
    return {
        "day": ON,
        "definition": definition,
        "user_id": user,
        "churned": churned,
        "last_active_day": ON - timedelta(days=idle),
        "churned_on": ON + timedelta(days=14 - idle) if churned else None,
    }


def action(user, arm):
    """A row of retention_actions."""
    reason = None if arm else "no consent"
    return {
        "day": ON,
        "user_id": user,
        "campaign": "c",
        "arm": arm,
        "suppressed_because": reason,
        "cost_cents": 1,
        "expected_value_cents": 1,
    }


def quality(judged, rule, level="all", by="rule", value="all"):
    """The row of a look: of a rule and level, unless ``by`` and ``value`` name another."""
    return next(r for r in judged["alert_quality"] if (r["rule_id"], r["level"], r["by"], r["value"]) == (rule, level, by, value))


def of_all(judged):
    """The rows of model_quality that are of all users."""
    return [r for r in judged["model_quality"] if (r["by"], r["value"]) == ("all", "all")]


def bins(rows):
    """Bins of ten users each: (bin, churned of ten, probability)."""
    return [
        Bin("3", place, 10, churned, 10.0, churned, p, 10 * p, 10 * p, 10 * (p - churned / 10) ** 2, 1.0, 10.0)
        for place, churned, p in rows
    ]


def ten_users(settings):
    """Ten users: a..d warned by the model, a and b treated (b by an offer of a week before, which works a week), c and d held
    out (c two days before); e warned by a rule; f..j not warned, j got an offer three days later."""
    users = "abcdefghij"
    churned = dict(zip(users, [0, 0, 1, 0, 1, 1, 0, 0, 0, 0], strict=True))
    return {
        # a is critical, b .. d high; two of ten had other logins when they were scored
        "scores": [
            score(u, 0.9 - 0.08 * n, 9 - n, 10)
            | {"tier": "critical" if u == "a" else "high" if u in "bcd" else "low", "margin": 2.0 * (n < 8)}
            | {"features_hash": int(fingerprint(np.array([[2.0 if n < 8 else 5.0], [0.0]]))[0])}
            for n, u in enumerate(users)
        ],
        "features": [
            *(
                {"day": ON, "user_id": u, "segment_region": "north" if u in "abce" else "south"}
                | {"logins_7d": 2.0, "crashes_7d": None if n < 5 else 0.0}
                for n, u in enumerate(users)
            ),
            {"day": ON, "user_id": "nobody scored this one", "logins_7d": 0.0, "crashes_7d": 0.0},
        ],
        "model_runs": [release(settings), release(settings, day=ON + timedelta(days=1), run_id="later", model_version="4")],
        "alerts": [
            alert("a", level="red"),
            alert("b") | {"cause": "price"},
            alert("c") | {"cause": "price", "signals": ["model", "silent"]},
            alert("d") | {"cause": "price", "signals": ["model", "silent"], "class": "short"},
            alert("e", "silent") | {"owner": "p"},
            alert("f", "again") | {"escalates": "first-f"},
            alert("x", "silent"),
        ],
        "actions": [
            action("a", "offer"),
            action("b", "offer") | {"day": ON - timedelta(days=7)},
            action("c", "control") | {"day": ON - timedelta(days=2)},
            action("d", "global_control"),
            action("e", None),
            action("j", "offer") | {"day": ON + timedelta(days=3)},
        ],
        "labels": [
            *(label(u, bool(c), 4 if c else 0) for u, c in churned.items()),
            *(label(u, True, definition="silent_30d") for u in "gh"),
        ],
    }
