"""Who acts on warnings: owners.yaml."""

from pydantic import model_validator

from churnwatch.settings.base import Name, SettingsPart


class Owner(SettingsPart):
    """An owner of warnings: who answers for overdue ones, and the destination (of ``sending.destinations``) of messages.

    Without ``destination`` it is the owner's own name.
    """

    superior: str | None = None
    destination: str | None = None


class Route(SettingsPart):
    """Who owns a user's warnings, before rule and level are asked: an owner by name, or the attribute that names one.

    ``when``: boolean Spark SQL over what rules of users may ask for; absent: every user. A user without the attribute
    goes on to the next route. ``needs``: columns that not every operator has; where one is absent the route is off.
    """

    when: str | None = None
    owner: str | None = None
    attribute: Name | None = None
    needs: list[Name] = []

    @model_validator(mode="after")
    def _one(self) -> "Route":
        if (self.owner is None) == (self.attribute is None):
            raise ValueError("a route has an owner, or the attribute that names one")
        return self


class Owners(SettingsPart):
    """owners.yaml. The first route that holds wins. ``groups``: owner of warnings of groups and the base whose rule has none.

    ``superior_of_others``: who answers for owners that neither stand under ``owners`` nor are anyone's superior: those
    whom an attribute names.
    """

    owners: dict[str, Owner] = {}
    routing: list[Route] = []
    groups: str | None = None
    superior_of_others: str | None = None

    @model_validator(mode="after")
    def _no_circle(self) -> "Owners":
        for name in self.owners:
            above, seen = self.superior(name), {name}
            while above is not None:
                if above in seen:
                    raise ValueError(f"the superiors of {name!r} go in a circle")
                seen.add(above)
                above = self.superior(above)
        return self

    def superior(self, name: str) -> str | None:
        """Who answers for ``name``; None where nobody is told."""
        return self.superiors.get(name, None if name in self.settled else self.superior_of_others)

    @property
    def superiors(self) -> dict[str, str]:
        """Owner -> superior, where the owner has one of its own."""
        return {name: owner.superior for name, owner in self.owners.items() if owner.superior}

    @property
    def settled(self) -> set[str]:
        """Owners for whom ``superior_of_others`` does not answer."""
        above = {self.superior_of_others} if self.superior_of_others else set()
        return {*self.owners, *self.superiors.values(), *above}

    @property
    def destinations(self) -> dict[str, str]:
        """Owner -> destination, where it is not the owner's own name."""
        return {name: owner.destination for name, owner in self.owners.items() if owner.destination}
