"""How the peers of `cargo xtask bench lm` are asked and what they answer.

With `--serve` a peer prints a line `{"event": "ready", ...}` when its model is loaded and warm, then measures once for every
line `go` it reads and prints the result as a JSON line, until its input ends; so runs can alternate with another program's.
Without it, it measures once.

A result has
- `task` (`train`, `sample`, `score`), `peer` (`peft`, `transformers`, `llama.cpp`), `precision` (`f32`, `bf16`, or the type
  of llama.cpp's weights), and in `settings` whatever else was chosen, with versions;
- `seconds`, `cpu_seconds` of all threads meanwhile; `cpu_seconds` well below `seconds` times `threads` means that
  something else had the cores;
- `loss`, except for `sample`: nats per token, before the last step of `train`, of what `score` scored;
- `tokens`: trained on (prompts too), newly sampled, or scored, all in all; `tokens_per_s`;
- `peak_bytes`: the largest resident memory during this measurement, weights and libraries included; `base_bytes`: what was
  resident before the model was loaded, which is interpreter and libraries.
"""

import argparse
import ctypes
import gc
import json
import pathlib
import resource
import sys
import time


def resident(field):
    """Returns a field of this process's status in bytes: `VmRSS`, or `VmHWM` for its peak."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"lm_peer: the system does not tell {field}")


# Libraries are imported before this module's functions are called, and the model is loaded after.
BASE_BYTES = resident("VmRSS")


def forget_peak():
    """Sets the peak of resident memory to what is resident now; returns whether the system allows it."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def release():
    """Gives back what loading left behind, so that it does not count as memory of the work."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def measurement(run, who, settings):
    """Times `run`, which returns a number of tokens and further fields; `who` is task, peer and precision."""
    per_run = forget_peak()
    start, cpu_start = time.perf_counter(), time.process_time()
    tokens, further = run()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = resident("VmHWM") if per_run else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "event": "measurement",
        **who,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens": tokens,
        "tokens_per_s": tokens / seconds,
        "peak_bytes": peak,
        "base_bytes": BASE_BYTES,
        **further,
        "settings": {key: str(value) if isinstance(value, pathlib.Path) else value for key, value in settings.items()},
    }


def serve(serving, measure, versions):
    """Measures once, or for every `go` on stdin until stdin ends."""
    release()
    if not serving:
        print(json.dumps(measure()), flush=True)
        return
    print(json.dumps({"event": "ready", **versions}), flush=True)
    for line in sys.stdin:
        if line.strip() != "go":
            raise SystemExit(f"lm_peer: expected a line `go`, got {line.strip()!r}")
        print(json.dumps(measure()), flush=True)


def positive(text):
    """A positive integer argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def add_common(parser):
    """Adds the arguments every peer has."""
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help="measure once for each line `go` on stdin")
