#!/usr/bin/env python3
"""Writes the reference values the MLP engine is tested against, as computed by PyTorch.

    python scripts/golden/mlp_pytorch.py crates/mlp/tests/golden/pytorch.json

Needs only `torch` (see scripts/bench/requirements.txt). Two runs with one version on one machine write the same bytes;
elsewhere last digits may differ. The file fixes, for tiny networks
whose every input number is in the file: logits, losses, gradients, and weights after optimiser steps, each in float64 and
in float32; and the scaling of `reduction="batchmean"` on a tensor `[models, batch, logits]`.

Layout of flat parameters and gradients: layer by layer from the input, weights `[out, in]` row-major, then biases `[out]`
(if the network has them). Inputs, logits and targets are row-major `[batch, ...]`. Every input is a multiple of 1/256, so
that it is the same number in decimal, float32 and float64.
"""

import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F

FORMAT_VERSION = 1
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "sigmoid": torch.sigmoid}
PRECISIONS = {"f64": torch.float64, "f32": torch.float32}
STEPS_RECORDED = (1, 5)
# SGD learning rates are powers of two: the same number in decimal, float32 and float64.
OPTIMISERS = {
    "adam": {"learning_rate": 3e-4, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "sgd": {"learning_rate": 0.125, "momentum": 0.0},
    "sgd-momentum": {"learning_rate": 0.125, "momentum": 0.9},
}


class Draws:
    """Multiples of 1/256 from a 64-bit linear congruential generator: the inputs depend on no library's generator."""

    def __init__(self, seed):
        self.state = seed

    def values(self, n, low, high):
        """Returns n multiples of 1/256 in [low, high)."""
        out = []
        for _ in range(n):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            out.append((int(low * 256) + (self.state >> 33) % int((high - low) * 256)) / 256)
        return out

    def classes(self, n, n_classes):
        """Returns n class indices below n_classes."""
        return [int(value * 256) % n_classes for value in self.values(n, 0, 64)]


def n_parameters(widths, biases):
    """Number of parameters of a network with these widths."""
    return sum(i * o + (o if biases else 0) for i, o in zip(widths, widths[1:]))


def forward(flat, widths, activation, biases, inputs):
    """Logits `[batch, out]` of the network whose flat parameters are `flat`."""
    at, hidden = 0, inputs
    for layer, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        weights = flat[at : at + n_in * n_out].view(n_out, n_in)
        at += n_in * n_out
        bias = None
        if biases:
            bias = flat[at : at + n_out]
            at += n_out
        hidden = F.linear(hidden, weights, bias)
        if layer < len(widths) - 2:
            hidden = ACTIVATIONS[activation](hidden)
    return hidden


def loss_of(kind, logits, case):
    """The scalar loss `kind` of one model's logits `[batch, out]`."""
    start, end = kind["logits"]
    selected = logits[:, start:end]
    if kind["loss"] == "cross-entropy":
        return F.cross_entropy(selected, torch.tensor(case["labels"]))
    targets = torch.tensor(case["teacher_logits"], dtype=logits.dtype).view(logits.shape)[:, start:end]
    if kind["loss"] == "kl":
        return F.kl_div(F.log_softmax(selected, -1), F.softmax(targets, -1), reduction="batchmean")
    return F.mse_loss(selected, targets)


def gradient_case(kind, case, dtype):
    """Loss and flat gradient of one loss at the case's parameters."""
    flat = torch.tensor(case["parameters"], dtype=dtype, requires_grad=True)
    inputs = torch.tensor(case["inputs"], dtype=dtype).view(case["batch"], -1)
    logits = forward(flat, case["widths"], case["activation"], case["biases"], inputs)
    loss = loss_of(kind, logits, case)
    (gradient,) = torch.autograd.grad(loss, flat)
    return logits.flatten().tolist(), loss.item(), gradient.tolist()


def optimiser_for(name, flat):
    """The PyTorch optimiser `name`, with every setting stated."""
    settings = OPTIMISERS[name]
    if name == "adam":
        return torch.optim.Adam(
            [flat], lr=settings["learning_rate"], betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"],
            foreach=False,
        )
    return torch.optim.SGD([flat], lr=settings["learning_rate"], momentum=settings["momentum"], foreach=False)


def optimiser_case(name, kind, case, dtype):
    """Flat parameters after each number of full-batch steps in STEPS_RECORDED."""
    flat = torch.tensor(case["parameters"], dtype=dtype, requires_grad=True)
    inputs = torch.tensor(case["inputs"], dtype=dtype).view(case["batch"], -1)
    optimiser = optimiser_for(name, flat)
    recorded = {}
    for step in range(1, max(STEPS_RECORDED) + 1):
        optimiser.zero_grad()
        logits = forward(flat, case["widths"], case["activation"], case["biases"], inputs)
        loss_of(kind, logits, case).backward()
        optimiser.step()
        if step in STEPS_RECORDED:
            recorded[str(step)] = flat.detach().tolist()
    return recorded


def network_case(name, widths, activation, biases, seed, optimisers):
    """One network with all of its reference values."""
    draws, batch = Draws(seed), 4
    case = {
        "name": name, "widths": widths, "activation": activation, "biases": biases, "batch": batch,
        "parameters": draws.values(n_parameters(widths, biases), -0.75, 0.75),
        "inputs": draws.values(batch * widths[0], -1, 1),
        "labels": draws.classes(batch, 4),
        "teacher_logits": draws.values(batch * widths[-1], -2, 2),
    }
    case["losses"] = []
    for loss, logits_range in (("cross-entropy", [0, 4]), ("kl", [4, 6]), ("kl", [2, 5]), ("kl", [0, 6]), ("mse", [4, 6]), ("mse", [0, 6])):
        kind = {"loss": loss, "logits": logits_range}
        entry = dict(kind)
        for precision, dtype in PRECISIONS.items():
            logits, value, gradient = gradient_case(kind, case, dtype)
            case.setdefault("logits", {})[precision] = logits
            entry[precision] = {"loss": value, "gradient": gradient}
        case["losses"].append(entry)
    case["optimisers"] = [
        {
            "optimiser": optimiser, **kind,
            "parameters_after": {p: optimiser_case(optimiser, kind, case, dtype) for p, dtype in PRECISIONS.items()},
        }
        for optimiser in optimisers
        for kind in ({"loss": "cross-entropy", "logits": [0, 4]}, {"loss": "kl", "logits": [4, 6]})
    ]
    return case


def scaling_case(seed):
    """The same three models and batch of four under PyTorch's `batchmean` and under the per-example mean.

    `batchmean` on `[models, batch, logits]` divides the sum by `models`, the first dimension. Each model's gradient is
    therefore batch/models times the one of its per-example mean. Cross-entropy over the flattened `[models * batch]` rows
    divides by models * batch: each model's gradient is 1/models times the one of its per-example mean.
    """
    draws, n_models, batch, widths, logits_range = Draws(seed), 3, 4, [5, 4, 6], [3, 6]
    count = n_parameters(widths, True)
    case = {
        "models": n_models, "batch": batch, "widths": widths, "activation": "relu", "biases": True,
        "logits": logits_range, "class_logits": [0, 3],
        "parameters": [draws.values(count, -0.75, 0.75) for _ in range(n_models)],
        "inputs": [draws.values(batch * widths[0], -1, 1) for _ in range(n_models)],
        "teacher_logits": [draws.values(batch * widths[-1], -2, 2) for _ in range(n_models)],
        "labels": [draws.classes(batch, 3) for _ in range(n_models)],
    }
    start, end = logits_range
    for precision, dtype in PRECISIONS.items():
        flats = [torch.tensor(p, dtype=dtype, requires_grad=True) for p in case["parameters"]]
        inputs = [torch.tensor(x, dtype=dtype).view(batch, -1) for x in case["inputs"]]
        logits = torch.stack([forward(f, widths, "relu", True, x) for f, x in zip(flats, inputs)])
        teacher = torch.tensor(case["teacher_logits"], dtype=dtype).view(n_models, batch, -1)
        student_log, target = F.log_softmax(logits[..., start:end], -1), F.softmax(teacher[..., start:end], -1)
        losses = {
            "kl_batchmean": F.kl_div(student_log, target, reduction="batchmean"),
            # One mean per model, summed: the gradient of each model is that of its own mean over examples.
            "kl_per_example_mean": F.kl_div(student_log, target, reduction="none").sum(-1).mean(-1).sum(),
            "cross_entropy_over_all": F.cross_entropy(logits[..., 0:3].flatten(0, 1), torch.tensor(case["labels"]).flatten()),
        }
        case[precision] = {
            name: {
                "loss": loss.item(),
                "gradients": [g.tolist() for g in torch.autograd.grad(loss, flats, retain_graph=True)],
            }
            for name, loss in losses.items()
        }
    assert_ratio(case, batch / n_models)
    return case


def assert_ratio(case, expected):
    """Fails unless batchmean gradients are `expected` times the per-example ones: the claim of the docstring above."""
    quirk, plain = (case["f64"][k]["gradients"] for k in ("kl_batchmean", "kl_per_example_mean"))
    for a, b in zip(sum(quirk, []), sum(plain, [])):
        if not math.isclose(a, expected * b, rel_tol=1e-12, abs_tol=1e-15):
            raise SystemExit(f"batchmean gradient {a} is not {expected} times {b}: PyTorch's definition has changed")


def main():
    """Computes everything and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    output = parser.parse_args().output
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    every, adam = list(OPTIMISERS), ["adam"]
    document = {
        "format_version": FORMAT_VERSION,
        "made_by": "scripts/golden/mlp_pytorch.py",
        "torch": torch.__version__,
        "optimisers": OPTIMISERS,
        "networks": [
            network_case("relu-biases", [7, 5, 4, 6], "relu", True, 1, every),
            network_case("relu-no-biases", [7, 5, 4, 6], "relu", False, 2, adam),
            network_case("gelu-biases", [7, 5, 4, 6], "gelu", True, 3, adam),
            network_case("gelu-no-biases", [7, 5, 6], "gelu", False, 4, []),
            network_case("sigmoid-biases", [7, 5, 4, 6], "sigmoid", True, 5, adam),
            network_case("sigmoid-no-biases", [7, 5, 4, 3, 6], "sigmoid", False, 6, []),
            network_case("linear-biases", [7, 6], "relu", True, 7, []),
        ],
        "scaling": scaling_case(8),
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + "\n", encoding="utf-8")
    print(f"{output}: {len(text) + 1} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
