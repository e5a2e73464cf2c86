"""Compares a data folder with a Milvus collection of the same papers: whether the hits are the same, and latency.

    make bench-milvus DATA=FOLDER       # writes benches/results/milvus.md
    scripts/with-milvus python3 -B benches/milvus.py --data FOLDER

Corpus: the papers of --data, copied into a collection without encoding them again. Queries: papers by id, and titles as
texts, with ten hits; also papers with a filter by date, with a hundred hits, and with exact search. Queries are sent
over HTTP, one at a time, to the two servers in turn. Recall is relative to an exact search of the data folder. Overlap
is the share of the data folder's hits that the collection also returns.

Fair: one machine and one client; the data folder and the collection have the same server program and the same vectors.
Hits are compared by their scores, so that papers with the same text can replace each other. Not fair to Milvus: it is
made for many machines, and here all its parts share the cores with the client and the servers. Version 2.3.5 is from
January 2024.

`--tiny` uses the sample's 120 papers and a few queries of each kind. A tiny run also works with milvus-lite
(`scripts/with-milvus --lite`). If no Milvus server is running, a tiny run skips the benchmark.
"""

import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import program
import results
from options import ROOT, SAMPLE, parse, parser

MILVUS = os.environ.get("LIKEWISE_TEST_MILVUS")
# The query papers are sampled from this many of the newest papers.
NEWEST = 20_000
KINDS = {
    "a paper, 10 hits": {},
    "a title, encoded first": {},
    "a paper, from 2022 on": {"filter": {"published": {"from": "2022"}}},
    "a paper, 100 hits": {"k": 100},
    "a paper, exact": {"exact": True},
}
BY_TITLE, EXACT = "a title, encoded first", "a paper, exact"
COLUMNS = ["query", "overlap", "recall@10: data folder", "recall@10: collection", "p50 / p99: data folder", "p50 / p99: collection"]


def milvus_processes():
    """The ids of the processes of Milvus in this network namespace; empty for milvus-lite."""
    sys.path.insert(0, str(ROOT / "tests/milvus"))
    import kills

    return kills.milvus_processes()


def resident_bytes():
    pages = [int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in milvus_processes()]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def is_idle(seconds):
    """Whether Milvus uses less than half a core during this time."""

    def ticks():
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split() for pid in milvus_processes()]
        return sum(int(field[11]) + int(field[12]) for field in fields)

    before = ticks()
    time.sleep(seconds)
    return ticks() - before < seconds / 2 * os.sysconf("SC_CLK_TCK")


def folder_sizes():
    """The number of bytes in each folder of Milvus's data, by the name of the folder."""
    folders = sorted(folder for folder in pathlib.Path(os.environ["DATA"]).glob("data/*") if folder.is_dir())
    return {folder.name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in folders}


def overlap(hits, reference):
    """The share of the hits that are in the reference, or have at least the score of the last hit in the reference."""
    ids, min_score = {hit["paper"]["id"] for hit in reference}, reference[-1]["score"] - 1e-4
    return sum(hit["paper"]["id"] in ids or hit["score"] >= min_score for hit in hits) / len(hits)


def p50_and_p99(times):
    times = sorted(times)
    return f"{statistics.median(times):,.1f} / {times[int(0.99 * (len(times) - 1))]:,.1f} ms"


def copy(options, data, index):
    """Copies the data folder to the collection. Returns the start time, and a sentence about the copy."""
    started = time.monotonic()
    printed = program.run(options.likewise, "copy", "--from", data, "--to", index).strip()
    return started, f"The copy took {time.monotonic() - started:.0f} s ({printed})"


