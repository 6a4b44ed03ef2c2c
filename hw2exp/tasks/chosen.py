"""Build the task of a config."""

from hw2exp.config.groups import AnyOrder, AnyTask
from hw2exp.config.registry import equations
from hw2exp.tasks.task import Task
from hw2exp.tasks.temporal_order import TemporalOrder


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
