"""The same papers in a data folder and in a Milvus collection, asked the same questions: do both answer alike, and how fast?

Corpus: the papers of --data, copied into a collection without being encoded again. Questions: papers of it, by id, and
their titles as texts, ten answers each, interleaved, one at a time over HTTP; with a filter by date, too. Recall is that against the data folder's
own comparison with all; overlap, what the collection's answer shares with the data folder's. Fair: one machine, one client,
the same program in front of both; hits are counted by scores, so that papers of one text may stand for each other. Not
fair to Milvus: it is made for many machines, and here all that it consists of shares two cores with client and server;
2.3.5 is of January 2024. Run beside the server: scripts/with-milvus python3 -B benches/milvus.py --data FOLDER
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests/milvus"))
from kills import ENGINE, LIKEWISE, ROOT, Serving, ask, engine_processes, wait  # noqa: E402


def timed(server, question):
    started = time.perf_counter()
    status, answer = ask(server.address, "/v1/search", question)
    assert status == 200, answer
    return 1000 * (time.perf_counter() - started), answer["hits"]


def overlap(one, other):
    """The share of one's hits that are the other's, or as near as its last."""
    ids, least = {hit["paper"]["id"] for hit in other}, other[-1]["score"] - 1e-4
    return sum(hit["paper"]["id"] in ids or hit["score"] >= least for hit in one) / len(one)


def told(times):
    times = sorted(times)
    return f"{statistics.median(times):.1f} / {times[int(0.99 * (len(times) - 1))]:.1f} ms"


def resident(pids):
    pages = [int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def is_at_rest():
    """Whether the engine takes less than half a core for ten seconds."""
    def ticks():
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split() for pid in engine_processes()]
        return sum(int(field[11]) + int(field[12]) for field in fields)

    before = ticks()
    time.sleep(10)
    return ticks() - before < 5 * os.sysconf("SC_CLK_TCK")


def stored():
    """Bytes in each folder of the engine's data."""
    folders = sorted(pathlib.Path(os.environ["DATA"], "data").iterdir())
    return {folder.name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in folders}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--questions", type=int, default=300)
    options = parser.parse_args()
    index = f"{ENGINE}/bench"
    started, before = time.monotonic(), (resident(engine_processes()), stored())
    copied = subprocess.run([LIKEWISE, "copy", "--from", options.data, "--to", index], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True)
    print(f"copy: {copied.stdout.strip()}")
    there = Serving(index)
    here = Serving(None, "--data", options.data)
    for server in [there, here]:
        wait("a server is ready", server.is_ready)
    stats = lambda: ask(there.address, "/v1/stats")[1]  # noqa: E731
    wait("all are in the index", lambda: stats()["index"]["waiting"] == 0 and stats()["index"]["indexed"] >= stats()["papers"], 900)
    print(f"indexed {time.monotonic() - started:.0f} s after the copy began")
    # Then it puts small segments together, which is no part of a question.
    wait("the engine rests", is_at_rest, 600)
    print(f"at rest {time.monotonic() - started:.0f} s after the copy began", flush=True)
    count, generator = stats()["papers"], random.Random(7)
    listed = []
    cursor = ""
    while len(listed) < min(count, 20_000):
        page = ask(here.address, f"/v1/papers?limit=1000{cursor}")[1]
        listed += [(paper["id"], paper["title"]) for paper in page["papers"]]
        if not page.get("next"):
            break
        cursor = f"&cursor={page['next']}"
    asked = generator.sample(listed, min(options.questions, len(listed)))
    kinds = {
        "top 10": {},
        "a title": {},
        "from 2022": {"filter": {"published": {"from": "2022"}}},
        "top 100": {"k": 100},
        "exact": {"exact": True},
    }
    print("| question | overlap | recall: data folder, collection | p50 / p99: data folder | collection |\n|---|---|---|---|---|")
    for kind, more in kinds.items():
        shared, recalls, times = [], {here: [], there: []}, {here: [], there: []}
        for paper, title in asked[: 20 if kind == "exact" else None]:
            hits, question = {}, {"k": 10, **({"text": title} if kind == "a title" else {"like": [paper]}), **more}
            for server in [here, there]:
                took, hits[server] = timed(server, question)
                times[server].append(took)
            if hits[here]:
                nearest = ask(here.address, "/v1/search", {**question, "exact": True})[1]["hits"]
                shared.append(overlap(hits[there], hits[here]))
                for server in [here, there]:
                    recalls[server].append(overlap(hits[server], nearest))
        mean = statistics.mean
        print(f"| {kind} | {mean(shared):.4f} | {mean(recalls[here]):.4f}, {mean(recalls[there]):.4f} | {told(times[here])} | {told(times[there])} |", flush=True)
    memory, disk = resident(engine_processes()) - before[0], stored()
    grown = {folder: round((disk[folder] - before[1].get(folder, 0)) / 1e6) for folder in disk}
    print(json.dumps({"papers": count, "engine_resident_mb": round(memory / 1e6), "engine_disk_mb": grown}))
    for server in [there, here]:
        server.stop()


if __name__ == "__main__":
    main()
