"""Choices of one's own: those of docs/examples, by each command, and in a fleet."""

import ast
import html
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import polars
import pytest
import torch

import hw2exp
from hw2exp.config import registry
from hw2exp.config.command_line import read
from hw2exp.config.doors import register_cell, register_clip, register_task
from hw2exp.diagnostics.metrics.protocol import Step
from hw2exp.diagnostics.metrics.spectrum import Spectrum
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.models.cell import Cell
from hw2exp.optim.clipping.protocol import Clip
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.tasks.task import Task
from hw2exp.train import main
from tests.config.own import CHOSEN, EXAMPLES, SHORT


def command(*words, cwd, path=EXAMPLES):
    """Run a command of the package in a process of its own."""
    program = [sys.executable, "-m", *words]
    environment = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run(program, cwd=cwd, env=environment, capture_output=True, text=True)


def configs(compose, *more):
    """Three configs that differ in every knob of data."""
    rows = [
        ("1", "0.01", "0.9", "0.5", "0.0", "0.5"),
        ("2", "0.03", "0.5", "0.01", "0.3", "0.0"),
        ("3", "0.001", "0.0", "10.0", "1.0", "1.0"),
    ]
    keys = ("seed", "optimizer.lr", "optimizer.beta1", "clip.max_norm", "regularizer.share",
            "schedule.end")  # fmt: skip
    words = [[f"{key}={value}" for key, value in zip(keys, row, strict=True)] for row in rows]
    return [compose(*CHOSEN, *SHORT, *own, *more) for own in words]


def test_each_example_takes_at_most_30_lines():
    parsed = ast.parse((EXAMPLES / "my_choices.py").read_text(encoding="utf-8"))
    classes = [node for node in parsed.body if isinstance(node, ast.ClassDef)]
    choices = [node for node in classes if node.decorator_list]
    assert len(choices) == len(CHOSEN)
    lines = {node.name: node.end_lineno - node.decorator_list[0].lineno for node in choices}
    (of_pass,) = (node for node in classes if node not in choices)
    lines["RMSNorm"] += of_pass.end_lineno - of_pass.lineno
    assert max(lines.values()) < 30


def test_a_replica_of_own_choices_is_the_same_alone_and_in_a_fleet(own, compose):
    whole = Fleet(configs(compose))
    train(whole, [])
    for row, config in enumerate(configs(compose)):
        alone = Fleet([config])
        train(alone, [])
        for name, tensor in alone.outcome.tensors().items():
            assert torch.equal(tensor[0], whole.outcome.tensors()[name][row]), name
    assert whole.config.model.name == "my_mingru"
    assert {*whole.outcome.optimizer} == {*whole.params}
    assert not torch.equal(whole.outcome.params[0], whole.outcome.params[1])


@pytest.mark.parametrize("optimizer", ["my_lion", "sgd"])
def test_a_step_is_what_the_classes_say(own, compose, optimizer):
    """Against torch's label smoothing, and the rules of clip and optimizer one tensor at a time."""
    words = [*CHOSEN, *SHORT, f"optimizer={optimizer}", "optimizer.lr=0.01"]
    plain = ["optimizer.momentum=0"] if optimizer == "sgd" else []
    config = compose(*words, *plain, "clip.max_norm=0.15", "schedule=constant")
    fleet = Fleet([config])
    before = {name: p.double() for name, p in fleet.params.items()}
    symbols, labels = fleet.batch(1, 0, 8)
    free = {name: p.requires_grad_() for name, p in before.items()}
    logits, _ = fleet.model.forward(free, symbols)
    smooth = torch.nn.functional.cross_entropy(
        logits[0], labels[0].long(), label_smoothing=config.regularizer.share
    )
    grads = dict(zip(free, torch.autograd.grad(smooth, [*free.values()]), strict=True))
    train(fleet, [], last=1)
    clipped = 0
    for name, g in grads.items():
        norm = float(g.norm())
        clipped += norm > 0.15
        step = g * min(1, 0.15 / (norm + 1e-6))
        step = step.sign() if optimizer == "my_lion" else step
        moved = before[name].detach() - 0.01 * step
        torch.testing.assert_close(fleet.params[name].double(), moved, rtol=0, atol=1e-7)
    assert 0 < clipped < len(grads)


