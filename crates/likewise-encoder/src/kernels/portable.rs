//! Micro-kernels in plain Rust, for every CPU. The compiler vectorises them as far as it can.

use super::functions::ROUND_MAGIC;
use super::tile::{GROUP_VALUES, Int8Kernel, Kernel, QuantParams, Scales, Tile, kernels_by_rows};
use std::ops::Range;

/// Number of columns of a panel.
pub const WIDTH: usize = 16;

/// Maximum number of rows of a tile.
const MAX_ROWS: usize = 4;

/// Number of values in a word of packed bytes.
pub const INT8_VALUES_PER_WORD: usize = 4;

/// Number of packed words in a quantisation group.
const GROUP_WORDS: usize = GROUP_VALUES / INT8_VALUES_PER_WORD;

/// Computes a tile of f32 sums. `step(sum, x, weight)` adds the products of one word of a row and one word of the panel
/// to `sum`.
fn tile<const ROWS: usize>(tile: &mut Tile, step: impl Fn(f32, u32, u32) -> f32) {
    let mut sums = [[0.0; WIDTH]; ROWS];
    sums.iter_mut().for_each(|sums| sums.copy_from_slice(&tile.bias[..WIDTH]));
    for (word, columns) in tile.panel.chunks_exact(WIDTH).enumerate() {
        for (row, sums) in sums.iter_mut().enumerate() {
            let value = tile.x[row * tile.stride + word];
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = step(*sum, value, *column);
            }
        }
    }
    for (sums, out) in sums.iter().zip(tile.out.chunks_mut(tile.out_stride)) {
        out[..WIDTH].copy_from_slice(sums);
    }
}

fn tile_f32<const ROWS: usize>(tile: &mut Tile) {
    self::tile::<ROWS>(tile, |sum, x, weight| f32::from_bits(x) * f32::from_bits(weight) + sum);
}

fn tile_bf16<const ROWS: usize>(tile: &mut Tile) {
    // A bf16 value is the upper half of an f32.
    let [low, high] =
        [|word: u32| f32::from_bits(word << 16), |word: u32| f32::from_bits(word & 0xffff_0000)];
    self::tile::<ROWS>(tile, |sum, x, weight| high(x) * high(weight) + (low(x) * low(weight) + sum));
}

fn tile_int8<const ROWS: usize>(tile: &mut Tile, scales: &Scales) {
    let Scales { rows: row_scales, columns: column_scales, initial_sums } = scales;
    let groups = (tile.panel.len() / WIDTH).div_ceil(GROUP_WORDS);
    let mut totals = [[0.0; WIDTH]; ROWS];
    totals.iter_mut().for_each(|totals| totals.copy_from_slice(&tile.bias[..WIDTH]));
    for (group, panel) in tile.panel.chunks(GROUP_WORDS * WIDTH).enumerate() {
        let columns = group * WIDTH..(group + 1) * WIDTH;
        for (row, totals) in totals.iter_mut().enumerate() {
            let mut sums = [0; WIDTH];
            sums.copy_from_slice(&initial_sums[columns.clone()]);
            for (word, columns) in panel.chunks_exact(WIDTH).enumerate() {
                let value = tile.x[row * tile.stride + group * GROUP_WORDS + word];
                for (sum, column) in sums.iter_mut().zip(columns) {
                    let products = value.to_le_bytes().into_iter().zip(column.to_le_bytes());
                    *sum += products.map(|(x, weight)| i32::from(x) * i32::from(weight as i8)).sum::<i32>();
                }
            }
            let row_scale = row_scales[row * groups + group];
            for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(&column_scales[columns.clone()]) {
                *total += sum as f32 * (row_scale * scale);
            }
        }
    }
    for (totals, out) in totals.iter().zip(tile.out.chunks_mut(tile.out_stride)) {
        out[..WIDTH].copy_from_slice(totals);
    }
}

/// Rounds values to bf16: the portable [`ToBf16`](super::tile::ToBf16) function.
#[inline(always)]
pub fn to_bf16(values: &[f32], halves: &mut [u16]) {
    for (half, value) in halves.iter_mut().zip(values) {
        let bits = value.to_bits();
        *half = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    }
}

/// Rounds values to bytes: the portable [`ToBytes`](super::tile::ToBytes) function.
#[inline(always)]
pub fn to_bytes(values: &[f32], params: QuantParams, bytes: &mut [u8]) {
    for (byte, value) in bytes.iter_mut().zip(values) {
        // Adding ROUND_MAGIC leaves the rounded value in the low bits.
        *byte = ((value - params.zero) * params.inverse + (ROUND_MAGIC + params.shift)).to_bits() as u8;
    }
}

/// The portable [`Transpose`](super::tile::Transpose) function.
pub fn transpose(rows: &[u32], stride: usize, count: usize, columns: &mut [u32]) {
    transpose_rest(rows, stride, 0..count, 0, columns, WIDTH);
}

/// Transposes some `rows`, from the word `first_word` on, to columns of a panel of `width` columns.
#[inline(always)]
pub fn transpose_rest(
    words: &[u32],
    stride: usize,
    rows: Range<usize>,
    first_word: usize,
    columns: &mut [u32],
    width: usize,
) {
    let columns = &mut columns[first_word * width..];
    for row in rows {
        let words = &words[row * stride + first_word..];
        columns.iter_mut().skip(row).step_by(width).zip(words).for_each(|(column, word)| *column = *word);
    }
}

/// The f32 kernels. The kernel at index i computes tiles of i + 1 rows.
pub const F32: [Kernel; MAX_ROWS] = kernels_by_rows!(tile_f32: 1 2 3 4);
/// The bf16 kernels, indexed like [`F32`].
pub const BF16: [Kernel; MAX_ROWS] = kernels_by_rows!(tile_bf16: 1 2 3 4);
/// The int8 kernels, indexed like [`F32`].
pub const INT8: [Int8Kernel; MAX_ROWS] = kernels_by_rows!(tile_int8: 1 2 3 4);
