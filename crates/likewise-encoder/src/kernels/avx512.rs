//! Micro-kernels in AVX-512. Each computes one tile of a product, with the sums in registers.
//!
//! The functions with `plain` in their names are for CPUs without AVX512-BF16 (products of bf16 values, and rounding to
//! bf16) or without AVX512-VNNI (products of bytes), and for the instruction set `avx512-plain`. They use other
//! instructions.

use super::functions::ROUND_MAGIC;
use super::portable::transpose_rest;
use super::tile::{GROUP_VALUES, Int8Kernel, Kernel, QuantParams, Scales, Tile, kernels_by_rows};
use super::x86::{int8_tile, registers, tile, transpose};
use std::arch::x86_64::*;

/// Maximum number of rows of an f32 or bf16 tile. The 28 sums of such a tile, two registers for the panel and one
/// register for the row take 31 of the 32 registers.
const MAX_ROWS: usize = 14;

/// Maximum number of rows of an int8 tile. Such a tile needs registers for integer sums and for f32 sums.
const MAX_INT8_ROWS: usize = 7;

/// Number of bytes in a word.
pub const INT8_VALUES_PER_WORD: usize = 4;

/// Number of bytes in a word for CPUs without AVX512-VNNI, where bytes are widened to 16 bits.
pub const PLAIN_INT8_VALUES_PER_WORD: usize = 2;

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
    INT8_VALUES_PER_WORD,
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
    PLAIN_INT8_VALUES_PER_WORD,
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
    // SAFETY: both types have 512 bits, and every bit pattern is valid in both.
    let (x, weight) = unsafe {
        (std::mem::transmute::<__m512i, __m512bh>(x), std::mem::transmute::<__m512i, __m512bh>(weight))
    };
    _mm512_dpbf16_ps(sum, x, weight)
}

/// Adds to each lane of `sum` the products of the two bf16 values in the lane's word of `x` and the corresponding
/// values of `weight`. The products are computed in f32: the bits of a bf16 value are the upper half of an f32.
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

/// Adds the products of the two widened bytes of each word. The instruction for products of bytes without AVX512-VNNI
/// (`vpmaddubsw`) saturates, so bytes are widened to 16 bits when they are packed.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn step_int8_plain(sum: __m512i, x: __m512i, weight: __m512i) -> __m512i {
    _mm512_add_epi32(sum, _mm512_madd_epi16(x, weight))
}

/// Defines a function that rounds f32 values to a narrower type, sixteen at a time. `$round` returns 32-bit values that
/// have the results in their low bits, and `$cut` keeps only these bits. In `to_bf16`, `$round` changes nothing, and
/// `$cut` does both: one instruction rounds and narrows.
macro_rules! narrow {
    (
        $name:ident, $features:literal, $narrow:ty, ($($params:ident: $type:ty)?),
        $round:ident, $cut:ident, $store:ident
    ) => {
        /// A [`ToBf16`](super::tile::ToBf16) or [`ToBytes`](super::tile::ToBytes) function.
        #[target_feature(enable = $features)]
        pub fn $name(values: &[f32], $($params: $type,)? narrow: &mut [$narrow]) {
            let ((values, rest), (narrow, narrow_rest)) =
                (values.as_chunks::<16>(), narrow.as_chunks_mut::<16>());
            for (values, narrow) in values.iter().zip(narrow) {
                // SAFETY: `values` and `narrow` have sixteen elements each, and neither the load nor the store needs
                // alignment.
                unsafe {
                    let rounded = $round(_mm512_loadu_ps(values.as_ptr()), $($params)?);
                    $store(narrow.as_mut_ptr().cast(), $cut(rounded));
                }
            }
            if !rest.is_empty() {
                let (mut padded, mut out) = ([0.0; 16], [0; 16]);
                padded[..rest.len()].copy_from_slice(rest);
                // SAFETY: both arrays have sixteen elements, and neither the load nor the store needs alignment.
                unsafe {
                    let rounded = $round(_mm512_loadu_ps(padded.as_ptr()), $($params)?);
                    $store(out.as_mut_ptr().cast(), $cut(rounded));
                }
                narrow_rest.copy_from_slice(&out[..rest.len()]);
            }
        }
    };
}

