"""A plain installation works away from the checkout: the configs travel with the wheel."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def kernels(place=ROOT):
    """Return the compiled kernels of an installation."""
    return {path.name for path in place.glob("hw2exp/__pycache__/kernels-*/*.nbc")}


def test_every_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    code = {
        path.parent for top in ("hw2exp", "hydra_plugins") for path in ROOT.glob(f"{top}/**/*.py")
    }
    found = {".".join(path.relative_to(ROOT).parts) for path in code}
    assert sorted(listed) == sorted(
        found | {"hw2exp.configs", "hw2exp.playground_page", "hydra_plugins"}
    )


def test_a_checkout_that_is_not_installed_says_what_to_type(tmp_path):
    for name in ("hw2exp", "hydra_plugins", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'Editable' not in str(f)]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import runpy, hw2exp; assert hw2exp.__file__.startswith(sys.path[0])\n"
        "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    )
    for module in ("hw2exp.train", "hw2exp.report"):
        done = subprocess.run(
            [sys.executable, "-c", program, module, "--help"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "hw2exp: this checkout is not installed; type make setup, or pip install -e . in it\n"
        )


@pytest.mark.nightly
def test_an_installed_copy_runs_from_anywhere(tmp_path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(ROOT)], check=True)
    assert (site / "bin/hw2exp-train").exists()
    assert (site / "hw2exp/configs/experiment/explosion.yaml").exists()
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    # The same sources: the checkout's kernels will do.
    environment |= {"NUMBA_CACHE_DIR": str(ROOT / "hw2exp/__pycache__")}
    subprocess.run(
        [sys.executable, "-m", "hw2exp.playground"], cwd=tmp_path, env=environment, check=True
    )
    assert (tmp_path / "playground.html").read_text() == (ROOT / "docs/playground.html").read_text()
    before = kernels()
    short = ["experiment=explosion", "steps=3", "eval_batches=1", "hydra.run.dir=run"]
    where = "import hw2exp, sys; from hw2exp.train import main; print(hw2exp.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", f"{where}; sys.exit(main())", *short],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(site))
    assert (tmp_path / "run/result.json").exists()
    sweep = ["-m", *short[:-1], "seed=0,1", "hydra.sweep.dir=sweep"]
    subprocess.run(
        [sys.executable, "-m", "hw2exp.train", *sweep],
        cwd=tmp_path, env=environment, capture_output=True, check=True,
    )  # fmt: skip
    records = (tmp_path / "sweep/1/.hydra/hydra.yaml").read_text()
    assert "hw2exp_fleet_launcher" in records
    subprocess.run(
        [sys.executable, "-m", "hw2exp.report", "sweep"],
        cwd=tmp_path, env=environment, capture_output=True, check=True,
    )  # fmt: skip
    assert kernels() >= before
    assert not kernels(site)
    assert "2 runs in 1 arm" in (tmp_path / "sweep/report/report.html").read_text()
