import os
import signal
import subprocess
import sys
import time

import pytest

from hw2exp.sweeps.executor import WorkerDied, WorkerExecutor


def answer(value):
    return value, os.getpid()


def fail():
    raise ValueError("no")


def die(how):
    os.kill(os.getpid(), how)


def leave_a_lambda():
    return lambda: None


def wait_for_signal(path):
    noted = []
    signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    path.touch()
    while not noted:
        time.sleep(0.01)
    return "finished"


@pytest.fixture(scope="module")
def executor():
    with WorkerExecutor(2) as executor:
        yield executor


def test_tasks_run_in_few_processes_and_answer_in_order(executor):
    answers = [executor.submit(answer, value) for value in range(8)]
    values, processes = zip(*(future.result() for future in answers), strict=True)
    assert values == tuple(range(8))
    assert os.getpid() not in processes
    assert len(set(processes)) <= 2


def test_an_error_comes_back_with_its_traceback(executor):
    with pytest.raises(ValueError, match="no") as error:
        executor.submit(fail).result()
    assert "in fail" in error.value.__notes__[0]


def test_what_cannot_be_pickled_is_an_error_and_not_an_end(executor):
    with pytest.raises(RuntimeError):
        executor.submit(leave_a_lambda).result()
    assert executor.submit(answer, 1).result()[0] == 1


def test_a_worker_that_is_killed_takes_only_its_own_task_with_it(executor):
    futures = [executor.submit(answer, 1), executor.submit(die, signal.SIGKILL)]
    futures += [executor.submit(answer, value) for value in range(2, 6)]
    with pytest.raises(WorkerDied, match="killed by signal 9"):
        futures[1].result()
    others = [future.result()[0] for i, future in enumerate(futures) if i != 1]
    assert others == [1, 2, 3, 4, 5]


def test_an_interrupt_reaches_the_workers_and_lets_them_finish(tmp_path):
    with WorkerExecutor(2) as executor:
        futures = [executor.submit(wait_for_signal, tmp_path / name) for name in "ab"]
        while not all((tmp_path / name).exists() for name in "ab"):
            assert not any(future.done() for future in futures)
            time.sleep(0.01)
        executor.tell(signal.SIGTERM)
        assert [future.result(10) for future in futures] == ["finished", "finished"]


def test_shutdown_leaves_no_process_behind():
    executor = WorkerExecutor(2)
    processes = [executor.submit(answer, value).result()[1] for value in range(2)]
    executor.shutdown()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.nightly
def test_a_long_temporary_folder_stops_no_worker(tmp_path):
    """The path of a socket has some hundred bytes; a shared machine's TMPDIR may be as long."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    program = (
        "import tempfile\n"
        "from hw2exp.sweeps.executor import WorkerExecutor\n"
        "if __name__ == '__main__':\n"
        "    with WorkerExecutor(1) as executor:\n"
        "        print(executor.submit(abs, -3).result(), tempfile.gettempdir())\n"
    )
    path = tmp_path / "program.py"
    path.write_text(program)
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["3", str(folder)], done.stderr


@pytest.mark.slow
def test_workers_may_start_afresh(monkeypatch):
    """As on macOS, where a fork is not safe."""
    monkeypatch.setattr("hw2exp.sweeps.executor.METHOD", "spawn")
    with WorkerExecutor(1) as fresh:
        value, process = fresh.submit(answer, 7).result()
    assert (value, process != os.getpid()) == (7, True)
