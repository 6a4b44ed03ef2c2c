"""Turn what Hydra and OmegaConf refuse into bad input of one line."""

from collections.abc import Callable
from typing import Any, TypeVar

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hw2exp.config.trusted import callable_resolvers
from hw2exp.config.unparsed import why_not_interpolated
from hw2exp.system.problems import ConfigError

T = TypeVar("T")

REFUSALS = (HydraException, OmegaConfBaseException, ValueError, AssertionError, AttributeError,
            ArithmeticError, RecursionError)  # fmt: skip
"""Exceptions of Hydra and OmegaConf on bad input."""


def one_error(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function of Hydra, with its refusal as a one-line error.

    Args:
        function: the function.
        args: positional arguments.
        kwargs: keyword arguments.

    Raises:
        ConfigError: Hydra refused the input.
    """
    try:
        return function(*args, **kwargs)
    except REFUSALS as error:
        raise ConfigError([one_line(error)]) from error


def one_line(error: Exception) -> str:
    """Return an error's message on one line, without Hydra's jargon."""
    if not str(error) and isinstance(error.__cause__, Exception):
        return one_line(error.__cause__)
    text = str(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        why = why_not_interpolated(text.partition("\n    full_key")[0])
        text = f"{error.full_key}: {why}"
    if "Unsupported interpolation type" in text:
        text += f"; allowed: {', '.join(callable_resolvers())}"
    text = text.partition("Config search path:")[0]  # the search path is of no help here
    return " ".join(text.split())
