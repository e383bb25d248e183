"""Numbers that are too large for their type, and divisions by zero, do not stop a day."""

import pytest
from rollupworld import DAY, built, event

LARGEST_AMOUNT = 10**17 - 100  # cents; larger ones are refused as amount_too_large


@pytest.mark.case(28)
def test_sums_beyond_64_bits_are_the_largest_sum_and_the_others_are_exact(spark):
    many = [event("rich", amount_cents=LARGEST_AMOUNT) for _ in range(100)]
    refunds = [event("refunds", amount_cents=-LARGEST_AMOUNT) for _ in range(50)]
    rows = built(spark, [*many, *refunds, event("usual", amount_cents=-7), event("none")], [DAY]).collect()
    found = {row["user_id"]: row["spend_cents"] for row in rows}
    assert found == {"rich": 10**15, "refunds": -(10**15), "usual": -7, "none": 0}
