"""A sweep with packed records: the same runs as with a folder each, in three files a fleet."""

import hashlib
import json
import random
import shutil
import signal

import polars
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp import extract
from hw2exp.compare.__main__ import main as compare
from hw2exp.config.axes import Axes, Axis
from hw2exp.config.command_line import read
from hw2exp.records.packed import PackedSweep
from hw2exp.records.packed_fleet import ended_fleets, read_parameters
from hw2exp.records.parameters import read_parameters as read_own_parameters
from hw2exp.records.runs import read_runs, runs_below
from hw2exp.runs import fleet_run
from hw2exp.runs.packed_run import run_packed
from hw2exp.sweeps import packed_sweep
from hw2exp.sweeps.execution import execute
from hw2exp.sweeps.executor import WorkerDied
from hw2exp.system.interrupt import NEVER, Interrupt
from hw2exp.system.problems import ConfigError
from hw2exp.train import main

SHORT = (
    "task=easy", "model=rnn", "model.hidden_size=6", "batch_size=4", "steps=40", "eval_every=20",
    "eval_batches=2", "log_every=7", "plot=false", "optimizer=sgd", "check_initial_loss=off",
    "model.nonlinearity=relu",
)  # fmt: skip
AXES = (
    "optimizer.lr=logspace(0.01,300,4)", "clip=none,norm", "init.scale=0.5,3", "seed=range(0,2)",
)  # fmt: skip
JOBS = 32


def train(*words):
    return main(["-m", *SHORT, *words])


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same sweep with packed records, and with a folder for each run."""
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(packed_sweep, "PACKED_SIZE", 5)
        assert train(*AXES, "records=packed", "hydra.sweep.dir=packed") == 0
        assert train(*AXES, "records=folders", "hydra.sweep.dir=folders") == 0
    return folder


def results(folder):
    return {
        int(path.parent.name): json.loads(path.read_text()) for path in folder.glob("*/result.json")
    }


def test_packed_runs_are_those_with_folders(both):
    sweep = PackedSweep.read(both / "packed")
    alone = results(both / "folders")
    packed = dict(sweep.results())
    assert sorted(packed) == sorted(alone) == list(range(JOBS))
    assert any(result.diverged_at for result in packed.values())
    for number, result in packed.items():
        expected = alone[number]
        for name in ("status", "step", "diverged_at", "solved_at", "ends_solved", "spikes",
                     "parameters_sha256", "metrics_sha256", "explosions", "training_path",
                     "versions", "initial"):  # fmt: skip
            assert getattr(result, name) == expected[name], (number, name)


def test_each_config_metrics_and_parameters_are_those_of_the_folder(both):
    sweep = PackedSweep.read(both / "packed")
    arms = read_runs(both / "folders").arms
    alone = {int(run.folder.name): run for arm in arms for run in arm.runs.values()}
    params = [read_parameters(sweep.path, first) for first in ended_fleets(sweep.path)]
    for number, run in alone.items():
        config = sweep.config(number)
        assert config == run.config.model_copy(
            update={
                name: getattr(config, name) for name in ("records", "plot", "check_initial_loss")
            }
        )
        assert sweep.metrics_of(number).equals(run.metrics())
    for own in params:
        jobs = own.pop("job").tolist()
        for row, job in enumerate(jobs):
            expected = read_own_parameters(both / f"folders/{job}")
            assert own.keys() == expected.keys()
            assert all((own[name][row] == expected[name]).all() for name in own)


def test_parameters_may_be_left_out(both, tmp_path, monkeypatch):
    """The runs are the same; ``extract`` makes the parameters again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed_sweep, "PACKED_SIZE", 5)
    words = *AXES, "records=packed", "packed_parameters=false"
    assert train(*words, "hydra.sweep.dir=s") == 0
    sweep = PackedSweep.read(tmp_path / "s")
    whole = PackedSweep.read(both / "packed")
    assert sweep.runs().drop("seconds").equals(whole.runs().drop("seconds"))
    assert sweep.metrics().equals(whole.metrics())
    firsts = ended_fleets(sweep.path)
    assert all(read_parameters(sweep.path, first).keys() == {"job"} for first in firsts)
    assert extract.main(["s", "--job", "3"]) == 0
    own, expected = map(read_own_parameters, (tmp_path / "s/3", both / "folders/3"))
    assert own.keys() == expected.keys()
    assert all((own[name] == expected[name]).all() for name in own)
    (sweep.path / f"{firsts[1]:07d}.safetensors").unlink()
    assert train(*words[:-1], "resume=s") == 0  # the lost fleet, now with its parameters
    assert len(read_parameters(sweep.path, firsts[1])) > 1
    assert sweep.runs().drop("seconds").equals(whole.runs().drop("seconds"))


