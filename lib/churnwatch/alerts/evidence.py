"""Write the numbers behind a warning as text."""

import re
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, NumericType, StructType

from churnwatch.settings.attributes import IS, PREFIX
from churnwatch.settings.terms import UNKNOWN

OF_CATEGORY = f"^{PREFIX}(.+){IS}([^_]*)$"  # see category_feature
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def short_text(value: Column, data_type: DataType) -> Column:
    """Return the value as text: whole numbers without decimals, other numbers with two, null as 'unknown'."""
    if not isinstance(data_type, NumericType):
        return F.coalesce(value.cast("string"), F.lit(UNKNOWN))
    number = value.cast("double") + F.lit(0.0)  # -0.0 becomes 0.0
    text = F.when(F.rint(number) == number, F.format_string("%.0f", number)).otherwise(F.format_string("%.2f", number))
    return F.when(number.isNull(), F.lit(UNKNOWN)).otherwise(text)


def category_text(feature: Column, value: Column) -> Column:
    """Return a reason whose feature is a value of a category as text: ``plan: gold``, or ``plan: not gold`` where the user has
    another value. Null for any other feature."""
    name = F.replace(F.regexp_extract(feature, OF_CATEGORY, 1), F.lit("_"), F.lit(" "))
    meant = F.url_decode(F.regexp_extract(feature, OF_CATEGORY, 2))
    return F.when(feature.rlike(OF_CATEGORY), F.concat(name, F.when(value > 0, F.lit(": ")).otherwise(F.lit(": not ")), meant))


def fill_template(template: str, schema: StructType) -> Column:
    """Return ``template`` with each ``{column}`` replaced by the row's value as ``short_text``."""
    parts: list[Column] = []
    end = 0
    for found in PLACEHOLDER.finditer(template):
        parts.append(F.lit(template[end : found.start()]))
        parts.append(short_text(F.col(found[1]), schema[found[1]].dataType))
        end = found.end()
    return F.concat(*parts, F.lit(template[end:]))


def named_owner(template: str | None, schema: StructType) -> Column:
    """Return the owner that a rule names, with each ``{column}`` replaced by the row's value.

    Null without a template, or if one of the values is null or blank.
    """
    if template is None:
        return F.lit(None).cast("string")
    names = PLACEHOLDER.findall(template)
    if not names:
        return F.lit(template)
    known = reduce(Column.__and__, [F.length(F.trim(F.col(name).cast("string"))) > 0 for name in names])
    return F.when(known, fill_template(template, schema))
