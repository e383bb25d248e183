"""The root of the typed settings: everything that a run knows besides its days."""

from typing import Any

from churnwatch.settings.base import Name, SettingsPart
from churnwatch.settings.churn import Churn, Definition
from churnwatch.settings.environment import Activity, Clock, Lineage, Logs, Mlflow, Privacy, Quality, Runs, Storage
from churnwatch.settings.experiments import Experiment
from churnwatch.settings.maintenance import Maintenance
from churnwatch.settings.measures import Measures
from churnwatch.settings.model import ModelSettings
from churnwatch.settings.money import Money
from churnwatch.settings.offers import Offers, Outcome
from churnwatch.settings.owners import Owners
from churnwatch.settings.planted import Planted
from churnwatch.settings.rules import Causes, Rules
from churnwatch.settings.sending import Sending
from churnwatch.settings.sources import Sources
from churnwatch.settings.terms import ChurnClass
from churnwatch.settings.tiers import Tiers


class Settings(SettingsPart):
    """Where it runs (conf/<where>.yaml), and what things mean (the files of the domain folder)."""

    domain: str
    """Domain: a folder below domains/ beside this file, or the path of a folder."""
    storage: Storage
    """Where tables, files and raw input lie."""
    clock: Clock = Clock()
    """The business day."""
    spark: dict[str, Any] = {}
    """Settings of Spark by name; on Databricks the cluster's own apply.
    Relative paths of `spark.jars` start at the folder of this file."""
    mlflow: Mlflow
    """Where models are kept."""
    activity: Activity = Activity()
    """Layout of daily_activity, and sessions."""
    quality: Quality = Quality()
    """Gates of ingest."""
    privacy: Privacy
    """What may leave the tables."""
    runs: Runs = Runs()
    """How runs guard each other."""
    maintenance: Maintenance = Maintenance()
    """What `churnwatch maintain` keeps."""
    logs: Logs = Logs()
    """Log lines."""
    lineage: Lineage = Lineage()
    """Events of OpenLineage."""
    sending: Sending = Sending()
    """Where messages go."""
    sources: Sources
    """sources.yaml"""
    money: Money = Money()
    """money.yaml"""
    measures: Measures
    """measures.yaml"""
    churn: Churn
    """churn.yaml"""
    model: ModelSettings = ModelSettings()
    """model.yaml"""
    tiers: Tiers
    """tiers.yaml"""
    rules: Rules = Rules()
    """rules.yaml"""
    causes: Causes = Causes()
    """causes.yaml"""
    owners: Owners = Owners()
    """owners.yaml"""
    offers: Offers = Offers()
    """offers.yaml"""
    experiments: dict[Name, Experiment] = {}
    """experiments.yaml: outside experiments by name."""
    planted: Planted = Planted()
    """planted.yaml"""

    @property
    def primary(self) -> Definition:
        """The definition of churn that the model predicts."""
        return self.churn.definitions[self.churn.primary]

    def class_of(self, rule_id: str) -> ChurnClass:
        """The kind of churn that a rule, or the model, warns about; the primary definition's for a rule that is gone."""
        rule = next((rule for rule in self.rules.rules if rule.id == rule_id), None)
        if rule is None:
            return self.primary.class_
        return rule.class_ or self.churn.definitions[rule.definition or self.churn.primary].class_

    def label_lag_days(self, definition: str) -> int:
        """Days after O until its label is known: lead + horizon + settle."""
        return self.churn.definitions[definition].ahead_days + self.clock.settle_days

    @property
    def outbox_folder(self) -> str:
        """Folder of messages that are files."""
        return self.sending.folder or f"{self.storage.files}/outbox"

    @property
    def case_days(self) -> int:
        """Days after the newest warning of a case by which its outcome is known; then the case is over."""
        return max(self.tiers.open_days, self.label_lag_days(self.churn.primary))

    def outcome_definition(self, outcome: Outcome) -> str | None:
        """Definition of churn behind ``outcome``; None when the outcome is a measure."""
        return self.churn.primary if outcome.label == "primary" else outcome.label

    def outcome_lag_days(self, outcome: Outcome) -> int:
        """Days after the assignment until ``outcome`` is known: the label's lag, or the measure's days + settle."""
        if definition := self.outcome_definition(outcome):
            return self.label_lag_days(definition)
        return (outcome.days or 0) + self.clock.settle_days
