"""Writes a small checkpoint with random weights for every architecture, and the vectors that the reference library
(sentence-transformers) computes with each checkpoint for 20 texts.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make_architectures.py [NAME ...]

No model hub is needed, because a small network with two to four layers and a width of 32 computes in the same way as a
large network. Every parameter is random, norms and biases too: the initial values of norms and biases (1 and 0) would
hide errors in reading norms and biases. The model folders are complete, and together contain every kind of weights
file, pooling and module that the program reads.

The reference library lacks two architectures. JinaBERT's code is in the repository of JinaBERT's authors, so the class
JinaBert below follows the papers (Günther et al. 2023, arXiv:2310.19923; Press et al. 2022, ALiBi; Shazeer 2020, GLU).
SPECTER2's adapters need the package `adapters`, which needs another version of transformers; see make_adapters.py.
"""

import collections
import json
import math
import pathlib
import shutil
import sys
import tempfile

import sentence_transformers
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
OUT = HERE / "small"
# benches/architectures.py and benches/gpu.py set the following values to make larger checkpoints, with tokenizers that
# are trained on more text. INTERMEDIATE is the width of the feed-forward layer. DEPTH is the number of layers, and
# VOCABULARY the size of the vocabulary. `None`: every architecture has its own value.
WIDTH, HEADS, INTERMEDIATE = 32, 4, 48
MAX_POSITIONS = 640
DEPTH = None
VOCABULARY = None

ABSTRACT = (
    "Glaciers in the accumulation zone store refrozen meltwater as ice lenses that block later percolation. "
    "We follow one such aquifer for six seasons with radar, thermistor strings and shallow cores. "
)
TEXTS = [
    "a",
    "Glaciers melt",
    "glaciers melt",
    "What is the mass of a neutron star?",
    "Attention and memory in sequence models",
    "Émile Borel et la théorie des jeux: une note",
    "量子纠错码的阈值定理",
    "🙂 emoji 🚀 and ∑ ∫ ≤ →",
    "tabs\tand\nnewlines\r\nin   a    text",
    "  space before and after  ",
    "Numbers: 3.14159, 10^-7, 2021-01-11, a_b, C++, O(n log n), p < 0.05",
    r"We prove that $\zeta(s) \neq 0$ for $\Re(s) > 1$.",
    "title: Bees that count. They count to four, and nobody knows why.",
    "word " * 30,
    ABSTRACT,
    ABSTRACT * 2,
    "ice core " * 60,
    ABSTRACT * 4,
    ABSTRACT * 7,
    "melt water " * 330,
]
assert len(TEXTS) == 20
CORPUS = TEXTS


def randomise(network: torch.nn.Module, spread: float = 1.5) -> torch.nn.Module:
    """Sets every parameter to random values that are so large that each parameter changes the result noticeably."""
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1:
            # Gemma's norm weights are around 0, because the network adds 1 to them.
            is_scale = name.endswith("weight") and "gemma" not in type(network).__name__.lower()
            torch.nn.init.uniform_(parameter, is_scale - 0.4, is_scale + 0.4)
        else:
            torch.nn.init.normal_(parameter, 0, 1.0 if "embed" in name or "relative" in name else spread / math.sqrt(parameter.shape[1]))
    return network.eval()


def as_transformers_tokenizer(tokenizer: Tokenizer, folder: pathlib.Path, **special: str) -> transformers.PreTrainedTokenizerFast:
    tokenizer.save(str(folder / "trained.json"))
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "trained.json"), **special)


def most_frequent_words(tokenizer: Tokenizer, count: int) -> list[str]:
    """Returns the `count` most frequent words of the corpus, most frequent first. The trainers of the
    package tokenizers are not used here, because the result of these trainers depends on the order of a hash map."""
    words = collections.Counter()
    for text in CORPUS:
        text = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    return sorted(words, key=lambda word: (-words[word], word))[:count]


def letters(words: list[str]) -> list[str]:
    return sorted({letter for word in words for letter in word})


