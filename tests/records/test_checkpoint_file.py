"""What a checkpoint refuses: damage of any kind, and what others have made up."""

import json
import os
import pickle
import random
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.checkpoint_folder import newest
from hw2exp.records.diagnostics import ADDED, COLUMNS
from hw2exp.records.manifest import DamagedError, sealed, sha256
from hw2exp.runs.fleet_run import find_start, run_fleet
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.problems import ConfigError

pytestmark = pytest.mark.usefixtures("step_by_step")

SMALL = [
    "task=easy", "steps=30", "plot=false", "eval_batches=1", "log_every=2", "model.hidden_size=3",
]  # fmt: skip


class AtEleven(Interrupt):
    """One that comes after eleven steps."""

    steps = 0

    def __call__(self):
        self.steps += 1
        return self.steps == 11


@pytest.fixture(scope="module")
def made(compose, tmp_path_factory, step_by_step):
    """A run that was interrupted, its config, and what it gives when it is not."""
    root = tmp_path_factory.mktemp("made")
    config = compose(*SMALL, "checkpoint_every=10")
    run_fleet([config], [root / "run"], AtEleven([]), show=False)
    (whole,) = run_fleet([config], [root / "whole"], show=False)
    return root / "run", config, whole


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "run")
    return tmp_path / "run"


def files(run):
    """The files of the newest checkpoint, and how many of their bytes it knows of."""
    found = newest(run, pytest.fail)
    return {
        found.folder / "state.safetensors": (found.folder / "state.safetensors").stat().st_size,
        found.folder / "manifest.json": (found.folder / "manifest.json").stat().st_size,
        run / "checkpoints/metrics.rows": found.facts.rows.bytes,
    }


def refused(run, step=11):
    """Whether the newest checkpoint is named and skipped."""
    warnings = []
    found = newest(run, warnings.append)
    assert len(warnings) <= 2
    assert all("\n" not in line for line in warnings)
    if not warnings:
        return False
    assert f"step_{step:010} can't be used: " in warnings[0]
    assert found is None or found.step < step
    return True


def flip(run, times, seed):
    draw = random.Random(seed)
    there = files(run)
    whole = {path: path.read_bytes() for path in there}
    places = [(path, byte) for path, size in there.items() for byte in range(size)]
    for _ in range(times):
        path, byte = draw.choice(places)
        content = bytearray(whole[path])
        content[byte] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        assert refused(run), (path, byte)
        path.write_bytes(whole[path])
    assert not refused(run)


def truncate(run, every):
    for path, size in files(run).items():
        whole = path.read_bytes()
        for length in range(0, size, every):
            path.write_bytes(whole[:length])
            assert refused(run), (path, length)
        path.write_bytes(whole)
    assert not refused(run)


def test_a_flipped_bit_is_not_loaded(run):
    flip(run, 300, seed=0)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 5))
def test_ten_thousand_flipped_bits_are_not_loaded(run, seed):
    flip(run, 2500, seed)


def test_a_shorter_file_is_not_loaded(run):
    truncate(run, 101)


@pytest.mark.nightly
def test_no_shorter_file_is_loaded(run):
    truncate(run, 1)


def test_what_was_damaged_is_skipped_and_the_run_is_the_same(run, made):
    _, config, whole = made
    path = run / "checkpoints/step_0000000011/state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    warnings = []
    saved = newest(run, warnings.append)
    assert saved.step == 10
    assert "state.safetensors is not what manifest.json has the digest of" in warnings[0]
    (outcome,) = run_fleet([config], [run], show=False, saved=[saved])
    assert outcome.parameters_sha256 == whole.parameters_sha256
    assert outcome.metrics_sha256 == whole.metrics_sha256
    assert newest(run, pytest.fail).step == 29


def test_what_was_damaged_does_not_take_the_place_of_a_newer_one(run, made):
    _, config, _ = made
    damaged = run / "checkpoints/step_0000000011"
    later = damaged.with_name("step_0000000025")
    damaged.rename(later)  # of a future that did not come to be
    saved = newest(run, [].append)
    assert saved.step == 10
    run_fleet([config], [run], AtEleven([]), show=False, saved=[saved])
    names = sorted(path.name for path in (run / "checkpoints").glob("step_*"))
    assert names == ["step_0000000020", "step_0000000021"]


