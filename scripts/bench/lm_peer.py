#!/usr/bin/env python3
"""Times PyTorch, transformers and peft on the language model: the peers that `cargo xtask bench lm` compares ours with.

    python scripts/bench/lm_peer.py train  --model FILE.gguf --precision bf16
    python scripts/bench/lm_peer.py sample --model FILE.gguf --precision f32 --serve
    python scripts/bench/lm_peer.py score  --model FILE.gguf

Needs scripts/bench/requirements.txt. The peer llama.cpp is lm_peer_llama_cpp.py, and both keep to `lm_peer_protocol.py`,
which describes `--serve` and the fields of a result. The model is a GGUF file that transformers reads, or a folder.

- `train`: LoRA r=8 on all seven projections, 8 rows of 96 tokens of which 30 are the prompt, without padding; one step is
  forward, backward and a fused AdamW. `--loss stock` is `model(..., labels=...)`, what trainers call; `--loss selected`
  puts only completion positions through the head. bf16 is a base in bf16, with adapters in `--adapters`.
- `sample`: 64 prompts of 30 tokens, 64 new tokens each with `generate`: temperature 1 from the whole distribution, KV cache,
  no stop token, no other processors.
- `score`: the log-probability of every token but the first in 512 rows of 100 tokens, in batches of `--batch`, with one
  pass over the logits (`logsumexp`) instead of a `log_softmax` as large as them.

Tokens are random: the work does not depend on them. Where a setting has a choice, its default is a guess at
what is fastest; it was not measured.
"""

import argparse
import math
import os
import pathlib
import warnings

# Before transformers is imported: its GGUF reader draws a bar.
os.environ["TQDM_DISABLE"] = "1"

import torch
import transformers
from lm_peer_protocol import add_common, measurement, positive, serve
from transformers import AutoModelForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore", category=FutureWarning)

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
RANK = 8
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPT_TOKENS = 30


def load(args):
    """Loads the model in the precision that was asked for."""
    path = args.model
    where, options = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})
    kind = PRECISIONS[args.precision]
    return AutoModelForCausalLM.from_pretrained(where, dtype=kind, attn_implementation="sdpa", **options)


def random_tokens(model, rows, tokens):
    """Returns tokens that are no special ones of SmolLM2, `[rows, tokens]`."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(17, model.config.vocab_size, (rows, tokens), generator=generator)


class Train:
    """LoRA training; one measurement is `--steps` steps."""

    def __init__(self, args):
        from peft import LoraConfig, get_peft_model

        self.args = args
        torch.manual_seed(args.seed)
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=PROJECTIONS, lora_dropout=0.0)
        keep = args.precision == "bf16" and args.adapters == "bf16"
        self.model = get_peft_model(load(args), config, autocast_adapter_dtype=not keep).train()
        self.model.config.use_cache = False
        self.tokens = random_tokens(self.model, args.rows, args.tokens)
        self.labels = self.tokens.clone()
        self.labels[:, :PROMPT_TOKENS] = -100
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(weights, lr=1e-4, fused=True)
        self.forward = torch.compile(self.loss) if args.compile else self.loss
        self.step()

    def loss(self):
        """Returns the mean cross-entropy of the completions."""
        if self.args.loss == "stock":
            return self.model(input_ids=self.tokens, labels=self.labels).loss
        decoder = self.model.get_base_model()
        hidden = decoder.model(input_ids=self.tokens).last_hidden_state
        logits = decoder.lm_head(hidden[:, PROMPT_TOKENS - 1 : -1].flatten(0, 1))
        return torch.nn.functional.cross_entropy(logits.float(), self.tokens[:, PROMPT_TOKENS:].flatten())

    def step(self):
        """Takes one step and returns the loss before it."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.forward()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def run(self):
        """Takes the steps; returns tokens and what else there is to say."""
        for _ in range(self.args.steps):
            loss = self.step()
        if not math.isfinite(loss):
            raise SystemExit(f"lm_peer: the loss is {loss}: nothing was measured")
        return self.args.steps * self.tokens.numel(), {"loss": loss, "steps": self.args.steps}


