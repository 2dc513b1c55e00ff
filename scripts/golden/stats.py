#!/usr/bin/env python3
"""Writes the reference values the statistics are tested against, as computed by scipy and statsmodels.

    python scripts/golden/stats.py crates/stats/tests/golden.json

Needs `numpy`, `scipy` and `statsmodels`; their versions are in the file. Every input is in the file too. Where no library
has the method (the hierarchical bootstrap, two-sided exchange of unequal samples by distance from 0), the value is
computed here in the plainest way, from the definition.
"""

import itertools
import json
import pathlib
import platform
import sys

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

FORMAT_VERSION = 1

FEW = [0.52, 0.61, 0.48, 0.55, 0.593]
OTHERS = [0.11, 0.09, 0.3, 0.127, 0.104]
CLOSE = [0.103, 0.098, 0.1, 0.105, 0.099, 0.101, 0.097, 0.104]
CLOSE_OTHERS = [0.101, 0.099, 0.102, 0.1, 0.098, 0.103, 0.1, 0.1]
NEGATIVE = [-3.25, 1.5, 0.125, -2.0, -0.75, 4.5, -6.0]
LARGE = [1e6 + 0.25, 1e6 - 0.5, 1e6 + 3.0]
TIED = [1.0, 1.0, -1.0, 2.0, 0.0, 2.0]
SAMPLES = {"few": FEW, "others": OTHERS, "close": CLOSE, "negative": NEGATIVE, "large": LARGE, "tied": TIED}
LEVELS = [0.5, 0.9, 0.95, 0.99]


