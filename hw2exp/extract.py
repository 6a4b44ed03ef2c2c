"""Run the command ``python -m hw2exp.extract``: write the folders of runs from packed records.

A run is made again, because its config gives the same bits, and is compared with its record.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.config.folder import check_there, typed_path
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, echo_error, relative

if TYPE_CHECKING:
    from hw2exp.records.packed import PackedSweep


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 for success; 1 if a folder can't be written, or a run differs from its
        record; 2 for bad input, when nothing is written.
    """
    try:
        arguments = _parser().parse_args(argv)
        return _run(Path(arguments.folder), list(dict.fromkeys(arguments.job)))
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    parser = parser_of(
        "hw2exp.extract",
        "Write the folder that a run of a sweep would have had with records=folders: DIR/NUMBER. "
        "The run is made again, and its digests are compared with the packed record.",
    )
    parser.add_argument(
        "folder", type=typed_path, metavar="DIR", help="of a sweep with packed records"
    )
    parser.add_argument(
        "--job", type=int, metavar="NUMBER", action="append", required=True,
        help="the number of the run, as the column job of the records has it; may be repeated",
    )  # fmt: skip
    return parser


def _run(folder: Path, jobs: Sequence[int]) -> int:
    from hw2exp.records.packed import PackedSweep
    from hw2exp.records.packed_rows import JOB

    check_there(folder, str(folder))
    sweep = PackedSweep.named(folder)
    problems = [
        f"--job={job}: must be 0 to {len(sweep.axes) - 1}"
        for job in jobs
        if not 0 <= job < len(sweep.axes)
    ]
    if problems:
        raise ConfigError(problems)
    try:
        records = {row[JOB]: row for row in sweep.runs().iter_rows(named=True) if row[JOB] in jobs}
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    problems = [f"--job={job}: has no record" for job in jobs if job not in records]
    problems += [
        f"--job={job}: {folder / str(job)} is there already; must be removed first"
        for job in jobs
        if (folder / str(job)).exists()
    ]
    if problems:
        raise ConfigError(problems)
    status = 0
    for job in jobs:
        status = max(status, _extract(sweep, job, records[job]))
        if status > 128:  # a signal's
            break
    return status


def _extract(sweep: "PackedSweep", number: int, record: Mapping[str, Any]) -> int:
    """Make a run again in a folder of its own; return the exit status."""
    from hw2exp.fleet.pruning import KnownEnd
    from hw2exp.records.run_dir import RunResult
    from hw2exp.runs.fleet_run import run_fleet
    from hw2exp.sweeps.hydra_records import write_config
    from hw2exp.system import disk
    from hw2exp.system.interrupt import Interrupt

    own = sweep.folder / str(number)
    config = sweep.config(number).model_copy(update={"check_initial_loss": "off"})
    write_config(own, config, sweep.axes.lines(number))
    try:
        with Interrupt() as interrupt:
            end = KnownEnd(record["pruned_at"])  # other arms decided it
            (outcome,) = run_fleet([config], [own], interrupt, show=False, pruning=end)
    except BaseException:  # a signal before the first step exits
        disk.remove(own)
        raise
    if interrupt():
        disk.remove(own)
        return interrupt.status
    if not isinstance(outcome, RunResult):
        echo_error(f"job {number}: {outcome}")
        return 1
    for name in ("parameters_sha256", "metrics_sha256"):
        if record[name] != getattr(outcome, name):
            echo_error(f"job {number}: came out otherwise than its record: {name} differs")
            return 1
    echo(f"job {number} → {relative(own)}, with the digests of its record")
    return 0


if __name__ == "__main__":
    process(main)
