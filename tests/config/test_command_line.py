import importlib
import subprocess
import sys

import pytest
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from omegaconf import OmegaConf

from hw2exp.config.arguments import parse_arguments, words_of
from hw2exp.config.command_line import read
from hw2exp.config.help import choices_of, group_names, help_text, words_on
from hw2exp.config.hydra_session import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE
from hw2exp.config.registry import CHOICES
from hw2exp.config.validation import validate
from hw2exp.train import main


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["model=lstm", "seed=7"],
        ["clip=norm", "clip.max_norm=0.5", "optimizer=sgd", "optimizer.nesterov=true"],
        ["experiment=notebook_lstm_moderate", "model.hidden_size=4"],
        ["model.hidden_size=4", "model=rnn"],
        ["task.length=[40,50]", "seed=${steps}"],
        ["++steps=7"],
    ],
)
def test_a_command_reads_as_hydra_would(arguments):
    mine = read(arguments).jobs[0].config
    with initialize_config_module(CONFIG_MODULE, **VERSION_BASE):
        theirs = hydra_compose(CONFIG_NAME, overrides=arguments)
    assert mine == validate(OmegaConf.to_container(theirs, resolve=True))


def test_a_sweep_is_every_combination_in_hydras_order():
    command = read(["-m", "model=lstm,rnn", "seed=range(0,3)", "optimizer.lr=1e-3,3e-3"])
    jobs = [(j.config.model.name, j.config.seed, j.config.optimizer.lr) for j in command.jobs]
    assert command.multirun
    assert jobs == [
        (name, seed, lr) for name in ("lstm", "rnn") for seed in range(3) for lr in (1e-3, 3e-3)
    ]


def test_help_lists_every_group_choice_and_key(compose, capsys):
    assert main(["--help"]) == 0
    config = compose()
    text = capsys.readouterr().out
    for group, choices in CHOICES.items():
        line = next(line for line in text.splitlines() if line.split()[:1] == [group])
        listed, _, default = line.split(maxsplit=1)[1].partition(" (default ")
        assert listed == ", ".join(choices)
        assert default == f"{getattr(config, group).name})"
    assert "training steps (an integer >= 1 and <= 2147483648; default 3000)" in text
    for key in ("seed", "init.scale", "clip.max_norm", "schedule.warmup_steps", "explosion_sgd"):
        assert key in text


def test_help_says_a_sentence_on_every_choice():
    lines = help_text().splitlines()
    for group in group_names():
        told = {name: words_on(group, name) for name in choices_of(group)}
        assert len({*told.values()}) == len(told), group
        for name, words in told.items():
            assert 10 < len(words) < 200, name
            assert words[-1] in ".?", name
            assert "``" not in words
            assert "base class" not in words
            assert any(line.split()[:1] == [f"{group}={name}"] and words in line for line in lines)


def test_the_first_example_is_a_gradient_that_explodes():
    examples = [line for line in help_text().splitlines() if line.startswith("  python -m")]
    assert "experiment=explosion_sgd " in examples[0]
    assert "experiment=explosion_sgd clip=norm " in examples[1]
    assert "experiment=explosion " in examples[2]


