import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hw2exp.theory import convolution

PAIR = st.integers(1, 5) | st.tuples(st.integers(1, 5), st.integers(1, 5))
PADDING = st.integers(0, 4) | st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30)),
    filters=st.integers(1, 4),
    kernel=PAIR,
    stride=PAIR,
    padding=PADDING,
    dilation=PAIR,
)
@settings(max_examples=300)
def test_the_shape_is_that_of_torch_or_both_refuse(shape, filters, **options):
    kernel = options.pop("kernel")
    layer = nn.Conv2d(shape[0], filters, kernel, device="meta", **options)
    try:
        judged = tuple(layer(torch.empty(shape, device="meta")).shape)
    except RuntimeError:
        with pytest.raises(ValueError, match="spans"):
            convolution.output_shape(shape, filters, kernel, **options)
    else:
        assert convolution.output_shape(shape, filters, kernel, **options) == judged


@pytest.mark.parametrize(
    ("shape", "filters", "options", "message"),
    [
        ((0, 5, 5), 1, {"kernel": 2}, "channels=0: must be at least 1"),
        ((1, 0, 5), 1, {"kernel": 1}, "size=0: must be at least 1"),
        ((1, 5, 5), 0, {"kernel": 2}, "filters=0: must be at least 1"),
        ((1, 5, 5), 1, {"kernel": 0}, "kernel=0: must be at least 1"),
        ((1, 5, 5), 1, {"kernel": 2, "stride": 0}, "stride=0: must be at least 1"),
        ((1, 5, 5), 1, {"kernel": 2, "padding": -1}, "padding=-1: must be at least 0"),
        ((1, 5, 5), 1, {"kernel": 2, "dilation": (1, 0)}, "dilation=0: must be at least 1"),
        (
            (1, 5, 5),
            1,
            {"kernel": 3, "dilation": 3},
            "kernel=3: with dilation 3 it spans 7, and the padded input is 5 long",
        ),
    ],
)
def test_impossible_sizes_are_named(shape, filters, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        convolution.output_shape(shape, filters, **options)


SIZES = {
    "filters": st.integers(1, 3),
    "channels": st.integers(1, 4),
    "kernel": st.integers(1, 4),
    "more": st.integers(0, 7),
    "stride": st.integers(1, 5),
    "seed": st.integers(0, 99),
}


def case(filters, channels, kernel, more, seed):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(filters, channels, kernel, dtype=torch.float64, generator=generator)
    return W, torch.randn(channels, kernel + more, dtype=torch.float64, generator=generator)


@given(**SIZES)
@settings(max_examples=60)
def test_values_and_derivatives_are_those_of_torch(stride, **sizes):
    W, x = case(**sizes)

    def judge(W, x):
        return functional.conv1d(x[None], W, stride=stride)[0]

    f = convolution.forward(W, x, stride)
    torch.testing.assert_close(f, judge(W, x), rtol=1e-12, atol=1e-12)
    by_W, by_x = torch.autograd.functional.jacobian(judge, (W, x))
    assert torch.equal(convolution.weight_jacobian(W, x, stride), by_W)
    assert torch.equal(convolution.input_jacobian(W, x, stride), by_x)
    upstream = torch.randn_like(f)
    gradient = convolution.weight_gradient(W, x, stride, upstream)
    chained = torch.einsum("fi,figmn->gmn", upstream, by_W)
    torch.testing.assert_close(gradient, chained, rtol=1e-12, atol=1e-12)


def test_a_kernel_longer_than_the_input_is_refused():
    W, x = torch.ones(1, 1, 4), torch.ones(1, 3)
    with pytest.raises(ValueError, match="spans 4, and the padded input is 3 long"):
        convolution.forward(W, x, 1)
