//! Texts that go through a network together: their tokens one after the other, without padding.
//!
//! Its own file because it is what every architecture is given. Only attention and pooling know where one text ends
//! and the next begins.

use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// The tokens of a few texts.
pub struct Batch {
    /// `[tokens]`.
    pub ids: Tensor,
    /// `[tokens]`: each one's place in its text.
    pub places: Tensor,
    /// Tokens of each text.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// Puts texts one after the other.
    pub fn new(texts: &[&[u32]], device: &Device) -> Result<Batch> {
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        let places: Vec<u32> = lengths.iter().flat_map(|length| 0..*length as u32).collect();
        let tokens = places.len();
        Ok(Batch {
            ids: Tensor::from_vec(texts.concat(), tokens, device)?,
            places: Tensor::from_vec(places, tokens, device)?,
            lengths,
        })
    }

    /// Some of the texts, and where their tokens are in all.
    pub fn part(&self, texts: Range<usize>) -> Result<(Batch, Range<usize>)> {
        let start = self.lengths[..texts.start].iter().sum::<usize>();
        let lengths = self.lengths[texts].to_vec();
        let tokens = start..start + lengths.iter().sum::<usize>();
        let of_part = |tensor: &Tensor| tensor.narrow(0, tokens.start, tokens.len());
        Ok((Batch { ids: of_part(&self.ids)?, places: of_part(&self.places)?, lengths }, tokens))
    }

    /// Tokens of the longest text.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or_default()
    }

    /// Where each text's tokens are.
    pub fn texts(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        self.lengths.iter().map(move |length| {
            start += length;
            start - length..start
        })
    }

    /// For each text and each place up to the longest's, which token is there; what there is none for has the number of
    /// tokens, one past the last: `[texts * longest]`.
    pub fn padded(&self) -> Result<Tensor> {
        let (longest, tokens) = (self.longest(), self.places.elem_count() as u32);
        let row = |text: Range<usize>| {
            (0..longest)
                .map(move |place| if place < text.len() { (text.start + place) as u32 } else { tokens })
        };
        let rows: Vec<u32> = self.texts().flat_map(row).collect();
        Tensor::from_vec(rows, self.lengths.len() * longest, self.ids.device())
    }
}
