"""Name the signals of a run's state that may announce a spike."""

SIGNALS: dict[str, str] = {
    "loss": (
        "last training loss above its running median, in robust standard deviations, as spikes are "
        "defined"
    ),
    "loss_cusum": "cumulative sum of these over the median's window (Page 1954), allowance 0.5",
    "last_gradient": "norm of the last gradient before clipping, relative to its running median",
    "gradient": "the same of the next gradient",
    "gradient_growth": (
        "factor by which the next ‖∂ℓ/∂h[t]‖ grows with each time step back (Pascanu, Mikolov & "
        "Bengio 2013)"
    ),
    "sharpness": (
        "largest eigenvalue of the Hessian behind the preconditioner, relative to the optimizer's "
        "limit (Cohen et al. 2022)"
    ),
    "directional_curvature": (
        "gᵀP⁻¹Hg / ‖g‖² of the next gradient g and the divisor P of its update, relative to the "
        "same limit (Bai et al. 2025)"
    ),
    "curvature_size": "size of this directional curvature, whatever its sign",
    "attention_entropy": "-Σ a ln a over the lags, in nats, in the next batch",
    "gate_saturation": "share of gates below 0.05 or above 0.95 in the next batch",
}
"""The meaning of each signal of the state before a step. *Last* is the step before, *next* this
step, whose batch is drawn already; NaN where a signal doesn't apply."""
