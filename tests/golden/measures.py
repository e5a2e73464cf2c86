"""Writes measures.json: random rankings with graded judgements, and the metrics that trec_eval computes for these
rankings.

Run once, in an environment with pytrec_eval (pytrec-eval-terrier 0.5.11 on PyPI, which contains trec_eval):
python3 tests/golden/measures.py
"""

import json
import pathlib
import random

import pytrec_eval

NAMES = {"nDCG@10": "ndcg_cut_10", "nDCG@100": "ndcg_cut_100", "MAP": "map", "recall@10": "recall_10", "recall@100": "recall_100", "R-precision": "Rprec", "MRR": "recip_rank"}


def case(number):
    """Returns a random ranking and its metrics. 5 to 150 papers are judged. The ranking has some of the judged papers,
    mixed with up to 50 papers that are not judged."""
    generator = random.Random(number)
    judged = {f"d{index}": generator.choice([0, 0, 0, 0, 1, 1, 2, 3]) for index in range(generator.randint(5, 150))}
    judged["d0"] = 3
    found = generator.sample(sorted(judged), generator.randint(1, len(judged)))
    found += [f"u{index}" for index in range(generator.randint(0, 50))]
    generator.shuffle(found)
    relevant = generator.choice([1, 2])
    scores = {paper: 1000.0 - index for index, paper in enumerate(found)}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": judged}, set(NAMES.values()), relevance_level=relevant)
    values = evaluator.evaluate({"q": scores})["q"]
    return {
        "ranked": [judged.get(paper, 0) for paper in found],
        "judged": list(judged.values()),
        "relevant": relevant,
        "values": {name: values[trec_name] for name, trec_name in NAMES.items()},
    }


if __name__ == "__main__":
    cases = [case(number) for number in range(120)]
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
