"""Claims of arms against arms: ours are decided as by the code that they replaced; so are yours."""

import random
import textwrap
from collections import defaultdict
from functools import cache
from pathlib import Path

import polars
import pytest

from hw2exp.config.command_line import read
from hw2exp.records.arm_pairs import references
from hw2exp.records.arms import Run, gather
from hw2exp.records.run_dir import RunResult
from hw2exp.report.__main__ import main
from hw2exp.report.arm_claims import compare_all
from hw2exp.report.claim import Evidence, Finding
from hw2exp.report.claims import judge, shipped_claims
from hw2exp.report.claims_file import read_claims
from hw2exp.report.comparisons import compare

SEEDS = 8


def result(spikes, diverged_at=None, solved_at=None, loss=0.5):
    return RunResult(
        status="diverged" if diverged_at else "finished",
        step=diverged_at or 1_000,
        diverged_at=diverged_at,
        solved_at=solved_at,
        initial={"loss": 1.39, "accuracy": 0.25},
        final={"train_loss": loss, "test_loss": loss, "test_accuracy": 0.9},
        spikes=[{"step": 60 + n, "loss": 2.0, "above_initial": False} for n in range(spikes)],
        parameters_sha256="", metrics_sha256="", seconds=1.0, versions={},
        ends_solved=solved_at is not None,
    )  # fmt: skip


@cache
def config_of(words):
    return read([*words.split(), "steps=1000"]).jobs[0].config


def arms_of(made):
    """Arms of made results of the seeds 0, 1, …, by overrides, or by these and a learning rate."""
    runs = []
    for key, results in made.items():
        words, rate = (key, None) if isinstance(key, str) else key
        config = config_of(words)
        if rate is not None:
            optimizer = config.optimizer.model_copy(update={"lr": rate})
            config = config.model_copy(update={"optimizer": optimizer})
        for seed, each in enumerate(results):
            own = config.model_copy(update={"seed": seed})
            runs.append(Run(Path(str(key)) / str(seed), own, each))
    return gather(runs)[0]


SETTINGS = {
    "model=rnn optimizer=rmsprop": (
        "", "init.readout=zeros", "clip=norm", "clip=value", "norm=batch", "norm=layer",
        "schedule=cosine", "clip=norm schedule=cosine", "regularizer=omega",
    ),
    "model=lstm optimizer=rmsprop": (
        "", "clip=norm", "schedule=cosine", "clip=norm schedule=cosine",
    ),
    "model=rnn optimizer=sgd": ("", "clip=norm", "schedule=cosine"),
}  # fmt: skip
"""Cures, and a partner of layer normalization, which sets the readout to zeros."""


def study(seed):
    """A study of cures in which anything may come out, also at a cure's own rate."""
    draw = random.Random(seed)
    made = {}
    for setting, cures in SETTINGS.items():
        for cure in cures:
            plain = cure in ("", "init.readout=zeros")
            for rate in [0.01] if plain else draw.choice([[0.01], [0.01, 0.02], [0.02]]):
                level, falls = draw.choice([0, 3, 3, 9]), draw.choice([0, 0, 0, 0.5, 1])
                made[f"{setting} {cure}", rate] = [
                    result(
                        level + draw.randrange(3),
                        100 if draw.random() < falls else None,
                        300 if draw.random() < 0.5 else None,
                    )
                    for _ in range(SEEDS)
                ]
    return arms_of(made)


def alone(group, *choices):
    return lambda arm: (
        {*arm.chosen_cures} == {group} and (not choices or arm.chosen_cures[group] in choices)
    )


PLAIN = {
    "We can clip the gradient": alone("clip"),
    "We can apply batch normalization": alone("norm", "batch"),
    "We can use a learning rate scheduler": alone("schedule"),
    "Layer or QK normalization takes spikes away": alone("norm", "layer", "qk"),
    "Cures together take spikes away": lambda arm: len(arm.chosen_cures) > 1,
}
"""Which arms a claim is about, in code."""

CLIPPING = "Clipping makes more spikes under RMSprop"


def plain_findings(compared, chosen, opposite=False):
    """A second implementation: fewer with some and more with none, by optimizer and cures."""
    groups = defaultdict(list)
    for each in compared:
        if chosen(each.cured):
            own = " at its own rate" * (each.cured.rate != each.plain.rate)
            groups[f"{each.cured.optimizer} {each.cured.cures}{own}"].append(each.verdict)
    found = {}
    for where, verdicts in groups.items():
        counted = [each for each in verdicts if not (opposite and "diverge" in each)]
        signs = {verdict.split()[0] for verdict in counted} - {"undecided"}
        good, bad = ("more", "fewer") if opposite else ("fewer", "more")
        found[where] = {good: Finding.SUPPORTED, bad: Finding.REFUTED}.get(
            signs.pop() if len(signs) == 1 else "", Finding.UNDECIDED
        )
    return found


