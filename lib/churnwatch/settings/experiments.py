"""Experiments that were run elsewhere: experiments.yaml."""

from datetime import date

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, SettingsPart, Share
from churnwatch.settings.sources import Source


class Experiment(SettingsPart):
    """An outside experiment: a source with one row per unit (a user, say), its arms and its outcomes."""

    source: Source
    """The input; its map has unit and arm, and may have cluster, stratum and day."""
    outcomes: dict[Name, str] = Field(examples=[{"returned": "returned_7d = 'TRUE'"}])
    """Outcome -> Spark SQL over the source's columns."""
    covariates: dict[Name, str] = Field(default={}, examples=[{"rounds": "rounds_before"}])
    """Outcome -> Spark SQL of a value from before the assignment, which lowers the variance of that outcome (CUPED)."""
    control: str = Field(examples=["gate_30"])
    """Name of the control arm."""
    shares: dict[str, Share] = Field(examples=[{"gate_30": 0.5, "gate_40": 0.5}])
    """Planned share of each arm; they add up to 1."""
    day: date | None = Field(default=None, examples=["2025-03-01"])
    """Day of the assignment, where the rows have none."""

    @model_validator(mode="after")
    def _arms(self) -> "Experiment":
        if unknown := sorted(set(self.source.map) - {"unit", "arm", "cluster", "stratum", "day"}):
            raise ValueError(f"source.map has unknown fields {unknown}; it has unit, arm, cluster, stratum, day")
        if missing := [field for field in ("unit", "arm") if field not in self.source.map]:
            raise ValueError(f"source.map lacks {', '.join(missing)}")
        if self.control not in self.shares or len(self.shares) < 2:
            raise ValueError(f"shares name every arm, the control {self.control!r} among them; they name {sorted(self.shares)}")
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"shares add up to {sum(self.shares.values()):g}, not to 1")
        if unknown := sorted(set(self.covariates) - set(self.outcomes)):
            raise ValueError(f"covariates without an outcome of the same name: {unknown}")
        return self
