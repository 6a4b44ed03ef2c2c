import math

import pytest
import yaml
from omegaconf import OmegaConf

from hw2exp.sweeps.hydra_records import Template, inline, to_yaml

VALUES = [
    None, True, False, 0, -3, 2**70, 1e-5, 1e300, 0.1, -0.0, math.inf, -math.inf, "", "text",
    "two words", "1e3", "12", "0x1f", "null", "yes", "2026-11-23", "12:30", "a: b", "# c", "- d",
    "a, b]", "'", '"', "\\", "\n\t", " ", "é", "🙂", "\x7f\x85\u2028", "% @ ` & *", "x" * 300,
    [], [1, [2.5, "x"]], ["a, b", None],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_on_a_line_reads_back(value):
    for text in (f"a: {inline(value)}\n", f"- {inline(value)}\n"):
        assert text.count("\n") == 1
        (read,) = yaml.safe_load(text).values() if text[0] == "a" else yaml.safe_load(text)
        assert repr(read) == repr(value)
        (again,) = OmegaConf.create(text).values() if text[0] == "a" else OmegaConf.create(text)
        assert repr(again) == repr(value)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_text_of_yaml_is_omegaconfs(value):
    text = to_yaml({"a": value})
    (again,) = OmegaConf.create(text).values()
    assert repr(again) == repr(value)
    if str(value).isascii() and len(str(value)) < 80:  # libyaml folds and escapes otherwise
        assert text == OmegaConf.to_yaml({"a": value})


def test_a_template_is_the_text_with_gaps():
    values = {"a": {"b": 1, "c": "x"}, "d": [1, 2]}
    template = Template(values, ["a.b", "d"])
    filled = yaml.safe_load(template.fill({"a.b": "it's", "d": [3]}))
    assert filled == {"a": {"b": "it's", "c": "x"}, "d": [3]}
    assert list(filled) == ["a", "d"]
    assert Template(values, []).fill({}) == OmegaConf.to_yaml(values)
