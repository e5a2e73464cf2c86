//! The input of a network: the tokens of several texts, concatenated without padding.
//!
//! Only attention, pooling and the positions of tokens depend on the boundaries between texts. All other layers treat a
//! batch as one list of tokens.

use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// The tokens of a text, or of a pair of texts that a cross-encoder reads together.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// The token ids, including special tokens.
    pub ids: &'a [u32],
    /// Index of the first token of a pair's second text. It is the number of tokens if there is only one text, and for
    /// pairs of models that do not distinguish the two texts by token types.
    pub second_text: usize,
    /// Number of tokens, from the first on, that tokens attend to. It is the number of all tokens, unless a query was
    /// filled up with tokens that attend to the query, but that no token attends to (ColBERT's query expansion).
    pub attended: usize,
}

impl<'a> Sequence<'a> {
    /// The tokens of a single text.
    pub fn single(ids: &'a [u32]) -> Sequence<'a> {
        Sequence { ids, second_text: ids.len(), attended: ids.len() }
    }
}

/// The tokens of several texts.
pub struct Batch {
    /// Token ids, shape `[tokens]`.
    pub ids: Tensor,
    /// The position of each token in its text, counted from 0, shape `[tokens]`.
    pub position_ids: Tensor,
    /// Number of tokens of each text.
    pub lengths: Vec<usize>,
    /// Number of tokens of each text, from the first on, that tokens attend to; see [`Sequence`].
    pub attended: Vec<usize>,
}

impl Batch {
    /// Concatenates the token ids of texts.
    pub fn new(texts: &[Sequence], device: &Device) -> Result<Batch> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let ids: Vec<u32> = texts.iter().flat_map(|text| text.ids).copied().collect();
        let position_ids: Vec<u32> = lengths.iter().flat_map(|length| 0..*length as u32).collect();
        let tokens = position_ids.len();
        Ok(Batch {
            ids: Tensor::from_vec(ids, tokens, device)?,
            position_ids: Tensor::from_vec(position_ids, tokens, device)?,
            lengths,
            attended: texts.iter().map(|text| text.attended).collect(),
        })
    }

    /// Returns a batch of only the texts in the range `texts`, and the range of tokens that these texts have in the
    /// whole batch.
    pub fn slice(&self, texts: Range<usize>) -> Result<(Batch, Range<usize>)> {
        let start = self.lengths[..texts.start].iter().sum::<usize>();
        let (lengths, attended) = (self.lengths[texts.clone()].to_vec(), self.attended[texts].to_vec());
        let tokens = start..start + lengths.iter().sum::<usize>();
        let sliced = |tensor: &Tensor| tensor.narrow(0, tokens.start, tokens.len());
        let (ids, position_ids) = (sliced(&self.ids)?, sliced(&self.position_ids)?);
        Ok((Batch { ids, position_ids, lengths, attended }, tokens))
    }

    /// Number of tokens of the longest text.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or_default()
    }

    /// Returns the range of tokens of each text.
    pub fn text_ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        self.lengths.iter().map(move |length| {
            start += length;
            start - length..start
        })
    }

    /// Returns the row indices with which `index_select` pads all texts to the length of the longest text, shape
    /// `[texts * longest]`. Padding has the row index `tokens`, the number of tokens in the batch. Callers therefore
    /// append one row of padding after the row of the last token.
    pub fn padded_rows(&self) -> Result<Tensor> {
        let (longest, padding) = (self.longest(), self.position_ids.elem_count() as u32);
        let row = |text: Range<usize>| {
            (0..longest).map(
                move |position| {
                    if position < text.len() { (text.start + position) as u32 } else { padding }
                },
            )
        };
        let rows: Vec<u32> = self.text_ranges().flat_map(row).collect();
        Tensor::from_vec(rows, self.lengths.len() * longest, self.ids.device())
    }
}
