"""Kinds of losses: the part ``losses`` of churn.yaml."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, SettingsPart

LossKind = Literal["natural", "active", "competitive", "passive"]
LOSS_KINDS: tuple[LossKind, ...] = get_args(LossKind)


class LossRule(SettingsPart):
    """What kind of loss it is when the sign of the rule is there. The first rule that applies counts."""

    id: Name
    """Name of the rule; lost_users names it."""
    kind: LossKind
    """natural: the need has ended (a move, a death). active: the user decided to leave. competitive: the user left for a
    competitor. passive: the relation was ended for the user, by unpaid bills or a block."""
    voluntary: bool
    """Whether the user wanted to leave."""
    definitions: list[Name] = Field(default=[], examples=[["ported_out_60d"]])
    """Sign: an event counted by one of these definitions of kind event, between active_within_days before the as-of day and
    the end of the label window."""
    attribute: str | None = Field(default=None, examples=["status"])
    """Sign: this attribute of the user has one of `values`, on the as-of day or later in the label window."""
    values: list[str] = Field(default=[], examples=[["deceased", "moved"]])
    """Values of `attribute`."""
    causes: list[Name] = []
    """The rule applies if the user's score on the as-of day has one of these causes."""

    @model_validator(mode="after")
    def _one_sign(self) -> "LossRule":
        if (self.attribute is None) != (not self.values):
            raise ValueError("attribute and values belong together")
        if len(self.signs) > 1:
            raise ValueError(f"a rule has one sign, this one has {', '.join(self.signs)}. Hint: make a rule of each")
        return self

    @property
    def signs(self) -> list[str]:
        """Names of the keys that hold a sign; none: the rule applies to every loss."""
        return [name for name in ("definitions", "attribute", "causes") if getattr(self, name)]
