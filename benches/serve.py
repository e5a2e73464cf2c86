"""The server under load: answers a second, how long they take, and what a flood of questions does to them.

    make bench-serve            # builds oha, ingests DUMP, runs, writes benches/results/serve.md
    python benches/serve.py --oha PROGRAM --data FOLDER --dump DUMP

Measured: whole answers over loopback, ten papers with their abstracts each, asked by oha (HTTP/1.1, keep-alive).
`by id` asks for papers like one of 2,000; `by title` asks by the titles of 40,000 papers, `by abstract` by the abstracts
of 20,000: texts that the server has not encoded before, until a flood has gone through all of them and begins again.

- Steady, after a warm-up: 1, 8, 64 and 512 connections for 10 s each; oha asks again as soon as it is answered.
- Added: the time a search by text takes at the server beyond the encoder's stages, from `Server-Timing` headers.
- Flood: 10 times as many questions a second as are answered at most, for 60 s; the p99 of the answers (200, not 429)
  beside that of one connection, memory at every second, and every status.

Corpus: a data folder of the conference abstracts, 87,249 papers.

Fair: no peer is measured; none does all of this, and text-embeddings-inference is in no registry. Questions are texts
and have no title, so `--title` plays no part in encoding them. Not fair to the server: the client takes a part of the
same cores, more of it the more answers there are; alone on its machine, the server does better.

`--tiny` takes the sample and a second each. Without `--oha`, threads of this Python ask in its place: enough to see that
everything runs, and much too slow to measure a server by.
"""

import concurrent.futures
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
import urllib.error
import urllib.request

import program
import results
from options import SAMPLE, parse, parser

