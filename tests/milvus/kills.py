"""What happens when something dies or hangs: an ingest into a collection, and the engine itself under servers.

Runs beside a Milvus server, as scripts/with-milvus starts it, which it kills and starts again.
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
ENGINE = os.environ["LIKEWISE_TEST_MILVUS"]
PAPERS = max(3000, 1500 * os.cpu_count())
# What an ingest into a collection keeps at once, for each core.
PIECE_A_CORE = 128
# Of so many each, one comes a second time, from elsewhere, by another id: the two are one paper.
TWIN_EVERY = 5


def likewise(*arguments, **options):
    return subprocess.run([LIKEWISE, *map(str, arguments)], capture_output=True, text=True, timeout=600, **options)


def ask(address, path, body=None):
    """Status and JSON of an answer; None, if there was none."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, {"content-type": "application/json"}), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait(what, until, seconds=240):
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if until():
            return time.monotonic() - started
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s")


class Serving:
    """A server, of a collection if that is named, at a free port."""

    def __init__(self, index, *more):
        self.log = tempfile.TemporaryFile("w+")
        place = ["--index", index] if index else []
        command = [LIKEWISE, "serve", *place, *more, "--listen", "127.0.0.1:0", "--probe-every", "0"]
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
        return ask(self.address, "/ready")[0] == 200

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.process.returncode


def engine_processes():
    """Its wrapper and itself, the one that was started last."""
    found = subprocess.run(["pgrep", "-f", "milvus-server --data|milvus run standalone"], capture_output=True, text=True)
    here = os.readlink("/proc/self/ns/net")
    return [int(pid) for pid in found.stdout.split() if os.readlink(f"/proc/{pid}/ns/net") == here]


def signal_engine(number):
    found = engine_processes()
    assert found, "the engine is not there"
    for pid in found:
        os.kill(pid, number)


def kill_engine():
    signal_engine(signal.SIGKILL)


def is_free():
    with socket.socket() as listener:
        try:
            listener.bind(("0.0.0.0", int(os.environ["PORT"])))
        except OSError:
            return False
        return True


def start_engine():
    # Its wrapper takes another port while connections to the one before are not forgotten.
    wait("the port is free again", is_free, 120)
    log = open(os.path.join(os.environ["DATA"], "again.log"), "w")
    return subprocess.Popen(["bash", "-c", "eval exec env " + os.environ["SERVE"]], stdout=log, stderr=log)


def papers(count):
    # Long enough that encoding them takes a while.
    about = "Bees that count flowers are counted by flowers, which keep no count of bees. " * 6
    for number in range(count):
        paper = {"title": f"On bees, part {number}", "abstract": f"{number}. {about}"}
        yield json.dumps({"id": f"kill/{number}", **paper}) + "\n"
        if number % TWIN_EVERY == 0:
            yield json.dumps({"id": f"twin/{number}", "source": "elsewhere", **paper}) + "\n"


def seconds_a_piece(folder):
    """How long an ingest takes to keep its first papers, here: it begins, and encodes one piece (src/milvus/intake.rs)."""
    piece = folder / "piece.jsonl"
    piece.write_text("".join(papers(PIECE_A_CORE * os.cpu_count())))
    started = time.monotonic()
    assert likewise("embed", piece, "--out", folder / "piece.npy", cwd=ROOT).returncode == 0
    return time.monotonic() - started


