//! Which instructions this machine has, and the micro-kernels that use them.
//!
//! Its own file because it is where run-time dispatch is decided, once: everything else asks for the
//! [`current`] level.
//!
//! Every precision reads 32-bit words: an f32, two bf16 values, or four bytes. A micro-kernel multiplies
//! the words of a few rows by a panel of a weight, which has [`Level::width`] columns, and keeps the sums
//! in registers.

use crate::cpu;
use crate::model::Precision;
use std::sync::LazyLock;

/// Words of a row that share a scale, of bytes: 128 values. Papers differ by less than what one scale
/// for a whole row would blur.
pub const GROUP_WORDS: usize = 32;

/// One tile of a product.
pub struct Tile<'a> {
    /// Words of the rows, the first row's first word first.
    pub x: &'a [u32],
    /// Words from one row of `x` to the next.
    pub stride: usize,
    /// `[words, width]` of the panel.
    pub panel: &'a [u32],
    /// `[width]`: what every row's sums have added to them.
    pub bias: &'a [f32],
    /// Where the first row's sums go; `width` values a row.
    pub out: &'a mut [f32],
    /// Values from one row of `out` to the next.
    pub out_stride: usize,
}

/// What one tile of a product of bytes needs besides: they are unsigned in `x`, signed in the panel.
pub struct Scales<'a> {
    /// `[rows, groups]`: what 1 is worth in each group of a row.
    pub rows: &'a [f32],
    /// `[groups, width]`: the same for the panel's columns.
    pub columns: &'a [f32],
    /// `[groups, width]`: where the sums start, since a byte of 128 may stand for 0.
    pub starts: &'a [i32],
}

/// Computes a tile of one number of rows.
///
/// # Safety
/// The machine has the instructions of the level that the kernel belongs to.
pub type Kernel = unsafe fn(&mut Tile<'_>);

/// See [`Kernel`].
pub type Int8Kernel = unsafe fn(&mut Tile<'_>, &Scales<'_>);

/// How a value becomes a byte: `(value - zero) * inverse + shift`, to the nearest whole number, ties to even.
#[derive(Clone, Copy)]
pub struct Steps {
    /// What 0 stands for, before the shift.
    pub zero: f32,
    /// Steps that 1 is worth.
    pub inverse: f32,
    /// Added at the end, a whole number.
    pub shift: f32,
}

/// Rounds a row to bf16, to nearest, ties to even, into one of the same length.
///
/// # Safety
/// See [`Kernel`].
pub type ToBf16 = unsafe fn(&[f32], &mut [u16]);

/// Rounds a row to bytes, into one of the same length.
///
/// # Safety
/// See [`Kernel`].
pub type ToBytes = unsafe fn(&[f32], Steps, &mut [u8]);

/// Lists a kernel's versions by their rows.
macro_rules! every_height {
    ($kernel:ident: $($rows:literal)*) => { [$($kernel::<$rows>),*] };
}
pub(super) use every_height;

/// What one level of instructions offers.
pub struct Level {
    /// As [`cpu::SETTING`] names it.
    pub name: &'static str,
    /// Columns of a panel.
    pub width: usize,
    /// The precision that its instructions are fastest in.
    pub fastest: Precision,
    /// For loops that the compiler vectorises.
    pub arch: pulp::Arch,
    f32: &'static [Kernel],
    bf16: &'static [Kernel],
    int8: &'static [Int8Kernel],
    to_bf16: ToBf16,
    to_bytes: ToBytes,
}

impl Level {
    /// Rows of the highest tile of f32 words, or of pairs of bf16 values.
    pub fn rows(&self) -> usize {
        self.f32.len()
    }

    /// Rows of the highest tile of bytes.
    pub fn int8_rows(&self) -> usize {
        self.int8.len()
    }

    /// Rounds a row to bf16, to nearest, ties to even.
    pub fn to_bf16(&self, values: &[f32], halves: &mut [u16]) {
        // SAFETY: as in `f32`.
        unsafe { (self.to_bf16)(values, halves) }
    }

    /// Rounds a row to bytes.
    pub fn to_bytes(&self, values: &[f32], steps: Steps, bytes: &mut [u8]) {
        // SAFETY: as in `f32`.
        unsafe { (self.to_bytes)(values, steps, bytes) }
    }

    /// Computes a tile of `rows` rows of f32 words.
    pub fn f32(&self, rows: usize, mut tile: Tile) {
        // SAFETY: a level is only made where its instructions were detected.
        unsafe { self.f32[rows - 1](&mut tile) }
    }

    /// Computes a tile of `rows` rows of bf16 pairs.
    pub fn bf16(&self, rows: usize, mut tile: Tile) {
        // SAFETY: as in `f32`.
        unsafe { self.bf16[rows - 1](&mut tile) }
    }

    /// Computes a tile of `rows` rows of bytes.
    pub fn int8(&self, rows: usize, mut tile: Tile, scales: &Scales) {
        // SAFETY: as in `f32`.
        unsafe { self.int8[rows - 1](&mut tile, scales) }
    }
}

/// The level in use: the best there is, or the one that the setting names.
pub fn current() -> &'static Level {
    static CURRENT: LazyLock<Level> = LazyLock::new(|| cpu::pick(available(), |level| level.name));
    &CURRENT
}

/// Every level that this machine has, best first.
pub fn available() -> Vec<Level> {
    let mut levels = Vec::new();
    #[cfg(target_arch = "x86_64")]
    levels.extend(x86_levels());
    levels.push(Level {
        name: "portable",
        width: super::portable::WIDTH,
        fastest: Precision::F32,
        arch: if cfg!(target_arch = "x86_64") { pulp::Arch::Scalar } else { pulp::Arch::new() },
        f32: &super::portable::F32,
        bf16: &super::portable::BF16,
        int8: &super::portable::INT8,
        to_bf16: super::portable::to_bf16,
        to_bytes: super::portable::to_bytes,
    });
    levels
}

#[cfg(target_arch = "x86_64")]
fn x86_levels() -> Vec<Level> {
    use super::{avx2, avx512};
    let mut levels = Vec::new();
    if let Some(v4) = pulp::x86::V4::try_new() {
        let has_bf16 = is_x86_feature_detected!("avx512bf16");
        let has_int8 = is_x86_feature_detected!("avx512vnni");
        let level = |name, bf16, int8| Level {
            name,
            width: avx512::WIDTH,
            fastest: match (int8, bf16) {
                (true, _) => Precision::Int8,
                (false, true) => Precision::Bf16,
                (false, false) => Precision::F32,
            },
            arch: pulp::Arch::V4(v4),
            f32: &avx512::F32,
            bf16: if bf16 { &avx512::BF16 } else { &avx512::BF16_PLAIN },
            int8: if int8 { &avx512::INT8 } else { &avx512::INT8_PLAIN },
            to_bf16: if bf16 { avx512::to_bf16 } else { avx512::to_bf16_plain },
            to_bytes: avx512::to_bytes,
        };
        levels.push(level("avx512", has_bf16, has_int8));
        levels.push(level("avx512-plain", false, false));
    }
    if let Some(v3) = pulp::x86::V3::try_new() {
        levels.push(Level {
            name: "avx2",
            width: avx2::WIDTH,
            fastest: Precision::F32,
            arch: pulp::Arch::V3(v3),
            f32: &avx2::F32,
            bf16: &avx2::BF16,
            int8: &avx2::INT8,
            to_bf16: avx2::to_bf16,
            to_bytes: avx2::to_bytes,
        });
    }
    levels
}
