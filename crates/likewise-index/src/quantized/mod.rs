//! Vectors quantized to int8: one byte per value and one scale per vector.
//!
//! Graph searches and scans compare quantized vectors, because memory bandwidth limits their speed, and a quantized
//! vector is a quarter of the size of the `f32` vector. The error of a score is less than about 0.002. Segments
//! therefore score the best candidates again with the `f32` vectors. The SIMD code is in `x86.rs`.

#[cfg(target_arch = "x86_64")]
mod x86;

use likewise_base::cpu;
use std::sync::LazyLock;

/// Quantized vectors are padded to a multiple of this many bytes, the size of a cache line and of the widest SIMD
/// register.
const CACHE_LINE: usize = 64;

/// The byte that represents 0.
const ZERO_POINT: u8 = 128;

/// `1.5 × 2^23`. Adding this constant to a small float rounds the float to an integer, which is then in the low bits of
/// the sum.
const ROUNDING_BIAS: f32 = 12_582_912.0;

/// Number of bytes of a quantized vector, padding included.
pub fn stride(dimension: usize) -> usize {
    dimension.next_multiple_of(CACHE_LINE)
}

/// Quantizes `vector` into `bytes`, which has [`stride`] bytes. Returns the scale: the value of one quantization step.
pub fn quantize(vector: &[f32], bytes: &mut [u8]) -> f32 {
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let (bytes, padding) = bytes.split_at_mut(vector.len());
    for (byte, value) in bytes.iter_mut().zip(vector) {
        *byte = (value * inverse + ROUNDING_BIAS).to_bits() as u8 ^ ZERO_POINT;
    }
    padding.fill(ZERO_POINT);
    largest / 127.0
}

/// Returns the Euclidean distance between a vector and the values that the quantized vector represents.
pub fn quantization_error(vector: &[f32], bytes: &[u8], scale: f32) -> f32 {
    let values = bytes.iter().map(|byte| f32::from((byte ^ ZERO_POINT) as i8) * scale);
    vector.iter().zip(values).map(|(value, quantized)| (value - quantized).powi(2)).sum::<f32>().sqrt()
}

/// The quantized vectors of a graph's nodes.
#[derive(Clone, Copy)]
pub struct QuantizedVectors<'a> {
    /// Shape `[nodes, stride]`.
    pub bytes: &'a [u8],
    /// Shape `[nodes]`.
    pub scales: &'a [f32],
    /// Bytes per vector; see [`stride`].
    pub stride: usize,
}

/// A query, quantized to signed bytes.
#[derive(Debug, Clone, Default)]
pub struct QuantizedQuery {
    bytes: Vec<i8>,
    /// The amount that [`ZERO_POINT`] adds to the dot product of this query with any quantized vector.
    zero_offset: i32,
    scale: f32,
}

impl QuantizedQuery {
    /// Sets the query to `vector`. `buffer` is working memory.
    pub fn set_vector(&mut self, vector: &[f32], buffer: &mut Vec<u8>) {
        buffer.resize(stride(vector.len()), ZERO_POINT);
        self.scale = quantize(vector, buffer);
        self.set_bytes(buffer);
    }

    /// Sets the query to the vector of a node.
    pub fn set_node(&mut self, vectors: QuantizedVectors, node: u32) {
        self.scale = vectors.scales[node as usize];
        self.set_bytes(vectors.bytes_of(node));
    }

    /// The values that the bytes represent, padding included.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        self.bytes.iter().map(|byte| f32::from(*byte) * self.scale)
    }

    fn set_bytes(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend(bytes.iter().map(|byte| (byte ^ ZERO_POINT) as i8));
        self.zero_offset =
            i32::from(ZERO_POINT) * self.bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>();
    }
}

impl<'v> QuantizedVectors<'v> {
    /// The bytes of a node's vector.
    pub fn bytes_of(&self, node: u32) -> &[u8] {
        &self.bytes[node as usize * self.stride..][..self.stride]
    }

    /// Approximate cosine of `query` and a node's vector.
    pub fn score(&self, query: &QuantizedQuery, node: u32) -> f32 {
        let mut product = [0];
        isa().dot_products(&query.bytes, self.bytes, &[node], &mut product);
        (product[0] - query.zero_offset) as f32 * (query.scale * self.scales[node as usize])
    }

    /// Approximate cosines of `query` and the vectors of `nodes`, in order. `products` is working memory.
    pub fn scores<'a>(
        self,
        query: &'a QuantizedQuery,
        nodes: &'a [u32],
        products: &'a mut Vec<i32>,
    ) -> impl Iterator<Item = f32> + 'a
    where
        'v: 'a,
    {
        products.resize(nodes.len(), 0);
        isa().dot_products(&query.bytes, self.bytes, nodes, products);
        let score = move |(product, node): (&i32, &u32)| {
            (product - query.zero_offset) as f32 * (query.scale * self.scales[*node as usize])
        };
        products.iter().zip(nodes).map(score)
    }
}

