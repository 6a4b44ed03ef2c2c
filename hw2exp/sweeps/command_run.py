"""Check the machine for a command, then execute it."""

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hw2exp.config.command_line import Command
from hw2exp.config.own_code import own_choices
from hw2exp.config.schema import TrainConfig
from hw2exp.config.trusted import PER_JOB
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import uncollected
from hw2exp.system.terminal import warn

if TYPE_CHECKING:
    from hw2exp.sweeps.job_outcome import JobOutcome
    from hw2exp.sweeps.packed_sweep import PackedOutcome


def run_command(command: Command, interrupt: Interrupt) -> "list[JobOutcome] | PackedOutcome":
    """Check the machine, then execute a command.

    Raises:
        ConfigError: the machine can't run the command; nothing was created.
    """
    if command.multirun:
        command.jobs[0].config.executor.prepare()
    with uncollected():
        from hw2exp.runs.checks import check_machine
        from hw2exp.sweeps.execution import execute

    configs = command.configs
    check_machine(configs)
    here = command.jobs[0].config.executor.name == "local"  # a cluster's workers are checked later
    if command.multirun and here and command.launcher == "fleet":
        from hw2exp.sweeps.sweep import check_own

        check_own(configs)
    if command.launcher in PER_JOB:
        _check_launcher(command.launcher, configs)
    if command.jobs_known and (seeds := _without_run(configs)):
        warn(f"diagnostics.seeds: no run has seed {', '.join(map(str, seeds))}")
    return [] if interrupt() else execute(command, interrupt)


def _without_run(configs: Sequence[TrainConfig]) -> list[int]:
    """Return the seeds that ``diagnostics.seeds`` names but that no run has."""
    named = {seed for config in configs for seed in config.diagnostics.seeds or ()}
    return sorted(named - {config.seed for config in configs})


def _check_launcher(launcher: str | None, configs: Sequence[TrainConfig]) -> None:
    """Refuse a launcher whose jobs can't start in their own processes.

    Raises:
        ConfigError: there is no Slurm, or the processes don't know a choice.
    """
    if launcher == "submitit_slurm" and shutil.which("srun") is None:
        raise ConfigError([f"hydra/launcher={launcher}: there is no Slurm here: no command srun"])
    if own := own_choices(configs):
        what = f"hydra/launcher={launcher} with {' '.join(sorted(own))}"
        raise ConfigError([f"{what}: its processes don't import this; must be fleet or basic"])
