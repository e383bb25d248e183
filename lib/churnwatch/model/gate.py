"""The release gate: every condition with both of its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from churnwatch.model.frame import Size
from churnwatch.settings import Settings
from churnwatch.settings.terms import REFUSED, RELEASED

# what a condition is about
DATA, AUC, RULE, COLUMN, RELEASE, RATE = "data", "auc", "rule", "column", "release", "rate"
RATE_TEXT = "observed / expected churn on the test span"


@dataclass(frozen=True)
class Verdict:
    """The conditions, each ``<what>: <number> <sign> <bound>: ok|failed``, and what the ``failed`` ones are about. Where data
    were too few, what to do stands in brackets before ``failed``."""

    conditions: tuple[str, ...]
    failed: frozenset[str] = frozenset()

    @property
    def passed(self) -> bool:
        """Whether no condition failed."""
        return not self.failed

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


Condition = tuple[str, str, bool]  # what it is about, text, whether it holds


def check_data(data: Data, settings: Settings) -> Verdict:
    """Check the conditions on the data alone, before anything is fitted."""
    return _verdict([*_data_conditions(data, settings)])


def check_release(
    metrics: Mapping[str, float], data: Data, rivals: Mapping[str, str], notes: Sequence[str], settings: Settings
) -> Verdict:
    """The gate: enough data; a ranking with signal, better than the best recency rule, the best single feature and the last
    release; probabilities that add up to what was observed.

    Signal: the lower end of the AUC's 95 % interval reaches ``min_auc``, so that random labels are refused. Better than a rival:
    the lower end of the difference's interval (Poisson bootstrap by user, on the same rows) exceeds the margin of
    ``model.gate``. The last release is also beaten by better probabilities: the log loss is lower with its interval (a proper
    score: Gneiting and Raftery, JASA 102 (2007)), and the AUC is not lower by more than ``tolerated_auc_loss``.
    ``rivals``: the names of the features ``rule`` and ``column``, where what is checked has to beat them; ``notes``: conditions
    that could not be checked.
    """
    gate = settings.model.gate
    low = metrics["auc_low"]
    found = [*_data_conditions(data, settings)]
    found.append((AUC, f"auc, lower end of the interval: {low:.4f} >= {gate.min_auc}", low >= gate.min_auc))
    if RULE in rivals:
        found.append(_beats(metrics, RULE, f"the rule {rivals[RULE]}", gate.min_margin_over_rule))
    if COLUMN in rivals:
        found.append(_beats(metrics, COLUMN, f"the best single feature {rivals[COLUMN]}", gate.min_margin_over_column))
    if f"{RELEASE}_auc" in metrics:
        found.append(_beats_release(metrics, settings))
    found.append(_rate(metrics, settings))
    verdict = _verdict(found)
    return Verdict((*verdict.conditions, *notes), verdict.failed)


def without_rate(verdict: Verdict) -> Verdict:
    """The verdict where the base has no scores: a ranking goes out although its probabilities failed, because they are calibrated
    again on the newest days."""
    again = "; there is no release in use, so it goes out, calibrated on the newest days: ok"
    texts = tuple(t.removesuffix(": failed") + again if t.startswith(RATE_TEXT) else t for t in verdict.conditions)
    return Verdict(texts, verdict.failed - {RATE})


def _verdict(found: Sequence[Condition]) -> Verdict:
    texts = tuple(f"{text}: {'ok' if good else 'failed'}" for _, text, good in found)
    return Verdict(texts, frozenset(about for about, _, good in found if not good))


def _data_conditions(data: Data, settings: Settings) -> Iterator[Condition]:
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


def _with_advice(text: str, good: bool, advice: str) -> Condition:
    """The condition on the data, with what to do where it does not hold."""
    return DATA, text if good else f"{text} ({advice})", good


def _beats(metrics: Mapping[str, float], rival: str, title: str, margin: float) -> Condition:
    low = metrics[f"auc_minus_{rival}_low"]
    return rival, f"auc over {title}: {_pair(metrics, 'auc', rival)}, lower end {low:.4f} > {margin}", low > margin


def _pair(metrics: Mapping[str, float], metric: str, rival: str) -> str:
    """Ours - theirs on the rows on which both were compared, which may be fewer than the test span's."""
    theirs = metrics[f"{rival}_{metric}"]
    return f"{theirs + metrics[f'{metric}_minus_{rival}']:.4f} - {theirs:.4f}"


def _beats_release(metrics: Mapping[str, float], settings: Settings) -> Condition:
    gate = settings.model.gate
    about, text, good = _beats(metrics, RELEASE, "the last release", gate.min_margin_over_release)
    high = metrics.get(f"log_loss_minus_{RELEASE}_high")
    if good or high is None:
        return about, text, good
    losses = _pair(metrics, "log_loss", RELEASE)
    text += f", or > -{gate.tolerated_auc_loss} with a lower log loss: {losses}, upper end {high:.4f} < 0"
    return about, text, metrics[f"auc_minus_{RELEASE}_low"] > -gate.tolerated_auc_loss and high < 0


def _rate(metrics: Mapping[str, float], settings: Settings) -> Condition:
    found, bound = metrics["observed_over_expected"], settings.model.gate.max_rate_error
    error = abs(found - 1)
    return RATE, f"{RATE_TEXT}: {found:.4f}, off 1 by {error:.4f} <= {bound}", error <= bound
