"""What a machine has to prove before it takes part in a sweep."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from hw2exp.sweeps.membership import TOKEN, SweepFacts, problem
from hw2exp.system.lock import hold
from hw2exp.system.problems import ConfigError


@pytest.fixture
def facts(tmp_path):
    (tmp_path / TOKEN).write_text("hw2exp-1")
    return SweepFacts("hw2exp-1", tmp_path)


def test_a_machine_that_sees_folder_and_lock_takes_part(facts):
    with hold(facts.folder):
        assert problem(facts) is None


def test_what_differs_is_named(facts, tmp_path):
    (tmp_path / "other").mkdir()
    versions = dict(facts.versions)
    with hold(facts.folder):
        other = replace(facts, versions=versions | {"numba": "0.1"})
        assert problem(other) == f"has numba {versions['numba']}, not 0.1"
        assert "can't import no_such: Module" in problem(replace(facts, modules=["no_such"]))
        assert "no model=mine" in problem(replace(facts, choices={"model=mine": "0"}))
        assert "shared disk" in problem(replace(facts, folder=tmp_path / "other"))
        assert "shared disk" in problem(replace(facts, token="hw2exp-2"))


def test_a_lock_that_nobody_seems_to_hold_is_no_lock(facts):
    assert "doesn't see the lock" in problem(facts)


@pytest.mark.slow
def test_nothing_of_dask_is_imported_without_need():
    program = (
        "import sys; import hw2exp.train, hw2exp.sweeps.command_run, hw2exp.sweeps.execution;"
        "from hw2exp.config.registry import CHOICES; assert 'dask' in CHOICES['executor'];"
        "print(sorted({'dask', 'distributed', 'tornado'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_deaths_of_a_given_scheduler_are_its_own(compose, tmp_path):
    given = ("-m", "seed=0,1", "executor.scheduler=tcp://a:1")
    assert compose(*given, "executor=dask").executor.scheduler == "tcp://a:1"
    (tmp_path / "executor").mkdir()
    (tmp_path / "executor/site.yaml").write_text("defaults: [dask, _self_]\ndeaths: 3\n")
    typed = ("executor=dask", "executor.deaths=3")
    for words in (typed, ("executor=site", f"--config-dir={tmp_path}")):
        with pytest.raises(ConfigError, match=r"executor\.deaths=3: .* has its own; must be left"):
            compose(*given, *words)


def test_without_dask_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    from hw2exp.train import main

    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "hw2exp.sweeps.cluster", raising=False)
    monkeypatch.delitem(sys.modules, "hw2exp.sweeps.membership", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "executor=dask", "seed=0,1", "hydra.sweep.dir=outputs/sweep"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hw2exp: executor=dask: needs Dask")
    assert "pip install 'hw2exp[cluster]'" in line
    assert list(tmp_path.iterdir()) == []


def told_to_end(interrupt, **more):
    return interrupt()


def test_a_worker_that_comes_after_the_word_to_end_knows_of_it(tmp_path):
    from distributed import Client, LocalCluster

    from hw2exp.sweeps.cluster import joined

    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    with (
        LocalCluster(n_workers=1, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
        joined(client, tmp_path) as executor,
    ):
        assert executor.submit(told_to_end).result(60) is False
        executor.tell(signal.SIGTERM)
        (first,) = client.nthreads()
        cluster.scale(2)
        client.wait_for_workers(2, timeout=60)
        client.retire_workers([first])
        assert executor.submit(told_to_end).result(60) is True
