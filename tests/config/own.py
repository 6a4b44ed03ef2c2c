"""The choices of docs/examples, and short runs with them."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CHOSEN = [
    "model=my_mingru", "task=first_letter", "optimizer=my_lion", "clip=tensor_norm", "norm=rms",
    "regularizer=smoothing", "schedule=linear_to", "metric=angle",
]  # fmt: skip
SHORT = ["steps=6", "eval_every=3", "eval_batches=1", "batch_size=8", "plot=false",
         "metric.every=2", "checkpoint_every=2"]  # fmt: skip
