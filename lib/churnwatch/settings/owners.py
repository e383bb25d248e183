"""Who acts on warnings: owners.yaml."""

from pydantic import Field, model_validator

from churnwatch.settings.base import Name, SettingsPart


class Owner(SettingsPart):
    """An owner of warnings."""

    superior: str | None = None
    """Owner who gets the warnings on which this one did not act in time. Null: nobody."""
    destination: str | None = Field(default=None, examples=["retention_chat"])
    """Destination (of sending.destinations) of the owner's messages. Null: the one with the owner's own name."""


class Route(SettingsPart):
    """A route to the owner of a user's warnings. It comes before the owner of the rule and of the level."""

    when: str | None = None
    """Spark SQL condition over the columns that rules of scope user may name. Null: every user."""
    owner: str | None = Field(default=None, examples=["key_accounts"])
    """Owner by name."""
    attribute: Name | None = None
    """Attribute of the user that names the owner, in place of owner. A user without it goes to the next route."""
    needs: list[Name] = []
    """Columns that not every operator has; where one is absent the route is off."""

    @model_validator(mode="after")
    def _one(self) -> "Route":
        if (self.owner is None) == (self.attribute is None):
            raise ValueError("a route has either owner or attribute. Hint: give one of them")
        return self


class Owners(SettingsPart):
    """owners.yaml: who acts on warnings."""

    owners: dict[str, Owner] = {}
    """Owners by name."""
    routing: list[Route] = []
    """Routes of users' warnings; the first one that applies decides."""
    groups: str | None = None
    """Owner of warnings of groups and the base whose rule names none. Null: the level's owner."""
    superior_of_others: str | None = None
    """Superior of owners who are neither listed here nor anyone's superior: those whom an attribute names."""

    @model_validator(mode="after")
    def _no_circle(self) -> "Owners":
        for name in self.owners:
            above, seen = self.superior(name), {name}
            while above is not None:
                if above in seen:
                    raise ValueError(f"the superiors of {name!r} form a circle")
                seen.add(above)
                above = self.superior(above)
        return self

    def superior(self, name: str) -> str | None:
        """Superior of ``name``; None where there is none."""
        return self.superiors.get(name, None if name in self.settled else self.superior_of_others)

    @property
    def superiors(self) -> dict[str, str]:
        """Owner -> superior, for owners that name one."""
        return {name: owner.superior for name, owner in self.owners.items() if owner.superior}

    @property
    def settled(self) -> set[str]:
        """Owners to whom ``superior_of_others`` does not apply."""
        above = {self.superior_of_others} if self.superior_of_others else set()
        return {*self.owners, *self.superiors.values(), *above}

    @property
    def destinations(self) -> dict[str, str]:
        """Owner -> destination, for owners that name one."""
        return {name: owner.destination for name, owner in self.owners.items() if owner.destination}
