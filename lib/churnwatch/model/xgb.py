"""xgboost's Spark estimator (the extra ``[xgboost]``), and its trees as nodes for ``trees.to_text``.

xgboost rounds a value to float32 and sends it left when it is < the threshold; the text compares doubles with <=. A double x
goes left exactly when x <= the greatest double that float32 rounds to a number below the threshold.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from churnwatch.core import Refused
from churnwatch.model import trees
from churnwatch.settings import Settings

WHOLE = frozenset({"max_depth", "min_child_weight"})


def estimator_class() -> Any:
    """SparkXGBClassifier; raises Refused where xgboost is not installed."""
    try:
        from xgboost.spark import SparkXGBClassifier
    except ImportError as error:
        raise Refused(
            "model.yaml names xgboost, which is not installed: pip install 'churnwatch[xgboost]' on the driver and on the "
            "executors, or take it out of algorithms"
        ) from error
    return SparkXGBClassifier


def estimator(parameters: Mapping[str, Any], settings: Settings, searching: bool) -> Any:
    """The estimator; one xgboost worker, because the trees depend on their number."""
    grown = {"n_estimators": settings.model.max_trees, **parameters}
    # no round of a trial is saved: the best number of trees is that of all rounds, as for Spark's own boosting
    stopping = {"validation_indicator_col": "fold", "early_stopping_rounds": settings.model.max_trees} if searching else {}
    return estimator_class()(
        features_col="vector",
        label_col="label",
        weight_col="weight",
        num_workers=1,
        seed=settings.model.seed,
        tree_method="hist",
        eval_metric="logloss",
        **grown,
        **stopping,
    )


def whole_number(name: str, least: int, greatest: int) -> Any:
    """A whole number from ``least`` to ``greatest``, which may be equal, for the search."""
    from hyperopt import hp

    return hp.quniform(name, least - 0.49, greatest + 0.49, 1)


def space(settings: Settings) -> dict[str, Any]:
    """The search space: depth, learning rate, share of rows a tree, least weight of a leaf."""
    from hyperopt import hp

    return {
        "max_depth": whole_number("max_depth", min(2, settings.model.max_depth), settings.model.max_depth),
        "learning_rate": hp.loguniform("learning_rate", -3.5, -1.2),
        "subsample": hp.uniform("subsample", 0.5, 1.0),
        "min_child_weight": hp.qloguniform("min_child_weight", 0.7, 4.0, 1),
    }


def start_step(most_trees: int) -> float:
    """The step of a search's first trial: 0.1, longer where trees are few, at most 0.2.

    >>> start_step(100), start_step(30), start_step(10)
    (0.1, 0.15, 0.2)
    """
    return min(0.2, max(0.1, 4.5 / most_trees))


def start(settings: Settings) -> dict[str, float]:
    """The point of the first trial."""
    step = start_step(settings.model.max_trees)
    return {"max_depth": min(5, settings.model.max_depth), "learning_rate": step, "subsample": 0.8, "min_child_weight": 5}


def found(model: Any) -> dict[str, Any]:
    """The number of trees with the least loss on the validation fold."""
    return {"n_estimators": int(model.get_booster().best_iteration) + 1}


def text(booster: Any, names: Sequence[str]) -> str:
    """LightGBM's text of an xgboost model over the features ``names``; its margin is xgboost's within float32 rounding."""
    dumped = [json.loads(tree) for tree in booster.get_dump(dump_format="json", with_stats=True)]
    nodes = [[_base(booster)], *(_nodes(tree) for tree in dumped)]
    # weight 0.5, because the text multiplies leaves by 2 x weight
    return trees.to_text([(0.5, one) for one in nodes], names, range(len(names)))


def _base(booster: Any) -> dict[str, Any]:
    """The base score as a tree of one leaf; xgboost stores it as a probability."""
    stored = json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]
    share = float(stored.strip("[]"))
    return _node(0, float(np.log(share / (1 - share))), 1.0)


def _node(node_id: int, prediction: float, count: float) -> dict[str, Any]:
    leaf = {"gain": 0.0, "left": -1, "right": -1, "feature": -1, "threshold": 0.0}
    return {"id": node_id, "prediction": prediction, "count": count, **leaf}


def _nodes(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tree's nodes; an inner node predicts the mean of its children, weighted by cover."""
    if "leaf" in tree:
        # covers are sums of hessians; rounded, because the text holds whole counts, and children must add up to their parent
        return [_node(tree["nodeid"], float(np.float32(tree["leaf"])), float(max(1, round(tree["cover"]))))]
    by_id = {child["nodeid"]: _nodes(child) for child in tree["children"]}
    left, right = (by_id[tree[side]] for side in ("yes", "no"))
    weights = [part[0]["count"] for part in (left, right)]
    mean = float(np.average([left[0]["prediction"], right[0]["prediction"]], weights=weights))
    node = _node(tree["nodeid"], mean, sum(weights))
    node |= {
        "gain": float(tree["gain"]),
        "left": tree["yes"],
        "right": tree["no"],
        "feature": int(str(tree["split"]).removeprefix("f")),
        "threshold": float32_bound(float(tree["split_condition"])),
    }
    return [node, *left, *right]


def float32_bound(threshold: float) -> float:
    """The greatest double that float32 rounds to a number below ``threshold``: float32(x) < threshold exactly when x <= it."""
    bound = np.float32(threshold)
    below = np.nextafter(bound, np.float32(-np.inf))
    middle = (float(below) + float(bound)) / 2  # exact: both have 24 bits
    # float32 rounds the middle to the even neighbour
    return middle if np.float32(middle) < bound else float(np.nextafter(middle, -np.inf))
