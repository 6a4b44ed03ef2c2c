"""TensorBoard's pages in a browser: what a run and a sweep have written is there to be seen."""

import importlib.util
from pathlib import Path

import pytest

from hw2exp.train import main

SCRIPT = Path(__file__).parents[1] / "scripts" / "screenshot_tensorboard.py"
spec = importlib.util.spec_from_file_location("screenshot_tensorboard", SCRIPT)
screenshot = importlib.util.module_from_spec(spec)
spec.loader.exec_module(screenshot)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(screenshot.browser() is None, reason="needs a browser"),
]

SHORT = ("task=easy", "steps=60", "eval_every=20", "eval_batches=1", "plot=false", "workers=1")


@pytest.fixture(scope="module")
def page():
    with screenshot.page() as page:
        yield page


SEEN = (
    "diagnostics=all", "diagnostics.seeds=[0]", "diagnostics.flow_every=4",
    "diagnostics.sharpness_every=20", "diagnostics.histogram_every=20",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of a sweep over two models, of which the runs with seed 0 are looked into."""
    folder = tmp_path_factory.mktemp("sweep")
    words = ["model=rnn,gated_rnn", "seed=0,1,2", *SHORT, *SEEN, f"hydra.sweep.dir={folder}"]
    assert main(["-m", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def run(root):
    with screenshot.tensorboard(root / "0") as address:
        yield address


@pytest.fixture(scope="module")
def sweep(root):
    with screenshot.tensorboard(root) as address:
        yield address


def test_time_series_of_a_run(page, run):
    page.open(screenshot.address_of(run, "timeseries"))
    page.await_text("accuracy 2 cards", "/test", "/train", "grad_norm 3 cards", "loss")
    page.await_elements("line-chart canvas, line-chart path", least=4)
    page.open(screenshot.address_of(run, "timeseries", tags="heat_map|parameters"))
    page.await_text("heat_map", "parameters", "Step 60")
    page.await_elements("img")
    page.await_elements("tb-histogram")


def test_custom_scalars_of_a_run(page, run):
    page.open(screenshot.address_of(run, "custom_scalars"), height=1600)
    shown = page.await_text(
        "loss", "gradient norm: raw against clipped", "learning rate", "Matches (2)", "Matches (1)",
        "why", "sharpness against the optimizer's limit", "largest Lyapunov exponent",
    )  # fmt: skip
    assert "over the arm" not in shown
    assert page.await_elements("tf-custom-scalar-multi-line-chart-card", least=12) == 12
    page.await_elements("path.line", least=12)


def test_texts_of_a_run(page, run):
    page.open(screenshot.address_of(run, "text"), height=3000)
    page.await_text("config/text_summary", "spikes/text_summary", "optimizer.lr", "median before")


def test_images_of_a_run(page, run):
    page.open(screenshot.address_of(run, "images"))
    page.await_text("heat_map/gradient_flow", "heat_map/jacobian_product", "step 60")
    page.await_elements("img")


def test_histograms_of_a_run(page, run):
    page.open(screenshot.address_of(run, "histograms"))
    page.await_text("parameters", "gradients")
    page.await_elements("g.histogram path", least=2)


def test_hparams_of_a_run(page, run):
    page.open(screenshot.address_of(run, "hparams"))
    page.await_text("Trial ID", "model.name", "loss/test")


def test_time_series_of_a_sweep_with_its_arms(page, sweep):
    page.open(screenshot.address_of(sweep, "timeseries", runs="arms", tags="loss/test$"))
    page.await_text("arms/model=gated_rnn", "arms/model=rnn", "loss/test")
    page.await_elements("line-chart canvas, line-chart path")


def test_custom_scalars_of_a_sweep_show_its_arms_as_bands(page, sweep):
    page.open(screenshot.address_of(sweep, "custom_scalars", runs="arms"), height=2600)
    page.await_text("training", "loss over the arm: median and quartiles", "Matches (2)",
                    "runs that have come so far", "arms/model=rnn")  # fmt: skip
    assert page.await_elements("tf-custom-scalar-margin-chart-card", least=4) == 4
    page.await_elements("path.area", least=8)


def test_texts_of_a_sweep(page, sweep):
    page.open(screenshot.address_of(sweep, "text", runs="arms"))
    page.await_text("arm/text_summary", "in the curves", "3 runs, each until it ends", "3 finished")


def test_hparams_of_a_sweep_are_a_row_a_run(page, sweep):
    page.open(screenshot.address_of(sweep, "hparams"), width=2600, height=1200)
    rows = [f" {n} {model} " for n, model in enumerate(["rnn"] * 3 + ["gated_rnn"] * 3)]
    shown = page.await_text("Trial ID", "seed", "accuracy/test", *rows)
    assert "arms" not in shown.split("Trial ID")[1]