def a_killed_ingest_ends_right(folder):
    dump, index = folder / "dump.jsonl", f"{ENGINE}/killed?consistency=strong"
    dump.write_text("".join(papers(PAPERS)))
    kills, piece = 0, seconds_a_piece(folder)
    # By the speed of the machine: in seconds, one that is slow has kept nothing yet, and one that is fast is done.
    for pieces in [1.5, 2.5, 3.5]:
        seconds = pieces * piece
        ingest = subprocess.Popen([LIKEWISE, "ingest", dump, "--index", index], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert ingest.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            ingest.kill()
            ingest.wait()
            kills += 1
    assert kills, "the ingests were done before they could be killed"
    ended = likewise("ingest", dump, "--index", index, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    assert f"added {PAPERS}," not in ended.stdout, f"nothing was kept of what was killed: {ended.stdout}"
    again = likewise("ingest", dump, "--index", index, cwd=ROOT)
    assert f"unchanged {PAPERS + PAPERS // TWIN_EVERY}" in again.stdout, again.stdout
    server = Serving(index)
    wait("it is ready", server.is_ready)
    assert ask(server.address, "/v1/stats")[1]["papers"] == PAPERS
    assert ask(server.address, "/v1/papers/twin/5")[1]["id"] == "kill/5"
    server.stop()
    print(f"an ingest of {PAPERS:,} papers, killed {kills} times: {ended.stdout.strip()}")


def an_engine_that_goes_away_comes_back():
    index = f"{ENGINE}/away"
    assert likewise("ingest", SAMPLE, "--index", index, cwd=ROOT).returncode == 0
    first, second = Serving(index), Serving(index)
    for server in [first, second]:
        wait("it is ready", server.is_ready)
    question = {"text": "Transits of exoplanets in the light curves of stars", "k": 10}

    def hits(server):
        status, answer = ask(server.address, "/v1/search", question)
        # What the engine has written it reckons in another order than what is new: the seventh digit of a score may differ.
        return [(hit["paper"], hit["score"]) for hit in answer["hits"]] if status == 200 else None

    def are_alike(some, others):
        pairs = list(zip(some or [], others or []))
        is_alike = all(one[0] == other[0] and abs(one[1] - other[1]) < 1e-5 for one, other in pairs)
        return is_alike and pairs and len(some) == len(others)

    before = hits(first)
    assert are_alike(before, hits(second)), "two servers answer alike"
    # One that hangs says nothing, and nobody should wait for it as long as it does.
    signal_engine(signal.SIGSTOP)
    started = time.monotonic()
    status, problem = ask(first.address, "/v1/search", question)
    hung = time.monotonic() - started
    assert status == 503 and hung < 20, (status, problem, hung)
    assert not first.is_ready()
    signal_engine(signal.SIGCONT)
    kill_engine()
    wait("it is not ready", lambda: not first.is_ready(), 60)
    status, problem = ask(first.address, "/v1/search", question)
    assert status == 503 and "cannot be reached" in json.dumps(problem), (status, str(problem)[:300])
    assert ask(first.address, "/health")[0] == 200
    status, problem = ask(first.address, "/v1/papers", {"id": "away/1", "title": "Away", "abstract": "Gone."})
    assert status == 503, (status, problem)
    third = Serving(index)
    assert ask(third.address, "/ready")[0] == 503, "it waits for the engine"
    started, engine = time.monotonic(), start_engine()
    try:
        wait("it is ready again", lambda: first.is_ready() and second.is_ready() and third.is_ready())
        wait("it answers as before", lambda: are_alike(hits(first), before))
        away = time.monotonic() - started
        # An engine that still reads what it had answers questions before it takes rows: until then a write gets 503.
        paper = {"id": "away/first", "title": "Away first", "abstract": "Back first."}
        wait("it can be written to again", lambda: ask(first.address, "/v1/papers", paper)[0] == 200)
        written = [ask(first.address, "/v1/papers", {"id": f"away/{number}", "title": f"Away {number}", "abstract": f"Back {number}."}) for number in range(3)]
        assert all(status == 200 for status, _ in written), written
        assert ask(first.address, "/v1/papers/away/2")[0] == 200, "it sees what it wrote itself at once"
        gone = urllib.request.Request(first.address + "/v1/papers/away/1", method="DELETE")
        assert urllib.request.urlopen(gone, timeout=60).status == 200
        found = ask(first.address, "/v1/search", {"text": "Away. Back.", "k": 100})[1]["hits"]
        assert "away/2" in [hit["paper"]["id"] for hit in found], "it finds what it wrote itself at once"
        assert "away/1" not in [hit["paper"]["id"] for hit in found], "and not what it deleted"
        wait("the others see what one wrote", lambda: all(ask(server.address, "/v1/papers/away/2")[0] == 200 for server in [second, third]), 30)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            many = list(pool.map(lambda _: ask(third.address, "/v1/search", question)[0], range(64)))
        assert set(many) == {200}, many
        for server in [first, second, third]:
            server.stop()
    finally:
        kill_engine()
        engine.wait()
    print(f"while an engine hung, a question got 503 after {hung:.0f} s; killed and started again, it answered after {away:.0f} s; "
          "/ready was false meanwhile, questions 503")


def main():
    with tempfile.TemporaryDirectory() as folder:
        a_killed_ingest_ends_right(pathlib.Path(folder))
        an_engine_that_goes_away_comes_back()


if __name__ == "__main__":
    sys.exit(main())
