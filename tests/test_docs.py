"""What the README and the documentation show is what happens."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from hw2exp.config.help import choices_of, group_names
from hw2exp.diagnostics.spikes import GAP, first_watched
from hw2exp.records.run_dir import read_result
from hw2exp.tasks.temporal_order import TemporalOrder, encode

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("[a-z]*/*.md")))
    if path.name not in ("keys.md", "commands.md")  # made from the schema
}
TEXT = "\n".join(PAGES.values())


def page(name):
    return PAGES[f"docs/{name}.md"]


def block(language, containing):
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    (found,) = (text for text in blocks if containing in text)
    return found


def commands(name):
    """Return the words of each command ``python -m hw2exp.NAME …`` that is shown."""
    text = "\n".join([TEXT, *map("".join, cells())]).replace("\\\n", " ")
    found = re.findall(rf"(?:python|executable}}) -m hw2exp\.{name}\b([^`\n#|]*)", text)
    return [shlex.split(words) for words in found if words.strip()]


def cells():
    for path in DOCS.glob("notebooks/*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            yield cell["source"]


def run(*arguments, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_no_two_pages_train_into_the_same_folder():
    """So a reader of both is not refused, and a notebook can be run again."""
    places = {name: set(re.findall(r"hydra\.(?:run|sweep)\.dir=([^\s'`),\"\\]+)", text))
              for name, text in PAGES.items()}  # fmt: skip
    named = [place for own in places.values() for place in own]
    assert len(named) > 10
    assert sorted(named) == sorted(set(named))
    assert not any("hydra.run.dir" in line or "hydra.sweep.dir" in line
                   for source in cells() for line in source)  # fmt: skip


def test_the_definition_of_a_spike_is_that_of_the_code(compose):
    spikes = compose().spikes
    text = page("explanation/statistics")
    text = " ".join(text[text.index("A **spike** is") :][:600].split())
    assert f"the median of the {spikes.window} steps before by more than the margin" in text
    assert f"the larger of {spikes.margin:g} and six robust standard deviations" in text
    assert spikes.deviations == 6
    assert f"Runs with at most {GAP} steps between them are one spike" in text
    first = first_watched(spikes.window)
    assert f"can begin one is the {first}th: the median needs {first - 1}." in text


@pytest.mark.slow
def test_a_cell_of_ones_own_in_30_lines(tmp_path):
    source = block("python", '@register_cell("leaky_rnn"')
    assert len(source.splitlines()) <= 30
    (tmp_path / "leaky_rnn.py").write_text(source, encoding="utf-8")
    short = ["task=easy", "steps=60", "eval_every=20", "eval_batches=2", "plot=false"]
    done = run("leaky_rnn.py", "model=leaky_rnn", *short, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = read_result(tmp_path / "run")
    assert result.initial["loss"] == pytest.approx(1.386, abs=0.05)
    assert result.final["train_loss"] < result.initial["loss"]
    own = "model=leaky_rnn"
    more = [["--help"], [own, "model.lags=2"], [own, "norm=batch", *short]]
    program = f"import leaky_rnn; print(*[leaky_rnn.main(words) for words in {more}])"
    told = run("-c", program, cwd=tmp_path)
    assert "leaky_rnn" in told.stdout
    assert told.stdout.endswith("\n0 2 2\n"), told.stderr
    assert "norm=batch: model=leaky_rnn names no terms" in told.stderr


@pytest.mark.nightly
def test_a_cell_of_ones_own_in_a_sweep(tmp_path):
    (tmp_path / "leaky_rnn.py").write_text(
        block("python", '@register_cell("leaky_rnn"'), encoding="utf-8"
    )
    short = ["task=easy", "steps=20", "eval_every=20", "eval_batches=2", "plot=false"]
    sweep = ["-m", "model=leaky_rnn", "seed=0,1", "hydra.sweep.dir=sweep", *short]
    done = run("leaky_rnn.py", *sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {read_result(tmp_path / "sweep" / job).status for job in "01"} == {"finished"}


@pytest.mark.nightly
def test_the_example_of_use_from_python(tmp_path):
    (tmp_path / "example.py").write_text(block("python", "hw2exp.sweep("), encoding="utf-8")
    done = run("example.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout
    assert "parameters_sha256" in done.stdout
    assert len(list(tmp_path.rglob("result.json"))) == 1 + 16


def test_the_table_of_groups_is_the_schemas():
    lines = page("reference/choices").splitlines()
    for group in group_names():
        (line,) = (line for line in lines if line.startswith(f"| `{group}` |"))
        named = re.findall(r"`([a-z0-9_]+)`", line.split("|")[2])
        assert named == list(choices_of(group)), group


def test_the_sequence_shown_is_read_and_written_so():
    assert all("BXaYbE → R" in page(name) for name in ("tutorial", "reference/choices"))
    order = TemporalOrder((6, 7), (1, 2), (3, 4))
    assert order.text(*encode("BXaYbE")) == "BXaYbE → R"


@pytest.mark.slow
def test_every_command_that_trains_is_accepted():
    from hw2exp.config.command_line import read

    lines = commands("train")
    assert len(lines) >= 30
    absent = {f"logger={name}" for name in ("mlflow", "wandb") if find_spec(name) is None}
    for words in (words for words in lines if not absent & {*words}):
        shown = ("--help", "--dry-run", "resume=")  # the last needs a run that is there
        if "…" not in words and not any(word.startswith("--import") for word in words):
            assert read([word for word in words if not word.startswith(shown)]).jobs, words


@pytest.mark.parametrize(
    "name", ["anatomy", "compare", "extract", "plot", "report", "theory", "whatif", "zoom"]
)
def test_every_command_that_asks_is_accepted(name):
    own = find_spec(f"hw2exp.{name}").submodule_search_locations is None
    parser = import_module(f"hw2exp.{name}" + ("" if own else ".__main__"))._parser()
    lines = commands(name)
    assert lines
    for words in lines:
        assert parser.parse_args(words), words


def test_every_part_shown_is_one_of_the_write_ups():
    from hw2exp.theory.__main__ import _parser
    from hw2exp.theory.sheet import select

    for words in commands("theory"):
        assert select(_parser().parse_args(words).part)


def test_the_front_page_is_short():
    assert len(PAGES["README.md"].encode()) <= 12_000


def anchor(heading):
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_links_lead_to_pages_and_pictures():
    """Sphinx checks those of the documentation; these files are read elsewhere."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        for link, place in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", (ROOT / name).read_text()):
            assert (ROOT / link).exists() or link.startswith("https:"), (name, link)
            if place:
                text = (ROOT / (link or name)).read_text(encoding="utf-8")
                assert place in [*map(anchor, re.findall(r"^#+ (.+)$", text, re.M))], (name, link)
