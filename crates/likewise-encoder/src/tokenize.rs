//! Tokenises texts and packs them into batches of a limited number of tokens.
//!
//! Texts are tokenised before they are packed, so that their lengths are known exactly: all texts of a call at once, or
//! on a GPU chunk by chunk. Texts are packed in order of length, longest first. The last batches then contain the short
//! texts, and all cores finish at about the same time. Sorting also saves padding where batches are padded: texts in
//! order of arrival would take 1.8 times the work.

pub mod pairs;
mod word_cache;

use crate::batch::Sequence;
use crate::error::{Error, Result, UnreadableText};
use crate::model::{BertNormalizer, Family, InputType, ModelFolder, ModelKind, TOKENIZER};
use likewise_base::disk;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::OnceLock;
use tokenizers::normalizers::{self, Lowercase, NormalizerWrapper};
use tokenizers::{
    AddedToken, Encoding, Model, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy,
};
use word_cache::WordCache;

/// Before a text is tokenised, it is cut to this many bytes per token of the model's maximum length. Tokens of ordinary
/// texts are far shorter, so the cut removes only what the model would not read. (Runs of thousands of spaces are an
/// exception.) The cut avoids tokenising a whole book if the model reads only the first page.
const MAX_BYTES_PER_TOKEN: usize = 1024;

/// Texts of at most this many bytes together are tokenised on the caller's thread.
const MAX_SEQUENTIAL_BYTES: usize = 8192;

/// The token ids of one text, or of one pair of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// The token ids, including special tokens. There are at most as many as the model's maximum length; a pair of a model
    /// with late interaction has those of the query and of the document.
    pub ids: Vec<u32>,
    /// Whether a part of the text was cut off.
    pub truncated: bool,
    /// Whether the text is a document or a query.
    pub input_type: InputType,
    /// Index of the first token of the second text of a pair; see [`Sequence`].
    pub second_text: usize,
    /// Number of tokens, from the first on, that tokens attend to; see [`Sequence`].
    pub attended: usize,
}

impl Tokenized {
    /// The tokens, as the input of a network.
    pub fn sequence(&self) -> Sequence<'_> {
        Sequence { ids: &self.ids, second_text: self.second_text, attended: self.attended }
    }
}

/// The side on which a text is cut if it is too long for the model. Hugging Face's tokenizers use the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruncationSide {
    /// The end is cut off: the model reads the first tokens.
    Right,
    /// The beginning is cut off: the model reads the last tokens.
    Left,
}

/// Options for encoding texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Whether the texts are documents or queries.
    pub input_type: InputType,
    /// The prompt that is put before each text. Empty: no prompt.
    pub prompt: String,
    /// The side on which texts that are too long for the model are cut.
    pub truncation_side: TruncationSide,
}

/// A model's tokenizer. It truncates texts to the model's maximum length.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// A copy of `inner` that truncates on the left. It is created on first use.
    left_truncating: OnceLock<tokenizers::Tokenizer>,
    max_length: usize,
    max_bytes: usize,
    /// The model has no vector for tokens with this id or a higher id. `usize::MAX` if config.json does not state it.
    vocabulary_size: usize,
    /// Whether texts get special tokens such as `[CLS]`. Static models have no vectors for them.
    adds_special_tokens: bool,
    /// The id of the separator after which tokens have the token type of a second text. `None`: there is none.
    separator: Option<u32>,
    /// The tokens of words. `None`: texts are tokenised as a whole.
    words: Option<WordCache>,
}

/// A character that is in no vocabulary: the last private-use character of Unicode.
const UNKNOWN_CHARACTER: &str = "\u{10fffd}";