def compare(kind, parameters, papers, folder, collection):
    """Sends the same queries to the servers of the data folder and of the collection. Returns a row of the table."""
    servers = [folder, collection]
    shared, recalls, times = [], {server: [] for server in servers}, {server: [] for server in servers}
    for paper in papers:
        hits, query = {}, {"k": 10, **({"text": paper["title"]} if kind == BY_TITLE else {"like": [paper["id"]]}), **parameters}
        for server in servers:
            milliseconds, response = server.search(**query)
            hits[server] = response["hits"]
            times[server].append(milliseconds)
        if hits[folder]:
            exact = folder.search(**{**query, "exact": True})[1]["hits"]
            shared.append(overlap(hits[collection], hits[folder]) if hits[collection] else 0)
            for server in servers:
                recalls[server].append(overlap(hits[server], exact) if hits[server] else 0)
    mean = statistics.mean
    row = [kind, f"{mean(shared):.4f}", *(f"{mean(recalls[server]):.4f}" for server in servers), *(p50_and_p99(times[server]) for server in servers)]
    print(" | ".join(row), flush=True)
    return row


def measure(options, data):
    """The text of the results."""
    index = f"{MILVUS}/bench"
    memory_before, sizes_before = resident_bytes(), folder_sizes()
    started, sentence = copy(options, data, index)
    with program.Server(options.likewise, "--index", index) as collection, program.Server(options.likewise, "--data", data) as folder:

        def are_indexed():
            stats = collection.request("/v1/stats")[1]
            return stats["index"]["waiting"] == 0 and stats["index"]["indexed"] >= stats["papers"]

        collection.wait("index all papers", are_indexed, 900)
        sentence += f". All papers were indexed after {time.monotonic() - started:.0f} s"
        # Milvus then merges small segments, which must not slow down the queries.
        collection.wait("become idle", lambda: is_idle(options.idle), 600)
        sentence += f", and Milvus was idle after {time.monotonic() - started:.0f} s."
        newest = folder.papers(NEWEST)
        papers = random.Random(7).sample(newest, min(options.queries, len(newest)))
        rows = [compare(kind, parameters, papers[:20] if kind == EXACT else papers, folder, collection) for kind, parameters in KINDS.items()]
        count = collection.request("/v1/stats")[1]["papers"]
    growth = {name: (size - sizes_before.get(name, 0)) / 1e6 for name, size in folder_sizes().items()}
    on_disk = ", ".join(f"{name} {size:,.0f} MB" for name, size in growth.items()) or "unknown"
    sentence += f" Milvus's resident memory grew by {(resident_bytes() - memory_before) / 1e6:,.0f} MB, its files by: {on_disk}."
    head = (
        f"{results.today()}, {results.machine()}, shared by the client, both servers and Milvus; {count:,} papers, {len(papers)} queries "
        f"of each kind (at most 20 exact ones), over HTTP, one at a time, interleaved. {program.version(options.likewise)}; {milvus_version()}."
    )
    return "\n\n".join([head, results.table(COLUMNS, rows), sentence])


def milvus_version():
    """The version of Milvus that pip reports in the virtual environment of scripts/with-milvus."""
    listed = subprocess.run([f"{os.environ['VENV']}/bin/pip", "freeze"], capture_output=True, text=True, cwd=ROOT).stdout
    package = "milvus==" if milvus_processes() else "milvus-lite=="
    return next((line.replace("==", " ") for line in listed.splitlines() if line.startswith(package)), "Milvus of unknown version")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--data", help="a data folder; a tiny run makes its own")
    arguments.add_argument("--queries", type=int, default=300, help="number of queries of each kind")
    arguments.add_argument("--idle", type=float, default=10, help="seconds for which Milvus must be idle before the queries")
    options = parse(arguments, queries=5, idle=0.5)
    if not MILVUS:
        if not options.tiny:
            arguments.error("LIKEWISE_TEST_MILVUS must have the URL of a server; scripts/with-milvus sets it")
        print("skipped: Milvus, which is not running; scripts/with-milvus starts it")
        return
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data or f"{scratch}/data"
        if not options.data:
            program.run(options.likewise, "ingest", SAMPLE, "--data", data)
        text = measure(options, data)
    results.report(options, "milvus", "A Milvus collection compared with a data folder", "make bench-milvus", "milvus.py", text)


if __name__ == "__main__":
    main()
