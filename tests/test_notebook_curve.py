"""The published curve's experiment against a plain loop with torch's own modules."""

import numpy as np
import pytest
import torch
from torch import nn

from hw2exp.fleet import Fleet
from hw2exp.notebook_stream import NotebookStream
from hw2exp.task import PAD, TEST, TRAIN, TemporalOrder
from hw2exp.training import train

ONE = np.zeros(1, dtype=np.uint64)


class Losses:
    def __init__(self):
        self.train, self.test, self.accuracy = [], [], []

    def observe(self, step, measured, tested):
        self.train.append(float(measured.loss))
        if tested is not None:
            self.test.append(float(tested.losses[0, -1]))
            self.accuracy.append(float(tested.accuracy))


def plain_loop(module, hidden, task, epochs):
    """What the notebook does, in torch alone: per-epoch train loss, test loss, test accuracy."""
    torch.manual_seed(1)
    rnn, readout = module(8, hidden), nn.Linear(hidden, 4)
    optimizer = torch.optim.RMSprop([*rnn.parameters(), *readout.parameters()], lr=0.001)
    stream, one_hot = NotebookStream(task, 32, 8382), torch.eye(PAD + 1, PAD)
    curve = []
    for epoch in range(epochs):
        for step in range(31 * epoch + 1, 31 * epoch + 32):
            loss, _ = losses_of(rnn, readout, one_hot, stream.batch(ONE, step, 32, TRAIN))
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
        with torch.no_grad():
            batch = stream.batch(ONE, 31 * (epoch + 1), 31 * 32, TEST)
            test, right = losses_of(rnn, readout, one_hot, batch)
        loss = loss.detach()
        curve.append((float(loss.mean()), float(test[-32:].mean()), float(right.float().mean())))
    return curve


def losses_of(rnn, readout, one_hot, batch):
    symbols, labels = (torch.from_numpy(array[0]).long() for array in batch)
    logits = readout(rnn(one_hot[symbols.T])[0][-1])
    return nn.functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels


@pytest.mark.parametrize(
    ("experiment", "module", "hidden"),
    [
        ("notebook_lstm_moderate", nn.LSTM, 12),
        pytest.param(
            "notebook_rnn_easy",
            lambda i, h: nn.RNN(i, h, nonlinearity="relu"),
            4,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_ten_epochs_equal_a_plain_loop_on_the_same_stream(compose, experiment, module, hidden):
    config = compose(f"experiment={experiment}", "steps=310")
    task = TemporalOrder(config.task.length, config.task.t1, config.task.t2)
    losses = Losses()
    train(Fleet([config]), [losses])
    mine = list(zip(losses.train[30::31], losses.test, losses.accuracy, strict=True))
    assert len(mine) == 10
    np.testing.assert_allclose(mine, plain_loop(module, hidden, task, 10), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_curves_shape_over_16_model_seeds(compose):
    """Beyond epoch 12 the curve is chaotic; what must agree with the write-up's notes is its shape:
    a start at ln 4, a plateau of about 12 epochs, spikes above 1.5 in most runs (13 of 16 there),
    and most runs ending at a test accuracy of 0.95 or more (11 of 16 there)."""
    config = compose("experiment=notebook_lstm_moderate")

    class Curves:
        train, test, accuracy = [], [], []

        def observe(self, step, measured, tested):
            if tested is not None:
                self.train.append(measured.loss.tolist())
                self.test.append(tested.losses[:, -1].tolist())
                self.accuracy.append(tested.accuracy.tolist())

    curves = Curves()
    train(Fleet([config.model_copy(update={"seed": seed}) for seed in range(1, 17)]), [curves])
    train_loss, test_loss = np.array(curves.train), np.array(curves.test)  # (epochs, R)
    assert np.abs(train_loss[0] - np.log(4)).max() < 0.05
    plateau = (train_loss < 1.3).argmax(0)
    assert 8 <= np.median(plateau) <= 18
    spiked = (np.maximum(train_loss, test_loss) > 1.5).any(0).sum()
    solved = (np.array(curves.accuracy)[-1] >= 0.95).sum()
    assert 9 <= spiked <= 16
    assert 7 <= solved <= 15
