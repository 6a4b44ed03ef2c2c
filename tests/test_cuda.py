"""The same fleet on a GPU and on the CPU."""

import pytest
import torch

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
MODELS = "gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm", "gru", "mingru", "lru"


@pytest.mark.parametrize("norm", ["none", "layer", "sigma_reparam"])
@pytest.mark.parametrize("model", MODELS)
def test_the_first_steps_agree_with_the_cpus(compose, model, norm):
    configs = [
        compose(f"model={model}", f"norm={norm}", "optimizer=sgd", f"seed={seed}")
        for seed in range(4)
    ]
    on_cpu, on_gpu = Fleet(configs), Fleet(configs, "cuda")
    for step in range(1, 6):
        expected, measured = train_step(on_cpu, step), train_step(on_gpu, step)
        torch.testing.assert_close(measured.loss.cpu(), expected.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(on_gpu.state.params.cpu(), on_cpu.state.params, rtol=1e-5, atol=1e-5)
