"""Format numbers and names for readers, each with its unit; ``–`` stands for None."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from churnwatch.settings import Definition, Settings
from churnwatch.settings.attributes import PREFIX, category_of
from churnwatch.settings.feature_words import counted_words, feature_unit, measure_title
from churnwatch.settings.terms import MODEL, UNKNOWN

NONE = "–"


def whole(number: float | None) -> str:
    """1234 -> 1,234."""
    return NONE if number is None else f"{number:,.0f}"


def at_least(count: int, few: int) -> str:
    """A count of people; fewer than ``few``, but somebody: 'under few'."""
    return f"under {few}" if 0 < count < few else whole(count)


def signed(number: float | None) -> str:
    """12 -> +12, -3 -> −3, 0 -> ±0."""
    if number is None:
        return NONE
    return "±0" if not number else f"{number:+,.0f}".replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """0.123 -> 12.3 %."""
    return NONE if share is None else f"{share * 100:.{digits}f} %"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points: 0.081 -> +8.1 points."""
    return NONE if difference is None else f"{difference * 100:+.1f} points".replace("-", "−")


def percent_range(low: float | None, high: float | None) -> str:
    """An interval of shares: 12.3 to 14.1 %."""
    return NONE if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f} %"


def money(cents: float | None, settings: Settings) -> str:
    """Minor units in major units of the domain's currency: 1234567 cents -> 12,346; sums below 100 keep their cents."""
    if cents is None:
        return NONE
    digits = settings.money.minor_digits
    amount = cents / 10**digits
    return f"{amount:,.{0 if abs(amount) >= 100 else digits}f}".replace("-", "−")


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with at most ``digits`` decimals, large ones without."""
    if value is None:
        return NONE
    text = f"{value:,.{0 if abs(value) >= 1000 else digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with exactly ``digits`` decimals, so that a column of them lines up."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def day_text(day: date | None) -> str:
    """27 Sep 2025."""
    return NONE if day is None else f"{day.day} {day:%b %Y}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 user, 2 users."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def cause_title(cause: str | None, settings: Settings) -> str:
    """The cause's title in causes.yaml, or its name where it has none."""
    known = settings.causes.causes.get(cause or "")
    return known.title if known else (cause or UNKNOWN).replace("_", " ")


def rule_title(rule_id: str, settings: Settings) -> str:
    """The rule's title in rules.yaml; 'the model' for warnings of the model."""
    if rule_id == MODEL:
        return "the model"
    return next((rule.title for rule in settings.rules.rules if rule.id == rule_id), rule_id)


def measure_value(name: str, value: float | None, settings: Settings) -> str:
    """The value of a column of user_features with its unit: cents as money, milliseconds as minutes, yes or no.

    Of a category a user has the value that the feature stands for, or ``not`` that value.
    """
    if value is None:
        return "none"
    if category := category_of(name):
        return category[1] if value > 0 else f"not {category[1]}"
    attribute = settings.measures.attributes.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    if attribute and attribute.kind == "boolean" and value in (0, 1):
        return "yes" if value else "no"
    divisor, unit = feature_unit(name, settings)
    return number(value / divisor, 1 if unit else 2) + unit


def reason_texts(reasons: list[Mapping[str, Any]], settings: Settings, most: int = 3) -> list[str]:
    """The ``most`` measures that moved a score most, with direction, value and usual value; without (other) and (base)."""
    named = [r for r in reasons if not str(r["measure"]).startswith("(")][:most]
    return [
        f"{'↑' if r['contribution'] > 0 else '↓'} "
        f"{measure_title(_shown(r), settings)}: {measure_value(_shown(r), r['value'], settings)}{_usual(r, settings)}"
        for r in named
    ]


def _usual(reason: Mapping[str, Any], settings: Settings) -> str:
    usual = reason["usual"]
    if usual is None or category_of(_shown(reason)):
        return ""
    return f" (usual {measure_value(_shown(reason), usual, settings)})"


def _shown(reason: Mapping[str, Any]) -> str:
    """The feature whose value a reason shows; reasons from before it was stored know the measure alone."""
    return str(reason.get("feature") or reason["measure"])


def evidence_texts(evidence: Sequence[Mapping[str, Any]], settings: Settings) -> list[str]:
    """The symptoms of a cause: 4 crashes in 30 days, 0.6 usual for so much use."""
    texts = []
    for one in evidence:
        name = f"{one['measure']}_{one['days']}d"
        value, usual = (measure_value(name, one[part], settings) for part in ("value", "usual"))
        shown = counted_words(str(one["measure"]), settings)
        texts.append(f"{value} {shown} in {plural(one['days'], 'day')}, {usual} usual for so much use")
    return texts


def definition_text(meant: Definition) -> str:
    """What a definition of churn means, as a clause: active in the last 14 days, then silent for 14 days."""
    horizon, seen = meant.horizon_days, f"active in the last {meant.seen_days} days"
    if meant.kind == "drop":
        text = (
            f"{meant.measure} of at least {meant.min_before:,} in {meant.seen_days} days, then less than {meant.keep_share:.0%} "
        )
        text += f"of it a day over {horizon} days"
    elif meant.attribute:
        text = f"{seen} with a {meant.attribute} in the next {horizon} days, then not renewed in these days"
    elif meant.kind == "event":
        text = f"{seen}, then {' or '.join(meant.events or [])} within {horizon} days"
    elif meant.kind == "gap":
        text = f"active on at least {meant.min_active_days} of the last {meant.seen_days} days, then silent for "
        text += f"{meant.times:g} times the user's usual gap, at most {horizon} days"
    else:
        text = f"{seen}, then silent for {horizon} days"
    return text + (f", which begin {meant.lead_days} days later" if meant.lead_days else "")