narrow!(to_bf16, "avx512f,avx512bf16", u16, (), unrounded, cut_bf16, _mm256_storeu_si256);
narrow!(to_bf16_plain, "avx512f", u16, (), round_bf16, _mm512_cvtepi32_epi16, _mm256_storeu_si256);
narrow!(to_bytes, "avx512f", u8, (params: QuantParams), round_byte, _mm512_cvtepi32_epi8, _mm_storeu_si128);

transpose!(
    "avx512f", 16, join_parts, load: _mm512_loadu_si512, store: _mm512_storeu_si512,
    low_32: _mm512_unpacklo_epi32, high_32: _mm512_unpackhi_epi32,
    low_64: _mm512_unpacklo_epi64, high_64: _mm512_unpackhi_epi64
);

/// The second step of [`transpose()`].
#[target_feature(enable = "avx512f")]
#[inline]
fn join_parts(parts: [__m512i; 16]) -> [__m512i; 16] {
    let mut columns = parts;
    for column in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|first| parts[first + column]);
        // The even and the odd parts of two registers.
        let (even_ab, odd_ab) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (even_cd, odd_cd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
        columns[column] = _mm512_shuffle_i32x4::<0x88>(even_ab, even_cd);
        columns[4 + column] = _mm512_shuffle_i32x4::<0x88>(odd_ab, odd_cd);
        columns[8 + column] = _mm512_shuffle_i32x4::<0xdd>(even_ab, even_cd);
        columns[12 + column] = _mm512_shuffle_i32x4::<0xdd>(odd_ab, odd_cd);
    }
    columns
}

#[target_feature(enable = "avx512f")]
#[inline]
fn unrounded(values: __m512) -> __m512 {
    values
}

/// Rounds values to bf16 and cuts them to 16 bits in one step, so callers pass `values` in unrounded. The instruction
/// (`vcvtneps2bf16`) turns subnormal values into 0.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn cut_bf16(values: __m512) -> __m256i {
    // SAFETY: both types have 256 bits, and every bit pattern is valid in both.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
}

/// Rounds to nearest, ties to even, and moves the bf16 value into the low 16 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn round_bf16(values: __m512) -> __m512i {
    let bits = _mm512_castps_si512(values);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm512_srli_epi32::<16>(rounded)
}

/// Quantises values to bytes, in the low 8 bits. Adding [`ROUND_MAGIC`] leaves the rounded value there.
#[target_feature(enable = "avx512f")]
#[inline]
fn round_byte(values: __m512, params: QuantParams) -> __m512i {
    let above = _mm512_sub_ps(values, _mm512_set1_ps(params.zero));
    let scaled = _mm512_mul_ps(above, _mm512_set1_ps(params.inverse));
    _mm512_castps_si512(_mm512_add_ps(scaled, _mm512_set1_ps(ROUND_MAGIC + params.shift)))
}

/// The f32 kernels. The kernel at index i computes tiles of i + 1 rows.
pub const F32: [Kernel; MAX_ROWS] = kernels_by_rows!(tile_f32: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// The bf16 kernels, indexed like [`F32`].
pub const BF16: [Kernel; MAX_ROWS] = kernels_by_rows!(tile_bf16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// The bf16 kernels for CPUs without AVX512-BF16, indexed like [`F32`].
pub const BF16_PLAIN: [Kernel; MAX_ROWS] =
    kernels_by_rows!(tile_bf16_plain: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// The int8 kernels, indexed like [`F32`].
pub const INT8: [Int8Kernel; MAX_INT8_ROWS] = kernels_by_rows!(tile_int8: 1 2 3 4 5 6 7);
/// The int8 kernels for CPUs without AVX512-VNNI, indexed like [`F32`].
pub const INT8_PLAIN: [Int8Kernel; MAX_INT8_ROWS] = kernels_by_rows!(tile_int8_plain: 1 2 3 4 5 6 7);
