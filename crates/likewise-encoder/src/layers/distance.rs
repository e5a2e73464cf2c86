//! How far apart two tokens are, and what that adds to their score: MPNet's learned biases, ALiBi's slopes.
//!
//! Its own file because the same numbers are needed a row at a time in memory and as one block on a GPU.

use candle_core::{DType, Device, Result, Tensor};
use std::ops::Range;

/// What is added to the score of a pair of tokens by how far apart they are: `[heads, 2 * most - 1]`, the distance 0
/// in the middle, a key after its query to the right.
pub struct DistanceBias {
    values: Vec<f32>,
    most: usize,
    /// Where it is −slope times the distance: flash attention knows that.
    #[cfg_attr(not(feature = "flash-attn"), expect(dead_code, reason = "only flash attention asks for it"))]
    pub slopes: Option<Vec<f32>>,
}

impl DistanceBias {
    /// Of `heads`, for texts of up to `most` tokens.
    pub fn new(heads: usize, most: usize, value: impl Fn(usize, isize) -> f32) -> DistanceBias {
        let most = most.max(1);
        let reach = most as isize - 1;
        let row = |head| {
            let value = &value;
            (-reach..=reach).map(move |distance| value(head, distance))
        };
        DistanceBias { values: (0..heads).flat_map(row).collect(), most, slopes: None }
    }

    /// Attention with linear biases (Press et al., section 3): `slope * -|distance|`, the slopes a geometric sequence.
    pub fn alibi(heads: usize, most: usize) -> DistanceBias {
        let slopes = alibi_slopes(heads);
        let bias =
            DistanceBias::new(heads, most, |head, distance| -slopes[head] * distance.unsigned_abs() as f32);
        DistanceBias { slopes: Some(slopes), ..bias }
    }

    /// Of one query and some keys.
    pub fn row(&self, head: usize, query: usize, keys: &Range<usize>) -> &[f32] {
        let width = 2 * self.most - 1;
        &self.values[head * width + self.most - 1 + keys.start - query..][..keys.len()]
    }

    /// Of all queries and keys of texts of `places` tokens: `[1, heads, places, places]`, made where it is needed.
    pub fn block(&self, heads: usize, places: usize, device: &Device) -> Result<Tensor> {
        let values = Tensor::from_slice(&self.values, (heads, 2 * self.most - 1), device)?;
        let columns = (distances(places, device)? + (self.most - 1) as f64)?.to_dtype(DType::U32)?;
        values.index_select(&columns.flatten_all()?, 1)?.reshape((1, heads, places, places))
    }
}

/// For a number of heads that is no power of two, every other slope of twice as many is put behind (Press et al.'s own
/// code does so).
fn alibi_slopes(heads: usize) -> Vec<f32> {
    let geometric = |heads: usize| (1..=heads).map(move |head| 2f32.powf(-8.0 * head as f32 / heads as f32));
    if heads.is_power_of_two() {
        return geometric(heads).collect();
    }
    let whole = 1 << heads.ilog2();
    geometric(whole).chain(geometric(2 * whole).step_by(2)).take(heads).collect()
}

/// How far each key stands after each query, in f32: `[places, places]`.
pub fn distances(places: usize, device: &Device) -> Result<Tensor> {
    let row = Tensor::arange(0, places as u32, device)?.to_dtype(DType::F32)?;
    row.unsqueeze(0)?.broadcast_sub(&row.unsqueeze(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_a_geometric_sequence_and_fill_up_from_a_finer_one() {
        assert_eq!(
            alibi_slopes(8),
            [0.5, 0.25, 0.125, 0.0625, 0.031_25, 0.015_625, 0.007_812_5, 0.003_906_25]
        );
        let twelve = alibi_slopes(12);
        assert_eq!(twelve[..8], alibi_slopes(8));
        assert_eq!(twelve[8..], [2f32.powf(-0.5), 2f32.powf(-1.5), 2f32.powf(-2.5), 2f32.powf(-3.5)]);
    }
}
