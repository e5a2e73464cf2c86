//! Micro-kernels in AVX-512: one tile of a product, summed in registers.
//!
//! Its own file because it is `unsafe` and of one instruction set. Machines with AVX-512 but without its
//! bf16 or byte products get both in plainer instructions, marked `plain`.

use super::functions::ROUND;
use super::tile::{GROUP_WORDS, Int8Kernel, Kernel, Scales, Steps, Tile, every_height};
use super::x86::{int8_tile, registers, tile};
use std::arch::x86_64::*;

/// Rows of a tile: 28 sums, two registers of the panel and one of the row make 31 of the 32 there are.
const ROWS: usize = 14;

/// Rows of a tile of bytes, which has two kinds of sums.
const INT8_ROWS: usize = 7;

registers! {
    features: "avx512f", lanes: 16, int: __m512i, float: __m512,
    load: _mm512_loadu_si512, as_float: _mm512_castsi512_ps, store: _mm512_storeu_ps
}

tile!(tile_f32, "avx512f", step_f32, _mm512_set1_epi32);
tile!(tile_bf16, "avx512f,avx512bf16", step_bf16, _mm512_set1_epi32);
tile!(tile_bf16_plain, "avx512f", step_bf16_plain, _mm512_set1_epi32);
int8_tile!(
    tile_int8,
    "avx512f,avx512vnni",
    step_int8,
    _mm512_set1_epi32,
    _mm512_set1_ps,
    _mm512_cvtepi32_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps
);
int8_tile!(
    tile_int8_plain,
    "avx512f,avx512bw",
    step_int8_plain,
    _mm512_set1_epi32,
    _mm512_set1_ps,
    _mm512_cvtepi32_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps
);

#[target_feature(enable = "avx512f")]
#[inline]
fn step_f32(sum: __m512, x: __m512i, weight: __m512i) -> __m512 {
    _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(weight), sum)
}

#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn step_bf16(sum: __m512, x: __m512i, weight: __m512i) -> __m512 {
    // SAFETY: both types are 512 bits, any of which are valid.
    let (x, weight) = unsafe {
        (std::mem::transmute::<__m512i, __m512bh>(x), std::mem::transmute::<__m512i, __m512bh>(weight))
    };
    _mm512_dpbf16_ps(sum, x, weight)
}

/// A bf16 value is the upper half of an f32.
#[target_feature(enable = "avx512f")]
#[inline]
fn step_bf16_plain(sum: __m512, x: __m512i, weight: __m512i) -> __m512 {
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let sum = step_f32(sum, _mm512_slli_epi32::<16>(x), _mm512_slli_epi32::<16>(weight));
    step_f32(sum, _mm512_and_si512(x, upper), _mm512_and_si512(weight, upper))
}

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn step_int8(sum: __m512i, x: __m512i, weight: __m512i) -> __m512i {
    _mm512_dpbusd_epi32(sum, x, weight)
}

/// Even and odd bytes as 16-bit numbers: products of those are added without saturation.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn step_int8_plain(sum: __m512i, x: __m512i, weight: __m512i) -> __m512i {
    let low_bytes = _mm512_set1_epi16(0xff);
    let even = _mm512_madd_epi16(
        _mm512_and_si512(x, low_bytes),
        _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(weight)),
    );
    let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(x), _mm512_srai_epi16::<8>(weight));
    _mm512_add_epi32(sum, _mm512_add_epi32(even, odd))
}

/// Writes a rounding of a row to fewer bits: sixteen values a step, and what is left over as one more.
macro_rules! narrow {
    (
        $name:ident, $features:literal, $narrow:ty, ($($steps:ident: $type:ty)?),
        $round:ident, $cut:ident, $store:ident
    ) => {
        /// See [`super::level`].
        #[target_feature(enable = $features)]
        pub fn $name(values: &[f32], $($steps: $type,)? narrow: &mut [$narrow]) {
            let ((values, rest), (narrow, narrow_rest)) =
                (values.as_chunks::<16>(), narrow.as_chunks_mut::<16>());
            for (values, narrow) in values.iter().zip(narrow) {
                // SAFETY: both have sixteen values, and neither the load nor the store needs alignment.
                unsafe {
                    let rounded = $round(_mm512_loadu_ps(values.as_ptr()), $($steps)?);
                    $store(narrow.as_mut_ptr().cast(), $cut(rounded));
                }
            }
            if !rest.is_empty() {
                let (mut padded, mut out) = ([0.0; 16], [0; 16]);
                padded[..rest.len()].copy_from_slice(rest);
                // SAFETY: as above.
                unsafe {
                    let rounded = $round(_mm512_loadu_ps(padded.as_ptr()), $($steps)?);
                    $store(out.as_mut_ptr().cast(), $cut(rounded));
                }
                narrow_rest.copy_from_slice(&out[..rest.len()]);
            }
        }
    };
}

narrow!(to_bf16, "avx512f,avx512bf16", u16, (), as_it_is, cut_bf16, _mm256_storeu_si256);
narrow!(to_bf16_plain, "avx512f", u16, (), round_bf16, _mm512_cvtepi32_epi16, _mm256_storeu_si256);
narrow!(to_bytes, "avx512f", u8, (steps: Steps), round_byte, _mm512_cvtepi32_epi8, _mm_storeu_si128);

#[target_feature(enable = "avx512f")]
#[inline]
fn as_it_is(values: __m512) -> __m512 {
    values
}

/// Rounds too; what is too small for a normal number becomes 0.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn cut_bf16(values: __m512) -> __m256i {
    // SAFETY: both types are 256 bits, any of which are valid.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn round_bf16(values: __m512) -> __m512i {
    let bits = _mm512_castps_si512(values);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm512_srli_epi32::<16>(rounded)
}

/// Adding ROUND leaves a whole number in the low bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn round_byte(values: __m512, steps: Steps) -> __m512i {
    let above = _mm512_sub_ps(values, _mm512_set1_ps(steps.zero));
    let scaled = _mm512_mul_ps(above, _mm512_set1_ps(steps.inverse));
    _mm512_castps_si512(_mm512_add_ps(scaled, _mm512_set1_ps(ROUND + steps.shift)))
}

/// By rows of the tile, from 1.
pub const F32: [Kernel; ROWS] = every_height!(tile_f32: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// See [`F32`].
pub const BF16: [Kernel; ROWS] = every_height!(tile_bf16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// See [`F32`].
pub const BF16_PLAIN: [Kernel; ROWS] = every_height!(tile_bf16_plain: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// See [`F32`].
pub const INT8: [Int8Kernel; INT8_ROWS] = every_height!(tile_int8: 1 2 3 4 5 6 7);
/// See [`F32`].
pub const INT8_PLAIN: [Int8Kernel; INT8_ROWS] = every_height!(tile_int8_plain: 1 2 3 4 5 6 7);
