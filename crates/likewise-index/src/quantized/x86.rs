//! Dot products of quantized vectors with AVX-512 VNNI, with VNNI in registers of 256 bits, and with AVX2.
//!
//! All `unsafe` code of the index is here, except the call of the chosen kernel in [`super`].

use std::arch::x86_64::*;

/// Number of vectors that are multiplied at a time, while the next vectors are prefetched. One core can keep about this
/// many fetches in flight.
const GROUP: usize = 4;

/// Prefetches every cache line of `bytes`.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        // SAFETY: the address is that of a live reference, and a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

macro_rules! dot_products {
    ($name:ident, $features:literal, $group_products:ident) => {
        /// See [`super::DotProductsFn`].
        #[target_feature(enable = $features)]
        pub fn $name(query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
            let stride = query.len();
            for &node in nodes.iter().take(GROUP) {
                prefetch(&vectors[node as usize * stride..][..stride]);
            }
            let mut rest = nodes;
            for out in out.chunks_mut(GROUP) {
                let count = rest.len().min(GROUP);
                let mut group = [&vectors[..0]; GROUP];
                for index in 0..GROUP {
                    // If the last group has fewer than `GROUP` vectors, its last vector is repeated.
                    let node = rest[index.min(count - 1)];
                    group[index] = &vectors[node as usize * stride..][..stride];
                    if let Some(&ahead) = rest.get(index + GROUP) {
                        prefetch(&vectors[ahead as usize * stride..][..stride]);
                    }
                }
                out.copy_from_slice(&$group_products(query, group)[..count]);
                rest = &rest[count..];
            }
        }
    };
}

dot_products!(vnni, "avx512f,avx512vnni", group_products_vnni);
dot_products!(avx_vnni, "avx2,avxvnni", group_products_avx_vnni);
dot_products!(avx512_vnni_256, "avx2,avx512vnni,avx512vl", group_products_avx512_vnni_256);
dot_products!(avx2, "avx2", group_products_avx2);

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn group_products_vnni(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
    let mut sums = [_mm512_setzero_si512(); GROUP];
    assert!(vectors.iter().all(|vector| vector.len() == query.len()));
    for at in (0..query.len() / 64 * 64).step_by(64) {
        // SAFETY: `at + 64` is at most the length of the query and of each vector, and the loads need no alignment.
        unsafe {
            let query = _mm512_loadu_si512(query.as_ptr().add(at).cast());
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                let vector = _mm512_loadu_si512(vector.as_ptr().add(at).cast());
                *sum = _mm512_dpbusd_epi32(*sum, vector, query);
            }
        }
    }
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (low, high) = (pair(sums[0], sums[1]), pair(sums[2], sums[3]));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    // SAFETY: both types are 128 bits, and every bit pattern is valid.
    unsafe { std::mem::transmute::<__m128i, [i32; GROUP]>(sums) }
}

/// Defines the products of a group in registers of 256 bits. `$multiply_add` multiplies unsigned by signed bytes, and adds
/// the products of four neighbours to a sum.
macro_rules! vnni_256 {
    ($name:ident, $features:literal, $multiply_add:ident) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
            let mut sums = [_mm256_setzero_si256(); GROUP];
            assert!(vectors.iter().all(|vector| vector.len() == query.len()));
            for at in (0..query.len() / 32 * 32).step_by(32) {
                // SAFETY: `at + 32` is at most the length of the query and of each vector, and the loads need no
                // alignment.
                unsafe {
                    let query = _mm256_loadu_si256(query.as_ptr().add(at).cast());
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        let vector = _mm256_loadu_si256(vector.as_ptr().add(at).cast());
                        *sum = $multiply_add(*sum, vector, query);
                    }
                }
            }
            sums_of_lanes(sums)
        }
    };
}

// The first is for CPUs that have AVX-VNNI without AVX-512. The second is the same instruction in the encoding of AVX-512.
vnni_256!(group_products_avx_vnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
vnni_256!(group_products_avx512_vnni_256, "avx2,avx512vnni,avx512vl", _mm256_dpbusd_epi32);

#[target_feature(enable = "avx2")]
#[inline]
fn group_products_avx2(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
    let mut sums = [_mm256_setzero_si256(); GROUP];
    assert!(vectors.iter().all(|vector| vector.len() == query.len()));
    for at in (0..query.len() / 16 * 16).step_by(16) {
        // SAFETY: `at + 16` is at most the length of the query and of each vector, and the loads need no alignment.
        unsafe {
            let query = _mm256_cvtepi8_epi16(_mm_loadu_si128(query.as_ptr().add(at).cast()));
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                // The bytes are widened to 16 bits first, because the sum of two products of bytes does not fit in 16
                // bits (`_mm256_maddubs_epi16` would saturate).
                let vector = _mm256_cvtepu8_epi16(_mm_loadu_si128(vector.as_ptr().add(at).cast()));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(query, vector));
            }
        }
    }
    sums_of_lanes(sums)
}

/// The sum of the lanes of each register.
#[target_feature(enable = "avx2")]
#[inline]
fn sums_of_lanes(sums: [__m256i; GROUP]) -> [i32; GROUP] {
    let low = _mm256_hadd_epi32(sums[0], sums[1]);
    let all = _mm256_hadd_epi32(low, _mm256_hadd_epi32(sums[2], sums[3]));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    // SAFETY: both types are 128 bits, and every bit pattern is valid.
    unsafe { std::mem::transmute::<__m128i, [i32; GROUP]>(sums) }
}
