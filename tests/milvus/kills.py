"""Kills an ingest into a Milvus collection, and stops, kills and restarts Milvus while servers use it.

Run this script with scripts/with-milvus, which starts the Milvus server and sets the environment variables that the
script reads.
"""

import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
LIKEWISE = ROOT / "target/release/likewise"
SAMPLE = ROOT / "tests/data/sample.jsonl"
MILVUS = os.environ["LIKEWISE_TEST_MILVUS"]
PAPERS = max(3000, 1500 * os.cpu_count())
# An ingest into a collection saves papers in chunks of this many papers per core (src/milvus/collection_writer.rs).
CHUNK_PER_CORE = 128
# One in this many papers has a second record, with another id and from another source. The two records are merged.
DUPLICATE_EVERY = 5


def likewise(*arguments, **options):
    return subprocess.run([LIKEWISE, *map(str, arguments)], capture_output=True, text=True, timeout=600, **options)


def request(address, path, body=None):
    """Sends a GET request, or a POST request if there is a body. Returns the status and the JSON of the response."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, {"content-type": "application/json"}), timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait(event, condition, seconds=240):
    """Waits until `condition` returns a true value, and returns the seconds waited. `event` describes the condition in
    the error message."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if condition():
            return time.monotonic() - started
        time.sleep(0.5)
    raise AssertionError(f"this did not happen within {seconds} s: {event}")


class Server:
    """A running server on a free port. `index` is the URL of the collection that is served."""

    def __init__(self, index, *arguments):
        self.log = tempfile.TemporaryFile("w+")
        location = ["--index", index] if index else []
        command = [LIKEWISE, "serve", *location, *arguments, "--listen", "127.0.0.1:0", "--probe-every", "0"]
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, cwd=ROOT)
        self.address = None
        wait("a server listens", self.is_listening, 60)

    def is_listening(self):
        self.log.seek(0)
        for line in self.log:
            if "listening on " in line:
                self.address = line.split("listening on ")[1].split(",")[0].strip()
        return self.address

    def is_ready(self):
        return request(self.address, "/ready")[0] == 200

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.process.returncode


def milvus_processes():
    """Returns the process ids of Milvus and of its wrapper in this network namespace."""
    found = subprocess.run(["pgrep", "-f", "milvus-server --data|milvus run standalone"], capture_output=True, text=True)
    namespace = os.readlink("/proc/self/ns/net")
    return [int(pid) for pid in found.stdout.split() if os.readlink(f"/proc/{pid}/ns/net") == namespace]


def signal_milvus(number):
    found = milvus_processes()
    assert found, "Milvus is not running in this network namespace"
    for pid in found:
        os.kill(pid, number)


def kill_milvus():
    signal_milvus(signal.SIGKILL)


def is_port_free():
    with socket.socket() as listener:
        try:
            listener.bind(("0.0.0.0", int(os.environ["PORT"])))
        except OSError:
            return False
        return True


def start_milvus():
    # As long as the port has old connections, the wrapper would choose another port.
    wait("the port is free again", is_port_free, 120)
    log = open(os.path.join(os.environ["DATA"], "again.log"), "w")
    return subprocess.Popen(["bash", "-c", "eval exec env " + os.environ["SERVE"]], stdout=log, stderr=log)


def papers(count):
    # The abstract is long, so that encoding takes some time.
    about = "Bees that count flowers are counted by flowers, which keep no count of bees. " * 6
    for number in range(count):
        paper = {"title": f"On bees, part {number}", "abstract": f"{number}. {about}"}
        yield json.dumps({"id": f"kill/{number}", **paper}) + "\n"
        if number % DUPLICATE_EVERY == 0:
            yield json.dumps({"id": f"twin/{number}", "source": "elsewhere", **paper}) + "\n"


def chunk_seconds(folder):
    """Returns about how many seconds an ingest needs on this machine to start and to encode its first chunk."""
    chunk = folder / "chunk.jsonl"
    chunk.write_text("".join(papers(CHUNK_PER_CORE * os.cpu_count())))
    started = time.monotonic()
    assert likewise("embed", chunk, "--out", folder / "chunk.npy", cwd=ROOT).returncode == 0
    return time.monotonic() - started


