//! Attention over texts that stand one after the other: which tokens a token sees, and how the machine computes it.
//!
//! Its own file because it is the one place in a network where texts must be kept apart, and because it has three
//! forms that must agree: text by text in memory, padded on a GPU, and without padding by flash attention.

use crate::batch::Batch;
use crate::kernels::level;
use crate::kernels::rows::softmax;
use crate::layers::distance::{DistanceBias, distances};
use candle_core::{CpuStorage, D, DType, Device, InplaceOp1, Layout, Result, Tensor, bail};
use std::ops::Range;

/// Queries whose scores are held at once, of all heads: a long text's would be gigabytes.
const BLOCK_QUERIES: usize = 256;

/// Scores of what is not seen; not infinity, which less itself is no number.
const UNSEEN: f32 = -1e30;

/// What is less of the largest weight is nothing: products of such numbers take a processor a hundred times as long.
const LEAST: f32 = 1e-20;

/// Which tokens of its text a token sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    All,
    /// Itself and those before it.
    Causal,
    /// Those so many places away or nearer, on both sides.
    Window(usize),
}

impl Reach {
    fn sees(self, from: usize, to: usize) -> bool {
        match self {
            Reach::All => true,
            Reach::Causal => to <= from,
            Reach::Window(most) => from.abs_diff(to) <= most,
        }
    }

    /// Every key that any of some queries sees.
    fn keys(self, queries: &Range<usize>, length: usize) -> Range<usize> {
        match self {
            Reach::All => 0..length,
            Reach::Causal => 0..queries.end,
            Reach::Window(most) => queries.start.saturating_sub(most)..length.min(queries.end + most),
        }
    }
}

/// How attention is shaped.
pub struct Attention {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, each shared by as many of the queries' (Ainslie et al., grouped queries).
    pub kv_heads: usize,
    /// Values a head has.
    pub size: usize,
    /// What scores are multiplied by.
    pub scale: f64,
    /// What is seen.
    pub reach: Reach,
}

impl Attention {
    /// As most have it: all see all, and scores are over the root of a head's size.
    pub fn plain(heads: usize, width: usize) -> Attention {
        let size = width / heads;
        Attention { heads, kv_heads: heads, size, scale: 1.0 / (size as f64).sqrt(), reach: Reach::All }
    }

    /// Scaled dot-product attention (Vaswani et al., section 3.2), of queries `[tokens, heads, size]`, keys and values
    /// `[tokens, kv_heads, size]`, to `[tokens, heads * size]`.
    pub fn forward(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&DistanceBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        #[cfg(feature = "flash-attn")]
        if query.device().is_cuda()
            && query.dtype() != DType::F32
            && bias.is_none_or(|bias| bias.slopes.is_some())
        {
            return self.flash([query, key, value], bias, batch);
        }
        match query.device() {
            Device::Cpu => self.by_text([query, key, value], bias, batch),
            _ => self.padded_in_parts([query, key, value], bias, batch, i32::MAX as usize),
        }
    }

    /// One text after the other, a few queries at a time.
    fn by_text(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&DistanceBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let mut contexts = Vec::new();
        for text in batch.texts() {
            let of_text =
                |tensor: &Tensor| tensor.narrow(0, text.start, text.len())?.transpose(0, 1)?.contiguous();
            let (query, key, value) = ((of_text(query)? * self.scale)?, of_text(key)?, of_text(value)?);
            let (key, value) = (self.shared(&key.t()?)?, self.shared(&value)?);
            for start in (0..text.len()).step_by(BLOCK_QUERIES) {
                let queries = start..text.len().min(start + BLOCK_QUERIES);
                let keys = self.reach.keys(&queries, text.len());
                let part = query.narrow(1, queries.start, queries.len())?;
                let weights = part.matmul(&key.narrow(2, keys.start, keys.len())?)?;
                weights.inplace_op1(&Weigh { reach: self.reach, bias, queries, keys: keys.clone() })?;
                let context = weights.matmul(&value.narrow(1, keys.start, keys.len())?)?;
                contexts.push(context.transpose(0, 1)?.flatten_from(1)?);
            }
        }
        if let [one] = &contexts[..] { one.contiguous() } else { Tensor::cat(&contexts, 0) }
    }

