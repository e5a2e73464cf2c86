"""How good answers are, by test collections, and what each part adds: titles, words, several examples; and what it takes.

    make bench-quality DATA=FOLDER      # writes benches/results/quality.md

Corpus: the sets of benches/judged.py, which says where they are from and what their biases are. What was chosen was chosen
on the dev sets; the test sets are reported. Questions are answered as for readers, by the index, and not by comparing
with every paper. nDCG@10 and MRR are of ten hits; the others of a hundred, and in tracks-* of all of the pool. Intervals
are of 95 %, over queries; differences are to the first row of a set, p is of the paired randomisation test. Latency: over
HTTP, one question at a time, modes interleaved, papers of --data by id and their titles as texts, which are encoded before.

Fair: no peer is measured, only ways of this program against each other, over the same papers. The first row of a set has
`--title 0`: its vectors are of whole texts, as a peer's would be. In the other rows a title counts 15 % beside its text, as by
default; titles-* have no titles in their corpus. Latencies are fair between modes, and no measure of anything else.

`--tiny` makes the small sets of judged.py, and takes the dev ones.
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
WAYS = ["mean", "best", "clusters"]
MEASURES = {10: ["nDCG@10", "MRR"], 100: ["MAP", "recall@100", "nDCG%20"]}
LIST_MEASURES = {10: ["nDCG@10"], 100: ["MAP", "recall@100"]}
PLAIN = "vectors of whole texts"
NEWEST = 5000
CALIBRATED = ("tracks", "asked")


class Evaluation:
    """`likewise eval` of sets in a folder; their papers are kept beside them for the next time."""

    def __init__(self, binary, sets):
        self.binary, self.sets, self.kept = binary, sets, sets / "kept"
        self.kept.mkdir(exist_ok=True)

    def run(self, name, *arguments, kept=None):
        return program.run(self.binary, "eval", self.sets / name, "--data", self.kept / (kept or name), *arguments)

    def modes(self, name):
        """The reports of ten hits, as readers ask, and of a hundred."""
        for k, measures in MEASURES.items():
            asked, plain = ["--walk", "-k", k, "--measures", ",".join(measures)], self.kept / f"{PLAIN}.run"
            self.run(name, *asked, "--title", 0, "--mode", "semantic", "--save-run", plain, kept=f"{name}-plain")
            yield json.loads(self.run(name, *asked, "--mode", ",".join(MODES), "--against", plain, "--json"))

    def lists(self, name):
        """The same of reading lists, in each way of taking several examples."""
        for k, measures in LIST_MEASURES.items():
            asked = ["--walk", "-k", k, "--measures", ",".join(measures), "--mode", "hybrid", "--examples", ",".join(WAYS)]
            yield json.loads(self.run(name, *asked, "--json"))

    def calibration(self, name):
        """The curves that fit best, indented."""
        return "    " + self.run(name, "--calibrate").strip().replace("\n", "\n    ")


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
    reports = list(reports)
    for systems in zip(*(report["systems"] for report in reports)):
        yield [reports[0]["set"], systems[0]["name"].split(", ")[-1], *(cell for system in systems for cell in cells(system))]


def questions():
    """The ways to ask that are timed."""
    more = {"explained": {"explain": True}, "rescored": {"rescore": True}}
    return {mode: {"mode": mode} for mode in MODES} | {f"hybrid, {way}": {"mode": "hybrid", **option} for way, option in more.items()}


def latencies(binary, data, count):
    """Milliseconds, p50 and p99, by kind of question and mode."""
    ways = questions()
    times = {(kind, way): [] for kind in ["by id", "by title"] for way in ways}
    with program.Server(binary, "--data", data) as server:
        for place, paper in enumerate(random.Random(1).sample(server.papers(NEWEST), count)):
            for kind, like in [("by id", {"like": [paper["id"]]}), ("by title", {"text": paper["title"]})]:
                # Encoded once for all ways: what words, explaining and sentences add is timed.
                server.search(**like)
                names = list(ways)
                for way in names[place % len(ways) :] + names[: place % len(ways)]:
                    times[kind, way].append(server.search(**like, **ways[way])[0])
    told = lambda values: f"{statistics.median(values):.1f} / {sorted(values)[int(0.99 * (len(values) - 1))]:.1f}"  # noqa: E731
    return [[kind, way, told(values)] for (kind, way), values in times.items()]


def measured(options, sets, data):
    """The parts of the result."""
    evaluation = Evaluation(options.likewise, sets)
    last = options.sides[-1]
    names = [f"{kind}-{side}" for side in options.sides for kind in ("keywords", "titles", "tracks")]
    yield f"{results.today()}, {results.machine()}. {program.version(options.likewise)}; benches/judged.py says what the sets are."
    yield results.table(["set", "mode", *itertools.chain(*MEASURES.values())], [row for name in names for row in rows(evaluation.modes(name))])
    yield "Reading lists of one to three subjects, 3 to 51 papers, as one question; hybrid:"
    lists = [row for side in options.sides for row in rows(evaluation.lists(f"lists-{side}"))]
    yield results.table(["set", "examples by", *itertools.chain(*LIST_MEASURES.values())], lists)
    calibrated = [f"{kind}-{last}" for kind in CALIBRATED]
    yield (
        f"What scores mean (`likewise eval {' '.join(calibrated)} --calibrate`: the curves that fit best, and how far those in use are "
        "from what was judged):"
    )
    yield from (evaluation.calibration(name) for name in calibrated)
    if data:
        yield "Latency over HTTP, p50 / p99 in ms, ten answers:"
        yield results.table(["question", "mode", "ms"], latencies(options.likewise, data, options.questions))


def main():
    made = parser(__doc__)
    made.add_argument("--sets", type=pathlib.Path, help="folder of benches/judged.py's sets; left out, data/judged, or in a tiny run small ones")
    made.add_argument("--sides", nargs="+", choices=["dev", "test"], default=["dev", "test"])
    made.add_argument("--data", help="a data folder whose questions are timed; a tiny run makes its own")
    made.add_argument("--questions", type=int, default=300)
    options = parse(made, sides=["dev"], questions=1)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        sets, data = options.sets or ROOT / "data/judged", options.data
        if options.tiny and not options.sets:
            sets = scratch / "judged"
            judged.make(list(judged.sample()), sets, judged.TINY)
        if options.tiny and not data:
            data = scratch / "data"
            program.run(options.likewise, "ingest", SAMPLE, "--data", data)
        text = "\n\n".join(measured(options, sets, data))
    results.report(options, "quality", "Quality", "make bench-quality", "quality.py", text)


if __name__ == "__main__":
    main()
