"""What a power cut may leave of a run or a sweep, and whether it goes on to the same end.

As a program: ``python -m tests.survival.crash_states [STATES [LIFE…]]`` tries that many states of
each life and prints how many were lost.
"""

import io
import os
import pickle
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import hw2exp.sweeps.launcher  # noqa: F401  # all that a command needs, before the first
from hw2exp.records.checkpoint_folder import newest
from hw2exp.records.run_dir import read_finished
from hw2exp.runs.checkpointing import Checkpointer
from hw2exp.sweeps import sweep
from hw2exp.sweeps.executor import WorkerExecutor
from hw2exp.system.disk import PART
from hw2exp.system.lock import LOCK
from hw2exp.train import main
from tests.cheap import composed_once, in_process, no_disk, without_hydra
from tests.survival.file_system import FileSystem, Operation
from tests.survival.outcome import difference, outcome
from tests.survival.recorder import Recorder, put, tree_of

EVAL_EVERY = 5
TINY = [
    "task=easy", "model=rnn", "model.hidden_size=4", "batch_size=4", "eval_batches=1",
    f"eval_every={EVAL_EVERY}", "log_every=2", "checkpoint_every=3", "check_initial_loss=off",
    "plot=false",
]  # fmt: skip
SPIKING = [
    "diagnostics=all", "diagnostics.spikes=2", "diagnostics.steps_before=2", "spikes.window=5",
    "spikes.margin=0.01", "spikes.deviations=0.5", "optimizer=sgd", "optimizer.lr=3",
]  # fmt: skip
PROMISES = "saved", "ended"
"""Not operations, but what a user was told after those before: which run, and at which step."""

RUN, SWEEP = ["hydra.run.dir=x", "resume=x"], ["-m", "hydra.sweep.dir=x", "resume=x"]


@dataclass(frozen=True)
class Life:
    """A command that is cut off.

    Args:
        words: the command's.
        steps: how many each of its runs makes.
        before: more words of a command that came to its end before, in the same folder.
        cut: that command was cut off at this share of its operations; else it ended.
    """

    words: Sequence[str]
    steps: int
    before: Sequence[str] | None = None
    cut: float | None = None

    @property
    def command(self) -> list[str]:
        """All words of the command."""
        return [*self.words, f"steps={self.steps}"]


LIVES = {
    "run": Life([*TINY, *RUN], 7),
    "inspected": Life([*TINY, *SPIKING, *RUN], 14),
    "resumed": Life([*TINY, *SPIKING, *RUN], 14, before=[], cut=0.7),
    "extended": Life([*TINY, *SPIKING, *RUN], 14, before=["steps=8"]),
    "drawn": Life([*TINY, *RUN, "plot=true"], 4),
    "sweep": Life([*TINY, *SWEEP, "seed=0,1,2", "fleet_size=2", "workers=2"], 4),
    "swept further": Life([*TINY, *SWEEP, "seed=0,1", "fleet_size=1"], 4, before=["steps=2"]),
}


@dataclass(frozen=True)
class State:
    """What a cut may leave.

    Args:
        tree: the files.
        saved: the step that each run said to be saved at, or that it ends at.
        cut: the last operation before the cut.
    """

    tree: dict[str, bytes | None]
    saved: dict[str, int]
    cut: str


class Bench:
    """Records a life, and lets it go on from what a cut may leave.

    Args:
        life: the life.
        folder: an empty folder.
    """

    def __init__(self, life: Life, folder: Path) -> None:
        self.life = life
        self._folder, self._here = folder, folder / "here"
        self._here.mkdir()
        with self._at_home():
            command(life.command)
            self.whole = outcome(self._here)
            self._empty()
            if life.before is not None:
                self._live_before()
            self.before = tree_of(self._here)
            self.operations = self._recorded(life.command)
            self.after = tree_of(self._here)

    @contextmanager
    def _at_home(self) -> Iterator[None]:
        """Stand where the command is typed."""
        before = Path.cwd()
        os.chdir(self._here)
        try:
            yield
        finally:
            os.chdir(before)

    def _empty(self) -> None:
        for path in self._here.iterdir():
            shutil.rmtree(path)

    def _live_before(self) -> None:
        """Bring the folder to what an earlier command has left."""
        operations = self._recorded([*self.life.command, *(self.life.before or [])])
        if self.life.cut is not None:
            files = FileSystem()
            for operation in operations[: int(self.life.cut * len(operations))]:
                if operation[0] not in PROMISES:
                    files.apply(operation)
            self._empty()
            put(files.now(), self._here)

    def _recorded(self, words: Sequence[str]) -> list[Operation]:
        """Run a command, and return its operations, those of its workers among them."""
        here, logs = self._here, Path(tempfile.mkdtemp(dir=self._folder))
        noted: list[tuple[int, Operation]] = []
        with Recorder(self._here, noted.append) as recorder, promising(recorder):

            class Watched(WorkerExecutor):
                """Workers that record what they do."""

                def submit(self, fn: Callable[..., Any], /, *args: Any, **more: Any) -> Any:
                    return super().submit(_watched, here, logs, fn, *args, **more)

            with patch.object(sweep, "WorkerExecutor", Watched):
                command(words)
            for run in sorted(self._here.rglob("result.json")):
                recorder.note("ended", recorder.relative(run.parent), self.life.steps)
        for log in logs.iterdir():
            with log.open("rb") as file:
                while (entry := _next(file)) is not None:
                    noted.append(entry)
        return [operation for _, operation in sorted(noted, key=lambda entry: entry[0])]

    def states(self) -> list[State]:
        """Return every state that a cut may leave, each once."""
        files, random = FileSystem(self.before), Random(0)
        saved: dict[str, int] = {}
        found: dict[Any, State] = {}
        for number, (name, *arguments) in enumerate(self.operations):
            if name in PROMISES:
                saved = {**saved, arguments[0]: arguments[1]}
            else:
                files.apply((name, *arguments))
            cut = f"{number} {name} {files.path_of(arguments[0])}"
            for tree in files.states(random):
                key = frozenset(map(_seen, tree.items())), frozenset(saved.items())
                found.setdefault(key, State(tree, saved, cut))
        return list(found.values())

    def lost(self, state: State) -> str | None:
        """Let a life go on from a state; say what was lost, if anything was.

        Args:
            state: what a cut has left.
        """
        with self._at_home():
            self._empty()
            put(state.tree, self._here)
            return lost_here(self.life, state.saved, self.whole)