def test_six_classes_in_closed_form_equal_autograd(own, compose):
    words = ("model=lstm", "task=first_letter", "optimizer=sgd", *SHORT)
    fleets = [Fleet([compose(*words, f"closed_form={how}")]) for how in ("true", "false")]
    assert [fleet.training_path for fleet in fleets] == ["closed form", "autograd"]
    grads = []
    for fleet in fleets:
        fleet.state = replace(fleet.state, params=fleet.state.params.double())
        grads.append(fleet.loss_and_gradient(*fleet.batch(1, 0, 8))[0])
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)


def test_the_mingru_and_the_norm_are_those_of_the_papers(own, compose):
    words = "task=easy", *SHORT
    mine = Fleet([compose("model=my_mingru", "model.keep=0", *words)])
    shipped = Fleet([compose("model=mingru", *words)])
    batch = shipped.batch(1, 0, 8)
    (loss, own_loss) = (fleet.model.losses(shipped.params, *batch)[0] for fleet in (shipped, mine))
    torch.testing.assert_close(own_loss, loss, rtol=1e-6, atol=1e-7)
    normed = Fleet([compose("model=my_mingru", "norm=rms", "norm.gamma=1", *words)])
    value = torch.randn(1, 3, 8, 16)
    found = normed.model.normalization.forward(normed.params, normed.model.cell.terms())(
        "W_z", value
    )
    expected = torch.nn.functional.rms_norm(value, (16,), eps=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_the_last_exercise_is_answered_by_a_cell_whose_gradient_cannot_grow(own, compose):
    page = (EXAMPLES.parent / "notebooks" / "answers.md").read_text(encoding="utf-8")
    exec(page.split("```python\n")[1].split("```")[0], {"__name__": "my_choices"})
    fleet = Fleet([compose("model=spectral", "task=easy", "init.scale=5", *SHORT)])
    train(fleet, [])
    symbols, labels = fleet.batch(1, 0, 8)
    flow = fleet.loss_and_gradient(symbols, labels, keeps_flow=True)[1].flow[0]
    assert (flow[:-1] <= flow[1:] * (1 + 1e-5)).all()


def test_classes_that_are_not_balanced_do_not_start(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def batch(self, seeds, step, size, stream=0):
        symbols, labels = FirstLetter.batch(self, seeds, step, size, stream)
        return symbols, np.minimum(labels, 5 * (labels > 4))

    FirstLetter = own["FirstLetter"]
    Skewed = type("Skewed", (FirstLetter,), {"batch": batch})
    register_task("skewed", length=8)(Skewed)
    assert main(["model=rnn", "task=skewed", *SHORT]) != 0
    error = capsys.readouterr().err
    assert "classes are unbalanced: class 0 has 83." in error
    assert "expected 16.7 ± 8.2 %" in error
    assert main(["model=rnn", "task=skewed", "check_initial_loss=off", *SHORT]) == 0


@pytest.mark.parametrize(("door", "base"), [(register_cell, Cell), (register_task, Task)])
def test_what_decides_the_program_has_no_knob_of_data(door, base):
    names = {"__annotations__": {"leak": hw2exp_data()}, "symbols": "ab", "classes": "AB"}
    own = type("Mine", (base,), names)
    with pytest.raises(ValueError, match="mine: its knobs must be shared, not leak"):
        door("mine")(own)
    assert "mine" not in registry._SECTIONS["model"] | registry._SECTIONS["task"]


@pytest.mark.parametrize(
    ("bases", "names", "defaults", "problem"),
    [
        ((Optimizer,), {}, {}, "must be a subclass of hw2exp.Clip"),
        ((Clip,), {"max_norm": 1.0}, {"max_norm": 1.0}, "has no knob max_norm; a knob is a field"),
        ((Clip,), {"__annotations__": {"leak": hw2exp.shared}}, {"leak": 1}, "has no knob leak"),
    ],
)
def test_a_class_that_is_no_choice_is_refused_at_its_door(bases, names, defaults, problem):
    with pytest.raises(ValueError, match=re.escape(f"clip=mine: {problem}")):
        register_clip("mine", **defaults)(type("Mine", bases, names))
    assert "mine" not in registry._SECTIONS["clip"]


def test_knobs_need_a_dataclass_and_default_values():
    annotated = {"__annotations__": {"leak": hw2exp_data()}}
    with pytest.raises(ValueError, match="clip=mine: must be a dataclass, as it has knobs"):
        register_clip("mine", leak=1.0)(type("Mine", (Clip,), dict(annotated)))
    with pytest.raises(ValueError, match="needs a default value of leak, as a keyword"):
        register_clip("mine")(dataclass(frozen=True)(type("Mine", (Clip,), dict(annotated))))
    with pytest.raises(ValueError, match="a cell must be no dataclass"):
        register_cell("mine")(dataclass(type("Mine", (Cell,), {})))


def test_a_label_beyond_the_classes_is_told_in_a_line(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    FirstLetter = own["FirstLetter"]
    register_task("few", length=8)(type("Few", (FirstLetter,), {"classes": "ABC"}))
    assert main(["model=rnn", "task=few", *SHORT]) != 0
    assert "Few.batch: labels must be 0 to 2, not 5" in capsys.readouterr().err


def test_a_rule_in_float64_leaves_the_parameters_type(own, compose):
    def update(self, grads, params, grad_norm, state):
        return {name: g.double() for name, g in grads.items()}, state

    register_clip("wide")(type("Wide", (Clip,), {"update": update}))
    fleet = Fleet([compose("model=rnn", "task=easy", "clip=wide", *SHORT)])
    train(fleet, [], last=1)
    assert fleet.state.params.dtype == torch.float32


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            lambda g: g / g.norm(),
            "clip=mine: a run's step is not the same alone and in a fleet",
        ),
        (lambda g: g[:, :1, :1, :1], "clip=mine: a step fails: IndexError: too many indices"),
    ],
)
def test_a_step_is_tried_before_anything_is_made(
    own, changed, problem, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    def update(self, grads, params, grad_norm, state):
        return {name: changed(g) for name, g in grads.items()}, state

    register_clip("mine")(type("Mine", (Clip,), {"update": update}))
    assert main(["model=rnn", "clip=mine", *SHORT]) == 2
    assert problem in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def hw2exp_data():
    from typing import Annotated

    return Annotated[torch.Tensor, hw2exp.per_replica("a leak", gt=0)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep of two clips, made by the command with its own choices."""
    folder = tmp_path_factory.mktemp("own")
    words = ["hw2exp.train", "--import", "my_choices", "-m", *CHOSEN, *SHORT, "seed=0,1",
             "clip=tensor_norm,none", "hydra.sweep.dir=s"]  # fmt: skip
    words.remove("clip=tensor_norm")
    done = command(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_sweep_records_whose_code_it_was(sweep):
    result = json.loads((sweep / "s" / "0" / "result.json").read_text())
    made = result["versions"]
    assert made["modules"] == "my_choices"
    assert {name for name in made if "=" in name} == {*CHOSEN}
    assert result["initial"]["loss"] == pytest.approx(math.log(6), abs=0.1)
    frame = polars.read_parquet(sweep / "s" / "0" / "diagnostics.parquet")
    assert frame["step"].to_list() == [1, 2, 4, 6]
    angles = frame["metric.W_h"].to_numpy()
    assert ((angles > 0) & (angles <= 1)).all()


@pytest.mark.nightly
def test_readers_show_runs_whose_module_is_missing(sweep):
    line = f"shown as recorded: no code of {', '.join(each for each in CHOSEN[:3])}"
    for reader in ("hw2exp.report", "hw2exp.compare"):
        done = command(reader, "s", cwd=sweep)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        assert f"4 runs {line}" in text
        assert "it comes by --import my_choices" in text
    known = command("hw2exp.report", "--import", "my_choices", "s", cwd=sweep)
    assert known.returncode == 0
    assert "shown as recorded" not in known.stdout + known.stderr
    page = html.unescape((sweep / "s/report/report.html").read_text())
    assert "python -m hw2exp.report s --import=my_choices" in page
    assert "python -m hw2exp.train --import my_choices -m " in page
    asked = command("hw2exp.anatomy", "s/0", cwd=sweep)
    assert asked.returncode == 2
    assert "model=my_mingru: no such choice" in asked.stderr


@pytest.mark.nightly
def test_packed_runs_whose_module_is_missing_are_shown_too(sweep):
    words = ["--import", "my_choices", "-m", "model=rnn", *CHOSEN[1:3], "steps=4", "eval_every=4",
             "eval_batches=1", "batch_size=4", "seed=range(0,3)", "records=packed"]  # fmt: skip
    done = command("hw2exp.train", *words, "hydra.sweep.dir=p", cwd=sweep)
    assert done.returncode == 0, done.stderr
    report = command("hw2exp.report", "p", cwd=sweep)
    assert report.returncode == 0
    what = "no code of task=first_letter, optimizer=my_lion; it comes by --import my_choices"
    assert f"3 runs shown as recorded: {what}" in report.stdout
    refused = command("hw2exp.extract", "p", "--job", "1", cwd=sweep)
    assert refused.returncode == 2
    assert "task=first_letter: no such choice" in refused.stderr


@pytest.mark.nightly
def test_an_anatomy_of_own_choices(tmp_path):
    often = ["spikes.window=5", "spikes.margin=0.001", "spikes.deviations=0.1"]
    words = ["--import", "my_choices", *CHOSEN, *SHORT, "steps=60", "optimizer.lr=0.1", *often]
    done = command("hw2exp.train", *words, "hydra.run.dir=r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    asked = "--import", "my_choices", "r", "--spike", "1"
    told = command("hw2exp.anatomy", *asked, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "Look first at the panel" in told.stdout
    assert (tmp_path / "r" / "anatomy" / "spike_1.png").exists()
    tried = command("hw2exp.whatif", *asked, "--do", "lr*0.1", cwd=tmp_path)
    assert tried.returncode == 0, tried.stderr


@pytest.mark.slow
def test_changed_code_resumes_only_if_trusted(sweep, tmp_path):
    source = (EXAMPLES / "my_choices.py").read_text(encoding="utf-8")
    changed = source.replace("rescale(g, norms", "rescale(2 * g, norms")
    (tmp_path / "my_choices.py").write_text(changed, encoding="utf-8")
    words = ["hw2exp.train", "--import", "my_choices", "-m", *CHOSEN[:3], *CHOSEN[4:], *SHORT,
             "seed=0,1", "clip=tensor_norm,none", "resume=s"]  # fmt: skip
    refused = command(*words, cwd=sweep, path=tmp_path)
    assert refused.returncode == 2
    assert "was made by other code of clip=tensor_norm; must be" in refused.stderr
    trusted = command(*words, "trust_changed=true", cwd=sweep, path=tmp_path)
    assert trusted.returncode == 0, trusted.stderr
    assert "other code of clip=tensor_norm, which trust_changed=true allows" in trusted.stderr


@pytest.mark.slow
def test_an_installed_package_brings_its_choices_by_an_entry_point(tmp_path):
    about = tmp_path / "mine-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[hw2exp.choices]\nx = my_choices\ny = no_module\n")
    path = f"{tmp_path}{os.pathsep}{EXAMPLES}"
    shown = command("hw2exp.train", "--dry-run", "task=first_letter", cwd=tmp_path, path=path)
    assert shown.returncode == 0, shown.stderr
    assert "rnn (H 16) on first_letter" in shown.stdout
    assert "no_module of mine can't be imported: ModuleNotFoundError" in shown.stderr


def test_the_spectrum_is_that_of_numpy(compose):
    fleet = Fleet([compose("model=lstm", "task=easy", "init.scale=2", f"seed={s}") for s in (0, 1)])
    params = fleet.params
    step = Step(params, params, params, *fleet.batch(1, 0, 4), fleet.model)
    found = Spectrum(every=1).measure(step)
    (name,) = (n for n, weight in fleet.model.weights().items() if weight.role == "recurrent")
    for place in range(4):
        for r in range(2):
            block = params[name][r].double().numpy()[16 * place : 16 * (place + 1)]
            radius, norm = found[f"radius_{name}_{place}"][r], found[f"norm_{name}_{place}"][r]
            assert float(radius) == pytest.approx(np.abs(np.linalg.eigvals(block)).max())
            assert float(norm) == pytest.approx(np.linalg.norm(block, 2))


def test_a_subclass_of_batch_norm_takes_the_defaults_of_its_fields(own):
    source = """
from dataclasses import dataclass
from typing import Annotated
from torch import Tensor
from hw2exp import per_replica, register_norm
from hw2exp.models.normalization.batch import BatchNorm

@register_norm("powered", gamma=0.2, eps=1e-5)
@dataclass(frozen=True)
class Powered(BatchNorm):
    power: Annotated[Tensor, per_replica("power", gt=0)] = 1.5
"""
    exec(source, {"__name__": "my_choices"})
    norm = read(["norm=powered", "norm.eps=1e-4"]).jobs[0].config.norm
    assert (norm.gamma, norm.eps, norm.power, norm.population_sequences) == (0.2, 1e-4, 1.5, 1024)
