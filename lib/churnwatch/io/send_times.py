"""When a message may be sent: quiet hours and expiry at the moment of sending. Runs inside Spark's workers, with the standard
library."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Message = dict[str, Any]


@dataclass(frozen=True)
class SendTimes:
    """Quiet hours of users, and what counts as now.

    ``quiet_hours``: hours of the clock from which and until which no offer is sent; two equal hours: none. ``time_zone``: the
    zone of users whose own is not known. ``now``: a fixed instant that counts as now; None: the clock of the machine.
    """

    quiet_hours: tuple[int, int] = (0, 0)
    time_zone: str = "UTC"
    now: datetime | None = None

    def is_expired(self, message: Message) -> bool:
        """Return whether the message has expired by now."""
        return message["expires_at"] is not None and message["expires_at"] <= self._moment()

    def starts_at(self, message: Message, time_zone: str | None) -> datetime | None:
        """Return the instant at which an offer may reach the user, whose zone is ``time_zone``; None: now.

        That is the first instant from now and from ``earliest_send_at`` on that lies outside the quiet hours. Messages to
        owners may be sent at any time.
        """
        if message["kind"] != "offer":
            return None
        now = self._moment()
        start = self.after_quiet_hours(max(now, message["earliest_send_at"] or now), time_zone)
        return start if start > now else None

    def after_quiet_hours(self, moment: datetime, time_zone: str | None) -> datetime:
        """Return ``moment``, or the end of the quiet hours into which it falls, in UTC.

        >>> times = SendTimes((21, 8))
        >>> str(times.after_quiet_hours(datetime(2026, 3, 10, 22, tzinfo=UTC), "America/New_York"))
        '2026-03-10 22:00:00+00:00'
        >>> str(times.after_quiet_hours(datetime(2026, 3, 10, 22, tzinfo=UTC), "Asia/Shanghai"))
        '2026-03-11 00:00:00+00:00'
        """
        begin, end = self.quiet_hours
        local = moment.astimezone(self._zone(time_zone))
        late = begin > end and local.hour >= begin  # the quiet hours end on the next day
        quiet = late or (local.hour < end if begin > end else begin <= local.hour < end)
        if not quiet:
            return moment
        return datetime.combine(local.date() + timedelta(days=late), time(end), local.tzinfo).astimezone(UTC)

    def _moment(self) -> datetime:
        return self.now or datetime.now(UTC)

    def _zone(self, name: str | None) -> ZoneInfo:
        try:
            return ZoneInfo(name or self.time_zone)
        except (KeyError, ValueError, OSError):  # not a zone of this machine
            return ZoneInfo(self.time_zone)