impl Tokenizer {
    /// Loads `tokenizer.json`. Like sentence-transformers, this ignores the truncation and padding settings in the
    /// file: for example, the file of all-MiniLM-L6-v2 says 128 tokens, but the model reads 256.
    ///
    /// # Errors
    /// [`Error::Model`] if tokenizer.json is missing or damaged, does not fit the model's vocabulary, or has no token
    /// for unknown characters; or if the special tokens take up the whole maximum length.
    pub fn load(folder: &ModelFolder) -> Result<Tokenizer> {
        let path = folder.network().join(TOKENIZER);
        let refused = |error: tokenizers::Error| {
            Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
        };
        let text = disk::read_text(&path).map_err(|error| refused(error.into()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(text).map_err(refused)?;
        let tokens = inner.get_vocab_size(false);
        if let Some(vectors) = folder.vocabulary_size.filter(|vectors| *vectors < tokens) {
            return Err(refused(
                format!("has {tokens} tokens, but the model has vectors for {vectors}").into(),
            ));
        }
        if let Err(error) = inner.get_model().tokenize(UNKNOWN_CHARACTER) {
            return Err(refused(
                format!("has no token for unknown characters ({error}), so texts that contain one cannot be encoded")
                    .into(),
            ));
        }
        if let Some(normalizer) = &folder.config.normalizer {
            let BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase } = *normalizer;
            let normalizer =
                normalizers::BertNormalizer::new(clean_text, handle_chinese_chars, strip_accents, lowercase);
            inner.with_normalizer(Some(normalizer)).map_err(refused)?;
        }
        if folder.config.lowercase {
            add_lowercase_normalizer(&mut inner).map_err(refused)?;
        }
        let is_pair = matches!(folder.config.kind, ModelKind::CrossEncoder(_));
        let adds_special_tokens = folder.family != Family::Static;
        let processor = inner.get_post_processor().filter(|_| adds_special_tokens);
        let special = processor.map_or(0, |processor| processor.added_tokens(is_pair));
        let max_length = folder.config.max_length;
        // The tokenizers library subtracts `special` from `max_length`, which would underflow.
        if max_length <= special {
            let error = prompt_too_long(max_length, special, "");
            return Err(Error::Model(format!("{}: {error}", folder.path.display())));
        }
        inner
            .with_truncation(Some(truncation(max_length, TruncationDirection::Right)))
            .map_err(refused)?
            .with_padding(None);
        let (left_truncating, max_bytes) = (OnceLock::new(), max_length * MAX_BYTES_PER_TOKEN);
        let vocabulary_size = folder.vocabulary_size.unwrap_or(usize::MAX);
        // Networks take so long that the tokenizer's time does not matter.
        let words = if adds_special_tokens { None } else { WordCache::of(&inner) };
        let separator = folder.config.join.as_ref().filter(|_| folder.config.pair);
        let separator = separator.map(|join| {
            let unknown =
                || refused(format!("has no token {join:?}, the separator `join` in model.toml").into());
            inner.token_to_id(join.trim()).ok_or_else(unknown)
        });
        let separator = separator.transpose()?;
        Ok(Tokenizer {
            inner,
            left_truncating,
            max_length,
            max_bytes,
            vocabulary_size,
            adds_special_tokens,
            separator,
            words,
        })
    }

    /// The id of a token. `None`: there is no such token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Makes the tokenizer treat each of these texts, or else its first word, as one token, if it is in the vocabulary.
    pub fn with_markers(mut self, folder: &ModelFolder, markers: &[String]) -> Result<Tokenizer> {
        for marker in markers {
            let first_word = marker.split_whitespace().next().unwrap_or_default();
            let known = [marker.as_str(), first_word].into_iter().find(|text| self.token_id(text).is_some());
            if let Some(token) = known {
                let added = self.inner.add_special_tokens([AddedToken::from(token, true).normalized(false)]);
                added.map_err(|error| crate::error::damaged(&folder.network().join(TOKENIZER), error))?;
            }
        }
        Ok(self)
    }

    /// The ids of the special tokens, such as `[CLS]`.
    pub fn special_tokens(&self) -> Vec<u32> {
        let added = self.inner.get_added_tokens_decoder().into_iter();
        added.filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }

    /// Returns [`Error::Model`] if the prompt and the special tokens take up the model's whole maximum length.
    pub fn check_prompt_length(&self, options: &EncodeOptions) -> Result<()> {
        let (max_length, used) = (self.max_length, self.tokenize(&[""], options)?[0].ids.len());
        if used < max_length {
            return Ok(());
        }
        Err(prompt_too_long(max_length, used, &options.prompt))
    }

    /// Tokenises texts in parallel. Returns one result per text, in the order of `texts`.
    ///
    /// # Errors
    /// [`Error::Texts`] lists all texts with a token that the model has no vector for; [`Error::Invalid`] if the
    /// tokenizers library fails on a text.
    pub fn tokenize(&self, texts: &[&str], options: &EncodeOptions) -> Result<Vec<Tokenized>> {
        let EncodeOptions { input_type, prompt, truncation_side } = options;
        let kept_bytes = |text: &str| match truncation_side {
            TruncationSide::Right => 0..text.floor_char_boundary(self.max_bytes),
            TruncationSide::Left => {
                text.ceil_char_boundary(text.len().saturating_sub(self.max_bytes))..text.len()
            }
        };
        let inputs = texts.iter().map(|text| self.with_prompt(&text[kept_bytes(text)], options));
        let inputs: Vec<(Cow<str>, bool)> = inputs.collect::<Result<_>>()?;
        let inner = match truncation_side {
            // If there is a prompt, `with_prompt` has already cut the text. Truncating on the left here would cut off
            // the prompt.
            TruncationSide::Left if prompt.is_empty() => self.left_truncating()?,
            _ => &self.inner,
        };
        let prompted: Vec<&str> = inputs.iter().map(|(input, _)| &**input).collect();
        if let Some(words) = self.words.as_ref().filter(|_| *truncation_side == TruncationSide::Right) {
            return self.tokenize_words(words, &prompted, *input_type);
        }
        let bytes: usize = prompted.iter().map(|text| text.len()).sum();
        let encodings = match bytes {
            // Not in the thread pool, where short texts would wait for all texts that are already being tokenised there.
            ..=MAX_SEQUENTIAL_BYTES => {
                prompted.into_iter().map(|text| inner.encode_fast(text, self.adds_special_tokens)).collect()
            }
            _ => inner.encode_batch_fast(prompted, self.adds_special_tokens),
        };
        let encodings = encodings.map_err(cannot_tokenize)?;
        self.check_token_ids(encodings.iter().map(|encoding| encoding.get_ids()))?;
        let tokenized = |((encoding, text), (_, is_cut)): ((Encoding, &&str), &(_, bool))| Tokenized {
            truncated: *is_cut || !encoding.get_overflowing().is_empty() || text.len() > self.max_bytes,
            ids: encoding.get_ids().to_vec(),
            second_text: self.second_text(encoding.get_ids()),
            attended: encoding.len(),
            input_type: *input_type,
        };
        Ok(encodings.into_iter().zip(texts).zip(&inputs).map(tokenized).collect())
    }

    /// Index of the first token after the first separator, or the number of tokens.
    fn second_text(&self, ids: &[u32]) -> usize {
        let after_separator = |separator: u32| Some(ids.iter().position(|id| *id == separator)? + 1);
        self.separator.and_then(after_separator).unwrap_or(ids.len())
    }

    /// Tokenises texts word by word, and as a whole only those for which that could give other tokens.
    fn tokenize_words(
        &self,
        words: &WordCache,
        texts: &[&str],
        input_type: InputType,
    ) -> Result<Vec<Tokenized>> {
        let tokenize = |text: &&str| -> tokenizers::Result<Tokenized> {
            let (ids, is_cut) = match words.token_ids(text, self.max_length)? {
                Some(mut ids) => {
                    let is_cut = ids.len() > self.max_length;
                    ids.truncate(self.max_length);
                    (ids, is_cut)
                }
                None => {
                    let encoding = self.inner.encode_fast(*text, self.adds_special_tokens)?;
                    (encoding.get_ids().to_vec(), !encoding.get_overflowing().is_empty())
                }
            };
            let truncated = is_cut || text.len() > self.max_bytes;
            Ok(Tokenized { second_text: ids.len(), attended: ids.len(), ids, truncated, input_type })
        };
        let tokenized: tokenizers::Result<Vec<Tokenized>> = texts.par_iter().map(tokenize).collect();
        let tokenized = tokenized.map_err(cannot_tokenize)?;
        self.check_token_ids(tokenized.iter().map(|text| &text.ids[..]))?;
        Ok(tokenized)
    }

    /// Returns [`Error::Texts`] if texts contain tokens that the model has no vectors for. Tokenizers of supported
    /// models have such tokens (EmbeddingGemma's tokenizer has a token for images), so this is an error of the texts
    /// and not of the model folder.
    fn check_token_ids<'a>(&self, texts: impl Iterator<Item = &'a [u32]>) -> Result<()> {
        let unreadable = |(index, ids): (usize, &[u32])| {
            let id = *ids.iter().find(|id| **id as usize >= self.vocabulary_size)?;
            let token = self.inner.id_to_token(id).unwrap_or_default();
            let reason = format!("the model has no vector for the token {token:?}; remove it from the text");
            Some(UnreadableText { index, reason })
        };
        let texts: Vec<UnreadableText> = texts.enumerate().filter_map(unreadable).collect();
        if texts.is_empty() { Ok(()) } else { Err(Error::Texts(texts)) }
    }