class Sample:
    """`generate`; one measurement is all rows."""

    def __init__(self, args):
        self.args = args
        torch.manual_seed(args.seed)
        self.model = load(args).eval()
        self.prompts = random_tokens(self.model, args.rows, PROMPT_TOKENS)
        self.generate(2)

    @torch.inference_mode()
    def generate(self, n_tokens):
        """Returns `n_tokens` new tokens for each prompt."""
        static = {"cache_implementation": "static"} if self.args.cache == "static" else {}
        grown = self.model.generate(
            self.prompts, attention_mask=torch.ones_like(self.prompts), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=n_tokens, eos_token_id=None, pad_token_id=0, use_cache=True, **static,
        )  # fmt: skip
        return grown[:, PROMPT_TOKENS:]

    def run(self):
        """Samples all rows; returns tokens and what else there is to say."""
        new = self.generate(self.args.tokens)
        if new.shape != (self.args.rows, self.args.tokens):
            raise SystemExit(f"lm_peer: {list(new.shape)} tokens were sampled")
        return new.numel(), {"distinct_tokens": new.unique().numel()}


class Score:
    """Log-probabilities of given tokens; one measurement is all rows."""

    def __init__(self, args):
        self.args = args
        self.model = load(args).eval()
        self.tokens = random_tokens(self.model, args.rows, args.tokens)
        self.score(self.tokens[: args.batch])

    @torch.inference_mode()
    def score(self, tokens):
        """Returns the log-probability of every token but the first, `[rows, tokens - 1]`."""
        logits = self.model(tokens, use_cache=False).logits[:, :-1].float()
        return logits.gather(-1, tokens[:, 1:, None])[..., 0] - logits.logsumexp(-1)

    def run(self):
        """Scores all rows; returns tokens and what else there is to say."""
        scores = torch.cat([self.score(batch) for batch in self.tokens.split(self.args.batch)])
        if not scores.isfinite().all():
            raise SystemExit("lm_peer: a log-probability is not a finite number: nothing was measured")
        return self.tokens.numel(), {"loss": -scores.mean().item()}


TASKS = {"train": (Train, 8, 96), "sample": (Sample, 64, 64), "score": (Score, 512, 100)}


def parse_arguments():
    """The settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="task", required=True)
    for task, (_, rows, tokens) in TASKS.items():
        sub = subparsers.add_parser(task)
        sub.add_argument("--model", type=pathlib.Path, required=True, help="GGUF file or Hugging Face folder")
        sub.add_argument("--precision", choices=PRECISIONS, default="f32")
        sub.add_argument("--rows", type=positive, default=rows)
        sub.add_argument("--tokens", type=positive, default=tokens, help="of a row; of `sample`: new ones")
        add_common(sub)
        if task == "train":
            sub.add_argument("--steps", type=positive, default=3, help="in one measurement")
            sub.add_argument("--loss", choices=("stock", "selected"), default="stock")
            sub.add_argument("--adapters", choices=("f32", "bf16"), default="bf16", help="over a bf16 base")
            sub.add_argument("--compile", action="store_true", help="torch.compile the forward pass")
        if task == "sample":
            sub.add_argument("--cache", choices=("dynamic", "static"), default="dynamic")
        if task == "score":
            sub.add_argument("--batch", type=positive, default=16)
    args = parser.parse_args()
    if args.task == "train" and args.tokens <= PROMPT_TOKENS:
        parser.error(f"--tokens: {PROMPT_TOKENS} of them are the prompt")
    return args


def main():
    """Sets the work up, then measures it once or serves."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    work = TASKS[args.task][0](args)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    peer = "peft" if args.task == "train" else "transformers"
    who = {"task": args.task, "peer": peer, "precision": args.precision}
    settings = {**vars(args), **versions}
    serve(args.serve, lambda: measurement(work.run, who, settings), versions)


if __name__ == "__main__":
    main()
