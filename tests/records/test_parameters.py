import hashlib
import os

import numpy as np
import pytest

from hw2exp.config.run_files import PARAMETERS
from hw2exp.records.parameters import parameters_sha256, read_parameters, write_parameters
from hw2exp.train import main

SHORT = ("task=easy", "steps=5", "eval_every=5", "eval_batches=1", "plot=false")


def test_the_digest_of_parameters_is_that_of_the_documented_bytes():
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    bias = np.array([-1.5], dtype=np.float32)
    content = b"bias" + bias.astype("<f4").tobytes() + b"weight" + weight.tobytes()
    expected = hashlib.sha256(content).hexdigest()
    assert parameters_sha256({"weight": weight, "bias": bias}) == expected
    assert parameters_sha256({"bias": bias, "weight": np.asfortranarray(weight)}) == expected
    assert parameters_sha256({"bias": bias.astype(">f4"), "weight": weight}) == expected
    nudged = np.nextafter(bias, np.float32(0))
    assert parameters_sha256({"bias": nudged, "weight": weight}) != expected


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["model=gated_rnn", *SHORT, "hydra.run.dir=run"]) == 0
    return tmp_path / "run"


def test_the_final_parameters_of_a_run_are_kept(folder):
    params = read_parameters(folder)
    assert params["W_h"].shape == (16, 16)
    assert params["W_h"].dtype == np.float32
    again = {name: value.copy() for name, value in params.items()}
    write_parameters(folder, again)
    assert parameters_sha256(read_parameters(folder)) == parameters_sha256(params)


def test_parameters_of_another_kind_are_refused(folder):
    params = read_parameters(folder)
    write_parameters(folder, {name: value.astype(np.float64) for name, value in params.items()})
    with pytest.raises(ValueError, match="is not of float32"):
        read_parameters(folder)


def test_damaged_or_foreign_parameters_are_refused(folder):
    path = folder / PARAMETERS
    whole = path.read_bytes()
    for at in (3, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="safetensors"):
            read_parameters(folder)
    path.write_bytes(whole[:-7])
    with pytest.raises(ValueError, match="safetensors"):
        read_parameters(folder)
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(ValueError, match="safetensors: has too large a header"):
        read_parameters(folder)
    path.unlink()
    with pytest.raises(OSError, match="safetensors"):
        read_parameters(folder)
    os.mkfifo(path)
    with pytest.raises(ValueError, match="safetensors is no file"):
        read_parameters(folder)