/// Prefetches memory that will be read soon. Does nothing on CPUs other than x86-64.
#[inline]
pub fn prefetch<T: bytemuck::NoUninit>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(bytemuck::cast_slice(values));
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Computes `Σ query[i] vector[i]` for the vector of every node. The arguments are the query, the bytes of all vectors,
/// the nodes, and the output. The query and each vector have the same length, a multiple of [`CACHE_LINE`].
///
/// # Safety
/// The CPU must support the instruction set that the function was compiled for.
type DotProductsFn = unsafe fn(&[i8], &[u8], &[u32], &mut [i32]);

/// An instruction set, and the kernel that is used with it. The kernel can be compiled for an older instruction set.
struct Isa {
    name: &'static str,
    dot_products: DotProductsFn,
}

impl Isa {
    fn dot_products(&self, query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
        // SAFETY: `supported` only creates an `Isa` if the CPU has the instructions.
        unsafe { (self.dot_products)(query, vectors, nodes, out) }
    }
}

fn isa() -> &'static Isa {
    static CURRENT: LazyLock<Isa> = LazyLock::new(|| cpu::pick(supported(), |isa| isa.name));
    &CURRENT
}

/// Returns the instruction sets that this CPU supports, best first. The names are the same as for the encoder's
/// kernels.
fn supported() -> Vec<Isa> {
    let mut supported = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        if is_x86_feature_detected!("avx512f") {
            let vnni = is_x86_feature_detected!("avx512vnni");
            let dot_products = if vnni { x86::vnni } else { x86::avx2 };
            supported.push(Isa { name: "avx512", dot_products });
            // AMX multiplies matrices; for products of two vectors, the encoder's `amx` is the same as `avx512` here.
            supported.push(Isa { name: "amx", dot_products });
            supported.push(Isa { name: "avx512-plain", dot_products: x86::avx2 });
        }
        if is_x86_feature_detected!("avxvnni") {
            supported.push(Isa { name: "avx2-vnni", dot_products: x86::avx_vnni });
        } else if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
            supported.push(Isa { name: "avx2-vnni", dot_products: x86::avx512_vnni_256 });
        }
        supported.push(Isa { name: "avx2", dot_products: x86::avx2 });
    }
    supported.push(Isa { name: "portable", dot_products: portable });
    supported
}

fn portable(query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
    for (out, &node) in out.iter_mut().zip(nodes) {
        let vector = &vectors[node as usize * query.len()..][..query.len()];
        *out = query.iter().zip(vector).map(|(query, value)| i32::from(*query) * i32::from(*value)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_isa_computes_the_portable_dot_products(
            lines in 1_usize..5, count in 1_usize..20, bytes in proptest::collection::vec(any::<u8>(), 64 * 4 * 20), extreme: bool,
        ) {
            let stride = lines * CACHE_LINE;
            let value = |byte: &u8| if extreme { if *byte < 128 { 0 } else { 255 } } else { *byte };
            let vectors: Vec<u8> = bytes[..count * stride].iter().map(value).collect();
            let query: Vec<i8> =
                bytes.iter().rev().take(stride).map(|byte| (value(byte) ^ ZERO_POINT) as i8).collect();
            let nodes: Vec<u32> = (0..count as u32).rev().chain(0..count as u32).collect();
            let mut expected = vec![0; nodes.len()];
            portable(&query, &vectors, &nodes, &mut expected);
            for isa in supported() {
                let mut actual = vec![i32::MIN; nodes.len()];
                isa.dot_products(&query, &vectors, &nodes, &mut actual);
                prop_assert_eq!(&actual, &expected, "{}", isa.name);
            }
        }

        #[test]
        fn scores_are_close_to_the_cosine(
            a in proptest::collection::vec(-1f32..1.0, 100), b in proptest::collection::vec(-1f32..1.0, 100),
        ) {
            let unit = |vector: &[f32]| {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-6);
                vector.iter().map(|value| value / length).collect::<Vec<_>>()
            };
            let (a, b) = (unit(&a), unit(&b));
            let mut bytes = vec![0; 2 * stride(100)];
            let (first, second) = bytes.split_at_mut(stride(100));
            let scales = [quantize(&a, first), quantize(&b, second)];
            let vectors = QuantizedVectors { bytes: &bytes, scales: &scales, stride: stride(100) };
            let cosine: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let (mut from_vector, mut from_node) = (QuantizedQuery::default(), QuantizedQuery::default());
            from_vector.set_vector(&a, &mut Vec::new());
            from_node.set_node(vectors, 0);
            for query in [&from_vector, &from_node] {
                let scores: Vec<f32> = vectors.scores(query, &[1, 0], &mut Vec::new()).collect();
                prop_assert!(
                    (scores[0] - cosine).abs() < 0.01 && (scores[1] - 1.0).abs() < 0.01,
                    "{scores:?} {cosine}"
                );
            }
        }
    }
}
