"""The number that keeps a division by a norm finite.

It has a module of its own so that the compiled clipping depends on nothing else.
"""

EPS = 1e-6
"""Added to a norm before dividing by it, as torch's ``clip_grad_norm_`` does."""
