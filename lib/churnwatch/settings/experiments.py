"""Experiments that were run elsewhere: experiments.yaml."""

from datetime import date

from pydantic import model_validator

from churnwatch.settings.base import Name, SettingsPart, Share
from churnwatch.settings.sources import Source


class Experiment(SettingsPart):
    """An outside experiment's table: one row a unit; ``source.map``: unit, arm, [cluster, stratum, day]; ``outcomes``:
    name -> SQL; ``covariates``: value from before the assignment that steadies the outcome of the same name;
    ``shares``: planned share of every arm; ``day``: of the assignment, where the rows have none."""

    source: Source
    outcomes: dict[Name, str]
    covariates: dict[Name, str] = {}
    control: str
    shares: dict[str, Share]
    day: date | None = None

    @model_validator(mode="after")
    def _arms(self) -> "Experiment":
        if unknown := sorted(set(self.source.map) - {"unit", "arm", "cluster", "stratum", "day"}):
            raise ValueError(f"source.map has unknown fields {unknown}; it has unit, arm, cluster, stratum, day")
        if missing := [field for field in ("unit", "arm") if field not in self.source.map]:
            raise ValueError(f"source.map lacks {', '.join(missing)}")
        if self.control not in self.shares or len(self.shares) < 2:
            raise ValueError(f"shares name every arm, the control {self.control!r} among them")
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError("shares add up to 1")
        if unknown := sorted(set(self.covariates) - set(self.outcomes)):
            raise ValueError(f"covariates without an outcome of the same name: {unknown}")
        return self