    /// Puts the prompt before a text. If there is a prompt and a text that is too long has to be cut on the left,
    /// removes the beginning of the text here, to make room for the prompt. Returns the prompt with the text, and
    /// whether a part of the text was removed.
    fn with_prompt<'a>(&self, text: &'a str, options: &EncodeOptions) -> Result<(Cow<'a, str>, bool)> {
        let EncodeOptions { prompt, truncation_side, .. } = options;
        let start = match truncation_side {
            TruncationSide::Left if !prompt.is_empty() => self.fitting_tail(text, prompt)?,
            _ => 0,
        };
        let text = match &text[start..] {
            text if prompt.is_empty() => Cow::Borrowed(text),
            text => Cow::Owned(format!("{prompt}{text}")),
        };
        Ok((text, start > 0))
    }

    /// Returns the smallest byte index from which on the text fits within the model's maximum length, with the prompt
    /// before it.
    fn fitting_tail(&self, text: &str, prompt: &str) -> Result<usize> {
        let prompt_tokens =
            self.inner.encode_fast(prompt, self.adds_special_tokens).map_err(cannot_tokenize)?.len();
        let encoding =
            self.left_truncating()?.encode(text, self.adds_special_tokens).map_err(cannot_tokenize)?;
        let tokens = encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask());
        let starts: Vec<usize> =
            tokens.filter(|(_, special)| **special == 0).map(|((start, _), _)| *start).collect();
        // Prompt and text are encoded as one text, so special tokens are counted once: in `prompt_tokens`, not in
        // `starts`.
        let removed = (starts.len() + prompt_tokens).saturating_sub(self.max_length);
        if removed == 0 && encoding.get_overflowing().is_empty() {
            return Ok(0);
        }
        Ok(starts.get(removed).map_or(text.len(), |start| text.floor_char_boundary(*start)))
    }

    /// Number of leading bytes of a text that fit within the model's maximum length, with the prompt before them. If
    /// the text cannot be tokenised, returns the length of the whole text.
    pub fn fitting_bytes(&self, text: &str, options: &EncodeOptions) -> usize {
        let head = &text[..text.floor_char_boundary(self.max_bytes)];
        let Ok((prompted, _)) = self.with_prompt(head, options) else { return text.len() };
        let Ok(encoding) = self.inner.encode(&*prompted, self.adds_special_tokens) else { return text.len() };
        let end = encoding.get_offsets().iter().map(|(_, end)| *end).max().unwrap_or_default();
        let end = end.saturating_sub(options.prompt.len()).min(head.len());
        if encoding.get_overflowing().is_empty() { head.len() } else { text.floor_char_boundary(end) }
    }

    fn left_truncating(&self) -> Result<&tokenizers::Tokenizer> {
        if self.left_truncating.get().is_none() {
            let mut inner = self.inner.clone();
            inner.with_truncation(Some(truncation(self.max_length, TruncationDirection::Left))).map_err(
                |error| Error::Model(format!("the tokenizer cannot truncate on the left: {error}")),
            )?;
            // If another thread has set the cell meanwhile, it has set an equal tokenizer.
            let _ = self.left_truncating.set(inner);
        }
        Ok(self.left_truncating.get().expect("it was set above"))
    }
}

