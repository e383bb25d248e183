"""Hyper-parameters by hyperopt's tree-structured Parzen estimators, behind one function: ``searched``.

Another tuner takes its place by giving ``_Tuner``'s two methods. A search is deterministic for a seed and a number of
threads: as many points as there are threads are asked for together, and told together when all of them have ended.
"""

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import JobFailed
from churnwatch.core.intervals import DIGITS
from churnwatch.model.algorithms import Algorithm, Parameters
from churnwatch.settings import Settings

LEAST_GAIN = 1e-5  # of the loss: less is no better trial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The best hyper-parameters, those found by fitting included, what every trial gave, and why the search ended."""

    parameters: Parameters
    loss: float
    trials: list[dict[str, Any]]
    ended: str


@dataclass(frozen=True)
class Budget:
    """When a search ends: trials, minutes, trials in a row that were no better (None: never for that), trials at once."""

    evals: int
    minutes: float
    patience: int | None
    threads: int

    @staticmethod
    def of(settings: Settings, evals: int | None = None) -> "Budget":
        """The budget of model.yaml; ``evals``: another number of trials."""
        model = settings.model
        return Budget(evals or model.max_evals, model.max_minutes, model.patience, model.trial_threads)


class Kept:
    """Trials that an attempt which broke off left; ``trials`` (port ``models``) holds them as JSON by name."""

    def __init__(self, trials: Any, search: str) -> None:
        self._trials = trials
        self._search = search

    def name(self, parameters: Parameters) -> str:
        """The trial's name: search and hash of its parameters."""
        digest = sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
        return f"{self._search}-{digest[:16]}"

    def find(self, parameters: Parameters) -> dict[str, Any] | None:
        """What the trial gave; None where it never ended."""
        return self._trials.kept_trial(self.name(parameters))

    def keep(self, trial: Mapping[str, Any]) -> None:
        """Keeps what a trial gave."""
        self._trials.keep_trial(self.name(trial["parameters"]), trial)


def searched(sample: DataFrame, algorithm: Algorithm, budget: Budget, kept: Kept, settings: Settings) -> Tuned:
    """The best trial by loss on the later days of held-out users; ``sample``: cached rows of ``only_search``, with ``vector``.

    Trials that ``kept`` has are not fitted again. A trial that fails is a trial without a loss; raises JobFailed with the
    first error when all of them failed.
    """

    def trial(parameters: Parameters) -> dict[str, Any]:
        known = kept.find(parameters)
        if known is not None:
            return known
        made = _trial(sample, algorithm, parameters, settings)
        if "loss" in made:  # what failed, perhaps for a session that died, is tried again by the next attempt
            kept.keep(made)
        return made

    if budget.threads > 1:  # threads that Spark does not know would lose the job's group
        trial = inheritable_thread_target(sample.sparkSession)(trial)
    trials, ended = run(_Tuner(algorithm.space(settings), settings.model.seed, budget.evals), algorithm.typed, trial, budget)
    good = [one for one in trials if "loss" in one]
    if not good:
        raise JobFailed(
            f"all {len(trials)} trials of {algorithm.name}'s hyper-parameters failed; the first: {trials[0]['error']}; "
            "nothing was fitted and no row was written: mend that, or take the algorithm out of model.yaml"
        )
    best = min(good, key=lambda one: one["loss"])
    return Tuned({**best["parameters"], **best["found"]}, best["loss"], trials, ended)


def run(
    tuner: Any, typed: Callable[[Mapping[str, float]], Parameters], trial: Callable[[Parameters], dict[str, Any]], budget: Budget
) -> tuple[list[dict[str, Any]], str]:
    """Asks, tries and tells until the budget is spent; the trials in the order in which they were asked for, and why it
    ended. A driver thread a trial: Spark takes their jobs side by side."""
    began = monotonic()
    trials: list[dict[str, Any]] = []
    with ThreadPoolExecutor(budget.threads, thread_name_prefix="trial") as pool:
        while len(trials) < budget.evals:
            points = tuner.ask(min(budget.threads, budget.evals - len(trials)))
            parameters = [typed(point) for point in points]
            done = list(pool.map(trial, parameters)) if len(points) > 1 else [trial(parameters[0])]
            tuner.tell([one.get("loss") for one in done])
            trials += done
            if _stale(trials, budget.patience):
                return trials, f"no better trial among the last {budget.patience}"
            if monotonic() - began > budget.minutes * 60:
                return trials, f"{budget.minutes:g} minutes were over"
    return trials, f"{budget.evals} trials"


