"""A plain installation works away from the checkout: the configs travel with the wheel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_an_installed_copy_runs_from_anywhere(tmp_path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(ROOT)], check=True)
    assert (site / "bin/hw2exp-train").exists()
    assert (site / "hw2exp/configs/experiment/explosion.yaml").exists()
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
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
    assert "2 runs in 1 arm" in (tmp_path / "sweep/report/report.html").read_text()
