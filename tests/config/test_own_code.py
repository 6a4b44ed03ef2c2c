"""A cell of one's own is known by its code: by what it computes, not by how it is written."""

import subprocess
import sys

import pytest
from hydra.core.config_store import ConfigStore

from hw2exp.config import registry
from hw2exp.config.groups import Model
from hw2exp.config.own_code import code_digest, digest_of
from hw2exp.train import main
from tests.tiers import first_slow

SOURCE = '''
from functools import partial, wraps

import torch
from hw2exp.models.cells.gru import GRU
from hw2exp.config.doors import register_cell
from hw2exp.models.cell import Cell, linear, product

ALPHA = 0.2
SIZES = {"all": 1.0}
LAYERS = ((1, 2), 3)
SIZES["itself"] = SIZES
power = partial(pow, exp=1)

def scaled(function):
    @wraps(function)
    def wrapper(x):
        return 1.0 * function(x)
    return wrapper

@scaled
def squash(x, factor=1.0):
    return torch.tanh(x) * factor * SIZES["all"] * len(LAYERS) / len(LAYERS) * power(1.0)

class Base(Cell):
    def start(self, params, zeros):
        return (zeros,)

class Leaky(Base):
    """A leaky RNN."""

    bias = (0.0, 0.5)

    def weights(self):
        hidden, inputs = self.hidden_size, self.input_size
        return {"W_x": linear(hidden, inputs, "input"), "W_h": linear(hidden, hidden, "recurrent")}

    def project(self, params, x, norm):
        """Once for all time steps."""
        return (product(params["W_x"], x),)

    def step(self, params, inputs, carry, norm):
        (drive,), (h,) = inputs, carry
        mix = lambda old, new: (1.0 - ALPHA) * old + ALPHA * new
        h = mix(h, squash(drive + product(params["W_h"], h))) * 0.75 + 0.25 * h
        return h, (h,)
'''
SHORT = ["task=easy", "model=own", "steps=3", "eval_every=3", "eval_batches=1", "plot=false",
         "batch_size=8", "check_initial_loss=off"]  # fmt: skip

ALIKE = {
    "a comment": ("return torch.tanh(x)", "# as usual\n    return torch.tanh(x)"),
    "the class's text": ("A leaky RNN.", "A leaky RNN of mine."),
    "a method's text": ("Once for all", "At once for all"),
    "brackets": ("ALPHA * new", "(ALPHA * new)"),
    "something else in the module": ("ALPHA = 0.2", "ALPHA = 0.2\nBETA = 3"),
}
OTHER = {
    "a constant of the module": ("ALPHA = 0.2", "ALPHA = 0.3"),
    "a value in a dict of the module": ('{"all": 1.0}', '{"all": 2.0}'),
    "a constant in the code": ("* 0.75 + 0.25 *", "* 0.25 + 0.75 *"),
    "a function of the module": ("torch.tanh(x)", "torch.sin(x)"),
    "a default": ("factor=1.0", "factor=2.0"),
    "a class attribute": ("(0.0, 0.5)", "(0.0, 0.6)"),
    "a base": ("return (zeros,)", "return (zeros + 1,)"),
    "a function in a function": ("ALPHA * new", "ALPHA * old"),
    "another function of a package": ("torch.tanh(x)", "torch.relu(x)"),
    "a shipped base": ("class Base(Cell)", "class Base(GRU)"),
    "how a list is grouped": ("((1, 2), 3)", "((1,), (2, 3))"),
    "what a decorator does": ("return 1.0 * function(x)", "return 2.0 * function(x)"),
    "an argument of a partial": ("partial(pow, exp=1)", "partial(pow, exp=2)"),
    "an operation": ("drive + product", "drive - product"),
}


def cell_of(source):
    """The class that a text defines, as a cell of a notebook would."""
    scope = {"__name__": "__main__"}
    exec(compile(source, "<typed>", "exec"), scope)
    return scope["Leaky"]


@pytest.mark.parametrize(("old", "new"), ALIKE.values(), ids=ALIKE)
def test_what_computes_the_same_has_the_same_digest(old, new):
    assert SOURCE.count(old) == 1
    assert code_digest(cell_of(SOURCE.replace(old, new))) == code_digest(cell_of(SOURCE))