def _seen(entry: tuple[str, bytes | None]) -> tuple[str, Any]:
    """Return a path and what anybody reads there: of locks and parts, nothing."""
    path, content = entry
    unread = path.endswith((LOCK, PART))
    return path, content is None if unread else content


def lost_here(life: Life, saved: Mapping[str, int], whole: Mapping[str, Any]) -> str | None:
    """Let a life go on in the current folder; say what was lost, if anything was.

    Args:
        life: the life.
        saved: the step that each run said to be saved at.
        whole: the outcome without a cut.
    """
    for run, step in saved.items():
        if (there := _saved(Path(run), life.steps)) < step:
            return f"{run} was saved at step {step}, but is at step {there}"
    try:
        with composed_once(), in_process(), without_hydra(), no_disk():
            command(life.command)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return difference(outcome(Path.cwd()), whole)


def _saved(run: Path, steps: int) -> int:
    """Return the step at which a run is saved."""
    if read_finished(run, steps, EVAL_EVERY) is not None:
        return steps
    found = newest(run, lambda line: None)
    return found.step if found else 0


class CommandFailedError(Exception):
    """A command that did not do what it was asked for."""


def command(words: Sequence[str]) -> None:
    """Run the command in this process, without its words.

    Args:
        words: its arguments.

    Raises:
        CommandFailedError: its exit status is not 0.
    """
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        status = main(words)
    if status != 0:
        raise CommandFailedError(f"exit status {status}: {said.getvalue().strip()}")


@contextmanager
def promising(recorder: Recorder) -> Iterator[None]:
    """Note which step each run was saved at, once a user may rely on it.

    Args:
        recorder: takes the notes.
    """
    save = Checkpointer.save

    def saved(self: Checkpointer, step: int) -> None:
        save(self, step)
        for member in map(int, self.fleet.members):
            recorder.note("saved", recorder.relative(self.recording.folders[member]), step)

    with patch.object(Checkpointer, "save", saved):
        yield


def _watched(root: Path, logs: Path, fn: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Record a task of a worker."""
    with (
        (logs / str(os.getpid())).open("ab") as log,
        Recorder(root, partial(pickle.dump, file=log)) as recorder,
        promising(recorder),
    ):
        return fn(*args, **more)


def _next(file: io.BufferedReader) -> Any:
    try:
        return pickle.load(file)
    except EOFError:
        return None


def sample(states: Sequence[State], count: int) -> list[State]:
    """Choose states: one of every cut, then a second one, as far as they go.

    Args:
        states: those of a life.
        count: how many, at most.
    """
    random, ranks = Random(0), Counter()
    order = []
    for state in random.sample(states, len(states)):
        ranks[state.cut] += 1
        order.append((ranks[state.cut], len(order), state))
    return [state for _, _, state in sorted(order)[:count]]


def program(count: int, lives: Sequence[str]) -> int:
    """Try states of lives, and print how many were lost; returns the exit status.

    Args:
        count: of the states of each life.
        lives: their names.
    """
    tried = lost = 0
    for name in lives:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(LIVES[name], Path(folder))
            states = bench.states()
            chosen = sample(states, count)
            reasons = Counter(bench.lost(state) for state in chosen)
            failed = len(chosen) - reasons.pop(None, 0)
            print(f"{name}: {len(bench.operations)} operations, {len(states)} states, "
                  f"{len(chosen)} tried, {failed} lost")  # fmt: skip
            for reason, times in reasons.most_common():
                print(f"  {times} {reason}")
            tried, lost = tried + len(chosen), lost + failed
    print(f"{tried} states tried, {lost} lost")
    return int(lost > 0)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(program(int((sys.argv[1:] or ["1000"])[0]), sys.argv[2:] or list(LIVES)))
