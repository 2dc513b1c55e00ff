#!/usr/bin/env python3
"""Writes what blocks of every GGUF type that we read decode to, according to the `gguf` package.

    python scripts/golden/gguf_blocks.py

Needs scripts/bench/requirements.txt. Writes crates/lm/tests/golden/gguf-blocks.json: for each type the bytes of a few
blocks and the `f32` values, both as hexadecimal digits, little-endian. Bytes are drawn from SHA-256, so that every bit of
a block matters; scales are drawn as finite numbers. Two runs write the same bytes.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np

OUT = Path(__file__).parents[2] / "crates/lm/tests/golden/gguf-blocks.json"

# Type: (number of blocks, offsets of half-precision scales in a block).
TYPES = {
    "F32": (0, ()),
    "F16": (0, ()),
    "BF16": (0, ()),
    "Q4_0": (6, (0,)),
    "Q4_1": (6, (0, 2)),
    "Q5_0": (6, (0,)),
    "Q5_1": (6, (0, 2)),
    "Q8_0": (6, (0,)),
    "Q4_K": (2, (0, 2)),
    "Q5_K": (2, (0, 2)),
    "Q6_K": (2, (208,)),
}
# Plain types: every class of finite number, among them subnormal ones.
PLAIN = (0.0, -0.0, 1.0, -1.5, 3.140625, 65504.0, -6.103515625e-05, 5.9604644775390625e-08, 1e-30, 3e38)


def drawn(name, n_bytes):
    """Returns `n_bytes` bytes that depend on `name` alone."""
    blocks = (hashlib.sha256(f"{name}/{index}".encode()).digest() for index in range(n_bytes // 32 + 1))
    return np.frombuffer(b"".join(blocks)[:n_bytes], dtype=np.uint8).copy()


def quantised(name, n_blocks, scale_offsets):
    """Returns the bytes of drawn blocks with finite scales."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = drawn(name, n_blocks * block_bytes).reshape(n_blocks, block_bytes)
    for offset in scale_offsets:
        integers = drawn(f"{name}/scale/{offset}", 4 * n_blocks).view(np.int32)
        scales = (integers / 2**31).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.reshape(-1, 1).view(np.uint8)
    return blocks.reshape(-1)


def plain(name):
    """Returns the bytes of a few numbers."""
    values = np.array(PLAIN, dtype=np.float32)
    if name == "F16":
        values = values[np.abs(values) <= 65504].astype(np.float16)
    elif name == "BF16":
        return gguf.quantize(values, gguf.GGMLQuantizationType.BF16).reshape(-1)
    return values.view(np.uint8)


def main():
    """Writes the file."""
    types = {}
    for name, (n_blocks, scale_offsets) in TYPES.items():
        content = quantised(name, n_blocks, scale_offsets) if n_blocks else plain(name)
        values = gguf.dequantize(content, gguf.GGMLQuantizationType[name]).reshape(-1).astype("<f4")
        assert np.isfinite(values).all(), name
        types[name] = {"bytes": content.tobytes().hex(), "values": values.tobytes().hex()}
    document = {"made_by": "scripts/golden/gguf_blocks.py", "gguf": version("gguf"), "types": types}
    OUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
