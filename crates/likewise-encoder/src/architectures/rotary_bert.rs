//! BERT with rotary positions and a gated feed-forward block: the network of Nomic's BERT and of GTE. [`super::nomic_bert`]
//! and [`super::gte`] read its settings and its weights, whose names differ.

use crate::batch::{Batch, Sequence};
use crate::layers::attention::Attention;
use crate::layers::rope::{RopeTable, RotaryAttention};
use crate::layers::{ActivationFn, EmbeddingTable, Gate, Linear, Norm, add};
use crate::model::InputType;
use crate::network::Network;
use candle_core::{Result, Tensor};

/// A loaded network.
pub struct RotaryBert {
    pub word_embeddings: EmbeddingTable,
    /// The embedding of token type 0, which is the type of every token. `None`: the model has no token types.
    pub token_type: Option<Tensor>,
    pub embedding_norm: Norm,
    pub attention: Attention,
    pub rope: RopeTable,
    pub layers: Vec<Layer>,
}

/// A layer: attention and a feed-forward block, each followed by a norm.
pub struct Layer {
    pub attention: RotaryAttention,
    pub attention_norm: Norm,
    /// The second half of the output is the gate.
    pub up_and_gate: Linear,
    pub activation: ActivationFn,
    pub down: Linear,
    pub output_norm: Norm,
}

impl Network for RotaryBert {
    fn forward(&self, _: &[Sequence], batch: &Batch, _: InputType) -> Result<Tensor> {
        let words = self.word_embeddings.forward(&batch.ids)?;
        let words = match &self.token_type {
            Some(token_type) => words.broadcast_add(token_type)?,
            None => words,
        };
        let mut hidden = self.embedding_norm.forward(&words)?;
        let rotary = self.rope.for_batch(batch)?;
        for layer in &self.layers {
            let attended = layer.attention.forward(&hidden, &self.attention, &rotary, batch)?;
            let attended = layer.attention_norm.forward(&add(&attended, &hidden)?)?;
            hidden = layer.output_norm.forward(&add(&layer.feed_forward(&attended)?, &attended)?)?;
        }
        Ok(hidden)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        self.word_embeddings.check(ids)
    }
}

impl Layer {
    fn feed_forward(&self, hidden: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.activation.gated(&self.up_and_gate.forward(hidden)?, Gate::Second)?)
    }
}
