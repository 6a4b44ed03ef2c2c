"""What a report is to be made of: the file ``report.yaml`` of a folder, or none."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hw2exp.config.problems import ConfigError

PLAN = "report.yaml"

FigureName = Literal[
    "curves", "unsolved", "rates", "cures", "aftermath", "published", "reach", "lengths", "spikes"
]


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
    import yaml

    path = folder / PLAN
    if not path.is_file():
        return None
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}"
            for each in error.errors()
        ]
        raise ConfigError(problems) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{path} can't be read"]) from error
