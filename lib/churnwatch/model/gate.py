"""The release gate: every condition with both of its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from churnwatch.model.frame import Size
from churnwatch.settings import Settings
from churnwatch.settings.terms import REFUSED, RELEASED

CHANCE = 0.5


@dataclass(frozen=True)
class Verdict:
    """The outcome and its conditions, each ``<what>: <number> <sign> <bound>: ok|failed``. Where data were too few, what to do
    stands in brackets before ``failed``."""

    conditions: tuple[str, ...]
    passed: bool

    @property
    def outcome(self) -> str:
        """``released`` or ``refused``."""
        return RELEASED if self.passed else REFUSED


@dataclass(frozen=True)
class Data:
    """The data of an attempt: sizes by span, snapshot days of the train span, share of missing values (None: not measured
    yet), rolling origins."""

    sizes: Mapping[str, Size]
    days: int
    missing_share: float | None
    origins: int


def check_data(data: Data, settings: Settings) -> Verdict:
    """Check the conditions on the data alone, before anything is fitted."""
    return _verdict([*_data_conditions(data, settings)])


def check_release(
    metrics: Mapping[str, float], data: Data, rivals: Mapping[str, str], notes: Sequence[str], settings: Settings
) -> Verdict:
    """The gate: enough data; better than chance, the best recency rule, the best column and the last release; calibrated.

    Better than chance: the lower end of the AUC's 95 % interval is above 0.5, so that random labels are refused. Better than
    a rival: the lower end of the difference's interval (Poisson bootstrap by user, on the same rows) exceeds the margin of
    ``model.gate``. ``rivals``: the names of ``rule`` and ``column``; ``notes``: conditions that could not be checked.
    """
    gate = settings.model.gate
    found = [*_data_conditions(data, settings)]
    low = metrics["auc_low"]
    found.append((f"auc, lower end of the interval: {low:.4f} > {CHANCE}", low > CHANCE))
    found.append(_beats(metrics, "rule", f"the rule {rivals['rule']}", gate.min_margin_over_rule))
    found.append(_beats(metrics, "column", f"the best single feature {rivals['column']}", gate.min_margin_over_column))
    if "release_auc" in metrics:
        found.append(_beats(metrics, "release", "the last release", gate.min_margin_over_release))
    error = metrics["calibration_error"]
    found.append((f"calibration error: {error:.4f} <= {gate.max_calibration_error}", error <= gate.max_calibration_error))
    verdict = _verdict(found)
    return Verdict((*verdict.conditions, *notes), verdict.passed)


def _verdict(found: Sequence[tuple[str, bool]]) -> Verdict:
    texts = tuple(f"{text}: {'ok' if good else 'failed'}" for text, good in found)
    return Verdict(texts, all(good for _, good in found))


def _data_conditions(data: Data, settings: Settings) -> Iterator[tuple[str, bool]]:
    gate = settings.model.gate
    for span, size in data.sizes.items():
        for what, found, bound in (("users", size.users, "min_users"), ("churned", size.positives, "min_positives")):
            least = getattr(gate, bound)
            advice = f"wait for more, lengthen model.{span}_days, or lower model.gate.{bound}"
            yield _with_advice(f"{span} {what}: {found:,} >= {least:,}", found >= least, advice)
    advice = "build more snapshots of the train span, lengthen model.train_days, or lower model.gate.min_days"
    yield _with_advice(f"train days: {data.days} >= {gate.min_days}", data.days >= gate.min_days, advice)
    if (share := data.missing_share) is not None:
        advice = "take measures that are seldom there out of measures.yaml, or raise model.gate.max_missing_share"
        text = f"share of missing values: {share:.4f} <= {gate.max_missing_share}"
        yield _with_advice(text, share <= gate.max_missing_share, advice)
    advice = (
        f"each takes {settings.model.origin_step_days} more days of history: wait or load them, or lower model.gate.min_origins"
    )
    yield _with_advice(f"rolling origins: {data.origins} >= {gate.min_origins}", data.origins >= gate.min_origins, advice)


def _with_advice(text: str, good: bool, advice: str) -> tuple[str, bool]:
    """The condition, with what to do where it does not hold."""
    return (text if good else f"{text} ({advice})"), good


def _beats(metrics: Mapping[str, float], rival: str, title: str, margin: float) -> tuple[str, bool]:
    ours, theirs = metrics["auc"], metrics[f"{rival}_auc"]
    low = metrics[f"auc_minus_{rival}_low"]
    return f"auc over {title}: {ours:.4f} - {theirs:.4f}, lower end {low:.4f} > {margin}", low > margin
