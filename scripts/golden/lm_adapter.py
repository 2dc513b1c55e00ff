#!/usr/bin/env python3
"""Writes adapters as peft saves them, and the logits that models have with them: `adapter/`, `golden-adapter.safetensors`.

    python scripts/golden/lm_adapter.py

Needs scripts/bench/requirements.txt and the folders lm_models.py writes. A and B are those of golden-train.safetensors;
two adapters are rank-stabilised (`use_rslora`). Logits are computed in f64, and compared here with what peft makes of the
folder in f32, before and after `merge_and_unload`.
"""

import json
import shutil

import torch
from peft import PeftModel

from lm_common import GOLDEN, TRAINED, check_close, load, logits_of, save, sequences
from lm_train import adapted

STABILISED = ("tiny-qwen3", "tiny-gemma3")


def write_folder(model, folder, base):
    """Saves an adapter as peft does, without its card and without what differs between two runs."""
    shutil.rmtree(folder, ignore_errors=True)
    model.float().save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # A set in peft, so in any order; and the path of this checkout.
    config["target_modules"].sort()
    config["base_model_name_or_path"] = base
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)


def write(name, seed):
    """Writes one model's adapter and logits."""
    folder = GOLDEN / name
    model, _ = adapted(folder, seed, use_rslora=name in STABILISED)
    runs = sequences(model.config.vocab_size)
    expected = [logits_of(model.eval(), tokens) for tokens in runs]
    with model.disable_adapter():
        change = (logits_of(model, runs[-1]) - expected[-1]).abs().max().item()
    write_folder(model, folder / "adapter", name)
    loaded = PeftModel.from_pretrained(load(folder), folder / "adapter").eval()
    errors = [check_close(f"{name} with adapter", logits_of(loaded, run), want, 1e-5) for run, want in zip(runs, expected)]
    merged = loaded.merge_and_unload()
    errors += [check_close(f"{name} merged", logits_of(merged, run), want, 1e-5) for run, want in zip(runs, expected)]
    tensors = {f"logits/{index}": logits for index, logits in enumerate(expected)}
    tensors |= {f"tokens/{index}": torch.tensor(tokens) for index, tokens in enumerate(runs)}
    save(tensors, folder / "golden-adapter.safetensors", {"f32_relative_error": f"{max(errors):.0e}"})
    print(f"{name}: logits change by up to {change:.2f}, f32 {max(errors):.0e}")


def main():
    """Writes every model's adapter."""
    for index, name in enumerate(TRAINED):
        write(name, 200 + index)


if __name__ == "__main__":
    main()
