"""500 bad inputs made from the schema: each refused with its key, its value and what is allowed."""

import random
import re
from difflib import get_close_matches

import pytest

from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import Init, Spikes, TrainConfig
from hw2exp.config.validation import keys_of
from hw2exp.system.problems import show
from hw2exp.train import main
from tests.tiers import first_slow

NUMBER = 500
HINT = re.compile(r"must be |allowed: |did you mean |belongs to |needs |at most ")
SECTIONS = {"init": Init, "spikes": Spikes}
JUNK = {
    "integer": [
        "1.5",
        "true",
        "null",
        "[]",
        "[1]",
        "{a:1}",
        "x",
        "''",
        "nan",
        "-inf",
        "0x1",
        "1e3",
    ],
    "number": ["null", "true", "[1.0]", "{a:1}", "fast", "''", "nan", "inf", "-inf"],
    "boolean": ["1.5", "null", "[true]", "maybe", "''", "2", "{a:true}"],
    "string": ["7", "null", "[adam]", "no-such-word", "1.5", "true"],
    "array": ["null", "3", "[]", "[1]", "[1,2,3]", "[1.5,2]", "[a,b]", "[5,5]", "[9,2]", "x"],
    "texts": ["1", "x", "true", "null", "[1]", "{a:1}"],
}
"""Values that are wrong for every knob of a kind, whatever its limits."""


def knobs():
    """Every knob: the choice that has it, its dotted key, and its JSON schema."""
    whole = TrainConfig.model_json_schema()["properties"]
    for name, about in whole.items():
        if "type" in about and name != "resume":
            yield [], name, about
    for section, schema in SECTIONS.items():
        for name, about in schema.model_json_schema()["properties"].items():
            yield [], f"{section}.{name}", about
    for group, choices in CHOICES.items():
        for choice, schema in choices.items():
            for name, about in schema.model_json_schema()["properties"].items():
                free = about.get("type") == "string" and not {"enum", "pattern"} & about.keys()
                if name != "name" and "type" in about and not free:  # any text is a right one
                    yield [f"{group}={choice}"], f"{group}.{name}", about


KNOBS = list(knobs())
KEYS = {
    *keys_of(TrainConfig), *CHOICES, "experiment",
    *(key for g, choices in CHOICES.items() for s in choices.values() for key in keys_of(s, g)),
}  # fmt: skip


def beyond(about, draw):
    """A value outside of a knob's limits, and its distance from them."""
    far = draw.choice([1, 7, 1000, 10**9])
    low, high = about.get("minimum"), about.get("maximum")
    values = [low - far] if low is not None else []
    values += [high + far] if high is not None else []
    values += (
        [about["exclusiveMinimum"] - draw.choice([0, far])] if "exclusiveMinimum" in about else []
    )
    values += (
        [about["exclusiveMaximum"] + draw.choice([0, far])] if "exclusiveMaximum" in about else []
    )
    return draw.choice(values) if values else None


def misspelled(word, taken, draw):
    """A word with a letter lost, doubled, swapped or changed."""
    while True:
        place = draw.randrange(len(word) - 1)
        before, here, after = word[:place], word[place], word[place + 1 :]
        changed = draw.choice(
            [before + after, before + here + here + after, before + after[0] + here + after[1:],
             before + draw.choice("abcdxyz") + after]
        )  # fmt: skip
        if changed not in taken and changed.strip("._") == changed and ".." not in changed:
            return changed


def wrong_value(draw):
    chosen, key, about = draw.choice(KNOBS)
    value = beyond(about, draw) if draw.random() < 0.5 else None
    junk = JUNK["texts" if about.get("items") == {"type": "string"} else about["type"]]
    text = draw.choice(junk) if value is None else str(value)
    return chosen, f"{key}={text}", key


def wrong_key(draw):
    key = misspelled(draw.choice(sorted(KEYS - {"experiment"})), KEYS, draw)
    return [], f"{key}={draw.choice(['1', 'x', 'true', '0.5'])}", key


def wrong_choice(draw):
    group = draw.choice(sorted(CHOICES))
    name = misspelled(draw.choice(sorted(CHOICES[group])), CHOICES[group], draw)
    return [], f"{group}={name}", f"{group}={name}"


def key_of_another_choice(draw):
    group = draw.choice(["model", "optimizer", "clip", "norm", "schedule"])
    choices = CHOICES[group]
    chosen = draw.choice(sorted(choices))
    own = set(choices[chosen].model_fields)
    others = {name for schema in choices.values() for name in schema.model_fields} - own
    if not others:
        return wrong_key(draw)
    key = f"{group}.{draw.choice(sorted(others))}"
    return [f"{group}={chosen}"], f"{key}=1", key


def swept(draw):
    """One job of many is wrong."""
    chosen, line, key = wrong_value(draw)
    name, _, value = line.partition("=")
    if value in ("[]", "''") or value[0] in "[{":
        return chosen, line, key
    return ["-m", *chosen, "seed=1,2"], f"{name}={value}", key


KINDS = [
    wrong_value,
    wrong_value,
    wrong_value,
    wrong_key,
    wrong_choice,
    key_of_another_choice,
    swept,
]


def make(number):
    """An input with one or two mistakes in it: the words, and what each mistake must be told as."""
    draw = random.Random(number)
    words, told = [], []
    for kind in draw.sample(KINDS, draw.choice([1, 1, 2])):
        chosen, line, key = kind(draw)
        groups = {word.split("=")[0] for word in [*words, *chosen]}
        if len(groups) < len(words) + len(chosen) or line.split("=")[0].split(".")[0] in groups - {
            word.split("=")[0] for word in chosen
        }:
            continue  # two choices of a group hide each other
        words, told = [*chosen, *words, line], [*told, (line, key)]
    return sorted(words, key=lambda word: word != "-m"), told


def told_in(line, key, text):
    """Whether a message names the key and the value."""
    value = line.partition("=")[2]
    read = {"''": "", "1e3": 1000.0}.get(value, value)
    return line in text or f"{key}={show(read)}" in text


BLOCKS = [0, *first_slow(*range(1, 10), slow=0)]


@pytest.mark.parametrize("block", BLOCKS)
def test_generated_input(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in range(block * NUMBER // 10, (block + 1) * NUMBER // 10):
        words, told = make(number)
        assert told, number
        status = main(words)
        captured = capsys.readouterr()
        where = (number, words, captured.err)
        assert (status, captured.out, captured.err.count("\n")) == (2, "", 1), where
        assert captured.err.startswith("hw2exp: "), where
        assert HINT.search(captured.err), where
        for line, key in told:
            assert told_in(line, key, captured.err), where
    assert list(tmp_path.iterdir()) == []


def test_a_misspelled_key_is_told_the_one_that_was_meant(tmp_path, monkeypatch, capsys):
    """One letter is wrong: wherever one key alone is close, it is named."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(7)
    for _ in range(60):
        right = draw.choice(keys_of(TrainConfig))
        if "." in right or right in CHOICES or len(right) < 5:
            continue
        wrong = misspelled(right, KEYS, draw)
        if get_close_matches(wrong, KEYS, n=1, cutoff=0.75) != [right]:
            continue
        assert main([f"{wrong}=1"]) == 2
        assert f"did you mean {right}?" in capsys.readouterr().err
