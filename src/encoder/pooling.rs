//! Token vectors → one unit vector a text: mean or first token, then L2.
//!
//! Mean pooling weighs each token by the attention mask (Reimers & Gurevych, Sentence-BERT, section
//! 3), in f32 whatever the model computes in: in half precision the sum loses digits.

use candle_core::{DType, Result, Tensor};

/// Mean over the tokens that `mask` keeps: `[texts, tokens, dimension]` and `[texts, tokens]` to
/// `[texts, dimension]`.
pub fn mean(hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let mask = mask.to_dtype(DType::F32)?;
    let counts = mask.sum_keepdim(1)?.clamp(1e-9, f64::INFINITY)?;
    let sums = mask.unsqueeze(1)?.matmul(&hidden.to_dtype(DType::F32)?)?.squeeze(1)?;
    sums.broadcast_div(&counts)
}

/// The first token's vector: `[texts, tokens, dimension]` to `[texts, dimension]`.
pub fn cls(hidden: &Tensor) -> Result<Tensor> {
    hidden.narrow(1, 0, 1)?.squeeze(1)?.to_dtype(DType::F32)
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

    #[test]
    fn the_mean_leaves_padding_out() {
        let hidden = Tensor::new(&[[[1f32, 2.0], [3.0, 6.0], [100.0, 100.0]]], &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[1f32, 1.0, 0.0]], &Device::Cpu).unwrap();
        let mean = mean(&hidden, &mask).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(mean, [[2.0, 4.0]]);
    }

    #[test]
    fn vectors_get_length_one() {
        assert_eq!(normalized(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalized(vec![0.0, 0.5]), [0.0, 1.0]);
    }
}