def word_piece(folder, cls="[CLS]", sep="[SEP]", pad="[PAD]", unk="[UNK]", mask="[MASK]", first=None):
    """A tokenizer like BERT's. MPNet's tokenizer has the same parts and other special tokens."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=unk))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = most_frequent_words(tokenizer, 10**6)
    single = [prefix + letter for letter in letters(words)[:500] for prefix in ("", "##")]
    pieces = [*(first or [pad, unk, cls, sep, mask]), *single, *words]
    vocabulary = list(dict.fromkeys(pieces))[: VOCABULARY or 220]
    tokenizer.model = models.WordPiece({piece: number for number, piece in enumerate(vocabulary)}, unk_token=unk)
    tokenizer.add_special_tokens(vocabulary[:5])
    ids = [(token, tokenizer.token_to_id(token)) for token in (cls, sep)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{cls} $A {sep}", pair=None, special_tokens=ids)
    return as_transformers_tokenizer(tokenizer, folder, cls_token=cls, sep_token=sep, pad_token=pad, unk_token=unk, mask_token=mask)


def byte_level(folder, single, special, **named_tokens):
    """A byte-level BPE tokenizer, like the tokenizers of RoBERTa, ModernBERT and Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=VOCABULARY or 340, special_tokens=special, initial_alphabet=alphabet)
    )
    ids = [(token, tokenizer.token_to_id(token)) for token in special if token in single.split()]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=None, special_tokens=ids)
    return as_transformers_tokenizer(tokenizer, folder, **named_tokens)


def unigram(folder):
    """A SentencePiece unigram tokenizer, like XLM-RoBERTa's."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    words = most_frequent_words(tokenizer, 10**6)
    pieces = list(dict.fromkeys([*special, *letters(words)[:500], *words]))[: VOCABULARY or 200]
    # A longer piece has a higher score than the sum of the scores of its letters.
    scored = [(piece, 0.0 if piece in special else -12.0 / len(piece) - 1e-4 * index) for index, piece in enumerate(pieces)]
    tokenizer.model = models.Unigram(scored, unk_id=3, byte_fallback=False)
    tokenizer.add_special_tokens(special)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair=None, special_tokens=ids)
    return as_transformers_tokenizer(tokenizer, folder, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>")


def byte_fallback_bpe(folder):
    """A tokenizer like Gemma's: BPE that writes spaces as ▁ and has byte tokens for unknown characters."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=VOCABULARY or 420, special_tokens=special))
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<bos>", "<eos>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", pair=None, special_tokens=ids)
    return as_transformers_tokenizer(tokenizer, folder, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def roberta_words(folder):
    return byte_level(
        folder, "<s> $A </s>", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>",
    )


def modern_words(folder):
    return byte_level(
        folder, "[CLS] $A [SEP]", ["[CLS]", "[SEP]", "[PAD]", "[UNK]"],
        cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]",
    )


def qwen_words(folder):
    return byte_level(folder, "$A <|endoftext|>", ["<|endoftext|>"], eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def mpnet_words(folder):
    return word_piece(folder, "<s>", "</s>", "<pad>", "[UNK]", "<mask>", ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])


def distilbert(words):
    return transformers.DistilBertModel(transformers.DistilBertConfig(
        vocab_size=len(words), dim=WIDTH, n_layers=DEPTH or 2, n_heads=HEADS, hidden_dim=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS))


def roberta_like(kind, config, words):
    return kind(config(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS + 2, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5), add_pooling_layer=False)


def roberta(words):
    return roberta_like(transformers.RobertaModel, transformers.RobertaConfig, words)


def xlm_roberta(words):
    return roberta_like(transformers.XLMRobertaModel, transformers.XLMRobertaConfig, words)


def mpnet(words):
    return transformers.MPNetModel(transformers.MPNetConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS + 2, layer_norm_eps=1e-5), add_pooling_layer=False)


def modernbert(words):
    # The four layers have global, local, local and global attention. The window of local attention is shorter than most
    # texts.
    return transformers.ModernBertModel(transformers.ModernBertConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 4, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS, local_attention=24 if WIDTH == 32 else 128, pad_token_id=2, cls_token_id=0, sep_token_id=1,
        bos_token_id=0, eos_token_id=1))


def nomic_bert(words):
    return transformers.NomicBertModel(transformers.NomicBertConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS))


