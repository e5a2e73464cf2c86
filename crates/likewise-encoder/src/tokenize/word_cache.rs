//! Remembers the tokens of words, so that most of a text is not tokenised again. Static models need this: their time is
//! that of the tokenizer.
//!
//! The tokens of a text are the tokens of its words only for some tokenizers: those of BERT, which split texts at spaces,
//! and SentencePiece's BPE, if the character for a space (`▁`) only begins tokens, as in Llama's vocabulary. Texts with
//! added tokens, such as `[MASK]`, are left to the tokenizers library, and so are unusual spaces in BPE.

use ahash::RandomState;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{ModelWrapper, Tokenizer};

/// Number of maps that share the words, so that threads seldom wait for each other.
const SHARDS: usize = 64;

/// Maximum number of words per map. Texts have ever new words, such as numbers; these need not be remembered.
const MAX_WORDS_PER_SHARD: usize = 1 << 13;

/// Maximum length of a remembered word, in bytes.
const MAX_WORD_BYTES: usize = 48;

/// How a tokenizer treats the spaces between words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spaces {
    /// They separate words and have no tokens: BERT.
    Separate,
    /// A space begins a word: SentencePiece. Only single spaces between words are like that.
    BeginWords,
}

/// The token ids of words.
type Words = HashMap<Box<str>, Box<[u32]>, RandomState>;

/// The tokens of words.
pub struct WordCache {
    /// The tokenizer, without truncation.
    tokenizer: Tokenizer,
    spaces: Spaces,
    /// The contents of added tokens.
    added: Vec<String>,
    shards: Vec<RwLock<Words>>,
    hasher: RandomState,
}

impl WordCache {
    /// Creates an empty cache. `None`: the tokens of a text are not always those of its words, or this is not known.
    pub fn of(tokenizer: &Tokenizer) -> Option<WordCache> {
        let spaces = spaces(tokenizer)?;
        let added = tokenizer.get_added_tokens_decoder().into_values();
        let added: Option<Vec<String>> =
            added.map(|token| Some(token.content.clone()).filter(|_| !token.normalized)).collect();
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let mut tokenizer = tokenizer.clone();
        tokenizer.with_truncation(None).ok()?;
        Some(WordCache { tokenizer, spaces, added: added?, shards, hasher: RandomState::new() })
    }

    /// Returns the token ids of a text, without special tokens; at most `max_tokens`, or one more if the text has more.
    /// `None`: the text must be tokenised as a whole.
    ///
    /// # Errors
    /// Returns the errors of the tokenizers library.
    pub fn token_ids(&self, text: &str, max_tokens: usize) -> tokenizers::Result<Option<Vec<u32>>> {
        if !self.is_plain(text) {
            return Ok(None);
        }
        // Abstracts have about one token per four bytes.
        let mut ids = Vec::with_capacity(text.len() / 4);
        for word in text.split(' ') {
            self.append(word, &mut ids)?;
            if ids.len() > max_tokens {
                ids.truncate(max_tokens + 1);
                break;
            }
        }
        Ok(Some(ids))
    }

    /// Whether the tokens of a text are those of its words.
    fn is_plain(&self, text: &str) -> bool {
        let has_unusual_spaces =
            || text.is_empty() || text.starts_with(' ') || text.ends_with(' ') || text.contains("  ");
        let is_regular = self.spaces == Spaces::Separate || !(has_unusual_spaces() || text.contains('▁'));
        is_regular && !self.added.iter().any(|added| text.contains(added.as_str()))
    }

    fn append(&self, word: &str, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        if word.is_empty() {
            return Ok(());
        }
        let shard = &self.shards[self.hasher.hash_one(word) as usize % SHARDS];
        if let Some(known) = shard.read().unwrap_or_else(PoisonError::into_inner).get(word) {
            ids.extend_from_slice(known);
            return Ok(());
        }
        let encoding = self.tokenizer.encode_fast(word, false)?;
        ids.extend_from_slice(encoding.get_ids());
        if word.len() <= MAX_WORD_BYTES {
            let mut words = shard.write().unwrap_or_else(PoisonError::into_inner);
            if words.len() < MAX_WORDS_PER_SHARD {
                words.insert(word.into(), encoding.get_ids().into());
            }
        }
        Ok(())
    }
}

