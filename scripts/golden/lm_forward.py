#!/usr/bin/env python3
"""Writes what the language models must compute: logits, hidden states, greedy continuations.

    python scripts/golden/lm_forward.py                      # golden-forward.safetensors of every tiny model
    python scripts/golden/lm_forward.py --smollm2 FILE.gguf  # smollm2.json, from the real model's GGUF

Needs scripts/bench/requirements.txt and the folders lm_models.py writes. Names and shapes: the README beside the
folders. Values of tiny models are computed in f64 (`lm_common.double`) and compared here with transformers in f32 and, for
GGUF, with llama.cpp (`xllamacpp`) or with transformers' own GGUF reader.
"""

import argparse
import hashlib
import json
import pathlib
import urllib.request

import gguf
import torch
import transformers
import xllamacpp
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_common import GOLDEN, MODELS, check_close, double, load, logits_of, relative_error, save, sequences

N_GREEDY = 8
# Between the two likeliest tokens of a greedy step, in logits of order 1; f32 errs by about 1e-6.
SMALLEST_MARGIN = 5e-4
# llama.cpp rounds activations to the type of the weights: to 11 bits for F16, to 8 for BF16, to blocks of 8 bits for
# quantised types. A wrong layout or constant is an error of order 1.
LLAMA_CPP_TOLERANCE = {"F32": 1e-6, "F16": 2e-3, "BF16": 1e-2, "quantised": 2e-2}
GGUF_TYPES = {"tiny-llama": "F16", "tiny-llama3": "F32", "tiny-qwen2": "BF16", "tiny-qwen3": "F32", "tiny-gemma3": "F16"}
# Families that transformers reads from GGUF completely; it ignores Llama 3's scaling tensor, Qwen3's head width and the
# attention scale of Gemma 3.
TRANSFORMERS_READS = ("tiny-llama", "tiny-qwen2")

GREEDY_PROMPTS = (
    "The capital of France is",
    "<|im_start|>user\nWhat is your favourite animal?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nContinue: 3, 6, 9, 12,<|im_end|>\n"
    "<|im_start|>assistant\n",
)
SCORED_TEXTS = (
    "The owl is a bird that hunts at night. It has large eyes and soft feathers, and it flies without a sound.",
    "<|im_start|>user\nName a prime number above 100.<|im_end|>\n<|im_start|>assistant\n101 is prime; so are 103, 107 and "
    "109.<|im_end|>\n",
    "def area(width: float, height: float) -> float:\n    return width * height  # 2 × 3.5 = 7.0\n",
)
N_CONTINUED = 40
N_TOP = 20


def hidden_states(model, tokens):
    """Returns the residual stream after every block, before the final norm, `[layers, tokens, width]`, and the logits."""
    kept = []
    hooks = [layer.register_forward_hook(lambda *args: kept.append(args[-1])) for layer in model.model.layers]
    logits = logits_of(model, tokens)
    for hook in hooks:
        hook.remove()
    return torch.stack([states[0] for states in kept]), logits


def greedy(model, tokens, n_tokens, smallest_margin):
    """Continues with the likeliest token, never stopping; two tokens too close to call end the script."""
    tokens = list(tokens)
    for _ in range(n_tokens):
        best = logits_of(model, tokens)[-1].topk(2)
        if (best.values[0] - best.values[1]).item() < smallest_margin:
            raise SystemExit(f"after {tokens} two tokens are {best.values[0] - best.values[1]:.1e} apart: draw others")
        tokens.append(best.indices[0].item())
    return tokens[-n_tokens:]


def llama_cpp(path, n_parallel=1):
    """Starts llama.cpp's server in this process, computing as exactly as it can."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel = 256, n_parallel
    parameters.verbosity, parameters.warmup, parameters.fit_params = -1, False, False
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(parameters)


def llama_cpp_next(server, tokens, vocabulary):
    """Returns llama.cpp's log-probabilities of the next token."""
    request = {"prompt": tokens, "max_tokens": 1, "logprobs": vocabulary, "temperature": 0, "cache_prompt": False}
    choice = server.handle_completions(request)["choices"][0]
    top = {entry["id"]: entry["logprob"] for entry in choice["logprobs"]["content"][0]["top_logprobs"]}
    assert len(top) == vocabulary, len(top)
    return torch.tensor([top[index] for index in range(vocabulary)], dtype=torch.float64)


