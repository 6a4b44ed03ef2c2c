"""The playground is one file that asks for nothing else."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from hw2exp import playground
from tests.playground.browser import MISSING, act, browser, evaluate

ROOT = Path(__file__).parents[2]
SOURCES = {
    path.name: path.read_text(encoding="utf-8")
    for path in files(playground.SOURCES).iterdir()
    if path.name.endswith((".js", ".css", ".html"))
}
needs_browser = pytest.mark.skipif(browser() is None, reason=MISSING)


def test_the_page_in_the_repository_is_up_to_date():
    kept = (ROOT / "docs/playground.html").read_text(encoding="utf-8")
    assert kept == playground.page(), "type python -m hw2exp.playground docs/playground.html"


def test_the_page_holds_all_sources_and_asks_for_nothing():
    page = playground.page()
    assert len(page.encode()) <= 300_000
    for name, text in SOURCES.items():
        assert name == "page.html" or text in page, name
    assert "default-src 'none'" in page  # the browser itself refuses any request
    assert re.findall(r"<(?:script|link|img|iframe)[^>]* (?:src|href)=\"(?!data:)", page) == []
    assert re.findall(r"https?:|@import|\burl\(|\bfetch\(|XMLHttpRequest|\bimport\b", page) == []


def test_the_command_writes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert playground.main([]) == 0
    assert playground.main(["own.html"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name}: open it in a browser; it needs no network"
        for name in ("playground.html", "own.html")
    ]
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written == dict.fromkeys(("playground.html", "own.html"), playground.page())


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("own.txt", "'own.txt': must be a file's name that ends in .html"),
        ("", "'': must be a path"),
        ("no/own.html", "no/own.html: no folder no"),
        ("folder.html", "folder.html: is there and no file; must be another name"),
        ("link.html", "link.html: is there and no file; must be another name"),
    ],
)
def test_a_place_where_it_cannot_be_is_refused(word, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("folder.html").mkdir()
    Path("link.html").symlink_to("elsewhere.html")
    assert playground.main([word]) == 2
    assert capsys.readouterr().err == f"hw2exp: {problem}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "link.html"]


def test_every_text_is_there():
    """Texts are named in the page and in calls of ``say``; names with ``$`` are made up."""
    texts = SOURCES["texts.js"]
    named = set(re.findall(r'data-text="([a-z_]+)"', SOURCES["page.html"]))
    for text in SOURCES.values():
        named |= set(re.findall(r'\bsay\("([a-z_]+)"', text))
    assert len(named) > 40
    assert {name for name in named if not re.search(rf"\b{name}: [\"\[{{]", texts)} == set()


@needs_browser
def test_an_address_is_an_exercise(tmp_path):
    """Bad words are named with what is allowed; all others are used, and written back."""
    addresses = [
        "#model=rnn&seed=7&steps=50&lr=0.02&clip=2&knob=lr&other=0.3",
        "#model=gru&seed=1.5&steps=&lr=-1&clip=x&lrr=1&knob=toString&other=3",
        "#clip=0.5&knob=clip",
        "",
    ]
    program = f"{addresses}.map(readAddress).map((own) => [own, bothOf(own), writeAddress(own)])"
    good, bad, clipped, plain = evaluate(program, tmp_path)
    assert good[0]["problems"] == []
    assert good[2] == addresses[0]
    first, second = good[1]
    assert {name for name in first if first[name] != second[name]} == {"lr"}
    assert (first["model"], first["lr"], second["lr"], first["clip"]) == ("rnn", 0.02, 0.3, 2)
    words = dict(bad[0]["problems"])
    named = "model=gru seed=1.5 steps= lr=-1 clip=x lrr knob=toString"
    assert list(words) == named.split()
    assert words["model=gru"] == "gated_rnn, attn_rnn, rnn"
    assert words["lr=-1"] == "0.0001 … 3"
    assert words["lrr"].startswith("model, task, ")
    assert bad[1][0] == plain[1][0]
    assert [own["clip"] for own in clipped[1]] == [0.5, 0]
    assert [own["clip"] for own in plain[1]] == [0, 1]


@needs_browser
def test_a_language_is_one_object_and_the_rest_is_english(tmp_path):
    added = "TEXTS.xx = { play: 'Los', scene: { start: { title: 'Anfang' } } }"
    said = "[say('play'), say('pause'), say('scene.start.title'), say('back', { step: 7 })]"
    program = f"(location.hash = '#lang=xx', {added}, {said})"
    play, pause, title, back = evaluate(program, tmp_path)
    assert (play, pause, title) == ("Los", "Pause", "Anfang")
    assert back.startswith("Step 7. ")


@needs_browser
@pytest.mark.slow
def test_both_networks_train_in_the_page(tmp_path):
    """Train 60 steps, look at step 20, and branch there with another learning rate."""
    script = """
      const wait = async (holds) => {
        while (!holds()) await new Promise((resolve) => setTimeout(resolve, 50));
      };
      const texts = () => networks.map((network) => network.summary.textContent);
      const pixels = (canvas) => canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data.filter((value) => value > 0).length;
      (async () => {
        speed = 0;
        await wait(() => networks.every((network) => network.seen));
        at("play").click();
        await wait(() => !playing && texts().every((own) => own.startsWith("Step 60:")));
        const whole = networks.map((network) => [...network.losses]);
        at("timeline").value = 20;
        at("timeline").oninput();
        await wait(() => texts().every((own) => own.startsWith("Step 20:")));
        const back = at("status").textContent;
        use("lr", 0.01);
        at("play").click();
        await wait(() => !playing && texts().every((own) => own.startsWith("Step 60:")));
        at("commands").open = true;
        await new Promise((resolve) => setTimeout(resolve, 300));
        reportBack({
          whole, back, branch: networks.map((network) => network.losses), hash: location.hash,
          pixels: networks.flatMap((network) => Object.values(network.canvases).map(pixels)),
          labels: [...document.querySelectorAll("canvas")].map((canvas) => canvas.ariaLabel),
          named: [...document.querySelectorAll("input, select, button")].map((own) =>
            (own.labels?.[0] ?? own).textContent.trim()),
          changed: at("command-changed").textContent, failed: at("status").textContent,
        });
      })();"""
    found = act(script, tmp_path, "#lr=0.1&seed=3&steps=60&knob=clip&other=0.1")
    for whole, branch in zip(found["whole"], found["branch"], strict=True):
        assert len(whole) == len(branch) == 60
        assert whole[:21] == branch[:21]  # the loss comes before the update
        assert whole[21] != branch[21]
    assert found["whole"][0] != found["whole"][1]
    assert found["back"].startswith("Step 20. ")
    assert found["hash"] == "#seed=3&steps=60&lr=0.01&knob=clip&other=0.1"
    assert "at step 20:" in found["changed"]
    assert min(found["pixels"]) > 1000
    assert all("network" in label for label in found["labels"])
    assert len(found["labels"]) == 8
    assert all(found["named"]), found["named"]
    assert found["failed"] == "The run is over, after 60 steps."
