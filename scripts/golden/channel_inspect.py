#!/usr/bin/env python3
"""Writes what scikit-learn and SciPy find in small data: crates/channel/tests/golden/inspect.json.

    python scripts/golden/channel_inspect.py

Needs `numpy`, `scipy` and `scikit-learn`; their versions are in the file, and so is every input. `fits` are logistic
regressions with an L2 penalty and an intercept that is not penalised; `contrasts` are chi-square tests between two tables of
counts after rare labels were pooled, here in the plainest way.
"""

import json
import pathlib

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn.linear_model import LogisticRegression

OUT = pathlib.Path(__file__).parents[2] / "crates/channel/tests/golden/inspect.json"

MIN_EXPECTED = 5


class Draws:
    """Numbers below a bound from a 64-bit linear congruential generator: they depend on no library's generator."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound


def counts(seed, n_rows, n_columns, per_row):
    """Returns rows that count `per_row` draws of columns, like a bag of numbers."""
    draws = Draws(seed)
    rows = np.zeros((n_rows, n_columns))
    for row in rows:
        for _ in range(per_row):
            row[draws.below(n_columns)] += 1
    return rows


def fits():
    draws = Draws(7)
    bag = counts(1, 80, 15, 4)
    noisy = [bool((row[:3].sum() + draws.below(3)) > 1) for row in bag]
    few = [at < 7 for at in range(80)]
    separable = [bool(row[0] > 0) for row in bag]
    wide = counts(2, 30, 60, 5)
    alternating = [at % 2 == 0 for at in range(30)]
    for name, rows, labels, strengths in [
        ("noisy", bag, noisy, [0.01, 1.0, 30.0]),
        ("few of one class", bag, few, [1.0]),
        ("separable", bag, separable, [0.1, 10.0]),
        ("more columns than rows", wide, alternating, [0.5, 3.0]),
    ]:
        for l2 in strengths:
            model = LogisticRegression(C=1 / l2, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(rows, labels)
            yield {"name": f"{name}, l2 {l2}", "rows": rows.astype(int).tolist(), "labels": labels, "l2": l2,
                   "weights": model.coef_[0].tolist(), "intercept": model.intercept_[0],
                   "log_odds": model.decision_function(rows).tolist()}


def contrasts():
    for seed, n_labels, sizes, shift in [(3, 12, (400, 300), 0), (4, 40, (250, 250), 6), (5, 300, (9000, 5000), 40)]:
        draws = Draws(seed)
        tables = []
        for arm, size in enumerate(sizes):
            table = {}
            for _ in range(size):
                # The lower of two draws: labels differ in how frequent they are.
                label = str(min(draws.below(n_labels), draws.below(n_labels) + arm * shift))
                table[label] = table.get(label, 0) + 1
            tables.append(table)
        labels = sorted(set(tables[0]) | set(tables[1]))
        columns = sorted(([table.get(label, 0) for table in tables] for label in labels), key=lambda c: -sum(c))
        variation = sum(abs(a / sizes[0] - b / sizes[1]) for a, b in columns) / 2
        expected = lambda column: sum(column) * min(sizes) / sum(sizes)
        kept = [column for column in columns if expected(column) >= MIN_EXPECTED]
        pool = np.sum([column for column in columns if expected(column) < MIN_EXPECTED], axis=0)
        while np.any(pool) and expected(pool) < MIN_EXPECTED:
            pool = pool + kept.pop()
        table = np.array(kept + ([list(pool)] if np.any(pool) else [])).T
        found = stats.chi2_contingency(table, correction=False)
        assert found.expected_freq.min() >= MIN_EXPECTED
        yield {"treatment": sorted(tables[0].items()), "control": sorted(tables[1].items()),
               "statistic": found.statistic, "df": found.dof, "p": found.pvalue, "labels": len(kept),
               "pooled": len(columns) - len(kept), "total_variation": variation}


def main():
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
    parts = [f'"format": 1,\n"versions": {json.dumps(versions)}']
    for part in (fits, contrasts):
        rows = ",\n".join("  " + json.dumps(row, default=lambda value: np.asarray(value).item()) for row in part())
        parts.append(f'"{part.__name__}": [\n{rows}\n]')
    OUT.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
