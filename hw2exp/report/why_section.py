"""Make the template's values of a chapter's section on why runs blew up."""

import base64
import shlex
from collections.abc import Callable
from typing import Any

from hw2exp.report.anatomies import AnatomyPage
from hw2exp.report.before_spikes import NEAR, ArmLooks, Counted, Phase
from hw2exp.report.cells import cell, number, plain
from hw2exp.report.claims import percent
from hw2exp.report.figures.why import WHY
from hw2exp.report.why import Why
from hw2exp.system.problems import counted


def section(why: Why, arms: bool) -> dict[str, Any] | None:
    """Return the template's values; None if there are neither looks nor anatomies.

    Args:
        why: the diagnostics and anatomies.
        arms: list the arms.
    """
    if not (why.looks or why.pages):
        return None
    return {
        "looked": bool(why.looks),
        "near": NEAR,
        "reading": WHY,
        "phases": [str(phase) for phase in Phase],
        "arms": [
            {"name": each.arm.name, "cells": _cells(each)} for each in (why.looks if arms else [])
        ],
        "figures": [
            {
                "name": each.name,
                "title": each.title,
                "png": base64.b64encode(each.png).decode(),
            }
            for each in why.figures
        ],
        "pages": [_page(each) for each in why.pages],
    }


def _cells(each: ArmLooks) -> list[dict[str, Any]]:
    return [
        plain(each.runs) | {"basis": ""},
        plain(each.looks) | {"basis": ""},
        *(_cell(each.growth[phase], number) for phase in Phase),
        _cell(each.unstable_ever, percent),
        *(_cell(each.unstable[phase], percent) for phase in Phase),
        _cell(each.lyapunov, number),
        _cell(each.lyapunov_spread, number),
        _cell(each.lyapunov_signed, percent),
    ]


def _cell(found: Counted, written: Callable[[float], str]) -> dict[str, Any]:
    basis = f"{counted(found.looks, 'look')}, {counted(found.runs, 'run')}" if found.runs else ""
    return cell(found.estimate, written) | {"basis": basis}


def _page(each: AnatomyPage) -> dict[str, str]:
    which, what = each.number or "divergence", "The divergence"
    if each.number:
        what = f"Spike {each.number}"
    command = f"python -m hw2exp.anatomy {shlex.quote(str(each.run.folder))} --spike {which}"
    return {
        "title": f"{what} of {each.arm.name}, seed {each.run.config.seed}",
        "command": command,
        "png": base64.b64encode(each.png).decode(),
    }
