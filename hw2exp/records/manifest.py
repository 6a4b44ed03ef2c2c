"""Write and read a checkpoint's manifest: typed, and sealed with its own digest."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hw2exp.config.run_files import EVENTS_BEGIN

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class DamagedError(ValueError):
    """An error for a checkpoint that can't be used; its text is the reason."""


class Part(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Rows(Part):
    """The columns, length and digest of the metrics or diagnostics."""

    columns: list[str]
    count: Count
    bytes: Count
    sha256: Digest


class Events(Part):
    """The name, length and digest of TensorBoard's file."""

    name: Annotated[str, Field(pattern=rf"^{re.escape(EVENTS_BEGIN)}[\w.-]+$")]
    bytes: Count
    sha256: Digest


class Facts(Part):
    """The facts about a run besides its tensors.

    Args:
        config: the whole config, plain values.
        rows: length and digest of the metrics so far.
        diagnostics: length and digest of the diagnostics so far, if there are any.
        events: length and digest of TensorBoard's file.
        spikes: the spikes so far, each as its fields in order.
        seconds: the run's duration so far.
        versions: the versions of the software and the platform.
    """

    config: dict[str, Any]
    rows: Rows
    diagnostics: Rows | None = None
    events: Events
    spikes: list[tuple[int, int, int, float, float, bool]]
    seconds: float
    versions: dict[str, str]


class Manifest(Part):
    """The contents of ``manifest.json`` without its own digest."""

    format: Literal[1]
    step: Annotated[int, Field(ge=1, lt=10**10)]
    files: Annotated[dict[Literal["state.safetensors"], Digest], Field(min_length=1)]
    facts: Facts


def sealed(manifest: Manifest) -> bytes:
    """Encode a manifest with its digest; equal manifests give equal bytes."""
    content = manifest.model_dump(mode="json")
    return _text({**content, "sha256": sha256(_text(content))})


def unsealed(text: bytes) -> Manifest:
    """Decode what :func:`sealed` has encoded.

    Raises:
        DamagedError: the text is not what :func:`sealed` returns.
    """
    try:
        content = json.loads(text)
        digest = content.pop("sha256")
        whole = sha256(_text(content)) == digest
        sound = whole and _text({**content, "sha256": digest}) == text
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError("the manifest can't be read") from error
    if not sound:
        raise DamagedError("the manifest is not what it has the digest of")
    try:
        return Manifest.model_validate_json(_text(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DamagedError(f"the manifest: {where!a}: {first['msg']}") from error


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, allow_nan=False) + "\n").encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 digest of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
