#!/usr/bin/env python3
"""Checks with transformers that a folder of `undertone pretrain-tiny` reads and computes there as it does here.

    python scripts/golden/lm_tiny_check.py --model FOLDER --scores FILE

Needs scripts/bench/requirements.txt. FILE is what `undertone lm score FOLDER --next all` wrote for rows with a `prompt`: JSON
Lines with `prompt`, `completion_tokens`, `log_probabilities` and `next`. Compared are the tokens of prompt (through the chat
template) and completion, and every log-probability, absolutely. Exits with 1 if one differs.
"""

import argparse
import json
import pathlib

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.utils.logging.disable_progress_bar()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--scores", type=pathlib.Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model, info = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32, output_loading_info=True)
    problems = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if problems:
        raise SystemExit(f"lm_tiny_check: {problems}")
    model.eval()
    worst, n = 0.0, 0
    for line in options.scores.read_text().splitlines():
        row = json.loads(line)
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer.encode(text, add_special_tokens=False)
        completion = tokenizer.encode(row["completion"], add_special_tokens=False)
        if completion != row["completion_tokens"]:
            raise SystemExit(f"lm_tiny_check: {row['completion']!r}: {completion}, ours {row['completion_tokens']}")
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0].double()
        found = logits.log_softmax(-1)
        pairs = list(zip(found[len(prompt) - 1].tolist(), row["next"]["log_probabilities"], strict=True))
        for place, (token, ours) in enumerate(zip(completion, row["log_probabilities"], strict=True)):
            pairs.append((found[len(prompt) - 1 + place, token].item(), ours))
        worst = max(worst, max(abs(theirs - ours) for theirs, ours in pairs))
        n += len(pairs)
    if not n or worst > options.tolerance:
        raise SystemExit(f"lm_tiny_check: {n} log-probabilities, the largest difference is {worst}")
    print(f"{n} log-probabilities, the largest difference is {worst:.2g}")


if __name__ == "__main__":
    main()
