"""Starts a server with the papers of tests/data/sample.jsonl, on a free port, and stops the server after the test."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import urllib.request

LIKEWISE = pathlib.Path("target/release/likewise").resolve()
SAMPLE = pathlib.Path("tests/data/sample.jsonl").resolve()
READ, WRITE = "clients-may-read-by-this", "clients-may-write-by-this"


@contextlib.contextmanager
def serving(*arguments, keys=True):
    """Ingests the sample and serves it. Yields the server's address and the path of the data folder. The server
    requires a key if `keys` is true."""
    with tempfile.TemporaryDirectory() as data:
        subprocess.run([LIKEWISE, "ingest", SAMPLE, "--data", data], check=True, capture_output=True)
        # The server inherits only one environment variable: LIKEWISE_CPU, the CPU level that the tests run with.
        environment = {name: os.environ[name] for name in ["LIKEWISE_CPU"] if name in os.environ}
        environment |= {"LIKEWISE_READ_KEY": READ, "LIKEWISE_WRITE_KEY": WRITE} if keys else {}
        command = [LIKEWISE, "serve", "--data", data, "--listen", "127.0.0.1:0", *arguments]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            first = server.stderr.readline()
            assert "listening on" in first, first
            address = first.split("listening on ")[1].split(",")[0]
            while "ready" not in (line := server.stderr.readline()):
                assert line, "the server stopped"
            yield address, data
        finally:
            server.terminate()
            server.wait(timeout=60)


def get(address, path):
    """Returns the response body of a GET request that is sent with the read key."""
    request = urllib.request.Request(address + path, headers={"x-api-key": READ})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()
