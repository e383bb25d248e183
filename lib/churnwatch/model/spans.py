"""Train, calibration and test spans: in order of time, separated by lead time + horizon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from churnwatch.core import Refused, is_snapshot
from churnwatch.core.days import SNAPSHOTS_FROM
from churnwatch.settings import Settings

SPANS = ("train", "calibration", "test")
WEEK = 7  # distance of the snapshots of older warehouses, on Mondays
FAR_DAYS = 3 * 366  # how far ahead ``_too_short`` looks for the first day on which training will work


@dataclass(frozen=True)
class Spans:
    """Snapshot days of the three spans. The first day of a span is >= the last day of the span before it + lead + horizon.

    The spans of a released model that was fitted again on the newest days have no test span.
    """

    train: tuple[date, ...]
    calibration: tuple[date, ...]
    test: tuple[date, ...]

    @property
    def by_name(self) -> dict[str, tuple[date, ...]]:
        """The days of each span."""
        return dict(zip(SPANS, (self.train, self.calibration, self.test), strict=True))

    @property
    def days(self) -> tuple[date, ...]:
        """All snapshot days, in order."""
        return (*self.train, *self.calibration, *self.test)

    def as_text(self) -> dict[str, str]:
        """``first..last`` by span, of the spans that have days."""
        return {name: f"{days[0]}..{days[-1]}" for name, days in self.by_name.items() if days}


def usable_days(snapshots: Sequence[date], settings: Settings) -> list[date]:
    """The days of ``snapshots`` that training reads, in order: snapshot days, and Mondays where a snapshot day is not stored.

    A Monday is read when the snapshot day before or after it is not stored, so that a warehouse whose snapshots were weekly
    goes on training while snapshots of the configured distance are being added. A snapshot day after the newest stored day is
    still to come and does not count as missing.
    """
    every, stored = settings.model.snapshot_every_days, set(snapshots)

    def fills_a_hole(day: date) -> bool:
        past = (day - SNAPSHOTS_FROM).days % every
        around = (day - timedelta(days=past), day + timedelta(days=every - past))
        return any(other not in stored and other <= max(stored) for other in around)

    return sorted(day for day in stored if is_snapshot(day, every) or (is_snapshot(day, WEEK) and fills_a_hole(day)))


def split_spans(snapshots: Sequence[date], today: date, settings: Settings) -> Spans:
    """The newest spans that the stored ``snapshots`` (days with features and mature labels) allow on run day ``today``.

    Raises Refused when history is too short, with the missing days and the first run day on which training will work, and when
    days inside the history were not built, with the command that builds them.
    """
    every = settings.model.snapshot_every_days
    stored = usable_days(snapshots, settings)
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


def rolling_origins(snapshots: Sequence[date], today: date, settings: Settings) -> tuple[Spans, ...]:
    """The spans of the rolling origins, newest first: each one ends before the test span of the next newer one.

    At most ``settings.model.origins``, as many as history has whole spans for, at least one; raises Refused as
    ``split_spans`` does.
    """
    found = [split_spans(snapshots, today, settings)]
    stored = usable_days(snapshots, settings)
    while len(found) < settings.model.origins:
        known = [day for day in stored if day < found[-1].test[0]]
        if not known or _ideal(known[-1] + timedelta(days=_lag(settings)), settings).train[0] < stored[0]:
            break
        spans = _backwards(known, settings)
        if not (spans.calibration and spans.train):
            break
        found.append(spans)
    return tuple(found)


def newest_spans(snapshots: Sequence[date], tested: Spans, settings: Settings) -> Spans:
    """The train and calibration spans of ``tested`` moved so that calibration ends on the newest stored snapshot; no test span.

    ``tested`` itself where days that were not built would leave fewer snapshots in a span than it has and than
    ``snapshot_every_days`` gives.
    """
    model = settings.model
    stored = usable_days(snapshots, settings)
    calibration = _last(stored, stored[-1], model.calibration_days)
    train = _last(stored, calibration[0] - timedelta(days=settings.primary.ahead_days), model.train_days)
    pairs = ((train, tested.train, model.train_days), (calibration, tested.calibration, model.calibration_days))
    if any(len(new) < min(len(old), -(-days // model.snapshot_every_days)) for new, old, days in pairs):
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
    """The spans on run day ``today`` if every snapshot were stored."""
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
    """The stored days among the last ``days`` days that end with the newest stored day <= ``at_most``."""
    known = [day for day in stored if day <= at_most]
    return tuple(day for day in known if day > known[-1] - timedelta(days=days)) if known else ()


def _lag(settings: Settings) -> int:
    return settings.label_lag_days(settings.churn.primary)
