"""Log-probabilities that transformers gives the endings of HellaSwag's questions, for the capability readout.

    python lm_hellaswag.py MODEL.gguf CASES.jsonl > crates/lab/tests/golden/hellaswag.json

Needs scripts/bench/requirements.txt and what `undertone fetch smollm2-135m-instruct` and `undertone fetch hellaswag` get.
f32 on the CPU. Scene and ending are encoded apart, the ending after a space, which byte-level BPE does not tell from encoding
them together, as the readout does; the sum is over the ending's tokens.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

model_file, cases = Path(sys.argv[1]), Path(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(model_file.parent, gguf_file=model_file.name)
model = AutoModelForCausalLM.from_pretrained(model_file.parent, gguf_file=model_file.name, dtype=torch.float32)
model.eval()

questions = []
with torch.inference_mode():
    for line in cases.read_text().splitlines():
        case = json.loads(line)
        scene = tokenizer(case["ctx"], add_special_tokens=False)["input_ids"]
        sums = []
        for ending in case["endings"]:
            tokens = tokenizer(" " + ending, add_special_tokens=False)["input_ids"]
            logits = model(torch.tensor([scene + tokens])).logits[0].double().log_softmax(-1)
            places = range(len(scene) - 1, len(scene) + len(tokens) - 1)
            sums.append(sum(logits[place, token].item() for place, token in zip(places, tokens)))
        questions.append([round(value, 5) for value in sums])
print(json.dumps({"log_probabilities": questions}))
