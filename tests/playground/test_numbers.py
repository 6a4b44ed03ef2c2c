"""The playground trains as the bench does."""

import json
import math
from itertools import product

import numpy as np
import pytest
import torch

import hw2exp
from hw2exp.config.command_line import read
from hw2exp.diagnostics.spikes import find_spikes
from hw2exp.fleet.fleet import Fleet
from hw2exp.tasks.chosen import task_of
from hw2exp.tasks.task import TEST, TRAIN
from tests.playground.browser import MISSING, browser, evaluate

pytestmark = pytest.mark.skipif(browser() is None, reason=MISSING)

MODELS, NORMS, TASKS = ("gated_rnn", "attn_rnn", "rnn"), ("none", "layer"), ("easy", "normal")
SEEDS = [0, 3, 2**32 - 1]
DRAWS = [*product(TASKS, SEEDS, [0, 1, 1000], [TRAIN, TEST])]
STARTS = [
    (*each, *start) for each in product(MODELS, NORMS) for start in [(3, 1), (2**32 - 1, 2.5)]
]
CHAOTIC = "attn_rnn", "layer", "normal"
"""Over so many time steps, each of which enlarges rounding, float32 and float64 part."""
GRADIENTS = [each for each in product(MODELS, NORMS, TASKS) if each != CHAOTIC]
COUNTERS = [[0, 0, 0, 0, 0], [2**32 - 1] * 5, [7, 1, 2, 3, 4], [0x243F6A88, 0x85A308D3, 9, 1, 0]]
NUMBERS = [-800.0, -88.5, -1.5, -1e-9, 0.0, 1e-5, 0.3, 20.0, 700.25]
B = 5


def curve(seed):
    """Draw a loss curve with spikes, of which the last is a divergence."""
    random = np.random.default_rng(seed)
    losses = 1.4 * np.exp(-np.arange(300) / 100) + 0.05 * random.random(300)
    losses[random.integers(0, 290, 12)] += 3 * random.random(12)
    losses[[100, 106, 130, 137]] += 4.0  # five steps between them are one spike, six are two
    losses[150:] += 1.0
    losses[-1 - seed :] = np.nan
    return losses


CURVES = [curve(seed) for seed in range(4)]

