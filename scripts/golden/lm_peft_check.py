#!/usr/bin/env python3
"""Checks with transformers and peft that what we wrote gives them the logits it gives us.

    python scripts/golden/lm_peft_check.py --base FOLDER_OR_GGUF --adapter FOLDER --logits FILE
    python scripts/golden/lm_peft_check.py --base FOLDER --logits FILE       # a merged model, or any other

Needs scripts/bench/requirements.txt. FILE is a safetensors file with, for i = 0, 1, …, `tokens/i` `[T]` (i32 or i64) and
`logits/i` `[T, vocabulary]` (f32), the logits after every token; golden-adapter.safetensors is one. Both are loaded in f32.
The error is the largest difference over the largest logit. Exits with 1 if it is above the tolerance, if the adapter
changes nothing, or if weights were missing, left over or of another shape.
"""

import argparse
import pathlib
import sys

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

transformers.utils.logging.disable_progress_bar()


def load_base(path):
    """Loads a Hugging Face folder or a GGUF file in f32, all of it."""
    where, options = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})
    model, info = AutoModelForCausalLM.from_pretrained(
        where, dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True, **options
    )
    problems = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if problems:
        raise SystemExit(f"lm_peft_check: {path}: {problems}")
    return model.eval()


def load_adapter(model, folder):
    """Puts an adapter on a model; every tensor of its file must find its place."""
    stored = load_file(folder / "adapter_model.safetensors")
    model = PeftModel.from_pretrained(model, folder).eval()
    placed = {
        name.replace(".default.", "."): parameter for name, parameter in model.named_parameters() if ".lora_" in name
    }
    if placed.keys() != stored.keys():
        raise SystemExit(f"lm_peft_check: {folder}: not matched: {sorted(placed.keys() ^ stored.keys())}")
    for name, tensor in stored.items():
        if not torch.equal(placed[name], tensor.float()):
            raise SystemExit(f"lm_peft_check: {folder}: `{name}` was not loaded")
    return model


def cases(path):
    """Yields (tokens, logits) of a file."""
    tensors = load_file(path)
    n_cases = sum(name.startswith("logits/") for name in tensors)
    if not n_cases:
        raise SystemExit(f"lm_peft_check: {path}: there are no tensors `logits/0`, `logits/1`, …")
    for index in range(n_cases):
        yield tensors[f"tokens/{index}"].long(), tensors[f"logits/{index}"].double()


@torch.inference_mode()
def error(model, path):
    """Returns the largest difference of any logit over the largest logit."""
    difference, largest = 0.0, 0.0
    for tokens, ours in cases(path):
        theirs = model(tokens[None], use_cache=False).logits[0].double()
        if theirs.shape != ours.shape:
            raise SystemExit(f"lm_peft_check: {path}: logits {list(ours.shape)}, the model has {list(theirs.shape)}")
        if not ours.isfinite().all():
            raise SystemExit(f"lm_peft_check: {path}: a logit is not a finite number")
        difference = max(difference, (theirs - ours).abs().max().item())
        largest = max(largest, theirs.abs().max().item())
    return difference / largest


def main():
    """Compares and says by how much the logits differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=pathlib.Path, required=True, help="Hugging Face folder or GGUF file")
    parser.add_argument("--adapter", type=pathlib.Path, help="peft folder")
    parser.add_argument("--logits", type=pathlib.Path, required=True, help="our logits, safetensors")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    model = load_base(args.base)
    words = str(args.base)
    if args.adapter:
        bare = error(model, args.logits)
        model = load_adapter(model, args.adapter)
        words += f" with {args.adapter}"
        if bare <= args.tolerance:
            raise SystemExit(f"lm_peft_check: {words}: the logits are those without an adapter ({bare:.1e})")
    found = error(model, args.logits)
    if not found <= args.tolerance:
        raise SystemExit(f"lm_peft_check: {words}: relative error {found:.1e}, at most {args.tolerance:.0e} is allowed")
    print(f"lm_peft_check: {words}: relative error {found:.1e}")


if __name__ == "__main__":
    sys.exit(main())
