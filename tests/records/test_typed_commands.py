"""The commands that started runs, as a page shows them."""

from hw2exp.records.typed_commands import commands


def write_sweep(folder):
    folder.mkdir()
    words = "hydra: {overrides: {task: ['clip=none,mine', 'seed=0']}}"
    (folder / "multirun.yaml").write_text(words)


def test_a_sweep_imports_the_modules_of_all_of_its_runs(tmp_path):
    write_sweep(tmp_path / "s")
    runs = [(tmp_path / "s/0", {}), (tmp_path / "s/1", {"modules": "mine; others"})]
    (line,) = commands(runs)
    assert line == (
        "python -m hw2exp.train --import 'mine;' --import others -m clip=none,mine seed=0"
    )
