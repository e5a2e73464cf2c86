//! Micro-kernels in AVX-512: one tile of a product, summed in registers.
//!
//! Its own file because it is `unsafe` and of one instruction set. Machines with AVX-512 but without its
//! bf16 or byte products get both in plainer instructions, marked `plain`.

use super::level::{GROUP_WORDS, Int8Kernel, Int8Tile, Kernel, Tile, every_height};
use std::arch::x86_64::*;

/// Columns of a panel: two registers.
pub const WIDTH: usize = 32;

/// Rows of a tile: 28 sums, two registers of the panel and one of the row make 31 of the 32 there are.
const ROWS: usize = 14;

/// Rows of a tile of bytes, which has two kinds of sums.
const INT8_ROWS: usize = 7;

#[target_feature(enable = "avx512f")]
fn load(words: &[u32]) -> [__m512i; 2] {
    let words = &words[..WIDTH];
    // SAFETY: `words` has the 32 words that are read; the load needs no alignment.
    unsafe { [_mm512_loadu_si512(words.as_ptr().cast()), _mm512_loadu_si512(words.as_ptr().add(16).cast())] }
}

#[target_feature(enable = "avx512f")]
fn load_f32(values: &[f32]) -> [__m512; 2] {
    load(bytemuck::cast_slice(values)).map(|register| _mm512_castsi512_ps(register))
}

#[target_feature(enable = "avx512f")]
fn store(sums: [__m512; 2], out: &mut [f32]) {
    let out = &mut out[..WIDTH];
    // SAFETY: `out` has room for the 32 values that are written; the store needs no alignment.
    unsafe {
        _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
        _mm512_storeu_ps(out.as_mut_ptr().add(16), sums[1]);
    }
}

/// Writes a tile kernel: the step multiplies a word by sixteen and adds to sixteen f32 sums.
macro_rules! tile {
    ($name:ident, $features:literal, $step:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: Tile) {
            let words = tile.panel.len() / WIDTH;
            assert!(tile.x.len() >= (ROWS - 1) * tile.stride + words);
            let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
            for (word, columns) in tile.panel.chunks_exact(WIDTH).enumerate() {
                let columns = load(columns);
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: row < ROWS and word < words, for which `x` was asserted to be long enough.
                    let value = unsafe { *tile.x.get_unchecked(row * tile.stride + word) };
                    let value = _mm512_set1_epi32(value as i32);
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
            let mut totals = [[_mm512_setzero_ps(); 2]; ROWS];
            for (group, panel) in tile.panel.chunks(GROUP_WORDS * WIDTH).enumerate() {
                let mut sums = [load(bytemuck::cast_slice(&starts[group * WIDTH..])); ROWS];
                for (word, columns) in panel.chunks_exact(WIDTH).enumerate() {
                    let columns = load(columns);
                    let word = group * GROUP_WORDS + word;
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: row < ROWS and word < words, for which `x` was asserted to be long enough.
                        let value = unsafe { *tile.x.get_unchecked(row * tile.stride + word) };
                        let value = _mm512_set1_epi32(value as i32);
                        sums[0] = $step(sums[0], value, columns[0]);
                        sums[1] = $step(sums[1], value, columns[1]);
                    }
                }
                let scales = load_f32(&scales[group * WIDTH..]);
                for (row, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                    let row_scale = _mm512_set1_ps(row_scales[row * groups + group]);
                    for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
                        *total =
                            _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(row_scale, scale), *total);
                    }
                }
            }
            for (totals, out) in totals.into_iter().zip(tile.out.chunks_mut(tile.out_stride)) {
                store(totals, out);
            }
        }
    };
}

tile!(tile_f32, "avx512f", step_f32);
tile!(tile_bf16, "avx512f,avx512bf16", step_bf16);
tile!(tile_bf16_plain, "avx512f", step_bf16_plain);
int8_tile!(tile_int8, "avx512f,avx512vnni", step_int8);
int8_tile!(tile_int8_plain, "avx512f,avx512bw", step_int8_plain);

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
