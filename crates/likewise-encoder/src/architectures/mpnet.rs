//! MPNet (Song et al.): BERT with positions as RoBERTa's and, in every layer the same, a learned bias for how far apart
//! two tokens are (Raffel et al., T5, section 2.1).

use super::bert::{Config, Positions};
use crate::layers::Loader;
use crate::layers::distance::DistanceBias;
use candle_core::{DType, Result};

/// Distances at and beyond this one share a bias.
const FARTHEST: f32 = 128.0;

/// BERT's shape, with MPNet's positions and no token types.
pub fn shaped(config: Config) -> Config {
    Config { positions: Positions::AfterPadding(1), type_vocab_size: 0, ..config }
}

/// What MPNet calls what BERT calls `name`.
pub fn name(name: &str) -> String {
    const NAMES: [(&str, &str); 5] = [
        ("attention.self.query.", "attention.attn.q."),
        ("attention.self.key.", "attention.attn.k."),
        ("attention.self.value.", "attention.attn.v."),
        ("attention.output.dense.", "attention.attn.o."),
        ("attention.output.LayerNorm.", "attention.LayerNorm."),
    ];
    NAMES.iter().fold(name.to_string(), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// The biases, for texts of up to as many tokens as there are positions.
pub fn bias(config: &Config, buckets: usize, loader: &Loader) -> Result<DistanceBias> {
    let heads = config.num_attention_heads;
    let table = loader.tensor((buckets, heads), "encoder.relative_attention_bias.weight")?;
    let table: Vec<f32> = table.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let value = |head, distance| table[bucket(distance, buckets) * heads + head];
    Ok(DistanceBias::new(heads, config.max_position_embeddings, value))
}

/// Which bias a distance has, of a key from its query: half of the buckets are for keys before it, half for those
/// after; in each half one for every short distance, then wider ones, by logarithm.
fn bucket(distance: isize, buckets: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let start = if distance > 0 { half } else { 0 };
    let far = distance.unsigned_abs();
    if far < exact {
        return start + far;
    }
    let share = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f32).ln();
    let wide = exact + (share * (half - exact) as f32) as usize;
    start + wide.min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_buckets_of_their_own_and_far_ones_share() {
        let of = |distance| bucket(distance, 32);
        assert_eq!([of(0), of(-1), of(-7), of(1), of(7)], [0, 1, 7, 17, 23]);
        assert_eq!([of(-8), of(-11), of(-12), of(-127), of(-128), of(-500)], [8, 8, 9, 15, 15, 15]);
        assert_eq!([of(8), of(500)], [24, 31]);
    }

    #[test]
    fn the_two_norms_of_a_layer_are_told_apart() {
        assert_eq!(
            name("encoder.layer.0.attention.output.LayerNorm.bias"),
            "encoder.layer.0.attention.LayerNorm.bias"
        );
        assert_eq!(name("encoder.layer.0.output.LayerNorm.bias"), "encoder.layer.0.output.LayerNorm.bias");
    }
}
