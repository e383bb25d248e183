"""Find the owner of a warning and the superior of an owner, by owners.yaml."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.alerts.rules import value_for
from churnwatch.settings import Settings
from churnwatch.settings.rule_columns import routes_on


def routed_owner(settings: Settings) -> Column:
    """Return the owner of the first route that is true for the row, over the columns of user rules; null if none is."""
    owners: list[Column] = []
    for route in routes_on(settings):
        # an empty attribute is no owner
        owner = F.lit(route.owner) if route.owner else F.nullif(F.trim(F.col(str(route.attribute))), F.lit(""))
        owners.append(F.when(F.expr(route.when), owner) if route.when else owner)
    return F.coalesce(F.lit(None).cast("string"), *owners)


def superior_of(owner: Column, settings: Settings) -> Column:
    """Return who gets the overdue warnings of ``owner``; null if nobody does."""
    owners = settings.owners
    own = value_for(owners.superiors, owner).cast("string")
    if owners.superior_of_others is None:
        return own
    return F.coalesce(own, F.when(~owner.isin(sorted(owners.settled)), F.lit(owners.superior_of_others)))


def group_owner(settings: Settings) -> str | None:
    """Return the owner of warnings of groups and the base whose rule names none; None: the level's owner."""
    return settings.owners.groups
