//! The kernels that compute dot products of quantized vectors, and the choice between them.

use super::rows::Bits;
#[cfg(target_arch = "x86_64")]
use super::x86;
use likewise_base::cpu;
use std::sync::LazyLock;

/// Computes `Σ query[i] vector[i]` for the vector of every node. The arguments are the query, the bytes of all vectors,
/// the nodes, and the output. The values of the vectors are unsigned. The query has as many values as each vector, a
/// multiple of those in a cache line.
///
/// # Safety
/// The CPU must support the instruction set that the function was compiled for.
type DotProductsFn = unsafe fn(&[i8], &[u8], &[u32], &mut [i32]);

/// An instruction set, and the kernels that are used with it. A kernel can be compiled for an older instruction set.
pub struct Isa {
    name: &'static str,
    four_bits: DotProductsFn,
    eight_bits: DotProductsFn,
}

impl Isa {
    /// See [`DotProductsFn`].
    pub fn dot_products(&self, bits: Bits, query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
        let kernel = match bits {
            Bits::Four => self.four_bits,
            Bits::Eight => self.eight_bits,
        };
        // SAFETY: `supported` only creates an `Isa` if the CPU has the instructions.
        unsafe { kernel(query, vectors, nodes, out) }
    }
}

/// The instruction set that is used on this CPU.
pub fn current() -> &'static Isa {
    static CURRENT: LazyLock<Isa> = LazyLock::new(|| cpu::pick(supported(), |isa| isa.name));
    &CURRENT
}

/// Returns the instruction sets that this CPU supports, best first. The names are the same as for the encoder's
/// kernels.
fn supported() -> Vec<Isa> {
    let isa = |name, four_bits: DotProductsFn, eight_bits: DotProductsFn| Isa { name, four_bits, eight_bits };
    let mut supported = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        if is_x86_feature_detected!("avx512f") {
            let vnni = is_x86_feature_detected!("avx512vnni");
            // AMX multiplies matrices; for products of two vectors, the encoder's `amx` is the same as `avx512` here.
            for name in ["avx512", "amx"] {
                supported.push(match vnni {
                    true => isa(name, x86::vnni_4, x86::vnni_8),
                    false => isa(name, x86::avx2_4, x86::avx2_8),
                });
            }
            supported.push(isa("avx512-plain", x86::avx2_4, x86::avx2_8));
        }
        if is_x86_feature_detected!("avxvnni") {
            supported.push(isa("avx2-vnni", x86::avx_vnni_4, x86::avx_vnni_8));
        } else if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
            supported.push(isa("avx2-vnni", x86::avx512_vnni_256_4, x86::avx512_vnni_256_8));
        }
        supported.push(isa("avx2", x86::avx2_4, x86::avx2_8));
    }
    supported.push(isa("portable", portable_4, portable_8));
    supported
}

fn portable_8(query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
    for (out, &node) in out.iter_mut().zip(nodes) {
        let vector = &vectors[node as usize * query.len()..][..query.len()];
        *out = query.iter().zip(vector).map(|(query, value)| i32::from(*query) * i32::from(*value)).sum();
    }
}

fn portable_4(query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
    let stride = query.len() / 2;
    let product = |query: &i8, value: u8| i32::from(*query) * i32::from(value);
    for (out, &node) in out.iter_mut().zip(nodes) {
        let vector = &vectors[node as usize * stride..][..stride];
        let lines = query.chunks(2 * super::CACHE_LINE).zip(vector.chunks(super::CACHE_LINE));
        *out = lines
            .map(|(query, line)| {
                let (low, high) = query.split_at(line.len());
                let low = low.iter().zip(line).map(|(query, byte)| product(query, byte & 15));
                let high = high.iter().zip(line).map(|(query, byte)| product(query, byte >> 4));
                low.sum::<i32>() + high.sum::<i32>()
            })
            .sum();
    }
}

#[cfg(test)]
mod tests {
    use super::super::CACHE_LINE;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_isa_computes_the_portable_dot_products(
            lines in 1_usize..9, count in 1_usize..20, bytes in proptest::collection::vec(any::<u8>(), 64 * 8 * 20), extreme: bool,
        ) {
            let stride = lines * CACHE_LINE;
            let value = |byte: &u8| if extreme { if *byte < 128 { 0 } else { 255 } } else { *byte };
            let vectors: Vec<u8> = bytes[..count * stride].iter().map(value).collect();
            let nodes: Vec<u32> = (0..count as u32).rev().chain(0..count as u32).collect();
            for bits in [Bits::Four, Bits::Eight] {
                let query: Vec<i8> = bytes
                    .iter()
                    .rev()
                    .take(stride * bits.per_byte())
                    .map(|byte| ((value(byte) ^ 128) as i8).max(-127))
                    .collect();
                let portable = supported().pop().unwrap();
                let mut expected = vec![0; nodes.len()];
                portable.dot_products(bits, &query, &vectors, &nodes, &mut expected);
                for isa in supported() {
                    let mut actual = vec![i32::MIN; nodes.len()];
                    isa.dot_products(bits, &query, &vectors, &nodes, &mut actual);
                    prop_assert_eq!(&actual, &expected, "{} {:?}", isa.name, bits);
                }
            }
        }

        #[test]
        fn the_portable_4_bit_product_is_that_of_the_levels(
            bytes in proptest::collection::vec(any::<u8>(), 128), query in proptest::collection::vec(any::<i8>(), 256),
        ) {
            let mut levels = Vec::new();
            Bits::Four.levels(&bytes, &mut levels);
            let unsigned = levels.iter().map(|level| i32::from(*level) + Bits::Four.zero_point());
            let expected: i32 = query.iter().zip(unsigned).map(|(query, value)| i32::from(*query) * value).sum();
            let mut actual = [0];
            portable_4(&query, &bytes, &[0], &mut actual);
            prop_assert_eq!(actual[0], expected);
        }
    }
}
