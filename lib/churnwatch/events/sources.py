"""The configured sources, by what they hold."""

from churnwatch.events.statements import KEYS
from churnwatch.settings import Settings, Source


def state_sources(settings: Settings) -> dict[str, Source]:
    """Return the configured sources of users, consents and context, by kind."""
    found = {kind: getattr(settings.sources, kind) for kind in KEYS}
    return {kind: source for kind, source in found.items() if source is not None}


def all_sources(settings: Settings) -> list[Source]:
    """Return every configured source, event sources first."""
    return [*settings.sources.events, *state_sources(settings).values()]