/// Makes a tokenizer convert texts to lower case, as sentence-transformers does. The tokenizer then converts only the
/// text between special tokens, before its own normalisation.
fn add_lowercase_normalizer(tokenizer: &mut tokenizers::Tokenizer) -> tokenizers::Result<()> {
    let own = match tokenizer.get_normalizer() {
        None => Vec::new(),
        Some(NormalizerWrapper::Sequence(sequence)) => sequence.as_ref().to_vec(),
        Some(other) => vec![other.clone()],
    };
    if own.iter().any(|normalizer| matches!(normalizer, NormalizerWrapper::Lowercase(_))) {
        return Ok(());
    }
    let all = [vec![Lowercase.into()], own].concat();
    tokenizer.with_normalizer(Some(normalizers::Sequence::new(all))).map(drop)
}

fn prompt_too_long(max_length: usize, used: usize, prompt: &str) -> Error {
    let prompt: String = prompt.chars().take(60).collect();
    Error::Model(format!(
        "the model reads at most {max_length} tokens, and the special tokens and the prompt {prompt:?} already take \
         {used}; shorten the prompt, or correct the maximum length (max_length in model.toml, max_seq_length in \
         sentence_bert_config.json, or model_max_length in tokenizer_config.json)"
    ))
}

fn cannot_tokenize(error: tokenizers::Error) -> Error {
    Error::Invalid(format!("the text cannot be tokenised: {error}"))
}