def forge(run, state=None, **manifest):
    """Make a checkpoint of other content whose digests are right."""
    found = newest(run, pytest.fail)
    content = found.manifest.model_dump()
    if state is not None:
        (found.folder / "state.safetensors").write_bytes(state)
        content["files"] = {"state.safetensors": sha256(state)}
    for key, value in manifest.items():
        part = content
        *above, last = key.split("__")
        for name in above:
            part = part[name]
        part[last] = value

    class Forged:
        def model_dump(self, mode):
            return content

    (found.folder / "manifest.json").write_bytes(sealed(Forged()))
    return found.folder


class Touches:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


FORGED = {
    "a path as TensorBoard's file": {"facts__events__name": "../../events.out.tfevents.1"},
    "an absolute path": {"facts__events__name": "/etc/passwd"},
    "another file's name": {"facts__events__name": "result.json"},
    "a name of two lines": {"facts__events__name": "events.out.tfevents.1\nx"},
    "other files": {"files": {"../state.safetensors": "0" * 64}},
    "no files": {"files": {}},
    "a file too many": {"files": {"state.safetensors": "0" * 64, "x": "0" * 64}},
    "a digest of another kind": {"files": {"state.safetensors": "md5"}},
    "no step": {"step": None},
    "a step before the first": {"step": 0},
    "another step than the folder's": {"step": 12},
    "a step that is a text": {"step": "11"},
    "a step without end": {"step": 10**400},
    "another format": {"format": 2},
    "rows before the file": {"facts__rows__bytes": -1},
    "rows behind the file": {"facts__rows__bytes": 1 << 60},
    "a key too many": {"facts__x": 1},
    "a key of two lines": {"facts__x\ny": 1},
    "no facts": {"facts": None},
    "a list of facts": {"facts": []},
    "spikes of another make": {"facts__spikes": [[1, 2, 3]]},
    "spikes that are texts": {"facts__spikes": [["1", 2, 3, 0.5, 0.5, True]]},
    "a config that is none": {"facts__config": "x"},
    "other metrics": {"facts__rows__columns": ["loss"]},
    "rows that are no rows": {"facts__rows__bytes": 7, "facts__rows__sha256": "0" * 64},
    "another number of rows": {"facts__rows__count": 4},
    "versions that are none": {"facts__versions": [1]},
}


@pytest.mark.parametrize("manifest", FORGED.values(), ids=FORGED)
def test_a_manifest_that_was_made_up_is_refused(run, manifest):
    before = sorted(run.parent.rglob("*"))
    forge(run, **manifest)
    assert refused(run)
    assert sorted(run.parent.rglob("*")) == before


@pytest.mark.parametrize("lacking", ["lyapunov_spread", "sharpness"])
def test_diagnostics_from_before_a_column_was_added_are_read_and_others_are_not(
    compose, tmp_path, monkeypatch, lacking
):
    columns = [name for name in COLUMNS if name != lacking]
    monkeypatch.setattr("hw2exp.runs.checkpointing.COLUMNS", columns)
    config = compose(*SMALL, "diagnostics=all")
    run_fleet([config], [tmp_path / "run"], AtEleven([]), show=False)
    if lacking in ADDED:
        assert len(newest(tmp_path / "run", pytest.fail).diagnostics()) == 1
    else:
        assert refused(tmp_path / "run")


@pytest.mark.parametrize("config", [{}, {"seed": 1}, {"steps": "x"}, {"clip": {"name": [1, 2]}}])
def test_a_checkpoint_with_an_impossible_config_is_skipped(run, made, config):
    forge(run, facts__config=config)
    warnings = []
    assert newest(run, warnings.append, made[1]).step == 10
    assert len(warnings) == 1
    assert "step_0000000011 can't be used: its config: " in warnings[0]


def test_a_checkpoint_of_another_run_is_refused(run, made):
    other_seed = made[1].model_copy(update={"seed": 7})
    with pytest.raises(ConfigError, match=r"step_0000000011 has seed=0, not 7"):
        newest(run, pytest.fail, other_seed)


