"""Attributes as features in measures.yaml: names, types, and which are refused as sensitive."""

import pytest
from pydantic import ValidationError

from churnwatch.settings import feature_names
from churnwatch.settings.attributes import category_feature, category_of, source_column
from churnwatch.settings.check import cross_faults
from churnwatch.settings.meanings import feature_meanings
from churnwatch.settings.names import features_with_measure, text_names
from churnwatch.tables import tables
from smallworld import settings

NUMBER = {"kind": "number"}


def mapped(*names, **attributes):
    """The small world's settings with users of attributes ``names``."""
    users = {"name": "u", "format": "parquet", "path": "unused", "map": {"user_id": "u", **{name: name for name in names}}}
    return settings(sources={"users": users}, measures={"segments": [], **attributes})


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("age", NUMBER, "age"),
        ("birth_year", NUMBER, "age"),
        ("gender", {"kind": "category"}, "gender"),
        ("icd_code", {"kind": "category"}, "health"),
        ("home_lat", NUMBER, "place"),
        ("tariff_group", {"kind": "category", "sensitive": "health"}, "health"),
    ],
)
def test_a_sensitive_attribute_is_a_feature_only_where_it_is_named(name, kind, said):
    with pytest.raises(ValidationError, match=rf"attribute {name} is sensitive \({said}\).*sensitive_allowed"):
        mapped(name, attributes={name: kind})
    assert mapped(name, attributes={name: kind}, sensitive_allowed=[name])


def test_words_inside_of_other_words_are_not_sensitive():
    for name in ("usage", "package", "stage", "region", "language", "sextant"):
        assert mapped(name, attributes={name: NUMBER})


def test_each_type_has_its_columns_and_its_measure():
    kinds = {"balance": "number", "plan": "category", "contract_end": "date", "suspended": "boolean"}
    one = mapped(*kinds, attributes={name: {"kind": kind} for name, kind in kinds.items()})
    pairs = {name: measure for name, measure in features_with_measure(one) if name.startswith("attribute_")}
    assert pairs == {
        "attribute_balance": "attribute_balance",
        "attribute_contract_end_days": "attribute_contract_end",
        "attribute_suspended": "attribute_suspended",
    }
    assert text_names(one) == ["attribute_plan"]
    assert set(feature_names(one)) | {"attribute_plan"} <= set(tables(one).user_features.schema.names)
    # another type is another meaning
    assert feature_meanings(one)["attribute_balance"] == "number"


def test_an_attribute_that_the_source_lacks_is_a_fault():
    faults = cross_faults(mapped("plan", attributes={"plann": NUMBER}, sensitive_allowed=["plam"]))
    assert [path for path, _ in faults] == [("measures", "attributes", "plann"), ("measures", "sensitive_allowed", 0)]
    assert "did you mean 'plan'?" in faults[0][1]


@pytest.mark.parametrize("value", ["gold", "family & friends", "a_is_b", "größe 1", "100%", "other"])
def test_a_value_of_a_category_comes_back_from_its_feature(value):
    name = category_feature("attribute_what_is_it", value)
    assert category_of(name) == ("attribute_what_is_it", value) and source_column(name) == "attribute_what_is_it"
    assert name.isascii() and not set(name) & set(' ",:[]{}')
