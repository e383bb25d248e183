"""What goes out: the option that passed the gate, fitted again on the newest settled days and checked there."""

from datetime import date
from typing import Any

from churnwatch.model import frame as fr
from churnwatch.model import recipe as rc
from churnwatch.model.contest import Option, calibrated_on
from churnwatch.model.evaluation import Evaluation, Judged, evaluate
from churnwatch.model.recipe import CachedSpan, Candidate
from churnwatch.model.run_rows import Attempt, Final, Tested
from churnwatch.model.single_feature import fit_single_feature
from churnwatch.model.spans import Spans
from churnwatch.settings import Settings
from churnwatch.settings.terms import RECALIBRATED, RULE

KEPT = ("auc", "tested_auc", "auc_minus_tested")


def final_release(attempt: Attempt, tested: Tested, option: Option, models: Any, settings: Settings) -> Final:
    """Fit and calibrate the option again on the newest settled days. What was tested goes out where ``model.roll`` is off, where
    a newest span holds one class alone, and where the new fit is shown to rank worse (upper end of the AUC's difference below 0).
    """
    sizes, newest = attempt.newest_sizes, attempt.newest
    one_class = any(sizes[span].positives in (0, sizes[span].rows) for span in ("train", "calibration"))
    if not settings.model.roll or newest is attempt.spans or one_class:
        return _as_tested(attempt, tested, option, settings)
    with rc.cached_span(attempt.frame, newest, sizes, attempt.whole, settings) as span:
        rows = fr.only_span(span.later, "calibration")
        if option.candidate.algorithm == RECALIBRATED:
            again = calibrated_on(option.candidate, rows, span, settings)
            return Final(again, _spans(attempt, tested, again, newest.calibration))
        if option.candidate.algorithm == RULE:
            made = fit_single_feature(span, tested.feature, settings)
        else:
            made = rc.refit(span, tested.recipe, option.candidate.algorithm, models, settings)
        found = _compared(made, option.candidate, span, settings).metrics
        numbers = {f"rolled_{name}": value for name, value in found.items() if name.startswith(KEPT)}
        high = found["auc_minus_tested_high"]
        text = (
            f"fitted again on the newest days, auc there: {found['auc']:.4f} - {found['tested_auc']:.4f} of what was tested, "
            f"upper end {high:.4f} >= 0"
        )
        if high >= 0:
            return Final(made, newest, (f"{text}: ok",), numbers)
        kept = calibrated_on(option.candidate, rows, span, settings) if option.stale else option.candidate
    calibration = newest.calibration if option.stale else attempt.spans.calibration
    check = f"{text} does not hold, so what was tested goes out: ok"
    return Final(kept, _spans(attempt, tested, kept, calibration), (check,), numbers)


def _compared(made: Candidate, tested: Candidate, span: CachedSpan, settings: Settings) -> Evaluation:
    """The new fit against the tested one on the newest calibration span, which neither was fitted on."""
    ours, theirs = (Judged(one.worker_model(span.whole), one.calibration) for one in (made, tested))
    rows = fr.only_span(span.later, "calibration")
    return evaluate(rows, ours, {"tested": theirs}, {}, len(span.whole.features), settings.model.capacity_share, settings)


def _as_tested(attempt: Attempt, tested: Tested, option: Option, settings: Settings) -> Final:
    """The option as it was tested; calibrated again on the test span where its probabilities were stale."""
    if not option.stale:
        return Final(option.candidate, _spans(attempt, tested, option.candidate, attempt.spans.calibration))
    with rc.cached_span(attempt.frame, attempt.spans, attempt.sizes[0], attempt.whole, settings) as span:
        again = calibrated_on(option.candidate, fr.only_span(span.later, "test"), span, settings)
    return Final(again, _spans(attempt, tested, again, attempt.spans.test))


def _spans(attempt: Attempt, tested: Tested, candidate: Candidate, calibration: tuple[date, ...]) -> Spans:
    """The spans of a model that was not fitted on the newest days: for a release that was calibrated again, the first and last
    day that it was fitted on; else the train span of the newest origin."""
    in_use = tested.in_use
    train = in_use.fitted if in_use and candidate.algorithm == RECALIBRATED else attempt.spans.train
    if (train, calibration) == (attempt.spans.train, attempt.spans.calibration):
        return attempt.spans
    return Spans(train, calibration, ())
