"""What a run says before its first step."""

from hw2exp.runs.fleet_run import announce_compilation, run_fleet
from hw2exp.system import kernel_cache


def test_a_model_whose_kernels_are_missing_is_announced(compose, tmp_path, monkeypatch, capsys):
    short = ("task=easy", "batch_size=4", "steps=1", "eval_batches=1", "plot=false")
    elman, lstm = (compose(*short, f"model={name}") for name in ("rnn", "lstm"))
    run_fleet([elman], [tmp_path / "run"], show=False)
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    for path in kernel_cache._FOLDER.glob("*_rnn_none-*"):
        (kernels / path.name).touch()
    monkeypatch.setattr(kernel_cache, "_FOLDER", kernels)
    announce_compilation([elman])
    assert capsys.readouterr().out == ""
    announce_compilation([elman, lstm])
    assert "compiling kernels" in capsys.readouterr().out