/// How the tokenizer treats spaces. `None`: in another way.
fn spaces(tokenizer: &Tokenizer) -> Option<Spaces> {
    let normalizer = tokenizer.get_normalizer();
    match (tokenizer.get_model(), tokenizer.get_pre_tokenizer()) {
        (ModelWrapper::WordPiece(_), Some(PreTokenizerWrapper::BertPreTokenizer(_))) => {
            let is_bert = matches!(normalizer, None | Some(NormalizerWrapper::BertNormalizer(_)));
            is_bert.then_some(Spaces::Separate)
        }
        (ModelWrapper::BPE(model), None) => {
            let is_within_word = |token: &String| !token.trim_start_matches('▁').contains('▁');
            let is_llama = model.byte_fallback
                && !model.ignore_merges
                && is_llama_normalizer(normalizer)
                && tokenizer.get_vocab(false).keys().all(is_within_word);
            is_llama.then_some(Spaces::BeginWords)
        }
        _ => None,
    }
}

/// Whether a normaliser puts `▁` before the text and in the place of each space, and does nothing else.
fn is_llama_normalizer(normalizer: Option<&NormalizerWrapper>) -> bool {
    let Some(NormalizerWrapper::Sequence(sequence)) = normalizer else { return false };
    match sequence.as_ref() {
        [NormalizerWrapper::Prepend(_), NormalizerWrapper::Replace(_)] => {
            let text = serde_json::to_value(normalizer).unwrap_or_default();
            let steps = &text["normalizers"];
            steps[0]["prepend"] == "▁" && steps[1]["pattern"]["String"] == " " && steps[1]["content"] == "▁"
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;
    use tokenizers::AddedToken;
    use tokenizers::models::bpe::BPE;
    use tokenizers::normalizers::{Prepend, Replace, Sequence};

    /// A tokenizer like Llama's, with few tokens.
    fn llama() -> Tokenizer {
        let bytes = (0..=255_u32).map(|byte| format!("<0x{byte:02X}>"));
        let pieces = ["<unk>", "▁", "a", "b", "c", "▁▁", "▁a", "ab", "▁ab", "bc", "▁▁a"].map(String::from);
        let vocabulary = pieces.into_iter().chain(bytes).zip(0..).collect::<ahash::AHashMap<String, u32>>();
        let merges = [("▁", "▁"), ("▁", "a"), ("a", "b"), ("▁", "ab"), ("b", "c"), ("▁▁", "a")];
        let merges = merges.map(|(one, other)| (one.to_string(), other.to_string())).to_vec();
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .unk_token("<unk>".into())
            .byte_fallback(true)
            .fuse_unk(true)
            .build()
            .unwrap();
        let mut tokenizer = Tokenizer::new(model);
        let steps: Vec<NormalizerWrapper> =
            vec![Prepend::new("▁".into()).into(), Replace::new(" ", "▁").unwrap().into()];
        tokenizer.with_normalizer(Some(Sequence::new(steps))).unwrap();
        tokenizer.add_special_tokens([AddedToken::from("<s>", true)]).unwrap();
        tokenizer
    }

    fn bert() -> Tokenizer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/small/static/tokenizer.json");
        Tokenizer::from_file(path).unwrap()
    }

    static TOKENIZERS: LazyLock<[(Tokenizer, WordCache); 2]> = LazyLock::new(|| {
        [llama(), bert()].map(|tokenizer| {
            let cache = WordCache::of(&tokenizer).expect("the tokenizer is of a known kind");
            (tokenizer, cache)
        })
    });

    proptest! {
        #[test]
        fn tokens_of_words_are_those_of_the_whole_text(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    " ", " ", " ", "a", "b", "c", "ab", "abc", "▁", "<s>", "[MASK]", "\n", "é", "E\u{301}", "學", "melt,",
                    "(glaciers)", "🙂", "\u{a0}", "3.14",
                ]),
                0..24,
            ),
        ) {
            let text = parts.concat();
            for (tokenizer, cache) in TOKENIZERS.iter() {
                let whole = tokenizer.encode_fast(text.as_str(), false).unwrap();
                // Twice: the second time, the words are known.
                for _ in 0..2 {
                    if let Some(ids) = cache.token_ids(&text, 1000).unwrap() {
                        prop_assert_eq!(&ids, whole.get_ids(), "{:?}", text);
                    }
                }
            }
        }
    }

    #[test]
    fn ordinary_texts_are_tokenised_by_words_and_cut() {
        for (_, cache) in TOKENIZERS.iter() {
            let ids = cache.token_ids("ab abc ab", 1000).unwrap().unwrap();
            let cut = cache.token_ids("ab abc ab", 2).unwrap().unwrap();
            assert_eq!(cut, ids[..3], "one token more than the maximum shows that the text was cut");
        }
        let (_, cache) = &TOKENIZERS[0];
        assert!(cache.token_ids("a  b", 9).unwrap().is_none(), "two spaces");
        assert!(cache.token_ids("a <s> b", 9).unwrap().is_none(), "an added token");
    }

    #[test]
    fn other_tokenizers_have_no_words() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/small/roberta/tokenizer.json");
        assert!(WordCache::of(&Tokenizer::from_file(path).unwrap()).is_none());
    }
}
