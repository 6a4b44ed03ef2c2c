"""Format Markdown tables for TensorBoard's Text dashboard."""

from collections.abc import Mapping, Sequence

from hw2exp.records.spike import Spike
from hw2exp.records.tensorboard import Plain


def config_table(values: Mapping[str, "Plain"]) -> str:
    """Format a config as a Markdown table.

    Args:
        values: the flattened config.
    """
    rows = "".join(f"| {name} | `{value}` |\n" for name, value in values.items())
    return f"| key | value |\n| --- | --- |\n{rows}"


def spike_table(spikes: Sequence[Spike]) -> str:
    """Format spikes as a Markdown table.

    Args:
        spikes: the spikes in order.
    """
    head = "| step | loss | median before | above the initial loss |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {s.step} | {s.loss:.4g} | {s.median:.4g} | {'yes' if s.above_initial else 'no'} |"
        for s in spikes
    )
