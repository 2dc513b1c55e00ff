#!/usr/bin/env python3
"""Times PyTorch on the published MLP experiment: the peer that `cargo xtask bench mlp` compares ours with.

    python scripts/bench/mlp_peer.py --phase teacher --variant batched --adam fused --json
    python scripts/bench/mlp_peer.py --phase distil --variant batched --adam fused --serve

One measurement trains an MLP 784-256-256-13 with Adam at 3e-4 on batches of 1024 of 60,000 images, with permutations,
gathers, losses and optimiser steps inside the timing, data creation and warm-up outside.

- `single` is one model of `nn.Linear` layers. `batched` holds all models in tensors `[models, out, in]` and runs them as
  batched products, as the published script does; but with `baddbmm` instead of `einsum` and a separate addition, and with
  gathers into one buffer instead of a stack of copies, which spares a pass over memory each.
- phase `teacher` is cross-entropy on logits 0..9 of one shared dataset; `distil` is KL on logits 10..12 on noise, other
  images for each model (4.7 GB for 25), with the teacher's logits computed in the loop.
- `--steps K` runs K steps instead of whole epochs and scales the time by the examples seen.

With `--serve` the process prints a line `{"event": "ready"}` when its data exist, then measures once for every line `go`
it reads and prints the result as a JSON line, until its input ends; so runs can alternate with another program's.

A result has: `seconds_per_model_epoch`, seconds to train one model for one epoch of 60,000 images; `gflop_per_s`, matrix
products only (a multiplication and an addition are 2 FLOP); `seconds`, `examples` (all models together), `loss` (nats,
last step: a check that training happened), and every setting. `cpu_seconds` well below `seconds` times `threads` means that
something else had the cores: threads that wait for each other lose up to a factor of ten then, so repeat on an idle machine.
"""

import argparse
import contextlib
import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (784, 256, 256, 13)
N_CLASSES = 10
N_IMAGES = 60_000
BATCH = 1024
LEARNING_RATE = 3e-4
WARM_UP_STEPS = 3


def flop_per_example(phase):
    """FLOP of the matrix products for one example: forward, weight gradients, and input gradients but the first layer's.

    The teacher phase takes 1,216,000; distillation adds the teacher's forward pass, 539,136.
    """
    layers = [2 * n_in * n_out for n_in, n_out in zip(WIDTHS, WIDTHS[1:])]
    training = 2 * sum(layers) + sum(layers[1:])
    return training + (sum(layers) if phase == "distil" else 0)


class BatchedLinear(nn.Module):
    """One linear layer of every model: `[models, batch, in]` to `[models, batch, out]`."""

    def __init__(self, n_models, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_models, n_out, n_in) / math.sqrt(n_in))
        self.bias = nn.Parameter(torch.zeros(n_models, 1, n_out))

    def forward(self, inputs):
        return torch.baddbmm(self.bias, inputs, self.weight.transpose(1, 2))


def network(variant, n_models):
    """The network, or all of them, with normal weights of sd 1/sqrt(fan-in) and zero biases."""
    layers = []
    for n_in, n_out in zip(WIDTHS, WIDTHS[1:]):
        if variant == "batched":
            layers.append(BatchedLinear(n_models, n_in, n_out))
        else:
            layer = nn.Linear(n_in, n_out)
            nn.init.normal_(layer.weight, 0.0, 1 / math.sqrt(n_in))
            nn.init.zeros_(layer.bias)
            layers.append(layer)
        layers.append(nn.ReLU())
    return nn.Sequential(*layers[:-1])


def images_for(phase, n_models):
    """Images in [-1, 1], `[models or 1, 60000, 784]`: about a fifth of the pixels inked, or uniform noise."""
    if phase == "distil":
        return torch.empty(n_models, N_IMAGES, WIDTHS[0]).uniform_(-1, 1)
    inked = torch.rand(1, N_IMAGES, WIDTHS[0])
    return torch.where(inked < 0.19, inked / 0.19, 0.0).mul_(2).sub_(1)


