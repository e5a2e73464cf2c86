//! Which instructions this machine has, and the micro-kernels that use them.
//!
//! Its own file because it is where run-time dispatch is decided, once: everything else asks for the
//! [`current`] level.

use super::tile::{Int8Kernel, Kernel, Scales, Steps, Tile, ToBf16, ToBytes};
use crate::model::Precision;
use likewise_base::cpu;
use std::sync::LazyLock;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn f32_is_fastest_unless_avx512_has_instructions_for_int8_or_bf16() {
        for level in available() {
            let expected = match level.name {
                "avx512" if is_x86_feature_detected!("avx512vnni") => Precision::Int8,
                "avx512" if is_x86_feature_detected!("avx512bf16") => Precision::Bf16,
                _ => Precision::F32,
            };
            assert_eq!(level.fastest, expected, "{}", level.name);
        }
    }
}
