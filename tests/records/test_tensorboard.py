import io
import json
import math
import shlex
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.base_plugin import TBContext
from werkzeug.test import Client
from werkzeug.wrappers import Response

from hw2exp.config.schema import OPERATIONAL
from hw2exp.config.settings import flat
from hw2exp.records import tensorboard
from hw2exp.records.encoding import BINS
from hw2exp.records.layout import ARM, RUN, BandChart
from hw2exp.records.shown import config_table
from hw2exp.records.tensorboard import EventWriter
from hw2exp.runs.summary import tensorboard_of_run

with warnings.catch_warnings():
    # From the copy of html5lib that TensorBoard carries, when its pages are imported.
    warnings.filterwarnings("ignore", "html5lib's sanitizer is deprecated", DeprecationWarning)
    from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
    from tensorboard.plugins.histogram.histograms_plugin import HistogramsPlugin
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
    from tensorboard.plugins.image.images_plugin import ImagesPlugin
    from tensorboard.plugins.scalar.scalars_plugin import ScalarsPlugin
    from tensorboard.plugins.text.text_plugin import TextPlugin
    from tensorboard.util import tensor_util

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


def opened(folder):
    folder.mkdir(parents=True)
    return EventWriter(folder)


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


@pytest.mark.parametrize("name", ["16-24-00", "my run"])
def test_what_a_run_says_to_type_shows_it_by_its_name(name, tmp_path, monkeypatch):
    """Served by its own folder a run is called ``.``, and HParams has none of its metrics."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "of today" / name)
    command = tensorboard_of_run(tmp_path / "of today" / name).partition("\n")[0]
    served = tmp_path / shlex.split(command)[-1]
    (group,) = session_groups(served)
    assert group["sessions"][0]["name"] == name
    assert {m["name"]["tag"]: m["value"] for m in group["metricValues"]}["loss/train"] == 0.25
    (alone,) = session_groups(tmp_path / "of today" / name)
    assert alone["sessions"][0]["name"] == "."
    assert alone["metricValues"] == []  # else the run's own folder could be served


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


def test_a_clock_that_is_set_back_stops_no_events(tmp_path, monkeypatch):
    writer = EventWriter(tmp_path)
    monkeypatch.setattr(tensorboard, "FLUSH_SECONDS", 0.001)
    back = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: back)
    time.sleep(0.002)
    writer.scalars(1, {"lr": 0.5})
    (event,) = EventAccumulator(str(tmp_path)).Reload().Scalars("lr")
    assert (event.value, event.wall_time) == (0.5, back)
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


@pytest.mark.slow
def test_a_mixed_sweep_is_a_row_a_run_with_every_knob_and_metric_as_a_column(tmp_path):
    from hw2exp.config.command_line import read

    words = ["-m", "model=gated_rnn,attn_rnn,rnn", "optimizer=sgd,adam", "clip=none,norm"]
    configs = [flat(job.config) for job in read([*words, "seed=0,1"]).jobs]
    for number, values in enumerate(configs):
        write_run(tmp_path / str(number), config=values)
    arm = opened(tmp_path / "arms")  # is no row
    arm.scalars(1, {"loss/train": 1.0, "runs": 2.0})
    arm.close()

    groups = session_groups(tmp_path)
    assert len(groups) == len(configs) == 24
    by_name = {group["sessions"][0]["name"]: group for group in groups}
    for number, values in enumerate(configs):
        assert by_name[str(number)]["hparams"] == values
    plugin, request = (
        HParamsPlugin(context(tmp_path)),
        {"experimentName": "", "includeMetrics": True},
    )
    experiment = json.loads(serve(plugin, "/experiment", json=request).data)
    columns = {each["name"] for each in experiment["hparamInfos"]}
    assert columns == set().union(*configs)
    assert {"model.lags", "clip.max_norm", "optimizer.momentum", "seed"} <= columns
    assert not columns & OPERATIONAL
    metrics = {each["name"]["tag"] for each in experiment["metricInfos"]}
    assert metrics == {"loss/train", "lr"}


VALUES = {
    "many": np.random.default_rng(0).normal(size=(7, 30)),
    "few": [0.0, 0.0, 5.0],
    "one": [3.0, 3.0],
    "none": [],
    "too close for thirty numbers between": [1.0, np.nextafter(1.0, 2.0)],
}


@pytest.mark.parametrize("name", VALUES)
def test_histograms_are_those_that_tensorboard_makes(tmp_path, name):
    writer = EventWriter(tmp_path)
    writer.histogram("weights", VALUES[name], 7)
    writer.close()
    (event,) = EventAccumulator(str(tmp_path)).Reload().Tensors("weights")
    found = tensor_util.make_ndarray(event.tensor_proto)
    expected = tensor_util.make_ndarray(histogram_pb("weights", VALUES[name]).value[0].tensor)
    assert event.step == 7
    assert found.shape == (BINS, 3)
    assert found[:, 2].sum() == np.size(VALUES[name])
    if not name.startswith("too close"):  # there its own edges leave the order
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)


def test_the_page_of_histograms_shows_what_is_finite(tmp_path):
    writer = opened(tmp_path / "run")
    writer.histogram("weights", [1.0, 2.0, math.nan, math.inf], 3)
    writer.histogram("weights", [2.0], 4)
    writer.close()
    query = {"run": "run", "tag": "weights"}
    shown = json.loads(serve(HistogramsPlugin(context(tmp_path)), "/histograms", **query).data)
    assert [step for _, step, _ in shown] == [3, 4]
    assert sum(count for _, _, count in shown[0][2]) == 2


def test_the_page_of_images_shows_the_pixels(tmp_path):
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    writer = opened(tmp_path / "run")
    writer.image("attention", pixels, 5)
    writer.close()
    plugin = ImagesPlugin(context(tmp_path))
    query = {"run": "run", "tag": "attention", "sample": 0}
    (about,) = json.loads(serve(plugin, "/images", **query).data)
    assert about["step"] == 5
    shown = serve(plugin, "/individualImage", blob_key=about["query"].split("blob_key=")[1])
    assert shown.content_type == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(shown.data))), pixels)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6, 3))]
)
def test_what_is_no_picture_is_refused(tmp_path, pixels):
    writer = EventWriter(tmp_path)
    with pytest.raises(ValueError, match="not uint8"):
        writer.image("attention", pixels, 5)
    writer.close()


def test_custom_scalars_join_the_charts_of_runs_and_arms(tmp_path):
    for name, layout in {"0": RUN, "1": RUN, "arms/a": ARM, "arms/b": ARM}.items():
        writer = opened(tmp_path / name)
        writer.layout(layout)
        writer.scalars(1, {"loss/train": 1.5, "loss/train/q1": 1.0, "loss/train_max": 2.0})
        writer.close()
    about = context(tmp_path)
    about.plugin_name_to_instance = {"scalars": ScalarsPlugin(about)}
    plugin = CustomScalarsPlugin(about)
    shown = json.loads(serve(plugin, "/layout").data)["category"]
    assert {each["title"]: [chart["title"] for chart in each["chart"]] for each in shown} == {
        title: [chart.title for chart in charts] for title, charts in ARM.items()
    }
    (loss,) = (c for each in shown for c in each["chart"] if c["title"] == "loss")
    tags = [
        json.loads(serve(plugin, "/scalars", run="0", tag=tag).data)["tag_to_events"]
        for tag in loss["multiline"]["tag"]
    ]
    assert [list(each) for each in tags] == [["loss/train"], []]  # and none that only begins so
    (band,) = (c for each in shown for c in each["chart"] if c["title"].startswith("loss over"))
    assert band["margin"]["series"] == [
        {"value": "loss/train", "lower": "loss/train/q1", "upper": "loss/train/q3"}
    ]


def test_every_tag_of_a_layout_is_one_that_is_written():
    from hw2exp.records.metrics import CATALOG

    known = {tag for tag, _ in CATALOG.values()}
    lines = [chart for charts in RUN.values() for chart in charts]
    assert {tag for chart in lines for tag in chart.tags} <= known
    assert {chart.value for chart in ARM["arms"] if isinstance(chart, BandChart)} <= known


def test_what_is_written_again_is_as_long_as_it_was(tmp_path):
    sizes = []
    for name in ("once", "again"):
        writer = opened(tmp_path / name)
        writer.layout(ARM)
        writer.text("config", config_table(CONFIG))
        writer.hparams(CONFIG)
        writer.histogram("weights", np.random.default_rng(0).normal(size=99), 300)
        writer.image("attention", np.full((9, 9, 3), 7, np.uint8), 300)
        sizes.append(writer.so_far().bytes)
        writer.close()
        time.sleep(0.01)
    assert sizes[0] == sizes[1]


def test_the_config_is_a_table(tmp_path):
    writer = opened(tmp_path / "run")
    writer.text("config", config_table(CONFIG))
    writer.close()
    text = serve(TextPlugin(context(tmp_path)), "/text", run="run", tag="config/text_summary")
    (shown,) = json.loads(text.data)
    assert "<td>optimizer.lr</td>\n<td><code>0.5</code></td>" in shown["text"]


def test_tensorflow_is_never_imported(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *rest):\n"
        "        assert name.split('.')[0] != 'tensorflow', name\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from pathlib import Path\n"
        "from hw2exp.records.tensorboard import EventWriter\n"
        "from hw2exp.records.layout import RUN\n"
        "writer = EventWriter(Path(sys.argv[1]))\n"
        "writer.layout(RUN)\n"
        "writer.text('a', 'b')\n"
        "writer.hparams({'a': 1})\n"
        "writer.histogram('h', [1, 2], 1)\n"
        "writer.image('i', np.zeros((2, 2, 3), np.uint8), 1)\n"
        "writer.end()\n"
        "writer.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True,
        env={"PYTHONPATH": ":".join(sys.path)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