@pytest.mark.parametrize(("old", "new"), OTHER.values(), ids=OTHER)
def test_other_equations_have_another_digest(old, new):
    assert SOURCE.count(old) == 1
    assert code_digest(cell_of(SOURCE.replace(old, new))) != code_digest(cell_of(SOURCE))


@pytest.mark.parametrize(
    ("own", "old", "new"),
    [
        ("import helper\ndef f(): return helper.sub.g()", "sub", "def g(): return 1"),
        ("def f():\n    from helper.sub import g\n    return g()", "sub", "def g(): return 1"),
        ("def f():\n    import helper.sub\n    return helper.sub.g()", "sub", "def g(): return 1"),
        ("import numpy\nA = numpy.arange(3)\ndef f(): return A", "", "arange(4)"),
        ("import torch\nA = torch.arange(3)\ndef f(): return A", "", "arange(4)"),
    ],
)
def test_code_of_another_module_and_arrays_count(own, old, new, tmp_path):
    """In processes of their own, since modules are imported once."""
    (tmp_path / "helper").mkdir()
    (tmp_path / "helper" / "__init__.py").write_text("from helper import sub")
    digests = set()
    for change in (False, True):
        source = own.replace("arange(3)", new) if change and not old else own
        (tmp_path / "mine.py").write_text(source)
        body = new if change and old else "def g(): return 2"
        (tmp_path / "helper" / "sub.py").write_text(f"{body}\n")
        program = (
            "from hw2exp.config.own_code import code_digest; import mine; "
            "print(code_digest(mine.f)); mine.f(); code_digest.cache_clear(); "
            "print(code_digest(mine.f))"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", program], cwd=tmp_path, capture_output=True, text=True
        )
        before, after = done.stdout.split()
        assert before == after, done.stderr
        digests.add(before)
    assert len(digests) == 2


def test_what_is_installed_is_not_imported_for_a_digest():
    program = (
        "import sys; from hw2exp.config.own_code import code_digest\n"
        "def f():\n    import polars.selectors\n    return polars\n"
        "code_digest(f); print('polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_shipped_cell_has_none():
    assert digest_of("model=lstm") is None


def test_a_run_does_not_resume_with_other_equations(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry._SECTIONS["model"], "own", Model)
    monkeypatch.setitem(registry.ADDED_CHOICES, ("model", "own"), {"name": "own", "hidden_size": 4})

    def enter(source):
        monkeypatch.setitem(registry._EQUATIONS, ("model", "own"), cell_of(source))

    try:
        enter(SOURCE)
        assert main([*SHORT, "hydra.run.dir=run"]) == 0
        before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
        capsys.readouterr()
        for name, gone in (("result", None), ("checkpoint", "result.json")):
            if gone:
                (tmp_path / "run" / gone).unlink()
                del before[tmp_path / "run" / gone]
            enter(SOURCE.replace("ALPHA = 0.2", "ALPHA = 0.3"))
            assert main([*SHORT, "steps=5", "resume=run"]) == 2, name
            error = capsys.readouterr().err
            assert error.startswith("hw2exp: resume=run: was made by other code of model=own")
            assert error.count("\n") == 1
            after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
            assert after == before
        enter(SOURCE)
        assert main([*SHORT, "steps=5", "resume=run"]) == 0
    finally:
        ConfigStore.instance().repo["model"].pop("own.yaml", None)


@pytest.mark.parametrize("piped", first_slow(True, False))
def test_a_sweep_whose_workers_lack_the_cell_does_not_begin(tmp_path, piped):
    """The program has no file; or it registers the cell where only the main program comes by."""
    words = ["-m", *SHORT, "seed=0,1", "workers=2", "hydra.sweep.dir=s"]
    script = f"""{SOURCE}
if __name__ == "__main__":
    import sys
    from hw2exp.train import main
    register_cell("own", hidden_size=4)(Leaky)
    sys.exit(main({words!r}))
"""
    (tmp_path / "own.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-" if piped else "own.py"],
        input=script if piped else None,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "model=own: the workers of a sweep can't import it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "s").exists()
