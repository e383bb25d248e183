"""The expected maximum profit against its definition, integrated by brute force."""

import numpy as np
import pytest
from scipy.stats import beta

from churnwatch.model.profit import expected_maximum_profit
from churnwatch.settings.model import CampaignProfit

CONF = CampaignProfit(saved_cents=20_000, offer_cents=1_000, contact_cents=100, alpha=6, beta=14)


def by_integration(churned, others, conf):
    """The mean over a fine grid of gamma of the best cut's profit, cuts taken one by one: no hull, no Beta function."""
    n = churned.sum() + others.sum()
    hits = np.concatenate([[0], np.cumsum(churned[::-1])]) / n
    false = np.concatenate([[0], np.cumsum(others[::-1])]) / n
    gamma = (np.arange(200_000) + 0.5) / 200_000
    loss = conf.offer_cents + conf.contact_cents
    best = np.full(len(gamma), -np.inf)
    for hit, wrong in zip(hits, false, strict=True):
        best = np.maximum(best, (gamma * (conf.saved_cents - conf.offer_cents) - conf.contact_cents) * hit - loss * wrong)
    return float((best * beta.pdf(gamma, conf.alpha, conf.beta)).mean())


@pytest.mark.parametrize("conf", [CONF, CampaignProfit(saved_cents=3_000, offer_cents=900, contact_cents=50, alpha=2, beta=3)])
def test_the_sum_over_the_hull_is_the_integral(conf):
    rng = np.random.default_rng(5)
    # a curve with dents: bins in the wrong order, empty ones, one class alone
    churned = np.array([rng.integers(0, 9, 40), np.arange(40) % 7, np.r_[np.zeros(20), np.full(20, 3)]], dtype=float)
    others = np.array([rng.integers(0, 30, 40), np.arange(40)[::-1] % 11, np.r_[np.full(30, 5), np.zeros(10)]], dtype=float)
    found = expected_maximum_profit(churned, others, conf)["empc_cents"]
    expected = [by_integration(one, other, conf) for one, other in zip(churned, others, strict=True)]
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_perfect_ranking_by_hand():
    # 10 of 100 churn and stand alone on top: all of them are contacted unless so few take it that contact is lost
    churned, others = np.array([[0.0, 10.0]]), np.array([[90.0, 0.0]])
    free = CampaignProfit(saved_cents=20_000, offer_cents=1_000, contact_cents=0, alpha=6, beta=14)
    found = expected_maximum_profit(churned, others, free)
    # mean share that takes it 0.3, 19,000 earned of each: 0.1 x 0.3 x 19,000 a user of the base, above it nobody is worth it
    assert found["empc_cents"][0] == pytest.approx(570, rel=1e-3)
    assert found["empc_share"][0] == pytest.approx(0.1, rel=2e-2)


def test_nobody_to_save_earns_nothing():
    found = expected_maximum_profit(np.zeros((1, 3)), np.ones((1, 3)), CONF)
    assert (found["empc_cents"][0], found["empc_share"][0]) == (0.0, 0.0)
