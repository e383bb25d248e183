"""Search hyper-parameters with hyperopt's tree-structured Parzen estimators.

Another tuner can replace hyperopt: it needs the two methods of ``_Tuner``. A search is deterministic for a seed and a number
of threads, because it proposes as many points as there are threads at once and waits until all their trials have ended.
"""

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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

LEAST_GAIN = 1e-5  # a trial is better when its loss is lower by at least this

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchResult:
    """The best hyper-parameters, including those that fitting decided, their loss, every trial, and why the search ended."""

    parameters: Parameters
    loss: float
    trials: list[dict[str, Any]]
    ended: str


@dataclass(frozen=True)
class Budget:
    """When a search ends: after ``evals`` trials, after ``minutes``, or after ``patience`` trials in a row that were no better
    (None: no such limit). ``threads``: trials at once."""

    evals: int
    minutes: float
    patience: int | None
    threads: int

    @staticmethod
    def of(settings: Settings, evals: int | None = None) -> "Budget":
        """The budget of model.yaml; ``evals`` replaces its number of trials."""
        model = settings.model
        return Budget(evals or model.max_evals, model.max_minutes, model.patience, model.trial_threads)


class TrialStore:
    """Finished trials of one search, which a repeated attempt reuses; ``trials`` (port ``models``) stores them by name."""

    def __init__(self, trials: Any, search: str) -> None:
        self._trials = trials
        self._search = search

    def name(self, parameters: Parameters) -> str:
        """The trial's name: the search and a hash of the parameters."""
        digest = sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
        return f"{self._search}-{digest[:16]}"

    def find(self, parameters: Parameters) -> dict[str, Any] | None:
        """The stored trial; None where there is none."""
        return self._trials.stored_trial(self.name(parameters))

    def keep(self, trial: Mapping[str, Any]) -> None:
        """Store a finished trial."""
        self._trials.store_trial(self.name(trial["parameters"]), trial)


def search(sample: DataFrame, algorithm: Algorithm, budget: Budget, store: TrialStore, settings: Settings) -> SearchResult:
    """The best trial by loss on the validation fold. ``sample``: cached rows with ``label``, ``weight``, ``vector``, ``fold``.

    Trials in ``store`` are not fitted again. A failed trial has no loss; raises JobFailed with the first error when all of
    them failed.
    """

    def trial(parameters: Parameters) -> dict[str, Any]:
        known = store.find(parameters)
        if known is not None:
            return known
        made = _trial(sample, algorithm, parameters, settings)
        if "loss" in made:  # the next attempt repeats failed trials: the session may have died
            store.keep(made)
        return made

    if budget.threads > 1:  # plain threads would not inherit Spark's job group
        trial = inheritable_thread_target(sample.sparkSession)(trial)
    start = None if algorithm.start is None else algorithm.start(settings)
    tuner = _Tuner(algorithm.space(settings), settings.model.seed, budget.evals, start)
    trials, ended = run_trials(tuner, algorithm.typed, trial, budget)
    good = [one for one in trials if "loss" in one]
    if not good:
        raise JobFailed(
            f"all {len(trials)} trials of {algorithm.name}'s hyper-parameters failed; the first: {trials[0]['error']}; "
            "nothing was fitted and no row was written. Hint: correct the cause, or take the algorithm out of model.yaml"
        )
    best = min(good, key=lambda one: one["loss"])
    return SearchResult({**best["parameters"], **best["found"]}, best["loss"], trials, ended)


def count_iterations(rows: DataFrame, algorithm: Algorithm, result: SearchResult, settings: Settings) -> SearchResult:
    """``result`` with the number of iterations that is best on other ``rows`` (as ``search`` takes them): one fit more. The
    number of the search where this fit fails."""
    searched = {name: result.parameters[name] for name in algorithm.space(settings)}
    made = _trial(rows, algorithm, searched, settings)
    return replace(result, parameters={**searched, **made["found"]}) if "loss" in made else result


def run_trials(
    tuner: Any, typed: Callable[[Mapping[str, float]], Parameters], trial: Callable[[Parameters], dict[str, Any]], budget: Budget
) -> tuple[list[dict[str, Any]], str]:
    """Run trials until the budget is spent. Returns them in the order in which they were proposed, and why the search ended.

    Each trial of a round has a driver thread, so that Spark runs their jobs side by side.
    """
    began = monotonic()
    trials: list[dict[str, Any]] = []
    with ThreadPoolExecutor(budget.threads, thread_name_prefix="trial") as pool:
        while len(trials) < budget.evals:
            points = tuner.propose(min(budget.threads, budget.evals - len(trials)))
            parameters = [typed(point) for point in points]
            done = list(pool.map(trial, parameters)) if len(points) > 1 else [trial(parameters[0])]
            tuner.learn([one.get("loss") for one in done])
            trials += done
            if _no_progress(trials, budget.patience):
                return trials, f"no better trial among the last {budget.patience}"
            if monotonic() - began > budget.minutes * 60:
                return trials, f"{budget.minutes:g} minutes were over"
    return trials, f"{budget.evals} trials"


