"""Build the task of a config."""

from hw2exp.config.groups import AnyTask
from hw2exp.config.registry import equations
from hw2exp.tasks.task import Task


def task_of(section: AnyTask) -> Task:
    """Build a task from its section.

    Args:
        section: the ``task`` section of a config.
    """
    knobs = {name: getattr(section, name) for name in type(section).model_fields if name != "name"}
    task: Task = equations("task", section.name)(**knobs)
    return task
