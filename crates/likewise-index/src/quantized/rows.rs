//! A vector as a row of bytes: eight or four bits per value.
//!
//! With eight bits, the largest value becomes 127 steps. With four bits, so coarse a step would waste most of the 16
//! levels, because few values are that large. The step is then chosen so that the direction of the quantized vector is
//! as near as possible to the direction of the vector, and the scale is chosen so that the dot product of both is exact,
//! as in RaBitQ's codes of several bits (Gao et al., Practical and asymptotically optimal quantization of
//! high-dimensional vectors, SIGMOD 2025, section 3), but without its random rotation: the values of sentence embeddings
//! are similarly large in all dimensions.

use super::CACHE_LINE;
use crate::dot;
use serde::{Deserialize, Serialize};

/// `1.5 × 2^23`. Adding this constant to a small float rounds the float to an integer, which is then in the low bits of
/// the sum.
const ROUNDING_BIAS: f32 = 12_582_912.0;

/// The highest and the lowest level of four bits.
const HIGHEST_LEVEL: f32 = 7.0;
const LOWEST_LEVEL: f32 = -8.0;

/// The steps that are tried for four bits: the value of the highest level, as a fraction of the vector's largest value.
/// In a vector of 384 normally distributed values, the best fraction is about 0.75.
const HIGHEST_VALUES: [f32; 8] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/// The number of bits per value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(try_from = "u8", into = "u8")]
pub enum Bits {
    /// Values from -8 to 7. The first half of a line of 128 values is in the low halves of 64 bytes, and the second half
    /// is in the high halves.
    Four,
    /// Values from -127 to 127, one per byte.
    #[default]
    Eight,
}

impl From<Bits> for u8 {
    fn from(bits: Bits) -> u8 {
        match bits {
            Bits::Four => 4,
            Bits::Eight => 8,
        }
    }
}

impl TryFrom<u8> for Bits {
    type Error = String;

    fn try_from(bits: u8) -> Result<Bits, String> {
        match bits {
            4 => Ok(Bits::Four),
            8 => Ok(Bits::Eight),
            _ => Err(format!("the bits per value must be 4 or 8 (got {bits})")),
        }
    }
}

impl Bits {
    /// Number of bytes of a quantized vector, padding included.
    pub fn stride(self, dimension: usize) -> usize {
        dimension.div_ceil(self.per_byte()).next_multiple_of(CACHE_LINE)
    }

    /// Number of values per byte.
    pub fn per_byte(self) -> usize {
        match self {
            Bits::Four => 2,
            Bits::Eight => 1,
        }
    }

    /// The unsigned number that represents 0.
    pub fn zero_point(self) -> i32 {
        match self {
            Bits::Four => 8,
            Bits::Eight => 128,
        }
    }

    /// Sets `levels` to the signed numbers of a row, padding included. The values are these numbers times the scale.
    pub fn levels(self, row: &[u8], levels: &mut Vec<i8>) {
        levels.clear();
        match self {
            Bits::Eight => levels.extend(row.iter().map(|byte| (byte ^ 128) as i8)),
            Bits::Four => {
                for line in row.chunks(CACHE_LINE) {
                    levels.extend(line.iter().map(|byte| (byte & 15) as i8 - 8));
                    levels.extend(line.iter().map(|byte| (byte >> 4) as i8 - 8));
                }
            }
        }
    }
}

/// Quantizes `vector` into `row`, which has [`Bits::stride`] bytes. Returns the scale: the value of one level.
pub fn quantize(vector: &[f32], bits: Bits, row: &mut [u8]) -> f32 {
    match bits {
        Bits::Four => quantize_to_4_bits(vector, row),
        Bits::Eight => quantize_to_8_bits(vector, row),
    }
}

