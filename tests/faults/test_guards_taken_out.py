"""Without a guard its test fails: a sample of the list in guards.py, all of it under --whole."""

import pytest

from guards import GUARDS, fault

pytestmark = [pytest.mark.long, pytest.mark.processes]
SAMPLED = 4


def test_a_guards_test_fails_without_the_guard(sample):
    unnoticed = [found for guard in sample(GUARDS, SAMPLED) if (found := fault(guard))]
    assert unnoticed == []