fn truncation(max_length: usize, direction: TruncationDirection) -> TruncationParams {
    let strategy = TruncationStrategy::LongestFirst;
    TruncationParams { max_length, strategy, direction, ..TruncationParams::default() }
}

/// Which texts can be in the same batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchGrouping {
    /// A batch can contain both documents and queries.
    Mixed,
    /// All texts of a batch have the same [`InputType`].
    ByInputType,
}

/// Packs texts, longest first, into batches of at most `budget` tokens. With [`BatchGrouping::ByInputType`], all
/// documents come before all queries. A text that is longer than the budget gets a batch of its own. Returns the
/// batches as lists of indices into `texts`; every text is in exactly one batch.
pub fn pack(texts: &[Tokenized], budget: usize, grouping: BatchGrouping) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    let is_query = |text: usize| match grouping {
        BatchGrouping::Mixed => false,
        BatchGrouping::ByInputType => texts[text].input_type == InputType::Query,
    };
    order.sort_by_key(|&text| (is_query(text), std::cmp::Reverse(texts[text].ids.len())));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for text in order {
        let length = texts[text].ids.len();
        let fits =
            |batch: &&mut Vec<usize>| tokens + length <= budget && is_query(batch[0]) == is_query(text);
        match batches.last_mut().filter(fits) {
            Some(batch) => batch.push(text),
            None => {
                batches.push(vec![text]);
                tokens = 0;
            }
        }
        tokens += length;
    }
    batches
}

/// Number of batches per worker up to which texts are packed evenly. With more batches, workers finish at about the same
/// time anyway.
const MAX_EVEN_BATCHES: usize = 4;

