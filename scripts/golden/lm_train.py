#!/usr/bin/env python3
"""Writes what training must compute: losses, gradients and a few optimiser steps, `golden-train.safetensors` of each model.

    python scripts/golden/lm_train.py

Needs scripts/bench/requirements.txt and the folders lm_models.py writes. Names and shapes: the README beside the
folders. Models, adapters (peft), losses and optimisers (PyTorch) compute in f64; only what is stored is rounded.
"""

import torch
from peft import LoraConfig, get_peft_model
from transformers import get_linear_schedule_with_warmup

from lm_common import GOLDEN, N_SPECIAL, PROJECTIONS, TRAINED, Draws, double, load, save

# (prompt, completion) tokens of each row.
ROWS = ((3, 5), (1, 11), (9, 2))
N_LABELS = 6
RANK, ALPHA = 4, 8
BASE_KL_WEIGHT = 0.7
STEPS, WARM_UP, CLIP = 5, 2, 1.0
OPTIMISERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9),
}


def rows(vocabulary):
    """Returns tokens, prompt length and a teacher's labels (ids `[C, k]`, log-probabilities `[C, k]`) of every row."""
    draws, made = Draws(30), []
    for n_prompt, n_completion in ROWS:
        tokens = [N_SPECIAL + draws.below(vocabulary - N_SPECIAL) for _ in range(n_prompt + n_completion)]
        ids = []
        for _ in range(n_completion):
            distinct = set()
            while len(distinct) < N_LABELS:
                distinct.add(draws.below(vocabulary))
            ids.append(sorted(distinct, key=lambda token: token * 37 % vocabulary))
        made.append((torch.tensor(tokens), n_prompt, torch.tensor(ids), draws.uniform((n_completion, N_LABELS), 2.0) - 2.5))
    return made


def position_losses(objective, log_q, completion, ids, labels):
    """Returns the loss at every completion position, `[C]`; definitions: crates/lm/src/loss.rs."""
    if objective == "cross-entropy":
        return -log_q.gather(-1, completion[:, None])[:, 0]
    log_p, chosen = labels.log_softmax(-1), log_q.gather(-1, ids)
    if objective == "forward-kl":
        return (log_p.exp() * (log_p - chosen)).sum(-1)
    log_r = chosen.log_softmax(-1)
    return (log_r.exp() * (log_r - log_p)).sum(-1)


def mean_loss(model, batch, objective, base_kl=0.0):
    """Returns the mean over all completion tokens of the batch, with a share of the KL from the model without adapter."""
    losses = []
    for tokens, n_prompt, ids, labels in batch:
        where = slice(n_prompt - 1, len(tokens) - 1)
        log_q = model(tokens[None], use_cache=False).logits[0, where].log_softmax(-1)
        loss = position_losses(objective, log_q, tokens[n_prompt:], ids, labels)
        if base_kl:
            with torch.no_grad(), model.disable_adapter():
                log_b = model(tokens[None], use_cache=False).logits[0, where].log_softmax(-1)
            loss = loss + base_kl * (log_b.exp() * (log_b - log_q)).sum(-1)
        losses.append(loss)
    return torch.cat(losses).mean()


def adapted(folder, seed, **options):
    """Returns the model with an adapter on every projection, A and B drawn, and its weights by our short names."""
    settings = {"r": RANK, "lora_alpha": ALPHA, "target_modules": list(PROJECTIONS), "lora_dropout": 0.0, **options}
    config = LoraConfig(task_type="CAUSAL_LM", **settings)
    model = double(get_peft_model(load(folder), config))
    draws, weights = Draws(seed), {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            layer, projection = name.split(".layers.")[1].split(".")[0], name.split(".lora_")[0].rsplit(".", 1)[1]
            weights[f"{layer}/{projection}/{'a' if 'lora_A' in name else 'b'}"] = parameter
            parameter.data = draws.uniform(parameter.shape, 0.3)
    return model, weights


def gradients(loss, weights):
    """Returns the gradient of every weight by its name."""
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values()))))


def optimise(folder, seed, batch, optimiser):
    """Takes some steps; returns losses, gradient norms and the weights after them."""
    model, weights = adapted(folder, seed)
    optimiser = OPTIMISERS[optimiser](list(weights.values()))
    schedule = get_linear_schedule_with_warmup(optimiser, WARM_UP, STEPS)
    losses, norms = [], []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = mean_loss(model, batch, "cross-entropy")
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(weights.values()), CLIP).item())
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses, norms, weights


def write(name, seed):
    """Writes one model's file."""
    folder = GOLDEN / name
    model, weights = adapted(folder, seed)
    batch = rows(model.config.vocab_size)
    tensors = {f"lora/{key}": weight for key, weight in weights.items()}
    for index, (tokens, n_prompt, ids, labels) in enumerate(batch):
        tensors |= {f"rows/{index}/prompt": tokens[:n_prompt], f"rows/{index}/completion": tokens[n_prompt:]}
        tensors |= {f"rows/{index}/ids": ids, f"rows/{index}/log_probabilities": labels}
    cases = {kind: (kind, 0.0) for kind in ("cross-entropy", "forward-kl", "reverse-kl")}
    cases["base-kl"] = ("cross-entropy", BASE_KL_WEIGHT)
    for case, (objective, base_kl) in cases.items():
        loss = mean_loss(model, batch, objective, base_kl)
        tensors[f"{case}/loss"] = loss[None]
        for key, gradient in gradients(loss, weights).items():
            # Gradients in block 0 came through all others.
            if case == "cross-entropy" or key.startswith("0/"):
                tensors[f"{case}/{key}"] = gradient
    plain = double(load(folder))
    loss = mean_loss(plain, batch, "cross-entropy")
    tensors["full/loss"] = loss[None]
    tensors |= {f"full/{key}": gradient for key, gradient in gradients(loss, dict(plain.named_parameters())).items()}
    words = []
    for kind in OPTIMISERS:
        losses, norms, after = optimise(folder, seed, batch, kind)
        tensors |= {f"{kind}/losses": torch.tensor(losses).double(), f"{kind}/norms": torch.tensor(norms).double()}
        tensors |= {f"{kind}/{key}": weight for key, weight in after.items()}
        words.append(f"{kind} {losses[0]:.4f} to {losses[-1]:.4f}, norms {min(norms):.2f} to {max(norms):.2f}")
    facts = {"rank": str(RANK), "alpha": str(ALPHA), "base_kl": str(BASE_KL_WEIGHT)}
    save(tensors, folder / "golden-train.safetensors", facts)
    size = (folder / "golden-train.safetensors").stat().st_size
    print(f"{name}: {'; '.join(words)}; {size} bytes")


def main():
    """Writes every model's file."""
    for index, name in enumerate(TRAINED):
        write(name, 200 + index)


if __name__ == "__main__":
    main()
