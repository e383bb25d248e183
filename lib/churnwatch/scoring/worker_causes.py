"""What Spark's workers run to name the cause of a user's risk: how far symptoms lie above what is usual.

Numpy and pyarrow alone; travels by value (``score``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LEAST_TIMES = 2.0  # a symptom below twice the usual number surprises nobody, however many events a user has
DIGITS = 4
EVIDENCE = pa.struct(
    [("measure", pa.string()), ("days", pa.int32()), ("value", pa.float64()), ("usual", pa.float64())],
)
SURPRISE = pa.map_(pa.string(), pa.float64())


@dataclass(frozen=True, eq=False)
class Symptom:
    """A measure that rises where a cause is at work.

    ``cause``: number of the cause. ``unit``: the usual size of one occurrence, in the measure's unit; 1 for counts. For each
    window, ``places``: the measure's column in the raw matrix; ``rates``: usual occurrences per event, one row for each segment
    value and a last one for all other users.
    """

    measure: str
    cause: int
    unit: float
    places: Sequence[int]
    rates: Sequence[Floats]


@dataclass(frozen=True, eq=False)
class CauseFinder:
    """How the cause of each user is found.

    ``names``: specific causes by number; ``general``: the general cause (None without one), which has the number after the last.
    ``general_measures``: numbers of its measures among the reasons' measures. ``windows``: days of each window, and the column
    in the raw matrix with the user's events over it. ``rules``: ids, and ``levels``: the rank of the level of each rule, from 1.
    ``rule_columns``: (number of a cause, column of the batch with the number of its strongest rule that is true, else null).
    """

    names: Sequence[str]
    general: str | None
    general_measures: Sequence[int]
    windows: Sequence[tuple[int, int]]
    symptoms: Sequence[Symptom]
    least: float
    prior_events: float
    rules: Sequence[str]
    levels: Sequence[int]
    rule_columns: Sequence[tuple[int, str]]


@dataclass(frozen=True, eq=False)
class Measured:
    """Symptoms of users over windows, [symptom, window, user]: ``counts`` of occurrences, ``expected`` ones, ``surprise``."""

    counts: Floats
    expected: Floats
    surprise: Floats


def surprise_of(counts: Floats, expected: Floats, prior_events: float) -> Floats:
    """How much better a raised rate explains ``counts`` than the usual one: a log-likelihood ratio, 0 where nothing is raised.

    Poisson counts with mean r x ``expected``. The prior of r is a Gamma distribution with mode 1 and rate a, ``prior_events``;
    with k = count + a and e = expected + a the best r is k / e, and the ratio is k ln(k / e) - (k - e). The prior makes it
    finite where nothing is expected. (Kulldorff, A spatial scan statistic, Communications in Statistics 26 (1997); DuMouchel,
    Bayesian data mining in large frequency tables, The American Statistician 53 (1999).)
    """
    k, e = counts + prior_events, expected + prior_events
    raised = (counts > expected) & (counts >= LEAST_TIMES * expected)
    return np.where(raised, k * np.log(k / e) - (k - e), 0.0)


def measure_symptoms(raw: Floats, usual_row: Whole, spec: CauseFinder) -> Measured:
    """Measure the symptoms of the users of ``raw``. A missing or negative value counts as 0."""
    shape = (len(spec.symptoms), len(spec.windows), len(raw))
    counts, expected = np.zeros(shape), np.zeros(shape)
    for w, (_, place) in enumerate(spec.windows):
        events = _present(raw[:, place])
        for s, symptom in enumerate(spec.symptoms):
            counts[s, w] = _present(raw[:, symptom.places[w]]) / symptom.unit
            expected[s, w] = symptom.rates[w][usual_row] * events
    return Measured(counts, expected, surprise_of(counts, expected, spec.prior_events))


def _present(column: Floats) -> Floats:
    return np.maximum(np.nan_to_num(column, nan=0.0), 0.0)


def per_cause(measured: Measured, spec: CauseFinder) -> tuple[Floats, Whole]:
    """Surprise of each specific cause, [cause, user]: the sum over its symptoms in the window where it is largest, and the number
    of that window."""
    by_window = np.zeros((len(spec.names), max(len(spec.windows), 1), measured.surprise.shape[2]))
    for symptom, surprise in zip(spec.symptoms, measured.surprise, strict=True):
        by_window[symptom.cause] += surprise
    return by_window.max(axis=1), by_window.argmax(axis=1)


def chosen_causes(surprise: Floats, fired: Whole, general_part: Floats, spec: CauseFinder) -> Whole:
    """The number of each user's cause, -1 where it is unknown.

    ``fired``: [cause, user], the number of the strongest rule that is true, else -1, with a last row for the general cause. The
    order: a specific cause whose rule is true (of several the highest level, then the most surprising), the most surprising
    specific cause above ``least``, the general cause where its rule is true or its measures raise the risk.
    """
    users = surprise.shape[1]
    found = np.full(users, -1)
    if spec.general is not None:
        found[(fired[-1] >= 0) | (general_part > 0)] = len(spec.names)
    if not spec.names:
        return found
    most = surprise.argmax(axis=0)
    found = np.where(surprise[most, np.arange(users)] > spec.least, most, found)
    if spec.levels:
        level = np.where(fired[:-1] >= 0, np.asarray(spec.levels)[fired[:-1]], 0)
        strongest = level == level.max(axis=0)
        of_rule = np.where(strongest, surprise, -1.0).argmax(axis=0)
        found = np.where(level.max(axis=0) > 0, of_rule, found)
    return found


def cause_columns(raw: Floats, usual_row: Whole, fired: Whole, general_part: Floats, spec: CauseFinder) -> dict[str, pa.Array]:
    """The columns ``cause``, ``cause_rule``, ``causes`` and ``evidence`` of user_scores."""
    measured = measure_symptoms(raw, usual_row, spec)
    surprise, window = per_cause(measured, spec)
    found = chosen_causes(surprise, fired, general_part, spec)
    users = np.arange(len(raw))
    rule = np.where(found >= 0, fired[found, users], -1)
    return {
        "cause": _taken([*spec.names, spec.general or ""], found),
        "cause_rule": _taken(spec.rules, rule),
        "causes": surprise_maps(surprise, spec),
        "evidence": evidence_lists(measured, window, found, spec),
    }


def fired_rules(columns: dict[str, pa.Array], users: int, spec: CauseFinder) -> Whole:
    """The number of the strongest rule that is true, [cause, user], else -1; the last row is the general cause's."""
    fired = np.full((len(spec.names) + 1, users), -1)
    for cause, name in spec.rule_columns:
        fired[cause] = pc.fill_null(columns[name], -1).to_numpy(zero_copy_only=False)
    return fired


