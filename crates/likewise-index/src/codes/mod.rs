//! Vectors as codes: a byte a value and one scale a vector, which a walk compares instead of the vectors.
//!
//! Its own file because it fixes what a code is worth: a quarter of the memory that a vector takes, and so of
//! the time that a walk waits for it, at scores that are wrong by less than 0.002 or so. What is answered is
//! scored again with the vectors. [`x86`] has the instructions for it.

#[cfg(target_arch = "x86_64")]
mod x86;

use likewise_base::cpu;
use std::sync::LazyLock;

/// Codes are padded to a multiple of so many bytes: a cache line, and the widest register.
const LINE: usize = 64;

/// The byte that stands for 0.
const ZERO: u8 = 128;

/// Adding this to a value rounds it to a whole number, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Bytes of a vector's code.
pub fn stride(dimension: usize) -> usize {
    dimension.next_multiple_of(LINE)
}

/// Writes a vector's code; gives its scale, what a step of a byte is worth.
pub fn encode(vector: &[f32], code: &mut [u8]) -> f32 {
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let (code, padding) = code.split_at_mut(vector.len());
    for (byte, value) in code.iter_mut().zip(vector) {
        *byte = (value * inverse + ROUND).to_bits() as u8 ^ ZERO;
    }
    padding.fill(ZERO);
    largest / 127.0
}

/// How far a vector is from what its code stands for.
pub fn error(vector: &[f32], code: &[u8], scale: f32) -> f32 {
    let values = code.iter().map(|byte| f32::from((byte ^ ZERO) as i8) * scale);
    vector.iter().zip(values).map(|(value, coded)| (value - coded).powi(2)).sum::<f32>().sqrt()
}

/// Codes of many vectors, a node each.
#[derive(Clone, Copy)]
pub struct Codes<'a> {
    /// `[nodes, stride]`.
    pub bytes: &'a [u8],
    /// `[nodes]`.
    pub scales: &'a [f32],
    /// See [`stride`].
    pub stride: usize,
}

/// What codes are compared with: signed bytes.
#[derive(Debug, Clone, Default)]
pub struct CodedQuery {
    bytes: Vec<i8>,
    /// What [`ZERO`] adds to every product.
    zero: i32,
    scale: f32,
}

impl CodedQuery {
    /// Becomes a vector's code.
    pub fn set_vector(&mut self, vector: &[f32], room: &mut Vec<u8>) {
        room.resize(stride(vector.len()), ZERO);
        self.scale = encode(vector, room);
        self.set_bytes(room);
    }

    /// Becomes a node's code.
    pub fn set_node(&mut self, codes: Codes, node: u32) {
        self.scale = codes.scales[node as usize];
        self.set_bytes(codes.code(node));
    }

    /// What its bytes stand for; those of the padding too.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        self.bytes.iter().map(|byte| f32::from(*byte) * self.scale)
    }

    fn set_bytes(&mut self, code: &[u8]) {
        self.bytes.clear();
        self.bytes.extend(code.iter().map(|byte| (byte ^ ZERO) as i8));
        self.zero = i32::from(ZERO) * self.bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>();
    }
}

impl<'c> Codes<'c> {
    /// A node's code.
    pub fn code(&self, node: u32) -> &[u8] {
        &self.bytes[node as usize * self.stride..][..self.stride]
    }

    /// Cosine of `query` and a node, about.
    pub fn score(&self, query: &CodedQuery, node: u32) -> f32 {
        let mut product = [0];
        level().products(&query.bytes, self.bytes, &[node], &mut product);
        (product[0] - query.zero) as f32 * (query.scale * self.scales[node as usize])
    }

    /// Cosines of `query` and each of `nodes`, about; `products` is room for as many.
    pub fn scores<'a>(
        self,
        query: &'a CodedQuery,
        nodes: &'a [u32],
        products: &'a mut Vec<i32>,
    ) -> impl Iterator<Item = f32> + 'a
    where
        'c: 'a,
    {
        products.resize(nodes.len(), 0);
        level().products(&query.bytes, self.bytes, nodes, products);
        let score = move |(product, node): (&i32, &u32)| {
            (product - query.zero) as f32 * (query.scale * self.scales[*node as usize])
        };
        products.iter().zip(nodes).map(score)
    }
}

