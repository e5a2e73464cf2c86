//! Token vectors → one vector a text, and its length.
//!
//! In f32 whatever the network computes in: in half precision a sum over a text's tokens loses digits. Its own file
//! because two forms must agree: over rows in memory, and on a device that is given all texts at once.

use crate::batch::Batch;
use crate::model::Pooling;
use candle_core::{DType, Result, Tensor};

/// Pools one text's rows of `width` values.
pub fn rows(rows: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let count = rows.len() / width;
    let row = |place: usize| &rows[place * width..][..width];
    let mut pooled = vec![0.0; width];
    let mut add = |place: usize, share: f32| {
        pooled.iter_mut().zip(row(place)).for_each(|(sum, value)| *sum += share * value);
    };
    match pooling {
        _ if count == 0 => {}
        Pooling::Cls => return row(0).to_vec(),
        Pooling::LastToken => return row(count - 1).to_vec(),
        Pooling::Mean => (0..count).for_each(|place| add(place, 1.0 / count as f32)),
        Pooling::MeanSqrtLen => (0..count).for_each(|place| add(place, 1.0 / (count as f32).sqrt())),
        Pooling::WeightedMean => {
            (0..count).for_each(|place| add(place, (place + 1) as f32 / triangle(count)));
        }
        Pooling::Max => {
            pooled.copy_from_slice(row(0));
            for place in 1..count {
                pooled.iter_mut().zip(row(place)).for_each(|(most, value)| *most = most.max(*value));
            }
        }
    }
    pooled
}

/// `1 + 2 + … + count`.
fn triangle(count: usize) -> f32 {
    (count * (count + 1) / 2) as f32
}

/// Pools all texts of a batch, `[tokens, width]` to `[texts, width]` in f32, where they are.
pub fn batch(hidden: &Tensor, batch: &Batch, pooling: Pooling) -> Result<Tensor> {
    let device = hidden.device();
    let select =
        |places: Vec<u32>| hidden.index_select(&Tensor::new(places, device)?, 0)?.to_dtype(DType::F32);
    match pooling {
        Pooling::Cls => return select(batch.texts().map(|text| text.start as u32).collect()),
        Pooling::LastToken => return select(batch.texts().map(|text| text.end as u32 - 1).collect()),
        _ => {}
    }
    let (texts, width) = (batch.lengths.len(), hidden.dim(1)?);
    // What is not there: nothing to a sum, and less than anything to a maximum.
    let absent = Tensor::full(if pooling == Pooling::Max { f32::MIN } else { 0.0 }, (1, width), device)?;
    let rows = Tensor::cat(&[&hidden.to_dtype(DType::F32)?, &absent], 0)?;
    let padded = rows.index_select(&batch.padded()?, 0)?.reshape((texts, batch.longest(), width))?;
    let over = |share: &dyn Fn(usize) -> f32| {
        let shares: Vec<f32> = batch.lengths.iter().map(|length| share(*length)).collect();
        Tensor::from_vec(shares, (texts, 1), device)
    };
    match pooling {
        Pooling::Max => padded.max(1),
        Pooling::MeanSqrtLen => padded.sum(1)?.broadcast_mul(&over(&|length| 1.0 / (length as f32).sqrt())?),
        Pooling::WeightedMean => {
            let weights = Tensor::arange(1f32, (batch.longest() + 1) as f32, device)?.reshape((
                1,
                batch.longest(),
                1,
            ))?;
            padded.broadcast_mul(&weights)?.sum(1)?.broadcast_mul(&over(&|length| 1.0 / triangle(length))?)
        }
        _ => padded.sum(1)?.broadcast_mul(&over(&|length| 1.0 / length as f32)?),
    }
}

/// Scales a vector to length 1.
pub fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn every_pooling_is_what_it_is_called() {
        let tokens = [1.0, 2.0, 4.0, -3.0, 1.0, 7.0];
        let root = 3f32.sqrt();
        for (pooling, wanted) in [
            (Pooling::Mean, [2.0, 2.0]),
            (Pooling::Cls, [1.0, 2.0]),
            (Pooling::LastToken, [1.0, 7.0]),
            (Pooling::Max, [4.0, 7.0]),
            (Pooling::WeightedMean, [(1.0 + 8.0 + 3.0) / 6.0, (2.0 - 6.0 + 21.0) / 6.0]),
            (Pooling::MeanSqrtLen, [6.0 / root, 6.0 / root]),
        ] {
            let got = rows(&tokens, 2, pooling);
            let is_close = got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-6);
            assert!(is_close, "{pooling:?}: got {got:?}, wanted {wanted:?}");
        }
    }

    proptest! {
        #[test]
        fn a_batch_is_pooled_as_its_texts_are(lengths in proptest::collection::vec(1_usize..9, 1..6), seed in 0_u32..50) {
            const WIDTH: usize = 3;
            let ids: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
            let packed = Batch::new(&ids.iter().map(|ids| &ids[..]).collect::<Vec<_>>(), &Device::Cpu).unwrap();
            let tokens: usize = lengths.iter().sum();
            let values: Vec<f32> = (0..tokens * WIDTH).map(|i| ((i as u32 * 37 + seed) % 23) as f32 - 11.0).collect();
            let hidden = Tensor::from_slice(&values, (tokens, WIDTH), &Device::Cpu).unwrap();
            for pooling in ALL {
                let together = batch(&hidden, &packed, pooling).unwrap().to_vec2::<f32>().unwrap();
                for (text, together) in packed.texts().zip(together) {
                    let alone = rows(&values[text.start * WIDTH..text.end * WIDTH], WIDTH, pooling);
                    for (alone, together) in alone.iter().zip(together) {
                        prop_assert!((alone - together).abs() < 1e-4, "{:?}: {} and {}", pooling, alone, together);
                    }
                }
            }
        }
    }

    #[test]
    fn vectors_get_length_one() {
        assert_eq!(normalized(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalized(vec![0.0, 0.5]), [0.0, 1.0]);
    }
}
