"""What a checkpoint says of itself: typed, and sealed with its own digest."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

STATE: Final = "state.safetensors"
EVENTS = r"^events\.out\.tfevents\.[\w.-]+$"

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class DamagedError(ValueError):
    """A checkpoint that can't be used, and why."""


class Part(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Rows(Part):
    """How long the metrics or the diagnostics were, and what stood in them."""

    columns: list[str]
    count: Count
    bytes: Count
    sha256: Digest


class Events(Part):
    """How long TensorBoard's file was, and what stood in it."""

    name: Annotated[str, Field(pattern=EVENTS)]
    bytes: Count
    sha256: Digest


class Facts(Part):
    """What is known of a run besides its tensors.

    Args:
        config: the whole config, plain values.
        rows: of the metrics so far.
        diagnostics: of the diagnostics so far, if there are any.
        events: of TensorBoard's file.
        spikes: the spikes so far, each as its fields in order.
        seconds: how long the run has taken.
        versions: of what it ran on.
    """

    config: dict[str, Any]
    rows: Rows
    diagnostics: Rows | None = None
    events: Events
    spikes: list[tuple[int, int, int, float, float, bool]]
    seconds: float
    versions: dict[str, str]


class Manifest(Part):
    """What ``manifest.json`` holds, besides the digest of itself."""

    format: Literal[1]
    step: Annotated[int, Field(ge=1, lt=10**10)]
    files: Annotated[dict[Literal["state.safetensors"], Digest], Field(min_length=1)]
    facts: Facts


def sealed(manifest: Manifest) -> bytes:
    """A manifest's text, with the digest of the rest of it: each content has one only.

    Args:
        manifest: the content.
    """
    content = manifest.model_dump(mode="json")
    return _text({**content, "sha256": sha256(_text(content))})


def unsealed(text: bytes) -> Manifest:
    """Read a manifest.

    Args:
        text: what :func:`sealed` gave.

    Raises:
        DamagedError: it is anything else.
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
    """The digest of some bytes, in hexadecimal.

    Args:
        content: the bytes.
    """
    return hashlib.sha256(content).hexdigest()
