//! Texts → token ids, sorted by length and packed into token-budget batches.
//!
//! Its own file because batches are formed by what the tokenizer says: everything is tokenised first, so
//! lengths are known exactly, and sorted, so that the last batches are the short ones and all cores end
//! together. (Where a batch is padded, mixed lengths in arrival order would cost 1.8 times the work.)

use crate::error::{Error, Result, UnreadableText};
use crate::model::{BertNormalizer, ModelFolder, Side, Stated, TOKENIZER};
use likewise_base::disk;
use std::borrow::Cow;
use std::sync::OnceLock;
use tokenizers::normalizers::{self, Lowercase, NormalizerWrapper, Sequence};
use tokenizers::{Encoding, Model, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy};

/// Bytes of a text that are looked at for each token that is read. Words are shorter, and nobody who
/// waits for an answer should wait for the tokens of a whole book, of which all but the first are cut.
const MAX_BYTES_A_TOKEN: usize = 1024;

/// One text's token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// Ids, special tokens included; at most the model's maximum length.
    pub ids: Vec<u32>,
    /// Whether the text had more.
    pub truncated: bool,
    /// What it is to a search.
    pub side: Side,
}

/// Texts of similar length: their places in the list that was packed.
pub type Batch = Vec<usize>;

/// Which part of a text is read, if the model cannot read all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The first tokens.
    Beginning,
    /// The last tokens.
    End,
}

/// How texts are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What they are to a search.
    pub side: Side,
    /// What is put before each.
    pub prompt: String,
    /// Which part of one that is too long.
    pub keep: Keep,
}

/// A model's tokenizer, reading as much as the model does.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, cutting at the other end; made when somebody asks for it.
    ends: OnceLock<tokenizers::Tokenizer>,
    max_length: usize,
    max_bytes: usize,
    /// Tokens that the model has vectors for; those of higher ids have none.
    vectors: usize,
}

/// A character that no vocabulary has: the last one that is for private use.
const UNKNOWN: &str = "\u{10fffd}";