/// Packs texts into batches of at most `budget` tokens, like [`pack`] with [`BatchGrouping::Mixed`]. If there are only few
/// batches, all workers get as many, of about the same number of tokens: otherwise one worker would compute the last
/// batch while the others wait. Each text goes to the batch with the fewest tokens, the longest first (Graham 1969).
pub fn pack_evenly(texts: &[Tokenized], budget: usize, workers: usize) -> Vec<Vec<usize>> {
    let batches = pack(texts, budget, BatchGrouping::Mixed);
    if batches.len() < 2 || workers < 2 || batches.len() > MAX_EVEN_BATCHES * workers {
        return batches;
    }
    let tokens: usize = texts.iter().map(|text| text.ids.len()).sum();
    let min_count = tokens.div_ceil(budget).next_multiple_of(workers);
    // With the minimum number of batches, long texts may not fit.
    [min_count, min_count + workers]
        .into_iter()
        .find_map(|count| divide(texts, &batches.concat(), count, budget))
        .unwrap_or(batches)
}

/// Divides the texts `order`, longest first, into `count` batches. `None`: a batch exceeds the budget.
fn divide(texts: &[Tokenized], order: &[usize], count: usize, budget: usize) -> Option<Vec<Vec<usize>>> {
    let mut batches: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); count];
    for &text in order {
        let (tokens, batch) = batches.iter_mut().min_by_key(|(tokens, _)| *tokens)?;
        *tokens += texts[text].ids.len();
        batch.push(text);
    }
    batches.retain(|(_, batch)| !batch.is_empty());
    let fits = batches.iter().all(|(tokens, batch)| *tokens <= budget || batch.len() == 1);
    fits.then(|| batches.into_iter().map(|(_, batch)| batch).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(length: usize, input_type: InputType) -> Tokenized {
        Tokenized {
            ids: vec![7; length],
            truncated: false,
            second_text: length,
            attended: length,
            input_type,
        }
    }

    #[test]
    fn workers_get_equal_shares_of_few_texts() {
        let texts: Vec<Tokenized> =
            [300, 290, 280, 270, 260, 250, 240].map(|length| text(length, InputType::Document)).into();
        let tokens = |batches: &[Vec<usize>]| -> Vec<usize> {
            batches.iter().map(|batch| batch.iter().map(|&index| texts[index].ids.len()).sum()).collect()
        };
        assert_eq!(tokens(&pack(&texts, 900, BatchGrouping::Mixed)), [870, 780, 240]);
        assert_eq!(tokens(&pack_evenly(&texts, 900, 2)), [300, 530, 530, 530]);
        assert_eq!(tokens(&pack_evenly(&texts, 1100, 2)), [830, 1060]);
    }

    #[test]
    fn short_texts_are_tokenised_although_all_threads_of_the_pool_are_busy() {
        let models = std::path::Path::new("no-models-here");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/small-bert");
        let folder = ModelFolder::open(folder, models, crate::model::Precision::F32).unwrap();
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let options = EncodeOptions {
            input_type: InputType::Query,
            prompt: String::new(),
            truncation_side: TruncationSide::Right,
        };
        let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy = std::sync::Arc::clone(&is_over);
        rayon::spawn_broadcast(move |_| {
            while !busy.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(tokenizer.tokenize(&["Glaciers", "melt"], &options)));
        let tokenized = receiver.recv_timeout(std::time::Duration::from_secs(10));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(tokenized.expect("the texts must not wait").unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn every_text_is_in_exactly_one_batch_within_the_budget(
            lengths in proptest::collection::vec(1_usize..300, 0..60),
            budget in 1_usize..700,
            separate: bool,
        ) {
            let grouping = if separate { BatchGrouping::ByInputType } else { BatchGrouping::Mixed };
            let input_type =
                |length: usize| if length.is_multiple_of(3) { InputType::Query } else { InputType::Document };
            let texts: Vec<Tokenized> =
                lengths.iter().map(|length| text(*length, input_type(*length))).collect();
            for batches in [pack(&texts, budget, grouping), pack_evenly(&texts, budget, 3)] {
                let mut seen = batches.concat();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
                for batch in &batches {
                    let tokens: usize = batch.iter().map(|&text| lengths[text]).sum();
                    prop_assert!(batch.len() == 1 || tokens <= budget);
                }
            }
            for batch in pack(&texts, budget, grouping) {
                let first = texts[batch[0]].input_type;
                prop_assert!(!separate || batch.iter().all(|&text| texts[text].input_type == first));
            }
        }
    }
}
