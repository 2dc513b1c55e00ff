#!/usr/bin/env python3
"""Writes the tiny models that the language-model engine is tested with: one or two of every family, random weights.

    python scripts/golden/lm_models.py

Needs scripts/bench/requirements.txt. Each folder in crates/lm/tests/golden/ holds a Hugging Face model and, where GGUF
can express it, the same model as `model.gguf`, named and laid out as llama.cpp's converter does. Weights have at most 8
significant bits and no small exponents, so f32, bf16 and f16 files hold the same numbers and one set of expected values
serves all of them. The exception is `model-quantised.gguf`, whose tensors take five quantised types in turn.

Configurations are written by hand in the spellings found in published models: transformers 4 (`rope_theta`,
`rope_scaling`, `torch_dtype`) or transformers 5 (`rope_parameters`, `dtype`). Two runs write the same bytes.
"""

import json
import math

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoConfig, AutoModelForCausalLM

from lm_common import GOLDEN, N_SPECIAL, Draws, inverse_frequencies

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = (("Ġ", "t"), ("h", "e"), ("Ġ", "a"), ("i", "n"), ("Ġt", "he"), ("r", "e"), ("o", "n"), ("Ġ", "o"), ("Ġo", "w"))
MERGES += (("Ġow", "l"), ("n", "d"), ("Ġa", "nd"), ("in", "g"))
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COMMON = {"vocab_size": 112, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "attention_dropout": 0.0}
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
GEMMA = {
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 24, "intermediate_size": 32,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6, "attention_bias": False, "sliding_window": 5, "max_position_embeddings": 512,
    "attn_logit_softcapping": None, "final_logit_softcapping": None,
}  # fmt: skip

# name: (config.json, type in safetensors, number of shards, type of matrices in GGUF or None for no GGUF).
MODELS = {
    "tiny-llama": (
        {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False, "num_hidden_layers": 2, "attention_bias": False, "mlp_bias": False,
            "max_position_embeddings": 256, "rope_theta": 10000.0, "rope_scaling": None, "torch_dtype": "float32",
            **COMMON, **SHAPE, "intermediate_size": 64,
        },
        torch.float32, 1, "F16",
    ),
    "tiny-llama3": (
        {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True, "num_hidden_layers": 2, "attention_bias": False, "mlp_bias": False,
            "max_position_embeddings": 512, "rope_theta": 100.0, "head_dim": 8, "torch_dtype": "bfloat16",
            "rope_scaling": {
                "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                "original_max_position_embeddings": 64, "rope_type": "llama3",
            },
            **COMMON, **SHAPE, "num_key_value_heads": 1,
        },
        torch.bfloat16, 2, "F32",
    ),
    "tiny-qwen2": (
        {
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True, "num_hidden_layers": 3, "max_position_embeddings": 256, "rope_theta": 1000000.0,
            "use_sliding_window": False, "sliding_window": 32, "max_window_layers": 2, "torch_dtype": "float16",
            **COMMON, **SHAPE,
        },
        torch.float16, 1, "BF16",
    ),
    "tiny-qwen3": (
        {
            "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False, "num_hidden_layers": 2, "max_position_embeddings": 256, "head_dim": 12,
            "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "attention_bias": False,
            "use_sliding_window": False, "sliding_window": None, "dtype": "float32",
            **COMMON, **SHAPE,
        },
        torch.float32, 1, "F32",
    ),
    "tiny-gemma3": (
        {
            "num_hidden_layers": 7, "query_pre_attn_scalar": 8, "dtype": "bfloat16",
            "layer_types": [*["sliding_attention"] * 5, "full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_theta": 1000000.0, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
            },
            **COMMON, **GEMMA,
        },
        torch.bfloat16, 1, "F16",
    ),
    # What the larger Gemma 3 models have and llama.cpp knows only by their size: linear scaling on global layers, an
    # attention scale apart from the head's width; here also another pattern than theirs.
    "tiny-gemma3-linear": (
        {
            "num_hidden_layers": 4, "query_pre_attn_scalar": 12, "sliding_window_pattern": 2, "rope_theta": 1000.0,
            "rope_local_base_freq": 100.0, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "tie_word_embeddings": True, "torch_dtype": "float16",
            **COMMON, **GEMMA,
        },
        torch.float16, 1, None,
    ),
}  # fmt: skip
QUANTISED = "tiny-llama"
QUANTISED_TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


def write_json(path, value):
    """Writes indented JSON with a newline at its end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def vocabulary():
    """Returns the tokens in order: special ones, printable ASCII and newline in byte-level spelling, merged pairs."""
    characters = ["Ġ", *(chr(code) for code in range(33, 127)), "Ċ"]
    tokens = [*SPECIAL, *characters, *("".join(pair) for pair in MERGES)]
    assert len(tokens) == len(set(tokens)) == COMMON["vocab_size"], len(tokens)
    return tokens


def tokenizer():
    """Returns a byte-level BPE tokenizer of 112 tokens with SmolLM's pre-tokenizer."""
    ids = {token: index for index, token in enumerate(vocabulary())}
    made = Tokenizer(BPE(vocab=ids, merges=list(MERGES)))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return made


