//! Micro-kernels in AVX2 and FMA. Each computes one tile of a product, with the sums in registers.
//!
//! AVX2 has no instruction for products of bf16 values, and its instruction for products of bytes (`vpmaddubsw`)
//! saturates. Products of bf16 values are therefore computed as f32 products, and bytes are widened to 16 bits when they
//! are packed. CPUs with AVX-VNNI or AVX512-VNNI multiply bytes in one instruction; the instruction set `avx2-vnni` uses it
//! in registers of 256 bits.

use super::portable::{self, transpose_rest};
use super::tile::{GROUP_VALUES, Int8Kernel, Kernel, QuantParams, Scales, Tile, kernels_by_rows};
use super::x86::{int8_tile, registers, tile, transpose};
use std::arch::x86_64::*;

/// Maximum number of rows of a tile. The 12 sums of such a tile, two registers for the panel and one
/// register for the row take 15 of the 16 registers.
const MAX_ROWS: usize = 6;

/// Number of bytes in a word, which are widened to 16 bits.
pub const INT8_VALUES_PER_WORD: usize = 2;

/// Number of bytes in a word for the instructions of AVX-VNNI and AVX512-VNNI.
pub const VNNI_VALUES_PER_WORD: usize = 4;

registers! {
    features: "avx2,fma", lanes: 8, int: __m256i, float: __m256,
    load: _mm256_loadu_si256, as_float: _mm256_castsi256_ps, store: _mm256_storeu_ps
}

tile!(tile_f32, "avx2,fma", step_f32, _mm256_set1_epi32);
tile!(tile_bf16, "avx2,fma", step_bf16, _mm256_set1_epi32);
int8_tile!(
    tile_int8,
    "avx2,fma",
    INT8_VALUES_PER_WORD,
    step_int8,
    _mm256_set1_epi32,
    _mm256_set1_ps,
    _mm256_cvtepi32_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);
int8_tile!(
    tile_avx_vnni,
    "avx2,fma,avxvnni",
    VNNI_VALUES_PER_WORD,
    step_avx_vnni,
    _mm256_set1_epi32,
    _mm256_set1_ps,
    _mm256_cvtepi32_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);
int8_tile!(
    tile_avx512_vnni,
    "avx2,fma,avx512vnni,avx512vl",
    VNNI_VALUES_PER_WORD,
    step_avx512_vnni,
    _mm256_set1_epi32,
    _mm256_set1_ps,
    _mm256_cvtepi32_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);

#[target_feature(enable = "avx2,fma")]
#[inline]
fn step_f32(sum: __m256, x: __m256i, weight: __m256i) -> __m256 {
    _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(weight), sum)
}

/// Adds the products of the two bf16 values of each word. The products are computed in f32: the bits of a bf16 value
/// are the upper half of an f32.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn step_bf16(sum: __m256, x: __m256i, weight: __m256i) -> __m256 {
    let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    let sum = step_f32(sum, _mm256_slli_epi32::<16>(x), _mm256_slli_epi32::<16>(weight));
    step_f32(sum, _mm256_and_si256(x, upper), _mm256_and_si256(weight, upper))
}

/// Adds the products of the two widened bytes of each word.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn step_int8(sum: __m256i, x: __m256i, weight: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(x, weight))
}

/// Adds the products of the four bytes of each word. The bytes are unsigned in `x` and signed in `weight`.
#[target_feature(enable = "avx2,fma,avxvnni")]
#[inline]
fn step_avx_vnni(sum: __m256i, x: __m256i, weight: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, x, weight)
}

/// The same as [`step_avx_vnni`], in the encoding of AVX-512.
#[target_feature(enable = "avx2,fma,avx512vnni,avx512vl")]
#[inline]
fn step_avx512_vnni(sum: __m256i, x: __m256i, weight: __m256i) -> __m256i {
    _mm256_dpbusd_epi32(sum, x, weight)
}

/// The [`ToBf16`](super::tile::ToBf16) function: the portable version, which the compiler vectorises for AVX2.
#[target_feature(enable = "avx2,fma")]
pub fn to_bf16(values: &[f32], halves: &mut [u16]) {
    portable::to_bf16(values, halves);
}

/// The [`ToBytes`](super::tile::ToBytes) function: the portable version, which the compiler vectorises for AVX2.
#[target_feature(enable = "avx2,fma")]
pub fn to_bytes(values: &[f32], params: QuantParams, bytes: &mut [u8]) {
    portable::to_bytes(values, params, bytes);
}

transpose!(
    "avx2,fma", 8, join_parts, load: _mm256_loadu_si256, store: _mm256_storeu_si256,
    low_32: _mm256_unpacklo_epi32, high_32: _mm256_unpackhi_epi32,
    low_64: _mm256_unpacklo_epi64, high_64: _mm256_unpackhi_epi64
);

/// The second step of [`transpose()`].
#[target_feature(enable = "avx2,fma")]
#[inline]
fn join_parts(parts: [__m256i; 8]) -> [__m256i; 8] {
    let mut columns = parts;
    for column in 0..4 {
        let (upper, lower) = (parts[column], parts[4 + column]);
        columns[column] = _mm256_permute2x128_si256::<0x20>(upper, lower);
        columns[4 + column] = _mm256_permute2x128_si256::<0x31>(upper, lower);
    }
    columns
}

/// The f32 kernels. The kernel at index i computes tiles of i + 1 rows.
pub const F32: [Kernel; MAX_ROWS] = kernels_by_rows!(tile_f32: 1 2 3 4 5 6);
/// The bf16 kernels, indexed like [`F32`].
pub const BF16: [Kernel; MAX_ROWS] = kernels_by_rows!(tile_bf16: 1 2 3 4 5 6);
/// The int8 kernels, indexed like [`F32`].
pub const INT8: [Int8Kernel; MAX_ROWS] = kernels_by_rows!(tile_int8: 1 2 3 4 5 6);
/// The int8 kernels for CPUs with AVX-VNNI, indexed like [`F32`].
pub const INT8_AVX_VNNI: [Int8Kernel; MAX_ROWS] = kernels_by_rows!(tile_avx_vnni: 1 2 3 4 5 6);
/// The int8 kernels for CPUs with AVX512-VNNI, indexed like [`F32`].
pub const INT8_AVX512_VNNI: [Int8Kernel; MAX_ROWS] = kernels_by_rows!(tile_avx512_vnni: 1 2 3 4 5 6);
