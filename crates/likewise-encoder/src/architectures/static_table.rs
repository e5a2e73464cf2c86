//! Static models (model2vec; `StaticEmbedding` of sentence-transformers): a table of token vectors. The vector of a text
//! is the mean of the vectors of its tokens, whatever their order.

use crate::batch::Sequence;
use crate::layers::check_token_ids;
use crate::model::InputType;
use crate::network::Architecture;
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

/// Minimum number of texts that a thread computes at a time.
const MIN_TEXTS: usize = 16;

/// Maximum number of values of the table after tokens that share a vector got their own, 16 GiB.
const MAX_VALUES: usize = 1 << 32;

/// A loaded table.
pub struct StaticTable {
    /// `[tokens, width]`: the vectors, each multiplied by the weight of its token.
    table: Vec<f32>,
    width: usize,
}

impl StaticTable {
    /// Reads the table. In the files of model2vec, tokens can share vectors (`mapping` has the vector's number for each
    /// token), and have weights.
    ///
    /// # Errors
    /// Returns an error if there is no table, or if the mapping or the weights do not fit it.
    pub fn load(tensors: &VarBuilder) -> Result<StaticTable> {
        let names = ["embedding.weight", "embeddings"];
        let Some(name) = names.into_iter().find(|name| tensors.contains_tensor(name)) else {
            bail!("the tensor {} is missing", names[0])
        };
        let vectors = tensors.get_unchecked(name)?;
        let (count, width) = vectors.dims2()?;
        let vectors: Vec<f32> = vectors.flatten_all()?.to_vec1()?;
        let optional = |name| match tensors.contains_tensor(name) {
            true => tensors.get_unchecked_dtype(name, DType::F64)?.to_vec1::<f64>().map(Some),
            false => Ok(None),
        };
        if width == 0 {
            bail!("the vectors of the table must have at least one value");
        }
        let numbers: Vec<usize> = match optional("mapping")? {
            Some(mapping) => {
                mapping.into_iter().map(|number| vector_number(number, count)).collect::<Result<_>>()?
            }
            None => (0..count).collect(),
        };
        if numbers.len().saturating_mul(width) > MAX_VALUES {
            bail!("mapping must have at most {} tokens (got {})", MAX_VALUES / width, numbers.len());
        }
        let weights = optional("weights")?.unwrap_or_else(|| vec![1.0; numbers.len()]);
        if weights.len() != numbers.len() {
            bail!("weights must have one value per token, {} (got {})", numbers.len(), weights.len());
        }
        let mut table = Vec::with_capacity(numbers.len() * width);
        for (number, weight) in numbers.into_iter().zip(weights) {
            let vector = &vectors[number * width..][..width];
            table.extend(vector.iter().map(|value| value * weight as f32));
        }
        if !table.iter().all(|value| value.is_finite()) {
            bail!("the table has values that are not finite (NaN or infinity)");
        }
        Ok(StaticTable { table, width })
    }

    /// Writes the mean of the vectors of tokens to `out`. Without tokens, it is 0.
    fn mean(&self, ids: &[u32], out: &mut [f32]) -> Result<()> {
        check_token_ids(ids, self.table.len() / self.width)?;
        for id in ids {
            let vector = &self.table[*id as usize * self.width..][..self.width];
            out.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        let count = ids.len().max(1) as f32;
        out.iter_mut().for_each(|sum| *sum /= count);
        Ok(())
    }
}

/// A number of `mapping` as the number of a vector.
fn vector_number(number: f64, count: usize) -> Result<usize> {
    if number < 0.0 || number >= count as f64 {
        bail!("mapping must have numbers from 0 to {}, one for each vector (got {number})", count - 1);
    }
    Ok(number as usize)
}

impl Architecture for StaticTable {
    fn forward_pooled(&self, texts: &[Sequence], _: InputType) -> Result<Tensor> {
        let mut pooled = vec![0.0; texts.len() * self.width];
        let rows = pooled.par_chunks_mut(self.width).zip(texts).with_min_len(MIN_TEXTS);
        rows.try_for_each(|(out, text)| self.mean(text.ids, out))?;
        Tensor::from_vec(pooled, (texts.len(), self.width), &Device::Cpu)
    }

    fn forward_tokens(&self, _: &[Sequence], _: InputType) -> Result<Tensor> {
        bail!("a static model has no token vectors that depend on the text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn tensors(parts: &[(&str, Tensor)]) -> VarBuilder<'static> {
        let parts: HashMap<String, Tensor> =
            parts.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
        VarBuilder::from_tensors(parts, DType::F32, &Device::Cpu)
    }

    fn vector_of(table: &StaticTable, ids: &[u32]) -> Vec<f32> {
        let pooled = table.forward_pooled(&[Sequence::single(ids)], InputType::Document).unwrap();
        pooled.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn tokens_can_share_vectors_and_have_weights() {
        let device = &Device::Cpu;
        let embeddings = ("embeddings", Tensor::new(&[[1f32, 2.0], [10.0, 20.0]], device).unwrap());
        let mapping = ("mapping", Tensor::new(&[1i64, 0, 1], device).unwrap());
        let weights = ("weights", Tensor::new(&[1f64, 2.0, 0.5], device).unwrap());
        let plain = StaticTable::load(&tensors(std::slice::from_ref(&embeddings))).unwrap();
        assert_eq!(vector_of(&plain, &[0, 1]), [5.5, 11.0]);
        assert_eq!(vector_of(&plain, &[]), [0.0, 0.0]);
        let mapped = StaticTable::load(&tensors(&[embeddings.clone(), mapping.clone(), weights])).unwrap();
        assert_eq!(vector_of(&mapped, &[0, 1, 2]), [17.0 / 3.0, 34.0 / 3.0]);
        for wrong in [-1i64, 2] {
            let mapping = ("mapping", Tensor::new(&[wrong], device).unwrap());
            let error =
                StaticTable::load(&tensors(&[embeddings.clone(), mapping])).err().unwrap().to_string();
            assert!(error.contains("mapping must have numbers from 0 to 1"), "{error}");
        }
        let short = ("weights", Tensor::new(&[1f64], device).unwrap());
        let error = StaticTable::load(&tensors(&[embeddings, mapping, short])).err().unwrap().to_string();
        assert!(error.contains("weights must have one value per token, 3 (got 1)"), "{error}");
    }
}
