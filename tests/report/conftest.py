import pytest


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """A small sweep, really run: two models, with a cure and without, four seeds."""
    from hw2exp.train import main

    folder = tmp_path_factory.mktemp("report") / "sweep"
    words = ["-m", "model=rnn,gated_rnn", "clip=none,norm", "seed=range(0,4)", "task=easy"]
    short = ["steps=120", "eval_every=40", "eval_batches=2", "log_every=3", "plot=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        lively = ["optimizer.lr=0.02", "spikes.margin=0.05", "spikes.deviations=2"]
        assert main([*words, *short, *lively, f"hydra.sweep.dir={folder}"]) == 0
    return folder
