"""Tests of faults use the small worlds of other tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "events"), str(TESTS / "activity")]
