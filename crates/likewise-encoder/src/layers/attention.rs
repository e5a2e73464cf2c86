//! Attention over a batch of concatenated texts. Attention is the only operation of a network in which the texts of a
//! batch must be kept apart.
//!
//! There are four implementations, with the same results up to rounding: the crate's kernels on a CPU, text by text with
//! candle on a CPU (for comparison), padded on a GPU, and flash attention on a GPU, without padding. Flash attention
//! requires the feature `flash-attn`, bf16, no learned relative position biases, and texts whose tokens are all attended
//! to.

use super::with_values;
use crate::batch::Batch;
use crate::kernels::attention::{AddBias, MIN_WEIGHT, PackedAttention, Queries};
use crate::kernels::isa::{self, Isa};
use crate::kernels::rows::softmax;
use crate::kernels::{grow, with_thread_buffers};
use crate::layers::relative_position_bias::{RelativePositionBias, relative_positions};
use crate::model::Precision;
use candle_core::{CpuStorage, D, DType, Device, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

pub use crate::kernels::attention::AttentionShape;
pub use crate::kernels::mask::AttentionMask;

/// On a CPU, maximum number of queries whose scores are held in memory at once, for all heads. The scores of all
/// queries of a long text would take gigabytes.
const BLOCK_QUERIES: usize = 256;

/// Maximum number of scores in one tensor on a GPU, because the GPU's kernels index values with 32 bits.
const MAX_GPU_SCORES: usize = i32::MAX as usize;

/// The score of a masked key, or on a GPU the number that is added to that score. It is not -infinity, because the
/// softmax of a row of -infinity is NaN.
const MASK_VALUE: f32 = -1e30;

/// Memory for the queries, keys and values of a batch, kept from one use to the next.
#[derive(Default)]
struct JoinedBuffers {
    /// `[tokens, values]`: the queries, keys and values of each token.
    rows: Vec<f32>,
    /// `[tokens, words]`: the same, packed.
    words: Vec<u32>,
}

thread_local! {
    static BUFFERS: RefCell<JoinedBuffers> = RefCell::default();
}

/// An attention operation.
pub struct Attention {
    pub shape: AttentionShape,
    /// The kernels that compute the attention on this CPU. `None`: candle computes it.
    kernels: Option<PackedAttention>,
}

impl Attention {
    /// Attention that candle computes.
    pub fn candle(shape: AttentionShape) -> Attention {
        Attention { shape, kernels: None }
    }

    /// Attention that the crate's kernels compute, in a precision.
    pub fn kernels(isa: &'static Isa, precision: Precision, shape: AttentionShape) -> Attention {
        Attention { shape, kernels: Some(PackedAttention::new(isa, precision, shape)) }
    }

    /// Computes scaled dot-product attention (Vaswani et al., section 3.2). The queries have the shape
    /// `[tokens, heads, head_size]`, the keys and the values `[tokens, kv_heads, head_size]`, and the result
    /// `[tokens, heads * head_size]`. `bias`, if any, is added to the scores.
    pub fn forward(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        #[cfg(feature = "flash-attn")]
        if query.device().is_cuda()
            && query.dtype() != DType::F32
            && batch.attended == batch.lengths
            && bias.is_none_or(|bias| bias.slopes.is_some())
        {
            return self.flash([query, key, value], bias, batch);
        }
        match (query.device(), &self.kernels) {
            (Device::Cpu, Some(kernels)) => self.by_kernels(kernels, [query, key, value], bias, batch),
            (Device::Cpu, None) => self.by_text([query, key, value], bias, batch),
            _ => self.padded_in_parts([query, key, value], bias, batch, MAX_GPU_SCORES),
        }
    }

    /// Computes the attention of all texts with the crate's kernels.
    fn by_kernels(
        &self,
        kernels: &PackedAttention,
        qkv: [&Tensor; 3],
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let (tokens, widths) = (qkv[0].dim(0)?, self.shape.widths());
        let (width, row_len, packed_len) = (widths[0], widths.iter().sum(), kernels.packed_len());
        let mut context = vec![0.0; tokens * width];
        with_thread_buffers(&BUFFERS, |JoinedBuffers { rows, words }| {
            let (joined, packed) = (grow(rows, tokens * row_len), grow(words, tokens * packed_len));
            let mut start = 0;
            for (part, width) in qkv.into_iter().zip(widths) {
                with_values(part, |part| {
                    let rows = joined.chunks_exact_mut(row_len).zip(part.chunks_exact(width));
                    rows.for_each(|(row, part)| row[start..start + width].copy_from_slice(part));
                })?;
                start += width;
            }
            let threads = rayon::current_num_threads();
            let block = tokens.div_ceil(threads).clamp(1, BLOCK_QUERIES);
            let blocks = joined.par_chunks(block * row_len).zip(packed.par_chunks_mut(block * packed_len));
            blocks.for_each(|(rows, packed)| kernels.pack(rows, packed));
            let add_bias = bias.map(|bias| {
                move |head: usize, query: usize, keys: &Range<usize>, scores: &mut [f32]| {
                    scores
                        .iter_mut()
                        .zip(bias.row(head, query, keys))
                        .for_each(|(score, bias)| *score += bias);
                }
            });
            let add_bias = add_bias.as_ref().map(|add_bias| add_bias as AddBias);
            let texts = batch.lengths.iter().copied().zip(batch.attended.iter().copied());
            kernels.attend_texts(texts, packed, Queries::All, add_bias, &mut context);
            Ok::<_, candle_core::Error>(())
        })?;
        Tensor::from_vec(context, (tokens, width), &Device::Cpu)
    }

    /// Computes the attention of one text after the other, for at most [`BLOCK_QUERIES`] tokens of a text at a time.
    fn by_text(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let mut contexts = Vec::new();
        for (text, attended) in batch.text_ranges().zip(&batch.attended) {
            let of_text =
                |tensor: &Tensor| tensor.narrow(0, text.start, text.len())?.transpose(0, 1)?.contiguous();
            let (query, key, value) = ((of_text(query)? * self.shape.scale)?, of_text(key)?, of_text(value)?);
            let (key, value) = (self.repeat_heads(&key.t()?)?, self.repeat_heads(&value)?);
            for start in (0..text.len()).step_by(BLOCK_QUERIES) {
                let queries = start..text.len().min(start + BLOCK_QUERIES);
                let keys = self.shape.mask.keys(&queries, text.len());
                let keys = keys.start.min(*attended)..keys.end.min(*attended);
                if keys.is_empty() {
                    let width = self.shape.heads * self.shape.head_size;
                    contexts.push(Tensor::zeros((queries.len(), width), DType::F32, query.device())?);
                    continue;
                }
                let part = query.narrow(1, queries.start, queries.len())?;
                let weights = part.matmul(&key.narrow(2, keys.start, keys.len())?)?;
                weights.inplace_op1(&MaskedSoftmax {
                    mask: self.shape.mask,
                    bias,
                    queries,
                    keys: keys.clone(),
                })?;
                let context = weights.matmul(&value.narrow(1, keys.start, keys.len())?)?;
                contexts.push(context.transpose(0, 1)?.flatten_from(1)?);
            }
        }
        if let [one] = &contexts[..] { one.contiguous() } else { Tensor::cat(&contexts, 0) }
    }

    /// Repeats each head of keys or values for all query heads that share it. Maps `[…, kv_heads, a, b]` to
    /// `[…, heads, a, b]`.
    fn repeat_heads(&self, heads: &Tensor) -> Result<Tensor> {
        let times = self.shape.heads / self.shape.kv_heads;
        if times == 1 {
            return heads.contiguous();
        }
        let dims = heads.dims();
        let axis = dims.len() - 3;
        let (mut repeated, mut wide) = (dims.to_vec(), dims.to_vec());
        repeated.insert(axis + 1, times);
        wide[axis] *= times;
        heads.unsqueeze(axis + 1)?.broadcast_as(repeated)?.reshape(wide)
    }

    /// Computes padded attention on parts of the batch with at most `max_scores` scores each.
    ///
    /// # Errors
    /// Returns an error if a single text has more than `max_scores` scores.
    fn padded_in_parts(
        &self,
        qkv: [&Tensor; 3],
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
        max_scores: usize,
    ) -> Result<Tensor> {
        let scores = |texts: usize, longest: usize| texts * self.shape.heads * longest * longest;
        if scores(batch.lengths.len(), batch.longest()) <= max_scores {
            return self.padded(qkv, bias, batch);
        }
        let (mut contexts, mut first) = (Vec::new(), 0);
        while first < batch.lengths.len() {
            let (mut end, mut longest) = (first, 0);
            while let Some(length) = batch.lengths.get(end)
                && (end == first || scores(end + 1 - first, longest.max(*length)) <= max_scores)
            {
                longest = longest.max(*length);
                end += 1;
            }
            if scores(end - first, longest) > max_scores {
                bail!(
                    "a text of {longest} tokens is too long for this GPU's attention; build the program with \
                     --features flash-attn, or use --device cpu"
                );
            }
            let (part, tokens) = batch.slice(first..end)?;
            let of_part = |tensor: &Tensor| tensor.narrow(0, tokens.start, tokens.len());
            let [query, key, value] = qkv;
            contexts.push(self.padded([&of_part(query)?, &of_part(key)?, &of_part(value)?], bias, &part)?);
            first = end;
        }
        Tensor::cat(&contexts, 0)
    }

    /// Computes all texts at once, padded to the length of the longest text, because a few large operations are faster
    /// on a GPU than many small ones.
    fn padded(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let (texts, longest, tokens) =
            (batch.lengths.len(), batch.longest(), batch.position_ids.elem_count());
        let rows = batch.padded_rows()?;
        let pad = |tensor: &Tensor, heads: usize| {
            // The row index of padding is `tokens`: that is the row of zeros that is appended here.
            let flat = tensor.reshape((tokens, heads * self.shape.head_size))?.pad_with_zeros(0, 0, 1)?;
            let padded = flat.index_select(&rows, 0)?;
            padded.reshape((texts, longest, heads, self.shape.head_size))?.transpose(1, 2)?.contiguous()
        };
        let query = pad(query, self.shape.heads)?;
        let key = self.repeat_heads(&pad(key, self.shape.kv_heads)?.t()?.contiguous()?)?;
        let value = self.repeat_heads(&pad(value, self.shape.kv_heads)?)?;
        let mask = self.additive_mask(bias, batch, query.dtype())?;
        let scores = (query.matmul(&key)? * self.shape.scale)?.broadcast_add(&mask)?;
        let mut weights = candle_nn::ops::softmax_last_dim(&scores)?;
        if batch.attended != batch.lengths {
            // A token whose window has no attended token gets no value at all, instead of a mean of masked tokens.
            let has_keys = mask.max_keepdim(D::Minus1)?.gt(f64::from(MASK_VALUE) / 2.0)?;
            weights = weights.broadcast_mul(&has_keys.to_dtype(weights.dtype())?)?;
        }
        let context = weights
            .matmul(&value)?
            .transpose(1, 2)?
            .reshape((texts * longest, self.shape.heads * self.shape.head_size))?;
        let kept = batch.lengths.iter().enumerate().flat_map(|(text, length)| {
            let start = (text * longest) as u32;
            start..start + *length as u32
        });
        context.index_select(&Tensor::from_iter(kept, query.device())?, 0)
    }

    /// Returns the tensor that is added to the scores: the bias, and [`MASK_VALUE`] for padding, for tokens that are not
    /// attended to, and for keys that the attention mask excludes. The shape is `[texts, 1 or heads, 1 or longest, longest]`.
    fn additive_mask(
        &self,
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
        dtype: DType,
    ) -> Result<Tensor> {
        let (longest, device) = (batch.longest(), batch.ids.device());
        let attended = Tensor::from_iter(batch.attended.iter().map(|attended| *attended as u32), device)?;
        let positions = Tensor::arange(0, longest as u32, device)?;
        let is_padding = positions.unsqueeze(0)?.broadcast_ge(&attended.unsqueeze(1)?)?;
        let mut mask =
            (is_padding.to_dtype(DType::F32)? * f64::from(MASK_VALUE))?.unsqueeze(1)?.unsqueeze(1)?;
        let is_masked = match self.shape.mask {
            AttentionMask::Full => None,
            AttentionMask::Causal => {
                Some(relative_positions(longest, device)?.gt(0f32)?.to_dtype(DType::F32)?)
            }
            AttentionMask::SlidingWindow(radius) => {
                Some(relative_positions(longest, device)?.abs()?.gt(radius as f32)?.to_dtype(DType::F32)?)
            }
            AttentionMask::CausalWindow(width) => {
                let relative = relative_positions(longest, device)?;
                let (after, before) = (relative.gt(0f32)?, relative.le(-(width as f32))?);
                Some((after.to_dtype(DType::F32)? + before.to_dtype(DType::F32)?)?)
            }
        };
        if let Some(is_masked) = is_masked {
            mask = mask.broadcast_add(&(is_masked * f64::from(MASK_VALUE))?)?;
        }
        if let Some(bias) = bias {
            mask = mask.broadcast_add(&bias.block(self.shape.heads, longest, device)?)?;
        }
        mask.to_dtype(dtype)
    }

    /// Computes attention without padding and without storing the scores (Dao, FlashAttention-2).
    #[cfg(feature = "flash-attn")]
    fn flash(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        use candle_flash_attn::{flash_attn_varlen_alibi_windowed, flash_attn_varlen_windowed};
        let ends = batch.text_ranges().map(|text| text.end as u32);
        let starts = Tensor::from_iter(std::iter::once(0).chain(ends), query.device())?;
        let (longest, scale) = (batch.longest(), self.shape.scale as f32);
        let (left, right) = match self.shape.mask {
            AttentionMask::Full => (None, None),
            AttentionMask::Causal => (None, Some(0)),
            AttentionMask::SlidingWindow(radius) => (Some(radius), Some(radius)),
            AttentionMask::CausalWindow(width) => (Some(width.saturating_sub(1)), Some(0)),
        };
        let (query, key, value) = (query.contiguous()?, key.contiguous()?, value.contiguous()?);
        let context = match bias.and_then(|bias| bias.slopes.as_ref()) {
            Some(slopes) => {
                let slopes = Tensor::new(&slopes[..], query.device())?;
                flash_attn_varlen_alibi_windowed(
                    &query, &key, &value, &slopes, &starts, &starts, longest, longest, scale, left, right,
                )
            }
            None => flash_attn_varlen_windowed(
                &query, &key, &value, &starts, &starts, longest, longest, scale, left, right,
            ),
        };
        context?.flatten_from(D::Minus2)
    }
}

/// Turns scores `[heads, queries, keys]` into weights, in place: adds the bias, masks keys, and computes the softmax.
struct MaskedSoftmax<'a> {
    mask: AttentionMask,
    bias: Option<&'a RelativePositionBias>,
    /// Positions of the queries in the text.
    queries: Range<usize>,
    /// Positions of the keys in the text.
    keys: Range<usize>,
}