/// Quantizes `vector` into one byte per value. Returns the scale.
pub fn quantize_to_8_bits(vector: &[f32], row: &mut [u8]) -> f32 {
    let largest = largest(vector);
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let (bytes, padding) = row.split_at_mut(vector.len());
    for (byte, value) in bytes.iter_mut().zip(vector) {
        *byte = (value * inverse + ROUNDING_BIAS).to_bits() as u8 ^ 128;
    }
    padding.fill(128);
    largest / 127.0
}

fn quantize_to_4_bits(vector: &[f32], row: &mut [u8]) -> f32 {
    let largest = largest(vector);
    row.fill(0x88);
    if largest <= 0.0 {
        return 0.0;
    }
    let (mut best, mut best_cosine) = (Vec::new(), f32::MIN);
    for fraction in HIGHEST_VALUES {
        let inverse = HIGHEST_LEVEL / (fraction * largest);
        let level = |value: &f32| {
            (value * inverse).clamp(LOWEST_LEVEL, HIGHEST_LEVEL) + ROUNDING_BIAS - ROUNDING_BIAS
        };
        let levels: Vec<f32> = vector.iter().map(level).collect();
        let cosine = dot(vector, &levels) / dot(&levels, &levels).sqrt();
        if cosine > best_cosine {
            (best, best_cosine) = (levels, cosine);
        }
    }
    for (line, levels) in row.chunks_mut(CACHE_LINE).zip(best.chunks(2 * CACHE_LINE)) {
        let (low, high) = levels.split_at(levels.len().min(CACHE_LINE));
        let unsigned = |level: &f32| (level - LOWEST_LEVEL) as u8;
        line.iter_mut().zip(low).for_each(|(byte, level)| *byte = *byte & 0xf0 | unsigned(level));
        line.iter_mut().zip(high).for_each(|(byte, level)| *byte = *byte & 0x0f | unsigned(level) << 4);
    }
    dot(vector, vector) / dot(vector, &best)
}

fn largest(vector: &[f32]) -> f32 {
    vector.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Returns the Euclidean distance between a vector and the values that the row represents.
pub fn quantization_error(vector: &[f32], bits: Bits, row: &[u8], scale: f32) -> f32 {
    let mut levels = Vec::new();
    bits.levels(row, &mut levels);
    let values = levels.iter().map(|level| f32::from(*level) * scale);
    vector.iter().zip(values).map(|(value, quantized)| (value - quantized).powi(2)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The quantization errors of a vector, divided by its length, with four and with eight bits.
    fn errors(vector: &[f32]) -> [f32; 2] {
        [Bits::Four, Bits::Eight].map(|bits| {
            let mut row = vec![0; bits.stride(vector.len())];
            let scale = quantize(vector, bits, &mut row);
            quantization_error(vector, bits, &row, scale) / dot(vector, vector).sqrt()
        })
    }

    proptest! {
        #[test]
        fn rows_represent_vectors_of_every_length(vector in proptest::collection::vec(-1f32..1.0, 1..400)) {
            prop_assume!(largest(&vector) > 1e-3);
            let [four, eight] = errors(&vector);
            prop_assert!(four < 0.2 && eight < 0.02, "{four} {eight}");
        }
    }

    #[test]
    fn zeros_and_single_large_values_are_exact() {
        let mut vector = vec![0.0; 300];
        for bits in [Bits::Four, Bits::Eight] {
            let mut row = vec![1; bits.stride(300)];
            assert_eq!(quantize(&vector, bits, &mut row), 0.0);
            assert_eq!(quantization_error(&vector, bits, &row, 1.0), 0.0);
        }
        vector[200] = -1.0;
        assert!(errors(&vector).into_iter().all(|error| error < 1e-6), "{:?}", errors(&vector));
    }

    #[test]
    fn unknown_numbers_of_bits_are_refused() {
        assert!(serde_json::from_str::<Bits>("5").unwrap_err().to_string().contains("4 or 8 (got 5)"));
        assert_eq!(serde_json::to_string(&Bits::Four).unwrap(), "4");
    }
}