def surprise_maps(surprise: Floats, spec: CauseFinder) -> pa.Array:
    """Surprise by cause, of the causes with symptoms; null where no cause has a symptom with a usual rate."""
    with_symptoms = sorted({symptom.cause for symptom in spec.symptoms})
    users, most = surprise.shape[1], len(with_symptoms)
    if not most:
        return pa.nulls(users, SURPRISE)
    names = pc.take(pa.array(spec.names, pa.string()), pa.array(np.tile(with_symptoms, users)))
    values = pa.array(np.round(surprise[with_symptoms].T.ravel(), DIGITS))
    return pa.MapArray.from_arrays(pa.array(np.arange(users + 1, dtype=np.int32) * most), names, values)


def evidence_lists(measured: Measured, window: Whole, found: Whole, spec: CauseFinder) -> pa.Array:
    """The raised symptoms of each user's specific cause in the window where it surprises most, most surprising first: the user's
    value and the usual one for as many events, in the measure's unit."""
    users, specific = np.arange(len(found)), (found >= 0) & (found < len(spec.names))
    if not spec.symptoms:
        return pa.array([[]] * len(users), pa.list_(EVIDENCE))
    own = window[np.where(specific, found, 0), users]
    picked = [part[:, own, users] for part in (measured.surprise, measured.counts, measured.expected)]
    of_cause = np.array([symptom.cause for symptom in spec.symptoms])[:, None] == np.where(specific, found, -1)
    surprise = np.where(of_cause, picked[0], 0.0)
    order = np.argsort(-surprise, axis=0, kind="stable").T
    kept = np.take_along_axis(surprise.T, order, axis=1) > 0
    user, symptom = np.nonzero(kept)[0], order[kept]
    unit = np.array([one.unit for one in spec.symptoms])[symptom]
    days = np.array([days for days, _ in spec.windows], dtype=np.int32)[own[user]]
    items = pa.StructArray.from_arrays(
        [
            pc.take(pa.array([one.measure for one in spec.symptoms], pa.string()), pa.array(symptom)),
            pa.array(days),
            pa.array(np.round(picked[1][symptom, user] * unit, DIGITS)),
            pa.array(np.round(picked[2][symptom, user] * unit, DIGITS)),
        ],
        fields=list(EVIDENCE),
    )
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def _taken(names: Sequence[str], number: Whole) -> pa.Array:
    return pc.take(pa.array(names, pa.string()), pa.array(number, pa.int64(), mask=number < 0))
