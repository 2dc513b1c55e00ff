"""Prints the golden values of `src/digits.rs` from the embedded file, with the standard library alone.

Run: python3 crates/data/tests/golden/digits.py
"""

import csv
import gzip
import math
import pathlib

FILE = pathlib.Path(__file__).resolve().parents[2] / "assets" / "digits.csv.gz"

with gzip.open(FILE, "rt") as text:
    rows = [[int(field) for field in row] for row in csv.reader(text)]

for name, part in (("train", rows[:1437]), ("test", rows[1437:])):
    counts = [sum(row[64] == label for row in part) for label in range(10)]
    pixels = [pixel / 16 for row in part for pixel in row[:64]]
    mean = math.fsum(pixels) / len(pixels)
    variance = math.fsum((pixel - mean) ** 2 for pixel in pixels) / len(pixels)
    print(name, len(part), counts, repr(mean), repr(math.sqrt(variance)))
