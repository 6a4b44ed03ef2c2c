"""Hostile input: nothing that is read runs code, and nothing is written where nobody sent it.

Each payload touches a canary file if it gets its way; each is refused, and leaves nothing behind.
"""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from hw2exp.config.command_line import read
from hw2exp.config.folder import check_subfolder
from hw2exp.config.recorded import read_values
from hw2exp.system.problems import ConfigError
from hw2exp.train import main
from tests.tiers import first_slow

# OmegaConf 2.4 names it otherwise; there 2.3 has an older function.
pytestmark = pytest.mark.filterwarnings("ignore:register_new_resolver")

PAYLOAD = """
import os
from pathlib import Path

def touch(*args, **kwargs):
    Path(os.environ["CANARY"]).touch()

touch()
"""
CALL = "{_target_:payload.touch}"
TAG = "!!python/object/apply:payload.touch []"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghij")
)

DOUBLING = "".join(f"x{n}: ${{.x{n + 1}}}${{.x{n + 1}}}\n" for n in range(40)) + "x40: x\n"
SECRET = "hunter2"

TARGETS = [
    ["model._target_=payload.touch"],
    ["+model._target_=payload.touch"],
    ["++model._target_=payload.touch"],
    ["+_target_=payload.touch"],
    [f"model={CALL}"],
    [f"+model={CALL}"],
    [f"optimizer={CALL}"],
    ["++optimizer.lr._target_=payload.touch"],
    [f"++init.scale={CALL}"],
    [f"seed={CALL}"],
    [f"+seed=[{CALL}]"],
    ["model=payload.touch"],
    ["model.name=payload.touch"],
    ["-m", "model=lstm,payload.touch"],
    ["-m", f"seed={CALL},1"],
]
"""Objects for Hydra's ``instantiate``, where a model, a number or a name should stand."""

OF_HYDRA = [
    ["-m", "seed=1", "hydra.launcher._target_=payload.touch"],
    ["-m", "seed=1", "++hydra.launcher._target_=payload.touch"],
    ["-m", "seed=1", "hydra.sweeper._target_=payload.touch"],
    ["-m", "seed=1", "+hydra.sweeper.sampler._target_=payload.touch"],
    ["-m", "seed=1", f"+hydra.sweeper.params={{seed:{CALL}}}"],
    ["-m", "seed=1", f"+hydra.launcher={CALL}"],
    ["-m", "seed=1", "hydra/launcher=payload"],
    ["-m", "seed=1", "+model@hydra.launcher=lstm"],
    ["+hydra.callbacks.x._target_=payload.touch"],
    [f"+hydra.callbacks={{x:{CALL}}}"],
    ["++hydra={callbacks:{x:{_target_:payload.touch}}}"],
    ["hydra.job_logging.formatters.simple={'()':payload.touch}"],
    ["+hydra.job_logging.handlers.x={'()':payload.touch}"],
    ["+hydra.hydra_logging.handlers.x={class:payload.touch}"],
    ["hydra.searchpath=[pkg://payload]"],
    ["+hydra.job.env_set.LD_PRELOAD=/tmp/x.so"],
    ["hydra.mode=MULTIRUN", "hydra.launcher._target_=payload.touch"],
    ["--config-path=pkg://payload"],
    ["--config-name=payload"],
]
"""What plain Hydra imports and calls for whoever writes it on a command line."""

RESOLVED = [
    ["seed=${eval:'__import__(\\'payload\\')'}"],
    ["seed=${python:payload.touch}"],
    ["seed=${${oc.env:PAYLOAD}:'__import__(\\'payload\\')'}"],
    ["++hydra.run.dir=${eval:'__import__(\\'payload\\')'}"],
    ["-m", "seed=1,2", "hydra.sweep.subdir=${eval:'__import__(\\'payload\\')'}"],
    ["-m", "seed=1,${eval:'__import__(\\'payload\\')'}"],
    ["hydra.job.name=${eval:'__import__(\\'payload\\')'}"],
    ["model=${eval:'__import__(\\'payload\\')'}"],
]
"""Calls that another's resolver would make: ``eval`` is registered, as careless programs do."""