class Draws:
    """Numbers below a bound from a 64-bit linear congruential generator, which the test repeats."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound


def scalar(value):
    """Returns the number in a numpy scalar or an array of one element."""
    return np.asarray(value).item()


def means():
    for name, values in SAMPLES.items():
        mean, sem, n = np.mean(values), stats.sem(values), len(values)
        sd0 = np.std(values, ddof=0)
        for level in LEVELS:
            lo, hi = stats.t.interval(level, n - 1, loc=mean, scale=sem)
            yield {"sample": name, "values": values, "level": level, "mean": mean, "sd": np.std(values, ddof=1),
                   "lo": lo, "hi": hi, "published_lo": mean - 1.96 * sd0 / np.sqrt(n),
                   "published_hi": mean + 1.96 * sd0 / np.sqrt(n), "published_sd": sd0}


def wilson():
    for successes, trials in [(0, 1), (1, 1), (0, 20), (20, 20), (3, 20), (10, 20), (997, 1000), (12345, 1000000)]:
        for level in LEVELS:
            lo, hi = proportion_confint(successes, trials, alpha=1 - level, method="wilson")
            yield {"successes": successes, "trials": trials, "level": level, "lo": lo, "hi": hi}


def t_tests():
    pairs = [(FEW, OTHERS), (CLOSE, CLOSE_OTHERS), (NEGATIVE, TIED + [0.5]), (LARGE, [1e6, 1e6 + 1.0, 1e6 + 2.5])]
    for a, b in pairs:
        for level in LEVELS:
            yield case("paired", a, b, level, stats.ttest_rel(a, b))
    for a, b in pairs + [(FEW, NEGATIVE), (CLOSE, FEW), (TIED, [2.0, 2.0])]:
        for level in LEVELS:
            yield case("welch", a, b, level, stats.ttest_ind(a, b, equal_var=False))


def case(test, a, b, level, found):
    interval = found.confidence_interval(level)
    return {"test": test, "a": a, "b": b, "level": level, "statistic": found.statistic, "df": found.df,
            "p": found.pvalue, "lo": interval.low, "hi": interval.high}


def equivalence():
    close = [a - b for a, b in zip(CLOSE, CLOSE_OTHERS)]
    for values in [close, FEW, NEGATIVE, TIED, [0.001, 0.002]]:
        for delta in [0.001, 0.02, 1.0, 5.0]:
            for alpha in [0.01, 0.05]:
                described = DescrStatsW(values)
                p, (_, p_lower, _), (_, p_upper, _) = described.ttost_mean(-delta, delta)
                lo, hi = described.tconfint_mean(alpha=2 * alpha)
                yield {"values": values, "delta": delta, "alpha": alpha, "p": p, "p_lower": p_lower,
                       "p_upper": p_upper, "lo": lo, "hi": hi}


def adjusted():
    for values in [[0.01], [0.01, 0.02, 0.03, 0.04, 0.05], [0.9, 0.001, 0.04, 0.04, 0.5, 1.0, 0.0], [0.2] * 4,
                   [1e-300, 0.3, 0.7]]:
        yield {"p": values, "adjusted": stats.false_discovery_control(values, method="bh").tolist()}


def sign_flips():
    for values in [[0.5, 0.25], FEW, NEGATIVE, TIED, [0.0, 0.0, 0.0], [0.1, -0.2, 0.3, 0.05, 0.2, -0.1, 0.4, 0.15, 0.25, 0.1]]:
        found = {}
        for name, alternative in [("two_sided", "two-sided"), ("greater", "greater"), ("less", "less")]:
            found[name] = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf,
                                                 alternative=alternative, vectorized=False).pvalue
        yield {"values": values, "relabellings": 2 ** len(values), **found}


def exchanges():
    for a, b in [(FEW, OTHERS), (NEGATIVE, TIED), ([1.0, 0.5], [2.0, 4.0]), ([1.0, 2.0], [1.0, 2.0, 3.0, 7.0]), (TIED, [1.0] * 3)]:
        def difference(x, y):
            return np.mean(x) - np.mean(y)
        found = {}
        for name in ["greater", "less"]:
            found[name] = stats.permutation_test((a, b), difference, permutation_type="independent",
                                                 n_resamples=np.inf, alternative=name, vectorized=False).pvalue
        pool, observed = a + b, abs(difference(a, b))
        extreme = total = 0
        for chosen in itertools.combinations(range(len(pool)), len(a)):
            first = [pool[i] for i in chosen]
            second = [pool[i] for i in range(len(pool)) if i not in chosen]
            extreme += abs(difference(first, second)) >= observed - 1e-12
            total += 1
        yield {"a": a, "b": b, "relabellings": total, "two_sided": extreme / total, **found}


def bootstrap():
    nested = [[0.1, 0.4, 0.35], [0.8, 0.75], [0.5, 0.55, 0.6, 0.2], [0.45, 0.5, 0.5]]
    for seeds, seed in [(nested, 7), ([[value] for value in FEW], 11)]:
        for level in LEVELS:
            draws, resamples = Draws(seed), []
            for _ in range(2000):
                picked = []
                for _ in seeds:
                    questions = seeds[draws.below(len(seeds))]
                    picked.append(np.mean([questions[draws.below(len(questions))] for _ in questions]))
                resamples.append(np.mean(picked))
            lo, hi = np.quantile(resamples, [(1 - level) / 2, 1 - (1 - level) / 2])
            flat = all(len(questions) == 1 for questions in seeds)
            yield {"seeds": seeds, "seed": seed, "draws": 2000, "level": level, "lo": lo, "hi": hi,
                   "mean": np.mean([np.mean(questions) for questions in seeds]),
                   "scipy": scipy_bootstrap(seeds, level) if flat else None}


def scipy_bootstrap(seeds, level):
    found = stats.bootstrap(([questions[0] for questions in seeds],), np.mean, n_resamples=200_000,
                            confidence_level=level, method="percentile", rng=np.random.default_rng(1))
    return [found.confidence_interval.low, found.confidence_interval.high]


def noncentral():
    for df in [1, 2, 4, 9, 24, 99, 1000, 100000]:
        for delta in [-3.0, 0.0, 0.5, 2.8, 10.0, 35.0]:
            for t in [-4.0, 0.0, 1.0, 2.5, 12.7, 40.0]:
                cdf, sf = stats.nct.cdf(t, df, delta), stats.nct.sf(t, df, delta)
                # Far in a tail scipy gives NaN for some arguments; nothing is compared there.
                if np.isfinite(cdf) and np.isfinite(sf):
                    yield {"t": t, "df": df, "delta": delta, "cdf": cdf, "sf": sf}


def power_of(effect, n, alpha):
    """Returns statsmodels' power; where it is NaN, because scipy's lower tail is, that tail counts as 0."""
    found = scalar(TTestPower().power(effect, n, alpha))
    if np.isfinite(found):
        return found
    delta = effect * np.sqrt(n)
    # What is left out, P(T < -c), is below P(Z < -delta), far below the tolerance of the test.
    assert stats.norm.cdf(-delta) < 1e-12, (effect, n, alpha)
    return stats.nct.sf(stats.t.isf(alpha / 2, n - 1), n - 1, delta)


def power():
    for n in [2, 3, 5, 10, 25, 100, 1000]:
        for alpha in [0.01, 0.05, 0.1]:
            for wanted in [0.5, 0.8, 0.95]:
                # Not statsmodels' solve_power, which a NaN on its way leads to a wrong root (n = 2, alpha = 0.01).
                effect = optimize.brentq(lambda effect: power_of(effect, n, alpha) - wanted, 1e-6, 600 / n, xtol=1e-14)
                yield {"n": n, "alpha": alpha, "power": wanted, "effect": effect, "at_half": power_of(0.5, n, alpha)}


def sizes():
    for effect in [0.05, 0.2, 0.5, 1.0, 1.7, 3.0]:
        for alpha in [0.01, 0.05]:
            for wanted in [0.8, 0.95]:
                # The smallest whole number by the definition: statsmodels solves for a real one.
                n = next(n for n in itertools.count(2) if power_of(effect, n, alpha) >= wanted)
                yield {"effect": effect, "alpha": alpha, "power": wanted, "n": n}


def tails():
    for df in [1, 2, 4.5, 24, 999, 1e5, 1e6]:
        for t in [0.0, 1e-3, 0.7, 2.0, 6.0, 31.0]:
            yield {"df": df, "t": t, "sf": stats.t.sf(t, df)}


def quantiles():
    for df in [1, 2, 4.5, 24, 999, 1e5, 1e6]:
        for tail in [0.4, 0.05, 0.025, 0.005, 1e-6]:
            yield {"df": df, "tail": tail, "t": stats.t.isf(tail, df)}


def tables():
    for table in [[[10, 20, 30], [6, 9, 17]], [[12, 5], [3, 14]], [[7, 0, 2, 41], [6, 3, 2, 30], [9, 1, 8, 12]],
                  [[100, 200], [10, 20]], [[4000, 3000, 2000, 1000], [1000, 2000, 3000, 4000]],
                  [[i % 17 + 1 for i in range(600)], [i % 13 + 1 for i in range(600)]]]:
        found = stats.chi2_contingency(table, correction=False)
        association = stats.contingency.association(table, method="cramer", correction=False)
        yield {"table": table, "statistic": found.statistic, "df": found.dof, "p": found.pvalue,
               "cramers_v": association, "smallest_expected": found.expected_freq.min()}


def main():
    golden = {
        "format": FORMAT_VERSION,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
                     "statsmodels": statsmodels.__version__},
    }
    for part in [means, wilson, t_tests, equivalence, adjusted, sign_flips, exchanges, bootstrap, noncentral, power,
                 sizes, tails, quantiles, tables]:
        golden[part.__name__] = list(part())
    parts = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, allow_nan=False, default=scalar) for row in value)
            parts.append(f"{json.dumps(key)}: [\n{rows}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    pathlib.Path(sys.argv[1]).write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
