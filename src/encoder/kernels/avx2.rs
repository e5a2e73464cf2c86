//! Micro-kernels in AVX2 and FMA: one tile of a product, summed in registers.
//!
//! Its own file because it is `unsafe` and of one instruction set. This level
//! has no products of bf16 values or bytes; both are put together from what it has.

use super::level::{GROUP_WORDS, Int8Kernel, Int8Tile, Kernel, Tile, every_height};
use std::arch::x86_64::*;

/// Columns of a panel: two registers.
pub const WIDTH: usize = 16;

/// Rows of a tile: 12 sums, two registers of the panel and one of the row make 15 of the 16 there are.
const ROWS: usize = 6;

/// Rows of a tile of bytes, which has two kinds of sums.
const INT8_ROWS: usize = 2;

#[target_feature(enable = "avx2,fma")]
fn load(words: &[u32]) -> [__m256i; 2] {
    let words = &words[..WIDTH];
    // SAFETY: `words` has the 16 words that are read; the load needs no alignment.
    unsafe { [_mm256_loadu_si256(words.as_ptr().cast()), _mm256_loadu_si256(words.as_ptr().add(8).cast())] }
}

#[target_feature(enable = "avx2,fma")]
fn load_f32(values: &[f32]) -> [__m256; 2] {
    load(bytemuck::cast_slice(values)).map(|register| _mm256_castsi256_ps(register))
}

#[target_feature(enable = "avx2,fma")]
fn store(sums: [__m256; 2], out: &mut [f32]) {
    let out = &mut out[..WIDTH];
    // SAFETY: `out` has room for the 16 values that are written; the store needs no alignment.
    unsafe {
        _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
        _mm256_storeu_ps(out.as_mut_ptr().add(8), sums[1]);
    }
}

/// Writes a tile kernel: the step multiplies a word by sixteen and adds to sixteen f32 sums.
macro_rules! tile {
    ($name:ident, $features:literal, $step:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: Tile) {
            let words = tile.panel.len() / WIDTH;
            assert!(tile.x.len() >= (ROWS - 1) * tile.stride + words);
            let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
            for (word, columns) in tile.panel.chunks_exact(WIDTH).enumerate() {
                let columns = load(columns);
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: row < ROWS and word < words, for which `x` was asserted to be long enough.
                    let value = unsafe { *tile.x.get_unchecked(row * tile.stride + word) };
                    let value = _mm256_set1_epi32(value as i32);
                    sums[0] = $step(sums[0], value, columns[0]);
                    sums[1] = $step(sums[1], value, columns[1]);
                }
            }
            for (sums, out) in sums.into_iter().zip(tile.out.chunks_mut(tile.out_stride)) {
                store(sums, out);
            }
        }
    };
}

/// The same for bytes: sums of a group are whole numbers, scaled and added up when the group ends.
macro_rules! int8_tile {
    ($name:ident, $features:literal, $step:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: Int8Tile) {
            let Int8Tile { tile, row_scales, scales, starts } = tile;
            let words = tile.panel.len() / WIDTH;
            let groups = words.div_ceil(GROUP_WORDS);
            assert!(tile.x.len() >= (ROWS - 1) * tile.stride + words && row_scales.len() >= ROWS * groups);
            let mut totals = [[_mm256_setzero_ps(); 2]; ROWS];
            for (group, panel) in tile.panel.chunks(GROUP_WORDS * WIDTH).enumerate() {
                let mut sums = [load(bytemuck::cast_slice(&starts[group * WIDTH..])); ROWS];
                for (word, columns) in panel.chunks_exact(WIDTH).enumerate() {
                    let columns = load(columns);
                    let word = group * GROUP_WORDS + word;
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: row < ROWS and word < words, for which `x` was asserted to be long enough.
                        let value = unsafe { *tile.x.get_unchecked(row * tile.stride + word) };
                        let value = _mm256_set1_epi32(value as i32);
                        sums[0] = $step(sums[0], value, columns[0]);
                        sums[1] = $step(sums[1], value, columns[1]);
                    }
                }
                let scales = load_f32(&scales[group * WIDTH..]);
                for (row, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                    let row_scale = _mm256_set1_ps(row_scales[row * groups + group]);
                    for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
                        *total =
                            _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(row_scale, scale), *total);
                    }
                }
            }
            for (totals, out) in totals.into_iter().zip(tile.out.chunks_mut(tile.out_stride)) {
                store(totals, out);
            }
        }
    };
}

tile!(tile_f32, "avx2,fma", step_f32);
tile!(tile_bf16, "avx2,fma", step_bf16);
int8_tile!(tile_int8, "avx2,fma", step_int8);

#[target_feature(enable = "avx2,fma")]
#[inline]
fn step_f32(sum: __m256, x: __m256i, weight: __m256i) -> __m256 {
    _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(weight), sum)
}

/// A bf16 value is the upper half of an f32.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn step_bf16(sum: __m256, x: __m256i, weight: __m256i) -> __m256 {
    let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    let sum = step_f32(sum, _mm256_slli_epi32::<16>(x), _mm256_slli_epi32::<16>(weight));
    step_f32(sum, _mm256_and_si256(x, upper), _mm256_and_si256(weight, upper))
}

/// Even and odd bytes as 16-bit numbers: products of those are added without saturation.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn step_int8(sum: __m256i, x: __m256i, weight: __m256i) -> __m256i {
    let low_bytes = _mm256_set1_epi16(0xff);
    let even = _mm256_madd_epi16(
        _mm256_and_si256(x, low_bytes),
        _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weight)),
    );
    let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(weight));
    _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
}

/// By rows of the tile, from 1.
pub const F32: [Kernel; ROWS] = every_height!(tile_f32: 1 2 3 4 5 6);
/// See [`F32`].
pub const BF16: [Kernel; ROWS] = every_height!(tile_bf16: 1 2 3 4 5 6);
/// See [`F32`].
pub const INT8: [Int8Kernel; INT8_ROWS] = every_height!(tile_int8: 1 2);
