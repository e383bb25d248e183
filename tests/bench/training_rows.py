"""Rows of training: xgboost against the GBT, what the tuner costs, trials at once; real and simulated data on their last day."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from rows import Row

FIT_USERS = {False: 200_000, True: 2_000_000}
SEARCH_USERS = {False: 20_000, True: 200_000}
REAL = ("cdnow", "online_retail")
SIMULATED_USERS = {False: 3_000, True: 8_000}
SIMULATED_DAYS = 251  # as many as the demo trains on: three origins
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def boosting(measure: Callable[..., dict], sizes: list[int], full: bool) -> Iterator[Row]:
    """The final fit: 20 trees of depth 5 over 85 features."""
    if find_spec("xgboost") is None:
        print("xgboost is not installed, its rows are left out: pip install '.[xgboost]'")
        return
    users = FIT_USERS[full]
    found = measure.training("fits", users=users)
    world = f"{users:,} rows, 85 features"
    gbt, xgboost = found["gbt"], found["xgboost"]
    yield Row("final fit, xgboost against GBT, speed", world, gbt["seconds"] / xgboost["seconds"], "x", at_least=3)
    yield Row("final fit, AUC of xgboost less than GBT's by", world, gbt["auc"] - xgboost["auc"], "AUC", at_most=0.002)


def tuning(measure: Callable[..., dict], sizes: list[int], full: bool) -> Iterator[Row]:
    """The search: what it costs beside its trials, and the same trials two at once."""
    users = SEARCH_USERS[full]
    found = measure.training("search", users=users)
    world = f"8 trials, {users:,} rows"
    tuned = found["tuned"]
    yield Row("tuning, overhead a trial", world, (tuned["seconds"] - tuned["in_trials"]) / tuned["trials"], "s", at_most=0.1)
    speed = found["1"]["seconds"] / found["2"]["seconds"]
    yield Row("tuning, two trials at once against one, the same points", world, speed, "x", at_least=1.4)


def realdata(measure: Callable[..., dict], sizes: list[int], full: bool) -> Iterator[Row]:
    """The model against the best single column on the last cut-off: the difference's interval is not wholly below 0, of cdnow
    and of simulations the difference is above it."""
    for name in REAL:
        if not (DATA / name).is_dir():
            print(f"real data absent, its rows are left out: {DATA / name}")
            continue
        found = measure.training("realdata", name=name)
        yield from _cut_off(found, name, above=name == "cdnow")
    users = SIMULATED_USERS[full]
    found = measure.training("simulated", users=users, days=SIMULATED_DAYS)
    yield from _cut_off(found, f"simulated app of {users:,} users", above=True)


def _cut_off(found: dict, name: str, above: bool) -> Iterator[Row]:
    world = f"{name}, cut-off {found['cut_off']}"
    low, high = found["auc_minus_column_low"], found["auc_minus_column_high"]
    told = f"{found['column']} {found['column_auc']:.4f}; interval {low:+.4f} to {high:+.4f}"
    bar = 0.0 if above else -(high - found["auc_minus_column"])  # else an interval that reaches 0
    yield Row("AUC over the best column", world, found["auc_minus_column"], "AUC", at_least=bar, told=told)
    yield Row("AUC of the model", world, found["auc"], "AUC", at_least=0.5, told=f"{found['outcome']} by the gate")
    # the interval of the difference reaches 0
    minus = found["ours"] - found["lightgbm"]
    low, high = found["minus_low"], found["minus_high"]
    told = f"LightGBM {found['lightgbm']:.4f} with {found['lightgbm_trees']} trees; interval {low:+.4f} to {high:+.4f}"
    yield Row("AUC over LightGBM's on the same features", world, minus, "AUC", at_least=minus - high, told=told)


GROUPS = {group.__name__: group for group in (boosting, tuning, realdata)}
