"""Convert attributes of users to features of their types."""

from collections.abc import Iterator

from pyspark.sql import Column
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.attributes import attribute_column, days_column


def typed_attributes(settings: Settings) -> Iterator[tuple[str, Column]]:
    """Yield each attribute's column of user_features, made of the texts in ``attributes`` that are in force on ``day``.

    A text that is no number, no date or no yes or no becomes null, as does a number that is not finite.
    """
    for name, attribute in settings.measures.attributes.items():
        text = F.nullif(F.trim(F.col("attributes")[name]), F.lit(""))
        if attribute.kind == "number":
            number = text.try_cast("double")
            yield attribute_column(name), F.when(F.abs(number) < float("inf"), number)  # false for NaN, which is above all
        elif attribute.kind == "boolean":
            yield attribute_column(name), text.try_cast("boolean").cast("double")
        elif attribute.kind == "date":
            # the first ten characters of an instant are its date
            day = F.substring(text, 1, 10).try_cast("date")
            yield days_column(name), F.datediff(day, F.col("day")).cast("double")
        else:
            yield attribute_column(name), text