    /// Heads of keys or values, `[…, kv_heads, a, b]`, each as often as there are queries' heads that share it.
    fn shared(&self, heads: &Tensor) -> Result<Tensor> {
        let times = self.heads / self.kv_heads;
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

    /// The same in parts whose scores can be counted: kernels on a GPU number them in 32 bits.
    fn padded_in_parts(
        &self,
        qkv: [&Tensor; 3],
        bias: Option<&DistanceBias>,
        batch: &Batch,
        most_scores: usize,
    ) -> Result<Tensor> {
        let scores = |texts: usize, longest: usize| texts * self.heads * longest * longest;
        if scores(batch.lengths.len(), batch.longest()) <= most_scores {
            return self.padded(qkv, bias, batch);
        }
        let (mut contexts, mut first) = (Vec::new(), 0);
        while first < batch.lengths.len() {
            let (mut end, mut longest) = (first, 0);
            while let Some(length) = batch.lengths.get(end)
                && (end == first || scores(end + 1 - first, longest.max(*length)) <= most_scores)
            {
                longest = longest.max(*length);
                end += 1;
            }
            if scores(end - first, longest) > most_scores {
                bail!(
                    "a text of {longest} tokens is too long for this GPU's attention; build with --features flash-attn, or \
                     use --device cpu"
                );
            }
            let (part, tokens) = batch.part(first..end)?;
            let of_part = |tensor: &Tensor| tensor.narrow(0, tokens.start, tokens.len());
            let [query, key, value] = qkv;
            contexts.push(self.padded([&of_part(query)?, &of_part(key)?, &of_part(value)?], bias, &part)?);
            first = end;
        }
        Tensor::cat(&contexts, 0)
    }

    /// All texts at once, padded to the longest: for devices that would rather compute for nothing than be asked often.
    fn padded(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&DistanceBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let (texts, longest, tokens) = (batch.lengths.len(), batch.longest(), batch.places.elem_count());
        let rows = batch.padded()?;
        let pad = |tensor: &Tensor, heads: usize| {
            // What is not there has a row of zeros, after the last token's.
            let flat = tensor.reshape((tokens, heads * self.size))?.pad_with_zeros(0, 0, 1)?;
            let padded = flat.index_select(&rows, 0)?;
            padded.reshape((texts, longest, heads, self.size))?.transpose(1, 2)?.contiguous()
        };
        let query = pad(query, self.heads)?;
        let key = self.shared(&pad(key, self.kv_heads)?.t()?.contiguous()?)?;
        let value = self.shared(&pad(value, self.kv_heads)?)?;
        let scores =
            (query.matmul(&key)? * self.scale)?.broadcast_add(&self.mask(bias, batch, query.dtype())?)?;
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let context =
            weights.matmul(&value)?.transpose(1, 2)?.reshape((texts * longest, self.heads * self.size))?;
        let kept = batch.lengths.iter().enumerate().flat_map(|(text, length)| {
            let start = (text * longest) as u32;
            start..start + *length as u32
        });
        context.index_select(&Tensor::from_iter(kept, query.device())?, 0)
    }

    /// What is added to scores: `[texts, 1 or heads, 1 or longest, longest]`.
    fn mask(&self, bias: Option<&DistanceBias>, batch: &Batch, dtype: DType) -> Result<Tensor> {
        let (longest, device) = (batch.longest(), batch.ids.device());
        let lengths = Tensor::from_iter(batch.lengths.iter().map(|length| *length as u32), device)?;
        let places = Tensor::arange(0, longest as u32, device)?;
        let is_padding = places.unsqueeze(0)?.broadcast_ge(&lengths.unsqueeze(1)?)?;
        let mut mask = (is_padding.to_dtype(DType::F32)? * f64::from(UNSEEN))?.unsqueeze(1)?.unsqueeze(1)?;
        let is_unseen = match self.reach {
            Reach::All => None,
            Reach::Causal => Some(distances(longest, device)?.gt(0f32)?),
            Reach::Window(most) => Some(distances(longest, device)?.abs()?.gt(most as f32)?),
        };
        if let Some(is_unseen) = is_unseen {
            mask = mask.broadcast_add(&(is_unseen.to_dtype(DType::F32)? * f64::from(UNSEEN))?)?;
        }
        if let Some(bias) = bias {
            mask = mask.broadcast_add(&bias.block(self.heads, longest, device)?)?;
        }
        mask.to_dtype(dtype)
    }

    /// Without padding and without storing scores (Dao, FlashAttention-2).
    #[cfg(feature = "flash-attn")]
    fn flash(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&DistanceBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        use candle_flash_attn::{flash_attn_varlen_alibi_windowed, flash_attn_varlen_windowed};
        let ends = batch.texts().map(|text| text.end as u32);
        let starts = Tensor::from_iter(std::iter::once(0).chain(ends), query.device())?;
        let (longest, scale) = (batch.longest(), self.scale as f32);
        let (left, right) = match self.reach {
            Reach::All => (None, None),
            Reach::Causal => (None, Some(0)),
            Reach::Window(most) => (Some(most), Some(most)),
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

/// Scores `[heads, queries, keys]` to weights: the bias, what is not seen, and softmax, in place.
struct Weigh<'a> {
    reach: Reach,
    bias: Option<&'a DistanceBias>,
    queries: Range<usize>,
    keys: Range<usize>,
}

impl InplaceOp1 for Weigh<'_> {
    fn name(&self) -> &'static str {
        "weigh"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(scores) = storage else { bail!("scores are in f32 on a CPU") };
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("scores have gaps in them") };
        let (queries, keys) = (self.queries.len(), self.keys.len());
        let mut shares = vec![0.0; queries];
        for (head, scores) in scores[start..end].chunks_exact_mut(queries * keys).enumerate() {
            for (query, row) in self.queries.clone().zip(scores.chunks_exact_mut(keys)) {
                if let Some(bias) = self.bias {
                    row.iter_mut()
                        .zip(bias.row(head, query, &self.keys))
                        .for_each(|(score, bias)| *score += bias);
                }
                if self.reach != Reach::All {
                    let unseen =
                        self.keys.clone().zip(&mut *row).filter(|(key, _)| !self.reach.sees(query, *key));
                    unseen.for_each(|(_, score)| *score = UNSEEN);
                }
            }
            softmax(level::current(), scores, (keys, keys), 1.0, &mut shares);
            for (row, share) in scores.chunks_exact_mut(keys).zip(&shares) {
                row.iter_mut()
                    .for_each(|weight| *weight = if *weight < LEAST { 0.0 } else { *weight * share });
            }
        }
        Ok(())
    }
}

