"""What ``churnwatch init`` prints after it has written a domain: guesses, the curve of return, and the next commands."""

from datetime import timedelta

from churnwatch.begin.domain_files import Domain, churn_name
from churnwatch.begin.return_curve import curve_lines


def summary_lines(domain: Domain, folder: str, config: str) -> list[str]:
    """Print the proposed domain as lines of text; ``folder`` and ``config`` are the written paths."""
    history = (domain.last - domain.first).days + 1
    lines = []
    for source in domain.sources:
        lines.append(f"{source.name}: {source.path} ({source.layout.format}, {source.path_reason})")
        fields = {name: guess.sql for name, guess in source.guesses.fields.items()} | {"event_type": source.kind_sql}
        lines += [f"  {name:<11} {sql}" for name, sql in fields.items()]
    lines += [f"left out: {text}" for text in domain.left_out]
    lines += [
        f"{domain.users:,} users, {len(domain.kinds)} event types, {history} days: {domain.first} .. {domain.last}",
        f"acts: {'' if domain.acts.kinds is None else f'{len(domain.acts.kinds)} event types; '}{domain.acts.reason}",
        "return after silence:",
        *(f"  {line}" for line in curve_lines(domain.curve)),
        f"churn window {churn_name(domain)}: {domain.churn.reason}",
        f"written: {folder}/ and {config}; check the guesses (each has its reason beside it), then:",
    ]
    run = f"churnwatch run all --config {config} --from {domain.first} --to {domain.last} --every"
    lines.append(f"  {run}")
    if domain.scale.trainable:
        lines.append(f"  churnwatch run train_model --config {config} --day {domain.last}")
    else:
        from_day = domain.first + timedelta(days=domain.scale.needed)
        lines.append(f"  (too short a history to train a model; with this churn window it will do from about {from_day})")
    lines.append(f"  churnwatch run all --config {config} --day {domain.last}      # scores, warnings and the page")
    return lines
