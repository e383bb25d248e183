"""The parameters of a world. Days are numbers: day 1 is ``first_day``; days before it are 0, -1 and so on."""

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, timedelta
from math import cos, pi
from typing import Any

WEEK = (0.97, 0.96, 0.97, 0.99, 1.02, 1.08, 1.06)  # Monday .. Sunday
YEAR_SWING = 0.06  # more in winter, less in summer
BAD_DAY_SWING = (1.0, 0.98, 1.01, 0.99, 1.02, 1.0, 0.97, 1.01, 1.0, 0.99, 1.02)  # news and weather, period 11


@dataclass(frozen=True)
class Cause:
    """A planted cause of churn.

    ``weight``: share of users whose weak spot it is; ``fade``: share of activity lost at the end of the decline;
    ``symptom_share``: share of events that are symptoms at the end of the decline; ``save_share``: share of
    treated leavers who stay.
    """

    name: str
    weight: float
    fade: float
    symptom_share: float
    save_share: float


@dataclass(frozen=True)
class Wave:
    """A churn wave: ``share`` of the users of ``region`` leave within three days from day number ``day`` on."""

    day: int
    region: str
    share: float = 0.4


@dataclass(frozen=True)
class Run:
    """Days that one command wrote, and the last day whose actions it knew (None: it was given none)."""

    first: int
    last: int
    actions_until: int | None = None


CAUSES = (
    Cause("engagement", weight=0.34, fade=0.80, symptom_share=0.0, save_share=0.96),
    Cause("price", weight=0.20, fade=0.50, symptom_share=0.20, save_share=1.0),
    Cause("quality", weight=0.18, fade=0.50, symptom_share=0.22, save_share=0.90),
    Cause("service", weight=0.16, fade=0.50, symptom_share=0.18, save_share=0.98),
    Cause("competitor", weight=0.12, fade=0.55, symptom_share=0.20, save_share=0.80),
)
WAVES = (Wave(day=120, region="south"), Wave(day=260, region="west"))


@dataclass(frozen=True)
class World:
    """All parameters of a world; ``days`` is the last day number. What happens on a day depends on no later day.

    Shares lie in 0 .. 1, lengths are in days. Every row is a function of ``seed``, user, day and the actions of
    earlier days.
    """

    users: int = 8000
    days: int = 251
    seed: int = 7
    first_day: date = date(2025, 1, 6)
    start_share: float = 0.55  # users who joined before day 1; the others join over join_days
    join_days: int = 280
    mean_stay_days: float = 290.0
    first_stay_days: int = 5  # nobody leaves earlier
    trial_share: float = 0.10  # joiners who leave within the first three weeks
    decline_days: tuple[int, int] = (14, 35)
    sudden_share: float = 0.12  # leavers without a decline
    return_share: float = 0.06  # leavers who come back by themselves after one to three months
    scare_share: float = 0.15  # per 90 days: a decline that ends well
    pause_share: float = 0.20  # per 60 days: a holiday of 5 .. 18 days
    pace: tuple[float, float] = (0.15, 0.88)  # share of days on which a user is active
    events_a_day: float = 5.5  # of an active user
    bot_share: float = 0.001
    duplicate_share: float = 0.005
    late_share: float = 0.01
    broken_share: float = 0.012
    causes: tuple[Cause, ...] = CAUSES
    waves: tuple[Wave, ...] = WAVES
    win_back_days: int = 21  # treatment reaches users who left at most this many days ago
    reach_days: int = 45  # and users who would leave within this many days
    retained_days: int = 14  # days within which a treated user must be active to count as retained in the truth

    def __post_init__(self) -> None:
        faults = [
            f"{f.name} {value!r} is no share"
            for f in fields(self)
            if f.name.endswith("_share") and not 0 <= (value := getattr(self, f.name)) <= 1
        ]
        faults += [f"{name} must be at least 1" for name in ("users", "days") if getattr(self, name) < 1]
        faults += [f"wave's region {w.region!r} is none of {', '.join(REGIONS)}" for w in self.waves if w.region not in REGIONS]
        if self.broken_share >= 0.02:
            faults.append("broken_share must stay under 0.02")
        if faults:
            raise ValueError("; ".join(faults))

    def day(self, number: int) -> date:
        """Return the date of day ``number``."""
        return self.first_day + timedelta(days=number - 1)

    def number(self, day: date) -> int:
        """Return the number of ``day``: 1 is ``first_day``."""
        return (day - self.first_day).days + 1

    def seasons(self, first: int, last: int) -> list[float]:
        """Return the factor of the calendar on activity for days ``first`` .. ``last``: week, year and common ups and downs.

        Rounded, so that no library's cosine shows.
        """
        return [round(self._season(number), 4) for number in range(first, last + 1)]

    def _season(self, number: int) -> float:
        day = self.day(number)
        year = 1 + YEAR_SWING * cos(2 * pi * (day.timetuple().tm_yday - 15) / 365.25)
        return WEEK[day.weekday()] * year * BAD_DAY_SWING[number % len(BAD_DAY_SWING)]

    def to_json(self, runs: tuple[Run, ...] = ()) -> str:
        """Return the parameters and the runs so far as JSON text."""
        return json.dumps(
            {"world": asdict(self) | {"first_day": str(self.first_day)}, "runs": [asdict(r) for r in runs]}, indent=1
        )

    @staticmethod
    def from_json(text: str) -> "tuple[World, tuple[Run, ...]]":
        """Read what ``to_json`` wrote. Raises ValueError and TypeError for other text."""
        tree: dict[str, Any] = json.loads(text)
        knobs = tree["world"]
        pairs = {name: tuple(knobs[name]) for name in ("decline_days", "pace")}
        causes = tuple(Cause(**cause) for cause in knobs["causes"])
        waves = tuple(Wave(**wave) for wave in knobs["waves"])
        world = World(**knobs | pairs | {"first_day": date.fromisoformat(knobs["first_day"]), "causes": causes, "waves": waves})
        return world, tuple(Run(**run) for run in tree["runs"])

    def until(self, days: int) -> "World":
        """Return the same world up to day number ``days``."""
        return replace(self, days=days)


REGIONS = {"north": 0.30, "south": 0.22, "east": 0.20, "west": 0.16, "centre": 0.12}
PLANS = {"free": 0.55, "basic": 0.30, "premium": 0.15}
CHANNELS = {"ios": 0.38, "android": 0.44, "web": 0.18}
