"""What a report is to be made of: the file ``report.yaml`` of a folder, or none."""

import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hw2exp.config.confinement import check_inside
from hw2exp.config.problems import ConfigError, faults
from hw2exp.config.yaml_file import load_yaml

PLAN = "report.yaml"

FigureName = Literal[
    "curves", "unsolved", "rates", "cures", "aftermath", "published", "reach", "lengths", "spikes",
    "why",
]  # fmt: skip


def _below(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a folder below that of the report")
    return folder


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChapterPlan(_Strict):
    """A part of the page: the runs below one folder.

    Args:
        folder: theirs, relative to that of the report.
        title: its heading.
        text: a paragraph below it.
        claims: whether its runs are to decide claims; or the parts that these are of.
        arms: whether every arm is listed.
        figures: those that are wanted, if there is something to draw; all by default.
    """

    folder: Annotated[str, AfterValidator(_below)]
    title: str
    text: str = ""
    claims: bool | tuple[str, ...] = True
    arms: bool = True
    figures: tuple[FigureName, ...] | None = None


class Plan(_Strict):
    """A page.

    Args:
        title: of the page.
        text: a paragraph below it.
        chapters: its parts; those without runs are left out.
    """

    title: str
    text: str = ""
    chapters: tuple[ChapterPlan, ...] = Field(min_length=1)


def read_plan(folder: Path) -> Plan | None:
    """Read a folder's plan; nothing if it has none.

    Args:
        folder: of the runs.

    Raises:
        ConfigError: it is no plan.
    """
    path = folder / PLAN
    if not os.path.lexists(path):
        return None
    try:
        return Plan.model_validate(load_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {fault}" for fault in faults(error)) from error


def check_target(plan: Plan, target: Path) -> None:
    """Refuse chapters whose files would lie elsewhere than below the report.

    Args:
        plan: the page.
        target: the report's folder.

    Raises:
        ConfigError: with the chapter's folder.
    """
    for chapter in plan.chapters:
        check_inside(target, target / chapter.folder, f"{PLAN}: folder={chapter.folder}")
