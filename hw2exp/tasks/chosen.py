"""Build the task of a config, and its stream."""

from hw2exp.config.groups import AnyOrder, AnyTask
from hw2exp.config.registry import equations
from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.task import Task
from hw2exp.tasks.temporal_order import TemporalOrder
from hw2exp.tasks.variants.hochreiter import Hochreiter


def task_of(section: AnyTask) -> Task:
    """Build a task from its section; temporal order needs no more than its ranges.

    Args:
        section: the ``task`` section of a config.
    """
    if isinstance(section, AnyOrder):
        return TemporalOrder(*section.ranges, section.framed)
    knobs = {name: getattr(section, name) for name in type(section).model_fields if name != "name"}
    task: Task = equations("task", section.name)(**knobs)
    return task


def notebook_of(section: AnyTask, batch_size: int) -> NotebookStream | None:
    """Return the published notebook's stream of batches, if the section asks for it.

    Args:
        section: the ``task`` section of a config.
        batch_size: the number of sequences in a batch.
    """
    if isinstance(section, Hochreiter) and section.stream == "notebook":
        order = TemporalOrder(*section.ranges)
        return NotebookStream(order, batch_size, section.notebook_seed)
    return None
