"""The program that is measured: its commands, and its server.

Its own file because five benchmarks start a server, and each needs its address, its memory and its end.
"""

import http.client
import json
import os
import pathlib
import subprocess
import tempfile
import time

from options import ROOT

MODELS = pathlib.Path(os.environ.get("LIKEWISE_MODELS", ROOT / "models"))
ENVIRONMENT = {**os.environ, "LIKEWISE_MODELS": str(MODELS)}
# No entry of the sample is refused; of other dumps some may be.
SOME_REFUSED = 2


def run(program: pathlib.Path, *arguments: object, cwd: pathlib.Path | None = None) -> str:
    """What a command says on its standard output."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT, cwd=cwd)
    assert done.returncode in (0, SOME_REFUSED), f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def version(program: pathlib.Path) -> str:
    """As `--version` says it, with the commit of the checkout."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    return run(program, "--version").strip() + (f" at {commit}" if commit else "")


class Server:
    """`likewise serve` at a free port, until it is stopped."""

    def __init__(self, program: pathlib.Path, *arguments: object):
        self.log = tempfile.NamedTemporaryFile("a")
        command = [program, "serve", *map(str, arguments), "--listen", "127.0.0.1:0", "--probe-every", "0"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=ENVIRONMENT)
        self.address = self.wait("listen", self.listening)
        self.connection = http.client.HTTPConnection(self.address.split("//")[1], timeout=300)
        self.wait("be ready", lambda: self.ask("/ready")[0] == 200)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def said(self) -> str:
        return pathlib.Path(self.log.name).read_text()

    def wait(self, what: str, until, seconds: float = 600):
        """What `until` says, once it says something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the server stopped:\n{self.said()}"
            if found := until():
                return found
            time.sleep(0.05)
        raise AssertionError(f"the server did not {what} within {seconds} s:\n{self.said()}")

    def listening(self) -> str:
        lines = [line for line in self.said().splitlines() if "listening on " in line]
        return lines[0].split("listening on ")[1].split(",")[0].strip() if lines else ""

    def ask(self, path: str, body: object = None) -> tuple[int, object, http.client.HTTPMessage]:
        """Status, JSON and headers of an answer, over one connection that stays."""
        if body is None:
            self.connection.request("GET", path)
        else:
            self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None, answer.headers

    def search(self, **question: object) -> tuple[float, dict]:
        """Milliseconds and the answer."""
        started = time.perf_counter()
        status, answer, _ = self.ask("/v1/search", question)
        assert status == 200, answer
        return 1000 * (time.perf_counter() - started), answer

    def papers(self, most: int) -> list[dict]:
        """The newest, page by page."""
        listed, cursor = [], ""
        while cursor is not None and len(listed) < most:
            page = self.ask(f"/v1/papers?limit=1000{cursor}")[1]
            listed += page["papers"]
            cursor = f"&cursor={page['next']}" if page.get("next") else None
        return listed[:most]

    def memory(self) -> float:
        """Resident megabytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        assert self.process.wait(60) == 0, self.said()