def qwen3(words):
    return transformers.Qwen3Model(transformers.Qwen3Config(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, num_key_value_heads=2,
        head_dim=16 if WIDTH == 32 else WIDTH // HEADS, intermediate_size=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS, rope_theta=1e6, sliding_window=None))


def gemma3(words):
    return transformers.Gemma3TextModel(transformers.Gemma3TextConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 3, num_attention_heads=HEADS, num_key_value_heads=1,
        head_dim=12 if WIDTH == 32 else WIDTH // HEADS, intermediate_size=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS, sliding_window=20 if WIDTH == 32 else 512, query_pre_attn_scalar=20,
        layer_types=None if DEPTH else ["sliding_attention", "sliding_attention", "full_attention"], use_bidirectional_attention=True))


def gemma3_causal(words):
    network = gemma3(words)
    network.config.use_bidirectional_attention = False
    # The library halves the window of bidirectional models, and shortens the window of this model in no way.
    network.config.sliding_window = 20
    return transformers.Gemma3TextModel(network.config)


def qwen3_bidirectional(words):
    network = qwen3(words)
    network.config.is_causal = False
    return network


def qwen2(words):
    return transformers.Qwen2Model(transformers.Qwen2Config(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, num_key_value_heads=2,
        intermediate_size=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS, rope_theta=1e6, use_sliding_window=False))


def mistral(words):
    return transformers.MistralModel(transformers.MistralConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, num_key_value_heads=2,
        head_dim=8, intermediate_size=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS, sliding_window=4096))


def eurobert(words):
    return transformers.EuroBertModel(transformers.EuroBertConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS, pad_token_id=words.pad_token_id))


def gte(words):
    return transformers.GteModel(transformers.GteConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS, type_vocab_size=1))


