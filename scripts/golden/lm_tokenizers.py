#!/usr/bin/env python3
"""Writes the reference values the tokenizers are tested against.

    python scripts/golden/lm_tokenizers.py crates/lm/tests/golden/tokenizers [--smollm2 SmolLM2-135M-Instruct.Q4_1.gguf]

Needs `tokenizers`, `sentencepiece`, `gguf` and `xllamacpp`; their versions are in the files. One file for each style of
tokenizer: a tiny one, trained on the words below, as `tokenizer.json` and as the arrays of a GGUF file, and for every
text below the ids that the crate `tokenizers` gives with the first and llama.cpp with the second, with special tokens
parsed (`parse`) and as text (`plain`). `tokenizers` also decodes. Where `sentencepiece` itself disagrees with llama.cpp,
at texts that hold its sign for spaces, there are its ids too; at other texts the script fails.

With `--smollm2`, llama.cpp's ids for the vocabulary of that file go to `smollm2.json`.
"""

import argparse
import importlib.metadata
import io
import json
import pathlib
import tempfile
import unicodedata
import urllib.request

import gguf
import numpy as np
import sentencepiece
import xllamacpp
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FORMAT_VERSION = 1
VOCABULARY = 700
PACKAGES = ("tokenizers", "sentencepiece", "gguf", "xllamacpp")

CORPUS = """
The owl sat in the old tree and watched the river. It had watched the river for many years, and it knew every stone.
"You're late," said the owl. "I'm not," said the fox, "they'll tell you that we've been here since 10 o'clock."
He'd never seen so many boats: 12, 120, 1200 and then 3456789 of them, counted twice. It's what it is, isn't it?
Numbers: 7, 42, 813, 512, 99, 0, 365, 1024, 77, 640, 128, 3, 14, 15, 926, 535, 897, 932, 384, 626, 433, 832, 795.
def watch(river, owl=None):
    if owl is None:
        return [stone for stone in river if stone.is_known()]
    for year in range(100):
        owl.count += 1    # every year the owl counts again
    return owl.count * 2 - 1

Über den Fluss führte eine schmale Brücke; größer war keine weit und breit. Wie schön, sagte die Eule, daß ihr übt.
Le café était fermé, où donc déjeuner? Le hibou préféra la forêt, l'été et les rivières.
Сова сидела на старом дереве и смотрела на реку. 川の石を数える梟は、古い木に座っていた。 河里的石头,猫头鹰都认识。
An owl is a bird. A fox is not a bird. The fox asked the owl which animal it liked best, and the owl said: owls.
What is the answer? The answer is: {"answer": [1, 2, 3], "sure": true}. Are you sure? Yes! No... maybe?
1. Write down ten numbers, separated by commas.
2. Do not explain them; the numbers speak for themselves.

\tTabs, too, and    runs of spaces,   and a line that ends in spaces   
Emoji 😀 and 👩‍👩‍👧 and flags 🇩🇪 are characters of several bytes.
""".strip("\n")

