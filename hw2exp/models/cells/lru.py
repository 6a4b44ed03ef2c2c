"""The linear recurrent unit, LRU: a diagonal complex recurrence (Orvieto et al. 2023)."""

import math
from collections.abc import Callable
from typing import Annotated, Any

from hw2exp.config.doors import register_cell
from hw2exp.config.knob import shared
from hw2exp.models.axes import Params
from hw2exp.models.cell import Carry, Cell, Inputs, Weight, product
from hw2exp.models.normalization import Features, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch

HALF_STEP = 2.0**-25
"""Added to torch's uniform numbers, multiples of 2⁻²⁴, so that none is 0 or 1."""


@register_cell("lru")
class LRU(Cell):
    """A linear recurrence of N = H/2 complex numbers, each with its own eigenvalue.

    λ = exp(-exp(ν) + i exp(θ)),  s[t] = λ ⊙ s[t-1] + exp(γ) ⊙ B x[t],  h[t] = (Re s[t], Im s[t]).

    The linear readout of h is the paper's Re(C s), with C the readout's weights. The paper's
    D x[t], which depends on the last symbol alone, is left out. λ is drawn uniformly from the ring
    between the radii ``r_min`` and ``r_max``, with a phase from 0 to ``max_phase``. γ starts as
    ln √(1 - |λ|²), so that white input gives a state of the input's size. B starts normal, with
    variance 1/I.

    Source: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences",
    arXiv:2303.06349, §3 and appendix A.
    """

    r_min: Annotated[float, shared("smallest |λ| at the start", ge=0, lt=1)]
    r_max: Annotated[float, shared("largest |λ| at the start", gt=0, le=1)]
    max_phase: Annotated[float, shared("largest phase of λ at the start, in radians", gt=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problems of an odd state, a ring without room, and a scale without effect."""
        problems: list[str] = config.init.unscaled(
            "model=lru draws its eigenvalues from the ring of model.r_min and model.r_max", "scale"
        )
        if knobs.hidden_size % 2:
            why = "must be even in model=lru, whose state is real and imaginary parts"
            problems.append(f"model.hidden_size={knobs.hidden_size}: {why}")
        if knobs.r_min >= knobs.r_max:
            problems.append(f"model.r_min={knobs.r_min:g}: must be < model.r_max={knobs.r_max:g}")
        return problems

    def weights(self) -> dict[str, Weight]:
        """Return ν, θ, γ: (N,); the real and the imaginary part of B: (2N, I)."""
        inputs, n = self.input_size, self.hidden_size // 2
        return {
            "nu_log": Weight((n,), "own", fan=inputs, draw=self._draw_nu),
            "theta_log": Weight((n,), "own", fan=inputs, draw=self._draw_theta),
            "gamma_log": Weight((n,), "own", fan=inputs, draw=self._gamma),
            "B": Weight((2 * n, inputs), "input", fan=inputs, draw=self._draw_input),
        }

    def _draw_nu(self, drawn: Params, generator: Any) -> Tensor:
        """Draw ν for a uniform |λ|², which makes λ uniform in the ring (the paper's lemma 3.2)."""
        low, high = self.options.r_min**2, self.options.r_max**2
        return _each(lambda log, u: log(-0.5 * log(u * (high - low) + low)), self._draw(generator))

    def _draw_theta(self, drawn: Params, generator: Any) -> Tensor:
        """Draw θ for a uniform phase exp(θ)."""
        return _each(lambda log, u: log(self.options.max_phase * u), self._draw(generator))

    def _gamma(self, drawn: Params, generator: Any) -> Tensor:
        """Return γ = ln √(1 - |λ|²)."""
        from hw2exp.system.elementary import exp  # lazily: the compiler loads slowly

        return _each(lambda log, nu: 0.5 * log(1 - exp(-2 * exp(nu))), drawn["nu_log"])

    def _draw(self, generator: Any) -> Tensor:
        """Draw uniform numbers between 0 and 1, ``(N,)``, none of which is 0 or 1."""
        return torch.rand(self.hidden_size // 2, generator=generator).double() + HALF_STEP

    def _draw_input(self, drawn: Params, generator: Any) -> Tensor:
        """Draw both parts of B, whose complex entries have variance 1/I, ``(2N, I)``."""
        from hw2exp.models.random_matrices import normal

        size = 2 * (self.hidden_size // 2), self.input_size
        return (normal(size, generator) / math.sqrt(2 * self.input_size)).float()

    def terms(self) -> Terms:
        """Return the product with the input, both parts."""
        return {"B": Features((self.hidden_size,))}

    def prepare(self, params: Params) -> Params:
        """Add the real and the imaginary part of λ, each ``(R, N)``, and exp(γ) for both parts."""
        modulus = (-params["nu_log"].exp()).exp()
        phase = params["theta_log"].exp()
        gain = params["gamma_log"].exp()
        return params | {
            "real": modulus * phase.cos(),
            "imaginary": modulus * phase.sin(),
            "gain": torch.cat((gain, gain), 1),  # (R, H)
        }

    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute exp(γ) ⊙ B x[t] for all t."""
        drive = norm("B", product(params["B"], x))  # (R, T, B, H)
        return (params["gain"][:, None, None] * drive,)

    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return s[0] = 0."""
        return (zeros,)

    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Compute s[t]."""
        (drive,), (h,) = inputs, carry
        a, b = params["real"][:, None], params["imaginary"][:, None]  # (R, 1, N)
        re, im = h.chunk(2, -1)  # (R, B, N)
        h = torch.cat((a * re - b * im, a * im + b * re), -1) + drive  # (R, B, H)
        return h, (h,)


def _each(function: Callable[[Any, float], float], values: Tensor) -> Tensor:
    """Apply a function of a logarithm and a number to each number, ``(n,)`` in float32.

    The logarithm has the same bits on every machine.
    """
    from hw2exp.system.elementary import log  # lazily: the compiler loads slowly

    return torch.tensor([function(log, value) for value in values.tolist()])
