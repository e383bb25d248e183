"""Which days a release can be compared on."""

from datetime import date, timedelta

from churnwatch.model.contest import Contest, Option
from churnwatch.model.gate import RATE, Verdict
from churnwatch.model.release_in_use import ReleaseInUse, _ends


def day(n):
    return date(2025, 6, 1) + timedelta(days=n)


def release(fitted, calibrated, ahead=14):
    return ReleaseInUse(
        {"model_version": "3"},
        None,
        None,
        None,
        (day(fitted - 28), day(fitted)),
        (day(calibrated - 7), day(calibrated)),
        timedelta(days=ahead),
    )


def test_a_release_is_compared_on_days_whose_outcomes_its_fit_does_not_know():
    days = [day(n) for n in (20, 28, 36)]
    old = release(fitted=0, calibrated=6)
    assert old.not_learnt(days) == days and old.not_calibrated_on(days) and old.notes(days) == []
    # day 22 knows outcomes to day 36: of that day none
    newer = release(fitted=22, calibrated=22)
    assert newer.not_learnt(days) == [day(36)] and newer.not_calibrated_on([day(36)])
    learnt = "release 3 has learnt from snapshots to 2025-06-23, whose outcomes reach 14 days further"
    assert newer.notes(days) == [f"{learnt}: compared on 1 of 3 test days: ok"]
    newest = release(fitted=23, calibrated=37)
    assert newest.not_learnt(days) == []
    assert newest.notes(days) == [
        "release 3 has learnt from snapshots to 2025-06-24, whose outcomes reach 14 days further: not compared: ok"
    ]


def test_a_note_says_that_the_calibration_knows_the_days():
    days = [day(n) for n in (20, 28)]
    there = release(fitted=6, calibrated=7)
    assert there.not_learnt(days) == days and not there.not_calibrated_on(days)
    assert there.notes(days) == [
        "release 3 was calibrated on snapshots to 2025-06-08, whose outcomes reach 14 days further: log loss hard to beat: ok"
    ]


def test_the_days_of_a_release_that_was_fitted_again_are_those_of_the_new_fit():
    spans = {
        "train": "2025-01-01..2025-02-01",
        "calibration": "2025-03-01..2025-03-08",
        "released_train": "2025-02-01..2025-03-01",
    }
    assert _ends(spans, "train") == (date(2025, 2, 1), date(2025, 3, 1))
    assert _ends(spans, "calibration") == (date(2025, 3, 1), date(2025, 3, 8))


def test_only_a_base_without_any_release_gets_a_ranking_whose_probabilities_failed():
    ranking = Option("the new model", None, None, Verdict(("observed",), frozenset({RATE})))

    def released(first):
        # a release that cannot be compared, because a feature is gone, is there all the same
        return Contest(
            None, [], 0.1, None, None, ["release 3 reads 1 features that are gone: not compared: ok"], first, None
        ).released([ranking])

    assert released(first=False) is None
    assert released(first=True).stale