impl InplaceOp1 for MaskedSoftmax<'_> {
    fn name(&self) -> &'static str {
        "masked-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(scores) = storage else { bail!("scores on a CPU must be f32") };
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("scores must be contiguous") };
        let (queries, keys) = (self.queries.len(), self.keys.len());
        let mut inverse_sums = vec![0.0; queries];
        for (head, scores) in scores[start..end].chunks_exact_mut(queries * keys).enumerate() {
            for (query, row) in self.queries.clone().zip(scores.chunks_exact_mut(keys)) {
                if let Some(bias) = self.bias {
                    row.iter_mut()
                        .zip(bias.row(head, query, &self.keys))
                        .for_each(|(score, bias)| *score += bias);
                }
                if self.mask != AttentionMask::Full {
                    let masked =
                        self.keys.clone().zip(&mut *row).filter(|(key, _)| !self.mask.allows(query, *key));
                    masked.for_each(|(_, score)| *score = MASK_VALUE);
                }
            }
            softmax(isa::current(), scores, keys, keys, 1.0, &mut inverse_sums);
            let rows = scores.chunks_exact_mut(keys).zip(&inverse_sums);
            for ((row, inverse_sum), query) in rows.zip(self.queries.clone()) {
                // A token whose window has no attended token gets no value at all.
                let allowed = self.mask.keys(&(query..query + 1), usize::MAX);
                if allowed.start >= self.keys.end {
                    row.fill(0.0);
                    continue;
                }
                row.iter_mut().for_each(|weight| {
                    *weight = if *weight < MIN_WEIGHT { 0.0 } else { *weight * inverse_sum };
                });
            }
        }
        Ok(())
    }
}