def electra(words):
    return transformers.ElectraModel(transformers.ElectraConfig(
        vocab_size=len(words), embedding_size=WIDTH // 2, hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS))


def albert(words):
    return transformers.AlbertModel(transformers.AlbertConfig(
        vocab_size=len(words), embedding_size=WIDTH // 2, hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE, max_position_embeddings=MAX_POSITIONS))


def t5(words):
    return transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=INTERMEDIATE, num_layers=DEPTH or 2, num_heads=HEADS,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False, pad_token_id=1, eos_token_id=2))


def deberta_v2(words):
    return transformers.DebertaV2Model(transformers.DebertaV2Config(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS, type_vocab_size=0, relative_attention=True, position_buckets=32, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, max_relative_positions=-1))


def camembert(words):
    return transformers.CamembertModel(transformers.CamembertConfig(
        vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=DEPTH or 2, num_attention_heads=HEADS, intermediate_size=INTERMEDIATE,
        max_position_embeddings=MAX_POSITIONS, type_vocab_size=1, pad_token_id=1))


class JinaBert(torch.nn.Module):
    """JinaBERT (v2): BERT with ALiBi instead of position embeddings, and a gated feed-forward layer. The
    parameters have the same names as in the published checkpoints."""

    def __init__(self, words: int):
        super().__init__()
        block = lambda parts: torch.nn.ModuleDict(parts)
        linear, norm = torch.nn.Linear, lambda: torch.nn.LayerNorm(WIDTH, eps=1e-12)
        self.embeddings = block({
            "word_embeddings": torch.nn.Embedding(words, WIDTH),
            "token_type_embeddings": torch.nn.Embedding(2, WIDTH),
            "LayerNorm": norm(),
        })
        layer = lambda: block({
            "attention": block({
                "self": block({part: linear(WIDTH, WIDTH) for part in ("query", "key", "value")}),
                "output": block({"dense": linear(WIDTH, WIDTH), "LayerNorm": norm()}),
            }),
            "mlp": block({
                "gated_layers": linear(WIDTH, 2 * INTERMEDIATE, bias=False), "wo": linear(INTERMEDIATE, WIDTH), "layernorm": norm(),
            }),
        })
        self.encoder = block({"layer": torch.nn.ModuleList([layer() for _ in range(DEPTH or 2)])})

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        words = self.embeddings["word_embeddings"](ids) + self.embeddings["token_type_embeddings"].weight[0]
        hidden = self.embeddings["LayerNorm"](words)
        positions = torch.arange(len(ids))
        distance = (positions[:, None] - positions[None, :]).abs()
        # Press et al. 2022: if the number of heads is a power of two, the slopes are a geometric sequence that starts
        # at 2^(-8/heads) and has this value as its ratio.
        slopes = torch.tensor([2 ** (-8 * (head + 1) / HEADS) for head in range(HEADS)])
        bias = -slopes[:, None, None] * distance
        for layer in self.encoder["layer"]:
            inputs, out = layer["attention"]["self"], layer["attention"]["output"]
            split = lambda part: inputs[part](hidden).view(len(ids), HEADS, -1).transpose(0, 1)
            scores = split("query") @ split("key").transpose(1, 2) / math.sqrt(WIDTH / HEADS) + bias
            context = (scores.softmax(-1) @ split("value")).transpose(0, 1).reshape(len(ids), WIDTH)
            hidden = out["LayerNorm"](out["dense"](context) + hidden)
            gated, linear = layer["mlp"]["gated_layers"](hidden).split(INTERMEDIATE, -1)
            product = torch.nn.functional.gelu(gated) * linear
            hidden = layer["mlp"]["layernorm"](layer["mlp"]["wo"](product) + hidden)
        return hidden


def save(model: SentenceTransformer, folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model.save(str(folder), create_model_card=False)


def as_binary(folder: pathlib.Path) -> None:
    """Converts the weights to pytorch_model.bin, as in older checkpoints."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def in_shards(folder: pathlib.Path) -> None:
    """Splits the weights into two files, as in large checkpoints."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    (folder / "model.safetensors").unlink()


def with_hub_names(folder: pathlib.Path) -> None:
    """Writes the config.json of nomic_bert in the form that the model's authors published: with other field names, and
    with some values under two names. The weights already have the authors' tensor names."""
    config = json.loads((folder / "config.json").read_text())
    old = {
        "model_type": "nomic_bert", "activation_function": "swiglu", "n_embd": WIDTH, "n_head": HEADS, "n_inner": INTERMEDIATE,
        "n_layer": DEPTH or 2, "n_positions": MAX_POSITIONS, "max_position_embeddings": MAX_POSITIONS // 4, "hidden_size": WIDTH,
        "layer_norm_eps": 1e-12, "vocab_size": config["vocab_size"], "type_vocab_size": 2,
        "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False,
        "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False, "prenorm": False, "use_rms_norm": False,
    }
    (folder / "config.json").write_text(json.dumps(old, indent=1))


def entries(model: SentenceTransformer, prompts: bool, dimensions: list[int]) -> list[dict]:
    """Returns the golden entries of a model: the expected token count and vector of each text. Texts are encoded one
    at a time, so that the reference library adds no padding."""
    made = []

    def add(side, text, vector, dimension=None):
        prompt = ""
        if prompts:
            names = ["query"] if side == "query" else ["document", "passage", "corpus"]
            prompt = next((model.prompts[name] for name in names if name in model.prompts), "")
        length = len(model.tokenizer((prompt or "") + TEXTS[text])["input_ids"])
        max_length = model.max_seq_length
        values = [round(float(value), 7) for value in vector]
        made.append({"side": side, "text": text, "dimensions": dimension, "tokens": min(length, max_length), "truncated": length > max_length, "vector": values})

    for text in range(len(TEXTS)):
        add("paper", text, model.encode_document(TEXTS[text], normalize_embeddings=True))
        if prompts:
            add("query", text, model.encode_query(TEXTS[text], normalize_embeddings=True))
    for dimension in dimensions:
        for text in (1, 4, 14, 19):
            vector = model.encode_document(TEXTS[text], truncate_dim=dimension, normalize_embeddings=True)
            add("paper", text, vector, dimension)
    return made


def write(name: str, made: list[dict], made_by: str) -> None:
    lines = ",\n".join(json.dumps(entry) for entry in made)
    (OUT / f"{name}.json").write_text(f'{{"made_by": {json.dumps(made_by)}, "entries": [\n{lines}\n]}}\n')
    size = sum(file.stat().st_size for file in (OUT / name).rglob("*") if file.is_file())
    print(f"{name}: {len(made)} vectors, {size // 1024} KB")


MADE_BY = f"sentence-transformers {sentence_transformers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"

# Keys: names of models. Values: network, tokenizer, pooling, further modules, prompts, Matryoshka dimensions, dtype of
# the stored weights, and the function that changes the saved folder (None: the folder is not changed).
SHAPES = {
    "distilbert": (distilbert, word_piece, "max", [], {}, [], torch.float32, in_shards),
    "roberta": (roberta, roberta_words, "mean", [], {}, [], torch.float32, as_binary),
    "xlm_roberta": (xlm_roberta, unigram, "cls", ["Normalize"], {"query": "query: ", "passage": "passage: "}, [], torch.float16, None),
    "mpnet": (mpnet, mpnet_words, "mean", ["Normalize"], {}, [], torch.float32, None),
    "modernbert": (modernbert, modern_words, "cls", [], {}, [16], torch.bfloat16, None),
    "nomic_bert": (nomic_bert, word_piece, "mean", ["Normalize"], {"query": "search_query: ", "document": "search_document: "}, [12], torch.float32, None),
    "nomic_bert_hub": (nomic_bert, word_piece, "weightedmean", [], {}, [], torch.float32, with_hub_names),
    "qwen3": (qwen3, qwen_words, "lasttoken", ["Normalize"], {"query": "Instruct: Find papers like this one\nQuery:", "document": ""}, [8, 24], torch.bfloat16, None),
    "camembert": (camembert, unigram, "mean", [], {}, [], torch.float32, None),
    "gte": (gte, word_piece, "cls", [], {}, [], torch.float32, None),
    "electra": (electra, word_piece, "mean", [], {}, [], torch.float32, None),
    "albert": (albert, word_piece, "mean", [], {}, [], torch.float32, None),
    "t5": (t5, unigram, "mean", ["Dense"], {}, [], torch.float32, None),
    "deberta_v2": (deberta_v2, word_piece, "cls", [], {}, [], torch.float32, None),
    "qwen2": (qwen2, qwen_words, "lasttoken", ["Normalize"], {}, [], torch.bfloat16, None),
    "mistral": (mistral, qwen_words, "lasttoken", [], {}, [], torch.float32, None),
    "eurobert": (eurobert, modern_words, "mean", [], {}, [], torch.float32, None),
    "qwen3_bidirectional": (qwen3_bidirectional, qwen_words, "mean", [], {}, [], torch.float32, None),
    "gemma3_causal": (gemma3_causal, byte_fallback_bpe, "lasttoken", [], {}, [], torch.float32, None),
    "gemma3": (gemma3, byte_fallback_bpe, "mean", ["Dense", "Dense", "Normalize"], {"query": "task: search result | query: ", "document": "title: none | text: "}, [16], torch.float32, None),
}


STATIC = ["static", "model2vec"]


def build(name: str) -> SentenceTransformer:
    """Makes a model and saves it in its folder. `make` then changes the folder if SHAPES has a function for this."""
    network, tokenizer, pooling, further, prompts, _, dtype, _ = SHAPES[name]
    torch.manual_seed(len(name))
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        words = tokenizer(folder)
        # The weights are rounded to `dtype` and stored; the reference library computes in f32 with the rounded weights.
        randomise(network(words)).to(dtype).save_pretrained(folder)
        words.save_pretrained(folder)
        transformer = Transformer(str(folder), max_seq_length=MAX_POSITIONS - 16, model_kwargs={"dtype": torch.float32})
        modules = [transformer, Pooling(WIDTH, pooling_mode=pooling)]
        width = WIDTH
        for kind in further:
            if kind == "Dense":
                # The first dense module lengthens vectors and has an activation function; the second dense module
                # shortens vectors and has no activation function.
                is_first = width == WIDTH
                modules.append(Dense(width, 40 if is_first else 24, bias=is_first, activation_function=torch.nn.Tanh() if is_first else torch.nn.Identity()))
                width = 40 if is_first else 24
            else:
                modules.append(Normalize())
        model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts or None).eval()
        save(model, OUT / name)
        if dtype != torch.float32:
            shutil.copy(folder / "model.safetensors", OUT / name / "model.safetensors")
    return model


def make(name: str) -> None:
    prompts, dimensions, _, change = SHAPES[name][4:]
    made = entries(build(name), bool(prompts), dimensions)
    if change:
        change(OUT / name)
    write(name, made, MADE_BY)


def make_jina() -> None:
    """Writes a folder that resembles the repository of JinaBERT's authors: model_type is bert, and
    position_embedding_type is alibi."""
    torch.manual_seed(4)
    folder = OUT / "jina_bert"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = word_piece(folder)
    (folder / "trained.json").unlink()
    words.model_max_length = MAX_POSITIONS - 16
    words.save_pretrained(folder)
    network = randomise(JinaBert(len(words)))
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
    config = {
        "architectures": ["JinaBertForMaskedLM"], "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": "geglu",
        "hidden_act": "gelu", "hidden_size": WIDTH, "num_hidden_layers": DEPTH or 2, "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE,
        "vocab_size": len(words), "max_position_embeddings": MAX_POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]
    listed = [{"idx": i, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (name, path, kind) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(listed, indent=1))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": MAX_POSITIONS - 16, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True}))
    made = []
    for text, value in enumerate(TEXTS):
        ids = words(value, truncation=True, max_length=MAX_POSITIONS - 16)["input_ids"]
        with torch.no_grad():
            vector = torch.nn.functional.normalize(network(torch.tensor(ids)).mean(0), dim=0)
        truncated = len(words(value)["input_ids"]) > len(ids)
        made.append({"side": "paper", "text": text, "dimensions": None, "tokens": len(ids), "truncated": truncated, "vector": [round(float(x), 7) for x in vector]})
    write("jina_bert", made, f"JinaBert in this script, torch {torch.__version__}")


def make_static(name: str, is_model2vec: bool) -> None:
    """Writes a static model: a table of random token vectors. In model2vec's format, tokens share vectors and have
    weights."""
    torch.manual_seed(len(name))
    folder = OUT / name
    with tempfile.TemporaryDirectory() as temporary:
        words = word_piece(pathlib.Path(temporary)).backend_tokenizer
    words.no_truncation()
    save(SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=WIDTH), Normalize()], device="cpu"), folder)
    if is_model2vec:
        count = words.get_vocab_size()
        mapping = torch.randint(0, count // 2, (count,))
        vectors = torch.randn(count // 2, WIDTH).to(torch.float16)
        tensors = {"embeddings": vectors, "mapping": mapping, "weights": torch.rand(count, dtype=torch.float64)}
        table = next(folder.rglob("model.safetensors"))
        save_file(tensors, table)
        (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": True}))
    model = SentenceTransformer(str(folder), device="cpu")
    made = []
    for text, value in enumerate(TEXTS):
        tokens = len(words.encode(value, add_special_tokens=False).ids)
        vector = [round(float(x), 7) for x in model.encode(value, normalize_embeddings=True)]
        made.append({"side": "paper", "text": text, "dimensions": None, "tokens": tokens, "truncated": False, "vector": vector})
    write(name, made, MADE_BY)


def make_poolings() -> None:
    """Writes the vectors of the mpnet checkpoint with every pooling. The test sets each pooling in a copy of the
    checkpoint."""
    made = []
    for mode in Pooling.POOLING_MODES:
        model = SentenceTransformer(str(OUT / "mpnet"), device="cpu")
        model[1].pooling_mode = mode
        for text in (0, 4, 14):
            vector = model.encode(TEXTS[text], normalize_embeddings=True)
            made.append({"pooling": mode, "text": text, "vector": [round(float(x), 7) for x in vector]})
    lines = ",\n".join(json.dumps(entry) for entry in made)
    (OUT / "poolings.json").write_text(f'{{"made_by": {json.dumps(MADE_BY)}, "entries": [\n{lines}\n]}}\n')


def main() -> None:
    OUT.mkdir(exist_ok=True)
    if names := sys.argv[1:]:
        # Only these models.
        for name in names:
            make_static(name, name == "model2vec") if name in STATIC else make(name)
        return
    (OUT / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n")
    for name in SHAPES:
        make(name)
    for name in STATIC:
        make_static(name, name == "model2vec")
    make_jina()
    make_poolings()


if __name__ == "__main__":
    main()
