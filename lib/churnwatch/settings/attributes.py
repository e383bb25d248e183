"""Attributes of users as features: their types, which of them are sensitive, and the names of their columns."""

import re
from typing import Literal
from urllib.parse import quote, unquote

from pydantic import Field

from churnwatch.settings.base import SettingsPart

PREFIX = "attribute_"
IS = "_is_"
OTHER = "other"  # every value of a category that is not among the most frequent ones
MOST_VALUES = 20  # values of a category that are features of their own

Sensitive = Literal["age", "gender", "health", "place"]
# words of an attribute's name that give it away
SENSITIVE_WORDS: dict[Sensitive, str] = {
    "age": "age ages birth birthday birthdate birthyear born dob yob",
    "gender": "gender sex",
    "health": "health disease illness diagnosis icd medication medical disability pregnant pregnancy blood",
    "place": "latitude longitude lat lon lng coordinates geohash address street zip zipcode postcode postal plz gps",
}


class Attribute(SettingsPart):
    """An attribute of users as a feature, by its value in force on the as-of day."""

    kind: Literal["number", "category", "date", "boolean"] = Field(examples=["category"])
    """number: the value. boolean: 1 or 0. date: days from the as-of day to the date, below 0 where it has passed. category: a
    feature for each of the 20 most frequent values in training, one for `other` and one for `unknown`."""
    sensitive: Sensitive | None = Field(default=None, examples=["health"])
    """What is sensitive about it, where its name does not say so: age, gender, health or a precise place."""


def sensitive_kind(name: str, attribute: Attribute) -> Sensitive | None:
    """What is sensitive about an attribute, by its key ``sensitive`` or by a word of its name; None: nothing.

    >>> sensitive_kind("birth_year", Attribute(kind="number")), sensitive_kind("plan", Attribute(kind="category"))
    ('age', None)
    """
    if attribute.sensitive:
        return attribute.sensitive
    words = set(re.split(r"[_0-9]+", name.lower()))
    return next((what for what, known in SENSITIVE_WORDS.items() if words & set(known.split())), None)


def attribute_column(name: str) -> str:
    """The measure of an attribute's features, and the column of a number, boolean or category in user_features."""
    return f"{PREFIX}{name}"


def days_column(name: str) -> str:
    """Column of user_features: days from the as-of day to the date of the attribute."""
    return f"{PREFIX}{name}_days"


def category_feature(column: str, value: str) -> str:
    """Name of the feature that is 1 where the text ``column`` has ``value``. It has no blanks, because it stands in model files.

    >>> category_feature("attribute_plan", "family & friends")
    'attribute_plan_is_family%20%26%20friends'
    """
    return f"{column}{IS}{quote(value, safe='').replace('_', '%5F')}"


def category_of(feature: str) -> tuple[str, str] | None:
    """The text column and the value of a feature made by ``category_feature``; None for any other feature.

    >>> category_of("attribute_plan_is_a%5Fb"), category_of("orders_7d")
    (('attribute_plan', 'a_b'), None)
    """
    column, found, value = feature.rpartition(IS)
    return (column, unquote(value)) if found and column.startswith(PREFIX) else None


def source_column(feature: str) -> str:
    """The column of user_features that a feature is made of: itself, unless it is a value of a category."""
    category = category_of(feature)
    return category[0] if category else feature
