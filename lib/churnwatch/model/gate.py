"""Whether a model may be released: every condition with both numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from churnwatch.model.frame import Size
from churnwatch.settings import Settings

CHANCE = 0.5


@dataclass(frozen=True)
class Verdict:
    """The outcome and its conditions, each ``<what>: <number> <sign> <bound>: ok|failed``."""

    conditions: tuple[str, ...]
    passed: bool

    @property
    def outcome(self) -> str:
        """``released`` or ``refused``."""
        return "released" if self.passed else "refused"


def judged(metrics: Mapping[str, float], sizes: Mapping[str, Size], rule: str, settings: Settings) -> Verdict:
    """The gate: enough data in every span, better than chance, than the best recency rule and than the last release.

    Better than chance: the lower end of the AUC's 95 % interval is above 0.5, so that labels without meaning are refused.
    Better than rule and release: the AUC's difference itself, not the end of its interval, exceeds the margin of
    ``model.gate``; the interval stands in the metrics (``auc_minus_rule_low``). A bound on calibration comes last.
    """
    gate = settings.model.gate
    found: list[tuple[str, bool]] = []
    for span, size in sizes.items():
        found.append((f"{span} users: {size.users:,} >= {gate.min_users:,}", size.users >= gate.min_users))
        enough = size.positives >= gate.min_positives
        found.append((f"{span} churned: {size.positives:,} >= {gate.min_positives:,}", enough))
    low = metrics["auc_low"]
    found.append((f"auc, lower end of the interval: {low:.4f} > {CHANCE}", low > CHANCE))
    found.append(_beats(metrics, "rule", f"the rule {rule}", gate.min_margin_over_rule))
    if "release_auc" in metrics:
        found.append(_beats(metrics, "release", "the last release", gate.min_margin_over_release))
    error = metrics["calibration_error"]
    found.append((f"calibration error: {error:.4f} <= {gate.max_calibration_error}", error <= gate.max_calibration_error))
    return Verdict(
        conditions=tuple(f"{text}: {'ok' if good else 'failed'}" for text, good in found),
        passed=all(good for _, good in found),
    )


def _beats(metrics: Mapping[str, float], rival: str, named: str, margin: float) -> tuple[str, bool]:
    ours, theirs = metrics["auc"], metrics[f"{rival}_auc"]
    text = f"auc over {named}: {ours:.4f} - {theirs:.4f} > {margin}"
    return text, metrics[f"auc_minus_{rival}"] > margin
