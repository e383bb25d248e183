"""Training, calibration and test spans: forward in time, apart by what a label looks ahead."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from churnwatch.core import Refused
from churnwatch.settings import Settings

ANCHOR = date(1970, 1, 5)  # a Monday: snapshots of every run fall on the same days
FAR_DAYS = 3 * 366  # how far ahead the day is looked for from which training will work


@dataclass(frozen=True)
class Spans:
    """Snapshot days of the three spans; the first of a later span >= the last of the earlier + lead + horizon.

    A model that is rolled on to the newest days has no test span.
    """

    train: tuple[date, ...]
    calibration: tuple[date, ...]
    test: tuple[date, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """All snapshot days, in order."""
        return (*self.train, *self.calibration, *self.test)

    def as_text(self) -> dict[str, str]:
        """``first..last`` by span, for those that have days."""
        spans = {"train": self.train, "calibration": self.calibration, "test": self.test}
        return {name: f"{days[0]}..{days[-1]}" for name, days in spans.items() if days}


def is_snapshot(day: date, every: int) -> bool:
    """Whether ``day`` is one of the days, ``every`` days apart, that training reads."""
    return (day - ANCHOR).days % every == 0


def cut(snapshots: Sequence[date], today: date, settings: Settings) -> Spans:
    """The spans that the stored ``snapshots`` (days with features and mature labels) allow at D = ``today``.

    Raises Refused, with the days that are missing and the D from which training will work, when history is too short,
    and with the command when days inside it were not built.
    """
    every = settings.model.snapshot_every_days
    stored = sorted(day for day in set(snapshots) if is_snapshot(day, every))
    if not stored:
        raise Refused(
            f"no snapshot with features and mature labels as of {today} (labels of {settings.churn.primary} mature after "
            f"{_lag(settings)} days; snapshots stand every {every} days): run build_features and label_churn over a range"
        )
    if _ideal(today, settings).train[0] < stored[0]:
        raise Refused(_too_short(stored[0], today, settings))
    spans = _backwards(stored, settings)
    if empty := [name for name in ("test", "calibration", "train") if not getattr(spans, name)]:
        raise Refused(
            f"no snapshot is stored in the {empty[0]} span before {today}: "
            f"run build_features and label_churn with --from {stored[0]} --to {today} --every {every}"
        )
    return spans


def origins(snapshots: Sequence[date], today: date, settings: Settings) -> tuple[Spans, ...]:
    """The spans of the rolling origins, newest first: each earlier one ends before the test span of the one after it.

    As many of ``settings.model.origins`` as history has whole spans for, the newest at least; raises Refused as ``cut``.
    """
    found = [cut(snapshots, today, settings)]
    stored = sorted(day for day in set(snapshots) if is_snapshot(day, settings.model.snapshot_every_days))
    while len(found) < settings.model.origins:
        known = [day for day in stored if day < found[-1].test[0]]
        if not known or _ideal(known[-1] + timedelta(days=_lag(settings)), settings).train[0] < stored[0]:
            break
        spans = _backwards(known, settings)
        if not (spans.calibration and spans.train):
            break
        found.append(spans)
    return tuple(found)


def rolled(snapshots: Sequence[date], tested: Spans, settings: Settings) -> Spans:
    """The spans of ``tested`` moved to the newest stored snapshots: calibration ends there, and nothing is left to test on.

    ``tested`` itself where days that were not built would leave fewer snapshots to learn from.
    """
    stored = sorted(day for day in set(snapshots) if is_snapshot(day, settings.model.snapshot_every_days))
    calibration = _last(stored, stored[-1], settings.model.calibration_days)
    train = _last(stored, calibration[0] - timedelta(days=settings.primary.ahead_days), settings.model.train_days)
    if len(train) < len(tested.train) or len(calibration) < len(tested.calibration):
        return tested
    return Spans(train, calibration, ())


def _too_short(first: date, today: date, settings: Settings) -> str:
    for ahead in range(1, FAR_DAYS):
        later = today + timedelta(days=ahead)
        if _ideal(later, settings).train[0] >= first:
            model = settings.model
            return (
                f"too little history: the first snapshot with features is {first}; {ahead} more days are needed, training "
                f"works from {later} on (spans of {model.train_days}, {model.calibration_days} and {model.test_days} days, "
                f"{settings.primary.ahead_days} between them, labels mature after {_lag(settings)})"
            )
    return f"too little history: the first snapshot with features is {first}, years too late for {today}"


def _ideal(today: date, settings: Settings) -> Spans:
    """The spans at D when every snapshot is stored."""
    every = settings.model.snapshot_every_days
    newest = today - timedelta(days=_lag(settings))
    reach = settings.model.train_days + settings.model.calibration_days + settings.model.test_days
    reach += 2 * settings.primary.ahead_days + 4 * every
    days = (newest - timedelta(days=n) for n in range(reach, -1, -1))
    return _backwards([day for day in days if is_snapshot(day, every)], settings)


def _backwards(stored: Sequence[date], settings: Settings) -> Spans:
    model, gap = settings.model, timedelta(days=settings.primary.ahead_days)
    test = _last(stored, stored[-1], model.test_days)
    calibration = _last(stored, test[0] - gap, model.calibration_days)
    train = _last(stored, calibration[0] - gap, model.train_days) if calibration else ()
    return Spans(train, calibration, test)


def _last(stored: Sequence[date], at_most: date, days: int) -> tuple[date, ...]:
    """The stored days among the ``days`` days that end with the newest stored one up to ``at_most``."""
    known = [day for day in stored if day <= at_most]
    return tuple(day for day in known if day > known[-1] - timedelta(days=days)) if known else ()


def _lag(settings: Settings) -> int:
    return settings.label_lag_days(settings.churn.primary)
