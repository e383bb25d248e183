"""What the app's rules speak of is what worlds are made of: each of them can be planted."""

import re
from pathlib import Path

import pytest

from churnwatch.settings import load
from churnwatch.settings.names import features_with_measure
from churnwatch.settings.rule_columns import named_columns
from churnwatch.simulate.events import PAGES, SYMPTOMS, TYPES

SETTINGS = load(Path(__file__).resolve().parents[2] / "conf" / "local.yaml")
RULES = [rule for rule in SETTINGS.rules.rules if rule.scope == "user"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_world_has_the_events_and_items_that_a_rule_speaks_of(rule):
    made = {name.partition(":")[0] for symptoms in SYMPTOMS.values() for name in symptoms} | {*TYPES, "login"}
    of_feature = dict(features_with_measure(SETTINGS))
    measures = {of_feature[name] for name in named_columns(rule) if name in of_feature} & set(SETTINGS.measures.measures)
    for name in measures:
        where = SETTINGS.measures.measures[name].where or ""
        types = set(re.findall(r"'(\w+)'", re.sub(r"\b(item_id|properties)\b.*", "", where)))
        assert types and types <= made, f"{name} counts {types - made}"
        assert set(re.findall(r"item_id = '(\w+)'", where)) <= set(PAGES)
