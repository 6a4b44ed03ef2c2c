import json
import math
import time
import warnings

import pytest
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.base_plugin import TBContext
from werkzeug.test import Client
from werkzeug.wrappers import Response

from hw2exp.records import tensorboard
from hw2exp.records.tensorboard import EventWriter, flatten

with warnings.catch_warnings():
    # From the copy of html5lib that TensorBoard carries, when its pages are imported.
    warnings.filterwarnings("ignore", "html5lib's sanitizer is deprecated", DeprecationWarning)
    from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
    from tensorboard.plugins.scalar.scalars_plugin import ScalarsPlugin
    from tensorboard.plugins.text.text_plugin import TextPlugin

CONFIG = {"seed": 3, "optimizer.lr": 0.5, "model.name": "attn_rnn", "stop": False}


def write_run(folder, config=CONFIG, success=True, loss=0.25):
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventWriter(folder)
    writer.hparams(config)
    writer.scalars(1, {"loss/train": 1.5, "lr": 0.1}, wall_time=1000.0)
    writer.scalars(2, {"loss/train": loss, "lr": 0.1})
    writer.text("spikes", "| step |\n| --- |\n| 7 |")
    writer.end(success=success)
    writer.close()


def context(folder):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    return TBContext(logdir=str(folder), multiplexer=multiplexer, data_provider=provider)


def serve(plugin, route, **query):
    """Ask a plugin's HTTP route, as TensorBoard's page does."""
    app = plugin.get_plugin_apps()[route]
    client = Client(app, Response)
    if "json" in query:
        return client.post("/data" + route, **query)
    return client.get("/data" + route, query_string=query)


def session_groups(folder):
    request = {"experimentName": "", "startIndex": 0, "sliceSize": 100, "colParams": [],
               "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_UNKNOWN",
                                   "STATUS_RUNNING"]}  # fmt: skip
    answer = serve(HParamsPlugin(context(folder)), "/session_groups", json=request)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.data)["sessionGroups"]


def test_scalars_and_text_as_tensorboard_reads_them(tmp_path):
    write_run(tmp_path)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["loss/train", "lr"]
    assert [(e.step, e.value) for e in events.Scalars("loss/train")] == [(1, 1.5), (2, 0.25)]
    assert events.Scalars("loss/train")[0].wall_time == 1000.0
    assert abs(events.Scalars("loss/train")[1].wall_time - time.time()) < 60
    (text,) = events.Tensors("spikes/text_summary")
    assert text.tensor_proto.string_val[0].decode() == "| step |\n| --- |\n| 7 |"


def test_the_pages_of_tensorboard_show_them(tmp_path):
    write_run(tmp_path / "run")
    scalars = serve(ScalarsPlugin(context(tmp_path)), "/scalars", run="run", tag="loss/train")
    assert [point[1:] for point in json.loads(scalars.data)] == [[1, 1.5], [2, 0.25]]
    text = serve(TextPlugin(context(tmp_path)), "/text", run="run", tag="spikes/text_summary")
    (shown,) = json.loads(text.data)
    assert "<td>7</td>" in shown["text"]


def test_a_run_is_one_row_of_the_hparams_dashboard(tmp_path):
    write_run(tmp_path / "0")
    (group,) = session_groups(tmp_path)
    assert group["hparams"] == CONFIG
    assert group["hparams"]["stop"] is False
    (session,) = group["sessions"]
    assert session["status"] == "STATUS_SUCCESS"
    values = {m["name"]["tag"]: (m["trainingStep"], m["value"]) for m in group["metricValues"]}
    assert values["loss/train"] == (2, 0.25)
    assert values["lr"] == (2, pytest.approx(0.1))


def test_runs_stand_side_by_side_even_with_the_same_or_other_knobs(tmp_path):
    write_run(tmp_path / "0", loss=0.25)
    write_run(tmp_path / "1", loss=0.5)
    write_run(tmp_path / "2", config={"seed": 4, "clip.max_norm": 1.0}, success=False)
    groups = session_groups(tmp_path)
    assert len(groups) == 3
    by_name = {group["sessions"][0]["name"]: group for group in groups}
    assert by_name["2"]["sessions"][0]["status"] == "STATUS_FAILURE"
    assert by_name["2"]["hparams"] == {"seed": 4, "clip.max_norm": 1.0}
    assert by_name["1"]["hparams"] == by_name["0"]["hparams"] == CONFIG


def test_a_watching_tensorboard_sees_values_before_the_end(tmp_path, monkeypatch):
    writer = EventWriter(tmp_path)
    watching = EventAccumulator(str(tmp_path)).Reload()
    writer.scalars(1, {"lr": 0.5})
    watching.Reload()
    assert watching.Tags()["scalars"] == []  # still in the buffer
    monkeypatch.setattr(tensorboard, "FLUSH_SECONDS", 0.0)
    time.sleep(0.001)
    writer.scalars(2, {"lr": 0.25})
    watching.Reload()
    assert [e.value for e in watching.Scalars("lr")] == [0.5, 0.25]
    writer.close()


def test_values_that_are_not_finite_are_kept(tmp_path):
    writer = EventWriter(tmp_path)
    writer.scalars(1, {"a": math.nan, "b": math.inf, "c": 1e300})
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert math.isnan(events.Scalars("a")[0].value)
    assert events.Scalars("b")[0].value == math.inf
    assert events.Scalars("c")[0].value == math.inf  # float32


def test_a_second_writer_in_the_same_second_continues_the_run(tmp_path):
    write_run(tmp_path)
    write_run(tmp_path, loss=0.75)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
    assert len(session_groups(tmp_path)) == 1


def test_flatten():
    nested = {"model": {"name": "rnn", "deep": {"k": 2}}, "task": {"length": [50, 60]}, "on": True}
    assert flatten(nested) == {
        "model.name": "rnn", "model.deep.k": 2, "task.length": "[50, 60]", "on": True,
    }  # fmt: skip
    assert flatten({"x": None}) == {"x": "None"}
