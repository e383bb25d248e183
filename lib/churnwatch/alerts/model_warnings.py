"""The model's warnings: users whose risk tier has a level in tiers.yaml."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

from churnwatch.alerts.evidence import category_text, short_text
from churnwatch.alerts.rules import signal, value_for
from churnwatch.scoring import raising_reasons
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.feature_words import counted_words, feature_unit, measure_title
from churnwatch.settings.names import symptom_windows, window_column
from churnwatch.settings.terms import LEAST_IMPROVEMENT, MODEL

QUIET_DAYS = 7
FIRST = 1  # at equal levels the model comes before the rules
TOP_REASONS = 3
TRAILING_ZEROS = r"(\.\d)0$"  # of two decimals


def has_warning_tier(settings: Settings) -> Column:
    """Return whether the row's tier has a level; false without a score."""
    tiers = [tier.name for tier in settings.tiers.tiers if tier.level]
    return F.coalesce(F.col("tier").isin(*tiers), F.lit(False)) if tiers else F.lit(False)


def model_signal(settings: Settings) -> Column:
    """Return the model's signal where the row's tier has a level, else null; null without a score.

    The cause is the score's. The evidence gives the symptoms of that cause, or the rule that named it, the TOP_REASONS strongest
    reasons that raised the risk, and the probability with the usual value of the best improvement:
    "probability 0.83, tier critical; 4 crashes in 30 days, 0.6 usual for so much use; log-ins, 14 days: 2, usual 9".
    """
    order = [one.name for one in settings.tiers.levels]
    ranks = {tier.name: order.index(tier.level) for tier in settings.tiers.tiers if tier.level}
    if not ranks:
        return F.lit(None)
    rank = value_for(ranks, F.col("tier"))
    texts = F.array_compact(F.concat(_rule_texts(settings), _symptom_texts(settings), _reason_texts(settings)))
    evidence = F.concat(
        F.lit("probability "),
        F.format_string("%.2f", F.col("probability")),
        F.lit(", tier "),
        F.col("tier"),
        F.when(F.size(texts) > 0, F.concat(F.lit("; "), F.array_join(texts, "; "))).otherwise(F.lit("")),
        F.coalesce(_improvement_text(settings), F.lit("")),
    )
    no_owner = F.lit(None)
    return F.when(rank.isNotNull(), signal(MODEL, rank, FIRST, F.col("cause"), evidence, no_owner, QUIET_DAYS))


def _rule_texts(settings: Settings) -> Column:
    """The title of the rule that named the cause, in an array of one."""
    titles = {rule.id: rule.title for rule in settings.rules.rules if rule.scope == "user"}
    return F.array(value_for(titles, F.col("cause_rule")).cast("string"))


def _symptom_texts(settings: Settings) -> Column:
    """A text for each symptom of the cause: 4 crashes in 30 days, 0.6 usual for so much use."""
    symptoms = [measure for cause in settings.causes.causes.values() for measure in cause.symptoms]
    words = {measure: counted_words(measure, settings) for measure in symptoms}
    columns = {measure: window_column(measure, symptom_windows(settings)[0]) for measure in symptoms}

    def text(one: Column) -> Column:
        return F.concat(
            _with_unit(one["value"], one["measure"], columns, settings),
            F.lit(" "),
            F.coalesce(_looked_up(words, one["measure"]), one["measure"]),
            F.lit(" in "),
            one["days"].cast("string"),
            F.when(one["days"] == 1, F.lit(" day, ")).otherwise(F.lit(" days, ")),
            F.regexp_replace(_with_unit(one["usual"], one["measure"], columns, settings), TRAILING_ZEROS, "$1"),
            F.lit(" usual for so much use"),
        )

    return F.coalesce(F.transform("evidence", text), F.array().cast("array<string>"))


def _reason_texts(settings: Settings) -> Column:
    """A text for each of the strongest reasons: log-ins, 14 days: 2, usual 9; plan: gold.

    A reason without a feature shows its measure.
    """
    names = feature_names(settings)
    titles, columns = {name: measure_title(name, settings) for name in names}, {name: name for name in names}

    def text(one: Column) -> Column:
        shown = F.coalesce(one["feature"], one["measure"])
        usual = F.concat(F.lit(", usual "), _with_unit(one["usual"], shown, columns, settings))
        number = F.concat(
            F.coalesce(_looked_up(titles, shown), shown),
            F.lit(": "),
            _with_unit(one["value"], shown, columns, settings),
            F.when(one["usual"].isNotNull(), usual).otherwise(F.lit("")),
        )
        return F.coalesce(category_text(shown, one["value"]), number)

    return F.transform(F.slice(raising_reasons(), 1, TOP_REASONS), text)


def _improvement_text(settings: Settings) -> Column:
    best = F.col("improvement")
    titles = {name: measure_title(name, settings) for name in settings.measures.measures}
    words = F.coalesce(_looked_up(titles, best["measure"]), best["measure"])
    text = F.concat(F.lit("; with usual "), words, F.lit(" it would be "), F.format_string("%.2f", best["probability"]))
    return F.when(F.col("probability") - best["probability"] >= LEAST_IMPROVEMENT, text)


def _with_unit(value: Column, name: Column, columns: dict[str, str], settings: Settings) -> Column:
    """The value of the feature that ``columns`` gives for ``name``, in the unit for readers: minutes, money, else as it is."""
    by_unit: dict[tuple[float, str], list[str]] = {}
    for key, column in columns.items():
        by_unit.setdefault(feature_unit(column, settings), []).append(key)
    found = short_text(value, DoubleType())
    for (divisor, unit), keys in by_unit.items():
        if divisor != 1.0:
            text = F.concat(short_text(value / divisor, DoubleType()), F.lit(unit))
            found = F.when(value.isNotNull() & name.isin(*keys), text).otherwise(found)
    return found


def _looked_up(words: dict[str, str], name: Column) -> Column:
    """The entry of ``words`` for ``name``; null without one."""
    if not words:
        return F.lit(None).cast("string")
    pairs = [F.lit(part) for pair in words.items() for part in pair]
    return F.try_element_at(F.create_map(*pairs), name)
