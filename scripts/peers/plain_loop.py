"""Train the gated RNN without hw2exp, in the usual way: nn.Module, autograd, torch.optim, Hydra.

    python scripts/peers/plain_loop.py -m 'seed=range(0,4)'

The loop draws the same sequences, makes the same test passes and logs the loss at the same cadence.
It writes no tables and no figures, finds no spikes and does not check the initial loss.
"""

from collections.abc import Iterator

import hydra
import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.tensorboard import SummaryWriter

from hw2exp.tasks.task import TEST, TRAIN
from hw2exp.tasks.temporal_order import CLASSES, PAD, TemporalOrder

NORMAL = TemporalOrder(length=(30, 41), t1=(2, 6), t2=(20, 28))


class GatedRNN(nn.Module):
    """c[t] = σ(W_c x[t] + W_h h[t-1]), h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ W_x x[t]; a readout."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.candidate = nn.Linear(PAD, hidden_size, bias=False)
        self.gate = nn.Linear(PAD, hidden_size, bias=False)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)
        self.readout = nn.Linear(hidden_size, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits ``(B, C)`` of one-hot sequences ``(T, B, I)``."""
        h = x.new_zeros(x.shape[1], self.recurrent.in_features)  # (B, H)
        for candidate, gate in zip(self.candidate(x), self.gate(x), strict=True):
            c = torch.sigmoid(gate + self.recurrent(h))
            h = c * h + (1 - c) * candidate
        return self.readout(h)


def batches(seed: int, size: int, stream: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one-hot sequences ``(T, B, I)`` and labels ``(B,)``, step after step."""
    one_hot, step = torch.eye(PAD + 1, PAD), 0
    while True:
        step += 1
        drawn = NORMAL.batch(np.array([seed], dtype=np.uint64), step, size, stream)
        symbols, labels = (torch.from_numpy(array[0]).long() for array in drawn)
        yield one_hot[symbols.T], labels


@torch.no_grad()
def test(model: GatedRNN, x: Tensor, labels: Tensor) -> dict[str, float]:
    logits = model(x)
    accuracy = (logits.argmax(1) == labels).float().mean()
    return {"loss/test": float(cross_entropy(logits, labels)), "accuracy/test": float(accuracy)}


@hydra.main(version_base="1.3", config_path=".", config_name="plain_loop")
def main(config: DictConfig) -> None:
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model = GatedRNN(config.hidden_size)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=config.lr)
    training = batches(config.seed, config.batch_size, TRAIN)
    testing = batches(config.seed, config.batch_size * config.eval_batches, TEST)
    with SummaryWriter(HydraConfig.get().runtime.output_dir) as writer:
        for step in range(1, config.steps + 1):
            x, labels = next(training)
            loss = cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % config.log_every == 0:
                writer.add_scalar("loss/train", loss.item(), step)
            if step % config.eval_every == 0:
                for tag, value in test(model, *next(testing)).items():
                    writer.add_scalar(tag, value, step)


if __name__ == "__main__":
    main()
