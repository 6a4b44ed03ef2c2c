"""Run the playground's scripts in a browser without a window, and hear what they report."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from hw2exp.playground import page

CHROMIUM = "chromium", "chromium-browser", "google-chrome"
FIREFOX = ("firefox",)
MISSING = f"needs a browser: {', '.join(CHROMIUM + FIREFOX)}"
SECONDS = 240
SCRIPTS = re.compile(r"<script(?: data-worker)?>\n.*?</script>", re.DOTALL)

REPORT = """<script>
  const reportBack = (value) => fetch("/", { method: "POST", body: JSON.stringify(value) });
  onerror = (message, _, line) => reportBack({ error: `${message} in line ${line}` });
  onunhandledrejection = ({ reason }) => reportBack({ error: String(reason) });
</script>"""


def browser():
    """Return the path of a browser, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM + FIREFOX)), None)


def reported(document, folder):
    """Open a page; return what its script gives to ``reportBack``."""
    heard = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(document.encode() if self.path == "/" else b"")

        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")

        def answer(self, content):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        server.timeout = SECONDS
        with opened(f"http://127.0.0.1:{server.server_port}/", folder) as process:
            while not heard and process.poll() is None:
                server.handle_request()
    assert heard, f"{browser()} ended, or said nothing for {SECONDS} s"
    if isinstance(heard[0], dict) and "error" in heard[0]:
        raise AssertionError(heard[0]["error"])
    return heard[0]


@contextmanager
def opened(address: str, folder) -> Iterator[subprocess.Popen]:
    profile = folder / "profile"
    profile.mkdir(exist_ok=True)
    if browser().rpartition("/")[2] in FIREFOX:
        flags = ["--headless", "--no-remote", "--profile", str(profile)]
    else:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions"]
        flags += ["--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen([browser(), *flags, address], stdout=nothing, stderr=nothing)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def evaluate(expression, folder):
    """Return the value of an expression that uses the page's functions, but shows no page."""
    scripts = [part for part in SCRIPTS.findall(page()) if "main();\n</script>" not in part]
    parts = ['<!doctype html><meta charset="utf-8">', REPORT, *scripts]
    return reported("\n".join([*parts, f"<script>reportBack({expression});</script>"]), folder)


def act(script, folder, address=""):
    """Open the page at an exercise, and run a script in it that ends with ``reportBack``."""
    document = page().replace("default-src 'none'", "default-src 'none'; connect-src 'self'")
    there = f"<script>history.replaceState(null, '', {json.dumps(address or '#')});</script>"
    document = document.replace("<body>", f"<body>{REPORT}{there}")
    return reported(document.replace("</body>", f"<script>{script}</script></body>"), folder)
