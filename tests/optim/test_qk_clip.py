"""QK-Clip against a second form of it, one head at a time, on what the diagnostics see."""

import itertools

import pytest
import torch

from hw2exp.config.registry import CHOICES
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import plain_step
from hw2exp.optim.clipping.qk_clip import QKClip
from hw2exp.runs.checks import check_code
from hw2exp.system.problems import ConfigError
from hw2exp.train import main

SHORT = ("task=easy", "batch_size=6", "model.hidden_size=6", "init.scale=4", "init.input_scale=4")
LIMITS = 0.2, 1e-3, 1e6


def fleets(compose, *words):
    """A fleet of three limits, and the same without clipping."""
    plain = compose(*SHORT, *words, "clip=none")
    clipped = [
        plain.model_copy(update={"clip": QKClip.Knobs(name="qk_clip", max_score=limit)})
        for limit in LIMITS
    ]
    return Fleet(clipped), Fleet([plain] * 3)


def states_and_scores(fleet, symbols):
    """Yield what the cell's equations make of each sequence, one vector at a time."""
    shared = fleet.config.model.name == "attn_rnn_inf"
    lags = 0 if shared else fleet.config.model.lags
    x = fleet.model.input_vectors(symbols, torch.float64)  # (R, T, B, I)
    for r, b in itertools.product(range(len(x)), range(x.shape[2])):
        p = {name: value[r].double() for name, value in fleet.params.items()}
        past = [] if shared else [torch.zeros(6).double()] * lags
        for x_t in x[r, :, b]:
            sources = [p["E"] @ x_t if shared else x_t, *past]
            heads = ["" if shared else f"_{i}" for i in range(len(sources))]
            found = list(zip(heads, sources, strict=True))
            w = [(p[f"Q{head}"] @ own) @ (p[f"K{head}"] @ own) for head, own in found]
            yield from (
                (r, head, own, float(score)) for (head, own), score in zip(found, w, strict=True)
            )
            a = torch.softmax(torch.stack(w), 0)
            h = sum(a_i * (p[f"V{head}"] @ own) for a_i, (head, own) in zip(a, found, strict=True))
            past = [h, *past] if shared else [h, *past][:lags]


def largest(scores):
    found = {}
    for r, head, _, score in scores:
        found[r, head] = max(found.get((r, head), score), score)
    return found


@pytest.mark.parametrize("model", ["attn_rnn", "attn_rnn_inf"])
def test_a_step_is_that_of_the_optimizer_and_then_a_factor_for_each_head(compose, model):
    clipped, plain = fleets(compose, f"model={model}", "optimizer=adam")
    before = largest(states_and_scores(plain, plain.batch(1, 0, 6)[0]))
    plain_step(clipped, 1)
    plain_step(plain, 1)
    fewer = 0
    for name, own in clipped.params.items():
        for r, limit in enumerate(LIMITS):
            factor, head = 1.0, name[1:]
            if name[0] in "QK" and before[r, head] > limit:
                factor, fewer = (limit / before[r, head]) ** 0.5, fewer + 1
            torch.testing.assert_close(own[r], plain.params[name][r] * factor, rtol=1e-5, atol=0)
    assert fewer >= 4
    for name, value in clipped.state.optimizer.items():  # as if nothing had happened
        assert torch.equal(value, plain.state.optimizer[name])


@pytest.mark.parametrize("model", ["attn_rnn", "attn_rnn_inf"])
def test_after_a_step_no_score_of_the_same_batch_exceeds_the_limit(compose, model):
    """Of the same inputs and states: a cell that is clipped goes on to other states."""
    clipped, _ = fleets(compose, f"model={model}", "optimizer=sgd", "optimizer.lr=1e-30")
    before = list(states_and_scores(clipped, clipped.batch(1, 0, 6)[0]))
    plain_step(clipped, 1)
    after = {}
    for r, head, source, _ in before:
        query, key = (clipped.params[f"{name}{head}"][r].double() @ source for name in "QK")
        after[r, head] = max(after.get((r, head), 0.0), float(query @ key))
    for (r, head), score in largest(before).items():
        if score > LIMITS[r]:
            assert after[r, head] == pytest.approx(LIMITS[r], rel=1e-5)
        elif score > 0:
            assert after[r, head] == pytest.approx(score, rel=1e-6)
    assert sum(score > LIMITS[r] for (r, _), score in largest(before).items()) >= 2


def test_a_cell_that_names_no_heads_is_refused(compose, monkeypatch, capsys):
    config = compose("model=attn_rnn", "clip=qk_clip")
    check_code([config])
    from hw2exp.models.cells.attn_rnn import AttnRNN

    monkeypatch.setattr(AttnRNN, "heads", lambda self: {})
    with pytest.raises(ConfigError, match="clip=qk_clip: model=attn_rnn names no heads"):
        check_code([config])
    assert main(["model=attn_rnn", "clip=qk_clip", "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("hw2exp: clip=qk_clip: model=attn_rnn names no heads")


def test_scores_that_are_not_finite_or_negative_clip_nothing():
    clip = QKClip(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64))
    params = {"Q": torch.ones(3, 2, 2), "K": torch.ones(3, 2, 2), "V": torch.ones(3, 2, 2)}
    after = clip.finish(params, {("Q", "K"): torch.tensor([torch.nan, -5.0, 4.0])})
    assert after["Q"].unique(dim=1)[:, 0, 0].tolist() == [1.0, 1.0, 0.5]
    assert torch.equal(after["V"], params["V"])


def test_who_has_attention_names_heads():
    attending = {name for name, own in CHOICES["model"].items() if own.attention}
    assert attending == {"attn_rnn", "attn_rnn_inf"}