OUTSIDE = [
    ["experiment=../../outside/x"],
    ["model=../model/lstm"],
    ["hydra.job.name=../outside"],
    ["hydra.output_subdir=../outside"],
    ["hydra.output_subdir=/tmp/outside"],
    ["hydra.output_subdir=checkpoints"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='../outside/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='a/../../../outside/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='/tmp/outside/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='${oc.env:UP}/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.dir=here", "hydra.sweep.subdir='link/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='${seed}\0'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='${seed}\n'"],
    [
        "-m", "seed=1,2", "hydra.sweep.subdir=${hydra.job.override_dirname}",
        "hydra.job.config.override_dirname.kv_sep=/../../../outside/",
    ],
    ["-m", "seed=1,2", "hydra.sweep.subdir='.a.part/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='a/.${seed}.part'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='.hydra/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='.lock/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='arms/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='${seed}/checkpoints'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='result.json/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='multirun.yaml/${seed}'"],
    ["-m", "seed=1,2", "hydra.sweep.subdir='events.out.tfevents.1/${seed}'"],
    ["hydra.run.dir=here/.run.part"],
    ["hydra.output_subdir=diagnostics.parquet"],
    ["hydra.output_subdir=.x.part"],
    ["hydra.run.dir='here/${oc.env:UP}/outside'"],
    ["hydra.run.dir='here/${hydra.job.override_dirname}'", "task=easy",
     "hydra.job.config.override_dirname.kv_sep=/../../../outside/"],
]  # fmt: skip
"""Names that would lead out of the folder that results go to."""

FOLDERS = {
    "another main config": {"train.yaml": f"seed: {CALL}"},
    "a folder outside": {"model/evil.yaml": "# @package _global_\nhydra: {run: {dir: /tmp/out}}"},
    "a folder above": {"model/evil.yaml": "# @package _global_\nhydra: {run: {dir: ../outside/x}}"},
    "a folder behind a link": {
        "model/evil.yaml": "# @package _global_\nhydra: {run: {dir: here/link/x}}"
    },
    "Hydra's own choices": {"hydra/launcher/fleet.yaml": "_target_: payload.touch"},
    "an object for a tag": {"model/evil.yaml": f"name: {TAG}"},
    "a module for a tag": {"model/evil.yaml": "name: !!python/module:payload"},
    "a model for instantiate": {"model/evil.yaml": "name: lstm\n_target_: payload.touch"},
    "a launcher by its place": {
        "model/evil.yaml": "# @package hydra.launcher\n_target_: payload.touch"
    },
    "callbacks by their place": {
        "model/evil.yaml": f"# @package _global_\nhydra: {{callbacks: {{x: {CALL}}}}}"
    },
    "logging by its place": {
        "model/evil.yaml": "# @package hydra.job_logging.handlers.x\n(): payload.touch"
    },
    "another search path": {
        "model/evil.yaml": "# @package _global_\nhydra: {searchpath: [pkg://payload]}"
    },
    "the environment": {"model/evil.yaml": "# @package hydra.job.env_set\nLD_PRELOAD: /tmp/x.so"},
    "a resolver": {"model/evil.yaml": "name: ${eval:\"__import__('payload')\"}"},
    "a resolver among the defaults": {
        "model/evil.yaml": "defaults: [\"${eval:\\\"__import__('payload')\\\"}\"]\nname: lstm"
    },
    "billions of values": {
        "model/evil.yaml": BOMB},
    "itself": {"model/evil.yaml": "a: &a [*a]"},
    "endless nesting": {"model/evil.yaml": "a: " + "[" * 50_000},
    "an endless file": {"model/evil.yaml": "#" * (1 << 21)},
    "no YAML": {"model/evil.yaml": "a: [1\nb: }"},
    "no text": {"model/evil.yaml": "\0\1\2"},
    "a secret beside the folder": {"model/evil.yaml": "defaults: [../../outside/secret]"},
    "a secret from the root": {"model/evil.yaml": "defaults: [/../outside/secret]"},
    "a secret by its whole path": {"model/evil.yaml": "defaults: ['/{outside}/secret@_here_']"},
    "a secret of another group": {"model/evil.yaml": "defaults: [{/../outside@_here_: secret}]"},
    "an optional secret": {"model/evil.yaml": "defaults: [{optional /../outside@_here_: secret}]"},
    "a secret for a choice": {
        "model/evil.yaml": "# @package _global_\ndefaults: [{override /clip: ../../outside/secret}]"
    },
    "a secret by another scheme": {"model/evil.yaml": "defaults: ['file://{outside}/secret']"},
    "a secret behind a file of one's own": {
        "model/evil.yaml": "defaults: [below]", "model/below.yaml": "defaults: [/../outside/secret]"
    },
    "a secret behind a link": {"model/evil.yaml": "defaults: [/link/secret]"},
    "a secret behind a link and back": {"model/evil.yaml": "defaults: [/link/../outside/secret]"},
    "a bomb behind a file of one's own": {"model/evil.yaml": "defaults: [bomb]",
                                          "model/bomb.yaml": BOMB},
    "itself among its defaults": {"model/evil.yaml": "defaults: [evil]"},
    "the main config among its defaults": {"model/evil.yaml": "defaults: [/train]"},
    "a million files": {
        "model/evil.yaml": "defaults: [x0]\nname: lstm",
        **{f"model/x{n}.yaml": f"defaults: [x{n + 1}@a, x{n + 1}@b]" for n in range(20)},
        "model/x20.yaml": "a: 1",
    },
    "billions of letters by reference": {"model/evil.yaml": DOUBLING},
    "billions of values by reference": {
        "model/evil.yaml": "".join(f"x{n}: {{a: '${{.x{n + 1}}}', b: '${{.x{n + 1}}}'}}\n"
                                   for n in range(30)) + "x30: 1\n"},
    "a run that is not below": {
        "model/evil.yaml": "# @package _global_\nresume: ../outside/run"},
    "a run behind a link": {
        "model/evil.yaml": "# @package _global_\nresume: here/link/run"},
}  # fmt: skip
"""Folders of configs from somebody else, for ``--config-dir``."""

FOR_SWEEPS = {
    "a folder for the jobs": "hydra: {sweep: {dir: ../outside/x}}",
    "a folder among what is swept": "hydra: {sweeper: {params: {hydra.sweep.dir: ../outside/x}}}",
    "a sweep that is not below": "resume: ../outside/sweep",
    "a sweep among what is swept": "hydra: {sweeper: {params: {resume: ../outside/sweep}}}",
    "a launcher among what is swept": "hydra: {sweeper: {params: {hydra/launcher: basic}}}",
}
"""Likewise, for a sweep."""


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """The canary file; code that touches it can be imported, and a resolver evaluates."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "payload.py").write_text(PAYLOAD)
    for folder in ("work", "work/here", "outside"):
        (tmp_path / folder).mkdir()
    (tmp_path / "outside/secret.yaml").write_text(f"name: {SECRET}\nsecret: {SECRET}\n")
    (tmp_path / "work/here/link").symlink_to(tmp_path / "outside")
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    monkeypatch.setenv("UP", "../../..")
    monkeypatch.setenv("PAYLOAD", "eval")
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.chdir(tmp_path / "work")
    OmegaConf.register_new_resolver("eval", eval)
    yield tmp_path / "canary"
    OmegaConf.clear_resolver("eval")
    sys.modules.pop("payload", None)


def tree(folder):
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


def check_refused(words, canary, capsys):
    before = tree(canary.parent)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hw2exp: ")
    assert captured.err.count("\n") == 1
    assert SECRET not in captured.err
    assert not canary.exists()
    assert "payload" not in sys.modules
    assert tree(canary.parent) == before


@pytest.mark.parametrize("words", [*TARGETS, *OF_HYDRA, *RESOLVED, *OUTSIDE], ids=" ".join)
def test_hostile_overrides(words, canary, capsys):
    check_refused(words, canary, capsys)


def write_folder(tmp_path, files):
    """Write somebody's folder of configs, with a link that leads out of it."""
    for name, text in files.items():
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{outside}", f"{tmp_path}/outside"))
    (tmp_path / "theirs/link").symlink_to(tmp_path / "outside")
    return f"--config-dir={tmp_path}/theirs"


@pytest.mark.parametrize("files", first_slow(*FOLDERS.values(), slow=8), ids=FOLDERS.keys())
def test_hostile_folders_of_configs(files, canary, capsys, tmp_path):
    (tmp_path / "outside/run").mkdir()
    check_refused([write_folder(tmp_path, files), "model=evil"], canary, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("text", FOR_SWEEPS.values(), ids=FOR_SWEEPS.keys())
def test_hostile_folders_of_configs_for_sweeps(text, canary, capsys, tmp_path):
    (tmp_path / "outside/sweep/0").mkdir(parents=True)
    files = {"experiment/evil.yaml": f"# @package _global_\n{text}"}
    check_refused(
        ["-m", write_folder(tmp_path, files), "experiment=evil", "seed=0,1"], canary, capsys
    )


@pytest.mark.parametrize("words", [["--hydra-help"], ["--cfg=job"], ["--info=all"]])
def test_who_only_asks_is_not_answered_by_a_hostile_folder(words, canary, capsys, tmp_path):
    files = {"hydra/config.yaml": f"callbacks: {{x: {CALL}}}"}
    check_refused([write_folder(tmp_path, files), *words], canary, capsys)


def test_a_folder_of_configs_may_hold_what_is_below_it(canary, tmp_path):
    """Its files may name each other, links within it and runs below the current folder."""
    folder = write_folder(tmp_path, {
        "experiment/mine.yaml": "# @package _global_\ndefaults: [/parts/some@_global_, alias]",
        "parts/some.yaml": "steps: ${batch_size}\nbatch_size: 8",
        "experiment/other.yaml": "# @package _global_\nresume: null\nlog_every: 2",
    })  # fmt: skip
    (tmp_path / "theirs/experiment/alias.yaml").symlink_to("other.yaml")
    (job,) = read([folder, "experiment=mine", "model=rnn"]).jobs
    assert (job.config.steps, job.config.batch_size, job.config.log_every) == (8, 8, 2)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder elsewhere", "a circle"])
def test_folders_of_configs_with_what_is_no_file(kind, canary, capsys, tmp_path):
    (tmp_path / "theirs/model").mkdir(parents=True)
    evil = tmp_path / "theirs/model/evil.yaml"
    if kind == "a pipe":
        os.mkfifo(evil)
    elif kind == "a device":
        evil.symlink_to("/dev/zero")
    elif kind == "a folder elsewhere":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/evil.yaml").write_text(BOMB)
        (tmp_path / "theirs/model").rmdir()
        (tmp_path / "theirs/model").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "theirs/model/circle").symlink_to(tmp_path / "theirs")
    check_refused([f"--config-dir={tmp_path}/theirs", "model=evil"], canary, capsys)


def test_who_makes_up_jobs_may_not_choose_their_logging(canary, capsys, tmp_path):
    """Optuna's jobs are not known beforehand, and Hydra's launcher would believe what they say."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    (tmp_path / "theirs/experiment").mkdir(parents=True)
    (tmp_path / "theirs/experiment/evil.yaml").write_text(
        "# @package _global_\nhydra: {job_logging: {handlers: {x: {(): payload.touch}}}}"
    )
    (tmp_path / "theirs/experiment/good.yaml").write_text("# @package _global_\nseed: 1")
    check_refused(
        ["-m", f"--config-dir={tmp_path}/theirs", "hydra/sweeper=optuna", "hydra/launcher=basic",
         "experiment=choice(evil,good)"],
        canary, capsys,
    )  # fmt: skip


@pytest.fixture
def begun(canary):
    """The folder of a run, and the words that let it go on."""
    words = ["task=easy", "steps=4", "eval_every=2", "eval_batches=1", "plot=false", "model=rnn",
             "batch_size=8", "check_initial_loss=off"]  # fmt: skip
    assert main([*words, "hydra.run.dir=here/run"]) == 0
    return Path("here/run"), [*words[:1], "steps=8", *words[2:], "resume=here/run"]


def test_no_job_can_be_called_as_a_run_calls_its_files(begun):
    run, _ = begun
    for path in run.iterdir():
        with pytest.raises(ConfigError, match=r"hydra\.sweep\.subdir=a/.*: "):
            check_subfolder(run.parent, f"a/{path.name}/0")
    for name in ("0", "seed=1,lr=0.1", "a/b", "results", "part"):
        check_subfolder(run.parent, name)


@pytest.mark.parametrize("name", [".hydra", "checkpoints"])
def test_a_resumed_run_writes_through_no_link(begun, name, canary, capsys, tmp_path):
    run, words = begun
    capsys.readouterr()
    assert main(words) == 0
    capsys.readouterr()
    (run / name).rename(tmp_path / "outside/elsewhere")
    (run / name).symlink_to(tmp_path / "outside/elsewhere")
    check_refused(words, canary, capsys)


@pytest.mark.parametrize("kind", ["a link", "a pipe"])
def test_a_resumed_sweep_writes_through_no_link(begun, kind, canary, capsys, tmp_path):
    run, words = begun
    capsys.readouterr()
    (run.parent / "sweep").mkdir()
    run.rename(run.parent / "sweep/0")
    place = run.parent / "sweep/multirun.yaml"
    if kind == "a link":
        place.symlink_to(tmp_path / "outside/victim")
    else:
        os.mkfifo(place)
    check_refused(["-m", *words[:-1], "resume=here/sweep"], canary, capsys)


@pytest.mark.parametrize(
    "text",
    [
        TAG,
        f"seed: {TAG}",
        "seed: ${eval:\"__import__('payload')\"}",
        "seed: ${oc.env:PAYLOAD}",
        "seed: ${oc.decode:${oc.env:PAYLOAD}}",
        "seed: ${oc.env:NOT_SET,'default'}",
        "seed: ${oc.create:${oc.env:PAYLOAD}}",
        "seed: ${now:%Y}",
        "seed: ${hydra:runtime.cwd}",
        "seed: ${python_version:}",
        DOUBLING,
        "seed: " + "${oc.decode:" * 2000,
    ],
    ids=lambda text: text[:40],
)
def test_hostile_records(text, canary, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError):
        read_values(tmp_path / "config.yaml")
    assert not canary.exists()


@pytest.mark.nightly
def test_the_payloads_are_real(canary, tmp_path):
    """What is refused above does run where Hydra and YAML are used as they come."""
    OmegaConf.create({"model": "${eval:\"str(__import__('payload'))\"}"}).model  # noqa: B018
    assert canary.exists()
    canary.unlink()
    sys.modules.pop("payload")
    yaml.load(TAG, yaml.UnsafeLoader)
    assert canary.exists()
    canary.unlink()
    (tmp_path / "work/app.py").write_text(
        "import hydra\nfrom hydra.utils import instantiate\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='main')\n"
        "def app(config):\n    instantiate(config.model)\napp()\n"
    )
    (tmp_path / "work/conf/model").mkdir(parents=True)
    (tmp_path / "work/conf/main.yaml").write_text("defaults: [model: lstm]\nseed: 1\n")
    (tmp_path / "work/conf/model/lstm.yaml").write_text("name: lstm\n")
    (tmp_path / "work/conf/model/logging.yaml").write_text(
        FOLDERS["logging by its place"]["model/evil.yaml"]
    )
    real = [
        ["+model._target_=payload.touch"],
        ["+hydra.callbacks.x._target_=payload.touch"],
        ["model=logging"],
        ["hydra.searchpath=[pkg://payload]"],
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    for words in real:
        command = [sys.executable, "app.py", *words]
        subprocess.run(command, env=environment, capture_output=True, check=False)
        assert canary.exists(), words
        canary.unlink()


def test_a_folder_that_is_typed_is_honored(canary, tmp_path, capsys):
    """``hydra.run.dir`` is the user's own word, wherever it leads."""
    options = ["task=easy", "steps=2", "eval_every=2", "plot=false", "model=rnn", "batch_size=8"]
    for folder in ("../outside/run", f"{tmp_path}/elsewhere", "here/link/other"):
        assert main([*options, f"hydra.run.dir={folder}", "check_initial_loss=off"]) == 0
        assert os.path.exists(os.path.join(folder, "result.json"))
    assert not canary.exists()