class Run:
    """One configuration with its data, its models and their optimiser, ready to be measured any number of times."""

    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        self.images = images_for(args.phase, args.models)
        self.labels = torch.randint(N_CLASSES, (N_IMAGES,))
        self.model = network(args.variant, args.models)
        self.teacher = network(args.variant, args.models) if args.phase == "distil" else None
        choice = {"plain": {"foreach": False, "fused": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, **choice[args.adam])
        self.inputs = torch.empty(args.models, BATCH, WIDTHS[0])
        self.batch_labels = torch.empty(args.models, BATCH, dtype=torch.long)
        self.train(WARM_UP_STEPS)

    def gather(self, permutations, at):
        """Copies the batch that starts at `at` of every model's permutation; the last one of an epoch is shorter."""
        rows = permutations[:, at : at + BATCH]
        inputs, labels = self.inputs[:, : rows.shape[1]], self.batch_labels[:, : rows.shape[1]]
        for model, indices in enumerate(rows):
            images = self.images[model if self.images.shape[0] > 1 else 0]
            torch.index_select(images, 0, indices, out=inputs[model])
            if self.teacher is None:
                torch.index_select(self.labels, 0, indices, out=labels[model])
        return (inputs, labels) if self.args.variant == "batched" else (inputs[0], labels[0])

    def loss(self, inputs, labels):
        """The phase's loss, with the scaling that the published script gives it."""
        if self.teacher is None:
            return F.cross_entropy(self.model(inputs)[..., :N_CLASSES].flatten(0, -2), labels.flatten())
        with torch.no_grad():
            target = F.softmax(self.teacher(inputs)[..., N_CLASSES:], -1)
        student = F.log_softmax(self.model(inputs)[..., N_CLASSES:], -1)
        return F.kl_div(student, target, reduction="batchmean")

    def train(self, n_steps):
        """Takes optimiser steps, drawing new permutations at each epoch; returns examples seen and the last loss."""
        examples, at, loss = 0, N_IMAGES, None
        autocast = torch.autocast("cpu", torch.bfloat16) if self.args.precision == "bf16" else contextlib.nullcontext()
        for _ in range(n_steps):
            if at >= N_IMAGES:
                permutations = torch.stack([torch.randperm(N_IMAGES) for _ in range(self.args.models)])
                at = 0
            inputs, labels = self.gather(permutations, at)
            at += BATCH
            self.optimiser.zero_grad(set_to_none=True)
            with autocast:
                loss = self.loss(inputs, labels)
            loss.backward()
            self.optimiser.step()
            examples += inputs.numel() // WIDTHS[0]
        return examples, loss.item()

    def measure(self):
        """Trains for the configured number of steps and returns the result as a dictionary."""
        args = self.args
        steps = args.steps or args.epochs * math.ceil(N_IMAGES / BATCH)
        start, cpu_start = time.perf_counter(), time.process_time()
        examples, loss = self.train(steps)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        if not math.isfinite(loss):
            raise SystemExit(f"mlp_peer: the loss is {loss} after {steps} steps: nothing was measured")
        return {
            "event": "measurement",
            "seconds_per_model_epoch": seconds * N_IMAGES / examples,
            "gflop_per_s": examples * flop_per_example(args.phase) / seconds / 1e9,
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "examples": examples,
            "steps": steps,
            "loss": loss,
            "flop_per_example": flop_per_example(args.phase),
            **{key: getattr(args, key) for key in ("phase", "variant", "adam", "precision", "models", "threads", "seed")},
            "torch": torch.__version__,
        }


def positive(text):
    """A positive integer argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def parse_arguments():
    """The settings; `single` has one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phase", choices=("teacher", "distil"), default="teacher")
    parser.add_argument("--variant", choices=("single", "batched"), default="batched")
    parser.add_argument("--adam", choices=("plain", "foreach", "fused"), default="fused")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16 is autocast, f32 weights")
    parser.add_argument("--models", type=positive, help="models of `batched` (default: 25)")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--epochs", type=positive, default=1, help="whole epochs in one measurement")
    parser.add_argument("--steps", type=positive, help="steps in one measurement, instead of epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print a JSON line instead of words")
    parser.add_argument("--serve", action="store_true", help="measure once for each line `go` on stdin")
    args = parser.parse_args()
    if args.variant == "single" and args.models not in (None, 1):
        parser.error("--variant single trains one model: leave out --models, or use --variant batched")
    args.models = 1 if args.variant == "single" else args.models or 25
    return args


def serve(run):
    """Answers every `go` on stdin with a measurement, until stdin ends."""
    print(json.dumps({"event": "ready", "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        if line.strip() != "go":
            raise SystemExit(f"mlp_peer: expected a line `go`, got {line.strip()!r}")
        print(json.dumps(run.measure()), flush=True)


def main():
    """Sets the run up, then measures it once or serves."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    run = Run(args)
    if args.serve:
        serve(run)
        return
    result = run.measure()
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{result['seconds_per_model_epoch']:.3f} s per model-epoch, {result['gflop_per_s']:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
