//! The encoder of T5 (Raffel et al.): GTR, Sentence-T5, Instructor.
//!
//! candle-transformers computes the network, in f32 on a CPU, one text at a time: so nothing is padded.

use super::one_by_one::OneByOne;
use crate::batch::Sequence;
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::t5::{Config, T5EncoderModel};

/// A loaded encoder of T5.
pub struct T5 {
    model: T5EncoderModel,
    vocabulary: usize,
    device: Device,
}

impl T5 {
    /// Loads the weights.
    pub fn load(config: &Config, tensors: VarBuilder) -> Result<T5> {
        let device = tensors.device().clone();
        Ok(T5 { model: T5EncoderModel::load(tensors, config)?, vocabulary: config.vocab_size, device })
    }
}

impl OneByOne for T5 {
    fn forward_one(&self, text: &Sequence) -> Result<Tensor> {
        let ids = Tensor::new(text.ids, &self.device)?.unsqueeze(0)?;
        // The clone shares the weights. `forward` changes the model only because decoders keep a cache.
        self.model.clone().forward(&ids)?.squeeze(0)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}
