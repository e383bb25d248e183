"""A day with 60 rules: made-up features and scores of a million users, as rules see them."""

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from churnwatch.settings import Settings
from churnwatch.settings.rules import Causes, Rules
from churnwatch.settings.tiers import Tiers
from churnwatch.tables import tables

DAY = date(2026, 3, 10)
USERS, RULES = 1_000_000, 60
CAUSES = ("engagement", "price", "quality", "service", "competitor")
OWNERS = {"blue": "operations", "yellow": "operations", "orange": "retention", "red": "retention"}
MEASURES = (
    "logins",
    "use_ms",
    "interactions",
    "orders",
    "cancels",
    "complaints",
    "crashes",
    "price_views",
    "competitor_views",
    "events",
)
WINDOWS = (7, 14, 30, 60)
FIRES = 0.004  # share of users of whom a rule speaks: with 60 of them and the model a third of all


def with_rules(settings: Settings) -> Settings:
    """The settings with 60 rules, each over two windows and a trend, and a model that warns of a twentieth."""
    rules = [
        {
            "id": f"rule_{n}",
            "title": "falling",
            "when": f"{a}_{short}d < {FIRES * 4} AND {a}_{long}d >= 0.25 AND coalesce({b}_trend, 0) <= 0.334",
            "level": list(OWNERS)[n % 3],
            "cause": CAUSES[n % len(CAUSES)],
            "evidence": f"{{{a}_{short}d}} in {short} days, {{{a}_{long}d}} in {long}; {{{b}_trend}}",
        }
        for n, (a, b, short, long) in enumerate(
            (MEASURES[n % 10], MEASURES[(n + 3) % 10], WINDOWS[n % 3], WINDOWS[1 + (n + n // 30) % 3]) for n in range(RULES)
        )
    ]
    tiers = {
        "tiers": [{"name": "critical", "top_share": 0.05, "level": "red"}, {"name": "low"}],
        "levels": [{"name": name, "owner": owner, "within_days": 3} for name, owner in OWNERS.items()],
    }
    causes = {"causes": {name: {"title": name, "measures": []} for name in CAUSES}}
    more = {"rules": Rules(rules=rules), "tiers": Tiers(**tiers), "causes": Causes(**causes)}
    return settings.model_copy(update=more)


def features(spark: SparkSession, settings: Settings) -> DataFrame:
    """One row a user: every feature a share by hash, one of few values."""
    named = {f.name: f.dataType.simpleString() for f in tables(settings).user_features.schema}
    made = {
        "day": F.lit(DAY),
        "user_id": F.concat(F.lit("u"), F.lpad(F.col("id").cast("string"), 15, "0")),
        "bot": F.lit(False),
    }
    columns = [
        made.get(name, _share(name) if type_ == "double" else F.lit(None).cast(type_)).alias(name)
        for name, type_ in named.items()
    ]
    return spark.range(0, USERS, 1, 8).select(*columns)


def scores(spark: SparkSession, settings: Settings) -> DataFrame:
    """One row a user: a twentieth is critical."""
    fields = tables(settings).user_scores.schema["reasons"].dataType.elementType
    told = {"measure": F.lit("logins"), "value": _share("v"), "contribution": _share("c"), "cause": F.lit("price")}
    reason = F.struct(*(told.get(f.name, F.lit(None)).cast(f.dataType).alias(f.name) for f in fields))
    made = {
        "day": F.lit(DAY),
        "user_id": F.concat(F.lit("u"), F.lpad(F.col("id").cast("string"), 15, "0")),
        "tier": F.when(_share("tier") < 0.05, "critical").otherwise("low"),
        "reasons": F.array(*[reason] * 5),
        "model_version": F.lit("1"),
    }
    columns = []
    for f in tables(settings).user_scores.schema:
        value = made.get(
            f.name, F.lit(None) if f.nullable else F.lit(1) if f.dataType.simpleString() == "bigint" else _share(f.name)
        )
        columns.append(value.cast(f.dataType).alias(f.name))
    return spark.range(0, USERS, 1, 8).select(*columns)


def _share(salt: str):
    """One of 500 values a column: features are counts, which files hold in a dictionary; random doubles cost a copy more."""
    return F.pmod(F.xxhash64(F.lit(salt), "id"), F.lit(500)) / F.lit(500.0)
