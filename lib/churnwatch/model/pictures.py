"""Draw the curves of model_runs: ROC, precision-recall, lift, calibration."""

from collections.abc import Mapping
from typing import Any

SIZE = 320  # pixels
LINE = {"type": "line", "color": "#14508c"}
CHANCE = {"type": "line", "color": "#777777", "strokeDash": [4, 4]}
SCALE = {"domain": [0, 1]}


def draw_curves(curves: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG pictures by file name."""
    import vl_convert

    return {name: vl_convert.vegalite_to_png(vl_spec=spec, scale=2) for name, spec in _specs(curves).items()}


def _specs(curves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    base = curves["precision_recall"][-1][1] if curves["precision_recall"] else 0.0
    bins = [one for one in curves["calibration"] if one["rows"] > 0]
    dots = [
        {"x": one["predicted"], "y": one["observed"], "low": one["observed_low"], "high": one["observed_high"]} for one in bins
    ]
    most = max([one["high"] for one in dots] + [one["x"] for one in dots], default=1.0)
    bars = {"mark": {"type": "rule", "color": "#14508c"}, "encoding": {"y": {"field": "low"}, "y2": {"field": "high"}}}
    return {
        "roc.png": _layered(
            "ROC, test span",
            ("others contacted", "churners contacted"),
            [_line(curves["roc"], LINE), _line([[0, 0], [1, 1]], CHANCE)],
        ),
        "precision_recall.png": _layered(
            "Precision and recall, test span",
            ("recall", "precision"),
            [_line(curves["precision_recall"], LINE), _line([[0, base], [1, base]], CHANCE)],
        ),
        "lift.png": _layered(
            "Lift, test span",
            ("share of users, riskiest first", "times the base rate"),
            [_line(curves["lift"], LINE), _line([[0, 1], [1, 1]], CHANCE)],
            y={},
        ),
        "calibration.png": _layered(
            "Calibration, test span",
            ("predicted churn", "observed churn, 95 % interval"),
            [
                {"data": {"values": dots}, "mark": {"type": "point", "filled": True, "color": "#14508c"}},
                {"data": {"values": dots}, **bars},
                _line([[0, 0], [most, most]], CHANCE),
            ],
            x={},
            y={},
        ),
    }


def _line(points: list[Any], mark: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": {"values": [{"x": x, "y": y} for x, y in points]}, "mark": dict(mark)}


def _layered(
    title: str,
    axes: tuple[str, str],
    layers: list[dict[str, Any]],
    x: Mapping[str, Any] = SCALE,
    y: Mapping[str, Any] = SCALE,
) -> dict[str, Any]:
    encoding = {
        "x": {"field": "x", "type": "quantitative", "title": axes[0], "scale": dict(x)},
        "y": {"field": "y", "type": "quantitative", "title": axes[1], "scale": dict(y)},
        "order": {"field": "x", "type": "quantitative"},
    }
    common = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "width": SIZE, "height": SIZE, "background": "white"}
    return {**common, "title": title, "encoding": encoding, "layer": layers}
