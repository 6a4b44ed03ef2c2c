"""The script of the maps, at a size of seconds."""

import itertools
import sys
from pathlib import Path

import numpy as np
import polars
import pytest
from PIL import Image

from hw2exp.config.command_line import read
from hw2exp.report.map_colors import SEA

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    import maps

    yield maps
    sys.path.remove(str(SCRIPTS))


def words_of(script, name, cure):
    settings, rates, scales = script.MAPS[name]
    ends = [f"optimizer.lr={','.join(map(str, rates))}", f"init.scale={','.join(map(str, scales))}"]
    return [*settings.split(), *script.CURES[cure].split(), *ends]


@pytest.mark.slow
def test_every_map_and_every_cure_composes(script):
    cures = itertools.cycle(script.CURES)
    for place, name in enumerate(script.MAPS):
        for cure in script.CURES if place == 0 else [next(cures)]:
            jobs = read(["-m", *words_of(script, name, cure), "records=folders"]).jobs
            config = jobs[0].config
            assert len(jobs) == 4
            assert name.startswith(config.model.name)
            assert name.endswith(config.optimizer.name)
            assert (config.steps, config.model.hidden_size) == (150, 8)
            assert config.init.readout == "torch"


@pytest.mark.slow
def test_maps_are_made_measured_and_resumed(script, tmp_path, monkeypatch, capsys):
    small = "experiment=map_sgd model=rnn model.nonlinearity=relu steps=20 eval_batches=1"
    monkeypatch.setattr(script, "MAPS", {"rnn": (small, (0.1, 1e3), (0.1, 100))})
    kept = {cure: script.CURES[cure] for cure in ("none", "clip", "warmup")}
    late = "schedule=warmup_cosine schedule.warmup_steps=10 schedule.min_factor=1"
    monkeypatch.setattr(script, "CURES", {**kept, "warmup": late})
    out, docs = tmp_path / "out", tmp_path / "docs"
    for _ in range(2):
        script.make(["rnn"], 8, out)
        script.collect(out, docs)
    assert capsys.readouterr().out.count("64 jobs in 2 fleets") == 3  # trained once
    table = polars.read_csv(docs / "maps.csv")
    assert table["cure"].to_list() == ["none", "clip", "warmup"]
    assert table["runs"].to_list() == [64] * 3
    assert 0 < table["diverged"][0] < 1
    assert table["gained"].to_list() == (table["solved"] - table["solved"][0]).to_list()
    names = {"none": "none_schedule_con", "clip": "norm", "warmup": "warmup"}
    for cure, diverged in table.select("cure", "diverged").rows():
        (image,) = (out / "rnn/report").glob(f"map_*{names[cure]}*.png")
        sea = (np.asarray(Image.open(image)) == SEA).all(-1)
        assert sea.shape == (8, 8)
        assert sea.mean() == diverged
    with Image.open(docs / "maps.png") as picture:
        assert (np.asarray(picture)[..., :3] == SEA).all(-1).any()
    lines = (docs / "maps.md").read_text().splitlines()
    assert len(lines) == 2 + 3
    assert (out / "rnn" / "report" / "report.html").is_file()
