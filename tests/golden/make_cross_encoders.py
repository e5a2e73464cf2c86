"""Writes a small cross-encoder with random weights for every architecture, and the scores that the reference library
(sentence-transformers) computes with each for 200 pairs of texts.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make_cross_encoders.py

Pair number n has the texts `n % 20` and `(n * 7 + n // 20) % 20` of texts.json. The texts have 1 to 660 tokens, so that
many pairs exceed the maximum length of 624 tokens. Scores are computed one pair at a time, so that the reference library
adds no padding.
"""

import json
import pathlib
import shutil
import tempfile

import make_architectures as small
import torch
import transformers
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, processors

PAIRS = [(n % 20, (n * 7 + n // 20) % 20) for n in range(200)]
SIZE = {"hidden_size": small.WIDTH, "num_attention_heads": small.HEADS, "intermediate_size": small.INTERMEDIATE}
SIZE |= {"num_hidden_layers": 2, "max_position_embeddings": small.MAX_POSITIONS, "num_labels": 1}

# The prompt of Qwen3-Reranker, in the form of a chat template.
QWEN3_TEMPLATE = """\
{%- set instruction = messages | selectattr("role", "eq", "system") | map(attribute="content") | first | default("Given a web search query, retrieve relevant passages that answer the query", true) -%}
{%- set query = messages | selectattr("role", "eq", "query") | map(attribute="content") | first -%}
{%- set document = messages | selectattr("role", "eq", "document") | map(attribute="content") | first -%}
<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: {{ instruction }}
<Query>: {{ query }}
<Document>: {{ document }}{{- "<|im_end|>\\n<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n" }}"""


def for_pairs(tokenizer, single: str, pair: str):
    """Gives a tokenizer a template for pairs. `:1` after a token marks the second text."""
    fast: Tokenizer = tokenizer.backend_tokenizer
    special = {part.split(":")[0] for part in pair.split() if not part.startswith("$")}
    ids = [(token, fast.token_to_id(token)) for token in sorted(special)]
    fast.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    tokenizer.model_max_length = small.MAX_POSITIONS - 16
    return tokenizer


def bert_words(folder):
    return for_pairs(small.word_piece(folder), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def roberta_words(folder):
    return for_pairs(small.roberta_words(folder), "<s> $A </s>", "<s> $A </s> </s> $B </s>")


def xlm_roberta_words(folder):
    return for_pairs(small.unigram(folder), "<s> $A </s>", "<s> $A </s> </s> $B </s>")


def mpnet_words(folder):
    return for_pairs(small.mpnet_words(folder), "<s> $A </s>", "<s> $A </s> </s> $B </s>")


def modern_words(folder):
    return for_pairs(small.modern_words(folder), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")


def qwen_words(folder):
    """A tokenizer like Qwen3's: without special tokens around a text, and with tokens for the words yes and no."""
    # Each word is a text of its own, because the tokens of words within a text start with a space.
    corpus, small.CORPUS = small.CORPUS, [*small.CORPUS, *["yes", "no"] * 200]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = small.byte_level(folder, "$A", special, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    small.CORPUS = corpus
    words.add_tokens(["<think>", "</think>"])
    words.model_max_length = small.MAX_POSITIONS - 16
    return words


def bert(words):
    config = transformers.BertConfig(vocab_size=len(words), **SIZE)
    return transformers.BertForSequenceClassification(config)


def roberta(words):
    config = transformers.RobertaConfig(vocab_size=len(words), type_vocab_size=1, pad_token_id=1, **SIZE)
    return transformers.RobertaForSequenceClassification(config)


def xlm_roberta(words):
    config = transformers.XLMRobertaConfig(vocab_size=len(words), type_vocab_size=1, pad_token_id=1, **SIZE)
    return transformers.XLMRobertaForSequenceClassification(config)


def distilbert(words):
    config = transformers.DistilBertConfig(
        vocab_size=len(words), dim=small.WIDTH, n_layers=2, n_heads=small.HEADS, hidden_dim=small.INTERMEDIATE,
        max_position_embeddings=small.MAX_POSITIONS, num_labels=1)
    return transformers.DistilBertForSequenceClassification(config)


def mpnet(words):
    return transformers.MPNetForSequenceClassification(transformers.MPNetConfig(vocab_size=len(words), **SIZE))


def modernbert(words, pooling="mean"):
    config = transformers.ModernBertConfig(
        vocab_size=len(words), local_attention=16, global_attn_every_n_layers=2, classifier_pooling=pooling,
        pad_token_id=words.pad_token_id, cls_token_id=words.cls_token_id, sep_token_id=words.sep_token_id, **SIZE)
    return transformers.ModernBertForSequenceClassification(config)


def modernbert_cls(words):
    return modernbert(words, "cls")


def deberta_words(folder):
    """A tokenizer like DeBERTa v3's: a unigram model with BERT's special tokens."""
    words = small.unigram(folder)
    fast: Tokenizer = words.backend_tokenizer
    fast.add_special_tokens(["[CLS]", "[SEP]"])
    words.cls_token, words.sep_token = "[CLS]", "[SEP]"
    words.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return for_pairs(words, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def deberta_v2(words):
    config = transformers.DebertaV2Config(
        vocab_size=len(words), type_vocab_size=0, relative_attention=True, position_buckets=32, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, max_relative_positions=-1,
        layer_norm_eps=1e-7, pooler_hidden_size=small.WIDTH, **SIZE)
    return transformers.DebertaV2ForSequenceClassification(config)


def qwen3_config(words):
    return transformers.Qwen3Config(
        vocab_size=len(words), num_key_value_heads=2, head_dim=16, rope_theta=1e6, sliding_window=None,
        pad_token_id=words.pad_token_id, **SIZE)


def qwen3(words):
    return transformers.Qwen3ForSequenceClassification(qwen3_config(words))


def qwen3_yes_no(words):
    words.chat_template = QWEN3_TEMPLATE
    return transformers.Qwen3ForCausalLM(qwen3_config(words))


IDENTITY = "torch.nn.modules.linear.Identity"

# Keys: names of models. Values: tokenizer, network, dtype of the stored weights, the folder's form, and fields that are
# added to config.json. "hub": the files that transformers saves, as in older repositories. "library": the files that
# sentence-transformers 6 saves.
SHAPES = {
    "cross_bert": (bert_words, bert, torch.float32, "hub", {"sbert_ce_default_activation_function": IDENTITY}),
    "cross_bert_untyped": (bert_words, bert, torch.float32, "library", {}),
    "cross_roberta": (roberta_words, roberta, torch.float32, "library", {}),
    "cross_xlm_roberta": (xlm_roberta_words, xlm_roberta, torch.float16, "hub", {}),
    "cross_distilbert": (bert_words, distilbert, torch.float32, "library", {}),
    "cross_mpnet": (mpnet_words, mpnet, torch.float32, "library", {}),
    "cross_modernbert": (modern_words, modernbert, torch.bfloat16, "library", {"sentence_transformers": {"activation_fn": IDENTITY, "version": "5.0.0"}}),
    "cross_modernbert_cls": (modern_words, modernbert_cls, torch.float32, "hub", {}),
    "cross_deberta_v2": (deberta_words, deberta_v2, torch.float32, "hub", {}),
    "cross_qwen3": (qwen_words, qwen3, torch.bfloat16, "hub", {}),
    "cross_qwen3_yes_no": (qwen_words, qwen3_yes_no, torch.bfloat16, "library", {}),
}


def make(name: str) -> None:
    tokenizer, network, dtype, form, config = SHAPES[name]
    torch.manual_seed(len(name))
    out = small.OUT / name
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        words = tokenizer(folder)
        (folder / "trained.json").unlink()
        small.randomise(network(words)).to(dtype).save_pretrained(folder)
        words.save_pretrained(folder)
        stored = json.loads((folder / "config.json").read_text()) | config
        (folder / "config.json").write_text(json.dumps(stored, indent=1))
        if name == "cross_bert":
            # With this class, the library passes token types to the network; with the class that `save_pretrained`
            # writes, it does not.
            settings = json.loads((folder / "tokenizer_config.json").read_text())
            settings["tokenizer_class"] = "BertTokenizer"
            (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
        model = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
        if form == "hub":
            shutil.copytree(folder, out)
        else:
            model.save_pretrained(str(out), create_model_card=False)
            shutil.copy(folder / "model.safetensors", out / "model.safetensors")
    scores = [float(model.predict([(small.TEXTS[query], small.TEXTS[document])])[0]) for query, document in PAIRS]
    write_scores(name, scores)


def write_scores(name: str, scores: list[float]) -> None:
    """Writes the scores of a model for all pairs, and prints their range and what the model's folder contains."""
    text = ", ".join(f"{score:.7f}" for score in scores)
    (small.OUT / f"{name}.json").write_text(f'{{"made_by": {json.dumps(small.MADE_BY)}, "scores": [{text}]}}\n')
    out = small.OUT / name
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{name}: scores {min(scores):.3f} to {max(scores):.3f}, {size // 1024} KB", sorted(p.name for p in out.iterdir()))


def main() -> None:
    for name in SHAPES:
        make(name)


if __name__ == "__main__":
    main()