def test_last_loss_is_the_mean_of_the_last_twenty_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("seed=range(0,3)", "log_every=1", "optimizer.lr=0.1")
    assert train(*words, "records=packed", "hydra.sweep.dir=s") == 0
    sweep = PackedSweep.read(tmp_path / "s")
    for job, last in sweep.runs().select("job", "last_loss").iter_rows():
        assert last == pytest.approx(sweep.metrics_of(job)["loss_train"][-20:].mean(), rel=1e-12)


def test_three_files_a_fleet(both):
    names = [path.name for path in (both / "packed/packed").iterdir()]
    fleets = len({name.partition(".")[0] for name in names if name != "sweep.json"})
    assert len(names) == 3 * fleets + 1
    there = sorted(path.name for path in (both / "packed").iterdir())
    assert there == ["arms", "multirun.yaml", "packed"]


def test_each_arm_has_its_curves_in_tensorboard(both):
    """As with folders: EventAccumulator reads both alike."""
    for name in ("clip=none", "clip=norm"):
        found = [
            sorted(path.name for path in (both / kind / "arms").iterdir() if name in path.name)
            for kind in ("packed", "folders")
        ]
        assert found[0] == found[1] != []
    read = []
    for kind in ("packed", "folders"):
        folder = sorted((both / kind / "arms").iterdir())[0]
        events = EventAccumulator(str(folder))
        events.Reload()
        tags = events.Tags()["scalars"]
        read.append({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags})
    assert read[0] == read[1] != {}


def test_the_rows_name_the_swept_values(both):
    rows = PackedSweep.read(both / "packed").runs()
    jobs = read(["-m", *SHORT, *AXES, "records=folders"]).jobs
    assert rows["optimizer.lr"].to_list() == [job.config.optimizer.lr for job in jobs]
    assert rows["clip"].to_list() == [job.config.clip.name for job in jobs]
    assert rows["init.scale"].to_list() == [job.config.init.scale for job in jobs]
    assert rows["seed"].to_list() == [job.config.seed for job in jobs]


def test_readers_read_both_alike(both, capsys):
    packed, folders = read_runs(both / "packed"), read_runs(both / "folders")
    assert [arm.name for arm in packed.arms] == [arm.name for arm in folders.arms]
    assert [[run.metrics().rows() for run in arm.runs.values()] for arm in packed.arms[:3]] == [
        [run.metrics().rows() for run in arm.runs.values()] for arm in folders.arms[:3]
    ]
    assert packed.left_out == folders.left_out == ()
    assert compare([str(both / "packed"), str(both / "folders")]) == 0
    assert "no key of the configs differs" in capsys.readouterr().out


def test_extract_writes_the_folder_that_the_run_would_have(both, tmp_path):
    shutil.copytree(both / "packed", tmp_path / "s")
    assert extract.main([str(tmp_path / "s"), "--job", "13", "--job", "31"]) == 0
    for job in (13, 31):
        own, expected = (
            json.loads((folder / f"{job}/result.json").read_text())
            for folder in (tmp_path / "s", both / "folders")
        )
        del own["seconds"], expected["seconds"]
        assert own == expected
        for name in ("parameters.safetensors", "metrics.parquet"):
            assert (tmp_path / f"s/{job}/{name}").read_bytes() == (
                both / f"folders/{job}/{name}"
            ).read_bytes()
    # Each run counts once.
    assert read_runs(tmp_path / "s").lost == ()
    assert len([*runs_below(tmp_path / "s")]) == JOBS
    ((_, run),) = runs_below(tmp_path / "s/13")  # unless the extracted one is asked for
    assert run.config.seed == PackedSweep.read(tmp_path / "s").config(13).seed