TEXTS = [
    "",
    " ",
    "  ",
    "   ",
    "a",
    " a",
    "  a",
    "a ",
    "a  b   c    d",
    "\n",
    "\n\n",
    "\n\n\n\n\n",
    " \n \n",
    "a\nb\n\nc\n\n\nd",
    "line\r\nbreak\r\n\r\n",
    "\t\ttabs\tand  spaces \t ",
    "The owl sat in the old tree.",
    "the owl, the fox; the river: 'stone' \"boat\"",
    "You're I'm they'll we've he'd it's isn't o'clock",
    "YOU'RE I'M THEY'LL WE'VE HE'D IT'S ISN'T",
    "'s 't 'hello ''ll",
    "0 7 42 813 1024 3456789 12345678901234567890",
    "1, 22, 333, 4444",
    "512,99, 0,365",
    "3.14 1e-5 -7 +8 50% $9.99 #1",
    "x1y22z333 4a 5b",
    "½ ² Ⅷ ٣ ४२ 五",
    "Über größer schöne Brücke",
    "café naïve",
    "cafe\u0301 nai\u0308ve A\u030a",
    "Сова смотрела",
    "川の石を数える梟",
    "河里的石头,猫头鹰",
    "مرحبا بالعالم",
    "😀 emoji 👩‍👩‍👧 and 🇩🇪!",
    "😀😀😀",
    "a\u00a0b\u2003c\u3000d",
    "zero\u200bwidth \ufeffbom",
    "def watch(river, owl=None):\n    return [stone for stone in river]\n",
    "        eight spaces\n    four\n",
    '{"answer": [1, 2, 3], "sure": true}',
    "!?!?... --- *** ((())) <<>> </>",
    "a_b-c.d/e\\f@g#h",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "qzxv wvu",
    "▁ already ▁▁ there",
    "<s> </s> <unk> <0x0A> <|",
    "\x00\x01\x1f\x7f",
]

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def train_byte_level(splitters, specials, normalizer=None, ignore_merges=False, specials_in_vocabulary=False):
    """Returns a byte-level BPE tokenizer; `specials` follow the vocabulary, or are its first tokens."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splitters) if len(splitters) > 1 else splitters[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=specials if specials_in_vocabulary else [],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    if not specials_in_vocabulary:
        tokenizer.add_special_tokens(specials)
    return tokenizer


def byte_level_arrays(tokenizer, pre):
    """Returns what a GGUF file says of a byte-level tokenizer."""
    spec = json.loads(tokenizer.to_str())
    added = {token["id"]: token for token in spec["added_tokens"]}
    size = tokenizer.get_vocab_size()
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in spec["model"]["merges"]]
    return {
        "model": "gpt2",
        "pre": pre,
        "tokens": [tokenizer.id_to_token(i) for i in range(size)],
        "token_types": [
            (CONTROL if added[i]["special"] else USER_DEFINED) if i in added else NORMAL for i in range(size)
        ],
        "merges": merges,
    }


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def llama3():
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = train_byte_level([isolated(LLAMA3), byte_level(False)], specials, ignore_merges=True)
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)]
            ),
        ]
    )
    # The last tokens lose their merges: only `ignore_merges` finds them, where they are whole pieces.
    spec = json.loads(tokenizer.to_str())
    del spec["model"]["merges"][-40:]
    texts = ["<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", " <|eot_id|> \n", "<|eot_id|"]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    arrays = byte_level_arrays(tokenizer, "llama-bpe")
    return tokenizer, arrays, {"bos": "<|begin_of_text|>", "eos": "<|eot_id|>"}, texts


def qwen2():
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = train_byte_level([isolated(QWEN2), byte_level(False)], specials, normalizers.NFC())
    plain = dict(special=False, normalized=False)
    tokenizer.add_tokens([AddedToken("<tool_call>", **plain), AddedToken("</tool_call>", **plain)])
    texts = ["<|im_start|>user\nHi<|im_end|>\n", "a<tool_call>{}</tool_call>b", "<|im_end|><|im_end|>"]
    return tokenizer, byte_level_arrays(tokenizer, "qwen2"), {"eos": "<|im_end|>", "pad": "<|endoftext|>"}, texts


def smollm():
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"]
    splitters = [pre_tokenizers.Digits(individual_digits=True), byte_level(True)]
    tokenizer = train_byte_level(splitters, specials, specials_in_vocabulary=True)
    texts = ["<|im_start|>user\nHi<|im_end|>\n", "<repo_name>owl/river", "1<|endoftext|>2"]
    roles = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>"}
    return tokenizer, byte_level_arrays(tokenizer, "smollm"), roles, texts


def train_sentencepiece(dummy_prefix, control, user_defined):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=dummy_prefix,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        control_symbols=control,
        user_defined_symbols=user_defined,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def sentencepiece_arrays(processor, dummy_prefix, user_defined):
    """Returns what a GGUF file says of a SentencePiece model."""
    tokens, scores, types = [], [], []
    for i in range(processor.vocab_size()):
        token, ty = processor.id_to_piece(i), NORMAL
        if processor.is_unknown(i):
            ty = UNKNOWN
        elif processor.is_control(i):
            ty = CONTROL
        elif processor.is_byte(i):
            ty = BYTE
        # The Python package does not tell user-defined from normal.
        elif token in user_defined:
            ty = USER_DEFINED
            token = token.replace("▁", " ")
        tokens.append(token)
        scores.append(processor.get_score(i))
        types.append(ty)
    return {
        "model": "llama",
        "pre": None,
        "tokens": tokens,
        "scores": [float(np.float32(score)) for score in scores],
        "token_types": types,
        "merges": [],
        "add_space_prefix": dummy_prefix,
    }


USER_DEFINED_PIECES = ["\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "<b>"]


def sentencepiece_json(processor, arrays, user_defined):
    """Returns a BPE tokenizer of the same pieces: every split of a piece into two pieces is a merge, best score first."""
    pieces = [processor.id_to_piece(i) for i in range(processor.vocab_size())]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    mergeable = {i for i, ty in enumerate(arrays["token_types"]) if ty in (NORMAL, USER_DEFINED)}
    merges = []
    for piece, i in vocabulary.items():
        for cut in range(1, len(piece)):
            left, right = vocabulary.get(piece[:cut]), vocabulary.get(piece[cut:])
            if i in mergeable and left in mergeable and right in mergeable:
                merges.append((-arrays["scores"][i], left, right))
    merges = [(pieces[left], pieces[right]) for _, left, right in sorted(merges)]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    control = [pieces[i] for i, ty in enumerate(arrays["token_types"]) if ty in (UNKNOWN, CONTROL)]
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in control])
    tokenizer.add_tokens([AddedToken(piece, special=False, normalized=False) for piece in user_defined])
    return tokenizer


def gemma():
    processor = train_sentencepiece(False, ["<start_of_turn>", "<end_of_turn>"], USER_DEFINED_PIECES)
    arrays = sentencepiece_arrays(processor, False, USER_DEFINED_PIECES)
    tokenizer = sentencepiece_json(processor, arrays, USER_DEFINED_PIECES)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    texts = ["<s><start_of_turn>user\nHi<end_of_turn>\n", "a<b>c", "<end_of_turn> a"]
    return tokenizer, arrays, {"bos": "<s>", "eos": "</s>", "eot": "<end_of_turn>"}, texts, processor


def llama2():
    processor = train_sentencepiece(True, [], [])
    arrays = sentencepiece_arrays(processor, True, [])
    tokenizer = sentencepiece_json(processor, arrays, [])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    texts = ["<s>[INST] Hi [/INST] Hello </s><s>[INST]", "a</s> b"]
    return tokenizer, arrays, {"bos": "<s>", "eos": "</s>"}, texts, processor


def metaspace():
    """The pieces of `llama2`, spaces put only before the text; there is no such GGUF file."""
    tokenizer, _, roles, texts, _ = llama2()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return tokenizer, None, roles, texts


STYLES = {style.__name__: style for style in (llama3, qwen2, smollm, gemma, llama2, metaspace)}


class LlamaCpp:
    """llama.cpp's tokenizer of a GGUF file, asked over its server."""

    def __init__(self, path):
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.warmup, params.n_gpu_layers = 64, 1, False, 0
        params.fit_params = False
        params.port = 0
        self.server = xllamacpp.Server(params)

    def ids(self, text, parse):
        body = json.dumps({"content": text, "add_special": False, "parse_special": parse}).encode()
        request = urllib.request.Request(
            self.server.listening_address + "/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)["tokens"]


def write_gguf(path, arrays, roles):
    """Writes a model of one tiny layer around a vocabulary: llama.cpp loads no vocabulary alone."""
    width, n_tokens = 32, len(arrays["tokens"])
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(arrays["model"])
    if arrays["pre"]:
        writer.add_tokenizer_pre(arrays["pre"])
    writer.add_token_list(arrays["tokens"])
    writer.add_token_types(arrays["token_types"])
    if "scores" in arrays:
        writer.add_token_scores(arrays["scores"])
        writer.add_add_space_prefix(arrays["add_space_prefix"])
    if arrays["merges"]:
        writer.add_token_merges(arrays["merges"])
    for role, add in (("bos", writer.add_bos_token_id), ("eos", writer.add_eos_token_id)):
        if role in roles:
            add(arrays["tokens"].index(roles[role]))
    shapes = {"attn_q": 2, "attn_k": 2, "attn_v": 2, "attn_output": 2, "ffn_gate": 2, "ffn_up": 2, "ffn_down": 2}
    shapes |= {"attn_norm": 1, "ffn_norm": 1}
    writer.add_tensor("token_embd.weight", np.ones((n_tokens, width), np.float32))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name, dimensions in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.ones((width,) * dimensions, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def json_case(tokenizer, text):
    tokenizer.encode_special_tokens = False
    parse = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    return {"parse": parse, "plain": plain, "decoded": tokenizer.decode(parse, skip_special_tokens=True)}


def style_file(name):
    tokenizer, arrays, roles, texts, *processor = STYLES[name]()
    llama_cpp = None
    if arrays:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.gguf"
            write_gguf(path, arrays, roles)
            llama_cpp = LlamaCpp(path)
    cases = []
    for text in TEXTS + texts:
        case = {"text": text, "json": json_case(tokenizer, text)}
        if unicodedata.normalize("NFC", text) != text:
            case["nfc_changes_it"] = True
        if llama_cpp:
            case["gguf"] = {"parse": llama_cpp.ids(text, True), "plain": llama_cpp.ids(text, False)}
        if processor and not any(special in text for special in ("<s>", "</s>", "<unk>", "_of_turn>")):
            ids = processor[0].encode(text)
            # To SentencePiece, a `▁` in a text is a space like any other, to llama.cpp not if spaces are user-defined.
            if ids != case["gguf"]["plain"]:
                if "▁" not in text:
                    raise SystemExit(f"{name}: sentencepiece and llama.cpp disagree on {text!r}")
                case["sentencepiece"] = ids
        cases.append(case)
    roles = {role: tokenizer.token_to_id(token) for role, token in roles.items()}
    return {
        "tokenizer_json": json.loads(tokenizer.to_str()),
        "gguf": arrays,
        "roles": roles,
        "cases": cases,
    }


def smollm2_file(path):
    llama_cpp = LlamaCpp(path)
    texts = TEXTS + smollm()[3] + ["<|im_start|>system\nYou count owls.<|im_end|>\n<|im_start|>user\n"]
    modes = (("parse", True), ("plain", False))
    ids = [{name: llama_cpp.ids(text, parse) for name, parse in modes} for text in texts]
    return {"cases": [{"text": text, "gguf": ids} for text, ids in zip(texts, ids)]}


def write(folder, name, content):
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    content = {"format_version": FORMAT_VERSION, "versions": versions} | content
    with open(folder / f"{name}.json", "w") as file:
        # One case a line: readable differences, small files.
        cases = content.pop("cases")
        file.write(json.dumps(content, ensure_ascii=False)[:-1] + ',\n"cases": [\n')
        file.write(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
        file.write("\n]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--smollm2", type=pathlib.Path)
    arguments = parser.parse_args()
    for name in STYLES:
        write(arguments.folder, name, style_file(name))
    if arguments.smollm2:
        write(arguments.folder, "smollm2", smollm2_file(arguments.smollm2))


if __name__ == "__main__":
    main()