impl Tokenizer {
    /// Loads `tokenizer.json`, overriding its own truncation and padding: sentence-transformers
    /// ignores them too (all-MiniLM-L6-v2's says 128 where the model reads 256).
    pub fn load(folder: &ModelFolder) -> Result<Tokenizer> {
        let path = folder.network().join(TOKENIZER);
        let refused = |error: tokenizers::Error| {
            Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
        };
        let text = disk::read_text(&path).map_err(|error| refused(error.into()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(text).map_err(refused)?;
        let tokens = inner.get_vocab_size(false);
        if let Some(vectors) = folder.vocabulary.filter(|vectors| *vectors < tokens) {
            return Err(refused(
                format!("has {tokens} tokens, but the model has vectors for {vectors}").into(),
            ));
        }
        if let Err(error) = inner.get_model().tokenize(UNKNOWN) {
            return Err(refused(
                format!("a character that it does not know has no token ({error}), so that a text may be unreadable").into(),
            ));
        }
        if let Some(normalizer) = &folder.stated.normalizer {
            let BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase } = *normalizer;
            let normalizer =
                normalizers::BertNormalizer::new(clean_text, handle_chinese_chars, strip_accents, lowercase);
            inner.with_normalizer(Some(normalizer)).map_err(refused)?;
        }
        if folder.stated.lowercase {
            put_into_lower_case(&mut inner).map_err(refused)?;
        }
        let special = inner.get_post_processor().map_or(0, |after| after.added_tokens(false));
        // The library takes the one from the other.
        if folder.stated.max_length <= special {
            let error = no_room(folder.stated.max_length, special, "");
            return Err(Error::Model(format!("{}: {error}", folder.path.display())));
        }
        inner
            .with_truncation(Some(truncation(folder.stated.max_length, TruncationDirection::Right)))
            .map_err(refused)?
            .with_padding(None);
        let Stated { max_length, .. } = folder.stated;
        let (ends, max_bytes) = (OnceLock::new(), max_length * MAX_BYTES_A_TOKEN);
        let vectors = folder.vocabulary.unwrap_or(usize::MAX);
        Ok(Tokenizer { inner, ends, max_length, max_bytes, vectors })
    }

    /// Refuses a reading that leaves no room for a text.
    pub fn check_room(&self, reading: &Reading) -> Result<()> {
        let (most, taken) = (self.max_length, self.tokenize(&[""], reading)?[0].ids.len());
        if taken < most {
            return Ok(());
        }
        Err(no_room(most, taken, &reading.prompt))
    }

    /// Tokenises texts, in parallel; the answer has their order.
    ///
    /// # Errors
    /// [`Error::Texts`] names all that the model cannot read: those with a token that it has no vector for.
    pub fn tokenize(&self, texts: &[&str], reading: &Reading) -> Result<Vec<Tokenized>> {
        let Reading { side, prompt, keep } = reading;
        let part = |text: &str| match keep {
            Keep::Beginning => 0..text.floor_char_boundary(self.max_bytes),
            Keep::End => text.ceil_char_boundary(text.len().saturating_sub(self.max_bytes))..text.len(),
        };
        let parts = texts.iter().map(|text| self.prompted(&text[part(text)], reading));
        let parts: Vec<(Cow<str>, bool)> = parts.collect::<Result<_>>()?;
        let inner = match keep {
            // What is put before it would be the first to be cut.
            Keep::End if prompt.is_empty() => self.ends()?,
            _ => &self.inner,
        };
        let inputs: Vec<&str> = parts.iter().map(|(part, _)| &**part).collect();
        let encodings = self.readable(inner.encode_batch_fast(inputs, true).map_err(untokenisable)?)?;
        let read = |((encoding, text), (_, is_cut)): ((Encoding, &&str), &(_, bool))| Tokenized {
            truncated: *is_cut || !encoding.get_overflowing().is_empty() || text.len() > self.max_bytes,
            ids: encoding.get_ids().to_vec(),
            side: *side,
        };
        Ok(encodings.into_iter().zip(texts).zip(&parts).map(read).collect())
    }

    /// Refuses texts with tokens that the model has no vectors for. Tokenizers of good models have such tokens
    /// (EmbeddingGemma's has one for images), so that the model is not refused for them.
    fn readable(&self, encodings: Vec<Encoding>) -> Result<Vec<Encoding>> {
        let unreadable = |(index, encoding): (usize, &Encoding)| {
            let id = *encoding.get_ids().iter().find(|id| **id as usize >= self.vectors)?;
            let token = self.inner.id_to_token(id).unwrap_or_default();
            let reason = format!("the model has no vector for the token {token:?}; leave it out of the text");
            Some(UnreadableText { index, reason })
        };
        let texts: Vec<UnreadableText> = encodings.iter().enumerate().filter_map(unreadable).collect();
        if texts.is_empty() { Ok(encodings) } else { Err(Error::Texts(texts)) }
    }

    /// A text as the tokenizer gets it, and whether its beginning was left out to make room for the prompt.
    fn prompted<'a>(&self, text: &'a str, reading: &Reading) -> Result<(Cow<'a, str>, bool)> {
        let Reading { prompt, keep, .. } = reading;
        let start = match keep {
            Keep::End if !prompt.is_empty() => self.tail(text, prompt)?,
            _ => 0,
        };
        let text = match &text[start..] {
            text if prompt.is_empty() => Cow::Borrowed(text),
            text => Cow::Owned(format!("{prompt}{text}")),
        };
        Ok((text, start > 0))
    }

