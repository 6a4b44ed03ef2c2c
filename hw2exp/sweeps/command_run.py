"""Check the machine for a command, then execute it."""

from typing import TYPE_CHECKING

from hw2exp.config.command_line import Command
from hw2exp.config.jobs import ENUMERATING
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.terminal import warn

if TYPE_CHECKING:
    from hw2exp.sweeps.job_outcome import JobOutcome


def run_command(command: Command, interrupt: Interrupt) -> "list[JobOutcome]":
    """Check the machine, then execute a command.

    Raises:
        ConfigError: the machine can't run the command; nothing was created.
    """
    if command.multirun:
        command.jobs[0].config.executor.prepare()
    from hw2exp.runs.fleet_run import check_machine
    from hw2exp.runs.inspection import without_run
    from hw2exp.sweeps.execution import execute

    configs = [job.config for job in command.jobs]
    check_machine(configs)
    here = command.jobs[0].config.executor.name == "local"  # a cluster's workers prove it later
    if command.multirun and here and command.shared.choice("hydra/launcher") == "fleet":
        from hw2exp.sweeps.sweep import check_cells

        check_cells(configs)
    known = not command.multirun or command.shared.choice("hydra/sweeper") in ENUMERATING
    if known and (seeds := without_run(configs)):
        warn(f"diagnostics.seeds: no run has seed {', '.join(map(str, seeds))}")
    return [] if interrupt() else execute(command, interrupt)
