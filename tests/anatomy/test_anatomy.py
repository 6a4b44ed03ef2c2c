"""The anatomy of a spike: the steps are those of the run, and the numbers those of the steps."""

import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import polars
import pytest
import torch
from PIL import Image

from hw2exp.anatomy.__main__ import main
from hw2exp.anatomy.anatomy import dissect_spike
from hw2exp.anatomy.blame import find_culprit
from hw2exp.anatomy.page import WIDEST, shortened
from hw2exp.anatomy.replay import replay
from hw2exp.anatomy.verdict import exponent_in_words, sentences
from hw2exp.config.recorded import recorded_config
from hw2exp.config.registry import equations
from hw2exp.models.classifier import Classifier
from hw2exp.models.normalization import Norm
from hw2exp.records.kept_spikes import read_kept, write_kept
from hw2exp.records.metrics import read_metrics
from hw2exp.records.run_dir import read_result
from hw2exp.records.spike import Spike
from hw2exp.runs.spike_request import read_request
from hw2exp.tasks.temporal_order import PAD, encode
from hw2exp.train import main as train
from tests.tiers import first_slow

SMALL = (
    "task=easy", "model.hidden_size=5", "batch_size=6", "steps=60", "eval_every=20",
    "eval_batches=2", "plot=false", "spikes.window=11", "optimizer.lr=0.1", "log_every=1",
    "check_initial_loss=off", "seed=5",
)  # fmt: skip

