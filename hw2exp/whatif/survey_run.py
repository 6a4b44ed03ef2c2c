"""Try interventions at the moments of a run, and write its tables."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hw2exp.config.run_files import WHATIF
from hw2exp.diagnostics.spikes import find_spikes, running_median
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.arms import Run
from hw2exp.records.moments import (
    BRANCH,
    BRANCHES_FILE,
    RUN,
    SIGNAL,
    SIGNALS_FILE,
    MomentKind,
    write_moments,
)
from hw2exp.records.spike import Spike
from hw2exp.runs.spike_request import OTHER_RUN, check_made_again, on_cpu
from hw2exp.runs.start_state import beginning
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.version import VERSION
from hw2exp.whatif.branches import make_again
from hw2exp.whatif.moments import Moment, choose_spikes, quiet_moments
from hw2exp.whatif.signals import History, measure
from hw2exp.whatif.trial import Trunk, chosen

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Survey:
    """A request: the interventions and the moments at which to try them.

    Args:
        dos: the interventions in words; by default those of :mod:`hw2exp.whatif.choices`.
        leads: the numbers of steps before a moment from which branches are trained.
        following: the number of steps that branches are followed after the moment.
        most: most spikes of a run.
        starts: the steps from which cures stay on.
        staying: the number of steps that they stay on.
    """

    dos: tuple[str, ...]
    leads: tuple[int, ...]
    following: int
    most: int
    starts: tuple[int, ...]
    staying: int

    def asked(self, run: Run) -> dict[str, str]:
        """Return the request for a run, which its tables record as metadata."""
        words = {"asked": json.dumps(asdict(self)), RUN: run.result.metrics_sha256}
        return words | {"hw2exp": VERSION}


def survey_run(run: Run, survey: Survey) -> str:
    """Try interventions at the moments of a run, write its tables, and return a line about them.

    Args:
        run: the run.
        survey: the request.

    Raises:
        ConfigError: an intervention doesn't apply, or the steps made again are not the run's.
        OSError: a table can't be written.
    """
    import polars

    with torch_as_known():
        trunk, moments = trunk_of(run, survey)
        signals = list(signals_of(trunk, moments, survey))
        rows = list(branches_of(trunk, moments, survey))
    folder, asked = run.folder / WHATIF, survey.asked(run)
    table = polars.DataFrame(rows, schema=BRANCH, orient="row")
    disk.refuse_other(folder)
    disk.make_folder(folder)
    write_moments(folder / SIGNALS_FILE, polars.DataFrame(signals, SIGNAL, orient="row"), asked)
    write_moments(folder / BRANCHES_FILE, table, asked)
    count = table.select("moment", "number", "start").unique()["moment"].value_counts(name="n")
    kinds = {str(kind): n for kind, n in count.rows()}
    return ", ".join(counted(kinds.get(kind, 0), f"{kind} moment") for kind in ("spike", "quiet"))


def trunk_of(run: Run, survey: Survey) -> tuple[Trunk, list[Moment]]:
    """Make a run again; return it with its states before its moments, and the moments.

    Args:
        run: the run.
        survey: the request.

    Raises:
        ConfigError: the steps made again are not the run's.
    """
    config, start = on_cpu(run.config), beginning(on_cpu(run.config))
    spikes = [Spike.of(each) for each in run.result.spikes]
    losses = make_again(config, start, [], config.steps).losses
    check_made_again(run.folder, spikes, dict(enumerate(map(float, losses), 1)))
    knobs, initial = config.spikes, run.result.initial["loss"]
    own = losses[: run.result.step]
    if spikes != find_spikes(own, knobs.window, knobs.margin, knobs.deviations, initial):
        raise ConfigError([f"{run.folder}: its spikes are not those of its losses; {OTHER_RUN}"])
    moments = _moments(run, survey, spikes, losses)
    firsts = {moment.spike.start - lead for moment, lead in _leads(moments, survey)}
    again = make_again(config, start, firsts, config.steps)
    return Trunk(run.folder, config, initial, again), moments


def signals_of(trunk: Trunk, moments: Sequence[Moment], survey: Survey) -> Iterator[Row]:
    """Yield a row of signals for each spike and quiet moment, from each lead.

    Args:
        trunk: the run made again.
        moments: its moments.
        survey: the request.
    """
    fleet = Fleet([trunk.config])
    for moment, lead in _leads(moments, survey):
        if moment.kind is not MomentKind.STEP:
            step = moment.spike.start - lead
            fleet.state = trunk.again.states[step]
            before = slice(0, step - 1)
            history = History(trunk.again.losses[before], trunk.again.grad_norms[before])
            yield *moment.columns, lead, *measure(fleet, step, history).values()


def branches_of(trunk: Trunk, moments: Sequence[Moment], survey: Survey) -> Iterator[Row]:
    """Yield a row for each moment, lead and branch: the fate of the moment, and the branch's end.

    Args:
        trunk: the run made again.
        moments: its moments.
        survey: the request.
    """
    config = trunk.config
    choices, interventions, _ = chosen(Fleet([config]), survey.dos)
    everything = list(zip(choices, interventions, strict=True))
    lasting = [everything[0], *(each for each in everything if each[1].stays_on(config))]
    for moment, lead in _leads(moments, survey):
        steps = moment.kind is MomentKind.STEP
        following = survey.staying - 1 if steps else survey.following
        last = min(moment.spike.end + following, config.steps)
        names, own = zip(*(lasting if steps else everything), strict=True)
        made, fates = trunk.branch(own, moment.spike, moment.spike.start - lead, last)
        for place, (choice, fate) in enumerate(zip(names, fates, strict=True)):
            accuracy = float(made.test_accuracy[place])
            yield (
                *moment.columns, lead, choice.do, str(choice.kind),
                str(fate.outcome), fate.spikes,
                int(np.isfinite(made.losses[:, place]).sum()), bool(made.diverged_at[place]),
                float(made.test_loss[place]), accuracy, accuracy >= config.solved_accuracy,
            )  # fmt: skip


def _moments(run: Run, survey: Survey, spikes: Sequence[Spike], losses: Any) -> list[Moment]:
    """Return the moments of a run: spikes, quiet ones, and steps."""
    window, seed = run.config.spikes.window, run.config.seed
    numbers = choose_spikes(spikes, survey.leads, survey.most, seed)
    quiet = quiet_moments(
        losses[: run.result.step], spikes, numbers, max(survey.leads), window, seed
    )
    medians = running_median(losses[:, None], window)[:, 0]
    plain = [
        Moment(MomentKind.STEP, 0, Spike(step, step, step, np.nan, medians[step - 1], False))
        for step in survey.starts
        if step < run.result.step
    ]
    return [*(Moment(MomentKind.SPIKE, n, spikes[n - 1]) for n in numbers), *quiet, *plain]


def _leads(moments: Sequence[Moment], survey: Survey) -> Iterator[tuple[Moment, int]]:
    """Yield each moment with each lead shorter than its step; a moment of kind step has lead 0."""
    for moment in moments:
        leads = (0,) if moment.kind is MomentKind.STEP else survey.leads
        yield from ((moment, lead) for lead in leads if lead < moment.spike.start)
