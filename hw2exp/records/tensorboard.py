"""Write a run's TensorBoard event file: scalars, pictures, text, one row in the HParams dashboard.

Rewritten records keep their length, so that a resumed run finds the same offsets.
"""

import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw2exp.config.run_files import EVENTS_BEGIN
from hw2exp.config.settings import Plain
from hw2exp.records.encoding import BINS, bins, png
from hw2exp.records.hparams import session_end, session_start
from hw2exp.records.layout import Layout, serialized
from hw2exp.records.manifest import Events
from hw2exp.records.record_file import write_record
from hw2exp.system import disk

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary


FLUSH_SECONDS = 1.0
"""Time after which a write flushes: the lag of a TensorBoard that watches the run."""

_count = itertools.count()


class EventWriter:
    """A writer of one event file.

    Args:
        folder: the run folder, which is the run in TensorBoard.
        resumed: the name of an existing file, and the number of its bytes to keep. A TensorBoard
            that watches the file reads on, because rewritten records keep their length.
    """

    def __init__(self, folder: Path, resumed: tuple[str, int] | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._flushed = time.monotonic()
        if resumed is not None:
            self.name, size = resumed
            self._file = disk.Stream(folder / self.name, size)
            return
        # TensorBoard reads a folder's files in the order of their names, which begin with the
        # time in seconds. The count distinguishes files that a process opens in the same second.
        writer = f"{socket.gethostname()}.{os.getpid()}.{next(_count)}"
        self.name = f"{EVENTS_BEGIN}{int(time.time()):010d}.{writer}"
        self._file = disk.Stream(folder / self.name)
        self._write(Event(file_version="brain.Event:2"))
        self._file.flush()

    def scalars(
        self, step: int, values: Mapping[str, float], wall_time: float | None = None
    ) -> None:
        """Write many values of one step as a single event.

        Args:
            step: the training step.
            values: the values by tag.
            wall_time: seconds since the epoch; by default now.
        """
        self.rows([step], tuple(values), [list(values.values())], wall_time)

    def rows(
        self,
        steps: Sequence[int],
        tags: tuple[str, ...],
        rows: Sequence[Sequence[float]],
        wall_time: float | None = None,
    ) -> None:
        """Write the values of many steps, each step as an event.

        Args:
            steps: the training steps.
            tags: the tags.
            rows: the values of each step, which belong to the first tags.
            wall_time: seconds since the epoch; by default now.
        """
        now = time.time() if wall_time is None else wall_time
        records = BytesIO()
        for step, values in zip(steps, rows, strict=True):
            event, scalars = _event(tags[: len(values)])
            event.step, event.wall_time = step, now
            for scalar, value in zip(scalars, values, strict=True):
                scalar.simple_value = value
            write_record(records, event.SerializeToString())
        self._append(records.getvalue())

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Write a text for the Text dashboard.

        Args:
            tag: the text's tag.
            markdown: the text.
            step: the training step of the text.
        """
        from tensorboard.plugins.text import metadata

        about = metadata.create_summary_metadata(display_name="", description="")
        self._tensor(f"{tag}/text_summary", about, step, [markdown.encode()], ())

    def histogram(self, tag: str, values: ArrayLike, step: int) -> None:
        """Write a histogram for the Histograms and Distributions dashboards.

        Args:
            tag: the histogram's tag.
            values: values of any shape; non-finite values are left out.
            step: the training step.
        """
        from tensorboard.plugins.histogram import metadata

        about = metadata.create_summary_metadata(display_name="", description="")
        self._tensor(tag, about, step, bins(np.asarray(values, float)), (BINS, 3))

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int, description: str = "") -> None:
        """Write a picture for the Images dashboard.

        Args:
            tag: the picture's tag.
            pixels: red, green and blue, ``(h, w, 3)``, uint8.
            step: the training step.
            description: the picture's description.

        Raises:
            ValueError: the pixels have another shape or type.
        """
        from tensorboard.plugins.image import metadata

        content = [str(pixels.shape[1]).encode(), str(pixels.shape[0]).encode(), png(pixels)]
        about = metadata.create_summary_metadata(display_name="", description=description)
        self._tensor(tag, about, step, content, (len(content),))

    def layout(self, layout: Layout) -> None:
        """Write the charts of the Custom Scalars dashboard.

        Args:
            layout: the charts by category.
        """
        from tensorboard.plugins.custom_scalar import metadata

        about = metadata.create_summary_metadata()
        self._tensor(metadata.CONFIG_SUMMARY_TAG, about, 0, [serialized(layout)], ())

    def hparams(self, values: Mapping[str, Plain]) -> None:
        """Begin the run's row in the HParams dashboard.

        Only the session's start and end are written, into the run's own file. The dashboard gathers
        the columns itself, so that it shows runs with different knobs side by side.

        Args:
            values: the flattened config.
        """
        self._write(session_start(values))

    def so_far(self) -> Events:
        """Flush the file, and return its name, length and digest."""
        self._file.flush()
        return Events(name=self.name, bytes=self._file.tell(), sha256=self._file.sha256())

    def abandon(self) -> None:
        """Close the file without a flush; after an error it may end within a record."""
        self._file.close()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.flush()
        self._file.close()

    def end(self, success: bool = True) -> None:
        """End the run's row in the HParams dashboard.

        Args:
            success: whether the run ended as a success.
        """
        self._write(session_end(success))

    def _tensor(
        self,
        tag: str,
        about: Any,
        step: int,
        content: list[bytes] | NDArray[np.float64],
        shape: tuple[int, ...],
    ) -> None:
        """Write texts or numbers with a shape; the metadata choose the dashboard."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_STRING

        if isinstance(content, list):
            tensor = TensorProto(dtype=DT_STRING, string_val=content)
        else:
            little = content.astype("<f8").tobytes()
            tensor = TensorProto(dtype=DT_DOUBLE, tensor_content=little)
        tensor.tensor_shape.SetInParent()  # sets an empty shape for a scalar
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        value = Summary.Value(tag=tag, metadata=about, tensor=tensor)
        self._write(Event(step=step, summary=Summary(value=[value])))

    def _write(self, event: "Event") -> None:
        event.wall_time = time.time()
        records = BytesIO()
        write_record(records, event.SerializeToString())
        self._append(records.getvalue())

    def _append(self, records: bytes) -> None:
        self._file.write(records)
        now = time.monotonic()  # not the wall clock, which may be set back
        if now - self._flushed > FLUSH_SECONDS:
            self._file.flush()
            self._flushed = now


@lru_cache
def _event(tags: tuple[str, ...]) -> "tuple[Event, list[Summary.Value]]":
    """Return an event and its scalars, which are filled again for each step: a new one is slow."""
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event()
    return event, [event.summary.value.add(tag=tag) for tag in tags]
