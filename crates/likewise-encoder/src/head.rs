//! The steps after pooling: dense layers, truncation to the requested number of dimensions, and scaling to length 1.
//! These steps are the same for all architectures.

use crate::error::{Error, Result};
use crate::layers::{Linear, Loader};
use crate::model::{ModelFolder, WEIGHTS};
use crate::pooling::normalized;
use crate::weights::Weights;
use candle_core::{DType, Device, Tensor};

/// The dense layers of a model, and the number of values to keep of each vector.
pub struct Head {
    dense: Vec<DenseLayer>,
    /// Number of values to keep of each vector. A vector has more only if the option `dimensions` is set.
    dimension: usize,
}

struct DenseLayer {
    linear: Linear,
    /// Whether the activation function is tanh. If not, there is no activation function.
    tanh: bool,
}

impl Head {
    /// Loads the dense layers from their folders. The layers compute in f32, as pooling does.
    pub fn load(folder: &ModelFolder, device: &Device) -> Result<Head> {
        let mut dense = Vec::new();
        for config in &folder.config.dense {
            let path = folder.path.join(&config.folder);
            let file = if path.join(WEIGHTS).is_file() { WEIGHTS } else { "pytorch_model.bin" };
            let weights = Weights::open(&path, &[file.into()])?;
            let loader = Loader::candle(weights.tensors(DType::F32, device)?).pp("linear");
            if loader.has("bias") != config.bias {
                let (stated, found) = if config.bias { ("a", "no") } else { ("no", "a") };
                return Err(Error::Model(format!(
                    "{}: the dense layer has {found} bias, but model.toml or the config.json beside the file states \
                     {stated} bias; fetch the model folder again",
                    weights.path().display()
                )));
            }
            let linear = loader.linear(config.inputs, config.outputs);
            let linear = linear.map_err(|error| crate::error::damaged(weights.path(), error))?;
            dense.push(DenseLayer { linear, tanh: config.tanh });
        }
        Ok(Head { dense, dimension: folder.dimension() })
    }

    /// A head without dense layers, for tests.
    #[cfg(test)]
    pub fn without_dense(dimension: usize) -> Head {
        Head { dense: Vec::new(), dimension }
    }

    /// Turns pooled vectors, shape `[texts, hidden]`, into unit vectors of the model's dimension. The vectors of tokens,
    /// shape `[tokens, hidden]`, are turned into unit vectors in the same way.
    pub fn forward(&self, mut pooled: Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
        for DenseLayer { linear, tanh } in &self.dense {
            pooled = linear.forward(&pooled)?;
            if *tanh {
                pooled = pooled.tanh()?;
            }
        }
        let finish = |mut vector: Vec<f32>| {
            vector.truncate(self.dimension);
            normalized(vector)
        };
        Ok(pooled.to_vec2()?.into_iter().map(finish).collect())
    }
}
