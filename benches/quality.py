"""How good answers are, by judged sets, and what each part adds: titles, words, several examples; and what it takes.

Corpus: the sets of benches/judged.py, which says where they are from and what their biases are. What was chosen, was chosen on
the dev sets; the test sets are reported. Answers are asked for as readers ask, by the index, and not by comparing with every
paper. nDCG@10 and MRR are of ten hits; the others of a hundred, and in tracks-* of all of the pool. Intervals
are of 95 %, over queries; differences are to the first row of a set, p is of the paired randomisation test. A title counts 15 % beside
its text but in the first row; titles-* have none to count. Latency: over HTTP, one
question at a time, modes interleaved, papers of --data by id and their titles as texts, which are encoded before; fair
between modes, and no measure of anything else.

Run: make bench-quality DATA=FOLDER
"""

import argparse
import http.client
import itertools
import json
import pathlib
import random
import statistics
import subprocess
import sys
import time

from results import machine, table, today, write_section

ROOT = pathlib.Path(__file__).parents[1]
LIKEWISE = str(ROOT / "target/release/likewise")
MODES = ["semantic", "lexical", "hybrid"]
WAYS = ["mean", "best", "clusters"]
MEASURES = {10: ["nDCG@10", "MRR"], 100: ["MAP", "recall@100", "nDCG%20"]}
LIST_MEASURES = {10: ["nDCG@10"], 100: ["MAP", "recall@100"]}
PLAIN = "vectors of whole texts"
QUESTIONS = 300
NEWEST = 5000


def run_eval(folder, *options):
    return subprocess.run([LIKEWISE, "eval", str(folder), *map(str, options)], check=True, stdout=subprocess.PIPE, text=True).stdout


def evaluated(folder, kept):
    """The reports of `likewise eval`, whose papers are kept for the next time: of ten hits, as readers ask, and of a hundred."""
    for k, measures in MEASURES.items():
        asked, plain = ["--walk", "-k", k, "--measures", ",".join(measures)], kept / f"{PLAIN}.run"
        run_eval(folder, *asked, "--title", 0, "--mode", "semantic", "--data", kept / f"{folder.name}-plain", "--save-run", plain)
        yield json.loads(run_eval(folder, *asked, "--mode", ",".join(MODES), "--data", kept / folder.name, "--against", plain, "--json"))


def listed(folder, kept):
    """The same of reading lists, which are of the papers that keywords-* are of, in each way of taking several examples."""
    for k, measures in LIST_MEASURES.items():
        yield json.loads(run_eval(folder, "--walk", "-k", k, "--measures", ",".join(measures), "--mode", "hybrid", "--examples", ",".join(WAYS), "--data", kept / folder.name, "--json"))


def cells(system):
    """A cell a measure: the mean with its interval, and the difference to the first row."""
    for place, mean in enumerate(system["means"]):
        low, high = system["intervals"][place]
        cell = f"{mean:.4f} [{low:.4f}, {high:.4f}]"
        if compared := system.get("compared"):
            cell += f" {compared[place]['difference']:+.4f}, p {compared[place]['p']:.4f}"
        yield cell


def rows(reports):
    """A row a system."""
    for systems in zip(*(report["systems"] for report in reports)):
        yield [reports[0]["set"], systems[0]["name"].split(", ")[-1], *(cell for system in systems for cell in cells(system))]


def asked(connection, question):
    started = time.perf_counter()
    connection.request("POST", "/v1/search", json.dumps(question), {"content-type": "application/json"})
    response = connection.getresponse()
    body = json.loads(response.read())
    assert response.status == 200, body
    return 1000 * (time.perf_counter() - started)


def ready(address):
    """A connection to a server that answers."""
    for _ in range(600):
        connection = http.client.HTTPConnection(address)
        try:
            connection.request("GET", "/ready")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return connection
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{address}: not ready after a minute")


def latencies(data, address="127.0.0.1:8197"):
    """Milliseconds, p50 and p99, by kind of question and mode."""
    server = subprocess.Popen([LIKEWISE, "serve", "--data", data, "--listen", address], stderr=subprocess.DEVNULL)
    try:
        connection = ready(address)
        papers, cursor = [], ""
        while cursor is not None and len(papers) < NEWEST:
            connection.request("GET", f"/v1/papers?limit=100{cursor}")
            page = json.loads(connection.getresponse().read())
            papers += page["papers"]
            cursor = page["next"] and f"&cursor={page['next']}"
        chosen = random.Random(1).sample(papers, QUESTIONS)
        more = {"explained": {"explain": True}, "rescored": {"rescore": True}}
        ways = {**{mode: {"mode": mode} for mode in MODES}, **{f"hybrid, {way}": {"mode": "hybrid", **option} for way, option in more.items()}}
        times = {(kind, way): [] for kind in ["by id", "by title"] for way in ways}
        for place, paper in enumerate(chosen):
            for kind, like in [("by id", {"like": [paper["id"]]}), ("by title", {"text": paper["title"]})]:
                # Encoded once for all: what is asked here is what words, explaining and sentences add.
                asked(connection, like)
                names = list(ways)
                for way in names[place % len(ways) :] + names[: place % len(ways)]:
                    times[kind, way].append(asked(connection, {**like, **ways[way]}))
        told = lambda values: f"{statistics.median(values):.1f} / {sorted(values)[int(0.99 * (len(values) - 1))]:.1f}"  # noqa: E731
        return [[kind, way, told(values)] for (kind, way), values in times.items()]
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=pathlib.Path, default=ROOT / "data/judged")
    parser.add_argument("--data", help="a data folder whose questions are timed")
    parser.add_argument("--results", default=str(ROOT / "benches/RESULTS.md"))
    options = parser.parse_args()
    names = [f"{kind}-{side}" for side in ("dev", "test") for kind in ("keywords", "titles", "tracks")]
    reports = [list(evaluated(options.sets / name, options.sets / "kept")) for name in names]
    text = f"{today()}, {machine()}. `make bench-quality`; benches/quality.py says what is fair, benches/judged.py what is judged.\n\n"
    text += table(["set", "mode", *itertools.chain(*MEASURES.values())], [row for each in reports for row in rows(each)])
    lists = [list(listed(options.sets / f"lists-{side}", options.sets / "kept")) for side in ("dev", "test")]
    text += "\n\nReading lists of one to three subjects, 3 to 51 papers, as one question; hybrid:\n\n"
    text += table(["set", "examples by", *itertools.chain(*LIST_MEASURES.values())], [row for each in lists for row in rows(each)])
    text += "\n\nWhat scores mean (`likewise eval tracks-test asked-test --calibrate`: the curves that fit best, and how far those in use are from what was judged):\n\n"
    for name in ("tracks-test", "asked-test"):
        text += "    " + run_eval(options.sets / name, "--data", options.sets / "kept" / name, "--calibrate").strip().replace("\n", "\n    ") + "\n\n"
    if options.data:
        text += "\n\nLatency over HTTP, p50 / p99 in ms, ten answers:\n\n"
        text += table(["question", "mode", "ms"], latencies(options.data))
    print(text)
    write_section(options.results, "Quality", text)


if __name__ == "__main__":
    sys.exit(main())