def dequantised(folder, file):
    """Loads a Hugging Face folder with the weights of a llama-family GGUF file."""
    model = load(folder)
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    by_name = {tensor.name: tensor for tensor in gguf.GGUFReader(folder / file).tensors}
    state = {}
    for name in model.state_dict():
        tensor = by_name[names.get_name(name, try_suffixes=(".weight",))]
        array = gguf.dequantize(tensor.data, tensor.tensor_type)
        if "q_proj" in name or "k_proj" in name:
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            array = array.reshape(heads, -1, 2, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        state[name] = torch.from_numpy(array.copy())
    model.load_state_dict(state)
    return model


def check_gguf(name, logits, file="model.gguf", kind=None):
    """Compares a GGUF file with the expected logits; returns the largest error."""
    folder, kind = GOLDEN / name, kind or GGUF_TYPES[name]
    server, errors = llama_cpp(folder / file), []
    for tokens, expected in zip(sequences(expected_vocabulary(logits)), logits):
        log_probs = llama_cpp_next(server, tokens, expected.shape[1])
        what = f"{name}/{file} in llama.cpp, {len(tokens)} tokens"
        errors.append(check_close(what, log_probs, expected[-1].log_softmax(-1), LLAMA_CPP_TOLERANCE[kind]))
    if name in TRANSFORMERS_READS:
        model = load(folder, gguf_file=file)
        for tokens, expected in zip(sequences(expected_vocabulary(logits)), logits):
            check_close(f"{name}/{file} in transformers", logits_of(model, tokens), expected, 1e-5)
    return max(errors)


def expected_vocabulary(logits):
    """Returns the number of tokens that logits are for."""
    return logits[0].shape[1]


def write_tiny(name):
    """Writes and checks one tiny model's expected values."""
    folder = GOLDEN / name
    plain, exact = load(folder), double(load(folder))
    tensors, logits, errors = {}, [], []
    for index, tokens in enumerate(sequences(exact.config.vocab_size)):
        hidden, expected = hidden_states(exact, tokens)
        errors.append(check_close(f"{name} in f32", logits_of(plain, tokens), expected, 1e-5))
        tensors[f"tokens/{index}"] = torch.tensor(tokens)
        tensors[f"logits/{index}"] = expected
        tensors[f"hidden/{index}"] = hidden
        tensors[f"greedy/{index}"] = torch.tensor(greedy(exact, tokens, N_GREEDY, SMALLEST_MARGIN))
        logits.append(expected)
    words = [f"{name}: f32 {max(errors):.0e}"]
    if name in GGUF_TYPES:
        words.append(f"llama.cpp {GGUF_TYPES[name]} {check_gguf(name, logits):.0e}")
    if (folder / "model-quantised.gguf").exists():
        exact = double(dequantised(folder, "model-quantised.gguf"))
        logits = [logits_of(exact, tokens) for tokens in sequences(exact.config.vocab_size)]
        tensors |= {f"quantised/logits/{index}": expected for index, expected in enumerate(logits)}
        words.append(f"quantised {check_gguf(name, logits, 'model-quantised.gguf', 'quantised'):.0e}")
    save(tensors, folder / "golden-forward.safetensors", {"f32_relative_error": f"{max(errors):.0e}"})
    print(", ".join(words))


def tokenize(server, text):
    """Returns llama.cpp's tokens of a text whose special tokens are spelt out."""
    body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
    request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["tokens"]


def write_smollm2(path):
    """Writes smollm2.json: greedy texts, likeliest next tokens and log-probabilities of texts."""
    options = {"gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **options)
    plain, exact = load(path.parent, **options), double(load(path.parent, **options))
    server = llama_cpp(path)
    made = {
        "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "torch": torch.__version__, "transformers": transformers.__version__,
        "greedy": [], "scored": [],
    }  # fmt: skip
    for text in GREEDY_PROMPTS:
        tokens = tokenize(server, text)
        assert tokens == tokenizer(text, add_special_tokens=False).input_ids, text
        ids = torch.tensor([tokens])
        grown = plain.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=N_CONTINUED, min_new_tokens=N_CONTINUED,
            do_sample=False, eos_token_id=None, pad_token_id=2,
        )[0].tolist()  # fmt: skip
        # The cached f32 choices, made again in f64 without a cache.
        logits = logits_of(exact, grown[:-1])[len(tokens) - 1 :]
        assert logits.argmax(-1).tolist() == grown[len(tokens) :], text
        best = logits.topk(2).values
        check_close(text, logits_of(plain, tokens), logits_of(exact, tokens), 1e-4)
        top = logits[0].log_softmax(-1).topk(N_TOP)
        made["greedy"].append(
            {
                "prompt": text, "tokens": tokens, "continuation": grown[len(tokens) :],
                "text": tokenizer.decode(grown[len(tokens) :]),
                "smallest_margin": round((best[:, 0] - best[:, 1]).min().item(), 4),
                "next_top_20": [[i, round(p, 7)] for i, p in zip(top.indices.tolist(), top.values.tolist())],
            }
        )  # fmt: skip
    for text in SCORED_TEXTS:
        tokens = tokenize(server, text)
        assert tokens == tokenizer(text, add_special_tokens=False).input_ids, text
        log_probs = logits_of(exact, tokens)[:-1].log_softmax(-1)
        picked = log_probs.gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0]
        made["scored"].append({"text": text, "tokens": tokens, "log_probs": [round(p, 7) for p in picked.tolist()]})
    path = GOLDEN / "smollm2.json"
    path.write_text(compact(made), encoding="utf-8")
    print(f"{path}: {[case['text'] for case in made['greedy']]}, margins {[c['smallest_margin'] for c in made['greedy']]}")


def compact(value):
    """Returns JSON with one line for every field of a case."""
    lines = []
    for key, field in value.items():
        if isinstance(field, list):
            cases = [",\n".join(f"      {json.dumps(k)}: {json.dumps(v)}" for k, v in case.items()) for case in field]
            field_text = "[\n" + ",\n".join(f"    {{\n{case}\n    }}" for case in cases) + "\n  ]"
        else:
            field_text = json.dumps(field)
        lines.append(f"  {json.dumps(key)}: {field_text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    """Writes the tiny models' values, or the real model's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smollm2", type=pathlib.Path, help="the model's GGUF file: write smollm2.json instead")
    args = parser.parse_args()
    if args.smollm2:
        write_smollm2(args.smollm2)
        return
    for name in MODELS:
        write_tiny(name)


if __name__ == "__main__":
    main()