/// Asks for memory that will be read soon, where the machine can be asked.
#[inline]
pub fn prefetch<T: bytemuck::NoUninit>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(bytemuck::cast_slice(values));
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// `Σ query[i] code[i]` of each of `nodes`, whose codes are as long as the query, a multiple of [`LINE`].
///
/// # Safety
/// The machine has the instructions of the level that the function belongs to.
type Products = unsafe fn(&[i8], &[u8], &[u32], &mut [i32]);

/// What one level of instructions offers.
struct Level {
    name: &'static str,
    products: Products,
}

impl Level {
    fn products(&self, query: &[i8], codes: &[u8], nodes: &[u32], out: &mut [i32]) {
        // SAFETY: a level is only made where its instructions were detected.
        unsafe { (self.products)(query, codes, nodes, out) }
    }
}

fn level() -> &'static Level {
    static CURRENT: LazyLock<Level> = LazyLock::new(|| cpu::pick(available(), |level| level.name));
    &CURRENT
}

/// Every level that this machine has, best first, by the encoder's names.
fn available() -> Vec<Level> {
    let mut levels = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        if is_x86_feature_detected!("avx512f") {
            let vnni = is_x86_feature_detected!("avx512vnni");
            levels.push(Level { name: "avx512", products: if vnni { x86::vnni } else { x86::avx2 } });
            levels.push(Level { name: "avx512-plain", products: x86::avx2 });
        }
        levels.push(Level { name: "avx2", products: x86::avx2 });
    }
    levels.push(Level { name: "portable", products: plain });
    levels
}

fn plain(query: &[i8], codes: &[u8], nodes: &[u32], out: &mut [i32]) {
    for (out, &node) in out.iter_mut().zip(nodes) {
        let code = &codes[node as usize * query.len()..][..query.len()];
        *out = query.iter().zip(code).map(|(query, code)| i32::from(*query) * i32::from(*code)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_multiplies_alike(
            lines in 1_usize..5, count in 1_usize..20, bytes in proptest::collection::vec(any::<u8>(), 64 * 4 * 20), extreme: bool,
        ) {
            let stride = lines * LINE;
            let code = |byte: &u8| if extreme { if *byte < 128 { 0 } else { 255 } } else { *byte };
            let codes: Vec<u8> = bytes[..count * stride].iter().map(code).collect();
            let query: Vec<i8> = bytes.iter().rev().take(stride).map(|byte| (code(byte) ^ ZERO) as i8).collect();
            let nodes: Vec<u32> = (0..count as u32).rev().chain(0..count as u32).collect();
            let mut obvious = vec![0; nodes.len()];
            plain(&query, &codes, &nodes, &mut obvious);
            for level in available() {
                let mut fast = vec![i32::MIN; nodes.len()];
                level.products(&query, &codes, &nodes, &mut fast);
                prop_assert_eq!(&fast, &obvious, "{}", level.name);
            }
        }

        #[test]
        fn scores_are_cosines_but_for_the_rounding(
            a in proptest::collection::vec(-1f32..1.0, 100), b in proptest::collection::vec(-1f32..1.0, 100),
        ) {
            let unit = |vector: &[f32]| {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-6);
                vector.iter().map(|value| value / length).collect::<Vec<_>>()
            };
            let (a, b) = (unit(&a), unit(&b));
            let mut bytes = vec![0; 2 * stride(100)];
            let (first, second) = bytes.split_at_mut(stride(100));
            let scales = [encode(&a, first), encode(&b, second)];
            let codes = Codes { bytes: &bytes, scales: &scales, stride: stride(100) };
            let wanted: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let (mut from_vector, mut from_node) = (CodedQuery::default(), CodedQuery::default());
            from_vector.set_vector(&a, &mut Vec::new());
            from_node.set_node(codes, 0);
            for query in [&from_vector, &from_node] {
                let got: Vec<f32> = codes.scores(query, &[1, 0], &mut Vec::new()).collect();
                prop_assert!((got[0] - wanted).abs() < 0.01 && (got[1] - 1.0).abs() < 0.01, "{got:?} {wanted}");
            }
        }
    }
}
