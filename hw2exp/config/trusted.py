"""Limit the settings of Hydra's own node, so that no config can name code.

Hydra instantiates the launchers, sweepers, callbacks and loggers of its node, and imports the
modules of its search path. So only the keys and choices listed here may differ from the shipped
node, whatever sets them.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf.base import Container
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import InterpolationResolutionError

from hw2exp.config.parsing import key_of
from hw2exp.config.yaml_file import LARGEST_FILE, leaves
from hw2exp.system.problems import nearest, show
from hw2exp.system.replaced import replaced

PER_JOB = ("joblib", "submitit_local", "submitit_slurm")
"""Launchers that run each job in another process."""

EXTRAS = {f"hydra/launcher={name}": "launchers" for name in PER_JOB}
EXTRAS["hydra/sweeper=optuna"] = "optuna"
"""The extra of this package that brings a choice of Hydra's node."""

CHOICES = {
    "hydra/launcher": {"fleet", "basic", *PER_JOB},
    "hydra/sweeper": {"fleet", "basic", "optuna"},
    "hydra/sweeper/sampler": {"tpe", "random", "cmaes", "grid", "nsgaii", "qmc"},
    "hydra/job_logging": {"none", "disabled", "default", "stdout"},
    "hydra/hydra_logging": {"none", "disabled", "default"},
}

KEYS = (
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.job.name",
    "hydra.job.chdir",
    "hydra.job.config.override_dirname",
    "hydra.verbose",
    "hydra.sweeper.params",
    "hydra.sweeper.max_batch_size",
    "hydra.sweeper.n_trials",
    "hydra.sweeper.n_jobs",
    "hydra.sweeper.direction",
    "hydra.sweeper.study_name",
    "hydra.sweeper.sampler.seed",
    "hydra.sweeper.sampler.n_startup_trials",
    "hydra.launcher.n_jobs",
    "hydra.launcher.verbose",
    "hydra.launcher.batch_size",
    "hydra.launcher.prefer",
    "hydra.launcher.timeout_min",
    "hydra.launcher.cpus_per_task",
    "hydra.launcher.mem_gb",
    "hydra.launcher.array_parallelism",
    "hydra.launcher.partition",
    "hydra.launcher.account",
    "hydra.launcher.qos",
    "hydra.launcher.constraint",
)
"""Keys of Hydra's node that may be set, with all keys below them."""

BY_HYDRA = ("hydra.overrides", "hydra.runtime", "hydra.mode", "hydra.job.num", "hydra.job.id",
            "hydra.job.config_name", "hydra.job.override_dirname", "hydra.searchpath")  # fmt: skip
"""Keys that Hydra itself sets for a command."""

WITHIN = ("oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values",
          "oc.select")  # fmt: skip
"""Resolvers whose value depends on the config alone."""

RESOLVERS = ("hydra", "now", *WITHIN, "oc.env", "python_version")
"""Resolvers that ``${name:...}`` may call: Hydra's and OmegaConf's; none evaluates code."""

COST = 1000
"""Cost of resolving a reference, in letters; the value's length is added."""

NAME = re.compile(r"\.?[\w-][\w.-]*")
WORD = re.compile(r"[\w.:,&|=*-]+")
"""The text that a launcher's key may hold: a line's end in Slurm's script would begin a command."""

DIRECTIVE = re.compile(
    r"(-[AlPq] |--(account|constraint|exclude|gres|licenses|qos|reservation|signal)=)"
    r"[\w.,:/@=+%*&|-]+"
)
"""The directives of a job script that a config file may hold: none names a file or a program."""

NO_WORD = "must be a number, or a word of letters, digits and . : , & | = * -"
SHADOWING = ("train.yaml", "hydra")
"""Names that a folder of configs may not hold: they would replace shipped files."""