    /// Where the end of a text begins that there is room for behind a prompt.
    fn tail(&self, text: &str, prompt: &str) -> Result<usize> {
        let prompt = self.inner.encode_fast(prompt, true).map_err(untokenisable)?.len();
        let encoding = self.ends()?.encode(text, true).map_err(untokenisable)?;
        let tokens = encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask());
        let starts: Vec<usize> =
            tokens.filter(|(_, special)| **special == 0).map(|((start, _), _)| *start).collect();
        // The prompt's own special tokens stand for the text's, too.
        let passed = (starts.len() + prompt).saturating_sub(self.max_length);
        if passed == 0 && encoding.get_overflowing().is_empty() {
            return Ok(0);
        }
        Ok(starts.get(passed).map_or(text.len(), |start| text.floor_char_boundary(*start)))
    }

    /// Where the last token ends that is read of a text, in bytes; all of it, if that cannot be said.
    pub fn read_bytes(&self, text: &str, reading: &Reading) -> usize {
        let head = &text[..text.floor_char_boundary(self.max_bytes)];
        let Ok((prompted, _)) = self.prompted(head, reading) else { return text.len() };
        let Ok(encoding) = self.inner.encode(&*prompted, true) else { return text.len() };
        let end = encoding.get_offsets().iter().map(|(_, end)| *end).max().unwrap_or_default();
        let end = end.saturating_sub(reading.prompt.len()).min(head.len());
        if encoding.get_overflowing().is_empty() { head.len() } else { text.floor_char_boundary(end) }
    }

    fn ends(&self) -> Result<&tokenizers::Tokenizer> {
        if self.ends.get().is_none() {
            let mut inner = self.inner.clone();
            inner.with_truncation(Some(truncation(self.max_length, TruncationDirection::Left))).map_err(
                |error| Error::Model(format!("the tokenizer cannot cut at the beginning: {error}")),
            )?;
            // Whoever else made one meanwhile made the same.
            let _ = self.ends.set(inner);
        }
        Ok(self.ends.get().expect("it was set above"))
    }
}

/// Lets a tokenizer read texts in lower case, as sentence-transformers does it: the text between special tokens, before
/// the tokenizer's own normalisation.
fn put_into_lower_case(tokenizer: &mut tokenizers::Tokenizer) -> tokenizers::Result<()> {
    let own = match tokenizer.get_normalizer() {
        None => Vec::new(),
        Some(NormalizerWrapper::Sequence(sequence)) => sequence.as_ref().to_vec(),
        Some(other) => vec![other.clone()],
    };
    if own.iter().any(|normalizer| matches!(normalizer, NormalizerWrapper::Lowercase(_))) {
        return Ok(());
    }
    let all = [vec![Lowercase.into()], own].concat();
    tokenizer.with_normalizer(Some(Sequence::new(all))).map(drop)
}

fn no_room(most: usize, taken: usize, prompt: &str) -> Error {
    let prompt: String = prompt.chars().take(60).collect();
    Error::Model(format!(
        "of a text the model reads {most} tokens, of which special ones and the prompt {prompt:?} take {taken}; shorten the \
         prompt, or correct max_seq_length, model_max_length, or model.toml's max_length"
    ))
}

fn untokenisable(error: tokenizers::Error) -> Error {
    Error::Invalid(format!("the text cannot be tokenised: {error}"))
}

fn truncation(max_length: usize, direction: TruncationDirection) -> TruncationParams {
    let strategy = TruncationStrategy::LongestFirst;
    TruncationParams { max_length, strategy, direction, ..TruncationParams::default() }
}

/// Packs texts, longest first, into batches of at most `budget` tokens; a text that is longer than the
/// budget gets a batch of its own. Every text is in exactly one batch; if `sides_apart`, with none of the other side.
pub fn pack(texts: &[Tokenized], budget: usize, sides_apart: bool) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    let side = |text: usize| if sides_apart { texts[text].side } else { Side::Paper };
    order.sort_by_key(|&text| (side(text) == Side::Query, std::cmp::Reverse(texts[text].ids.len())));
    let mut batches: Vec<Batch> = Vec::new();
    let mut tokens = 0;
    for text in order {
        let length = texts[text].ids.len();
        match batches.last_mut().filter(|batch| tokens + length <= budget && side(batch[0]) == side(text)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_in_exactly_one_batch_within_the_budget(
            lengths in proptest::collection::vec(1_usize..300, 0..60),
            budget in 1_usize..700,
            sides_apart: bool,
        ) {
            let texts: Vec<Tokenized> = lengths
                .iter()
                .map(|&length| Tokenized {
                    ids: vec![7; length],
                    truncated: false,
                    side: if length % 3 == 0 { Side::Query } else { Side::Paper },
                })
                .collect();
            let batches = pack(&texts, budget, sides_apart);
            let mut seen = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
            for batch in &batches {
                let tokens: usize = batch.iter().map(|&text| lengths[text]).sum();
                prop_assert!(batch.len() == 1 || tokens <= budget);
                prop_assert!(!sides_apart || batch.iter().all(|&text| texts[text].side == texts[batch[0]].side));
            }
        }
    }
}
