"""Define the charts of TensorBoard's Custom Scalars dashboard, by category."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """A chart of several tags' curves.

    Args:
        title: the chart's title.
        tags: the exact tags; tags that a run lacks are not drawn.
    """

    title: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class BandChart:
    """A chart of a curve within a band.

    Args:
        title: the chart's title.
        value: the tag of the curve.
        lower: the tag of the band's lower edge.
        upper: the tag of the band's upper edge.
    """

    title: str
    value: str
    lower: str
    upper: str


Layout = Mapping[str, Sequence[Lines | BandChart]]
"""Charts by the title of their category. TensorBoard joins the layouts of all runs that it shows,
so a category should have the same charts in all of them."""

RUN: Layout = {
    "training": (
        Lines("loss", ("loss/train", "loss/test")),
        Lines("spikes: the largest loss since the row before", ("loss/train_max",)),
        Lines("gradient norm: raw against clipped", ("grad_norm/raw", "grad_norm/clipped")),
        Lines("learning rate", ("lr",)),
        Lines("accuracy", ("accuracy/train", "accuracy/test")),
    ),
}
"""The charts of one run."""

DIAGNOSED: Layout = {
    **RUN,
    "why": (
        Lines("sharpness against the optimizer's limit",
              ("sharpness/preconditioned", "sharpness/limit")),
        Lines("growth of the gradient with each time step back", ("gradient_flow/growth",)),
        Lines("largest Lyapunov exponent, and its spread",
              ("jacobian/lyapunov", "jacobian/lyapunov_spread")),
        Lines("largest norms", ("gradient_flow/largest", "jacobian/largest")),
        Lines("gates", ("gate/mean", "gate/saturated")),
        Lines("entropy of the attention", ("attention/entropy",)),
        Lines("sizes of logits and scores", ("logits/size", "attention/score_size")),
    ),
}  # fmt: skip
"""The charts of a run with diagnostics."""


def quartile_tags(tag: str) -> tuple[str, str]:
    """Return the tags of the first and third quartiles; the median has the tag itself."""
    return f"{tag}/q1", f"{tag}/q3"


def over_the_arm(name: str, tag: str) -> BandChart:
    """Return the band of a tag over an arm's runs.

    Args:
        name: the meaning of the tag.
        tag: the tag of a run, which the median over runs has too.
    """
    return BandChart(f"{name} over the arm: median and quartiles", tag, *quartile_tags(tag))


RUNS_TAG = "runs"
"""The tag of the number of an arm's runs at a step."""

ARM: Layout = {
    "arms": (  # TensorBoard shows bands from the last to the first
        over_the_arm("gradient norm", "grad_norm/raw"),
        over_the_arm("test accuracy", "accuracy/test"),
        over_the_arm("test loss", "loss/test"),
        over_the_arm("loss", "loss/train"),
    ),
    "runs of the arms": (Lines("runs that have come so far", (RUNS_TAG,)),),
    **RUN,
}
"""The charts of an arm, whose medians have the tags of a run."""


def serialized(layout: Layout) -> bytes:
    """Encode a layout as TensorBoard's protocol buffer."""
    from tensorboard.plugins.custom_scalar import layout_pb2

    message = layout_pb2.Layout()
    for title, charts in layout.items():
        category = message.category.add(title=title)
        for chart in charts:
            drawn = category.chart.add(title=chart.title)
            if isinstance(chart, BandChart):
                drawn.margin.series.add(value=chart.value, lower=chart.lower, upper=chart.upper)
            else:  # TensorBoard takes the tags as regular expressions
                drawn.multiline.tag.extend(f"^{re.escape(tag)}$" for tag in chart.tags)
    content: bytes = message.SerializeToString(deterministic=True)
    return content