def _no_progress(trials: list[dict[str, Any]], patience: int | None) -> bool:
    """Whether none of the last ``patience`` trials, failed ones included, was better than all trials before them."""
    if patience is None or len(trials) <= patience:
        return False
    losses = [one.get("loss", np.inf) for one in trials]
    return bool(min(losses[-patience:]) > min(losses[:-patience]) - LEAST_GAIN)


class _Tuner:
    """hyperopt behind two methods: it proposes points and learns from losses; the trials run outside of it."""

    def __init__(self, space: Mapping[str, Any], seed: int, evals: int, start: Mapping[str, float] | None) -> None:
        from hyperopt import Trials
        from hyperopt.base import Domain

        self._domain = Domain(None, dict(space), pass_expr_memo_ctrl=False)
        self._trials = Trials()
        self._chance = np.random.default_rng(seed)
        # hyperopt's default begins with 20 random trials
        self._startup = max(3, evals // 3)
        self._start = start
        self._proposed: list[dict[str, Any]] = []

    def propose(self, points: int) -> list[dict[str, float]]:
        """The next points to try, at most ``points``; ``start`` is the first of all."""
        from hyperopt import tpe
        from hyperopt.fmin import generate_trial

        self._proposed = []
        for trial_id in self._trials.new_trial_ids(points):
            if self._start is not None:
                self._proposed.append(generate_trial(trial_id, self._start))
                self._start = None
                continue
            seed = int(self._chance.integers(2**31 - 1))
            options = {"n_startup_jobs": self._startup, "verbose": False}
            self._proposed += tpe.suggest([trial_id], self._domain, self._trials, seed, **options)  # it takes one id at a time
        return [{name: values[0] for name, values in doc["misc"]["vals"].items() if values} for doc in self._proposed]

    def learn(self, losses: list[float | None]) -> None:
        """Take the losses of the proposed points, in order; None where the trial failed."""
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        for doc, loss in zip(self._proposed, losses, strict=True):
            doc["state"] = JOB_STATE_DONE
            doc["result"] = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        self._trials.insert_trial_docs(self._proposed)
        self._trials.refresh()


def _trial(sample: DataFrame, algorithm: Algorithm, parameters: Parameters, settings: Settings) -> dict[str, Any]:
    try:
        rows = sample if algorithm.reads_fold else sample.where("NOT fold")
        model = algorithm.estimator(parameters, settings, True).fit(rows)
        found, loss = best_iteration(model, algorithm, sample.where("fold"))
    except Exception as error:  # one failed trial does not end the search
        first = (str(error).splitlines() or [type(error).__name__])[0]
        LOG.warning("a trial of %s failed: %s", algorithm.name, first)
        return {"parameters": parameters, "error": first}
    if algorithm.iterations is not None and found[algorithm.iterations] == settings.model.max_trees:
        LOG.info("a trial of %s was best with all of its model.max_trees trees: more may be better", algorithm.name)
    LOG.info("a trial of %s: loss %.4f, %s", algorithm.name, loss, {**parameters, **found})
    return {"parameters": parameters, "loss": loss, "found": found}


def best_iteration(model: Any, algorithm: Algorithm, fold: DataFrame) -> tuple[Parameters, float]:
    """The hyper-parameters that the fit decided, and their loss on the validation fold: boosting keeps the number of iterations
    with the least loss, and other algorithms have a loss alone.

    Raises ValueError where the fold has no rows.
    """
    if algorithm.losses is None or algorithm.iterations is None:
        return algorithm.found(model), loss_of(model, algorithm, fold)
    losses = np.round(algorithm.losses(model, fold), DIGITS)
    if not np.isfinite(losses).any():
        raise ValueError("the validation fold has no rows")
    best = int(np.nanargmin(losses))
    return {algorithm.iterations: best + 1}, float(losses[best])


def loss_of(model: Any, algorithm: Algorithm, rows: DataFrame) -> float:
    """Weighted mean log loss of the uncalibrated probabilities, rounded; 1 - AUC where the margin is no log-odds.

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
        raise ValueError("the validation fold has no rows")
    return round(float(value[0]), DIGITS)
