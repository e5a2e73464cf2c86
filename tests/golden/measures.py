"""Makes measures.json: random graded answers, and what trec_eval says of each.

Run once, in an environment with pytrec_eval (PyPI: pytrec-eval-terrier 0.5.11, which is trec_eval): python3 tests/golden/measures.py
"""

import json
import pathlib
import random

import pytrec_eval

NAMES = {"nDCG@10": "ndcg_cut_10", "nDCG@100": "ndcg_cut_100", "MAP": "map", "recall@10": "recall_10", "recall@100": "recall_100", "R-precision": "Rprec", "MRR": "recip_rank"}


def case(number):
    """A pool of 5 to 150 judged papers, some of them found, and some that nobody judged between them."""
    chance = random.Random(number)
    judged = {f"d{place}": chance.choice([0, 0, 0, 0, 1, 1, 2, 3]) for place in range(chance.randint(5, 150))}
    judged["d0"] = 3
    found = chance.sample(sorted(judged), chance.randint(1, len(judged))) + [f"u{place}" for place in range(chance.randint(0, 50))]
    chance.shuffle(found)
    relevant = chance.choice([1, 2])
    scores = {paper: 1000.0 - place for place, paper in enumerate(found)}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": judged}, set(NAMES.values()), relevance_level=relevant)
    values = evaluator.evaluate({"q": scores})["q"]
    return {
        "ranked": [judged.get(paper, 0) for paper in found],
        "judged": list(judged.values()),
        "relevant": relevant,
        "values": {name: values[theirs] for name, theirs in NAMES.items()},
    }


if __name__ == "__main__":
    cases = [case(number) for number in range(120)]
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