/// Reshapes `[tokens, heads * head_size]` to `[tokens, heads, head_size]`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    x.reshape((tokens, heads, width / heads))
}

/// Splits the last dimension into parts of these widths.
pub fn split(x: &Tensor, widths: &[usize]) -> Result<Vec<Tensor>> {
    let mut start = 0;
    let cut = |width: &usize| {
        start += width;
        x.narrow(D::Minus1, start - width, *width)
    };
    widths.iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Sequence;
    use proptest::prelude::*;

    /// The reference: attention in plain loops.
    fn plain_attention(
        shape: &AttentionShape,
        qkv: [&[f32]; 3],
        bias: Option<&RelativePositionBias>,
        lengths: &[usize],
        unattended: usize,
    ) -> Vec<f32> {
        let (heads, size) = (shape.heads, shape.head_size);
        let [query, key, value] = qkv;
        let mut out = vec![0.0; query.len()];
        let mut start = 0;
        for &length in lengths {
            for (from, head) in (0..length).flat_map(|from| (0..heads).map(move |head| (from, head))) {
                let kv_head = head * shape.kv_heads / heads;
                let query = &query[((start + from) * heads + head) * size..][..size];
                let offset = |to: usize| ((start + to) * shape.kv_heads + kv_head) * size;
                let score = |to: usize| {
                    let dot: f32 = query.iter().zip(&key[offset(to)..]).map(|(q, k)| q * k).sum();
                    let bias = bias.map_or(0.0, |bias| bias.row(head, from, &(to..to + 1))[0]);
                    dot * shape.scale as f32 + bias
                };
                let attended = length.saturating_sub(unattended).max(1);
                let keys: Vec<usize> = (0..attended).filter(|to| shape.mask.allows(from, *to)).collect();
                let weights: Vec<f32> = keys.iter().map(|to| score(*to).exp()).collect();
                let sum: f32 = weights.iter().sum();
                let out = &mut out[((start + from) * heads + head) * size..][..size];
                for (to, weight) in keys.iter().zip(weights) {
                    out.iter_mut().zip(&value[offset(*to)..]).for_each(|(out, v)| *out += weight / sum * v);
                }
            }
            start += length;
        }
        out
    }

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i * 31 + seed * 17) % 97) as f32 / 48.0 - 1.0) * 1.5).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_implementation_equals_plain_loops(
            lengths in proptest::collection::vec(1_usize..40, 1..5),
            long in prop::bool::weighted(0.1),
            mask in prop_oneof![
                Just(AttentionMask::Full),
                Just(AttentionMask::Causal),
                (0_usize..9).prop_map(AttentionMask::SlidingWindow),
                (1_usize..9).prop_map(AttentionMask::CausalWindow),
            ],
            queries_per_kv_head in prop_oneof![Just(1_usize), Just(2), Just(4)],
            with_bias: bool,
            unattended in 0_usize..12,
        ) {

            let mut lengths = lengths;
            if long {
                lengths.push(BLOCK_QUERIES + 7);
            }
            let tokens: usize = lengths.iter().sum();
            let shape = AttentionShape { heads: 4, kv_heads: 4 / queries_per_kv_head, head_size: 3, scale: 0.6, mask };
            let bias = with_bias.then(|| RelativePositionBias::alibi(4, 300));
            let rows = |heads: usize, seed| values(tokens * heads * 3, seed);
            let (q, k, v) = (rows(4, 1), rows(shape.kv_heads, 2), rows(shape.kv_heads, 3));
            let tensor = |x: &[f32], heads| Tensor::from_slice(x, (tokens, heads, 3), &Device::Cpu).unwrap();
            let ids: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
            let attended = |ids: &[u32]| ids.len().saturating_sub(unattended).max(1);
            let sequences: Vec<Sequence> =
                ids.iter().map(|ids| Sequence { attended: attended(ids), ..Sequence::single(ids) }).collect();
            let batch = Batch::new(&sequences, &Device::Cpu).unwrap();
            let (qt, kt, vt) = (tensor(&q, 4), tensor(&k, shape.kv_heads), tensor(&v, shape.kv_heads));
            let expected = plain_attention(&shape, [&q, &k, &v], bias.as_ref(), &lengths, unattended);
            let (qkv, longest) = ([&qt, &kt, &vt], batch.longest());
            let attention = Attention::candle(shape);
            let mut results = vec![
                (attention.by_text(qkv, bias.as_ref(), &batch), 1e-5),
                (attention.padded(qkv, bias.as_ref(), &batch), 1e-5),
                (attention.padded_in_parts(qkv, bias.as_ref(), &batch, 2 * 4 * longest * longest), 1e-5),
            ];
            for isa in isa::testable() {
                for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 0.06)] {
                    let attention = Attention::kernels(isa, precision, shape);
                    results.push((attention.forward(qkv, bias.as_ref(), &batch), tolerance));
                }
            }
            for (result, tolerance) in results {
                let result = result.unwrap();
                prop_assert_eq!(result.dims(), [tokens, 12]);
                let result = result.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (value, expected) in result.iter().zip(&expected) {
                    prop_assert!((value - expected).abs() < tolerance, "{} must be {}", value, expected);
                }
            }
        }
    }
}
