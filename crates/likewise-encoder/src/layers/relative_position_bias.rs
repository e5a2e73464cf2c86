//! Biases that attention adds to the score of two tokens, depending on their relative position: MPNet's learned biases
//! and ALiBi.
//!
//! On a CPU, the biases are read row by row. On a GPU, they are read as one block, except that flash attention computes
//! ALiBi itself from the slopes.

use candle_core::{DType, Device, Result, Tensor};
use std::ops::Range;

/// The biases of all heads, for every relative position (the key's position minus the query's position).
pub struct RelativePositionBias {
    /// `[heads, 2 * max_tokens - 1]`: the biases of the relative positions from `-(max_tokens - 1)` to
    /// `max_tokens - 1`.
    values: Vec<f32>,
    max_tokens: usize,
    /// `[heads]`: ALiBi's slopes, which flash attention takes instead of the biases. `None`: the biases are learned.
    #[cfg_attr(not(feature = "flash-attn"), expect(dead_code, reason = "only flash attention reads it"))]
    pub slopes: Option<Vec<f32>>,
}

impl RelativePositionBias {
    /// Creates the biases of `heads` heads, for texts of up to `max_tokens` tokens. `value(head, relative position)` is
    /// the bias for one relative position in one head.
    pub fn new(heads: usize, max_tokens: usize, value: impl Fn(usize, isize) -> f32) -> RelativePositionBias {
        let max_tokens = max_tokens.max(1);
        let farthest = max_tokens as isize - 1;
        let row = |head| {
            let value = &value;
            (-farthest..=farthest).map(move |relative| value(head, relative))
        };
        RelativePositionBias { values: (0..heads).flat_map(row).collect(), max_tokens, slopes: None }
    }

    /// Creates the biases of ALiBi (Press et al., attention with linear biases, section 3):
    /// `-slope * |relative position|`, with one slope per head.
    pub fn alibi(heads: usize, max_tokens: usize) -> RelativePositionBias {
        let slopes = alibi_slopes(heads);
        let value = |head: usize, relative: isize| -slopes[head] * relative.unsigned_abs() as f32;
        let bias = RelativePositionBias::new(heads, max_tokens, value);
        RelativePositionBias { slopes: Some(slopes), ..bias }
    }

    /// Returns the biases between one query and a range of keys, `[keys]`. `query` and `keys` are positions in the
    /// text.
    pub fn row(&self, head: usize, query: usize, keys: &Range<usize>) -> &[f32] {
        let width = 2 * self.max_tokens - 1;
        &self.values[head * width + self.max_tokens - 1 + keys.start - query..][..keys.len()]
    }

    /// Returns the biases between all queries and all keys of a text of `length` tokens, `[1, heads, length, length]`,
    /// on `device`.
    pub fn block(&self, heads: usize, length: usize, device: &Device) -> Result<Tensor> {
        let values = Tensor::from_slice(&self.values, (heads, 2 * self.max_tokens - 1), device)?;
        let columns =
            (relative_positions(length, device)? + (self.max_tokens - 1) as f64)?.to_dtype(DType::U32)?;
        values.index_select(&columns.flatten_all()?, 1)?.reshape((1, heads, length, length))
    }
}

/// Returns ALiBi's slopes, one per head. If the number of heads is a power of two, they are a geometric sequence. If
/// not, let n be the next lower power of two: the slopes for n heads are followed by the 1st, 3rd, 5th, … slope for 2n
/// heads, as in the code of Press et al.
fn alibi_slopes(heads: usize) -> Vec<f32> {
    let geometric = |heads: usize| (1..=heads).map(move |head| 2f32.powf(-8.0 * head as f32 / heads as f32));
    if heads.is_power_of_two() {
        return geometric(heads).collect();
    }
    let power = 1 << heads.ilog2();
    geometric(power).chain(geometric(2 * power).step_by(2)).take(heads).collect()
}

/// Returns the relative positions of all pairs of a query and a key in a text of `length` tokens: the key's position
/// minus the query's position. The shape is `[queries, keys]`, in f32.
pub fn relative_positions(length: usize, device: &Device) -> Result<Tensor> {
    let row = Tensor::arange(0, length as u32, device)?.to_dtype(DType::F32)?;
    row.unsqueeze(0)?.broadcast_sub(&row.unsqueeze(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alibi_slopes_are_geometric_and_take_more_from_the_next_power_of_two() {
        assert_eq!(
            alibi_slopes(8),
            [0.5, 0.25, 0.125, 0.0625, 0.031_25, 0.015_625, 0.007_812_5, 0.003_906_25]
        );
        let twelve = alibi_slopes(12);
        assert_eq!(twelve[..8], alibi_slopes(8));
        assert_eq!(twelve[8..], [2f32.powf(-0.5), 2f32.powf(-1.5), 2f32.powf(-2.5), 2f32.powf(-3.5)]);
    }
}
