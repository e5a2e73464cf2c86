//! Quantized vectors: four or eight bits per value, and one scale per vector.
//!
//! Graph searches and scans compare quantized vectors, because memory bandwidth limits their speed, and a quantized
//! vector is an eighth or a quarter of the size of the `f32` vector. The error of a score is about 0.005 with four bits
//! and 384 values, and 0.001 with eight bits. Segments therefore score the best candidates again with the `f32`
//! vectors. [`rows`] quantizes vectors, `isa.rs` chooses the kernel for the CPU, and the SIMD code is in `x86.rs`.

mod isa;
pub mod rows;
#[cfg(target_arch = "x86_64")]
mod x86;

use rows::{Bits, quantize_to_8_bits};

/// Quantized vectors are padded to a multiple of this many bytes, the size of a cache line and of the widest SIMD
/// register.
const CACHE_LINE: usize = 64;

/// A query is padded with zeros to a multiple of this many values: the number of 4-bit values in a cache line.
const QUERY_PADDING: usize = 2 * CACHE_LINE;

/// The quantized vectors of a graph's nodes.
#[derive(Clone, Copy)]
pub struct QuantizedVectors<'a> {
    /// Shape `[nodes, stride]`.
    pub bytes: &'a [u8],
    /// Shape `[nodes]`.
    pub scales: &'a [f32],
    /// Bytes per vector; see [`Bits::stride`].
    pub stride: usize,
    /// Bits per value.
    pub bits: Bits,
}

/// A query, quantized to signed bytes.
#[derive(Debug, Clone, Default)]
pub struct QuantizedQuery {
    bytes: Vec<i8>,
    /// Sum of the bytes.
    sum: i32,
    scale: f32,
}

impl QuantizedQuery {
    /// Sets the query to `vector`. `buffer` is working memory.
    pub fn set_vector(&mut self, vector: &[f32], buffer: &mut Vec<u8>) {
        buffer.resize(Bits::Eight.stride(vector.len()), 0);
        let scale = quantize_to_8_bits(vector, buffer);
        self.set_row(buffer, Bits::Eight, scale);
    }

    /// Sets the query to the quantized vector of a node.
    pub fn set_node(&mut self, vectors: QuantizedVectors, node: u32) {
        self.set_row(vectors.bytes_of(node), vectors.bits, vectors.scales[node as usize]);
    }

    /// The values that the bytes represent, padding included.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        self.bytes.iter().map(|byte| f32::from(*byte) * self.scale)
    }

    fn set_row(&mut self, row: &[u8], bits: Bits, scale: f32) {
        bits.levels(row, &mut self.bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(QUERY_PADDING), 0);
        self.sum = self.bytes.iter().map(|byte| i32::from(*byte)).sum();
        self.scale = scale;
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
        self.dot_products(query, &[node], &mut product);
        self.cosine(query, product[0], node)
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
        self.dot_products(query, nodes, products);
        products.iter().zip(nodes).map(move |(product, node)| self.cosine(query, *product, *node))
    }

    fn dot_products(&self, query: &QuantizedQuery, nodes: &[u32], products: &mut [i32]) {
        let query = &query.bytes[..self.stride * self.bits.per_byte()];
        isa::current().dot_products(self.bits, query, self.bytes, nodes, products);
    }

    /// Turns the dot product of a query's bytes and a node's bytes into the cosine.
    #[inline]
    fn cosine(&self, query: &QuantizedQuery, product: i32, node: u32) -> f32 {
        let product = product - self.bits.zero_point() * query.sum;
        product as f32 * (query.scale * self.scales[node as usize])
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rows::quantize;

    proptest! {
        #[test]
        fn scores_are_close_to_the_cosine(
            a in proptest::collection::vec(-1f32..1.0, 300), b in proptest::collection::vec(-1f32..1.0, 300),
        ) {
            let unit = |vector: &[f32]| {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-6);
                vector.iter().map(|value| value / length).collect::<Vec<_>>()
            };
            let (a, b) = (unit(&a), unit(&b));
            let cosine: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            for (bits, tolerance) in [(Bits::Eight, 0.01), (Bits::Four, 0.05)] {
                let stride = bits.stride(300);
                let mut bytes = vec![0; 2 * stride];
                let (first, second) = bytes.split_at_mut(stride);
                let scales = [quantize(&a, bits, first), quantize(&b, bits, second)];
                let vectors = QuantizedVectors { bytes: &bytes, scales: &scales, stride, bits };
                let (mut from_vector, mut from_node) = (QuantizedQuery::default(), QuantizedQuery::default());
                from_vector.set_vector(&a, &mut Vec::new());
                from_node.set_node(vectors, 0);
                for query in [&from_vector, &from_node] {
                    let scores: Vec<f32> = vectors.scores(query, &[1, 0], &mut Vec::new()).collect();
                    prop_assert!(
                        (scores[0] - cosine).abs() < tolerance && (scores[1] - 1.0).abs() < tolerance,
                        "{bits:?}: {scores:?} {cosine}"
                    );
                }
            }
        }
    }
}
