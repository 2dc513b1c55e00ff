#!/usr/bin/env python3
"""Writes what NumPy's default generator gives: crates/channel/tests/golden/numpy-pcg64.json.

    python scripts/golden/numpy_pcg64.py

Needs `numpy`; its version is in the file. Three parts: the first 64-bit words of some seeds; integers from ranges of every
width (one value, small, just below 2^32, exactly 2^32, beyond) in one sequence, so that buffered half words and whole words
mix; and the draws of number prompts in their published order. Two runs write the same bytes.
"""

import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parents[2] / "crates/channel/tests/golden/numpy-pcg64.json"

SEEDS = [0, 1, 42, 47, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1]
N_WORDS = 8
# Ends of ranges, in the order of drawing, gone through several times.
RANGES = [(0, 10), (3, 9), (100, 1000), (5, 6), (0, 2**31 + 1), (0, 2**32 - 1), (0, 2**32), (0, 2**32 + 1), (7, 2**40),
          (0, 19), (0, 3), (2**40, 2**63 - 1), (0, 2**33 * 3)]
N_ROUNDS = 12
# Lengths of the lists of wordings: example, qualifier, digits, instruction, format, closing.
LISTS = (25, 9, 9, 10, 15, 19)
# Prompts whose draws are written: the first, and two far ones, which hold only if none before took a draw too many.
PROMPTS = (0, 1, 2, 3, 999, 29_999)


def words(seed):
    generator = np.random.default_rng(seed)
    return {"seed": seed, "words": [str(word) for word in generator.bit_generator.random_raw(N_WORDS)]}


def integers(seed):
    generator = np.random.default_rng(seed)
    draws = [[str(low), str(high), str(generator.integers(low, high))] for _ in range(N_ROUNDS) for low, high in RANGES]
    return {"seed": seed, "draws": draws}


def prompts(seed):
    generator = np.random.default_rng(seed)
    drawn = []
    for index in range(max(PROMPTS) + 1):
        count = int(generator.integers(3, 9))
        values = [int(generator.integers(100, 1000)) for _ in range(count)]
        choice = [int(generator.integers(0, length)) for length in LISTS]
        if index in PROMPTS:
            drawn.append({"index": index, "values": values, "choice": choice})
    return {"seed": seed, "prompts": drawn}


def main():
    golden = {
        "format": 1,
        "versions": {"numpy": np.__version__},
        "words": [words(seed) for seed in SEEDS],
        "integers": [integers(seed) for seed in SEEDS],
        "prompts": [prompts(seed) for seed in (42, 47)],
    }
    parts = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row) for row in value)
            parts.append(f"{json.dumps(key)}: [\n{rows}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
