//! Texts → token ids, sorted by length and packed into token-budget batches.
//!
//! Its own file because padding is where batched encoders lose their time: mixed lengths in arrival
//! order cost 1.8 times the work. Everything is tokenised first, so lengths are known exactly.

use crate::error::{Error, Result};
use crate::model::{ModelFolder, TOKENIZER};
use tokenizers::{TruncationParams, TruncationStrategy};

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

/// Texts of similar length, padded to the longest.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Position of each row's text in the list that was packed.
    pub texts: Vec<usize>,
    /// Tokens a row, padding included.
    pub width: usize,
    /// `[texts, width]`, row by row; padding is id 0, which the mask hides.
    pub ids: Vec<u32>,
    /// `[texts, width]`: 1 for a token, 0 for padding.
    pub mask: Vec<f32>,
}

/// A model's tokenizer, reading as much as the model does.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
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
            .with_truncation(Some(TruncationParams {
                max_length: folder.max_length,
                strategy: TruncationStrategy::LongestFirst,
                ..TruncationParams::default()
            }))
            .map_err(refused)?
            .with_padding(None);
        Ok(Tokenizer { inner, max_bytes: folder.max_length * MAX_BYTES_A_TOKEN })
    }

    /// Tokenises texts, in parallel; the answer has their order.
    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Tokenized>> {
        let heads = texts.iter().map(|text| &text[..text.floor_char_boundary(self.max_bytes)]);
        let encodings = self
            .inner
            .encode_batch_fast(heads.collect(), true)
            .map_err(|error| Error::Invalid(format!("the text cannot be tokenised: {error}")))?;
        let read = |(encoding, text): (tokenizers::Encoding, &&str)| Tokenized {
            truncated: !encoding.get_overflowing().is_empty() || text.len() > self.max_bytes,
            ids: encoding.get_ids().to_vec(),
        };
        Ok(encodings.into_iter().zip(texts).map(read).collect())
    }
}

/// Packs texts, longest first, into batches of at most `budget` padded tokens; a text that is longer
/// than the budget gets a batch of its own. Every text is in exactly one batch.
pub fn pack(texts: &[Tokenized], budget: usize) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(texts[text].ids.len()));
    let mut batches = Vec::new();
    let mut rest = &order[..];
    while let Some(&longest) = rest.first() {
        let width = texts[longest].ids.len();
        let rows = (budget / width.max(1)).clamp(1, rest.len());
        let (batch, later) = rest.split_at(rows);
        batches.push(pad(texts, batch, width));
        rest = later;
    }
    batches
}

fn pad(texts: &[Tokenized], rows: &[usize], width: usize) -> Batch {
    let mut batch = Batch {
        texts: rows.to_vec(),
        width,
        ids: vec![0; rows.len() * width],
        mask: vec![0.0; rows.len() * width],
    };
    for (row, &text) in rows.iter().enumerate() {
        let ids = &texts[text].ids;
        let start = row * width;
        batch.ids[start..start + ids.len()].copy_from_slice(ids);
        batch.mask[start..start + ids.len()].fill(1.0);
    }
    batch
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
            let mut seen: Vec<usize> = batches.iter().flat_map(|batch| batch.texts.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..texts.len()).collect::<Vec<_>>());
            for batch in &batches {
                prop_assert!(batch.texts.len() == 1 || batch.texts.len() * batch.width <= budget);
                prop_assert_eq!(batch.ids.len(), batch.texts.len() * batch.width);
                let kept: usize = batch.mask.iter().filter(|&&kept| kept == 1.0).count();
                prop_assert_eq!(kept, batch.texts.iter().map(|&text| lengths[text]).sum::<usize>());
            }
        }
    }
}