def a_killed_ingest_can_be_completed(folder):
    dump, index = folder / "dump.jsonl", f"{MILVUS}/killed?consistency=strong"
    dump.write_text("".join(papers(PAPERS)))
    kills, seconds_per_chunk = 0, chunk_seconds(folder)
    # The time until each kill depends on the speed of the machine. With fixed times, an ingest on a slow machine would
    # be killed before it saved a chunk, and an ingest on a fast machine would finish before the kill.
    for chunks in [1.5, 2.5, 3.5]:
        seconds = chunks * seconds_per_chunk
        ingest = subprocess.Popen([LIKEWISE, "ingest", dump, "--index", index], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert ingest.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            ingest.kill()
            ingest.wait()
            kills += 1
    assert kills, "the ingests ended before they could be killed"
    completed = likewise("ingest", dump, "--index", index, cwd=ROOT)
    assert completed.returncode == 0, completed.stderr
    assert f"added {PAPERS}," not in completed.stdout, f"the killed ingests saved nothing: {completed.stdout}"
    repeated = likewise("ingest", dump, "--index", index, cwd=ROOT)
    assert f"unchanged {PAPERS + PAPERS // DUPLICATE_EVERY}" in repeated.stdout, repeated.stdout
    server = Server(index)
    wait("the server is ready", server.is_ready)
    assert request(server.address, "/v1/stats")[1]["papers"] == PAPERS
    assert request(server.address, "/v1/papers/twin/5")[1]["id"] == "kill/5"
    server.stop()
    print(f"an ingest of {PAPERS:,} papers, killed {kills} times: {completed.stdout.strip()}")


def servers_recover_when_milvus_is_restarted():
    index = f"{MILVUS}/away"
    assert likewise("ingest", SAMPLE, "--index", index, cwd=ROOT).returncode == 0
    first, second = Server(index), Server(index)
    for server in [first, second]:
        wait("the server is ready", server.is_ready)
    query = {"text": "Transits of exoplanets in the light curves of stars", "k": 10}

    def hits(server):
        status, body = request(server.address, "/v1/search", query)
        return [(hit["paper"], hit["score"]) for hit in body["hits"]] if status == 200 else None

    def are_equal(some, others):
        """Whether two lists have the same hits. After rows were flushed, Milvus sums values in another order, so scores
        can differ in the 7th digit."""
        pairs = list(zip(some or [], others or []))
        all_equal = all(one[0] == other[0] and abs(one[1] - other[1]) < 1e-5 for one, other in pairs)
        return all_equal and pairs and len(some) == len(others)

    before = hits(first)
    assert are_equal(before, hits(second)), "two servers must return the same hits"
    # While Milvus hangs, a query must fail within 20 s.
    signal_milvus(signal.SIGSTOP)
    started = time.monotonic()
    status, problem = request(first.address, "/v1/search", query)
    hung = time.monotonic() - started
    assert status == 503 and hung < 20, (status, problem, hung)
    assert not first.is_ready()
    signal_milvus(signal.SIGCONT)
    kill_milvus()
    wait("the server is not ready", lambda: not first.is_ready(), 60)
    status, problem = request(first.address, "/v1/search", query)
    assert status == 503 and "cannot be reached" in json.dumps(problem), (status, str(problem)[:300])
    assert request(first.address, "/health")[0] == 200
    status, problem = request(first.address, "/v1/papers", {"id": "away/1", "title": "Away", "abstract": "Gone."})
    assert status == 503, (status, problem)
    third = Server(index)
    assert request(third.address, "/ready")[0] == 503, "a new server must not be ready before it reaches Milvus"
    started, milvus = time.monotonic(), start_milvus()
    try:
        wait("all servers are ready again", lambda: first.is_ready() and second.is_ready() and third.is_ready())
        wait("a server returns the same hits as before", lambda: are_equal(hits(first), before))
        restarted = time.monotonic() - started
        # After a start, Milvus answers queries before it accepts new rows. Until Milvus accepts rows, a write gets 503.
        paper = {"id": "away/first", "title": "Away first", "abstract": "Back first."}
        wait("papers can be added again", lambda: request(first.address, "/v1/papers", paper)[0] == 200)
        written = [request(first.address, "/v1/papers", {"id": f"away/{number}", "title": f"Away {number}", "abstract": f"Back {number}."}) for number in range(3)]
        assert all(status == 200 for status, _ in written), written
        assert request(first.address, "/v1/papers/away/2")[0] == 200, "a server must see its own writes immediately"
        deletion = urllib.request.Request(first.address + "/v1/papers/away/1", method="DELETE")
        assert urllib.request.urlopen(deletion, timeout=60).status == 200
        found = request(first.address, "/v1/search", {"text": "Away. Back.", "k": 100})[1]["hits"]
        assert "away/2" in [hit["paper"]["id"] for hit in found], "a server must find a paper that it added"
        assert "away/1" not in [hit["paper"]["id"] for hit in found], "a server must not find a paper that it deleted"
        wait("the other servers see the new paper", lambda: all(request(server.address, "/v1/papers/away/2")[0] == 200 for server in [second, third]), 30)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: request(third.address, "/v1/search", query)[0], range(64)))
        assert set(statuses) == {200}, statuses
        for server in [first, second, third]:
            server.stop()
    finally:
        kill_milvus()
        milvus.wait()
    print(f"While Milvus hung, a query got 503 after {hung:.0f} s. After a restart, queries succeeded within {restarted:.0f} s; "
          "until then /ready was false and queries got 503.")


def main():
    with tempfile.TemporaryDirectory() as folder:
        a_killed_ingest_can_be_completed(pathlib.Path(folder))
        servers_recover_when_milvus_is_restarted()


if __name__ == "__main__":
    sys.exit(main())
