//! MPNet (Song et al.): BERT with RoBERTa's positions and with learned relative position biases, which all layers share
//! (Raffel et al., T5, section 2.1).

use super::bert::{Config, PositionKind};
use crate::layers::Loader;
use crate::layers::relative_position_bias::RelativePositionBias;
use candle_core::{DType, Result};

/// In each direction, relative positions of this distance or a larger distance share a bias.
const MAX_DISTANCE: f32 = 128.0;

/// Changes the fields in which MPNet differs from BERT (RoBERTa's positions, no token types) in a config that was read
/// as a config of BERT.
pub fn bert_config(config: Config) -> Config {
    Config { position_kind: PositionKind::AfterPadding(1), type_vocab_size: 0, ..config }
}

/// Returns the name that MPNet gives to the tensor that BERT calls `name`.
pub fn tensor_name(name: &str) -> String {
    const NAMES: [(&str, &str); 5] = [
        ("attention.self.query.", "attention.attn.q."),
        ("attention.self.key.", "attention.attn.k."),
        ("attention.self.value.", "attention.attn.v."),
        ("attention.output.dense.", "attention.attn.o."),
        ("attention.output.LayerNorm.", "attention.LayerNorm."),
    ];
    NAMES.iter().fold(name.to_string(), |name, (bert, mpnet)| name.replace(bert, mpnet))
}

/// Reads the relative position biases, `buckets` per head, for texts of up to `max_position_embeddings` tokens.
pub fn bias(config: &Config, buckets: usize, loader: &Loader) -> Result<RelativePositionBias> {
    let heads = config.num_attention_heads;
    let table = loader.tensor((buckets, heads), "encoder.relative_attention_bias.weight")?;
    let table: Vec<f32> = table.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let value = |head, relative| table[bucket(relative, buckets) * heads + head];
    Ok(RelativePositionBias::new(heads, config.max_position_embeddings, value))
}

/// Returns the bucket of a relative position (the key's position minus the query's position). The first half of the
/// buckets is for keys before the query and at the query, the second half for keys after the query. In each half, every
/// short distance has its own bucket, and longer distances share buckets whose widths grow exponentially.
fn bucket(relative: isize, buckets: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let start = if relative > 0 { half } else { 0 };
    let distance = relative.unsigned_abs();
    if distance < exact {
        return start + distance;
    }
    let fraction = (distance as f32 / exact as f32).ln() / (MAX_DISTANCE / exact as f32).ln();
    let shared = exact + (fraction * (half - exact) as f32) as usize;
    start + shared.min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_distances_have_a_bucket_each_and_long_ones_share_buckets() {
        let buckets =
            |relative: &[isize]| -> Vec<usize> { relative.iter().map(|at| bucket(*at, 32)).collect() };
        assert_eq!(buckets(&[0, -1, -7, 1, 7]), [0, 1, 7, 17, 23]);
        assert_eq!(buckets(&[-8, -11, -12, -127, -128, -500]), [8, 8, 9, 15, 15, 15]);
        assert_eq!(buckets(&[8, 500]), [24, 31]);
    }

    #[test]
    fn only_the_attention_norm_of_a_layer_is_renamed() {
        assert_eq!(
            tensor_name("encoder.layer.0.attention.output.LayerNorm.bias"),
            "encoder.layer.0.attention.LayerNorm.bias"
        );
        assert_eq!(
            tensor_name("encoder.layer.0.output.LayerNorm.bias"),
            "encoder.layer.0.output.LayerNorm.bias"
        );
    }
}
