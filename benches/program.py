"""Runs the commands and the server of the program that is measured."""

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
# Exit status of an ingest with refused entries, which some dumps have.
SOME_REFUSED = 2


def run(program: pathlib.Path, *arguments: object, cwd: pathlib.Path | None = None) -> str:
    """Runs a command and returns its standard output."""
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT, cwd=cwd)
    assert result.returncode in (0, SOME_REFUSED), f"{arguments}: status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def version(program: pathlib.Path) -> str:
    """The output of `--version`, with the commit of the checkout."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    return run(program, "--version").strip() + (f" at {commit}" if commit else "")


class Server:
    """`likewise serve` on a free port, as a context manager that stops it."""

    def __init__(self, program: pathlib.Path, *arguments: object):
        self.log = tempfile.NamedTemporaryFile("a")
        command = [program, "serve", *map(str, arguments), "--listen", "127.0.0.1:0", "--probe-every", "0"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=ENVIRONMENT)
        self.address = self.wait("listen", self.listening)
        self.connection = http.client.HTTPConnection(self.address.split("//")[1], timeout=300)
        self.wait("be ready", lambda: self.request("/ready")[0] == 200)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def output(self) -> str:
        """Standard output and standard error so far."""
        return pathlib.Path(self.log.name).read_text()

    def wait(self, event: str, condition, seconds: float = 600):
        """Waits until `condition` returns a true value, and returns this value. `event` names the event for the error
        message."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the server stopped:\n{self.output()}"
            if value := condition():
                return value
            time.sleep(0.05)
        raise AssertionError(f"the server did not {event} within {seconds} s:\n{self.output()}")

    def listening(self) -> str:
        """The address that the server listens on; empty if it does not listen yet."""
        lines = [line for line in self.output().splitlines() if "listening on " in line]
        return lines[0].split("listening on ")[1].split(",")[0].strip() if lines else ""

    def request(self, path: str, body: object = None) -> tuple[int, object, http.client.HTTPMessage]:
        """Sends a GET request, or a POST request if there is a body, over one kept-alive connection. Returns the status,
        the JSON and the headers of the response."""
        if body is None:
            self.connection.request("GET", path)
        else:
            self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = self.connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None, response.headers

    def search(self, **query: object) -> tuple[float, dict]:
        """Searches. Returns the time in milliseconds, and the JSON of the response."""
        started = time.perf_counter()
        status, response, _ = self.request("/v1/search", query)
        assert status == 200, response
        return 1000 * (time.perf_counter() - started), response

    def papers(self, count: int) -> list[dict]:
        """The newest papers, at most `count`."""
        listed, cursor = [], ""
        while cursor is not None and len(listed) < count:
            page = self.request(f"/v1/papers?limit=1000{cursor}")[1]
            listed += page["papers"]
            cursor = f"&cursor={page['next']}" if page.get("next") else None
        return listed[:count]

    def memory(self) -> float:
        """The resident memory in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        assert self.process.wait(60) == 0, self.output()
