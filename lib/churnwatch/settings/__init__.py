"""Typed settings: conf/<where>.yaml, the files of its domain folder and ``--set``; see ``load``."""

from churnwatch.settings.churn import Definition
from churnwatch.settings.experiments import Experiment
from churnwatch.settings.load import load
from churnwatch.settings.losses import LossRule
from churnwatch.settings.measures import Measure
from churnwatch.settings.names import feature_names, measure_names
from churnwatch.settings.offers import Campaign, Offer, Offers, Outcome
from churnwatch.settings.planted import Pattern, Planted, PlantedEvents
from churnwatch.settings.root import Settings
from churnwatch.settings.rules import Rule
from churnwatch.settings.sources import EVENT_FIELDS, NOBODY, EventSource, Ids, Source
from churnwatch.settings.tiers import Tier

__all__ = [
    "EVENT_FIELDS",
    "NOBODY",
    "Campaign",
    "Definition",
    "EventSource",
    "Experiment",
    "Ids",
    "LossRule",
    "Measure",
    "Offer",
    "Offers",
    "Outcome",
    "Pattern",
    "Planted",
    "PlantedEvents",
    "Rule",
    "Settings",
    "Source",
    "Tier",
    "feature_names",
    "load",
    "measure_names",
]
