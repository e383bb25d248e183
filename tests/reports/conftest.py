"""A day of ten users, judged once for all modules."""

from pathlib import Path

import pytest
from judgedday import ON, READS, ten_users

from churnwatch.reports import judge_alerts
from churnwatch.settings import load
from reportworld import frames

CONF = Path(__file__).resolve().parents[2] / "conf" / "local.yaml"


@pytest.fixture(scope="session")
def app_settings():
    """The app domain."""
    return load(CONF)


@pytest.fixture(scope="session")
def judged(spark, app_settings):
    """What judge_alerts writes of ten users: rows as dicts by table."""
    made = judge_alerts(frames(spark, app_settings, ten_users(app_settings), READS), (ON,), app_settings)
    return {name: [row.asDict() for row in frame.collect()] for name, frame in made.items()}
