"""Read the plan of a report: the optional file ``report.yaml`` of a folder."""

import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hw2exp.config.folder import check_inside
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError, faults

PLAN = "report.yaml"

FigureName = Literal[
    "curves", "unsolved", "rates", "cures", "effects", "aftermath", "published", "reach",
    "lengths", "maps", "spikes", "why", "warning",
]  # fmt: skip


def _below(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a folder below that of the report")
    return folder


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChapterPlan(_Strict):
    """A chapter of the page: the runs below one folder.

    Args:
        folder: the folder of the runs, relative to the plan's.
        title: the heading.
        text: a paragraph below the heading.
        claims: whether to judge all claims or none; or the parts whose claims to judge.
        arms: whether to list every arm and comparison.
        figures: the wanted figures, drawn if there are runs for them; all by default.
    """

    folder: Annotated[str, AfterValidator(_below)]
    title: str
    text: str = ""
    claims: bool | tuple[str, ...] = True
    arms: bool = True
    figures: tuple[FigureName, ...] | None = None

    def wants(self, figure: FigureName) -> bool:
        """Return whether a figure is wanted."""
        return self.figures is None or figure in self.figures


def _own_folders(chapters: tuple[ChapterPlan, ...]) -> tuple[ChapterPlan, ...]:
    """Refuse chapters whose files would replace each other's."""
    if not all(each.title for each in chapters):
        raise ValueError("each must have a title")
    if len({PurePosixPath(each.folder) for each in chapters}) < len(chapters):
        raise ValueError("each must have a folder of its own")
    return chapters


class Plan(_Strict):
    """The plan of a page.

    Args:
        title: the page's title.
        text: a paragraph below the title.
        chapters: the chapters; the page leaves out chapters whose folder doesn't exist.
    """

    title: str
    text: str = ""
    chapters: Annotated[tuple[ChapterPlan, ...], Field(min_length=1), AfterValidator(_own_folders)]


def read_plan(folder: Path) -> Plan | None:
    """Read a folder's plan; return None if there is none.

    Raises:
        ConfigError: the file is not a valid plan.
    """
    path = folder / PLAN
    if not os.path.lexists(path):
        return None
    try:
        return Plan.model_validate(load_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {fault}" for fault in faults(error)) from error


def check_target(plan: Plan, target: Path) -> None:
    """Refuse chapters whose files would lie outside the report's folder.

    Raises:
        ConfigError: a chapter's folder leads out of the report's.
    """
    for chapter in plan.chapters:
        check_inside(target, target / chapter.folder, f"{PLAN}: folder={chapter.folder}")
