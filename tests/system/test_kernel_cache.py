"""The cache of compiled kernels: damaged, unwritable, somebody else's; it may only cost time."""

import errno
import importlib
import importlib.util
import os
import pkgutil
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.dispatcher import Dispatcher

import hw2exp
from hw2exp.system import disk
from hw2exp.system import kernel_cache as kernel
from hw2exp.system.kernel_cache import KernelCache, cache_problem
from hw2exp.system.kernel_folder import PACKAGE, cache_folder, sources

DAMAGES = {
    "emptied": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "halved": lambda content: content[: len(content) // 2],
    "its end zeroed": lambda content: content[:-100] + bytes(100),
    "a bit flipped": lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
}


def no_pickle(path):
    path.write_bytes(kernel._digest(path, b"\0") + b"\0")


def folder(path):
    path.unlink()
    path.mkdir()
    (path / "file").write_text("")


def link_to_itself_elsewhere(path):
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def endless(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def huge(path):
    os.truncate(path, 1 << 40)


def unreadable(path):
    path.chmod(0)  # which root reads all the same


PLACED = [no_pickle, folder, link_to_itself_elsewhere, endless, pipe, huge, unreadable]


SOURCE = "def double(x):\n    return 2 * x\n"


def written(path, source=SOURCE):
    """Write a module, and return the function in it."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("own_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.double


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    return written(tmp_path_factory.mktemp("kernels") / "own_kernels.py")


def hits(function, folder):
    """Call a fresh kernel; return how many of its compiled forms came from the cache."""
    compiled = numba.njit(function)
    compiled._cache = KernelCache(function, folder)
    assert compiled(21) == 42
    return sum(compiled.stats.cache_hits.values())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again_and_replaced(function, tmp_path, damage):
    folder = tmp_path / "kernels"
    assert hits(function, folder) == 0
    (file,) = folder.iterdir()
    assert hits(function, folder) == 1
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert hits(function, folder) == 0
    assert hits(function, folder) == 1
    assert cache_problem() is None


@pytest.mark.parametrize("place", PLACED, ids=lambda place: place.__name__)
def test_whatever_stands_in_its_place_is_replaced(function, tmp_path, place):
    cache = tmp_path / "kernels"
    hits(function, cache)
    (file,) = cache.iterdir()
    size = file.stat().st_size
    place(file)
    root_reads = place is unreadable and os.geteuid() == 0
    assert hits(function, cache) == root_reads
    assert hits(function, cache) == 1
    assert [each.name for each in cache.iterdir()] == [file.name]
    assert stat.S_ISREG(file.lstat().st_mode)
    assert abs(file.stat().st_size - size) < 100
    assert cache_problem() is None


def test_the_file_of_another_kernel_is_not_loaded(function, tmp_path):
    cache = tmp_path / "kernels"
    hits(function, cache)
    (file,) = cache.iterdir()

    def triple(x):
        return 3 * x

    compiled = numba.njit(triple)
    compiled._cache = KernelCache(triple, cache)
    assert compiled(7) == 21
    (other,) = set(cache.iterdir()) - {file}
    shutil.copy(other, file)
    assert hits(function, cache) == 0  # and gives 42, not 63
    assert hits(function, cache) == 1


def test_a_copy_of_the_source_shares_the_kernels(function, tmp_path):
    """The content decides, not the place nor the time: installations may share a folder."""
    cache, copy = tmp_path / "kernels", tmp_path / "copy.py"
    assert hits(function, cache) == 0
    assert hits(written(copy), cache) == 1
    assert hits(written(copy, SOURCE + "# changed\n"), cache) == 0


@pytest.mark.slow
def test_of_processes_that_start_at_once_one_compiles(function, tmp_path):
    start = (
        "import sys; sys.path.insert(0, sys.argv[1]); import own_kernels, numba, pathlib;"
        "from hw2exp.system.kernel_cache import KernelCache, cache_problem;"
        "own = numba.njit(own_kernels.double);"
        "own._cache = KernelCache(own_kernels.double, pathlib.Path(sys.argv[2]));"
        "print(own(21), sum(own.stats.cache_hits.values()), cache_problem())"
    )
    source, cache = Path(function.__code__.co_filename).parent, tmp_path / "kernels"
    words = [sys.executable, "-c", start, str(source), str(cache)]
    assert subprocess.check_output(words, text=True) == "42 0 None\n"
    (file,) = cache.iterdir()
    folder(file)
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = sorted(each.communicate()[0] for each in started)
    assert told == ["42 0 None\n", "42 1 None\n", "42 1 None\n"]
    assert subprocess.check_output(words, text=True) == "42 1 None\n"
    assert [each.name for each in cache.iterdir()] == [file.name]


def test_the_folder_is_its_owners_alone(function, tmp_path):
    before = os.umask(0)
    try:
        hits(function, tmp_path / "kernels")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "kernels").stat().st_mode) == 0o700


def test_a_folder_that_cant_be_made_costs_only_time(function, tmp_path):
    (tmp_path / "file").write_text("")
    assert hits(function, tmp_path / "file" / "kernels") == 0
    problem = cache_problem()
    assert str(tmp_path) in problem
    assert "NUMBA_CACHE_DIR" in problem
    assert "\n" not in problem
    assert cache_problem() is None  # said once


def test_a_full_disk_costs_only_time(function, tmp_path, monkeypatch):
    def full(path, content, sync=True):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write", full)
    assert hits(function, tmp_path / "kernels") == 0
    assert "No space left" in cache_problem()


def test_without_any_folder_kernels_are_compiled_in_memory(function, monkeypatch):
    assert hits(function, None) == 0
    assert "no folder" in cache_problem()


def test_the_place_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_folder().parent == tmp_path / "chosen"
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/nowhere")
    assert cache_folder() is None


def test_beside_a_package_that_cant_be_written_the_users_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().parent == PACKAGE / "__pycache__"
    access = os.access
    within = str(PACKAGE)
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).startswith(within) and access(path, mode)
    )
    assert cache_folder().parent == tmp_path / "hw2exp"


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = cache_folder()
    folder.mkdir(mode=0o700)
    assert cache_folder() == folder
    folder.chmod(0o770)
    assert cache_folder() is None


def test_the_file_of_every_kernel_names_the_cache():
    """Ground truth: the compiled functions that exist once all modules are imported."""
    for module in pkgutil.walk_packages(hw2exp.__path__, "hw2exp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    files = {
        Path(value.py_func.__code__.co_filename)
        for name, module in sys.modules.items()
        if name.startswith("hw2exp.")
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    }
    assert len(files) > 10
    assert files <= set(sources())


def test_what_a_kernel_imports_names_the_cache_and_its_callers_do_not():
    """Its constants are compiled into it; a caller's change needs no new compilation."""
    own = {path.relative_to(PACKAGE).as_posix() for path in sources()}
    assert "models/axes.py" in own
    assert not own & {"kernels/choice.py", "runs/fleet_run.py", "fleet/fleet.py"}


@pytest.mark.nightly
def test_kernels_load_without_scipy_and_products_of_other_code_still_compile():
    """Numba imports scipy.linalg only to see whether there is a BLAS."""
    program = """
import sys
import numba
import numpy as np
from hw2exp.tasks.temporal_order import TemporalOrder

TemporalOrder((4, 6), (1, 2), (3, 4)).batch(np.zeros(1, np.uint64), 1, 2)
print("scipy.linalg" in sys.modules)
print(numba.njit(lambda a: np.dot(a, a))(np.full((1, 1), 3.0)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False", "[[9.]]"], done.stderr
