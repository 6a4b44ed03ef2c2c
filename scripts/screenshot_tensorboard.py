"""Take a screenshot of TensorBoard.

python scripts/screenshot_tensorboard.py LOGDIR TAB OUTPUT, where TAB is timeseries, custom_scalars,
hparams, images, histograms or text. The script needs Chromium.
"""

import argparse
import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
REDIRECT = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 5) for fd in sys.argv[1:3])
os.dup2(reads, 3), os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from descriptor 3 and writes answers to descriptor 4."""

ADDRESS = re.compile(r"http://\S+:\d+/")
PATIENCE = 60.0
"""The longest wait for content of a page, in seconds."""

TEXT = """
(function text(node) {
  if (!node) return "";
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (node.nodeType === Node.COMMENT_NODE) return "";
  if (/^(STYLE|SCRIPT|TEMPLATE|DOM-MODULE)$/.test(node.tagName ?? "")) return "";
  if (node.checkVisibility && !node.checkVisibility()) return "";
  return [node.shadowRoot, ...node.childNodes].map(text).join(" ");
})(document.body)
"""
"""The visible text of a page, shadow roots included."""

FIND = """
(function all(root) {
  const found = [...root.querySelectorAll(%s)];
  for (const each of root.querySelectorAll("*"))
    if (each.shadowRoot) found.push(...all(each.shadowRoot));
  return found.filter(each => each.getBoundingClientRect().width > 0);
})(document)
"""
"""The visible elements that match a selector, shadow roots included."""


def browser() -> str | None:
    """Return the path of the browser, or None if there is none."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def tensorboard(logdir: Path, *options: str) -> Iterator[str]:
    """Serve a folder on this machine only; yield the address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir),
               "--host", "127.0.0.1", "--port", "0", *options]  # fmt: skip
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, text=True) as process,
    ):
        try:
            yield _awaited(lambda: ADDRESS.search(_content(log)), "TensorBoard listens")[0]
        finally:
            process.terminate()  # its data server ends with it


def _content(log: Any) -> str:
    log.seek(0)
    return str(log.read())


def _awaited(look: Any, what: str) -> Any:
    """Call ``look`` until the result is true; return the result.

    Raises:
        TimeoutError: there is no such result within ``PATIENCE``.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE:.0f} seconds")
        time.sleep(0.2)
    return found


class Page:
    """A page in a headless Chromium, controlled through a pipe.

    Args:
        commands: the file that the browser reads commands from.
        answers: the file that the browser writes answers to.
    """

    def __init__(self, commands: Any, answers: Any) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Call a method of the Chrome DevTools Protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == number:  # other messages are events
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> bytes:
        parts = []
        while (part := self._answers.read(1)) != b"\0":
            if not part:
                raise RuntimeError("the browser has ended")
            parts.append(part)
        return b"".join(parts)

    def open(self, address: str, width: int = 1280, height: int = 1000) -> None:
        """Open an address in a window of this size, in pixels."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=False)  # fmt: skip
        self("Page.navigate", url="about:blank")  # else a new fragment would not reload
        self("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def text(self) -> str:
        """Return the visible text of the page."""
        return " ".join(str(self.evaluate(TEXT)).split())

    def count(self, selector: str) -> int:
        """Count the visible elements that match a selector."""
        return int(self.evaluate(FIND % json.dumps(selector) + ".length"))

    def await_text(self, *words: str) -> str:
        """Wait until the page shows all words; return the visible text."""
        shown = ""

        def look() -> bool:
            nonlocal shown
            shown = self.text()
            return all(word in shown for word in words)

        try:
            _awaited(look, f"{words}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it shows: {shown}") from None
        return shown

    def await_elements(self, selector: str, least: int = 1) -> int:
        """Wait until the page shows at least so many elements; return their number."""
        _awaited(lambda: self.count(selector) >= least, f"{least} of {selector}")
        return self.count(selector)

    def screenshot(self) -> bytes:
        """Return a screenshot of the page as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", format="png")["data"])


@contextmanager
def page() -> Iterator[Page]:
    """Start a browser with a new profile, and yield its page."""
    program = browser()
    assert program is not None, "no browser is installed"
    (their_read, commands), (answers, their_write) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [program, *FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", REDIRECT, str(their_read), str(their_write), *words],
            pass_fds=(their_read, their_write),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_read)
        os.close(their_write)
        with os.fdopen(commands, "wb", 0) as to_it, os.fdopen(answers, "rb") as from_it:
            try:
                yield Page(to_it, from_it)
            finally:
                process.terminate()
                process.wait()


def address_of(root: str, tab: str, runs: str = "", tags: str = "") -> str:
    """Return the address of a tab, limited to runs and tags that match an expression."""
    query = f"?runFilter={quote(runs)}&tagFilter={quote(tags)}&smoothing=0"
    chosen = f"&regexInput={quote(runs)}" if runs else ""
    return f"{root}{query}#{tab}{chosen}&_smoothingWeight=0"


def quantized(png: bytes) -> bytes:
    """Reduce a picture to 128 colors."""
    from PIL import Image

    content = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(128).save(content, "PNG", optimize=True)
    return content.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("logdir", type=Path)
    parser.add_argument("tab")
    parser.add_argument("output", type=Path)
    parser.add_argument("--runs", default="", help="only runs that match this expression")
    parser.add_argument("--tags", default="", help="only tags that match this expression")
    parser.add_argument("--size", default="1280x1000")
    parser.add_argument("--seconds", type=float, default=12, help="until the picture is taken")
    parser.add_argument("--click", help="a selector of buttons that are pressed before")
    own = parser.parse_args()
    width, height = map(int, own.size.split("x"))
    with tensorboard(own.logdir) as root, page() as shown:
        shown.open(address_of(root, own.tab, own.runs, own.tags), width, height)
        time.sleep(own.seconds)
        if own.click:
            shown.evaluate(FIND % json.dumps(own.click) + ".forEach(each => each.click())")
            time.sleep(2)
        own.output.write_bytes(quantized(shown.screenshot()))


if __name__ == "__main__":
    main()
