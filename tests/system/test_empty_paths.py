"""An empty word, such as an unset variable of a shell, never stands for the current folder."""

from importlib import import_module

import pytest

COMMANDS = {
    "anatomy.__main__": [""], "compare.__main__": ["", ""], "extract": ["", "--job", "0"],
    "playground": [""], "plot": [""], "report.__main__": [""],
    "theory.__main__": ["--figures", ""], "whatif.__main__": [""],
    "zoom": ["", "--around", "1", "1"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_path_is_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert import_module(f"hw2exp.{name}").main(COMMANDS[name]) == 2
    assert "'': must be a path" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
