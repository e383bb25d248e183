"""Read the trees of a Spark model: Spark's own files are the only place that holds them whole."""

from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession

from churnwatch.core import JobFailed

Tree = tuple[float, list[dict[str, Any]]]


def read_trees(spark: SparkSession, model: Any, scratch: str) -> list[Tree]:
    """(weight, nodes) of each tree of an ensemble, or of a single tree; saves the model in a folder under ``scratch`` that is
    deleted afterwards.

    Leaves have ``left`` -1; ``classes``: rows of each class in the node, of trees that classify. Raises JobFailed for trees
    that split on categories.
    """
    folder = f"{scratch}/trees-{uuid4().hex}"
    try:
        model.write().overwrite().save(folder)
        if not hasattr(type(model), "trees"):
            data = spark.read.parquet(f"{folder}/data").collect()
            return [(1.0, sorted(map(_node, data), key=lambda n: n["id"]))]
        # column names differ between Spark's versions: tree, its metadata, its weight
        weights = {row[0]: float(row[2]) for row in spark.read.parquet(f"{folder}/treesMetadata").collect()}
        data = spark.read.parquet(f"{folder}/data").select("treeID", "nodeData.*").collect()
    finally:
        delete_folder(spark, folder)
    trees: dict[int, list[dict[str, Any]]] = {tree: [] for tree in sorted(weights)}
    for node in data:
        trees[node["treeID"]].append(_node(node))
    return [(weights[tree], sorted(nodes, key=lambda n: n["id"])) for tree, nodes in trees.items()]


def _node(node: Any) -> dict[str, Any]:
    split = node["split"]
    inner = node["leftChild"] >= 0
    if inner and split["numCategories"] != -1:
        raise JobFailed(f"the trees split on categories (feature {split['featureIndex']}); the model text holds numbers only")
    return {
        "id": node["id"],
        "prediction": float(node["prediction"]),
        "classes": [float(rows) for rows in node["impurityStats"]],
        "count": int(node["rawCount"]),
        "gain": float(node["gain"]),
        "left": int(node["leftChild"]),
        "right": int(node["rightChild"]),
        "feature": int(split["featureIndex"]) if inner else -1,
        "threshold": float(split["leftCategoriesOrThreshold"][0]) if inner else 0.0,
    }


def delete_folder(spark: SparkSession, folder: str) -> None:
    """Delete a folder on the file system on which Spark created it."""
    path = spark._jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]
    path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()).delete(path, True)