KEPT = "diagnostics=all", "diagnostics.steps_before=7"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that spikes and has kept what led to it."""
    folder = tmp_path_factory.mktemp("anatomy") / "run"
    assert train([*SMALL, *KEPT, f"hydra.run.dir={folder}"]) == 0
    assert read_result(folder).spikes
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy", ignore=lambda *_: ["anatomy"])


@pytest.fixture(scope="module")
def seen(run):
    return dissect_spike(read_request(run, "1", None), print)


@pytest.mark.slow
def test_the_page_is_drawn(run, capsys):
    assert main([str(run), "--spike", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The ")
    assert printed.splitlines()[1].startswith("Look first at the panel “")
    assert "The loss rises from" in printed
    with Image.open(run / "anatomy" / "spike_1.png") as page:
        assert page.width > 1000
        colors = page.convert("RGB").getcolors(2**24)
    assert len(colors) > 1000
    first = (run / "anatomy" / "spike_1.png").read_bytes()
    assert main([str(run)]) == 0
    assert (run / "anatomy" / "spike_1.png").read_bytes() == first


def test_the_steps_are_those_of_the_run(run, seen):
    metrics = read_metrics(run / "metrics.parquet")
    rows = metrics.filter(polars.col("step").is_in(seen.steps))
    np.testing.assert_array_equal(seen.loss, rows["loss_train"])
    np.testing.assert_array_equal(seen.raw, rows["grad_norm_raw"])
    np.testing.assert_array_equal(seen.clipped, rows["grad_norm_clipped"])
    np.testing.assert_array_equal(seen.updates, rows["update_norm_max"])
    spike = read_result(run).spikes[0]
    assert seen.steps[0] == max(1, spike["start"] - 7)
    assert seen.loss[seen.peak] == spike["loss"]


def test_a_run_that_has_kept_nothing_is_made_again(run, seen, tmp_path, capsys):
    folder = tmp_path / "plain"
    words = [*SMALL, "diagnostics.steps_before=7", f"hydra.run.dir={folder}"]
    assert train(words) == 0
    again = dissect_spike(read_request(folder, "1", None), print)
    assert "training again" in capsys.readouterr().out
    assert again.steps == seen.steps
    assert again.culprit == seen.culprit
    for name in ("loss", "fresh_loss", "updates", "flow", "path", "off"):
        np.testing.assert_array_equal(getattr(again, name), getattr(seen, name))
    assert torch.equal(again.cliff.loss, seen.cliff.loss)
    assert torch.equal(again.sharp.raw.value, seen.sharp.raw.value)
    assert again.sequences == seen.sequences


def plain_loss(config, params, sequences):
    """The mean loss of decoded sequences, by the equations."""
    cell = equations("model", config.model.name)(config.model, PAD)
    model = Classifier(cell, Norm(), 9)
    pairs = [encode(text, 9) for text in sequences]
    symbols = torch.from_numpy(np.stack([symbols for symbols, _ in pairs]))[None]
    labels = torch.tensor([label for _, label in pairs])[None]
    return model.mean_loss(params, symbols, labels)[0][0]


def parameters(run, step):
    """The named parameters before a step, from what the run has kept."""
    config = recorded_config(run)
    kept = read_kept(run)[0]
    seen = replay(config, kept.first, kept.first, step, kept.state)
    rows = seen.traces[-1].before.params
    return {
        name: value.clone().requires_grad_() for name, value in seen.layout.unflatten(rows).items()
    }


def test_a_sequence_has_the_gradient_that_autograd_gives_it_alone(run, seen):
    config = recorded_config(run)
    params = parameters(run, seen.steps[seen.culprit])
    assert len(seen.sequences) == 6
    for each in seen.sequences:
        loss = plain_loss(config, params, [each.text])
        grads = torch.autograd.grad(loss, list(params.values()))
        norm = math.sqrt(sum(float(grad.double().square().sum()) for grad in grads))
        assert each.loss == pytest.approx(float(loss.detach()), rel=1e-4)
        assert each.gradient == pytest.approx(norm, rel=1e-4)
    gradients = [each.gradient for each in seen.sequences]
    assert gradients == sorted(gradients, reverse=True)


def test_the_batch_is_decoded_as_it_was_drawn(run, seen):
    params = parameters(run, seen.spike.step)
    loss = plain_loss(recorded_config(run), params, [each.text for each in seen.at_peak])
    assert float(loss.detach()) == pytest.approx(seen.loss[seen.peak], rel=1e-4)


def test_the_line_goes_through_the_step(seen):
    before, after = (int(np.argmin(abs(seen.along.share - share))) for share in (0, 1))
    assert seen.along.own[before] == pytest.approx(seen.loss[seen.culprit], rel=1e-5)
    if seen.peak == seen.culprit + 1:
        assert seen.along.later[after] == pytest.approx(seen.loss[seen.peak], rel=1e-4)


def test_the_way_on_the_cliff_begins_where_the_step_began(seen):
    at = seen.path_steps.index(seen.steps[seen.culprit])
    np.testing.assert_allclose(seen.path[at], 0, atol=1e-6)
    assert seen.off[at] == pytest.approx(0, abs=1e-6)
    moved = np.hypot(*(seen.path[at + 1] - seen.path[at]))
    assert math.hypot(moved, seen.off[at + 1]) == pytest.approx(
        seen.updates[seen.culprit], rel=1e-4
    )
    middle = len(seen.cliff.a) // 2
    assert float(seen.cliff.loss[middle, middle]) == pytest.approx(
        seen.loss[seen.culprit], rel=1e-5
    )


@pytest.mark.parametrize(
    ("fresh", "peak", "expected"),
    [
        ([1.0, 1.1, 0.9, 3.0, 2.9, 9.0], 4, (2, True)),
        ([1.0, 5.0, 5.0, 1.0, 1.0, 3.0], 5, (4, True)),  # an earlier rise is over
        ([1.0, 1.5, 2.5, 3.5, 4.5], 4, (2, True)),  # slowly: across the middle, 2.75
        ([4.0, 4.5, 5.0], 2, (0, True)),  # risen before all that is seen
        ([1.0, 1.1, 1.0, 1.2], 3, (2, False)),
        ([1.0, 1.0, 1.0, 1.28], 3, (2, True)),  # over half of the batch's 1.5
        ([1.0, 1.0, math.inf], 2, (1, True)),
        ([1.0, math.inf, math.inf], 2, (0, True)),
        ([1.0, math.nan], 1, (0, True)),
        ([1.0, 9.0, 90.0, 1e9, 1e21], 4, (0, True)),  # a run that is lost early
        ([1.0, 2.0, 90.0, 1e9, math.nan], 4, (1, True)),
        ([1.0], 0, (0, False)),
    ],
)
def test_the_culprit_is_the_last_to_take_the_loss_across_the_middle(fresh, peak, expected):
    spike = Spike(2, 1, 2, loss=1.5, median=1.0, above_initial=False)
    assert find_culprit(np.array(fresh), peak, spike, margin=0.3) == expected


def test_a_run_that_was_high_before_is_judged_all_the_same():
    spike = Spike(2, 1, 2, loss=900.0, median=100.0, above_initial=True)
    fresh = np.array([100.0, 100.0, 800.0, 900.0])
    assert find_culprit(fresh, 3, spike, margin=0.3) == (1, True)


@pytest.mark.parametrize(
    "text", ["BaXbYcE", "B" + "a" * 12 + "X" + "b" * 40 + "Y" + "c" * 30 + "E",
             "B" + "a" * 200 + "X" + "b" * 400 + "YE", "BX" + "a" * 20 + "Y" + "b" * 90 + "E"],
)  # fmt: skip
def test_a_long_sequence_is_shortened_to_what_decides(text):
    short = shortened(text)
    assert len(short) <= WIDEST
    assert re.sub("[^XY]", "", short) == re.sub("[^XY]", "", text)
    assert re.fullmatch(re.escape(short).replace("…", ".+"), text)
    assert (short == text) == (len(text) <= WIDEST)


def test_the_sentences_go_by_the_numbers(seen):
    def text(**changes):
        return " ".join(sentences(replace(seen, **changes)))

    step, n = f"step {seen.steps[seen.culprit]:,}", len(seen.steps)
    spike = replace(seen.spike, median=1.0, loss=3.5)
    low, some = np.full(n, 1.1), np.full(n, 1.5)
    assert "are not at fault" in text(thrown=False, fresh_loss=low, spike=spike)
    told = text(thrown=False, fresh_loss=some, spike=spike)
    assert "for the most part: the loss of other sequences goes from 1 to 1.5, 20% of" in told
    assert "thrown already" not in text(thrown=False)
    fresh = 1.0 + (np.arange(n) > seen.culprit) * 2.0
    assert f"S{step[1:]} did it" in text(thrown=True, fresh_loss=fresh, spike=spike)
    assert "from 1 to 3." in text(thrown=True, fresh_loss=fresh, spike=spike)
    assert "hard one besides" in text(thrown=True, fresh_loss=fresh, spike=replace(spike, loss=7.0))
    slowly = np.linspace(1, 9, n)
    told = text(thrown=True, fresh_loss=slowly, spike=spike)
    assert "Several steps did it" in told
    assert f"at {step}" in told
    lone = replace(spike, loss=math.nan)  # of the batch alone
    assert "are not at fault" in text(thrown=False, fresh_loss=some, spike=lone)
    still = replace(spike, loss=0.9)
    told = text(thrown=False, fresh_loss=low, spike=still, diverged_at=still.step)
    assert "goes from 1 to 0.9 at" in told
    assert "What is not finite there is the gradient or the step" in told
    lost = np.where(np.arange(n) > seen.culprit, 1e9, 1.0)
    lost[seen.peak] = math.inf
    told = text(thrown=True, fresh_loss=lost, spike=replace(spike, loss=1e9))
    assert "from 1 to 1e+09, then no finite number." in told or seen.culprit + 1 >= seen.peak
    assert "diverges at step 1,234" in text(diverged_at=1234)
    still = text(flow=np.zeros_like(seen.flow))
    assert "nan" not in still
    assert "inf" not in still
    raw = np.ones_like(seen.raw)
    assert "has not exploded" in " ".join(sentences(replace(seen, raw=raw, clipped=raw)))
    raw = raw.copy()
    raw[seen.culprit] = 50
    loud = " ".join(sentences(replace(seen, raw=raw, clipped=np.ones_like(raw))))
    assert "has exploded: 50, 50 times the median of the steps before, clipped to 1" in loud
    unknown = replace(seen.sharp, limit=torch.full_like(seen.sharp.limit, math.nan))
    assert "sharpness" not in text(sharp=unknown)


@pytest.mark.parametrize(
    "words",
    first_slow(
        ["model=gated_rnn", "norm=batch", "clip=norm"],
        ["model=lstm", "optimizer=adam", "schedule=plateau", "schedule.patience=0"],
        ["model=rnn", "regularizer=omega", "optimizer=sgd", "clip=zclip"],
        ["model=attn_rnn_inf", "clip=value", "norm=qk", "schedule=cosine"],
        ["model=lstm", "task.stream=notebook", "batch_size=32", "eval_every=31"],
    ),
    ids=["batch", "plateau", "omega", "qk", "notebook"],
)
def test_whatever_the_run_is_made_of(words, tmp_path, capsys):
    folder = tmp_path / "run"
    few = ["spikes.margin=0.01", "spikes.deviations=0", "steps=40", "eval_every=8"]
    given = [*SMALL, *KEPT, *few, *words, "optimizer.lr=0.05", f"hydra.run.dir={folder}"]
    assert train(given) == 0
    count = len(read_result(folder).spikes)
    assert count
    number = str(min(count, 2))
    assert main([str(folder), "--spike", number, "--out", str(tmp_path / "pages")]) == 0
    assert [path.name for path in (tmp_path / "pages").iterdir()] == [f"spike_{number}.png"]


def test_a_run_that_diverges_after_its_spike(tmp_path, capsys):
    folder = tmp_path / "run"
    words = ["model=rnn", "model.nonlinearity=relu", "optimizer=sgd", "optimizer.lr=2"]
    assert train([*SMALL, *words, "init.scale=2", "seed=1", f"hydra.run.dir={folder}"]) == 0
    result = read_result(folder)
    assert result.status == "diverged"
    if result.spikes:
        assert main([str(folder)]) == 0


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (["model=rnn", "model.nonlinearity=relu", "optimizer.lr=2", "init.scale=2", "seed=1"], 3),
        *first_slow(
            (["model=attn_rnn", "optimizer.lr=1e30"], 1),
            (["model=lstm", "norm=batch", "optimizer.lr=1e38"], 1),
            (["model=gated_rnn", "init.scale=1e38", "init.input_scale=1e38"], 0),
        ),
    ],
    ids=["slowly", "at once", "batch", "from the start"],
)
def test_the_divergence_is_asked_for_like_a_spike(words, before, tmp_path, capsys):
    folder = tmp_path / "run"
    assert train([*SMALL, "optimizer=sgd", *words, f"hydra.run.dir={folder}"]) == 0
    at = read_result(folder).diverged_at
    assert at is not None
    assert at > before
    assert f"hw2exp.anatomy {folder} --spike divergence\n" in capsys.readouterr().out
    assert main([str(folder), "--spike", "divergence"]) == 0
    told = capsys.readouterr().out
    assert "\nThe divergence: " in told
    assert f"The run diverges at step {at}." in told
    assert [path.name for path in (folder / "anatomy").iterdir()] == ["divergence.png"]
    assert main([str(folder), "--spike", "99"]) == 2
    assert "it diverged, see --spike=divergence" in line(capsys)


def test_a_divergence_that_there_is_not(run, capsys):
    assert main([str(run), "--spike=divergence"]) == 2
    assert f"--spike=divergence: {run} has not diverged" in line(capsys)


def test_the_divergence_has_the_baseline_of_spikes(tmp_path):
    folder = tmp_path / "run"
    words = ["model=rnn", "optimizer=sgd", "optimizer.weight_decay=110"]  # ten times as far a step
    assert train([*SMALL, *words, f"hydra.run.dir={folder}"]) == 0
    at = read_result(folder).diverged_at
    assert at > 20
    request = read_request(folder, "divergence", None)
    seen = dissect_spike(request, lambda _: None)
    losses = dict(read_metrics(folder / "metrics.parquet").select("step", "loss_train").rows())
    assert seen.steps[seen.peak] == at
    before = [losses[step] for step in range(at - 11, at)]
    assert seen.spike.median == np.median(before)
    assert seen.spike.median not in (before[-1], np.median(before[-3:]))


def line(capsys):
    captured = capsys.readouterr()
    (only,) = captured.err.splitlines()
    return only


@pytest.mark.parametrize("number", ["0", "-1", "99", "one", "", "1.0", "²"])
def test_a_spike_that_there_is_not(run, number, capsys):
    assert main([str(run), f"--spike={number}"]) == 2
    assert f"--spike={number}: must be from 1 to" in line(capsys)


def test_folders_that_are_no_runs(run, tmp_path, capsys):
    for folder in (tmp_path / "missing", tmp_path, run / "result.json"):
        assert main([str(folder)]) == 2
        assert str(folder) in line(capsys)
        assert not (tmp_path / "anatomy").exists()


def test_a_run_without_a_spike(copy, capsys):
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"spikes": []}))
    assert main([str(copy)]) == 2
    assert "has no spike" in line(capsys)


FORGED = {
    "a step behind the run": {"step": 10**6, "end": 10**6},
    "a step that no run has": {"step": 2**40, "end": 2**40},
    "a start behind the peak": {"start": 10**3, "end": 10**3},
    "an end before the peak": {"end": 1},
    "a step before the first": {"start": 0},
    "another loss": {"loss": 1e3},
    "another key": {"\x1b[31m": 1},
    "no number": {"step": "\x1b[31m"},
}
"""What somebody has written into the first spike of a result."""


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_a_forged_spike_costs_a_line(copy, change, capsys):
    result = json.loads((copy / "result.json").read_text())
    result["spikes"][0] |= change
    (copy / "result.json").write_text(json.dumps(result))
    assert main([str(copy)]) == 2
    told = line(capsys)
    assert str(copy) in told
    assert "\x1b" not in told
    assert not (copy / "anatomy").exists()


def test_a_forged_divergence_costs_a_line(copy, capsys):
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"diverged_at": 10**6}))
    assert main([str(copy), "--spike=divergence"]) == 2
    assert "steps behind the run's last one" in line(capsys)


CHANGES = {
    "params": lambda kept: replace(kept, params=kept.params + np.float32(1e-3)),
    "state": lambda kept: replace(
        kept, state=kept.state | {"params": kept.state["params"] + np.float32(1e-3)}
    ),
    "gradients": lambda kept: replace(
        kept, grad_norms={name: norms * 1.001 for name, norms in kept.grad_norms.items()}
    ),
    "names": lambda kept: replace(
        kept, grad_norms={f"\x1b{name}": norms for name, norms in kept.grad_norms.items()}
    ),
    "more": lambda kept: replace(kept, state=kept.state | {"seen": np.zeros(3)}),
    "shape": lambda kept: replace(kept, state=kept.state | {"params": kept.params[:2]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_kept_must_be_what_the_run_had(copy, change, capsys):
    """Somebody has written it anew, with its digest."""
    first, *others = read_kept(copy)
    write_kept(copy, [CHANGES[change](first), *others])
    assert main([str(copy)]) == 2
    assert str(copy) in line(capsys)
    assert not (copy / "anatomy").exists()


def test_what_was_kept_is_damaged_so_that_the_run_is_made_again(copy, capsys):
    path = copy / "spikes.safetensors"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:-9], flipped):
        path.write_bytes(content)
        assert dissect_spike(read_request(copy, "1", None), print).sequences
        captured = capsys.readouterr()
        assert "training again" in captured.out
        assert "spikes.safetensors" in captured.err
        assert "it is not used" in captured.err


def test_a_spike_whose_peak_comes_long_after_its_start(tmp_path, capsys):
    """The loss climbs and climbs, as the L2 penalty alone makes SGD diverge."""
    words = [
        *SMALL, "model=rnn", "optimizer=sgd", "optimizer.lr=0.05", "optimizer.weight_decay=40.3",
        "optimizer.momentum=0", "steps=300", "spikes.window=201", "spikes.deviations=0", "seed=0",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert train(words) == 0
    (spike, *_) = read_result(tmp_path / "run").spikes
    assert spike["step"] - spike["start"] > 60
    seen = dissect_spike(read_request(tmp_path / "run", "1", None), print)
    assert seen.steps[seen.peak] == spike["step"]
    assert len(seen.steps) <= 69
    assert (seen.sharp.instability > 1).all()  # the penalty is part of what the optimizer sees


def test_a_page_goes_into_a_folder(run, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(run), "--out", str(tmp_path / "file")]) == 2
    assert "must be a folder" in line(capsys)


def test_a_sweeps_folder_is_told_from_a_run(tmp_path, capsys):
    (tmp_path / "multirun.yaml").touch()
    assert main([str(tmp_path)]) == 2
    assert "is a sweep's folder; name that of one job" in line(capsys)


def test_a_link_in_the_place_of_the_pages_is_not_followed(copy, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (copy / "anatomy").symlink_to(tmp_path / "elsewhere")
    assert main([str(copy)]) == 2
    assert "is a link" in line(capsys)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("exponent", "spread", "told"),
    [
        (0.1234, 0.0123, "0.123 ± 0.012"),
        (-0.5, 0.25, "-0.5 ± 0.25"),
        (0.002, 0.0123, "0.002 ± 0.012 (of either sign)"),
        (-0.002, 0.002, "-0.002 ± 0.002 (of either sign)"),
        (0.1, float("nan"), "0.1 ± nan (of either sign)"),
    ],
)
def test_an_exponent_that_its_spread_exceeds_has_no_known_sign(exponent, spread, told):
    assert exponent_in_words(exponent, spread) == told
