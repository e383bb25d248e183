"""The detector of sudden falls on simulated series: no alarm without a wave, a quick one with it, and its explanation."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from churnwatch.activity import detect_falls, fall_detector
from fallworld import trend, verdicts

DAYS = 730
SIZES = (50, 300, 5_000, 2_000_000)
OVERDISPERSION = 0.03  # logits by which a week swings
DRIFT = 0.003  # logits a day


def world(seed, days=DAYS):
    """Two years without a wave: per group active users, users who came back, and their true share.

    Seasons of the week and the year, a drift, swings that last a week as those of a 7-day share do, binomial chance.
    """
    chance, day = np.random.default_rng(seed), np.arange(days)
    for size in SIZES:
        logits = chance.uniform(-1, 1.2) + chance.normal(0, 0.03, 7)[day % 7]
        logits = logits + chance.uniform(0.1, 0.35) * np.sin(2 * np.pi * (day - chance.uniform(0, 365)) / 365.25)
        logits = logits + np.cumsum(chance.normal(0, DRIFT, days))
        logits = logits + np.convolve(chance.normal(0, OVERDISPERSION * np.sqrt(7), days + 6), np.ones(7) / 7, "valid")
        share = fall_detector.expit(logits)
        active = np.floor(size * np.exp(0.2 * np.sin(2 * np.pi * day / 365.25 + 1) + 0.0005 * day))
        swing = np.convolve(chance.normal(size=days + 6), np.ones(7) / np.sqrt(7), "valid")
        came_back = np.clip(np.round(active * share + swing * np.sqrt(active * share * (1 - share))), 0, active)
        yield active, came_back, share


def alarms(active, came_back, at):
    """Return the days of ``at`` on which the shipped rule warns."""
    expected, z = fall_detector.expected_and_fall(active, came_back, at)
    rare = np.array([bool(np.isfinite(v)) and fall_detector.alarms_a_year(v, len(SIZES)) < 0.05 for v in z])
    return at[rare & (came_back[at] / active[at] < expected - 0.02)]


def with_cool_down(days, pause=7):
    """Return the days that remain when each warning is followed by a pause."""
    kept = []
    for day in days:
        if not kept or day - kept[-1] > pause:
            kept.append(day)
    return kept


def test_two_years_without_a_wave_give_at_most_one_false_alarm_a_year_and_group():
    per_year = np.array(
        [
            [len(with_cool_down(alarms(active, came_back, np.arange(DAYS)))) / 2 for active, came_back, _ in world(seed)]
            for seed in range(20)
        ]
    )
    assert per_year.max() <= 1 and per_year.mean() <= 0.1


@pytest.mark.parametrize("left", [0.3, 0.5])
def test_a_wave_is_found_within_two_days_of_being_visible(left):
    start, delays = 600, []
    gone = left * np.clip(np.arange(DAYS) - start + 1, 0, 7) / 7  # a share over 7 days shows it little by little
    for seed in range(20):
        for active, came_back, share in world(seed):
            variance = share * (1 - share)
            noise = np.sqrt(variance / active + (variance * OVERDISPERSION) ** 2 + (variance * DRIFT) ** 2 * 14)
            # days on which the fall is 6 standard errors of the true series; one that shows weeks later is not sudden
            visible = start + np.flatnonzero((share * gone > 6 * noise)[start : start + 14])
            if len(visible):
                found = alarms(active, np.round(came_back * (1 - gone)), np.arange(start, start + 20))
                delays.append((found[0] if len(found) else 10_000) - visible[0])
    assert len(delays) >= 40
    assert np.mean(np.array(delays) <= 2) >= 0.95


def test_only_the_past_decides_about_a_day():
    active, came_back, _ = next(iter(world(3)))
    at = np.arange(500, 520)
    whole = fall_detector.expected_and_fall(active, came_back, at)
    cut = fall_detector.expected_and_fall(active[:520], came_back[:520], at)
    for all_days, until in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(all_days, until)


def test_a_season_that_comes_every_year_is_expected_the_second_time():
    active = np.full(DAYS, 100_000.0)
    share = np.full(DAYS, 0.5)
    for year in (300, 664):  # ten days in which people are on holiday
        share[year : year + 10] = 0.4
    first, second = (fall_detector.expected_and_fall(active, np.round(active * share), np.array([day])) for day in (305, 669))
    assert first[1][0] > 6 and first[0][0] == pytest.approx(0.5, abs=0.01)
    assert second[1][0] < 2 and second[0][0] == pytest.approx(0.4, abs=0.01)


def test_small_groups_need_a_larger_fall_and_a_short_past_gives_no_z():
    def z(size, now, days=400):
        chance = np.random.default_rng(5)
        came_back = chance.binomial(size, 0.5, days).astype(float)
        came_back[-1] = size * now
        return fall_detector.expected_and_fall(np.full(days, float(size)), came_back, np.array([days - 1]))[1][0]

    assert z(20, 0.3) < 2 < 5 < z(2_000, 0.4)
    assert np.isnan(z(2_000, 0.1, days=40)) and np.isfinite(z(2_000, 0.1, days=60))


def test_a_day_without_a_row_is_no_fall():
    active, came_back, _ = (values.copy() for values in list(world(1))[2])
    active[300:303] = came_back[300:303] = np.nan
    _, z = fall_detector.expected_and_fall(active, came_back, np.arange(298, 330))
    assert np.isnan(z[2:5]).all() and np.isfinite(np.delete(z, [2, 3, 4])).all() and np.nanmax(z) < 4


def test_the_chance_of_an_alarm_is_counted_over_all_groups_and_days():
    # one-sided 0.1 %: 3.0902 standard errors
    assert fall_detector.alarms_a_year(3.0902, 1) == pytest.approx(0.365, rel=1e-3)
    assert fall_detector.alarms_a_year(5, 100) == pytest.approx(100 * fall_detector.alarms_a_year(5, 1))
    assert fall_detector.alarms_a_year(0, 3) == 1.0
    # Student's t 2.228 with 10 degrees is as rare as 1.96 (two-sided 5 %)
    assert fall_detector._as_normal(np.array([2.228]), np.array([10.0]))[0] == pytest.approx(1.96, abs=0.02)


def test_rate_and_mix_add_up_to_the_change():
    weight, usual_weight = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.3, 0.1])
    share, usual = np.array([0.6, 0.2, 0.4]), np.array([0.6, 0.5, 0.4])
    rate, mix = fall_detector.rate_and_mix(weight, share, usual_weight, usual)
    assert rate.sum() + mix.sum() == pytest.approx(weight @ share - usual_weight @ usual)
    # only the second group's rate changed; the others' changes are of mix alone
    assert rate == pytest.approx([0, -0.09, 0]) and mix[0] != 0 and mix[1] == pytest.approx(0)


def test_the_segment_that_explains_the_fall_is_named_with_rate_and_mix():
    found = verdicts(trend(200, fall=0.3))
    assert {group for group, row in found.items() if row["fall_p"] < 0.05} >= {("all", "all"), ("region", "north")}
    assert found["region", "south"]["fall_p"] == 1.0
    because = found["all", "all"]["fall_because"]
    assert because == found["region", "north"]["fall_because"] and because.startswith("region=north ")
    assert "mix +0.000" in because or "mix -0.000" in because
    assert found["all", "all"]["expected_share"] == pytest.approx(0.6, abs=0.01)


def test_a_fall_of_all_groups_names_no_segment():
    given = trend(200, fall=0.0)
    last = max(row["day"] for row in given)
    for row in given:
        if row["day"] == last:
            row["came_back"] = int(row["came_back"] * 0.7)
    assert verdicts(given)["all", "all"]["fall_because"] == "no segment stands out: it falls everywhere alike"


def test_falls_are_detected_on_the_newest_day_of_every_group():
    given = trend(100, fall=0.3)
    gone = [row | {"value": "closed shop", "day": row["day"] - timedelta(days=9)} for row in given if row["value"] == "north"]
    table = pa.Table.from_pylist(given + gone)
    assert {(row["segment"], row["value"]): row for row in detect_falls(table)} == verdicts(given)
    assert detect_falls(table.slice(0, 0)) == []