SEVERAL = ["task=easy", "seed=1", "steps=50"]


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        (["--cfg", "job"], "--cfg=job"),
        (["--cfg=job"], "--cfg=job"),
        (["-c", "hydra"], "--cfg=hydra"),
        (["-m"], "--multirun"),
        (["--info", "defaults"], "--info=defaults"),
        (["--hydra-help"], "--hydra-help"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_flags_stand_anywhere(flag, wanted, place):
    words = [*SEVERAL[:place], *flag, *SEVERAL[place:]]
    assert words_of(parse_arguments(words)) == [wanted, *SEVERAL]


def test_an_override_is_no_value_of_a_flag_that_may_have_one():
    assert words_of(parse_arguments(["--info", "seed=1"])) == ["--info=all", "seed=1"]


def test_a_folder_of_configs_may_be_named_behind_an_override(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nsteps: 60\n")
    command = read(["task=easy", "--config-dir", str(tmp_path), "experiment=mine", "seed=3"])
    config = command.jobs[0].config
    assert (config.task.name, config.steps, config.seed) == ("easy", 60, 3)
    assert command.words[0] == f"--config-dir={tmp_path}"


@pytest.mark.parametrize(
    "word", ["hydra.run.dir=~/x y", "hydra.run.dir='~/x y'", '++hydra.run.dir="~/x y"']
)
@pytest.mark.parametrize("home", ["plain", "mit Ümlaut"])
def test_a_folder_may_be_named_from_home(word, home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / home))
    command = read(["task=easy", word])
    assert command.folder == tmp_path / home / "x y"
    assert "~" not in " ".join(command.words)


def test_every_flag_that_names_a_folder_knows_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = {
        "anatomy": ["~/x", "--out=~/x"],
        "compare": ["~/x", "~/x"],
        "report": ["~/x", "--out=~/x"],
        "theory": ["--runs=~/x", "--figures=~/x"],
    }
    for name, words in flags.items():
        parser = importlib.import_module(f"hw2exp.{name}.__main__")._parser()
        assert str(vars(parser.parse_args(words))).count(f"{tmp_path}/x") == 2, name
    assert parse_arguments(["--config-dir=~"]).config_dir == str(tmp_path)


def test_what_hydra_shows_is_shown(capsys):
    assert main(["task=easy", "--cfg", "job", "seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out
    assert main(["--cfg=job", "--package=nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_shell_completion_is_that_of_the_installed_command(capsys, monkeypatch):
    assert main(["task=easy", "--hydra-help"]) == 0
    assert 'eval "$(hw2exp-train -sc install=bash)"' in capsys.readouterr().out
    assert main(["-sc", "install=bash"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("hydra_bash_completion hw2exp-train")
    monkeypatch.setenv("COMP_LINE", "hw2exp-train clip=")
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == sorted(f"clip={name}" for name in CHOICES["clip"])


@pytest.mark.slow
def test_help_and_bad_input_load_no_heavy_library():
    """What makes help feel instant: not torch, not matplotlib, not tensorboard, not polars."""
    code = (
        "import sys; from hw2exp.train import main; main(['--help']); main(['lr=1']);"
        "print([m for m in ('torch', 'matplotlib', 'tensorboard', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("flag", ["--dry-run", "dry_run=true"])
def test_dry_run_prints_the_config_and_creates_nothing(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([flag, "model=rnn", "optimizer.lr=0.01"]) == 0
    config, _, plan = capsys.readouterr().out.partition("would run")
    shown = yaml.safe_load(config)
    assert shown["optimizer"]["lr"] == 0.01
    assert shown["model"] == {"name": "rnn", "hidden_size": 16, "nonlinearity": "tanh"}
    assert "3,000 steps of 32 sequences, a test of 992 every 100 steps" in plan
    assert list(tmp_path.iterdir()) == []


def test_what_would_run_is_counted(capsys):
    one = ["steps=1", "batch_size=1", "eval_every=1"]
    assert main(["--dry-run", *one]) == 0
    assert ": 1 step of 1 sequence, a test of 31 every 1 step\n" in capsys.readouterr().out
    assert main(["--dry-run", "-m", *one, "seed=3"]) == 0
    assert "would run 1 job into" in capsys.readouterr().out


def test_a_sweep_may_stand_in_a_config(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nsteps: 7\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    (tmp_path / "experiment/mine.yaml").write_text(text)
    command = read(["-m", f"--config-dir={tmp_path}", "experiment=mine", "model=glob(*nn)"])
    seen = [(job.config.seed, job.config.model.name, job.config.steps) for job in command.jobs]
    models = ("attn_rnn", "gated_rnn", "rnn")
    assert seen == [(seed, model, 7) for seed in (1, 2) for model in models]