FLOOD = 10
# Connections.
WARM_UP = 64
KINDS = ["by id", "by title", "by abstract"]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Oha:
    """Asks with the load generator."""

    name = "oha"

    def __init__(self, binary):
        self.binary = binary

    def load(self, address, bodies, connections, seconds, rate=None):
        """Milliseconds and status of every answer, in the order of their ends."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
            lines.writelines(json.dumps(body) + "\n" for body in bodies)
            lines.flush()
            command = [self.binary, "--no-tui", "--output-format", "csv", "-z", f"{int(1000 * seconds)}ms", "-c", str(connections), "-m", "POST"]
            command += ["-Z", lines.name, "-H", "content-type: application/json", "-w"]
            command += ["-q", str(rate), "--latency-correction"] if rate else []
            out = subprocess.run([*command, f"{address}/v1/search"], capture_output=True, text=True, check=True).stdout
        rows = list(csv.DictReader(io.StringIO(out)))
        return [(1e3 * float(row["request-duration"]), int(row["status"])) for row in rows]


class Threads:
    """Asks with threads of this process: for tiny runs on a machine without oha."""

    name = "threads of Python"

    def load(self, address, bodies, connections, seconds, rate=None):
        end, pause = time.monotonic() + seconds, connections / rate if rate else 0

        def asking(first):
            answers = []
            for place in range(first, 1_000_000, connections):
                if time.monotonic() >= end:
                    return answers
                answers.append(self.ask(address, bodies[place % len(bodies)]))
                time.sleep(pause)

        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            return [answer for answers in pool.map(asking, range(connections)) for answer in answers]

    def ask(self, address, body):
        request = urllib.request.Request(f"{address}/v1/search", json.dumps(body).encode(), {"content-type": "application/json"})
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        return 1e3 * (time.perf_counter() - started), status


def steady(client, server, kind, bodies, options):
    """A row a number of connections."""
    for connections in options.connections:
        random.shuffle(bodies)
        answers = client.load(server.address, bodies, connections, options.seconds)
        took = [took for took, status in answers if status == 200]
        busy = sum(status == 429 for _, status in answers)
        assert len(took) + busy == len(answers), {status for _, status in answers}
        rates = f"{len(took) / options.seconds:,.0f}", f"{busy / options.seconds:,.0f}"
        row = [kind, str(connections), rates[0], f"{percentile(took, 0.5):.2f}", f"{percentile(took, 0.99):.2f}", rates[1]]
        print(row, flush=True)
        yield row


def added(server, bodies):
    """p50 and p99 of the milliseconds that a search by text takes at the server beyond tokenising and encoding."""
    rest = []
    for body in bodies:
        status, _, headers = server.ask("/v1/search", body)
        assert status == 200, status
        stages = dict(stage.split(";dur=") for stage in headers["server-timing"].split(", "))
        rest.append(float(stages["total"]) - float(stages["tokenize"]) - float(stages["encode"]))
    return percentile(rest, 0.5), percentile(rest, 0.99)


def flood(client, server, bodies, options):
    """One connection; then as many as are answered at most; then ten times as many questions."""
    seconds, part = options.flood, len(bodies) // 10
    alone = [took for took, status in client.load(server.address, bodies[:part], 1, 1.5 * options.seconds) if status == 200]
    # Few enough connections that no answer is 429.
    full = client.load(server.address, bodies[part : 3 * part], 4, options.seconds)
    rate = max(1, int(FLOOD * sum(status == 200 for _, status in full) / options.seconds))
    memory, over = [server.memory()], threading.Event()

    def watch():
        while not over.wait(1):
            memory.append(server.memory())

    watching = threading.Thread(target=watch)
    watching.start()
    answers = client.load(server.address, bodies[3 * part :], options.flood_connections, seconds, rate)
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
        "p50 / p99 of the answers, ms": f"{percentile(accepted, 0.5):.1f} / {percentile(accepted, 0.99):.1f}",
        "p99 to p99 alone": f"{percentile(accepted, 0.99) / percentile(alone, 0.99):.2f}",
        "MB resident: first 10 s, last 10 s, most": f"{statistics.mean(memory[:10]):.0f}, {statistics.mean(memory[-10:]):.0f}, {max(memory):.0f}",
    }


def questions(dump, tiny):
    """By id, by title and by abstract; abstracts to add up stages by, and others to flood with."""
    random.seed(7)
    opened = gzip.open if str(dump).endswith(".gz") else open
    with opened(dump, "rt") as lines:
        papers = [json.loads(line) for line in lines]
    random.shuffle(papers)
    texts = [{"text": paper["abstract"]} for paper in papers[len(papers) // 3 if tiny else 20_000 :] if paper["abstract"]]
    ids, titles = (20, 40) if tiny else (2000, 42_000)
    steady, beyond = (20, 30) if tiny else (20_000, 20_500)
    by = [{"like": [paper["id"]]} for paper in papers[:ids]], [{"text": paper["title"]} for paper in papers[ids:titles]], texts[:steady]
    return dict(zip(KINDS, by)), texts[steady:beyond], texts[beyond:]


def measured(options, client, data):
    asked, beyond, flooding = questions(options.dump, options.tiny)
    with program.Server(options.likewise, "--data", data) as server:
        # Papers that nobody has asked for lately may be on the disk only.
        for file in pathlib.Path(data).rglob("*"):
            if file.is_file():
                file.read_bytes()
        client.load(server.address, asked["by id"], min(WARM_UP, options.connections[-1]), options.seconds)
        rows = [row for kind, bodies in asked.items() for row in steady(client, server, kind, bodies, options)]
        beyond = added(server, beyond)
        flooded = flood(client, server, flooding, options)
    head = f"{results.today()}, {results.machine()}; {client.name} and the server on the same cores. {program.version(options.likewise)}."
    return "\n\n".join([
        head,
        results.table(["search", "connections", "answers/s", "p50, ms", "p99, ms", "told to come back, /s"], rows),
        f"A search by text takes {beyond[0]:.2f} ms (p99 {beyond[1]:.2f}) at the server beyond tokenising and encoding.",
        f"Flood, by abstracts, {options.flood} s:",
        results.table(["flood", "figure"], [[name, value] for name, value in flooded.items()]),
    ])


def main():
    made = parser(__doc__)
    made.add_argument("--oha", help="the load generator; left out, a tiny run asks by itself")
    made.add_argument("--data", help="a data folder of DUMP's papers; a tiny run makes its own")
    made.add_argument("--dump", default=str(SAMPLE))
    made.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64, 512])
    made.add_argument("--seconds", type=float, default=10)
    made.add_argument("--flood", type=float, default=60)
    made.add_argument("--flood-connections", type=int, default=256)
    options = parse(made, connections=[1, 4], seconds=0.5, flood=2, flood_connections=32)
    if not options.tiny and not (options.oha and options.data):
        made.error("wanted --oha and --data")
    client = Oha(options.oha) if options.oha else Threads()
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data or f"{scratch}/data"
        if not options.data:
            program.run(options.likewise, "ingest", options.dump, "--data", data)
        text = measured(options, client, data)
    results.report(options, "serve", "The server under load", "make bench-serve", "serve.py", text)


if __name__ == "__main__":
    main()
