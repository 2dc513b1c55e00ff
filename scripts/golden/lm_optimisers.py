#!/usr/bin/env python3
"""Writes what optimisers, clipping and schedules must compute: crates/lm/tests/golden/optimisers.json.

    python scripts/golden/lm_optimisers.py

Needs scripts/bench/requirements.txt. Gradients are made up; PyTorch's optimisers and transformers' schedules compute in
f64. Settings are spelt as crates/lm/src/optimiser.rs and schedule.rs read them.
"""

import json

import torch
import transformers
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from lm_common import GOLDEN, Draws

N_WEIGHTS, STEPS, CLIP = 12, 6, 1.0
SCHEDULES = {
    "constant": lambda optimiser, warm_up, steps: get_constant_schedule_with_warmup(optimiser, warm_up),
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
}
ADAM = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
# (optimiser, schedule).
TRAJECTORIES = (
    ({"kind": "adam-w", **ADAM, "weight_decay": 0.1}, {"decay": "linear", "warmup_steps": 2}),
    ({"kind": "adam-w", **ADAM, "beta2": 0.95, "epsilon": 1e-4, "weight_decay": 0.01}, {"decay": "cosine", "warmup_steps": 0}),
    ({"kind": "adam", **ADAM}, {"decay": "constant", "warmup_steps": 3}),
    ({"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9}, {"decay": "linear", "warmup_steps": 0}),
    ({"kind": "sgd", "learning_rate": 0.05, "momentum": 0.0}, {"decay": "cosine", "warmup_steps": 1}),
)


def made(settings, weights):
    """Returns PyTorch's optimiser of these settings, with every other one stated."""
    if settings["kind"] == "sgd":
        return torch.optim.SGD(weights, lr=settings["learning_rate"], momentum=settings["momentum"], foreach=False)
    kind = {"adam": torch.optim.Adam, "adam-w": torch.optim.AdamW}[settings["kind"]]
    return kind(
        weights, lr=settings["learning_rate"], betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"],
        weight_decay=settings.get("weight_decay", 0.0), amsgrad=False, foreach=False,
    )  # fmt: skip


def trajectory(settings, schedule, start, gradients):
    """Returns gradient norms and weights after every step."""
    weights = start.clone().requires_grad_()
    optimiser = made(settings, [weights])
    rate = SCHEDULES[schedule["decay"]](optimiser, schedule["warmup_steps"], STEPS)
    norms, after = [], []
    for gradient in gradients:
        weights.grad = gradient.clone()
        norms.append(torch.nn.utils.clip_grad_norm_([weights], CLIP).item())
        optimiser.step()
        rate.step()
        after.append(weights.tolist())
    return {"optimiser": settings, "schedule": schedule, "norms": norms, "weights_after": after}


def course(decay, warm_up, steps):
    """Returns the factor on the learning rate at every step, and after the last."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rate = SCHEDULES[decay](optimiser, warm_up, steps)
    (factor,) = rate.lr_lambdas
    factors = [float(factor(step)) for step in range(steps + 1)]
    return {"schedule": {"decay": decay, "warmup_steps": warm_up}, "steps": steps, "factors": factors}


def main():
    """Computes everything and writes the file."""
    draws = Draws(40)
    start = draws.uniform((N_WEIGHTS,), 1.5)
    # From far below to above the limit on the norm.
    gradients = [draws.uniform((N_WEIGHTS,), 0.01 * 4**step) for step in range(STEPS)]
    document = {
        "made_by": "scripts/golden/lm_optimisers.py", "torch": torch.__version__, "transformers": transformers.__version__,
        "weights": start.tolist(), "gradients": [gradient.tolist() for gradient in gradients], "clip": CLIP,
        "optimisers": [trajectory(*settings, start, gradients) for settings in TRAJECTORIES],
        "schedules": [course(decay, *lengths) for decay in SCHEDULES for lengths in ((0, 7), (3, 10), (5, 5), (8, 4))],
    }  # fmt: skip
    path = GOLDEN / "optimisers.json"
    path.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
