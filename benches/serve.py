"""The server under load, by oha: answers a second and how long they take, and what a flood does to them.

What is measured: whole answers over loopback, ten papers with their abstracts each, by oha (HTTP/1.1, keep-alive), which
shares the machine's cores with the server. `by id` asks for papers like one of 2,000; `by text` asks by the whole
abstracts of 20,000 others, `by title` by the titles of 40,000: no vector is known from before, until a flood has gone
    through all of them and begins again (where many are told to come back, the answers a second are then of known ones).
  - Steady, after a warm-up: 1, 8, 64 and 512 connections for 10 s each; oha asks again as soon as it is answered.
  - Added: what a search by text takes at the server beyond its own encoder's stages, from `Server-Timing` headers.
  - Flood: 10 times as many questions a second as are answered at the most, for 60 s; the p99 of those that were let in
    beside that of one connection, memory at every second, and every status.

Corpus: a data folder of the conference abstracts (`--data`), 87,249 papers.

Fair and unfair: the client takes a part of the two cores, more of it the more answers there are, so a server alone on its
machine does better. There is no peer that does all of this; text-embeddings-inference is in no registry.

Usage: python benches/serve.py --oha PROGRAM --data FOLDER --dump DUMP [--results benches/RESULTS.md]
"""

import argparse
import csv
import gzip
import io
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

import results

LIKEWISE = pathlib.Path("target/release/likewise").resolve()
FLOOD = 10


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Server:
    """A running server, its address and its memory."""

    def __init__(self, data):
        command = [LIKEWISE, "serve", "--data", data, "--listen", "127.0.0.1:0", "--probe-every", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.address = self.process.stderr.readline().split("listening on ")[1].split(",")[0]
        while "ready" not in self.process.stderr.readline():
            pass
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def memory(self):
        """Resident megabytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def ask(self, body):
        """The answer's milliseconds by stage."""
        request = urllib.request.Request(f"{self.address}/v1/search", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            stages = answer.headers["server-timing"].split(", ")
        return {name: float(took) for name, took in (stage.split(";dur=") for stage in stages)}

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(oha, address, bodies, connections, seconds, rate=None):
    """Milliseconds and status of every answer, in the order of their ends."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        lines.writelines(json.dumps(body) + "\n" for body in bodies)
        lines.flush()
        command = [oha, "--no-tui", "--output-format", "csv", "-z", f"{seconds}s", "-c", str(connections), "-m", "POST"]
        command += ["-Z", lines.name, "-H", "content-type: application/json", "-w"]
        command += ["-q", str(rate), "--latency-correction"] if rate else []
        out = subprocess.run([*command, f"{address}/v1/search"], capture_output=True, text=True, check=True).stdout
    rows = list(csv.DictReader(io.StringIO(out)))
    return [(1e3 * float(row["request-duration"]), int(row["status"])) for row in rows]


def steady(oha, server, kind, bodies, seconds):
    rows = []
    for connections in [1, 8, 64, 512]:
        random.shuffle(bodies)
        answers = load(oha, server.address, bodies, connections, seconds)
        took = [took for took, status in answers if status == 200]
        busy = sum(status == 429 for _, status in answers)
        assert len(took) + busy == len(answers), {status for _, status in answers}
        rows.append([kind, str(connections), f"{len(took) / seconds:,.0f}", f"{percentile(took, 0.5):.2f}",
                     f"{percentile(took, 0.99):.2f}", f"{busy / seconds:,.0f}"])
        print(rows[-1], flush=True)
    return rows


def added(server, bodies):
    """Milliseconds that a search by text takes at the server beyond tokenising and encoding."""
    rest = []
    for body in bodies:
        stages = server.ask(body)
        rest.append(stages["total"] - stages["tokenize"] - stages["encode"])
    return percentile(rest, 0.5), percentile(rest, 0.99)


def flood(oha, server, bodies, seconds):
    """One connection, then far too many questions."""
    alone = [took for took, status in load(oha, server.address, bodies[:2000], 1, 15) if status == 200]
    # Few enough that none is told to come back.
    full = load(oha, server.address, bodies[2000:6000], 4, 10)
    rate = int(FLOOD * sum(status == 200 for _, status in full) / 10)
    memory, over = [], threading.Event()

    def watch():
        while not over.wait(1):
            memory.append(server.memory())

    watching = threading.Thread(target=watch)
    watching.start()
    answers = load(oha, server.address, bodies[6000:], 256, seconds, rate)
    over.set()
    watching.join()
    accepted = [took for took, status in answers if status == 200]
    statuses = {status: sum(other == status for _, other in answers) for status in {status for _, status in answers}}
    assert set(statuses) <= {200, 429}, statuses
    assert server.process.poll() is None, "the server stopped"
    return {
        "offered, a second": f"{rate:,}",
        "asked, a second": f"{len(answers) / seconds:,.0f}",
        "200, a second": f"{len(accepted) / seconds:,.0f}",
        "429, a second": f"{statuses.get(429, 0) / seconds:,.0f}",
        "p50 / p99 alone, ms": f"{percentile(alone, 0.5):.1f} / {percentile(alone, 0.99):.1f}",
        "p50 / p99 of those let in, ms": f"{percentile(accepted, 0.5):.1f} / {percentile(accepted, 0.99):.1f}",
        "p99 to p99 alone": f"{percentile(accepted, 0.99) / percentile(alone, 0.99):.2f}",
        "MB resident: first 10 s, last 10 s, most":
            f"{statistics.mean(memory[:10]):.0f}, {statistics.mean(memory[-10:]):.0f}, {max(memory):.0f}",
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--oha", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dump", required=True)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--flood", type=int, default=60)
    parser.add_argument("--results")
    options = parser.parse_args()
    random.seed(7)
    opened = gzip.open if options.dump.endswith(".gz") else open
    with opened(options.dump, "rt") as dump:
        papers = [json.loads(line) for line in dump]
    random.shuffle(papers)
    server = Server(options.data)
    try:
        ids = [{"like": [paper["id"]]} for paper in papers[:2000]]
        titles = [{"text": paper["title"]} for paper in papers[2000:42000]]
        texts = [{"text": paper["abstract"]} for paper in papers[20000:] if paper["abstract"]]
        # Papers that nobody has asked for lately may be on the disk only.
        for file in pathlib.Path(options.data).rglob("*"):
            if file.is_file():
                file.read_bytes()
        load(options.oha, server.address, ids, 64, options.seconds)
        rows = steady(options.oha, server, "by id", ids, options.seconds)
        rows += steady(options.oha, server, "by title", titles, options.seconds)
        rows += steady(options.oha, server, "by abstract", texts[:20000], options.seconds)
        beyond = added(server, texts[20000:20500])
        flooded = flood(options.oha, server, texts[20500:], options.flood)
    finally:
        server.stop()
    names = ["search", "connections", "answers/s", "p50, ms", "p99, ms", "told to come back, /s"]
    table = results.table(names, rows)
    lines = [table, "", f"A search by text takes {beyond[0]:.2f} ms (p99 {beyond[1]:.2f}) at the server beyond tokenising and "
             "encoding.", "", f"Flood, by abstracts, {options.flood} s:", "",
             results.table(["", ""], [[name, value] for name, value in flooded.items()])]
    text = "\n".join(lines)
    print(text)
    if options.results:
        head = f"{results.today()}, {results.machine()}; oha and the server on the same cores."
        results.write_section(options.results, "The server under load", f"{head}\n\n{text}")


if __name__ == "__main__":
    main()
