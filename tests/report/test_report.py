import errno
import html
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import polars
import pytest

from hw2exp.records.runs import read_runs
from hw2exp.report.__main__ import main
from hw2exp.report.build import make_report
from hw2exp.report.chapter import make_chapter
from hw2exp.report.claim import SURPRISE, Claim, Finding, Judged
from hw2exp.report.curves import Band, curves, gallery
from hw2exp.report.page import render
from hw2exp.report.plan import ChapterPlan
from hw2exp.system import disk

FILES = [
    "arms.csv", "arms.parquet", "claims.csv", "claims.parquet", "comparisons.csv",
    "comparisons.parquet", "cures.png", "cures.svg",
    "curves.png", "curves.svg", "report.html", "runs.csv", "runs.parquet", "spikes.csv",
    "spikes.parquet", "spikes.png", "spikes.svg", "unsolved.png", "unsolved.svg",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(sweep, tmp_path_factory):
    target = tmp_path_factory.mktemp("made") / "report"
    assert main([str(sweep), "--out", str(target)]) == 0
    return target


def test_everything_lies_beside_each_other(report):
    assert sorted(path.name for path in report.iterdir()) == FILES


def test_tables_hold_every_run_and_arm(report, sweep):
    runs = polars.read_parquet(report / "runs.parquet")
    assert runs.height == 16
    assert runs["seed"].unique().sort().to_list() == [0, 1, 2, 3]
    arms = polars.read_csv(report / "arms.csv")
    assert arms["arm"].to_list() == [arm.name for arm in read_runs(sweep).arms]
    assert arms["runs"].to_list() == [4] * 4
    of_first = runs.filter(polars.col("arm") == arms["arm"][0])
    assert arms["spikes_per_1000"][0] == pytest.approx(
        1_000 * of_first["spikes"].sum() / of_first["step"].sum()
    )
    compared = polars.read_csv(report / "comparisons.csv")
    assert compared["seeds"].to_list() == [4, 4]


@pytest.mark.slow
def test_once_more_gives_the_same_whatever_matplotlib_was_told(report, sweep, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20, "axes.facecolor": "red"}):
        make_report(sweep, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (report / name).read_bytes(), name


def test_the_page_is_one_file_and_says_what_was_found(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    made = "-m model=rnn,gated_rnn clip=none,norm &#39;seed=range(0,4)&#39;"
    assert f"python -m hw2exp.train {made}" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]*", "", page)
    for arm in ("model=rnn clip=norm", "model=gated_rnn clip=none"):
        assert arm in page
    assert "16 runs in 4 arms" in page
    assert "We can clip the gradient" in page
    assert page.count("<img ") == 4


@pytest.mark.nightly
def test_a_report_lies_in_the_folder_and_is_not_read_as_runs(sweep, tmp_path, capsys):
    for job in ("0", "1"):
        shutil.copytree(sweep / job, tmp_path / "sweep" / job)
    for _ in range(2):
        assert main([str(tmp_path / "sweep")]) == 0
    assert (tmp_path / "sweep" / "report" / "report.html").exists()
    assert capsys.readouterr().out.count("2 runs in 1 arm") == 2


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (".hydra/config.yaml", "model: {name: leaky_rnn}", "model=leaky_rnn: no such choice"),
        ("result.json", None, "no result: interrupted, failed, or still running"),
    ],
)
def test_a_report_without_some_runs_says_so(
    sweep, tmp_path, capsys, forget_config, name, text, why
):
    for job in ("0", "1", "2"):
        shutil.copytree(sweep / job, tmp_path / "runs" / job)
    for job in ("0", "1"):
        path = tmp_path / "runs" / job / name
        path.unlink() if text is None else path.write_text(text)
        if text is not None:
            forget_config(tmp_path / "runs" / job)
    assert main([str(tmp_path / "runs")]) == 1
    out, error = capsys.readouterr()
    assert error.startswith(f"hw2exp: warning: 2 runs left out: {why}")
    assert error.count("\n") == 1
    assert f"2 runs left out: {why}" in (tmp_path / "runs/report/report.html").read_text()
    assert "1 run in 1 arm" in out


