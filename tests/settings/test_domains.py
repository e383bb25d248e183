"""Every configuration that the project ships loads: three domains, three places to run."""

from pathlib import Path

import pytest

from churnwatch.settings import feature_names, load
from churnwatch.tables import tables

CONF = Path(__file__).resolve().parents[2] / "conf"
DOMAINS = ("app", "ecommerce", "telecom")


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_loads_and_its_contracts_are_sound(domain):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    assert settings.rules.rules and settings.causes.causes and settings.offers.campaigns
    assert "user_features" in {table.name for table in tables(settings)}


@pytest.mark.parametrize("place", ["local", "cluster", "databricks"])
def test_a_place_to_run_loads(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("CHURNWATCH_ID_KEY", "key")
    monkeypatch.setenv("CRM_URL", "https://crm.example.org/offers")
    assert load(CONF / f"{place}.yaml").domain == "app"


def test_the_app_has_few_enough_features_to_train_in_a_demo():
    assert len(feature_names(load(CONF / "local.yaml", ["domain=app"]))) <= 140


def test_a_training_of_the_app_at_day_251_finds_its_days():
    """The spans, two gaps, the label's lag and the longest window fit into 251 days."""
    settings = load(CONF / "local.yaml", ["domain=app"])
    model, ahead = settings.model, settings.primary.ahead_days
    lag = settings.label_lag_days(settings.churn.primary)
    assert lag == 16
    spans = model.train_days + model.calibration_days + model.test_days + 2 * ahead + lag
    assert spans + settings.measures.longest_window <= 251


@pytest.mark.parametrize("domain", DOMAINS)
def test_facts_of_a_line_are_attributes_and_never_events(domain):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    assert set(settings.measures.segments) <= set(settings.sources.users.map)


def test_telecom_knows_the_facts_that_its_rules_speak_of():
    facts = set(load(CONF / "local.yaml", ["domain=telecom"]).sources.users.map)
    wanted = {"class", "balance", "arrears", "dunning", "contract_end", "demolition", "other_access", "open_need", "move_refused"}
    assert wanted <= facts


@pytest.mark.parametrize("domain", DOMAINS)
def test_somebody_answers_for_whatever_is_overdue(domain):
    settings = load(CONF / "local.yaml", [f"domain={domain}"])
    owners = {level.owner for level in settings.tiers.levels} | {rule.owner for rule in settings.rules.rules if rule.owner}
    owners |= {settings.owners.groups, *(route.owner for route in settings.owners.routing if route.owner)}
    by_attribute = any(route.attribute for route in settings.owners.routing)
    owners |= {"a person whom an attribute names"} if by_attribute else set()
    assert {name for name in owners if settings.owners.superior(name) is None} == set()
