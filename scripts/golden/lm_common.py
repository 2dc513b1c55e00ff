"""What the `lm_*.py` scripts share: reproducible draws, token sequences, and transformers models that really compute in f64.

transformers computes norms, rotary angles and (eager) softmax in f32 even in a model of f64 weights. `double` replaces
norms and angles by the same formulas in f64, and softmax comes from `scaled_dot_product_attention`, which keeps the type of
its inputs; so gradients and logits are exact to about 1e-15 and a test's tolerance measures only our side.
"""

import json
import math
import pathlib
import types

import peft
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

transformers.utils.logging.disable_progress_bar()

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "crates/lm/tests/golden"
# Models with a golden-train.safetensors, and all of them.
TRAINED = ("tiny-llama", "tiny-llama3", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3")
MODELS = (*TRAINED, "tiny-gemma3-linear")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SEQUENCE_LENGTHS = (1, 7, 23)
# Ids below this are special tokens; id 0 is padding, whose embedding PyTorch gives no gradient, so no sequence uses it.
N_SPECIAL = 3


class Draws:
    """Numbers from a 64-bit linear congruential generator: they depend on no library's generator."""

    def __init__(self, seed):
        self.state = seed
        for _ in range(8):
            self.bits()

    def bits(self):
        """Returns 31 bits."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 33

    def below(self, bound):
        """Returns an integer in [0, bound)."""
        return self.bits() % bound

    def uniform(self, shape, half_width):
        """Returns f64 numbers in [-half_width, half_width) that f32, bf16 and f16 all hold exactly.

        They have at most 8 significant bits and are multiples of 2^-14.
        """
        raw = torch.tensor([self.bits() for _ in range(math.prod(shape))], dtype=torch.float64)
        values = (raw / 2**30 - 1) * half_width
        mantissa, exponent = torch.frexp(values)
        values = torch.ldexp(torch.round(mantissa * 256) / 256, exponent)
        return (torch.round(values * 2**14) / 2**14).reshape(shape)


def sequences(vocabulary):
    """Returns the token sequences that every model is run on."""
    draws = Draws(20)
    return [[N_SPECIAL + draws.below(vocabulary - N_SPECIAL) for _ in range(n)] for n in SEQUENCE_LENGTHS]


def load(path, dtype=torch.float32, **options):
    """Loads a model folder for evaluation, with attention that computes in `dtype`."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="sdpa", **options)
    return model.eval()


def inverse_frequencies(rope, head_dim):
    """Returns the angle per token of each rotary pair, `[head_dim / 2]`, in f64."""
    frequencies = rope["rope_theta"] ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    if rope["rope_type"] == "linear":
        return frequencies / rope["factor"]
    if rope["rope_type"] == "llama3":
        low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
        turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return frequencies * (kept + (1 - kept) / factor)
    assert rope["rope_type"] == "default", rope
    return frequencies


def double(model):
    """Turns a transformers model, with or without an adapter, into one that computes everything in f64."""
    model = model.double()
    for module in list(model.modules()):
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = types.MethodType(_norm, module)
        elif kind.endswith("RotaryEmbedding"):
            _exact_rotary(module)
    if hasattr(model.get_input_embeddings(), "scalar_embed_scale"):
        embedding = model.get_input_embeddings()
        embedding.embed_scale.fill_(embedding.scalar_embed_scale)
    return model


def _norm(self, x):
    epsilon = self.eps if hasattr(self, "eps") else self.variance_epsilon
    factor = 1 + self.weight if type(self).__name__.startswith("Gemma") else self.weight
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * factor


def _exact_rotary(module):
    config = module.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_layer = "rope_theta" not in config.rope_parameters
    ropes = config.rope_parameters if per_layer else {None: config.rope_parameters}
    exact = {kind: inverse_frequencies(rope, head_dim) for kind, rope in ropes.items()}
    for kind, frequencies in exact.items():
        theirs = getattr(module, f"{kind}_inv_freq" if kind else "inv_freq")
        torch.testing.assert_close(frequencies, theirs.double(), rtol=1e-6, atol=0)

    def forward(self, x, position_ids, layer_type=None):
        angles = position_ids[..., None].double() * exact[layer_type]
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    module.forward = types.MethodType(forward, module)


def logits_of(model, tokens):
    """Returns the logits after every token, `[tokens, vocabulary]`."""
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0]


def relative_error(got, expected):
    """Returns the largest difference over the largest value of `expected`."""
    return ((got.double() - expected.double()).abs().max() / expected.double().abs().max()).item()


def check_close(what, got, expected, tolerance):
    """Ends the script if two tensors that must agree do not."""
    error = relative_error(got, expected)
    if not error <= tolerance:
        raise SystemExit(f"{what}: relative error {error:.2e}, at most {tolerance:.0e} was expected")
    return error


def save(tensors, path, facts):
    """Writes tensors as f32 or i32, sorted by name, and text facts; the same values make the same file."""
    plain = {}
    for name in sorted(tensors):
        tensor = torch.as_tensor(tensors[name]).detach()
        kind = torch.float32 if tensor.is_floating_point() else torch.int32
        plain[name] = tensor.to(kind).contiguous().clone()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    save_file(plain, path, metadata={**versions, **facts})
    sort_metadata(path)
    path.chmod(0o644)


def sort_metadata(path):
    """Sorts the text facts in a safetensors file, which its library writes in another order in each run."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    assert len(text) == length, path
    path.write_bytes(content[:8] + text + content[8 + length :])
