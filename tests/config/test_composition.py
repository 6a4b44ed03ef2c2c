"""Jobs are composed as Hydra's ``load_sweep_config`` composes them, in a hundredth of the time."""

import json

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from hw2exp.config.command_line import read
from hw2exp.config.composition import Composition
from hw2exp.config.hydra_session import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE
from hw2exp.config.job import put
from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import keys_of
from tests.tiers import first_slow

VALUES = [
    "3", "-7", "0", "1_000", "99999999999999999999", "0.5", "-.5", "1e-3", "1E+5", "inf", "nan",
    "true", "False", "null", "warn", "two words", "'1e3'", "'null'", '"say \\"no\\""', "'a: b, c'",
    "???", "'é'", "[]", "[30,41]", "[2.5,[a,null]]", "int(3.7)", "str(1e-3)", "{}", "{a:1,b:{c:x}}",
]  # fmt: skip

SOME = range(0, len(VALUES), 6)

LISTS = ("task.length", "task.t1", "task.t2", "executor.directives")
"""Keys of lists, which Hydra refuses to merge with a mapping."""

LAYERS = [
    {group: list(choices)[number % len(choices)] for group, choices in CHOICES.items()}
    for number in range(max(map(len, CHOICES.values())))
]
"""Every choice of every group, in as few configs as there can be."""


@pytest.fixture
def ways(tmp_path):
    """Two functions that compose a job's overrides: Hydra's, and ours."""
    with initialize_config_module(CONFIG_MODULE, **VERSION_BASE):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration(CONFIG_NAME, ["hydra.sweep.dir=x"], RunMode.MULTIRUN)

        def compose(lines):
            return loader.load_sweep_config(master, list(lines))

        def theirs(lines):
            config = compose(lines)
            with open_dict(config):
                del config["hydra"]
            return OmegaConf.to_container(config, resolve=True)

        composition = Composition(loader, compose)
        yield theirs, lambda lines: composition.job(lines, 0).plain


def as_text(config):
    """Tells 1 from 1.0 and true; nan from nothing."""
    return json.dumps(config, sort_keys=True)


def keys(layer):
    """Every key that can be set when these choices are made."""
    for group, name in layer.items():
        yield from keys_of(CHOICES[group][name], group)
    yield from (key for key in keys_of(TrainConfig) if key.split(".")[0] not in CHOICES)


def test_every_key_with_some_kinds_of_value(ways):
    """A part of the next test in the quick suite."""
    same_by_both_ways(ways, LAYERS[0], SOME)


@pytest.mark.parametrize(
    "layer", first_slow(*LAYERS[::-1]), ids=lambda layer: "-".join(layer.values())
)
def test_every_choice_and_key_with_every_kind_of_value(ways, layer):
    """Keys of earlier layers come again with some kinds of value: Hydra takes long over each."""
    earlier = {key for other in LAYERS[: LAYERS.index(layer)] for key in keys(other)}
    same_by_both_ways(ways, layer, range(len(VALUES)), earlier)
    if earlier:
        same_by_both_ways(ways, layer, SOME)


def same_by_both_ways(ways, layer, shifts, left_out=()):
    theirs, mine = ways
    choices = [f"{group}={name}" for group, name in layer.items()]
    assert as_text(mine(choices)) == as_text(theirs(choices))
    names = list(keys(layer))
    assert {"seed", "init.scale", "optimizer.lr", "resume"} < set(names)
    referred_to = "steps", "batch_size"
    free = [name for name in names if name not in {*referred_to, *left_out}]
    for shift in shifts if free else ():
        pairs = [(key, VALUES[(shift + n) % len(VALUES)]) for n, key in enumerate(free)]
        pairs = [(key, value) for key, value in pairs if key not in LISTS or value[0] != "{"]
        lines = [*choices, *(f"{key}={value}" for key, value in pairs)]
        if shift % 5 == 4:  # the way of configs that have to be resolved
            lines.append("++log_every=${batch_size}")
        assert as_text(mine(lines)) == as_text(theirs(lines)), lines


@pytest.mark.nightly
@pytest.mark.parametrize(
    "lines",
    [
        ["steps=5", "++steps=7"],
        ["++steps=7", "steps=5"],
        ["init.scale=2", "++init={scale:3}", "init.input_scale=4"],
        ["init={scale:3}", "init.scale=2"],
        ["init.scale=2", "init={scale:3}"],
        ["seed=${steps}", "steps=50"],
        ["steps=50", "seed=${steps}", "eval_every=${seed}"],
        ["seed=1", "seed=2"],
        ["task.length.0=31"],
        ["task.length=[3,4]", "task.length.0=2"],
        ["optimizer.lr=0.5", "optimizer=sgd"],
        ["~init.scale"],
        ["~clip", "seed=3"],
        ["+init.more=3", "init.more=4"],
        ["experiment=explosion_sgd", "optimizer.momentum=0.5", "clip=norm"],
    ],
)
def test_the_last_word_counts(ways, lines):
    theirs, mine = ways
    assert as_text(mine(lines)) == as_text(theirs(lines))


def test_a_job_leaves_the_others_as_they_are(ways):
    _, mine = ways
    before = mine(["seed=1"])
    text = as_text(before)
    mine(["seed=2", "init.scale=5", "task.length=[1,2]"])
    assert as_text(before) == text
    assert as_text(mine(["seed=1"])) == text


def test_putting_copies_the_path_only():
    plain = {"a": {"b": {"c": 1}, "d": {}}, "e": {}}
    after = put(plain, "a.b.c", 2)
    assert after == {"a": {"b": {"c": 2}, "d": {}}, "e": {}}
    assert plain["a"]["b"]["c"] == 1
    assert after["a"]["d"] is plain["a"]["d"]
    assert after["e"] is plain["e"]
    assert put({"a": 1}, "a.b", 2) == {"a": {"b": 2}}


def test_a_thousand_seeds_are_composed_at_once(monkeypatch):
    calls, base = [], Composition._base

    def counted(self, lines):
        calls.append(lines)
        return base(self, lines)

    monkeypatch.setattr(Composition, "_base", counted)
    for seeds in (20, 1000):  # the first fails soon, if each is composed by Hydra
        command = read(["-m", f"seed=range(0,{seeds})"])
        assert len(set(calls)) == 1  # Hydra composes each set of lines once, in 0.1 s
        assert len({id(job.base) for job in command.jobs}) == 1
    assert [job.config.seed for job in command.jobs] == list(range(1000))