def weights(config, seed):
    """Returns every weight by its Hugging Face name, f64, in the model's own order."""
    model = AutoModelForCausalLM.from_config(config)
    gemma = config.model_type == "gemma3_text"
    draws = Draws(seed)
    drawn = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if name.endswith("norm.weight"):
            # Gemma stores the factor less one.
            drawn[name] = draws.uniform(tensor.shape, 0.5) + (0 if gemma else 1)
        elif name.endswith("bias"):
            drawn[name] = draws.uniform(tensor.shape, 1.0)
        elif "embed_tokens" in name or "lm_head" in name:
            drawn[name] = draws.uniform(tensor.shape, 0.8)
        else:
            gain = 1.5 if "q_proj" in name or "k_proj" in name else 1.0
            drawn[name] = draws.uniform(tensor.shape, gain * math.sqrt(3 / tensor.shape[1]))
        for kind in (torch.float16, torch.bfloat16):
            # A norm of 1.00…: 8 bits after the point are one too many for bf16.
            drawn[name] = drawn[name].to(kind).double()
    return drawn


def write_safetensors(folder, tensors, kind, n_shards):
    """Writes one file, or shards with their index."""
    tensors = {name: tensor.to(kind).contiguous() for name, tensor in tensors.items()}
    if n_shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    bounds = [len(names) * shard // n_shards for shard in range(n_shards + 1)]
    weight_map = {}
    for shard in range(n_shards):
        file = f"model-{shard + 1:05}-of-{n_shards:05}.safetensors"
        part = {name: tensors[name] for name in names[bounds[shard] : bounds[shard + 1]]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def head_width(config):
    """Returns the width of a head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def gguf_tensors(config, tensors):
    """Yields (GGUF name, f32 array) as llama.cpp's converter would write them."""
    arch = gguf.MODEL_ARCH[{"gemma3_text": "GEMMA3"}.get(config.model_type, config.model_type.upper())]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    if config.model_type == "llama" and config.rope_parameters["rope_type"] == "llama3":
        plain = inverse_frequencies({**config.rope_parameters, "rope_type": "default"}, head_width(config))
        scaled = inverse_frequencies(config.rope_parameters, head_width(config))
        yield "rope_freqs.weight", (plain / scaled).float().numpy()
    for name, tensor in tensors.items():
        array = tensor.float().numpy()
        if config.model_type == "llama" and ("q_proj" in name or "k_proj" in name):
            # Rows of a head from rotate-half order (i, i + half) to interleaved order (2i, 2i + 1).
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            array = array.reshape(heads, 2, head_width(config) // 2, -1).swapaxes(1, 2).reshape(array.shape)
        if config.model_type == "gemma3_text" and name.endswith("norm.weight"):
            array = array + 1
        yield names.get_name(name, try_suffixes=(".weight", ".bias")), array


def write_gguf(path, name, config, tensors, kind_of):
    """Writes a GGUF file; `kind_of(index)` names the type of the index-th matrix."""
    arch = {"gemma3_text": "gemma3"}.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    if arch == "llama":
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(head_width(config))
    if arch in ("qwen3", "gemma3"):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if arch == "gemma3":
        writer.add_sliding_window(config.sliding_window)
    writer.add_file_type({"F32": 0, "F16": 1, "BF16": 32}.get(kind_of(0), 7))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary())
    writer.add_token_types([gguf.TokenType.CONTROL] * N_SPECIAL + [gguf.TokenType.NORMAL] * (112 - N_SPECIAL))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    n_matrices = 0
    for tensor, array in gguf_tensors(config, tensors):
        kind = "F32"
        if array.ndim == 2:
            kind = kind_of(n_matrices)
            n_matrices += 1
        kind = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(tensor, gguf.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_model(name, seed):
    """Writes one model's folder, keeping the adapter and the expected values in it."""
    settings, kind, n_shards, gguf_kind = MODELS[name]
    folder = GOLDEN / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        if old.is_file() and not old.name.startswith("golden-"):
            old.unlink()
    write_json(folder / "config.json", settings)
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": 1, "eos_token_id": [2, 0], "pad_token_id": 0, "do_sample": True, "temperature": 0.7, "top_p": 0.9},
    )
    write_json(folder / "tokenizer.json", json.loads(tokenizer().to_str()))
    write_json(
        folder / "tokenizer_config.json",
        {
            "bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "add_bos_token": False,
            "clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": CHAT_TEMPLATE,
        },
    )  # fmt: skip
    config = AutoConfig.from_pretrained(folder)
    tensors = weights(config, seed)
    write_safetensors(folder, tensors, kind, n_shards)
    if gguf_kind:
        write_gguf(folder / "model.gguf", name, config, tensors, lambda _: gguf_kind)
    if name == QUANTISED:
        kind_of = lambda index: QUANTISED_TYPES[index % len(QUANTISED_TYPES)]
        write_gguf(folder / "model-quantised.gguf", name, config, tensors, kind_of)
    files = [file for file in folder.iterdir() if file.is_file()]
    for file in files:
        file.chmod(0o644)
    total = sum(file.stat().st_size for file in files)
    print(f"{name}: {sum(tensor.numel() for tensor in tensors.values())} parameters, {total} bytes")


def main():
    """Writes every model."""
    for index, name in enumerate(MODELS):
        write_model(name, 100 + index)


if __name__ == "__main__":
    main()
