"""The server under load: responses per second, latency, and the behaviour when it is overloaded.

    make bench-serve            # builds oha, ingests DUMP, runs, writes benches/results/serve.md
    python benches/serve.py --oha PROGRAM --data FOLDER --dump DUMP

Measured: complete responses over loopback, with ten papers and their abstracts each. The client is oha (HTTP/1.1,
keep-alive). `by id` searches for papers similar to one of 2,000 papers. `by title` searches with the titles of 40,000
papers, and `by abstract` with the abstracts of 20,000 papers. These texts are not in the server's cache, until a
measurement has used all of them and starts again with the first one.

- Steady load, after a warm-up: 1, 8, 64 and 512 connections for 10 s each. oha sends the next request as soon as it
  gets a response.
- Overhead: the time that the server needs for a text search, without tokenising and encoding, from `Server-Timing`
  headers.
- Overload: 10 times as many queries per second as the server can answer, for 60 s. The results are the latency of
  successful responses, the latency with a single connection, the memory, and the number of responses per second by
  status.

Corpus: a data folder of the conference abstracts, 87,249 papers.

Fair: no other server is measured. No other server does all of this, and text-embeddings-inference is in no package
registry. Queries are texts without a title, so `--title` does not affect how they are encoded. Not fair to the server:
the client uses the same cores, and needs more of their time at higher rates. A server that is alone on its machine is
faster.

`--tiny` uses the sample, and about a second per measurement. If `--oha` is not given, threads of this process send the
requests. This is enough to check that everything works, but much too slow to measure a server.
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

OVERLOAD_FACTOR = 10
WARM_UP_CONNECTIONS = 64
KINDS = ["by id", "by title", "by abstract"]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Oha:
    """Sends requests with the load generator oha."""

    name = "oha"

    def __init__(self, binary):
        self.binary = binary

    def load(self, address, bodies, connections, seconds, rate=None):
        """Milliseconds and status of every response, in the order in which the responses ended."""
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
    """Sends requests with threads of this process, for tiny runs on a machine without oha."""

    name = "Python threads"

    def load(self, address, bodies, connections, seconds, rate=None):
        end, pause = time.monotonic() + seconds, connections / rate if rate else 0

        def send_until_end(first):
            responses = []
            for index in range(first, 1_000_000, connections):
                if time.monotonic() >= end:
                    return responses
                responses.append(self.send(address, bodies[index % len(bodies)]))
                time.sleep(pause)

        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            return [response for responses in pool.map(send_until_end, range(connections)) for response in responses]

    def send(self, address, body):
        request = urllib.request.Request(f"{address}/v1/search", json.dumps(body).encode(), {"content-type": "application/json"})
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                response.read()
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        return 1e3 * (time.perf_counter() - started), status


def steady(client, server, kind, bodies, options):
    """Yields a row per number of connections."""
    for connections in options.connections:
        random.shuffle(bodies)
        responses = client.load(server.address, bodies, connections, options.seconds)
        times = [milliseconds for milliseconds, status in responses if status == 200]
        refused = sum(status == 429 for _, status in responses)
        assert len(times) + refused == len(responses), {status for _, status in responses}
        rates = f"{len(times) / options.seconds:,.0f}", f"{refused / options.seconds:,.0f}"
        row = [kind, str(connections), rates[0], f"{percentile(times, 0.5):.2f}", f"{percentile(times, 0.99):.2f}", rates[1]]
        print(row, flush=True)
        yield row


def overhead(server, bodies):
    """p50 and p99 of the milliseconds that the server needs for a text search, without tokenising and encoding."""
    times = []
    for body in bodies:
        status, _, headers = server.request("/v1/search", body)
        assert status == 200, status
        stages = dict(stage.split(";dur=") for stage in headers["server-timing"].split(", "))
        times.append(float(stages["total"]) - float(stages["tokenize"]) - float(stages["encode"]))
    return percentile(times, 0.5), percentile(times, 0.99)


def overload(client, server, bodies, options):
    """Measures one connection, then the highest rate of successful responses, then ten times this rate."""
    seconds, part = options.overload, len(bodies) // 10
    single = [milliseconds for milliseconds, status in client.load(server.address, bodies[:part], 1, 1.5 * options.seconds) if status == 200]
    # With four connections, the server refuses no request with status 429.
    full = client.load(server.address, bodies[part : 3 * part], 4, options.seconds)
    rate = max(1, int(OVERLOAD_FACTOR * sum(status == 200 for _, status in full) / options.seconds))
    memory, ended = [server.memory()], threading.Event()

    def watch_memory():
        while not ended.wait(1):
            memory.append(server.memory())

    watcher = threading.Thread(target=watch_memory)
    watcher.start()
    responses = client.load(server.address, bodies[3 * part :], options.overload_connections, seconds, rate)
    ended.set()
    watcher.join()
    accepted = [milliseconds for milliseconds, status in responses if status == 200]
    statuses = {status: sum(other == status for _, other in responses) for status in {status for _, status in responses}}
    assert set(statuses) <= {200, 429}, statuses
    assert server.process.poll() is None, "the server stopped"
    return {
        "target rate, queries/s": f"{rate:,}",
        "queries/s": f"{len(responses) / seconds:,.0f}",
        "status 200, /s": f"{len(accepted) / seconds:,.0f}",
        "status 429, /s": f"{statuses.get(429, 0) / seconds:,.0f}",
        "p50 / p99 with one connection, ms": f"{percentile(single, 0.5):.1f} / {percentile(single, 0.99):.1f}",
        "p50 / p99 of status 200, ms": f"{percentile(accepted, 0.5):.1f} / {percentile(accepted, 0.99):.1f}",
        "p99 relative to one connection": f"{percentile(accepted, 0.99) / percentile(single, 0.99):.2f}",
        "resident MB: first 10 s, last 10 s, maximum": f"{statistics.mean(memory[:10]):.0f}, {statistics.mean(memory[-10:]):.0f}, {max(memory):.0f}",
    }


def make_queries(dump, tiny):
    """Request bodies: by kind for steady load, abstracts for the overhead, and abstracts for the overload."""
    random.seed(7)
    opened = gzip.open if str(dump).endswith(".gz") else open
    with opened(dump, "rt") as lines:
        papers = [json.loads(line) for line in lines]
    random.shuffle(papers)
    texts = [{"text": paper["abstract"]} for paper in papers[len(papers) // 3 if tiny else 20_000 :] if paper["abstract"]]
    ids, titles = (20, 40) if tiny else (2000, 42_000)
    steady_end, overhead_end = (20, 30) if tiny else (20_000, 20_500)
    by_kind = [{"like": [paper["id"]]} for paper in papers[:ids]], [{"text": paper["title"]} for paper in papers[ids:titles]], texts[:steady_end]
    return dict(zip(KINDS, by_kind)), texts[steady_end:overhead_end], texts[overhead_end:]


def measure(options, client, data):
    """The text of the results."""
    steady_queries, overhead_queries, overload_queries = make_queries(options.dump, options.tiny)
    with program.Server(options.likewise, "--data", data) as server:
        # Reads all files, so that they are in the page cache.
        for file in pathlib.Path(data).rglob("*"):
            if file.is_file():
                file.read_bytes()
        client.load(server.address, steady_queries["by id"], min(WARM_UP_CONNECTIONS, options.connections[-1]), options.seconds)
        rows = [row for kind, bodies in steady_queries.items() for row in steady(client, server, kind, bodies, options)]
        p50, p99 = overhead(server, overhead_queries)
        overload_figures = overload(client, server, overload_queries, options)
    head = f"{results.today()}, {results.machine()}; {client.name} and the server on the same cores. {program.version(options.likewise)}."
    return "\n\n".join([
        head,
        results.table(["search", "connections", "status 200, /s", "p50, ms", "p99, ms", "status 429, /s"], rows),
        f"A text search takes the server {p50:.2f} ms (p99 {p99:.2f} ms) in addition to tokenising and encoding.",
        f"Overload with abstracts for {options.overload} s:",
        results.table(["overload", "value"], [[name, value] for name, value in overload_figures.items()]),
    ])


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--oha", help="the load generator oha; a tiny run does not need it")
    arguments.add_argument("--data", help="a data folder of DUMP's papers; a tiny run makes its own")
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64, 512])
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--overload", type=float, default=60, help="seconds of the overload")
    arguments.add_argument("--overload-connections", type=int, default=256)
    options = parse(arguments, connections=[1, 4], seconds=0.5, overload=2, overload_connections=32)
    if not options.tiny and not (options.oha and options.data):
        arguments.error("--oha and --data are required, except with --tiny")
    client = Oha(options.oha) if options.oha else Threads()
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data or f"{scratch}/data"
        if not options.data:
            program.run(options.likewise, "ingest", options.dump, "--data", data)
        text = measure(options, client, data)
    results.report(options, "serve", "The server under load", "make bench-serve", "serve.py", text)


if __name__ == "__main__":
    main()
