"""Make the events of a run's row in TensorBoard's HParams dashboard: the start and the end."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hw2exp.config.settings import Plain

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event


def session_start(values: Mapping[str, Plain]) -> "Event":
    """Return the event that begins a run's row.

    Args:
        values: the columns of the row, by name.
    """
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, value in values.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = value
    data = plugin_data_pb2.HParamsPluginData(session_start_info=start)
    return _event(metadata.SESSION_START_INFO_TAG, data)


def session_end(success: bool) -> "Event":
    """Return the event that ends a run's row.

    Args:
        success: whether the run ended as a success.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    return _event(metadata.SESSION_END_INFO_TAG, data)


def _event(tag: str, data: Any) -> "Event":
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    about = metadata.create_summary_metadata(data)
    value = Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
    return Event(summary=Summary(value=[value]))
