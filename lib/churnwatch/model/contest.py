"""What is released: the new model, else the release in use calibrated again, else the best single feature; or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from pyspark.sql import DataFrame

from churnwatch.core import only_days
from churnwatch.model import frame as fr
from churnwatch.model import gate
from churnwatch.model.evaluation import Evaluation, Judged, calibrate, evaluate
from churnwatch.model.recipe import CachedSpan, Candidate
from churnwatch.model.release_in_use import ReleaseInUse
from churnwatch.model.tuning import SearchResult
from churnwatch.settings import Settings
from churnwatch.settings.terms import RECALIBRATED


@dataclass(frozen=True)
class Option:
    """What could be released, its evaluation on the test span, and what the gate says.

    ``stale``: its ranking passed, but its probabilities did not, because churn changed between the calibration span and the test
    span. It is calibrated on the newest days before it goes out.
    """

    title: str
    candidate: Candidate
    evaluation: Evaluation
    verdict: gate.Verdict
    stale: bool = False


@dataclass(frozen=True)
class Contest:
    """What all options are judged on: the calibration and test rows of ``span``, the test span's ``days``, the share of users
    that the team can work, the data of the attempt, and the release in use, or the ``notes`` why none is compared with.
    ``first``: no model was ever released."""

    span: CachedSpan
    days: Sequence[date]
    capacity: float
    data: gate.Data
    in_use: ReleaseInUse | None
    notes: Sequence[str]
    first: bool
    settings: Settings

    def options(self, model: Candidate, feature: Candidate, features: Mapping[str, str]) -> list[Option]:
        """The options in the order of preference, up to the first one that passes the gate.

        ``feature``: the best single feature as a model. ``features``: the names of the features ``rule`` and ``column``, which a
        model has to beat.
        """
        whole = self.span.whole
        place = {gate.RULE: whole.features.index(features[gate.RULE])}
        column = Judged(feature.worker_model(whole), feature.calibration)
        made = [self._option("the new model", model, self.days, {gate.COLUMN: column}, place, features)]
        comparable = self.in_use.not_learnt(self.days) if self.in_use else []
        if not made[-1].verdict.passed and self.in_use and comparable:
            again = self._recalibrated(self.in_use)
            made.append(self._option("the last release, calibrated again", again, comparable, {}, place, {}))
        as_good = {gate.RULE, gate.COLUMN} & made[0].verdict.failed  # simple features that the model is not shown to beat
        if not made[-1].verdict.passed and as_good:
            title = f"the single feature {features[gate.COLUMN]}"
            made.append(self._option(title, feature, self.days, {}, place, {}))
        return made

    def released(self, options: Sequence[Option]) -> Option | None:
        """The option that is released; None where nothing is.

        A base without any release gets the first option whose ranking passes, although its probabilities do not: it is
        calibrated on the newest days before it goes out.
        """
        passed = next((one for one in options if one.verdict.passed), None)
        if passed is not None or not self.first:
            return passed
        ranking = next((one for one in options if one.verdict.failed == {gate.RATE}), None)
        return None if ranking is None else replace(ranking, verdict=gate.without_rate(ranking.verdict), stale=True)

    def _recalibrated(self, in_use: ReleaseInUse) -> Candidate:
        row = in_use.row
        # of a release that was itself calibrated again: the algorithm that its ranking comes from
        ranked_by = (row["parameters"] or {}).get("ranked_by", row["algorithm"])
        parameters = {"ranked_by": ranked_by, "release": row["model_version"]}
        searched = SearchResult(parameters, float("nan"), [], "nothing to search")
        unchanged = Candidate(RECALIBRATED, None, in_use.artifacts.text, in_use.schema, {}, float("nan"), searched)
        return calibrated_on(unchanged, fr.only_span(self.span.later, "calibration"), self.span, self.settings)

    def _option(
        self,
        title: str,
        candidate: Candidate,
        days: Sequence[date],
        rivals: Mapping[str, Judged],
        columns: Mapping[str, int],
        features: Mapping[str, str],
    ) -> Option:
        rows = fr.only_span(self.span.later, "test")
        judged = Judged(candidate.worker_model(self.span.whole), candidate.calibration)
        found = self._evaluated(rows if len(days) == len(self.days) else only_days(rows, days), judged, days, rivals, columns)
        notes = self.notes if self.in_use is None else self.in_use.notes(self.days)
        return Option(title, candidate, found, gate.check_release(found.metrics, self.data, features, notes, self.settings))

    def _evaluated(
        self, rows: DataFrame, judged: Judged, days: Sequence[date], rivals: Mapping[str, Judged], columns: Mapping[str, int]
    ) -> Evaluation:
        """Evaluate on ``rows``, those of ``days``; compare with the release in use on the days that it has not learnt from."""
        more = (len(self.span.whole.features), self.capacity, self.settings)
        if self.in_use is None:
            return evaluate(rows, judged, rivals, columns, *more)
        there, release = self.in_use.not_learnt(days), {gate.RELEASE: self.in_use.judged}
        if len(there) == len(days):
            found = evaluate(rows, judged, {**rivals, **release}, columns, *more)
        else:
            found = evaluate(rows, judged, rivals, columns, *more)
            if there:
                part = evaluate(only_days(rows, there), judged, release, {}, *more).metrics
                found = replace(found, metrics=found.metrics | {n: value for n, value in part.items() if gate.RELEASE in n})
        return found


def calibrated_on(candidate: Candidate, rows: DataFrame, span: CachedSpan, settings: Settings) -> Candidate:
    """The candidate with a calibration fitted on ``rows`` (``frame.evaluation_rows``)."""
    model = candidate.worker_model(span.whole)
    calibration, rank = calibrate(rows, model, len(span.whole.features), settings.model.calibration)
    return replace(candidate, calibration=calibration, rank=rank)
