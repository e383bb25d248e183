"""Write a proposed domain as the texts of a domain folder, with the reason of each guess as a comment beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from churnwatch.begin.act_kinds import Acts
from churnwatch.begin.columns import Column, Layout, literal
from churnwatch.begin.guesses import Guesses, Zone, property_keys
from churnwatch.begin.measuring import Kind, Measures, rules
from churnwatch.begin.numbers import number_form
from churnwatch.begin.return_curve import ChurnWindow, Point, Scale, curve_lines
from churnwatch.settings import NOBODY, Ids
from churnwatch.settings.names import SUMMED

TYPES_LISTED = 30


@dataclass(frozen=True)
class ProposedSource:
    """A proposed source of events. ``kind_sql``: SQL of the event type; ``notes``: comments above the source.
    ``decimal_ids``: rows whose user is written with a decimal zero; ``nobody``: ids of nobody besides the usual ones."""

    name: str
    layout: Layout
    path: str
    path_reason: str
    guesses: Guesses
    kind_sql: str
    kind_reason: str
    where: str = ""
    where_reason: str = ""
    file_days: tuple[int, ...] = (-1, 0, 1)
    ids: Ids = Ids()
    decimal_ids: int = 0
    nobody: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """A proposed domain. ``churn_kinds``: event types that the definition of churn counts, None for all acts."""

    name: str
    sources: Sequence[ProposedSource]
    kinds: Sequence[Kind]
    acts: Acts
    measures: Measures
    curve: Sequence[Point]
    churn: ChurnWindow
    churn_kinds: Sequence[str] | None
    scale: Scale
    first: date
    last: date
    users: int
    settle_days: int
    settle_reason: str
    rejected_share: float
    rejected_reason: str
    nobody_share: float = 0.2
    nobody_reason: str = ""
    buckets: int = 4
    left_out: Sequence[str] = field(default_factory=tuple)


def file_texts(domain: Domain) -> dict[str, str]:
    """Return the text of each file of the domain folder, by file name."""
    return {
        "sources.yaml": _sources(domain),
        "measures.yaml": _measures(domain),
        "churn.yaml": _churn(domain),
        "model.yaml": _model(domain),
        "tiers.yaml": _tiers(),
        "causes.yaml": _causes(domain),
        "rules.yaml": _rules(domain),
        "offers.yaml": _offers(domain),
    }


def config_text(domain: Domain, root: str, input_: str, spark: Mapping[str, object]) -> str:
    """Return the text of conf/<where>.yaml. ``root``: folder for the tables; ``input_``: folder of the log."""
    zone = _clock(domain)
    lines = [
        f"# Where {domain.name} runs. Proposed by `churnwatch init`: check what the comments say.",
        f"domain: {_text(domain.name)}",
        "storage:",
        f"  root: {_text(root)}    # a Delta table a folder",
        f"  files: {_text(f'{root}/_files')}    # pages, models, keys",
        f"  input: {_text(input_)}",
        "clock:",
        f"  time_zone: {zone.name}    # a day begins at its midnight; {_comment(zone.reason)}",
        f"  settle_days: {domain.settle_days}    # {domain.settle_reason}",
        "spark:" if spark else "spark: {}",
        *(f"  {key}: {_text(str(value))}" for key, value in spark.items()),
        'mlflow: {tracking_uri: "sqlite:///{storage.files}/mlflow.db", experiment: churnwatch, model: "churnwatch-{domain}"}',
        f"activity: {{buckets: {domain.buckets}, session_gap_minutes: 30}}",
        "quality:",
        f"  max_rejected_share: {domain.rejected_share}    # {domain.rejected_reason}",
        f"  max_nobody_share: {domain.nobody_share}    # {domain.nobody_reason}",
        'privacy: {min_group_size: 10, id_key: {file: "{storage.files}/id_key"}}',
        'sending: {kind: file, folder: "{storage.files}/outbox"}',
    ]
    return "\n".join(lines) + "\n"


def _clock(domain: Domain) -> Zone:
    """Return the time zone of the business day: the zone of all sources, or UTC with a note where they differ."""
    zones = {source.guesses.zone.name: source.guesses.zone for source in domain.sources}
    if len(zones) == 1:
        return next(iter(zones.values()))
    return Zone(reason=f"the sources are of several zones ({', '.join(zones)}): write yours")


def _sources(domain: Domain) -> str:
    lines = [
        "# Proposed by `churnwatch init`, each line with its reason. Values of a map are Spark SQL over the log's columns.",
        *(f"# Left out: {_comment(line)}" for line in domain.left_out),
        "events:",
    ]
    for source in domain.sources:
        lines += _source(source)
    if more := sorted({one for source in domain.sources for one in source.nobody}):
        lines.append(f"nobody: {json.dumps([*NOBODY, *more])}    # {' and '.join(more)} beside ids of another kind")
    lines += ["# event types found, with the number of events of users:"]
    lines += [f"#   {_comment(kind.name)}: {kind.events:,}" for kind in domain.kinds[:TYPES_LISTED]]
    if len(domain.kinds) > TYPES_LISTED:
        lines.append(f"#   and {len(domain.kinds) - TYPES_LISTED} more")
    lines.append("# to refuse any other as unknown_type, list those that you know in the source: event_types: [...]")
    return "\n".join(lines) + "\n"


def _source(source: ProposedSource) -> list[str]:
    layout, guesses = source.layout, source.guesses
    zone = guesses.zone
    if guesses.time.zoned:
        zone = Zone(reason="not asked: the log's times are instants; your days begin in clock.time_zone")
    lines = [
        *(f"  # {_comment(note)}" for note in (*layout.notes, *source.notes)),
        f"  - name: {source.name}",
        f"    format: {layout.format}",
        f"    path: {_text(source.path)}    # {source.path_reason}",
    ]
    if layout.options:
        lines.append(f"    options: {{{', '.join(f'{k}: {_text(v)}' for k, v in layout.options.items())}}}")
    if layout.given is not None:
        lines.append(f"    columns: [{', '.join(map(_text, layout.given))}]")
    if "{day}" in source.path:
        lines.append(
            f"    file_days: {list(source.file_days)}    # the files, from the day's own, in which its events were found"
        )
    lines.append(f"    time_zone: {zone.name}    # {_comment(zone.reason)}")
    if source.where:
        lines.append(f"    where: {_text(source.where)}    # {_comment(source.where_reason)}")
    if source.ids.strip_decimal_zero:
        reason = f"{source.decimal_ids:,} rows have a user like 17850.0: a tool read the ids as numbers"
        lines.append(f"    ids: {{strip_decimal_zero: true}}    # {reason}")
    lines.append("    map:")
    fields = {name: (guess.sql, _with_name(guess.column, guess.reason)) for name, guess in guesses.fields.items()}
    fields["event_type"] = (source.kind_sql, source.kind_reason)
    for name, (sql, reason) in fields.items():
        lines.append(f"      {name}: {_text(sql)}    # {_comment(reason)}")
    if guesses.spare:
        keys = property_keys(guesses.spare)
        entries = ", ".join(f"{literal(keys[c.name])}, {_as_text(c)}" for c in guesses.spare)
        lines.append(f"      properties: {_text(f'map({entries})')}    # other columns that may predict churn")
    lines += [f"      # not mapped: {_comment(name)}: {_comment(why)}" for name, why in guesses.left_out.items()]
    return lines


def _as_text(column: Column) -> str:
    form = number_form(column)
    sql = form.sql if form else column.sql
    return sql if column.kind == "string" else f"CAST({sql} AS STRING)"


def _with_name(column: Column | None, reason: str) -> str:
    return f"{column.name}: {reason}" if column else reason


def _measures(domain: Domain) -> str:
    made, scale = domain.measures, domain.scale
    lines = [
        "# Measures of a user's day, stored as integers: counts, cents, milliseconds. Proposed by `churnwatch init`.",
        *_acts(domain.acts),
        "measures:" if made.measures else "measures: {}    # events, sessions and active days only: add what else the log holds",
    ]
    for name, keys in made.measures.items():
        inner = ", ".join(f"{key}: {value if key in ('kind', 'scale') else _text(value)}" for key, value in keys.items())
        note = f"    # {_comment(made.notes[name])}" if name in made.notes else ""
        lines.append(f"  {name}: {{{inner}}}{note}")
    history = (domain.last - domain.first).days + 1
    lines += [
        f"windows_days: {list(scale.windows)}    # about as long as the churn window, within {history} days of history",
        f"trend_days: {scale.trend}    # the last {scale.trend} days against the {scale.trend} before",
    ]
    if made.ratios:
        lines.append(f"ratios: {{{', '.join(f'{k}: {v}' for k, v in made.ratios.items())}}}")
    lines.append(f"population_days: {scale.windows[-1]}    # who was active in these days is scored")
    return "\n".join(lines) + "\n"


def _acts(acts: Acts) -> list[str]:
    if acts.kinds is None:
        return [f"# acts: {_comment(acts.reason)}."]
    return [f"acts: [{', '.join(map(_text, acts.kinds))}]    # {_comment(acts.reason)}"]


def churn_name(domain: Domain) -> str:
    """Return the name of the proposed churn definition."""
    return f"silent_{domain.churn.days}d"


def _churn(domain: Domain) -> str:
    within = min(domain.churn.days, domain.scale.windows[-1])
    kinds = f"events: [{', '.join(map(_text, domain.churn_kinds))}], " if domain.churn_kinds is not None else ""
    lines = [
        "# Return after silence: share of silences of at least this many days that ended in a return. Silences that began",
        "# less than twice as many days before the last day are left out, because they are not over.",
        *(f"#   {line}" for line in curve_lines(domain.curve)),
        f"# {domain.churn.days} days: {domain.churn.reason}.",
        *(["# Returns, refunds and cancellations keep nobody."] if kinds else []),
        f"primary: {churn_name(domain)}",
        "definitions:",
        f"  {churn_name(domain)}: {{kind: inactivity, {kinds}horizon_days: {domain.churn.days}, lead_days: 0, "
        f"active_within_days: {within}, class: short}}",
    ]
    return "\n".join(lines) + "\n"


def _model(domain: Domain) -> str:
    scale = domain.scale
    money = domain.measures.money
    value = f"coalesce({money[0]}_{scale.windows[-1]}d, 0)" if money else '"0"'
    told = f"cents a user is worth: those of {scale.windows[-1]} days" if money else "cents a user is worth; the log has no money"
    history = (domain.last - domain.first).days + 1
    fits = "they fit into" if scale.trainable else "they do NOT fit into"
    lines = [
        f"# Spans of training, days, with three horizons of {domain.churn.days} days between them:",
        f"# {fits} the {history} days of history" + ("." if scale.trainable else ": rules and rates work, a model needs more."),
        "algorithms: [gbt]",
        "every_days: 28",
        f"train_days: {scale.train}",
        f"calibration_days: {scale.calibration}",
        f"test_days: {scale.test}",
        "snapshot_every_days: 8",
        "max_evals: 4",
        f"value: {value}    # {told}",
    ]
    return "\n".join(lines) + "\n"


def _tiers() -> str:
    return """# Tiers from the riskiest down; a tier with a level is warned of by the model. Levels from the mildest up.