def test_extract_tells_a_record_of_another_run(both, tmp_path, capsys):
    shutil.copytree(both / "packed", tmp_path / "s")
    path = tmp_path / "s/packed/sweep.json"
    path.write_text(path.read_text().replace('"batch_size": 4', '"batch_size": 5'))
    assert extract.main([str(tmp_path / "s"), "--job", "1"]) == 1
    assert "came out otherwise than its record" in capsys.readouterr().err


@pytest.mark.parametrize("early", [True, False])
def test_an_interrupted_extraction_ends_and_leaves_nothing(both, tmp_path, monkeypatch, early):
    def interrupted(configs, folders, interrupt, **_):
        signal.raise_signal(signal.SIGINT) if early else setattr(interrupt, "signal", signal.SIGINT)
        return [None]

    shutil.copytree(both / "packed", tmp_path / "s")
    monkeypatch.setattr(fleet_run, "run_fleet", interrupted)
    words = [str(tmp_path / "s"), "--job", "1", "--job", "2"]
    if early:  # before the first step
        with pytest.raises(SystemExit) as ended:
            extract.main(words)
        assert ended.value.code == 130
    else:
        assert extract.main(words) == 130
    assert not [*tmp_path.glob("s/[12]")]


WRONG = {
    ("nowhere", "--job", "0"): "no such folder",
    ("folders", "--job", "0"): "must be of a sweep with records=packed",
    ("packed", "--job", "32"): "--job=32: must be 0 to 31",
    ("packed", "--job", "-1"): "--job=-1: must be 0 to 31",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_extract_refuses(both, words, capsys):
    before = sorted(both.rglob("*"))
    assert extract.main([str(both / words[0]), *words[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert WRONG[words] in line
    assert sorted(both.rglob("*")) == before


REFUSED = {
    "diagnostics=all": "diagnostics need a folder for each run; must be none",
    "seed=2,1,2": "seed has a value twice",
    "++checkpoint_every=10": "checkpoint_every=10 is for runs with a folder each; leave it out",
    "checkpoint_every=10": "checkpoint_every=10 is for runs with a folder each; leave it out",
    "plot=true": "plot=true needs a folder for each run; must be auto or false",
    "hydra/sweeper=basic": "hydra/sweeper=basic makes a folder for each run; must be fleet",
    "hydra/launcher=basic": "hydra/launcher=basic makes a folder for each run; must be fleet",
    "hydra.sweep.subdir=x${hydra.job.num}": "is for runs with a folder each; leave it out",
    "spikes.margin='${optimizer.lr}'": "values that refer to others by ${…} need a folder",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_needs_folders_is_refused_where_packed_is_typed(word):
    key = word.lstrip("+").partition("=")[0]
    words = [each for each in (*SHORT, "seed=0,1") if each.partition("=")[0] != key]
    with pytest.raises(ConfigError) as caught:
        read(["-m", *words, "records=packed", word])
    assert any(REFUSED[word] in problem for problem in caught.value.problems)


@pytest.mark.slow
def test_many_jobs_are_packed_by_themselves():
    words = ["-m", *SHORT, "seed=range(0,2049)"]
    assert len(read(words).grid) == 2049
    assert read([*words[:-1], "seed=range(0,2048)"]).grid is None
    assert read([*words, "records=folders"]).grid is None
    assert read([*words, "checkpoint_every=10"]).grid is None


@pytest.mark.parametrize("word", ["seed=range(0,3000)", "++seed=range(0,3000)"])
def test_values_of_a_forced_key_are_data_too(word):
    grid = read(["-m", *SHORT, word]).grid
    assert len(grid.templates) == 1
    assert grid.job(2999).config.seed == 2999


def test_seventy_words_are_no_seventy_dimensions():
    axes = [Axis(f"key{n}", [f"key{n}=1"], None) for n in range(70)]
    axes[40] = Axis("seed", ["seed=3", "seed=4"], [3, 4])
    axes[50] = Axis("clip", ["clip=none", "clip=norm"], None)
    grid = Axes(axes)
    assert [own.tolist() for own in grid.programs()] == [[0, 2], [1, 3]]
    assert grid.lines(3)[40:51:10] == ["seed=4", "clip=norm"]
    assert (grid.data(2), grid.program(3), grid.lines(3)[69]) == ({"seed": 4}, 1, "key69=1")
    assert [*Axes(axes[:3]).samples()] == [0]


def test_more_jobs_than_fit_into_folders():
    words = ["-m", *SHORT, "optimizer.lr=logspace(1e-2,30,512)", "init.scale=logspace(0.1,10,512)"]
    assert len(read(words).grid) == 262_144
    with pytest.raises(ConfigError, match="at most 100000"):
        read([*words, "records=folders"])
    with pytest.raises(ConfigError, match="at most 1048576"):
        read([*words, "seed=range(0,5)"])


INVALID = {
    "optimizer.lr=logspace(1e-2,30,3000),": "not an override",
    "optimizer.lr=linspace(-1,30,3000)": "optimizer.lr=-1.0: must be a finite number > 0",
    "seed=range(-1,3000)": "seed=-1: must be an integer",
    "init.scale=linspace(-3,1,3000)": "init.scale=-3.0: must be a finite number >= 0",
}


@pytest.mark.parametrize("word", INVALID)
def test_every_value_is_checked_before_anything_starts(word):
    with pytest.raises(ConfigError) as caught:
        read(["-m", *SHORT, word])
    assert any(INVALID[word] in problem for problem in caught.value.problems)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [".safetensors", ".runs.parquet"])
def test_resume_runs_what_is_missing(both, tmp_path, monkeypatch, capsys, lost):
    """A fleet whose last file is missing is run again; other fleets stay as they are."""
    shutil.copytree(both / "packed", tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    whole = PackedSweep.read(tmp_path / "s").runs()
    first = sorted((tmp_path / "s/packed").glob("*.safetensors"))[1]
    number = first.name.partition(".")[0]
    (tmp_path / f"s/packed/{number}{lost}").unlink()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "s/packed").glob("*.safetensors")}
    kept.pop(first, None)
    monkeypatch.setattr(packed_sweep, "PACKED_SIZE", 3)  # another size of fleets than before
    assert train(*AXES, "records=packed", "resume=s") == 0
    assert "27 of 32 jobs have their result" in capsys.readouterr().out
    again = PackedSweep.read(tmp_path / "s").runs()
    assert again.drop("seconds").equals(whole.drop("seconds"))
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_resume_refuses_another_sweep(both, tmp_path, monkeypatch, capsys):
    shutil.copytree(both / "packed", tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    assert train(*AXES, "records=packed", "steps=50", "resume=s") == 2
    assert "resume=s: has steps=40, not 50: packed runs begin anew" in capsys.readouterr().err
    assert train(*AXES[:-1], "seed=range(0,3)", "records=packed", "resume=s") == 2
    assert "resume=s: has other values of seed\n" in capsys.readouterr().err
    assert train(*AXES[:2], *AXES[:1:-1], "records=packed", "resume=s") == 2
    assert (
        "resume=s: has the swept keys in the order optimizer.lr clip init.scale seed, not "
        "optimizer.lr clip seed init.scale\n"
    ) in capsys.readouterr().err
    assert train(*AXES[:-1], "seed=1,0", "records=packed", "resume=s") == 2
    assert "resume=s: has the values of seed in another order\n" in capsys.readouterr().err
    assert train(*AXES[:-1], "seed=0", "records=packed", "resume=s") == 2
    assert (
        "resume=s: has the swept keys optimizer.lr clip init.scale seed, not optimizer.lr clip "
        "init.scale\n"
    ) in capsys.readouterr().err
    assert train(*AXES, "records=folders", "resume=s") == 2
    assert "resume=s: holds packed records; type records=packed" in capsys.readouterr().err
    shutil.copytree(both / "folders", tmp_path / "f")
    assert train(*AXES, "records=packed", "resume=f") == 2
    assert "resume=f: holds no packed records" in capsys.readouterr().err


def test_a_typed_folder_with_packed_records_is_refused(both, monkeypatch, capsys):
    monkeypatch.chdir(both)
    assert train(*AXES, "records=packed", "hydra.sweep.dir=packed") == 2
    assert "hydra.sweep.dir=packed: holds results" in capsys.readouterr().err


def test_damaged_records_are_named(both, tmp_path, monkeypatch):
    shutil.copytree(both / "packed", tmp_path / "s")
    path = sorted((tmp_path / "s/packed").glob("*.runs.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=f"{path.name}: is not what"):
        PackedSweep.read(tmp_path / "s").runs()
    with pytest.raises(ConfigError, match="packed records can't be read"):
        read_runs(tmp_path / "s")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"axes": [], "configs": [{}]}'])
def test_a_damaged_sweep_is_named(both, tmp_path, capsys, content):
    shutil.copytree(both / "packed", tmp_path / "s")
    (tmp_path / "s/packed/sweep.json").write_text(content)
    assert extract.main([str(tmp_path / "s"), "--job", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sweep.json" in line or "is missing" in line or "configs" in line


def forge(folder, change=None, **about):
    """Change the rows of a fleet's runs, or the texts of its last file, and mend the digests."""
    rows, last = (folder / f"0000000.{kind}" for kind in ("runs.parquet", "safetensors"))
    if change is not None:
        polars.read_parquet(rows).with_columns(change).write_parquet(rows)
    files = rows, folder / "0000000.metrics.parquet"
    digests = " ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    with safe_open(last, "numpy") as file:
        texts = file.metadata() | {"sha256": digests} | about
    save_file(load_file(last), last, metadata=texts)


SPIKE = {"step": 4, "start": 3, "end": 5, "loss": 2.0, "median": 1.0, "above_initial": True,
         "after_explosion": False}  # fmt: skip
FORGED = {
    "status": {"status": polars.lit("won")},
    "step": {"step": polars.lit(0, polars.Int64)},
    "diverged_at": {"diverged_at": polars.lit(10**6, polars.Int64)},
    "pruned_at": {"pruned_at": polars.lit(3, polars.Int64)},
    "missing values": {"seconds": polars.lit(None, polars.Float64)},
    "spikes": {"start": 5},
    "spikes: ": {"end": 10**6},
    "spikes: not": {"loss": float("nan")},
    "spikes: not ": {"median": None},
}


@pytest.mark.parametrize("problem", FORGED)
def test_results_that_are_no_runs_results_are_refused(both, tmp_path, problem, capsys):
    shutil.copytree(both / "packed", tmp_path / "s")
    change = FORGED[problem]
    if problem.startswith("spikes"):
        rows = PackedSweep.read(tmp_path / "s").runs()
        kind = rows.schema["spikes"]
        count = len(polars.read_parquet(tmp_path / "s/packed/0000000.runs.parquet"))
        change = {
            "spikes": polars.Series([[SPIKE], [SPIKE | change], *[[]] * (count - 2)], dtype=kind)
        }
    forge(tmp_path / "s/packed", [value.alias(name) for name, value in change.items()])
    with pytest.raises(ValueError, match=problem):
        PackedSweep.read(tmp_path / "s").runs()
    assert compare([str(tmp_path / "s")]) == 2
    assert f"0000000.runs.parquet: {problem.partition(':')[0]}" in capsys.readouterr().err


def test_a_forged_spike_of_a_run_is_read(both, tmp_path):
    """So the tests above fail for what they change, not for how they do it."""
    shutil.copytree(both / "packed", tmp_path / "s")
    kind = PackedSweep.read(tmp_path / "s").runs().schema["spikes"]
    count = len(polars.read_parquet(tmp_path / "s/packed/0000000.runs.parquet"))
    spikes = polars.Series("spikes", [[SPIKE]] + [[]] * (count - 1), dtype=kind)
    forge(tmp_path / "s/packed", [spikes])
    assert PackedSweep.read(tmp_path / "s").runs()["spikes"].list.len().sum() >= 1


def test_a_fleet_without_versions_is_made_again(both, tmp_path, monkeypatch):
    shutil.copytree(both / "packed", tmp_path / "s")
    forge(tmp_path / "s/packed", versions="none")
    with pytest.raises(ConfigError, match="has no versions"):
        read_runs(tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    assert train(*AXES, "records=packed", "resume=s") == 0
    assert len(read_runs(tmp_path / "s").outcomes) == JOBS


@pytest.mark.parametrize(
    ("axis", "problem"),
    [
        ({"lines": ["--import=os"]}, "overrides of their keys"),
        ({"lines": ["resume=/elsewhere"]}, "overrides of their keys"),
        ({"lines": ["x=1"], "values": []}, "as many values as lines"),
        ({"lines": [f"x={n}" for n in range(10)], "times": 20}, "as many values as lines"),
    ],
)
def test_a_forged_axis_is_refused(both, tmp_path, axis, problem):
    shutil.copytree(both / "packed", tmp_path / "s")
    path = tmp_path / "s/packed/sweep.json"
    sweep = json.loads(path.read_text())
    own = {"key": "x", "values": None} | axis
    sweep["axes"] += [own] * own.pop("times", 1)
    path.write_text(json.dumps(sweep))
    with pytest.raises(ValueError, match=problem):
        PackedSweep.read(tmp_path / "s")


SPOILED = {
    "metrics": lambda folder: (folder / "0000000.metrics.parquet").write_bytes(b"x"),
    "tensors": lambda folder: flip(folder / "0000000.safetensors", -3),
    "twice": lambda folder: copy_fleet(folder, "0000000", "0000001"),
    "stray": lambda folder: (folder / "7.safetensors").write_bytes(b""),
}


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def copy_fleet(folder, old, new):
    for path in [*folder.glob(f"{old}.*")]:
        shutil.copy(path, path.with_name(path.name.replace(old, new, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("how", SPOILED)
def test_resume_mends_what_is_spoiled(both, tmp_path, monkeypatch, how):
    shutil.copytree(both / "packed", tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    whole = PackedSweep.read(tmp_path / "s").runs().drop("seconds")
    SPOILED[how](tmp_path / "s/packed")
    if how in ("metrics", "tensors"):
        with pytest.raises(ConfigError, match="packed records can't be read"):
            read_runs(tmp_path / "s")
    assert train(*AXES, "records=packed", "resume=s") == 0
    sweep = PackedSweep.read(tmp_path / "s")
    assert sweep.runs().drop("seconds").equals(whole)
    assert len(sweep.metrics()) == len(PackedSweep.read(both / "packed").metrics())


def test_fleets_of_another_sweep_are_none_of_ours(both, tmp_path, monkeypatch, capsys):
    shutil.copytree(both / "packed", tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s/packed/sweep.json").unlink()
    assert train(*AXES, "records=packed", "resume=s") == 2
    assert "holds fleets, but no packed/sweep.json" in capsys.readouterr().err
    other = [AXES[0].replace("300", "200"), *AXES[1:]]
    assert train(*other, "records=packed", "hydra.sweep.dir=o") == 0
    shutil.copytree(both / "packed", tmp_path / "t")
    name = sorted((tmp_path / "t/packed").glob("*.safetensors"))[-1].name.partition(".")[0]
    shutil.rmtree(tmp_path / "s")
    shutil.copytree(tmp_path / "o", tmp_path / "s")
    for path in (tmp_path / "s/packed").glob("*.*"):
        if path.name != "sweep.json":
            path.unlink()
    copied = [shutil.copy(path, tmp_path / "s/packed") for path in
              (tmp_path / "t/packed").glob(f"{name}.*")]  # fmt: skip
    assert len(copied) == 3
    with pytest.raises(ValueError, match="is of another sweep"):
        PackedSweep.read(tmp_path / "s").runs()


def test_runs_that_would_not_start_at_ln_4_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [word for word in SHORT if "check_initial" not in word]
    command = ["-m", *words, "init.readout_scale=1,1000", "seed=0,1", "records=packed"]
    assert main([*command, "hydra.sweep.dir=s"]) == 1
    error = capsys.readouterr().err
    assert "2 jobs (2, 3): " in error or error.count("initial loss") == 2
    assert PackedSweep.read(tmp_path / "s").runs()["job"].to_list() == [0, 1]


def test_the_dry_run_counts_the_jobs(capsys):
    assert train("seed=range(0,3000)", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "would run 3,000 jobs into" in out
    assert ", packed; the first's config is above" in out


def test_a_file_that_sets_checkpoints_is_told_that_there_are_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ncheckpoint_every: 7\nkeep_checkpoints: 2\n"
    (tmp_path / "experiment/mine.yaml").write_text(text)
    words = ("seed=0,1", "clip=none,norm", "experiment=mine", "--config-dir", str(tmp_path))
    assert train(*words, "records=packed", "hydra.sweep.dir=s") == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line)
    assert "checkpoint_every=7: has no effect, since packed records have no checkpoints" in line


@pytest.mark.parametrize("seeds", [16, packed_sweep.MOST_LISTED + 2])
def test_an_interrupted_sweep_says_what_is_missing(tmp_path, monkeypatch, capsys, seeds):
    """The second worker is killed by the interrupt: its runs did not fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed_sweep, "PACKED_SIZE", 4)
    interrupt, trained = Interrupt([]), packed_sweep.train_packed

    def killed(progress, *args):
        if progress.stem == "0":
            return trained(progress, *args)
        interrupt.tell(signal.SIGINT)
        raise WorkerDied("worker 1 was killed by signal 15")

    monkeypatch.setattr(packed_sweep, "train_packed", killed)
    words = [*SHORT, f"seed=range(0,{seeds})", "records=packed", "hydra.sweep.dir=s"]
    outcome = execute(read(["-m", *words]), interrupt)
    out = capsys.readouterr().out
    ended = len(outcome.sweep.runs())
    assert ended == 4
    assert (outcome.failed, outcome.missing) == ({}, seeds - ended)
    assert outcome.status(interrupt) == 128 + signal.SIGINT
    if seeds == 16:
        (row,) = (line.split() for line in out.splitlines() if line.startswith("all "))
        assert row[:5] == ["all", "16", "0", "0", str(16 - ended)]
    else:
        assert f"{ended} of 16,386 runs: 0 solved, 0 diverged, 0 spikes\n" in out
    assert "  resume    the same command with resume=s\n" in out


def test_from_python(tmp_path, monkeypatch):
    from hw2exp.train import api

    monkeypatch.chdir(tmp_path)
    axes = ("seed=0,1,2", "clip=none,norm")
    swept = api.sweep(*SHORT, *axes, "records=packed", "hydra.sweep.dir=s")
    folders = api.sweep(*SHORT, *axes, "records=folders", "hydra.sweep.dir=f")
    assert sorted(swept.results.columns) == sorted(folders.results.columns)
    names = [name for name in folders.results.columns if name != "seconds"]
    assert swept.results.select(names).equals(folders.results.select(names))
    assert swept.metrics.select(polars.len()).item() == 6 * len({7, 14, 20, 21, 28, 35, 40})
    words = [word for word in SHORT if "check_initial" not in word]
    with pytest.raises(RuntimeError, match="none of 2 jobs has a result"):
        api.sweep(*words, "seed=0,1", "init.readout_scale=1e4", "records=packed")


class Nobody:
    """An observer that looks away."""

    def observe(self, steps, metrics, tested):
        """Do nothing."""


@pytest.mark.usefixtures("workers")
def test_workers_that_stand_elsewhere_write_into_the_folder(tmp_path, monkeypatch):
    """The server that forks them may have started before this process changed its folder."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert train("seed=0,1", "records=packed", "hydra.sweep.dir=s", "workers=1") == 0
        assert len(PackedSweep.read(tmp_path / name / "s").runs()) == 2


@pytest.mark.slow
def test_two_hundred_runs_at_random_are_those_alone(tmp_path, monkeypatch):
    """In fleets that runs leave as they diverge or solve their task, each has its own bits."""
    monkeypatch.chdir(tmp_path)
    axes = (
        "model=gated_rnn,rnn,lstm,attn_rnn", "optimizer=sgd,rmsprop", "clip=none,norm",
        "optimizer.lr=logspace(1e-3,1e3,6)", "init.scale=0.5,2,8", "seed=range(0,3)",
        "spikes.margin=0.1,0.3",
    )  # fmt: skip
    early = ("stop_when_solved=true", "solved_passes=1", "solved_accuracy=0.5")
    words = [w for w in SHORT if not w.startswith(("model=", "model.nonlin", "optimizer="))]
    assert main(["-m", *words, *axes, *early, "records=packed", "hydra.sweep.dir=s"]) == 0
    sweep = PackedSweep.read(tmp_path / "s")
    packed = dict(sweep.results())
    assert len(packed) == 4 * 2 * 2 * 6 * 3 * 3 * 2
    assert {result.status for result in packed.values()} == {"finished", "solved", "diverged"}
    for number in random.Random(4).sample(sorted(packed), 200):
        config = sweep.config(number).model_copy(update={"check_initial_loss": "off"})
        runs, _ = run_packed([config], lambda fleet: Nobody(), NEVER)
        for name in ("parameters_sha256", "metrics_sha256", "spikes", "step", "status"):
            assert getattr(packed[number], name) == getattr(runs[0].result, name), (number, name)