def _stale(trials: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether the last ``patience`` trials brought nothing; failed ones count."""
    if patience is None or len(trials) <= patience:
        return False
    losses = [one.get("loss", np.inf) for one in trials]
    return bool(min(losses[-patience:]) > min(losses[:-patience]) - LEAST_GAIN)


class _Tuner:
    """hyperopt, asked and told: it holds no objective and starts nothing."""

    def __init__(self, space: Mapping[str, Any], seed: int, evals: int) -> None:
        from hyperopt import Trials
        from hyperopt.base import Domain

        self._domain = Domain(None, dict(space), pass_expr_memo_ctrl=False)
        self._trials = Trials()
        self._chance = np.random.default_rng(seed)
        # the default waits for 20 random trials before it learns from any
        self._startup = max(3, evals // 3)
        self._asked: list[dict[str, Any]] = []

    def ask(self, points: int) -> list[dict[str, float]]:
        """The next points to try."""
        from hyperopt import tpe

        self._asked = []
        for trial_id in self._trials.new_trial_ids(points):
            seed = int(self._chance.integers(2**31 - 1))
            given = {"n_startup_jobs": self._startup, "verbose": False}
            self._asked += tpe.suggest([trial_id], self._domain, self._trials, seed, **given)  # one at a time is all it can
        return [{name: values[0] for name, values in doc["misc"]["vals"].items() if values} for doc in self._asked]

    def tell(self, losses: list[float | None]) -> None:
        """What the points gave; None: the trial failed."""
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        for doc, loss in zip(self._asked, losses, strict=True):
            doc["state"] = JOB_STATE_DONE
            doc["result"] = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        self._trials.insert_trial_docs(self._asked)
        self._trials.refresh()


def _trial(sample: DataFrame, algorithm: Algorithm, parameters: Parameters, settings: Settings) -> dict[str, Any]:
    try:
        rows = sample if algorithm.stops else sample.where(~F.col("fold"))
        model = algorithm.estimator(parameters, settings, True).fit(rows)
        loss = loss_of(model, algorithm, sample.where("fold"))
    except Exception as error:  # a search goes on without the point
        first = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("a trial of %s failed: %s", algorithm.name, first)
        return {"parameters": parameters, "error": first}
    found = algorithm.found(model)
    log.info("a trial of %s: loss %.4f, %s", algorithm.name, loss, {**parameters, **found})
    return {"parameters": parameters, "loss": loss, "found": found}


def loss_of(model: Any, algorithm: Algorithm, rows: DataFrame) -> float:
    """Mean log loss of the uncalibrated probabilities by weight, rounded; 1 - AUC where the margin is no log-odds.

    Raises ValueError where there are no rows.
    """
    scored = model.transform(rows.select("label", "weight", "vector"))
    if algorithm.log_odds is None:
        area = BinaryClassificationEvaluator(labelCol="label", weightCol="weight").evaluate(scored)
        return round(1.0 - float(area), DIGITS)
    margin = algorithm.log_odds()
    # log(1 + exp(m)) - y m, without overflow
    loss = F.greatest(margin, F.lit(0.0)) + F.log1p(F.exp(-F.abs(margin))) - F.col("label") * margin
    value = scored.agg(F.sum(F.col("weight") * loss) / F.sum("weight")).first()
    if value is None or value[0] is None:
        raise ValueError("no rows to judge hyper-parameters on")
    return round(float(value[0]), DIGITS)
