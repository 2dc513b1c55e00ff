#!/usr/bin/env python3
"""Times llama.cpp's server on sampling: a peer that `cargo xtask bench lm` compares ours with.

    python scripts/bench/lm_peer_llama_cpp.py --model FILE.gguf --weights f16 --work-dir DIR
    python scripts/bench/lm_peer_llama_cpp.py --model FILE.gguf --weights as-is --serve

Needs `xllamacpp`, `gguf` and `numpy` of scripts/bench/requirements.txt. The server runs in this process, without HTTP,
with a slot for each row. One measurement sends all rows at once, each from its own thread: 64 distinct prompts of 30
tokens, 64 new tokens each at temperature 1 from the whole distribution, no stop token, no reuse of earlier prompts.

`--weights` other than `as-is` writes FILE's tensors, dequantised, in that type to the work folder first (once). The wheel
is built for AVX2: where the processor has AVX-512 or bf16, a build of llama.cpp for it is faster than this peer. What a
result has and how `--serve` works: lm_peer_protocol.py.
"""

import argparse
import pathlib
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import gguf
import numpy as np
import xllamacpp
from lm_peer_protocol import add_common, measurement, positive, serve

TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1"}
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}
PROMPT_TOKENS = 30


def converted(source, weights, folder):
    """Returns the path of the model with matrices of type `weights`, writing it if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{source.stem}.as-{weights}.gguf"
    if path.exists():
        return path
    reader = gguf.GGUFReader(source)
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        of = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], of)
    writer.add_file_type(FILE_TYPES[weights])
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        kind = gguf.GGMLQuantizationType[TYPES[weights] if values.ndim == 2 else "F32"]
        writer.add_tensor(tensor.name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)
    return path


class Server:
    """A server with its prompts; one measurement is all rows."""

    def __init__(self, args, path):
        self.args = args
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_parallel = args.rows
        # Every slot has its own part of the context.
        parameters.n_ctx = args.rows * (PROMPT_TOKENS + args.tokens + 2)
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = args.threads
        parameters.verbosity, parameters.fit_params, parameters.cache_ram_mib = -1, False, 0
        self.server = xllamacpp.Server(parameters)
        draws = random.Random(args.seed)
        # No special tokens of SmolLM2.
        self.prompts = [[draws.randrange(17, 49152) for _ in range(PROMPT_TOKENS)] for _ in range(args.rows)]
        self.threads = ThreadPoolExecutor(args.rows)
        self.sample(2)

    def sample(self, n_tokens):
        """Returns the number of tokens that all rows together got."""
        return sum(self.threads.map(self.complete, range(self.args.rows), [n_tokens] * self.args.rows))

    def complete(self, row, n_tokens):
        """Returns the number of tokens that a row got."""
        answer = self.server.handle_completions(
            {
                "prompt": self.prompts[row], "max_tokens": n_tokens, "seed": self.args.seed + row, "ignore_eos": True,
                "temperature": 1.0, "samplers": ["temperature"], "cache_prompt": False, "id_slot": row,
            }
        )  # fmt: skip
        if "usage" not in answer:
            raise SystemExit(f"lm_peer_llama_cpp: the server answered {answer}")
        return answer["usage"]["completion_tokens"]

    def run(self):
        """Samples all rows; returns tokens and what else there is to say."""
        tokens = self.sample(self.args.tokens)
        if tokens != self.args.rows * self.args.tokens:
            raise SystemExit(f"lm_peer_llama_cpp: {tokens} tokens were sampled")
        return tokens, {}


def parse_arguments():
    """The settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True, help="GGUF file")
    parser.add_argument("--weights", choices=("as-is", *TYPES), default="as-is")
    parser.add_argument("--work-dir", type=pathlib.Path, help="where converted models are kept")
    parser.add_argument("--rows", type=positive, default=64, help="requests at once")
    parser.add_argument("--tokens", type=positive, default=64, help="new ones of each row")
    add_common(parser)
    args = parser.parse_args()
    if args.weights != "as-is" and not args.work_dir:
        parser.error("--weights other than as-is need --work-dir")
    return args


def main():
    """Sets the server up, then measures it once or serves."""
    args = parse_arguments()
    path = args.model if args.weights == "as-is" else converted(args.model, args.weights, args.work_dir)
    versions = {"xllamacpp": xllamacpp.__version__, "system": xllamacpp.get_system_info().strip()}
    server = Server(args, path)
    who = {"task": "sample", "peer": "llama.cpp", "precision": args.weights}
    settings = {**vars(args), **versions}
    serve(args.serve, lambda: measurement(server.run, who, settings), versions)
    server.threads.shutdown()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