def words_of(page):
    """What a reader sees of a page."""
    text = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_one_run_has_a_report_too_which_speaks_of_one_run(sweep, tmp_path):
    assert main([str(sweep / "0"), "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "comparisons.csv").exists()
    words = words_of((tmp_path / "report.html").read_text())
    assert "1 run in 1 arm from" in words
    assert "1 of 1 run within 0.1 of ln 4" in words
    assert " 1 arm arm runs " in words
    assert "Training loss. Dashed: ln 4." in words
    assert re.search(r"\bnan\b|\b1 (runs|arms|spikes|explosions|comparisons)\b", words) is None
    assert "never … never" not in words
    assert "comparisons" not in words.partition("Once more")[2]


@pytest.mark.nightly
def test_one_comparison_is_one(sweep, tmp_path):
    for job in range(8):
        shutil.copytree(sweep / str(job), tmp_path / "rnn" / str(job))
    assert main([str(tmp_path / "rnn")]) == 0
    words = words_of((tmp_path / "rnn/report/report.html").read_text())
    assert " 1 comparison arm against " in words
    assert "1 comparisons" not in words


def test_findings_are_explained_where_they_stand(report):
    words = words_of((report / "report.html").read_text())
    for finding in Finding:
        assert f"{finding} : {finding.meaning}." in words
        assert words.index(f"{finding} : ") < words.index("where found numbers")
    found = polars.read_csv(report / "claims.csv")["finding"].to_list()
    assert (SURPRISE in words) == ("refuted" in found)


def test_a_refuted_claim_is_called_a_result_not_an_error(sweep, tmp_path):
    claim = Claim("part", "words", "rule", lambda evidence: [])
    plan = ChapterPlan(folder="0", title="", figures=())
    chapter = make_chapter(plan, sweep / "0", read_runs(sweep / "0"), tmp_path)
    for finding in Finding:
        page = render(sweep, None, [chapter], [(claim, [Judged("", finding, "3 of 4")])])
        assert (SURPRISE in words_of(page)) == (finding is Finding.REFUTED)


@pytest.mark.slow
def test_slides_are_the_same_page_in_another_mode(report, sweep, tmp_path):
    assert main([str(sweep), "--out", str(tmp_path), "--slides"]) == 0
    plain, slides = ((each / "report.html").read_text() for each in (report, tmp_path))
    assert '<html lang="en" class="slides">' in slides
    expected = plain.replace('<html lang="en">', '<html lang="en" class="slides">')
    assert slides == expected.replace(f"hw2exp.report {sweep}", f"hw2exp.report {sweep} --slides")


def test_each_section_is_a_screen(report):
    page = (report / "report.html").read_text()
    body = page.partition("<body>")[2]
    assert body.count("<section") == body.count("</section>")
    assert body.count("<div") == body.count("</div>")
    heads = re.split(r'class="[^"]*screen"', body)[1:]
    assert [part.count("<h3") <= 1 for part in heads] == [True] * len(heads)
    assert len(heads) == body.count("<h3") + 3  # the summary, the claims, and once more


def test_what_there_is_none_of_is_not_ranked(sweep, tmp_path):
    """Of arms without a spike or a solved run, none has the most."""
    for job in range(8):
        folder = tmp_path / "runs" / str(job)
        shutil.copytree(sweep / str(job), folder)
        result = json.loads((folder / "result.json").read_text())
        result |= {"solved_at": None, "spikes": []}
        (folder / "result.json").write_text(json.dumps(result))
    assert main([str(tmp_path / "runs")]) == 0
    words = words_of((tmp_path / "runs/report/report.html").read_text())
    assert "Of 8 runs none solved the task, none diverged, and none had a spike." in words
    assert "Most" not in words.partition("Claims")[0]
    assert "Figure “What each cure does to spikes” left out: no run has spikes." in words


def test_the_command_for_the_page_quotes_the_folder(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sweep / "0", tmp_path / "my runs")
    assert main(["my runs"]) == 0
    words = words_of((tmp_path / "my runs/report/report.html").read_text())
    assert "python -m hw2exp.report 'my runs'" in words


def test_a_figure_without_content_is_left_out_with_a_reason(sweep, tmp_path, capsys):
    for job in range(4):
        folder = tmp_path / "runs" / str(job)
        shutil.copytree(sweep / str(job), folder)
        result = json.loads((folder / "result.json").read_text())
        result |= {"solved_at": None, "spikes": []}
        (folder / "result.json").write_text(json.dumps(result))
    assert main([str(tmp_path / "runs")]) == 0
    reasons = {
        "unsolved": "Figure “Who has solved, and when” left out: no run has solved its task.",
        "spikes": "Figure “The highest spikes” left out: no run has spikes.",
    }
    told = capsys.readouterr().out
    words = words_of((tmp_path / "runs/report/report.html").read_text())
    for name, reason in reasons.items():
        assert reason in told
        assert reason in words
        assert not (tmp_path / f"runs/report/{name}.png").exists()


def spikes_of(arms):
    return [result.spikes for arm in arms for result in arm.results]


def test_the_mark_of_a_spike_stands_on_its_curve(sweep):
    """Also where its step was not logged: its loss is then that of the row behind it."""
    arms = read_runs(sweep).arms
    figure = gallery(arms)
    marks = 0
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        loss, mark = axes.lines[1], axes.lines[3]
        (x,), (y,) = mark.get_data()
        assert (x, y) in set(zip(*map(list, loss.get_data()), strict=True))
        marks += 1
    highest = [max(own, key=lambda spike: spike["loss"]) for own in spikes_of(arms) if own]
    assert marks == len(highest) > 1
    assert any(spike["step"] % 3 for spike in highest)  # the sweep's log_every


def test_loss_curves_of_runs_that_were_lost_at_once_are_none(sweep, monkeypatch):
    arms = read_runs(sweep).arms
    lost = np.full((4, 3), np.inf)
    band = Band(np.arange(3.0), lost[0], lost[0], lost[0], lost)
    monkeypatch.setattr("hw2exp.report.curves.loss_band", lambda arm: band)
    assert curves(arms, [arm.name for arm in arms]) is None


def test_a_folder_name_is_text(sweep, tmp_path):
    folder = tmp_path / "<script>alert(1)</script>".replace("/", "∕")
    shutil.copytree(sweep / "0", folder)
    assert main([str(folder), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>alert" not in page
    assert html.escape(folder.name) in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["file"], "file: not a folder"),
        (["."], ".: holds no run"),
        ([""], "'': must be a path"),
        (["SWEEP", "--out", ""], "'': must be a path"),
        (["SWEEP", "--out", "file/below"], "file/below: Not a directory"),
        (["SWEEP", "--out", "file"], "file: File exists"),
        (["SWEEP", "--out", "x" * 300], f"{60 * 'x'}…{19 * 'x'}: has a name of more than 255"),
        (["x" * 300], f"{60 * 'x'}…{19 * 'x'}: has a name of more than 255"),
        ([], "the following arguments are required: DIR; see --help"),
        (["SWEEP", "--ou", "x"], "unrecognized arguments: --ou x; see --help"),
        (["SWEEP", "--out"], "argument --out: expected one argument; see --help"),
    ],
)
def test_bad_input_is_one_line(words, message, sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main([str(sweep) if word == "SWEEP" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"hw2exp: {message}")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_folder_of_a_report_may_be_a_link_only_if_it_is_named(sweep, tmp_path, capsys):
    shutil.copytree(sweep / "0", tmp_path / "run")
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "run" / "report"
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    assert main([str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith(f"hw2exp: {link}: is a link")
    assert list(elsewhere.iterdir()) == []
    assert main([str(tmp_path / "run"), "--out", str(link)]) == 0
    assert (elsewhere / "report.html").exists()


@pytest.mark.parametrize("operation", ["mkdir", "write", "fsync", "replace"])
def test_a_full_disk_is_one_line(operation, sweep, tmp_path, monkeypatch, capsys):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.os, operation, full)
    assert main([str(sweep / "0"), "--out", str(tmp_path / "new" / "report")]) == 1
    monkeypatch.undo()
    error = capsys.readouterr().err
    assert re.fullmatch(r"hw2exp: (/\S+: )?No space left on device\n", error)
    assert ".part" not in error
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_line(sweep, tmp_path, capsys):
    (tmp_path / "report.html").mkdir()
    assert main([str(sweep / "0"), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"hw2exp: {tmp_path}/report.html: Is a directory\n"


@pytest.mark.parametrize(
    "words", [["--help"], pytest.param(["RUN", "--out", "out"], marks=pytest.mark.nightly)]
)
def test_a_full_standard_output_is_one_line(words, sweep, tmp_path):
    shutil.copytree(sweep / "0", tmp_path / "RUN")
    command = [sys.executable, "-m", "hw2exp.report", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with open("/dev/full", "w") as full:
        shown = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
        )
    assert shown.returncode == 0
    assert shown.stderr == "hw2exp: warning: standard output: No space left on device\n"


@pytest.mark.nightly
def test_a_folder_whose_name_is_no_text_is_reported(sweep, tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    shutil.copytree(sweep / "0", os.fsdecode(folder))
    command = [sys.executable, "-m", "hw2exp.report", folder]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(command, capture_output=True, env=environment)
    assert (shown.returncode, shown.stderr) == (0, b"")


def browser():
    return shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(browser() is None, reason="needs a browser")
def test_a_browser_shows_it(report, tmp_path):
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=2000", "--dump-dom", (report / "report.html").as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0
    assert shown.stdout.count('<th class="number"><button>') >= 8  # the script has run
    assert "<button>arm</button>" in shown.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from hw2exp.report.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'scipy', 'matplotlib', 'hydra', 'jinja2'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
