"""The wall clock, which only the outer side of the system reads."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from churnwatch.core import ConfigError
from churnwatch.settings import Settings


def now() -> datetime:
    """The instant, in UTC."""
    return datetime.now(UTC)


def refuse_future(last: date, settings: Settings) -> None:
    """Raise ConfigError when ``last`` is later than tomorrow in ``clock.time_zone``: nothing can be known of such a day."""
    today = now().astimezone(ZoneInfo(settings.clock.time_zone)).date()
    if last > today + timedelta(days=1):
        raise ConfigError(
            f"the day {last} lies in the future: today is {today} in {settings.clock.time_zone}. Days after tomorrow are "
            "refused, because they would be stored as empty days. Hint: correct --day or --to, or the clock of this machine"
        )
