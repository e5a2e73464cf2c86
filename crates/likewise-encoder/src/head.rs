//! What comes after pooling: linear layers, fewer values, length 1.
//!
//! Its own file because it is the same for every architecture, and none of it is in its checkpoint's own folder.

use crate::error::{Error, Result};
use crate::layers::{Linear, Loader};
use crate::model::{ModelFolder, WEIGHTS};
use crate::pooling::normalized;
use crate::weights::Weights;
use candle_core::{DType, Device, Tensor};

/// The steps after pooling.
pub struct Head {
    dense: Vec<(Linear, bool)>,
    dimension: usize,
}

impl Head {
    /// Reads the folder's modules; in f32, as pooling.
    pub fn load(folder: &ModelFolder, device: &Device) -> Result<Head> {
        let mut dense = Vec::new();
        for step in &folder.stated.dense {
            let path = folder.path.join(&step.folder);
            let file = if path.join(WEIGHTS).is_file() { WEIGHTS } else { "pytorch_model.bin" };
            let weights = Weights::open(&path, &[file.into()])?;
            let loader = Loader::candle(weights.tensors(DType::F32, device)?).pp("linear");
            if loader.has("bias") != step.bias {
                return Err(Error::Model(format!(
                    "{}: config.json beside it and the weights do not agree whether there is a bias; fetch the model \
                     folder again",
                    weights.path().display()
                )));
            }
            let linear = loader.linear(step.inputs, step.outputs);
            dense.push((linear.map_err(|error| crate::error::damaged(weights.path(), error))?, step.tanh));
        }
        Ok(Head { dense, dimension: folder.dimension() })
    }

    /// For tests of what comes before.
    #[cfg(test)]
    pub fn without_steps(dimension: usize) -> Head {
        Head { dense: Vec::new(), dimension }
    }

    /// Pooled vectors, `[texts, hidden]`, to unit vectors.
    pub fn forward(&self, mut pooled: Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
        for (linear, tanh) in &self.dense {
            pooled = linear.forward(&pooled)?;
            if *tanh {
                pooled = pooled.tanh()?;
            }
        }
        let shorten = |mut vector: Vec<f32>| {
            vector.truncate(self.dimension);
            normalized(vector)
        };
        Ok(pooled.to_vec2()?.into_iter().map(shorten).collect())
    }
}