def test_other_versions_are_told(run, made):
    there = newest(run, pytest.fail, made[1]).facts.versions
    forge(run, facts__versions=there | {"torch": "1.0", "platform": "elsewhere"})
    warnings = []
    assert newest(run, warnings.append, made[1]).step == 11
    (line,) = warnings
    assert f"was made with torch 1.0, not {there['torch']}: bits may differ" in line


def other(run, **changes):
    """The tensors of the newest checkpoint, changed."""
    found = newest(run, pytest.fail)
    tensors = found.tensors()
    for name, change in changes.items():
        name = name.replace("__", ".")  # a keyword has no dot
        tensors[name] = change(tensors.get(name))
    return save({name: np.asarray(value) for name, value in tensors.items() if value is not None})


SINCE_ROW = [
    f"since_row__{name}"
    for name in (
        "loss", "accuracy", "grad_norm_raw", "grad_norm_clipped", "update_norm", "lr",
    )
]  # fmt: skip
STATES = {
    "a shape": {"params": lambda own: own[:-1]},
    "a dimension more": {"params": lambda own: own[None]},
    "a type": {"params": lambda own: own.astype(np.float64)},
    "one missing": {"params": lambda own: None},
    "one too many": {"x": lambda own: np.zeros(3)},
    "a path as a name": {"../../x": lambda own: np.zeros(3)},
    "another step": {"step": lambda own: own + 1},
    "a run that is over": {"active": lambda own: ~own},
    "a longer window": {"spikes__recent": lambda own: np.zeros(500)},
    "other norms": {"explosions__recent": lambda own: np.zeros(50)},
    "explosions as numbers": {"exploded": lambda own: np.zeros(2)},
    "explosions that are one number": {"exploded": lambda own: np.array(3)},
    "explosions of later steps": {"exploded": lambda own: np.array([3, 12])},
    "explosions in no order": {"exploded": lambda own: np.array([3, 3])},
    "a row too few": {"since_row__loss": lambda own: own[:0]},
    "half of a row": {"since_row__loss": lambda own: None},
    "no row": {name: lambda own: None for name in SINCE_ROW},
    "a longer row": {name: lambda own: np.repeat(own, 2) for name in SINCE_ROW},
    "a row of another type": {"since_row__loss": lambda own: own.astype(np.float64)},
    "a row that is not finite": {"since_row__loss": lambda own: own * np.nan},
    "a row of two dimensions": {"since_row__loss": lambda own: own[None]},
    "parameters that are not finite": {"params": lambda own: own + np.inf},
    "a part of the optimizer that is not": {"optimizer__velocity": lambda own: own * np.nan},
    "norms that are not": {"explosions__recent": lambda own: own * np.nan},
    "losses before the first step": {"spikes__recent": lambda own: np.ones_like(own)},
    "a loss that is missing": {"spikes__recent": lambda own: own * np.nan},
    "a run that has diverged": {"diverged_at": lambda own: own + 5},
    "a run that will be solved": {"solved_at": lambda own: own + 12},
    "a run that was solved before it began": {"solved_at": lambda own: own - 1},
    "more test passes than steps allow": {"passes": lambda own: own + 12},
    "steps kept of a run that is not looked into": {"ring__step": lambda own: np.arange(11)},
}
FACTS = {
    "a spike after the last step": [[12, 12, 12, 9.0, 1.0, True]],
    "a spike that ends before it starts": [[5, 5, 4, 9.0, 1.0, True]],
    "a peak outside its spike": [[9, 5, 6, 9.0, 1.0, True]],
    "spikes in no order": [[7, 7, 7, 9.0, 1.0, True], [5, 5, 5, 9.0, 1.0, True]],
    "a spike before the first step": [[0, 0, 0, 9.0, 1.0, True]],
}