@pytest.mark.slow
def test_ours_are_found_as_by_plain_code():
    found = []
    for seed in range(5):
        arms = study(seed)
        compared = compare(references(arms))
        both = compare_all(arms, shipped_claims())
        assert both.cures == compared
        assert not both.asked
        assert not both.contrasts
        judged = {
            claim.words: {each.setting: each.finding for each in own}
            for claim, own in judge(Evidence(arms, both.cures))
        }
        for words, chosen in PLAIN.items():
            assert judged.get(words, {}) == plain_findings(compared, chosen), words
        more = [
            each
            for each in compared
            if each.cured.optimizer == "rmsprop" and each.cured.rate == each.plain.rate
        ]
        expected = plain_findings(more, alone("clip", "norm"), opposite=True)
        assert judged.get(CLIPPING, {}) == expected
        for words in (*PLAIN, CLIPPING):
            found += [(words, each) for each in judged.get(words, {}).items()]
    assert {words for words, _ in found} == {*PLAIN, CLIPPING}
    assert {finding for _, (_, finding) in found} == {*Finding}


def write(folder, text):
    path = folder / "claims.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def test_where_runs_diverge_spikes_decide_nothing_unless_a_claim_says_so(tmp_path):
    sides = "arms: clip=norm, against: clip=none"
    path = write(
        tmp_path,
        f"""
        claims:
          - {{part: mine, words: fewer, {sides}, rule: less}}
          - {{part: mine, words: more, {sides}, rule: more}}
          - {{part: mine, words: cures, {sides}, rule: less, divergence_decides: true}}
          - {{part: mine, words: keeps, {sides}, rule: less, measure: diverged}}
        """,
    )
    claims = read_claims(path)
    lost, kept = [result(1, diverged_at=100)] * SEEDS, [result(9)] * SEEDS
    arms = arms_of({"optimizer=sgd": lost, "optimizer=sgd clip=norm": kept})
    both = compare_all(arms, claims)
    evidence = Evidence(arms, both.cures, (), (), both.asked, both.contrasts)
    found = {claim.words: own for claim, (own,) in judge(evidence, ["mine"], claims)}
    assert {words: own.finding for words, own in found.items()} == {
        "fewer": Finding.UNDECIDED, "more": Finding.UNDECIDED,
        "cures": Finding.SUPPORTED, "keeps": Finding.SUPPORTED,
    }  # fmt: skip
    assert all("−100.0 points diverge*" in found[words].numbers for words in ("fewer", "more"))
    assert "[−1, −1]" in found["keeps"].numbers


def test_a_claim_of_your_own_on_any_measure(tmp_path):
    path = write(
        tmp_path,
        """
        claims:
          - {part: mine, words: Adam solves more, arms: optimizer=adam, against: optimizer=rmsprop,
             measure: solved, rule: more, by: [clip]}
          - {part: mine, words: Adam ends lower, arms: optimizer=adam, against: optimizer=rmsprop,
             measure: test_loss, rule: less}
          - {part: mine, words: Adam has more spikes, arms: optimizer=adam, rule: more,
             against: optimizer=rmsprop}
          - {part: mine, words: Nobody has it, arms: optimizer=sgd, against: optimizer=rmsprop,
             rule: more}
        """,
    )
    claims = read_claims(path)
    good, bad = (
        [result(2, None, 300, 0.1)] * SEEDS,
        [result(9, None, None, 0.6 + n / 9) for n in range(SEEDS)],
    )
    arms = arms_of({
        "optimizer=adam": good, "optimizer=adam clip=norm": bad,
        "optimizer=rmsprop": bad, "optimizer=rmsprop clip=norm": bad,
    })  # fmt: skip
    both = compare_all(arms, [*claims, *shipped_claims()])
    assert {(each.cured.optimizer, each.plain.optimizer) for each in both.asked} == {
        ("adam", "rmsprop")
    }
    evidence = Evidence(arms, both.cures, (), (), both.asked, both.contrasts)
    found = {claim.words: own for claim, own in judge(evidence, ["mine"], claims)}
    of_clip = {each.setting: each for each in found["Adam solves more"]}
    assert of_clip["no cure"].finding is Finding.SUPPORTED
    assert of_clip["clip=norm"].finding is Finding.UNDECIDED
    (lower,) = found["Adam ends lower"]
    assert lower.finding is Finding.SUPPORTED
    assert lower.numbers.count("*") == 1
    (more,) = found["Adam has more spikes"]
    assert more.finding is Finding.REFUTED
    assert "Nobody has it" not in found