tiers:
  - {name: high, top_share: 0.1, level: orange}
  - {name: medium, top_share: 0.4}
  - {name: low}
levels:
  - {name: blue, owner: operations, within_days: 14, measure: watch}
  - {name: yellow, owner: operations, within_days: 7, measure: message}
  - {name: orange, owner: retention, within_days: 3, measure: offer}
  - {name: red, owner: retention, within_days: 1, measure: personal offer}
"""


def _causes(domain: Domain) -> str:
    made = domain.measures
    summed = {name for name, measure in made.measures.items() if measure["kind"] in SUMMED}
    base = ["events", "sessions", "active_days"] if domain.acts.kinds is None else ["events", "acts", "sessions", "active_days"]
    causes = {"engagement": ("use and interest are falling", [*base, *made.engagement, *made.ratios])}
    if made.money:
        causes["money"] = ("less is spent", made.money)
    if made.returns:
        causes["returns"] = ("what was bought is given back", made.returns)
    if made.troubles:
        causes["quality"] = ("errors and complaints", made.troubles)
    causes["sudden"] = ("many leave at once, for a reason still to be found", [])
    lines = [
        "# Causes of churn and the measures that belong to them; each measure belongs to one cause. `symptoms` rise where the",
        "# cause is at work; the general cause is named where no other is found.",
        "causes:",
    ]
    for name, (title, measures) in causes.items():
        lines += [f"  {name}:", f"    title: {title}", f"    measures: [{', '.join(measures)}]"]
        if name == "engagement":
            lines.append("    general: true")
        elif symptoms := [one for one in measures if name in ("returns", "quality") and one in summed]:
            lines.append(f"    symptoms: [{', '.join(symptoms)}]")
    return "\n".join(lines) + "\n"


def _rules(domain: Domain) -> str:
    lines = ["# Warning rules to begin with. `when`: Spark SQL over the features; true warns, null does not.", "rules:"]
    counted = "events" if domain.acts.kinds is None else "acts"
    for rule in rules(domain.measures, domain.churn.days, domain.scale.windows, domain.scale.trend, counted):
        for n, (key, value) in enumerate(rule.items()):
            plain = key in ("id", "level", "cause", "scope")
            lines.append(f"  {'-' if n == 0 else ' '} {key}: {value if plain else _text(value)}")
    return "\n".join(lines) + "\n"


def _offers(domain: Domain) -> str:
    view = max(60, domain.churn.days + domain.settle_days)
    return f"""# No campaign yet: the shipped domains show some. Contact needs a source of consents in sources.yaml.
campaigns: []
campaign_max_days: {view}    # a label is known after {domain.churn.days + domain.settle_days} days
outcomes:
  retained: {{label: primary}}
"""


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    """Put the text on one line."""
    return " ".join(text.split())