def untrusted(override: Override) -> list[str]:
    """List the problems of an override of Hydra's node."""
    key, line = key_of(override), str(override.input_line)
    package = override.package or ""
    if package.split(".")[0] == "hydra":
        return [f"{line}: nothing can be put into Hydra's own node"]
    if key.split(".")[0].split("/")[0] != "hydra" or key == "hydra.mode":
        return []
    if key == "hydra.output_subdir":
        return [f"{line}: can't be set; a run's config is read from its folder .hydra"]
    if key in CHOICES:
        return _wrong_choice(key, override)
    if not _is_listed(key):
        return [f"{line}: of Hydra's own keys this one can't be set; {nearest(key, KEYS)}"]
    if not override.is_sweep_override() and _names_code(override.value()):
        return [f"{line}: has a _target_; code is chosen by its name only"]
    return [f"{line}: {NO_WORD}"] if _is_no_word(key, override.value()) else []


def _wrong_choice(group: str, override: Override) -> list[str]:
    value, allowed = override.value(), CHOICES[group]
    if override.is_sweep_override() or override.is_delete() or str(value) in allowed:
        return []
    tried = "none of those that are tried and trusted"
    return [f"{group}={show(value)}: {tried}; {nearest(str(value), allowed)}"]


def untrusted_folder(folder: Path) -> list[str]:
    """List the problems of a folder of configs."""
    return [
        f"--config-dir={folder}: holds {name}, which would replace what is shipped; must hold "
        "choices of groups only"
        for name in SHADOWING
        if (folder / name).exists()
    ]


def untrusted_node(node: Mapping[str, Any], shipped: Mapping[str, Any]) -> list[str]:
    """List the forbidden changes of Hydra's node by the files of ``--config-dir``.

    Args:
        node: Hydra's node, plain values.
        shipped: the same node composed without these files.
    """
    mine, theirs = dict(leaves(node, "hydra")), dict(leaves(shipped, "hydra"))
    changed = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
    no_words = [key for key in changed if _is_no_word(key, mine.get(key))]
    return [f"{key}={show(mine.get(key))}: {NO_WORD}" for key in no_words] + [
        f"{key}={show(mine.get(key))}: of Hydra's own keys this one can't be set; "
        f"{nearest(key, KEYS)}"
        for key in changed
        if not (_is_listed(key) or _below(key, BY_HYDRA)) or key.endswith("._target_")
    ]


def untrusted_directives(directives: Sequence[str]) -> list[str]:
    """List the problems of a job script's directives in a config file."""
    return [
        f"executor.directives={show(each)}: can't be set by a config file; must be typed"
        for each in directives
        if not DIRECTIVE.fullmatch(each)
    ]


def unnamed(node: Mapping[str, Any]) -> list[str]:
    """List the problem of the job's name in Hydra's node, if it can't be a file's name.

    Args:
        node: Hydra's node, plain values.
    """
    if NAME.fullmatch(str(name := node["job"]["name"])):
        return []
    return [f"hydra.job.name={show(name)}: must be a name of letters, digits, '.', '_' and '-'"]


def trusted_resolvers(names: Sequence[str] = RESOLVERS) -> AbstractContextManager[None]:
    """Let ``${name:...}`` call only these resolvers, none from plug-ins or the caller."""
    known = BaseContainer._resolvers.items()
    return replaced(BaseContainer, "_resolvers", {n: call for n, call in known if n in names})


def bounded_references() -> AbstractContextManager[None]:
    """Bound the total length of resolved ``${...}``: a few lines can expand to billions.

    Within this context, resolving more than the bound raises ``InterpolationResolutionError``.
    """
    resolve = Container.resolve_parse_tree
    spent = 0

    def bounded(self: Container, *args: Any, **kwargs: Any) -> Any:
        nonlocal spent
        value = resolve(self, *args, **kwargs)
        spent += COST + len(str(value))
        if spent > LARGEST_FILE:
            raise InterpolationResolutionError("${...} stand for too much for a config")
        return value

    return replaced(Container, "resolve_parse_tree", bounded)


def callable_resolvers() -> list[str]:
    """Return the names of the resolvers that are allowed now."""
    return sorted(BaseContainer._resolvers)


def _names_code(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in map(str, value) or any(map(_names_code, value.values()))
    return isinstance(value, list | tuple) and any(map(_names_code, value))


def _is_listed(key: str) -> bool:
    return _below(key, KEYS) and "_target_" not in key.split(".")


def _is_no_word(key: str, value: Any) -> bool:
    return key.startswith("hydra.launcher.") and not WORD.fullmatch(str(value))


def _below(key: str, above: Sequence[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in above)
