//! Scores of codes in AVX-512 with its byte products, and in AVX2.
//!
//! Its own file because it is `unsafe`, with [`super::prefetch`].

use std::arch::x86_64::*;

/// Codes that are multiplied at once, while as many are fetched: what the memory can be asked for at once.
const GROUP: usize = 4;

/// Asks for a cache line's worth of memory, every line of `bytes`.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        // SAFETY: the address is that of a live reference, and a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

macro_rules! products {
    ($name:ident, $features:literal, $products:ident) => {
        /// See [`super::Products`].
        #[target_feature(enable = $features)]
        pub fn $name(query: &[i8], codes: &[u8], nodes: &[u32], out: &mut [i32]) {
            let stride = query.len();
            for &node in nodes.iter().take(GROUP) {
                prefetch(&codes[node as usize * stride..][..stride]);
            }
            let mut rest = nodes;
            for out in out.chunks_mut(GROUP) {
                let now = rest.len().min(GROUP);
                let mut group = [&codes[..0]; GROUP];
                for place in 0..GROUP {
                    // The last group's missing codes are its last one again.
                    let node = rest[place.min(now - 1)];
                    group[place] = &codes[node as usize * stride..][..stride];
                    if let Some(&ahead) = rest.get(place + GROUP) {
                        prefetch(&codes[ahead as usize * stride..][..stride]);
                    }
                }
                out.copy_from_slice(&$products(query, group)[..now]);
                rest = &rest[now..];
            }
        }
    };
}

products!(vnni, "avx512f,avx512vnni", products_vnni);
products!(avx2, "avx2", products_avx2);

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn products_vnni(query: &[i8], codes: [&[u8]; GROUP]) -> [i32; GROUP] {
    let mut sums = [_mm512_setzero_si512(); GROUP];
    assert!(codes.iter().all(|code| code.len() == query.len()));
    for at in (0..query.len() / 64 * 64).step_by(64) {
        // SAFETY: `at + 64` is at most the length of the query and of each code, and the loads need no alignment.
        unsafe {
            let query = _mm512_loadu_si512(query.as_ptr().add(at).cast());
            for (sum, code) in sums.iter_mut().zip(codes) {
                let code = _mm512_loadu_si512(code.as_ptr().add(at).cast());
                *sum = _mm512_dpbusd_epi32(*sum, code, query);
            }
        }
    }
    let pair = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (low, high) = (pair(sums[0], sums[1]), pair(sums[2], sums[3]));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    // SAFETY: both are 128 bits, any of which are valid.
    unsafe { std::mem::transmute::<__m128i, [i32; GROUP]>(sums) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn products_avx2(query: &[i8], codes: [&[u8]; GROUP]) -> [i32; GROUP] {
    let mut sums = [_mm256_setzero_si256(); GROUP];
    assert!(codes.iter().all(|code| code.len() == query.len()));
    for at in (0..query.len() / 16 * 16).step_by(16) {
        // SAFETY: `at + 16` is at most the length of the query and of each code, and the loads need no alignment.
        unsafe {
            let query = _mm256_cvtepi8_epi16(_mm_loadu_si128(query.as_ptr().add(at).cast()));
            for (sum, code) in sums.iter_mut().zip(codes) {
                // As 16-bit numbers, since pairs of byte products do not fit in them.
                let code = _mm256_cvtepu8_epi16(_mm_loadu_si128(code.as_ptr().add(at).cast()));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(query, code));
            }
        }
    }
    let low = _mm256_hadd_epi32(sums[0], sums[1]);
    let all = _mm256_hadd_epi32(low, _mm256_hadd_epi32(sums[2], sums[3]));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    // SAFETY: both are 128 bits, any of which are valid.
    unsafe { std::mem::transmute::<__m128i, [i32; GROUP]>(sums) }
}