@pytest.mark.parametrize("changes", STATES.values(), ids=STATES)
def test_tensors_of_another_program_are_refused(run, made, changes):
    forge(run, state=other(run, **changes))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    saved = newest(run, pytest.fail)
    (outcome,) = run_fleet([made[1]], [run], show=False, saved=[saved])
    assert isinstance(outcome, DamagedError)
    assert "step_0000000011" in str(outcome)
    assert "\n" not in str(outcome)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def falls_back(run, config):
    """The checkpoint that is used in place of the newest, and why that is not."""
    with pytest.MonkeyPatch.context() as patch:
        warnings = []
        patch.setattr("hw2exp.runs.fleet_run.warn", warnings.append)
        found = find_start(run, config)
    (line,) = warnings
    assert line.startswith(f"{run}/checkpoints/step_0000000011 can't be used: ")
    assert "\n" not in line
    return found, line


@pytest.mark.parametrize("changes", STATES.values(), ids=STATES)
def test_the_checkpoint_before_one_of_another_program_is_used(run, made, changes):
    forge(run, state=other(run, **changes))
    assert falls_back(run, made[1])[0].step == 10


@pytest.mark.parametrize("spikes", FACTS.values(), ids=FACTS)
def test_the_checkpoint_before_one_of_impossible_spikes_is_used(run, made, spikes):
    forge(run, facts__spikes=spikes)
    assert falls_back(run, made[1])[0].step == 10


@pytest.mark.parametrize("rows", ["too few", "of a step to come"])
def test_the_checkpoint_before_one_of_other_rows_is_used(run, made, rows):
    table = newest(run, pytest.fail).metrics()
    if rows == "too few":
        content, said = table.rows(0)[: -len(table.rows(4))], "has 4 rows of metrics, not 5"
    else:
        table.append(12, {"loss_train": 1.0})
        content, said = table.rows(0), "of a step that was not made"
    about = {"bytes": len(content), "sha256": sha256(content), "count": 4 + 2 * (len(table) > 5)}
    forge(run, **{f"facts__rows__{key}": value for key, value in about.items()})
    (run / "checkpoints/metrics.rows").write_bytes(table.rows(0))
    found, line = falls_back(run, made[1])
    assert found.step == 10
    assert said in line


def test_a_run_that_falls_back_is_the_same(run, made):
    _, config, whole = made
    forge(run, state=other(run, **STATES["a shape"]))
    saved, line = falls_back(run, config)
    assert "params is float32" in line
    (outcome,) = run_fleet([config], [run], show=False, saved=[saved])
    assert outcome.parameters_sha256 == whole.parameters_sha256
    assert outcome.metrics_sha256 == whole.metrics_sha256


@pytest.fixture(scope="module")
def inspected(compose, tmp_path_factory):
    """A run that is looked into, and was interrupted."""
    root = tmp_path_factory.mktemp("inspected")
    config = compose(*SMALL, "checkpoint_every=10", "diagnostics=all")
    run_fleet([config], [root / "run"], AtEleven([]), show=False)
    return root / "run", config


RINGS = {
    "states of other steps": {"ring.step": lambda own: own + 1},
    "states of runs that are over": {"ring.active": lambda own: ~own},
    "gradients that are not finite": {"ring.grads": lambda own: own * np.nan},
    "a state that is not finite": {"ring.params": lambda own: own + np.inf},
    "fewer gradients": {"ring.grads": lambda own: own[1:]},
    "no gradients": {"ring.grads": lambda own: None},
}


@pytest.mark.parametrize("changes", [*RINGS.values(), "no ring"], ids=[*RINGS, "no ring"])
def test_the_checkpoint_before_one_of_other_last_steps_is_used(inspected, tmp_path, changes):
    run = shutil.copytree(inspected[0], tmp_path / "run")
    if changes == "no ring":
        names = [name for name in newest(run, pytest.fail).tensors() if name.startswith("ring.")]
        changes = dict.fromkeys(names, lambda own: None)
    assert find_start(run, inspected[1]).step == 11
    forge(run, state=other(run, **changes))
    assert falls_back(run, inspected[1])[0].step == 10


def test_the_checkpoint_before_one_without_diagnostics_is_used(inspected, tmp_path):
    run = shutil.copytree(inspected[0], tmp_path / "run")
    forge(run, facts__diagnostics=None)
    assert falls_back(run, inspected[1])[0].step == 10


