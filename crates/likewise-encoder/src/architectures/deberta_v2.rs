//! DeBERTa, versions 2 and 3 (He et al.): attention with separate terms for content and for relative positions.
//!
//! candle-transformers computes the network, in f32 on a CPU, one text at a time: so nothing is padded.

use super::one_by_one::OneByOne;
use crate::batch::Sequence;
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::debertav2::{Config, DebertaV2Model};

/// Checks that candle-transformers can compute the network. It panics at a convolution layer.
///
/// # Errors
/// Returns a message that names the field of config.json.
pub fn check(config: &Config) -> std::result::Result<(), String> {
    match config.conv_kernel_size {
        Some(size) if size > 0 => Err(format!("conv_kernel_size must be 0 (got {size})")),
        _ => Ok(()),
    }
}

/// A loaded DeBERTa.
pub struct DebertaV2 {
    model: DebertaV2Model,
    vocabulary: usize,
    has_token_types: bool,
    device: Device,
}

impl DebertaV2 {
    /// Loads the weights. The names of all tensors can start with `deberta.`.
    pub fn load(config: &Config, tensors: VarBuilder) -> Result<DebertaV2> {
        let is_prefixed = tensors.contains_tensor("deberta.embeddings.word_embeddings.weight");
        let tensors = if is_prefixed { tensors.pp("deberta") } else { tensors };
        Ok(DebertaV2 {
            device: tensors.device().clone(),
            vocabulary: config.vocab_size,
            has_token_types: config.type_vocab_size > 1,
            model: DebertaV2Model::load(tensors, config)?,
        })
    }
}

impl OneByOne for DebertaV2 {
    fn forward_one(&self, text: &Sequence) -> Result<Tensor> {
        let ids = Tensor::new(text.ids, &self.device)?.unsqueeze(0)?;
        let types = (0..text.ids.len()).map(|token| u32::from(token >= text.second_text));
        let types = self.has_token_types.then(|| Tensor::from_iter(types, &self.device)?.unsqueeze(0));
        self.model.forward(&ids, types.transpose()?, None)?.squeeze(0)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}
