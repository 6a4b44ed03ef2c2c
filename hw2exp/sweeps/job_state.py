"""Find out whether a job in a queue has ended, and the last line of its log."""

import asyncio
import re
import shlex
import subprocess
from pathlib import Path

STATE = {
    "slurm": "squeue --noheader --states=all --format=%T --jobs",
    "pbs": "qstat",
    "lsf": "bjobs -noheader -o stat",
}
"""The command that prints a job's state, for each queue."""

ENDED = re.compile(
    r"\b(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|TIMEOUT"  # Slurm
    r"|Invalid job id|Unknown Job|has finished|DONE|EXIT|is not found)\b| C +\S+ *$",
    re.MULTILINE,
)
"""The text that it prints for a job that has ended."""

SAYS_NOTHING = re.compile(r"\s|$|Traceback|The above exception|RuntimeError: \w+ failed to start")
"""Lines of a log around the error that ended a job; the last is Dask's own, around any error."""


async def has_ended(kind: str, number: str) -> bool:
    """Return whether a job has ended according to its queue; False if the queue can't be asked.

    Args:
        kind: the kind of queue.
        number: the job's number in the queue.
    """
    command = [*shlex.split(STATE[kind]), number]
    try:
        asked = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError:  # then it can't be known
        return False
    said, _ = await asked.communicate()
    return ENDED.search(said.decode(errors="replace")) is not None


def last_word(logs: Path) -> str:
    """Return the last line of the newest log that has text; for a traceback, the error.

    Args:
        logs: the folder of the logs.
    """
    texts = {path: path.read_text(errors="replace").split("\n") for path in logs.glob("*.*")}
    for path in sorted(texts, key=lambda path: path.stat().st_mtime, reverse=True):
        if lines := [line for line in texts[path] if not SAYS_NOTHING.match(line)]:
            return lines[-1]
    return "nothing"
