"""The same papers in a data folder and in a Milvus collection, asked the same questions: same answers, and how fast?

    make bench-milvus DATA=FOLDER       # writes benches/results/milvus.md
    scripts/with-milvus python3 -B benches/milvus.py --data FOLDER

Corpus: the papers of --data, copied into a collection without being encoded again. Questions: papers of it, by id, and
their titles as texts, ten answers each, interleaved, one at a time over HTTP; with a filter by date, too. Recall is
that against the data folder's own comparison with all papers; overlap is the share of the data folder's answer that the
collection's has, too.

Fair: one machine, one client, the same program in front of both; both have the same vectors, so titles count in both
alike. Hits are compared by scores, so that papers of one text may stand for each other. Not fair to Milvus: it is made
for many machines, and here all of its parts share the cores with client and server; 2.3.5 is of January 2024.

`--tiny` takes the sample's 120 papers, and a few questions of each kind. It runs beside milvus-lite, too
(`scripts/with-milvus --lite`); without either it says so and checks nothing.
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

ENGINE = os.environ.get("LIKEWISE_TEST_MILVUS")
LISTED = 20_000
KINDS = {
    "a paper, 10 hits": {},
    "a title, encoded first": {},
    "a paper, from 2022 on": {"filter": {"published": {"from": "2022"}}},
    "a paper, 100 hits": {"k": 100},
    "a paper, exact": {"exact": True},
}
BY_TITLE, EXACT = "a title, encoded first", "a paper, exact"
COLUMNS = ["question", "overlap", "recall@10: data folder", "recall@10: collection", "p50 / p99: data folder", "p50 / p99: collection"]


def engine_processes():
    """Milvus and its wrapper, in this network namespace; none of milvus-lite."""
    sys.path.insert(0, str(ROOT / "tests/milvus"))
    import kills

    return kills.engine_processes()


def resident():
    pages = [int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in engine_processes()]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def is_at_rest(seconds):
    """Whether the engine takes less than half a core for so long."""

    def ticks():
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split() for pid in engine_processes()]
        return sum(int(field[11]) + int(field[12]) for field in fields)

    before = ticks()
    time.sleep(seconds)
    return ticks() - before < seconds / 2 * os.sysconf("SC_CLK_TCK")


def stored():
    """Bytes in each folder of the engine's data."""
    folders = sorted(folder for folder in pathlib.Path(os.environ["DATA"]).glob("data/*") if folder.is_dir())
    return {folder.name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in folders}


def overlap(one, other):
    """The share of one's hits that are the other's, or as near as its last."""
    ids, least = {hit["paper"]["id"] for hit in other}, other[-1]["score"] - 1e-4
    return sum(hit["paper"]["id"] in ids or hit["score"] >= least for hit in one) / len(one)


def told(times):
    times = sorted(times)
    return f"{statistics.median(times):,.1f} / {times[int(0.99 * (len(times) - 1))]:,.1f} ms"


def copied(options, data, index):
    """A sentence on how long copying took."""
    started = time.monotonic()
    said = program.run(options.likewise, "copy", "--from", data, "--to", index).strip()
    return started, f"Copied in {time.monotonic() - started:.0f} s ({said})"


def asked(kind, more, papers, here, there):
    """A row of the table: the same questions to both."""
    shared, recalls, times = [], {here: [], there: []}, {here: [], there: []}
    for paper in papers:
        hits, question = {}, {"k": 10, **({"text": paper["title"]} if kind == BY_TITLE else {"like": [paper["id"]]}), **more}
        for server in [here, there]:
            took, answer = server.search(**question)
            hits[server] = answer["hits"]
            times[server].append(took)
        if hits[here]:
            nearest = here.search(**{**question, "exact": True})[1]["hits"]
            shared.append(overlap(hits[there], hits[here]) if hits[there] else 0)
            for server in [here, there]:
                recalls[server].append(overlap(hits[server], nearest) if hits[server] else 0)
    mean = statistics.mean
    row = [kind, f"{mean(shared):.4f}", *(f"{mean(recalls[server]):.4f}" for server in [here, there]), *(told(times[server]) for server in [here, there])]
    print(" | ".join(row), flush=True)
    return row


def measured(options, data):
    index = f"{ENGINE}/bench"
    memory, disk = resident(), stored()
    started, sentence = copied(options, data, index)
    with program.Server(options.likewise, "--index", index) as there, program.Server(options.likewise, "--data", data) as here:

        def are_indexed():
            stats = there.ask("/v1/stats")[1]
            return stats["index"]["waiting"] == 0 and stats["index"]["indexed"] >= stats["papers"]

        there.wait("index all papers", are_indexed, 900)
        sentence += f", all in the index after {time.monotonic() - started:.0f} s"
        # Then the engine merges small segments, which is no part of a question.
        there.wait("come to rest", lambda: is_at_rest(options.rest), 600)
        sentence += f", the engine at rest after {time.monotonic() - started:.0f} s."
        listed = here.papers(LISTED)
        papers = random.Random(7).sample(listed, min(options.questions, len(listed)))
        rows = [asked(kind, more, papers[:20] if kind == EXACT else papers, here, there) for kind, more in KINDS.items()]
        count = there.ask("/v1/stats")[1]["papers"]
    grown = {folder: (size - disk.get(folder, 0)) / 1e6 for folder, size in stored().items()}
    on_disk = ", ".join(f"{folder} {size:,.0f} MB" for folder, size in grown.items()) or "nothing that it says"
    sentence += f" The engine's resident memory grew by {(resident() - memory) / 1e6:,.0f} MB, its files by: {on_disk}."
    head = (
        f"{results.today()}, {results.machine()}, which client, both servers and the engine share; {count:,} papers, {len(papers)} questions "
        f"of each kind (20 exact ones at most), over HTTP, one at a time, interleaved. {program.version(options.likewise)}; {engine_name()}."
    )
    return "\n\n".join([head, results.table(COLUMNS, rows), sentence])


def engine_name():
    """As pip installed it; scripts/with-milvus names the folder."""
    listed = subprocess.run([f"{os.environ['VENV']}/bin/pip", "freeze"], capture_output=True, text=True, cwd=ROOT).stdout
    package = "milvus==" if engine_processes() else "milvus-lite=="
    return next((line.replace("==", " ") for line in listed.splitlines() if line.startswith(package)), "an engine of unknown version")


def main():
    made = parser(__doc__)
    made.add_argument("--data", help="a data folder; a tiny run makes its own")
    made.add_argument("--questions", type=int, default=300)
    made.add_argument("--rest", type=float, default=10, help="seconds for which the engine must do little")
    options = parse(made, questions=5, rest=0.5)
    if not ENGINE:
        if not options.tiny:
            made.error("LIKEWISE_TEST_MILVUS names no server; run it by scripts/with-milvus")
        print("skipped: Milvus, which is not here; scripts/with-milvus starts it")
        return
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data or f"{scratch}/data"
        if not options.data:
            program.run(options.likewise, "ingest", SAMPLE, "--data", data)
        text = measured(options, data)
    results.report(options, "milvus", "A Milvus collection beside the data folder", "make bench-milvus", "milvus.py", text)


if __name__ == "__main__":
    main()