GOOD = "part: a, words: w, arms: clip=norm, against: clip=none, rule: less"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["must hold claims, a list, and nothing else"]),
        ("claims: []", ["must hold claims, a list, and nothing else"]),
        (f"claims: [{{{GOOD}}}]\nother: 1", ["must hold claims, a list, and nothing else"]),
        ("claims: [3]", ["claim 1: must be a mapping with part, words, arms, against, measure"]),
        ("claims: [{part: a}]", [f"claim 1: {key}: is missing; a claim has part, words, arms, "
                                 for key in ("words", "arms", "against", "rule")]),
        (f"claims: [{{{GOOD}, rule2: x}}]", ["“w”: rule2=x: no such key; did you mean rule?"]),
        (f"claims: [{{{GOOD[:-4]}fewer}}]", ["“w”: rule=fewer: must be 'less' or 'more'"]),
        (f"claims: [{{{GOOD}, measure: spike}}]",
         ["“w”: measure=spike: no such measure; did you mean spikes?"]),
        (f"claims: [{{{GOOD}, by: [optimiser]}}]",
         ["“w”: by=optimiser: no such key; did you mean optimizer?"]),
        (f"claims: [{{{GOOD}}}, {{{GOOD}}}]", ["“w”: words: stand there twice"]),
        (f"claims: [{{{GOOD}, measure: x, by: [y]}}]", ["by=y: no such key", "measure=x: no such"]),
        ("claims: [{part: a, words: w, arms: clip=nrm, against: clip, rule: less}]",
         ["“w”: arms: clip=nrm: no such choice; did you mean norm?",
          "“w”: against=clip: clip: must be settings such as clip=norm"]),
        ("claims: [{part: a, words: w, arms: clpi=norm, against: workers=3, rule: less}]",
         ["“w”: arms: clpi=norm: no such key", "“w”: against: workers=3: no such key"]),
        ("claims: [{part: a, words: w, arms: clip=norm, against: optimizer.lr=banana, rule: less}]",
         ["“w”: against: optimizer.lr=banana: must be a number"]),
        (f"claims: [{{{GOOD}, divergence_decides: true, measure: solved}}]",
         ["divergence_decides=true: has no effect on measure=solved; only on spikes"]),
        (f"claims: [{{{GOOD}, same_rate: 1}}]", ["“w”: same_rate=1: Input should be a valid bool"]),
        ("claims: [", ["can't be read"]),
        ("[" * 10_000, ["nested too deep"]),
        ("claims: [" + "x," * 20_000 + "]", ["too large for a config"]),
    ],
)  # fmt: skip
def test_a_bad_file_is_told_problem_by_problem(text, messages, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "--claims", "claims.yaml"]) == 2
    out, error = capsys.readouterr()
    told = error.removeprefix("hw2exp: ").split(" | ")
    assert len(told) == len(messages)
    for line, message in zip(told, messages, strict=True):
        assert message in line
        assert line.startswith("claims.yaml") or "claims.yaml" in line
    assert (out, error.count("\n")) == ("", 1)
    assert not (tmp_path / "runs/report").exists()


def test_a_missing_file_is_one_line(tmp_path, capsys):
    for name in ("nowhere.yaml", ""):
        assert main([str(tmp_path), "--claims", name]) == 2
    assert "nowhere.yaml can't be read: No such file" in capsys.readouterr().err


MINE = """
claims:
  - part: "<mine>"
    words: Clipping & solving
    arms: clip=norm
    against: clip=none
    measure: ends_solved
    rule: more
    by: [model]
  - {part: mine, words: Not tried, arms: clip=value, against: clip=none, rule: less}
"""


@pytest.mark.nightly
def test_the_page_decides_your_claims_before_ours(sweep, tmp_path, capsys):
    path = write(tmp_path, MINE)
    assert main([str(sweep), "--out", str(tmp_path / "out"), "--claims", str(path)]) == 0
    note = "Claim “Not tried” left out: no arms of these runs differ as it says"
    assert note in capsys.readouterr().out
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;mine&gt;: Clipping &amp; solving" in page
    assert f"--claims {path}" in page
    rows = polars.read_csv(tmp_path / "out/claims.csv")
    assert rows["claim"][0] == "Clipping & solving"
    assert rows.filter(polars.col("part") == "<mine>")["where"].to_list() == ["gated_rnn", "rnn"]
    assert "We can clip the gradient" in rows["claim"].to_list()


def test_a_folder_brings_its_own_claims(sweep, tmp_path):
    import shutil

    shutil.copytree(sweep, tmp_path / "sweep")
    write(tmp_path / "sweep", MINE)
    assert main([str(tmp_path / "sweep")]) == 0
    assert "Clipping &amp; solving" in (tmp_path / "sweep/report/report.html").read_text()
