//! Texts → token ids, sorted by length and packed into token-budget batches.
//!
//! Its own file because batches are formed by what the tokenizer says: everything is tokenised first, so
//! lengths are known exactly, and sorted, so that the last batches are the short ones and all cores end
//! together. (Where a batch is padded, mixed lengths in arrival order would cost 1.8 times the work.)

use crate::error::{Error, Result};
use crate::model::{ModelFolder, TOKENIZER};
use std::sync::OnceLock;
use tokenizers::{TruncationDirection, TruncationParams, TruncationStrategy};

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

/// A model's tokenizer, reading as much as the model does.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, cutting at the other end; made when somebody asks for it.
    ends: OnceLock<tokenizers::Tokenizer>,
    max_length: usize,
    max_bytes: usize,
}

impl Tokenizer {
    /// Loads `tokenizer.json`, overriding its own truncation and padding: sentence-transformers
    /// ignores them too (all-MiniLM-L6-v2's says 128 where the model reads 256).
    pub fn load(folder: &ModelFolder) -> Result<Tokenizer> {
        let path = folder.path.join(TOKENIZER);
        let refused = |error: tokenizers::Error| {
            Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
        };
        let mut inner = tokenizers::Tokenizer::from_file(&path).map_err(refused)?;
        inner
            .with_truncation(Some(truncation(folder.max_length, TruncationDirection::Right)))
            .map_err(refused)?
            .with_padding(None);
        let (ends, max_length) = (OnceLock::new(), folder.max_length);
        Ok(Tokenizer { inner, ends, max_length, max_bytes: max_length * MAX_BYTES_A_TOKEN })
    }

    /// Tokenises texts, in parallel; the answer has their order.
    pub fn tokenize(&self, texts: &[&str], keep: Keep) -> Result<Vec<Tokenized>> {
        let head = |text: &'_ str| text.floor_char_boundary(self.max_bytes);
        let (inner, parts): (_, Vec<&str>) = match keep {
            Keep::Beginning => (&self.inner, texts.iter().map(|text| &text[..head(text)]).collect()),
            Keep::End => {
                let tail = |text: &str| text.ceil_char_boundary(text.len().saturating_sub(self.max_bytes));
                (self.ends()?, texts.iter().map(|text| &text[tail(text)..]).collect())
            }
        };
        let encodings = inner
            .encode_batch_fast(parts, true)
            .map_err(|error| Error::Invalid(format!("the text cannot be tokenised: {error}")))?;
        let read = |(encoding, text): (tokenizers::Encoding, &&str)| Tokenized {
            truncated: !encoding.get_overflowing().is_empty() || text.len() > self.max_bytes,
            ids: encoding.get_ids().to_vec(),
        };
        Ok(encodings.into_iter().zip(texts).map(read).collect())
    }

    /// Where the last token ends that is read of a text, in bytes; all of it, if that cannot be said.
    pub fn read_bytes(&self, text: &str) -> usize {
        let head = &text[..text.floor_char_boundary(self.max_bytes)];
        let Ok(encoding) = self.inner.encode(head, true) else { return text.len() };
        let end = encoding.get_offsets().iter().map(|(_, end)| *end).max().unwrap_or_default();
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

fn truncation(max_length: usize, direction: TruncationDirection) -> TruncationParams {
    let strategy = TruncationStrategy::LongestFirst;
    TruncationParams { max_length, strategy, direction, ..TruncationParams::default() }
}

/// Packs texts, longest first, into batches of at most `budget` tokens; a text that is longer than the
/// budget gets a batch of its own. Every text is in exactly one batch.
pub fn pack(texts: &[Tokenized], budget: usize) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(texts[text].ids.len()));
    let mut batches: Vec<Batch> = Vec::new();
    let mut tokens = 0;
    for text in order {
        let length = texts[text].ids.len();
        match batches.last_mut().filter(|_| tokens + length <= budget) {
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
        ) {
            let texts: Vec<Tokenized> = lengths
                .iter()
                .map(|&length| Tokenized { ids: vec![7; length], truncated: false })
                .collect();
            let batches = pack(&texts, budget);
            let mut seen = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
            for batch in &batches {
                let tokens: usize = batch.iter().map(|&text| lengths[text]).sum();
                prop_assert!(batch.len() == 1 || tokens <= budget);
            }
        }
    }
}