def bytes_of(kind, run, canary):
    state = (run / "checkpoints/step_0000000011/state.safetensors").read_bytes()
    size = struct.unpack("<Q", state[:8])[0]
    header = json.loads(state[8 : 8 + size])
    name = next(iter(header.keys() - {"__metadata__"}))
    match kind:
        case "pickle":
            return pickle.dumps(Touches(canary))
        case "torch":
            import io

            import torch

            buffer = io.BytesIO()
            torch.save(Touches(canary), buffer)
            return buffer.getvalue()
        case "huge header":
            return struct.pack("<Q", 1 << 62) + state[8:]
        case "large header":
            text = json.dumps(header).encode().ljust(2 << 20)  # which safetensors would read
            return struct.pack("<Q", len(text)) + text + state[8 + size :]
        case "deep header":
            text = b'{"x":' * 50_000 + b"1" + b"}" * 50_000
            return struct.pack("<Q", len(text)) + text
        case "offsets":
            header[name]["data_offsets"] = [0, 1 << 40]
            text = json.dumps(header).encode()
            return struct.pack("<Q", len(text)) + text + state[8 + size :]
        case "overlap":
            for own in header.values():
                own["data_offsets"] = [0, 8]
            text = json.dumps(header).encode()
            return struct.pack("<Q", len(text)) + text + state[8 + size :]
        case "shape":
            header[name]["shape"] = [1 << 40, 1 << 40]
            text = json.dumps(header).encode()
            return struct.pack("<Q", len(text)) + text + state[8 + size :]
        case "empty":
            return b""
    raise AssertionError


@pytest.mark.parametrize(
    "kind",
    ["pickle", "torch", "huge header", "large header", "deep header", "offsets", "overlap",
     "shape", "empty"],
)  # fmt: skip
def test_bytes_that_are_no_tensors_are_refused(run, made, tmp_path, kind):
    canary = tmp_path / "canary"
    forge(run, state=bytes_of(kind, run, canary))
    saved = newest(run, pytest.fail)  # its digests are right
    with pytest.raises(DamagedError) as error:
        saved.tensors()
    assert "\n" not in str(error.value)
    (outcome,) = run_fleet([made[1]], [run], show=False, saved=[saved])
    assert isinstance(outcome, DamagedError)
    assert not canary.exists()


def test_the_payloads_are_real(tmp_path):
    """Who unpickled them would find the canary."""
    pickle.loads(pickle.dumps(Touches(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json", "metrics.rows"])
@pytest.mark.parametrize("kind", ["link", "device", "fifo", "folder"])
def test_what_is_no_file_is_refused(run, tmp_path, name, kind):
    folder = run / "checkpoints"
    path = (folder if name == "metrics.rows" else folder / "step_0000000011") / name
    path.rename(tmp_path / "aside")
    if kind == "link":
        path.symlink_to(tmp_path / "aside")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert refused(run)


def test_a_checkpoint_that_is_a_link_is_refused(run, tmp_path):
    folder = run / "checkpoints/step_0000000011"
    folder.rename(tmp_path / "aside")
    folder.symlink_to(tmp_path / "aside")
    assert refused(run)


def test_checkpoints_elsewhere_are_not_followed(run, tmp_path):
    (run / "checkpoints").rename(tmp_path / "aside")
    (run / "checkpoints").symlink_to(tmp_path / "aside")
    assert newest(run, pytest.fail) is None


def test_manifests_that_are_no_json_are_refused(run):
    path = run / "checkpoints/step_0000000011/manifest.json"
    for text in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"sha256": 1}',
        b"\xff\xfe",
        b"1" * 9999,
    ):
        path.write_bytes(text)
        assert refused(run)


def test_a_checkpoint_reads_back(run):
    found = newest(run, pytest.fail)
    assert isinstance(found, Checkpoint)
    state = (found.folder / "state.safetensors").read_bytes()
    assert found.tensors().keys() == load(state).keys()
    rows = found.facts.rows
    assert len(found.rows("metrics.rows", rows)) == rows.bytes > 0
