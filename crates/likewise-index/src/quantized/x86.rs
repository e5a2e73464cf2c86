//! Dot products of quantized vectors with AVX-512 VNNI, with VNNI in registers of 256 bits, and with AVX2.
//!
//! All `unsafe` code of the index is here, except the call of the chosen kernel in [`super::isa`].

use std::arch::x86_64::*;

/// Number of vectors that are multiplied at a time, while later vectors are prefetched.
const GROUP: usize = 4;

/// How far ahead vectors are prefetched. One core can keep the cache lines of about this many vectors in flight.
const AHEAD_8: usize = 4;
const AHEAD_4: usize = 8;

/// Prefetches every cache line of `bytes`.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        // SAFETY: the address is that of a live reference, and a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

macro_rules! dot_products {
    ($name:ident, $features:literal, $group_products:ident, $per_byte:literal, $ahead:ident) => {
        /// See [`super::isa`]'s `DotProductsFn`.
        #[target_feature(enable = $features)]
        pub fn $name(query: &[i8], vectors: &[u8], nodes: &[u32], out: &mut [i32]) {
            let stride = query.len() / $per_byte;
            for &node in nodes.iter().take($ahead) {
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
                    if let Some(&ahead) = rest.get(index + $ahead) {
                        prefetch(&vectors[ahead as usize * stride..][..stride]);
                    }
                }
                out.copy_from_slice(&$group_products(query, group)[..count]);
                rest = &rest[count..];
            }
        }
    };
}

dot_products!(vnni_8, "avx512f,avx512vnni", group_products_vnni_8, 1, AHEAD_8);
dot_products!(avx_vnni_8, "avx2,avxvnni", group_products_avx_vnni_8, 1, AHEAD_8);
dot_products!(avx512_vnni_256_8, "avx2,avx512vnni,avx512vl", group_products_avx512_vnni_256_8, 1, AHEAD_8);
dot_products!(avx2_8, "avx2", group_products_avx2_8, 1, AHEAD_8);

dot_products!(vnni_4, "avx512f,avx512vnni", group_products_vnni_4, 2, AHEAD_4);
dot_products!(avx_vnni_4, "avx2,avxvnni", group_products_avx_vnni_4, 2, AHEAD_4);
dot_products!(avx512_vnni_256_4, "avx2,avx512vnni,avx512vl", group_products_avx512_vnni_256_4, 2, AHEAD_4);
dot_products!(avx2_4, "avx2", group_products_avx2_4, 2, AHEAD_4);

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn group_products_vnni_8(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
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
    sums_of_512_bits(sums)
}

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn group_products_vnni_4(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
    let mut sums = [_mm512_setzero_si512(); GROUP];
    assert!(vectors.iter().all(|vector| 2 * vector.len() == query.len()));
    let mask = _mm512_set1_epi8(15);
    for at in (0..query.len() / 128 * 64).step_by(64) {
        // SAFETY: `at + 64` is at most the length of each vector, and `2 * at + 128` at most the length of the query,
        // and the loads need no alignment.
        unsafe {
            let low = _mm512_loadu_si512(query.as_ptr().add(2 * at).cast());
            let high = _mm512_loadu_si512(query.as_ptr().add(2 * at + 64).cast());
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                let bytes = _mm512_loadu_si512(vector.as_ptr().add(at).cast());
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(bytes, mask), low);
                let bytes = _mm512_srli_epi32::<4>(bytes);
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(bytes, mask), high);
            }
        }
    }
    sums_of_512_bits(sums)
}

/// The sum of the lanes of each register.
#[target_feature(enable = "avx512f")]
#[inline]
fn sums_of_512_bits(sums: [__m512i; GROUP]) -> [i32; GROUP] {
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (low, high) = (pair(sums[0], sums[1]), pair(sums[2], sums[3]));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    // SAFETY: both types are 128 bits, and every bit pattern is valid.
    unsafe { std::mem::transmute::<__m128i, [i32; GROUP]>(sums) }
}

/// Defines the products of a group in registers of 256 bits, for eight and for four bits. `$multiply_add` multiplies
/// unsigned by signed bytes, and adds the products of four neighbours to a sum.
macro_rules! vnni_256 {
    ($name_8:ident, $name_4:ident, $features:literal, $multiply_add:ident) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name_8(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
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

        #[target_feature(enable = $features)]
        #[inline]
        fn $name_4(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
            let mut sums = [_mm256_setzero_si256(); GROUP];
            assert!(vectors.iter().all(|vector| 2 * vector.len() == query.len()));
            let mask = _mm256_set1_epi8(15);
            for at in (0..query.len() / 128 * 64).step_by(32) {
                let first = query_position(at);
                // SAFETY: `at + 32` is at most the length of each vector, `first + 96` at most the length of the query,
                // and the loads need no alignment.
                unsafe {
                    let low = _mm256_loadu_si256(query.as_ptr().add(first).cast());
                    let high = _mm256_loadu_si256(query.as_ptr().add(first + 64).cast());
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        let bytes = _mm256_loadu_si256(vector.as_ptr().add(at).cast());
                        *sum = $multiply_add(*sum, _mm256_and_si256(bytes, mask), low);
                        let bytes = _mm256_srli_epi16::<4>(bytes);
                        *sum = $multiply_add(*sum, _mm256_and_si256(bytes, mask), high);
                    }
                }
            }
            sums_of_lanes(sums)
        }
    };
}

/// The position in the query of the value that belongs to the low half of byte `at` of a row of four bits per value. The
/// value that belongs to the high half is 64 further.
#[inline]
fn query_position(at: usize) -> usize {
    at / 64 * 128 + at % 64
}

// The first is for CPUs that have AVX-VNNI without AVX-512. The second is the same instruction in the encoding of AVX-512.
vnni_256!(group_products_avx_vnni_8, group_products_avx_vnni_4, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
vnni_256!(
    group_products_avx512_vnni_256_8,
    group_products_avx512_vnni_256_4,
    "avx2,avx512vnni,avx512vl",
    _mm256_dpbusd_epi32
);

#[target_feature(enable = "avx2")]
#[inline]
fn group_products_avx2_4(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
    let mut sums = [_mm256_setzero_si256(); GROUP];
    assert!(vectors.iter().all(|vector| 2 * vector.len() == query.len()));
    let (mask, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    for at in (0..query.len() / 128 * 64).step_by(32) {
        let first = query_position(at);
        // SAFETY: `at + 32` is at most the length of each vector, `first + 96` at most the length of the query, and the
        // loads need no alignment.
        unsafe {
            let low = _mm256_loadu_si256(query.as_ptr().add(first).cast());
            let high = _mm256_loadu_si256(query.as_ptr().add(first + 64).cast());
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                let bytes = _mm256_loadu_si256(vector.as_ptr().add(at).cast());
                // The sum of four products is at most 4 × 15 × 128, which fits in 16 bits.
                let low = _mm256_maddubs_epi16(_mm256_and_si256(bytes, mask), low);
                let bytes = _mm256_srli_epi16::<4>(bytes);
                let high = _mm256_maddubs_epi16(_mm256_and_si256(bytes, mask), high);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_add_epi16(low, high), ones));
            }
        }
    }
    sums_of_lanes(sums)
}

#[target_feature(enable = "avx2")]
#[inline]
fn group_products_avx2_8(query: &[i8], vectors: [&[u8]; GROUP]) -> [i32; GROUP] {
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
