"""Search quality on test collections, the contributions of titles, terms and several examples, and query latency.

    make bench-quality DATA=FOLDER      # writes benches/results/quality.md

Corpus: the sets of benches/judged.py, which describes their sources and biases. Choices were made on the dev sets; the
test sets are for reporting. Queries are answered by the graph index, as in normal use, not by exact search. nDCG@10 and
MRR are computed from ten hits, and the other metrics from a hundred hits (in tracks-*, from the whole pool). Intervals
are 95 % confidence intervals over queries. Differences are relative to the first row of a set, and p is the p-value of
the paired randomisation test. Latency is measured over HTTP, one query at a time, with interleaved modes. The queries
are papers of --data by id, and the titles of these papers as texts, which the server has already encoded.

Fair: no other program is measured, only variants of this program over the same papers. The first row of a set has
`--title 0`, so that its vectors come from the texts alone. In the other rows, the title has the default weight of 15 %;
the corpora of titles-* have no titles. The latencies of different modes are comparable only with each other.

`--tiny` makes the small sets of judged.py, and uses only the dev sets.
"""

import itertools
import json
import pathlib
import random
import statistics
import tempfile

import judged
import program
import results
from options import ROOT, SAMPLE, parse, parser

MODES = ["semantic", "lexical", "hybrid"]
AGGREGATIONS = ["mean", "best", "clusters"]
# Metrics by the number of hits from which they are computed.
METRICS = {10: ["nDCG@10", "MRR"], 100: ["MAP", "recall@100", "nDCG%20"]}
LIST_METRICS = {10: ["nDCG@10"], 100: ["MAP", "recall@100"]}
# The name of the first row.
NO_TITLE = "semantic with title weight 0"
# The query papers of the latencies are sampled from this many of the newest papers.
NEWEST = 5000
CALIBRATED = ("tracks", "asked")


class Evaluation:
    """Runs `likewise eval` on sets in a folder. The subfolder `kept` keeps the encoded papers for the next run."""

    def __init__(self, binary, sets):
        self.binary, self.sets, self.kept = binary, sets, sets / "kept"
        self.kept.mkdir(exist_ok=True)

    def run(self, name, *arguments, kept=None):
        return program.run(self.binary, "eval", self.sets / name, "--data", self.kept / (kept or name), *arguments)

    def modes(self, name):
        """The reports of all modes, for ten and for a hundred hits."""
        for k, metrics in METRICS.items():
            options, no_title = ["--hnsw", "-k", k, "--measures", ",".join(metrics)], self.kept / f"{NO_TITLE}.run"
            self.run(name, *options, "--title", 0, "--mode", "semantic", "--save-run", no_title, kept=f"{name}-plain")
            yield json.loads(self.run(name, *options, "--mode", ",".join(MODES), "--against", no_title, "--json"))

    def lists(self, name):
        """The reports of all aggregations of reading lists, for ten and for a hundred hits."""
        for k, metrics in LIST_METRICS.items():
            options = ["--hnsw", "-k", k, "--measures", ",".join(metrics), "--mode", "hybrid", "--aggregation", ",".join(AGGREGATIONS)]
            yield json.loads(self.run(name, *options, "--json"))

    def calibration(self, name):
        """The fitted calibration, indented."""
        return "    " + self.run(name, "--calibrate").strip().replace("\n", "\n    ")


def cells(system):
    """A cell per metric: the mean with its interval, and the difference to the first row."""
    for column, mean in enumerate(system["means"]):
        low, high = system["intervals"][column]
        cell = f"{mean:.4f} [{low:.4f}, {high:.4f}]"
        if compared := system.get("compared"):
            cell += f" {compared[column]['difference']:+.4f}, p {compared[column]['p']:.4f}"
        yield cell


def rows(reports):
    """A row per system."""
    reports = list(reports)
    for systems in zip(*(report["systems"] for report in reports)):
        yield [reports[0]["set"], systems[0]["name"].split(", ")[-1], *(cell for system in systems for cell in cells(system))]


def query_variants():
    """The parameters of the queries that are timed, by name."""
    options = {"explained": {"explain": True}, "reranked": {"rerank_sentences": True}}
    return {mode: {"mode": mode} for mode in MODES} | {f"hybrid, {name}": {"mode": "hybrid", **option} for name, option in options.items()}


def latencies(binary, data, count):
    """Rows with p50 and p99 in ms, by kind of query and variant."""
    variants = query_variants()
    times = {(kind, name): [] for kind in ["by id", "by title"] for name in variants}
    with program.Server(binary, "--data", data) as server:
        for index, paper in enumerate(random.Random(1).sample(server.papers(NEWEST), count)):
            for kind, query in [("by id", {"like": [paper["id"]]}), ("by title", {"text": paper["title"]})]:
                # The server encodes the text of this query and keeps the vector, so the times below exclude the
                # encoding.
                server.search(**query)
                names = list(variants)
                for name in names[index % len(variants) :] + names[: index % len(variants)]:
                    times[kind, name].append(server.search(**query, **variants[name])[0])
    p50_and_p99 = lambda values: f"{statistics.median(values):.1f} / {sorted(values)[int(0.99 * (len(values) - 1))]:.1f}"  # noqa: E731
    return [[kind, name, p50_and_p99(values)] for (kind, name), values in times.items()]


def measure(options, sets, data):
    """Yields the parts of the result."""
    evaluation = Evaluation(options.likewise, sets)
    last = options.parts[-1]
    names = [f"{kind}-{part}" for part in options.parts for kind in ("keywords", "titles", "tracks")]
    yield f"{results.today()}, {results.machine()}. {program.version(options.likewise)}; benches/judged.py describes the sets."
    yield results.table(["set", "mode", *itertools.chain(*METRICS.values())], [row for name in names for row in rows(evaluation.modes(name))])
    yield "Reading lists of 3 to 51 papers on one to three subjects, each as one hybrid query:"
    lists = [row for part in options.parts for row in rows(evaluation.lists(f"lists-{part}"))]
    yield results.table(["set", "aggregation", *itertools.chain(*LIST_METRICS.values())], lists)
    calibrated = [f"{kind}-{last}" for kind in CALIBRATED]
    yield (
        f"Calibration (`likewise eval {' '.join(calibrated)} --calibrate`): the best fits, and the expected calibration errors of the "
        "fits and of the calibration in use:"
    )
    yield from (evaluation.calibration(name) for name in calibrated)
    if data:
        yield "Latency over HTTP for ten hits, p50 / p99 in ms:"
        yield results.table(["query", "mode", "ms"], latencies(options.likewise, data, options.queries))


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--sets", type=pathlib.Path, help="the folder of the sets of benches/judged.py; by default data/judged, or small sets in a tiny run")
    arguments.add_argument("--parts", nargs="+", choices=["dev", "test"], default=["dev", "test"])
    arguments.add_argument("--data", help="a data folder to measure latencies with; a tiny run makes its own")
    arguments.add_argument("--queries", type=int, default=300, help="number of papers whose queries are timed")
    options = parse(arguments, parts=["dev"], queries=1)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        sets, data = options.sets or ROOT / "data/judged", options.data
        if options.tiny and not options.sets:
            sets = scratch / "judged"
            judged.make(list(judged.sample()), sets, judged.TINY)
        if options.tiny and not data:
            data = scratch / "data"
            program.run(options.likewise, "ingest", SAMPLE, "--data", data)
        text = "\n\n".join(measure(options, sets, data))
    results.report(options, "quality", "Quality", "make bench-quality", "quality.py", text)


if __name__ == "__main__":
    main()