PROGRAM = """(() => {
  const { draws, starts, gradients, counters, numbers, curves, B } = GIVEN;
  const first = (model, norm, scale, seed, B, task) => {
    const net = new Classifier(model, norm, B, paddedLength(task));
    return [net, initialize(net.weights(), seed, scale, norm)];
  };
  const settings = { ...DEFAULTS, model: "attn_rnn", lr: 0.3, steps: 60 };
  const losses = (rows) => rows.map((row) => row.loss);
  const straight = new Training(settings), branched = new Training(settings);
  const whole = losses(straight.advance(60));
  branched.advance(31);
  branched.change({ ...settings, lr: 0.001 });
  const other = losses(branched.advance(12));
  const seen = branched.follow(2, 4), late = branched.follow(2, 43);
  branched.goBack(38);
  const again = losses(branched.advance(5));
  branched.goBack(27);
  branched.change(settings);
  const rejoined = losses(branched.advance(60));
  return {
    words: counters.map((counter) => philox(...counter)),
    draws: draws.map(([task, seed, step, stream]) => {
      const { symbols, labels } = drawBatch(task, seed, step, B, stream);
      return [[...symbols], [...labels]];
    }),
    starts: starts.map(([model, norm, seed, scale]) => {
      const values = Object.entries(first(model, norm, scale, seed, 1, "easy")[1]);
      return values.map(([name, own]) => [name, [...new Uint32Array(own.buffer)]]);
    }),
    gradients: gradients.map(([model, norm, task]) => {
      const [net, params] = first(model, norm, 1.5, 3, B, task);
      const own = mapped(params, (p) => new Numbers(p.length));
      params.readout_weight.forEach((_, i, all) => (all[i] = Math.fround(Math.cos(i))));
      const { symbols, labels } = drawBatch(task, 3, 1, B);
      const { loss, accuracy, flow } = net.learn(params, symbols, labels, own);
      return { loss, accuracy, flow: [...flow], of: mapped(own, (g) => [...g]) };
    }),
    functions: numbers.map((x) => [exp(x), sigmoid(x), tanh(x)]),
    spikes: curves.map((losses) => findSpikes(losses.map((loss) => loss ?? NaN))),
    commands: mapped(SCENES, (address) =>
      bothOf(readAddress(address)).map((own) => [own, commandOf(own)])),
    replay: { whole, other, again, rejoined, seen: [...seen.states], late: [...late.states] },
    diverged: new Training({ ...settings, steps: 200 }).advance(200).length,
  };
})()"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    curves = [[None if math.isnan(loss) else loss for loss in own] for own in CURVES]
    given = {
        "draws": DRAWS, "starts": STARTS, "gradients": GRADIENTS, "counters": COUNTERS,
        "numbers": NUMBERS, "curves": curves, "B": B,
    }  # fmt: skip
    program = PROGRAM.replace("GIVEN", json.dumps(given))
    return evaluate(program, tmp_path_factory.mktemp("browser"))


def test_the_words_are_philoxs(found):
    for (key, *counter), words in zip(COUNTERS, found["words"], strict=True):
        assert len(words) == 4
        assert words == philox_4x32(key, counter)


def philox_4x32(key, counter):
    """Encrypt a counter in whole numbers of any size (Salmon et al. 2011, §4)."""
    (c0, c1, c2, c3), k0, k1 = counter, key, 0
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 % 2**32, p0 >> 32 ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def test_the_batches_are_the_benchs(found, compose):
    for (task, seed, step, stream), (symbols, labels) in zip(DRAWS, found["draws"], strict=True):
        order = task_of(compose(f"task={task}").task)
        expected = order.batch(np.array([seed], np.uint64), step, B, stream)
        assert symbols == expected[0].ravel().tolist()
        assert labels == expected[1].ravel().tolist()


def test_the_parameters_start_with_the_benchs_bits(found, compose):
    for (model, norm, seed, scale), own in zip(STARTS, found["starts"], strict=True):
        config = compose(f"model={model}", f"norm={norm}", f"init.scale={scale}", f"seed={seed}")
        params = Fleet([config]).model.initialize([config.init], [seed])
        assert [name for name, _ in own] == list(params)
        for name, bits in own:
            assert bits == params[name].numpy().view(np.uint32).ravel().tolist(), (model, name)


def test_the_gradients_are_autograds(found, compose):
    """Those of the cell's equations in float64; the page's numbers are float32."""
    for (model, norm, task), own in zip(GRADIENTS, found["gradients"], strict=True):
        words = f"model={model}", f"norm={norm}", f"task={task}", "init.scale=1.5", "seed=3"
        config = compose(*words, "closed_form=false")
        fleet = Fleet([config])
        params = fleet.model.initialize([config.init], [3])
        readout = torch.arange(params["readout_weight"].numel()).double().cos().float()
        params["readout_weight"] = readout.view_as(params["readout_weight"])
        batch = fleet.task.batch(fleet.seeds, 1, B)
        doubled = {name: value.double() for name, value in params.items()}
        there = fleet.model.gradient(doubled, *map(torch.from_numpy, batch), keeps_flow=True)
        assert own["loss"] == pytest.approx(there.loss.item(), rel=1e-6)
        assert own["accuracy"] == there.correct.double().mean()
        assert own["flow"] == pytest.approx(there.flow[0].tolist(), rel=1e-4, abs=1e-12)
        for name, gradient in there.of.items():
            scale = gradient.abs().max().item()
            seen = torch.tensor(own["of"][name], dtype=torch.float64).view_as(gradient)
            torch.testing.assert_close(seen, gradient, rtol=0, atol=1e-5 * scale, msg=name)


def test_the_functions_are_right(found):
    for x, (exp, sigmoid, tanh) in zip(NUMBERS, found["functions"], strict=True):
        assert exp == pytest.approx(math.exp(max(x, -708.0)), rel=1e-14)
        assert sigmoid == pytest.approx(1 / (1 + math.exp(-x)) if x > -700 else 0, rel=1e-14)
        assert tanh == pytest.approx(math.tanh(x), rel=1e-14, abs=1e-15)


def test_the_spikes_are_the_benchs(found):
    for losses, own in zip(CURVES, found["spikes"], strict=True):
        expected = find_spikes(losses, 51, 0.3, 6.0, math.log(4))
        assert len(expected) > 2
        there = [(each.start, each.step, each.end, each.loss) for each in expected]
        assert [(each["start"], each["step"], each["end"], each["loss"]) for each in own] == there


def test_each_scenes_commands_make_its_runs(found):
    assert len(found["commands"]) == 5
    for name, pair in found["commands"].items():
        assert pair[0][1] != pair[1][1]
        for settings, line in pair:
            python, flag, module, *words = line.split()
            assert [python, flag, module] == ["python", "-m", "hw2exp.train"]
            (job,) = read([*words, f"hydra.run.dir={name}"]).jobs
            config = job.config
            made = {
                "model": config.model.name, "task": config.task.name, "norm": config.norm.name,
                "optimizer": config.optimizer.name, "lr": config.optimizer.lr,
                "clip": getattr(config.clip, "max_norm", 0), "schedule": config.schedule.name,
                "scale": config.init.scale, "seed": config.seed, "steps": config.steps,
            }  # fmt: skip
            assert made == settings


def test_going_back_replays_and_branches(found):
    """A step is a function of the state before it, also with settings that changed on the way."""
    replay = found["replay"]
    assert replay["other"] != replay["whole"][31:43]
    assert replay["other"][0] == replay["whole"][31]  # the loss before the first other update
    assert replay["again"] == replay["other"][7:]
    assert replay["rejoined"] == replay["whole"][27:]
    assert replay["seen"] != replay["late"]


def test_a_run_that_diverges_ends_there(found):
    assert 50 < found["diverged"] < 100


RATES = {
    # Where training is chaotic, float32 and float64 part as well: no two programs agree for long.
    ("rnn", "sgd", "none"): 0.02,
    ("attn_rnn", "sgd", "layer"): 3e-4,
    ("attn_rnn", "rmsprop", "layer"): 1e-5,
}
RUNS = [
    *product(["easy"], MODELS, ["sgd", "rmsprop"], ["none", "norm"], NORMS, ["constant"]),
    ("normal", "gated_rnn", "sgd", "none", "none", "cosine"),
    ("normal", "rnn", "rmsprop", "norm", "none", "linear"),
]


@pytest.mark.nightly
def test_the_losses_are_the_benchs(tmp_path):
    runs = []
    for task, model, optimizer, clip, norm, schedule in RUNS:
        lr = RATES.get((model, optimizer, norm), {"sgd": 0.1, "rmsprop": 0.001}[optimizer])
        own = {"task": task, "model": model, "optimizer": optimizer, "lr": lr, "norm": norm}
        clipped = {"clip": 0.2 if clip == "norm" else 0, "scale": 1, "seed": 3, "steps": 100}
        runs.append(own | clipped | {"schedule": schedule})
    program = f"{json.dumps(runs)}.map((own) => [commandOf(own), new Training(own).advance(100)])"
    program = f"{program}.map(([line, rows]) => [line, rows.map((row) => [row.loss, row.norm])])"
    for number, (line, rows) in enumerate(evaluate(program, tmp_path)):
        words = line.split()[3:]
        quiet = "log_every=1", "eval_every=100", "eval_batches=1", "plot=false"
        run = hw2exp.run(*words, *quiet, f"hydra.run.dir={tmp_path / str(number)}")
        losses, norms = np.array(rows).T
        assert np.abs(losses - run.metrics["loss_train"].to_numpy()).max() < 1e-4, line
        assert norms == pytest.approx(run.metrics["grad_norm_raw"].to_numpy(), rel=1e-2), line
