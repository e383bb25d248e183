"""The typed settings, whole: everything a run knows besides its days."""

from typing import Any

from churnwatch.settings.base import Name, SettingsPart
from churnwatch.settings.churn import Churn, Definition
from churnwatch.settings.environment import Activity, Clock, Mlflow, Privacy, Quality, Runs, Storage
from churnwatch.settings.experiments import Experiment
from churnwatch.settings.measures import Measures
from churnwatch.settings.model import ModelSettings
from churnwatch.settings.offers import Offers, Outcome
from churnwatch.settings.owners import Owners
from churnwatch.settings.planted import Planted
from churnwatch.settings.rules import Causes, Rules
from churnwatch.settings.sending import Sending
from churnwatch.settings.sources import Sources
from churnwatch.settings.tiers import Tiers


class Settings(SettingsPart):
    """Everything a run knows besides its days. ``spark``: any Spark setting, left alone on Databricks."""

    domain: str
    storage: Storage
    clock: Clock = Clock()
    spark: dict[str, Any] = {}
    mlflow: Mlflow
    activity: Activity = Activity()
    quality: Quality = Quality()
    privacy: Privacy
    runs: Runs = Runs()
    sending: Sending = Sending()
    sources: Sources
    measures: Measures
    churn: Churn
    model: ModelSettings = ModelSettings()
    tiers: Tiers
    rules: Rules = Rules()
    causes: Causes = Causes()
    owners: Owners = Owners()
    offers: Offers = Offers()
    experiments: dict[Name, Experiment] = {}
    planted: Planted = Planted()

    @property
    def primary(self) -> Definition:
        """The definition of churn that the model predicts."""
        return self.churn.definitions[self.churn.primary]

    def label_lag_days(self, definition: str) -> int:
        """Days until a label of O is known: lead + horizon + settle."""
        return self.churn.definitions[definition].ahead_days + self.clock.settle_days

    def outcome_definition(self, outcome: Outcome) -> str | None:
        """Definition of churn whose label decides ``outcome``; None where it is a measure."""
        return self.churn.primary if outcome.label == "primary" else outcome.label

    def outcome_lag_days(self, outcome: Outcome) -> int:
        """Days after the assignment until ``outcome`` is known: the label's lag, or days + settle."""
        if definition := self.outcome_definition(outcome):
            return self.label_lag_days(definition)
        return (outcome.days or 0) + self.clock.settle_days
