"""Days, spans, contracts, chance and intervals: the small things that everything rests on."""

from datetime import date

import pytest
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StringType, StructType
from statsmodels.stats.proportion import proportion_confint

from churnwatch.core import Table, column, days_predicate, new_fields, to_ranges
from churnwatch.core.chance import share_of
from churnwatch.core.intervals import wilson

D = date(2024, 2, 28)


def a_table(**more):
    schema = StructType([column("day", "date", "day", nullable=False), column("u", "string", "user")])
    return Table(name="t", comment="a test", schema=schema, keys=("day", "u"), **more)


@pytest.mark.parametrize(
    "read, first, last",
    [
        (a_table().on(), date(2024, 2, 28), date(2024, 2, 28)),
        (a_table().trailing(2), date(2024, 2, 27), date(2024, 2, 28)),
        (a_table().before(2), date(2024, 2, 26), date(2024, 2, 27)),
        (a_table().before(), None, date(2024, 2, 27)),
        (a_table().following(1, 2), date(2024, 2, 29), date(2024, 3, 1)),
        (a_table(pick="latest", pick_key=("u",)).as_of(), None, date(2024, 2, 28)),
    ],
)
def test_a_span_names_its_first_and_last_day(read, first, last):
    assert read.span.days(D, D) == (first, last)


def test_days_become_the_fewest_ranges_and_a_predicate_without_between():
    days = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 5)]
    assert to_ranges(days) == [(days[0], days[2]), (days[3], days[3])]
    assert days_predicate(days[:3]) == "day >= DATE'2024-02-28' AND day <= DATE'2024-03-01'"
    assert days_predicate(days[2:]) == "day IN (DATE'2024-03-01', DATE'2024-03-05')"
    assert days_predicate([]) == "false"


def test_a_contract_without_comment_or_with_an_unknown_key_is_refused():
    with pytest.raises(ValueError, match="comment"):
        Table(name="t", comment="x", schema=StructType().add("day", "date"), keys=("day",))
    with pytest.raises(ValueError, match="the schema lacks pick key columns"):
        a_table(pick_key=("nobody",))
    with pytest.raises(ValueError, match="no pick"):
        a_table().as_of()


@pytest.mark.case(42)
def test_chance_is_a_hash_with_a_golden_value(spark):
    frame = spark.createDataFrame([("4f1c",), ("4f1d",)], "u string")
    first, second = (r[0] for r in frame.select(share_of(F.col("u"), "salt")).collect())
    # int(md5(b"salt:4f1c").hexdigest()[:13], 16) / 16**13 in any language
    assert first == pytest.approx(int(__import__("hashlib").md5(b"salt:4f1c").hexdigest()[:13], 16) / 16**13, abs=0)
    assert first != second


@pytest.mark.parametrize("hits, total", [(0, 10), (10, 10), (3, 10), (1, 1000)])
def test_wilson_equals_statsmodels(spark, hits, total):
    row = spark.range(1).select(*wilson(F.lit(hits), F.lit(total))).first()
    assert tuple(row) == pytest.approx(proportion_confint(hits, total, method="wilson"), abs=1e-12)


def test_wilson_of_nobody_is_null(spark):
    assert tuple(spark.range(1).select(*wilson(F.lit(0), F.lit(0))).first()) == (None, None)


def test_new_fields_of_structs_are_told_by_path_and_other_differences_are_none():
    old = StructType().add("a", "string")
    both = StructType().add("a", "string").add("b", "double")
    assert new_fields(ArrayType(old), ArrayType(both), "r") == {"r.element.b": DoubleType()}
    assert new_fields(StructType().add("s", old), StructType().add("s", both).add("t", "string"), "r") == {
        "r.s.b": DoubleType(),
        "r.t": StringType(),
    }
    assert new_fields(ArrayType(both), ArrayType(both), "r") == {}
    assert new_fields(both, old, "r") is None  # nothing is dropped
    assert new_fields(StructType().add("a", "long"), both, "r") is None
    assert new_fields(StringType(), DoubleType(), "r") is None
