//! Pools the token vectors of a text into one vector, and scales vectors to length 1.
//!
//! Pooling always computes in f32, whatever the precision of the network, because a sum over the tokens of a text loses
//! digits in half precision. There are two implementations, which must return the same vectors up to rounding: [`rows`]
//! for one text in memory, and [`batch`] for all texts of a batch on a device.

use crate::batch::Batch;
use crate::model::Pooling;
use candle_core::{DType, Result, Tensor};

/// Pools the token vectors of one text: `rows` holds one row of `width` values per token. If there are no tokens, all
/// values of the result are 0.
pub fn rows(rows: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let count = rows.len() / width;
    let row = |token: usize| &rows[token * width..][..width];
    let mut pooled = vec![0.0; width];
    let mut add = |token: usize, weight: f32| {
        pooled.iter_mut().zip(row(token)).for_each(|(sum, value)| *sum += weight * value);
    };
    match pooling {
        _ if count == 0 => {}
        Pooling::Cls => return row(0).to_vec(),
        Pooling::LastToken => return row(count - 1).to_vec(),
        Pooling::Mean => (0..count).for_each(|token| add(token, 1.0 / count as f32)),
        Pooling::MeanSqrtLen => (0..count).for_each(|token| add(token, 1.0 / (count as f32).sqrt())),
        Pooling::WeightedMean => {
            (0..count).for_each(|token| add(token, (token + 1) as f32 / triangular_number(count)));
        }
        Pooling::Max => {
            pooled.copy_from_slice(row(0));
            for token in 1..count {
                pooled.iter_mut().zip(row(token)).for_each(|(max, value)| *max = max.max(*value));
            }
        }
    }
    pooled
}

/// `1 + 2 + … + count`.
fn triangular_number(count: usize) -> f32 {
    (count * (count + 1) / 2) as f32
}

/// Pools all texts of a batch on the device of the batch. Maps `hidden [tokens, width]` to `[texts, width]`, in f32.
pub fn batch(hidden: &Tensor, batch: &Batch, pooling: Pooling) -> Result<Tensor> {
    let device = hidden.device();
    let select =
        |tokens: Vec<u32>| hidden.index_select(&Tensor::new(tokens, device)?, 0)?.to_dtype(DType::F32);
    match pooling {
        Pooling::Cls => return select(batch.text_ranges().map(|text| text.start as u32).collect()),
        Pooling::LastToken => return select(batch.text_ranges().map(|text| text.end as u32 - 1).collect()),
        _ => {}
    }
    let (texts, width) = (batch.lengths.len(), hidden.dim(1)?);
    // The padding row must not change the result, so its values are 0 for a sum, and the smallest f32 for a maximum.
    let padding = Tensor::full(if pooling == Pooling::Max { f32::MIN } else { 0.0 }, (1, width), device)?;
    let rows = Tensor::cat(&[&hidden.to_dtype(DType::F32)?, &padding], 0)?;
    let padded = rows.index_select(&batch.padded_rows()?, 0)?.reshape((texts, batch.longest(), width))?;
    let per_text = |factor: &dyn Fn(usize) -> f32| {
        let factors: Vec<f32> = batch.lengths.iter().map(|length| factor(*length)).collect();
        Tensor::from_vec(factors, (texts, 1), device)
    };
    match pooling {
        Pooling::Max => padded.max(1),
        Pooling::MeanSqrtLen => {
            padded.sum(1)?.broadcast_mul(&per_text(&|length| 1.0 / (length as f32).sqrt())?)
        }
        Pooling::WeightedMean => {
            let weights = Tensor::arange(1f32, (batch.longest() + 1) as f32, device)?.reshape((
                1,
                batch.longest(),
                1,
            ))?;
            let factors = per_text(&|length| 1.0 / triangular_number(length))?;
            padded.broadcast_mul(&weights)?.sum(1)?.broadcast_mul(&factors)
        }
        _ => padded.sum(1)?.broadcast_mul(&per_text(&|length| 1.0 / length as f32)?),
    }
}

/// Scales a vector to length 1. A zero vector stays zero, and a vector shorter than 1e-12 stays shorter than 1.
pub fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Sequence;
    use candle_core::Device;
    use proptest::prelude::*;

    const ALL: [Pooling; 6] = [
        Pooling::Mean,
        Pooling::Cls,
        Pooling::Max,
        Pooling::MeanSqrtLen,
        Pooling::WeightedMean,
        Pooling::LastToken,
    ];

    #[test]
    fn each_pooling_computes_its_formula() {
        let tokens = [1.0, 2.0, 4.0, -3.0, 1.0, 7.0];
        let root = 3f32.sqrt();
        for (pooling, expected) in [
            (Pooling::Mean, [2.0, 2.0]),
            (Pooling::Cls, [1.0, 2.0]),
            (Pooling::LastToken, [1.0, 7.0]),
            (Pooling::Max, [4.0, 7.0]),
            (Pooling::WeightedMean, [(1.0 + 8.0 + 3.0) / 6.0, (2.0 - 6.0 + 21.0) / 6.0]),
            (Pooling::MeanSqrtLen, [6.0 / root, 6.0 / root]),
        ] {
            let pooled = rows(&tokens, 2, pooling);
            let is_close =
                pooled.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-6);
            assert!(is_close, "{pooling:?}: {pooled:?}, expected {expected:?}");
        }
    }

    proptest! {
        #[test]
        fn batch_and_rows_pool_alike(lengths in proptest::collection::vec(1_usize..9, 1..6), seed in 0_u32..50) {
            const WIDTH: usize = 3;
            let ids: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
            let packed = Batch::new(&ids.iter().map(|ids| Sequence::single(ids)).collect::<Vec<_>>(), &Device::Cpu).unwrap();
            let tokens: usize = lengths.iter().sum();
            let values: Vec<f32> = (0..tokens * WIDTH).map(|i| ((i as u32 * 37 + seed) % 23) as f32 - 11.0).collect();
            let hidden = Tensor::from_slice(&values, (tokens, WIDTH), &Device::Cpu).unwrap();
            for pooling in ALL {
                let together = batch(&hidden, &packed, pooling).unwrap().to_vec2::<f32>().unwrap();
                for (text, together) in packed.text_ranges().zip(together) {
                    let alone = rows(&values[text.start * WIDTH..text.end * WIDTH], WIDTH, pooling);
                    for (alone, together) in alone.iter().zip(together) {
                        prop_assert!((alone - together).abs() < 1e-4, "{:?}: {} and {}", pooling, alone, together);
                    }
                }
            }
        }
    }

    #[test]
    fn normalized_vectors_have_length_one() {
        assert_eq!(normalized(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalized(vec![0.0, 0.5]), [0.0, 1.0]);
    }
}