/// `[tokens, heads * size]` as `[tokens, heads, size]`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    x.reshape((tokens, heads, width / heads))
}

/// Cuts rows into parts of these widths.
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
    use proptest::prelude::*;

    /// The obvious one: three loops.
    fn obvious(
        shape: &Attention,
        qkv: [&[f32]; 3],
        bias: Option<&DistanceBias>,
        lengths: &[usize],
    ) -> Vec<f32> {
        let (heads, size) = (shape.heads, shape.size);
        let [query, key, value] = qkv;
        let mut out = vec![0.0; query.len()];
        let mut start = 0;
        for &length in lengths {
            for (from, head) in (0..length).flat_map(|from| (0..heads).map(move |head| (from, head))) {
                let kv = head * shape.kv_heads / heads;
                let of_query = &query[((start + from) * heads + head) * size..][..size];
                let of_key = |to: usize| ((start + to) * shape.kv_heads + kv) * size;
                let score = |to: usize| {
                    let dot: f32 = of_query.iter().zip(&key[of_key(to)..]).map(|(q, k)| q * k).sum();
                    let more = bias.map_or(0.0, |bias| bias.row(head, from, &(to..to + 1))[0]);
                    dot * shape.scale as f32 + more
                };
                let seen: Vec<usize> = (0..length).filter(|to| shape.reach.sees(from, *to)).collect();
                let weights: Vec<f32> = seen.iter().map(|to| score(*to).exp()).collect();
                let sum: f32 = weights.iter().sum();
                let out = &mut out[((start + from) * heads + head) * size..][..size];
                for (to, weight) in seen.iter().zip(weights) {
                    out.iter_mut().zip(&value[of_key(*to)..]).for_each(|(out, v)| *out += weight / sum * v);
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
        fn every_form_is_the_obvious_one(
            lengths in proptest::collection::vec(1_usize..40, 1..5),
            long in prop::bool::weighted(0.1),
            reach in prop_oneof![Just(Reach::All), Just(Reach::Causal), (0_usize..9).prop_map(Reach::Window)],
            shares in prop_oneof![Just(1_usize), Just(2), Just(4)],
            with_bias: bool,
        ) {
            let mut lengths = lengths;
            if long {
                lengths.push(BLOCK_QUERIES + 7);
            }
            let tokens: usize = lengths.iter().sum();
            let shape = Attention { heads: 4, kv_heads: 4 / shares, size: 3, scale: 0.6, reach };
            let bias = with_bias.then(|| DistanceBias::alibi(4, 300));
            let of = |heads: usize, seed| values(tokens * heads * 3, seed);
            let (q, k, v) = (of(4, 1), of(shape.kv_heads, 2), of(shape.kv_heads, 3));
            let tensor = |x: &[f32], heads| Tensor::from_slice(x, (tokens, heads, 3), &Device::Cpu).unwrap();
            let ids: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; *length]).collect();
            let batch = Batch::new(&ids.iter().map(|ids| &ids[..]).collect::<Vec<_>>(), &Device::Cpu).unwrap();
            let (qt, kt, vt) = (tensor(&q, 4), tensor(&k, shape.kv_heads), tensor(&v, shape.kv_heads));
            let wanted = obvious(&shape, [&q, &k, &v], bias.as_ref(), &lengths);
            let (qkv, longest) = ([&qt, &kt, &vt], batch.longest());
            for form in [
                shape.by_text(qkv, bias.as_ref(), &batch),
                shape.padded(qkv, bias.as_ref(), &batch),
                shape.padded_in_parts(qkv, bias.as_ref(), &batch, 2 * 4 * longest * longest),
            ] {
                let got = form.unwrap();
                prop_assert_eq!(got.dims(), [tokens, 12]);
                for (got, wanted) in got.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().zip(&wanted) {
                    prop_assert!((got - wanted).abs() < 1e-5, "got {}, wanted {}", got, wanted);
                }
            }
        }
    }
}
