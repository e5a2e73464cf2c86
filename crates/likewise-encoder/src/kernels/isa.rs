//! The instruction sets that the kernels support, and the choice of one of them at run time.
//!
//! The choice is made once, in [`current`]. All other modules call the micro-kernels through [`Isa`].

use super::tile::{Int8Kernel, Kernel, QuantParams, Scales, Tile, ToBf16, ToBytes, Transpose};
use crate::model::Precision;
use likewise_base::cpu;
use std::sync::LazyLock;

/// An instruction set that this CPU supports, with its micro-kernels.
pub struct Isa {
    /// The name of the instruction set, as a value of the environment variable [`cpu::ENV_VAR`].
    pub name: &'static str,
    /// Number of columns of a panel: 16 or 32.
    pub width: usize,
    /// The precision in which the micro-kernels of this instruction set are fastest.
    pub fastest: Precision,
    /// Whether these micro-kernels have been run on a CPU, and not only compiled.
    was_run: bool,
    /// Number of values in a word of packed bytes: 4, or 2 if the bytes are widened to 16 bits.
    pub int8_values_per_word: usize,
    /// The precision of the products that int8 is too coarse for, in models that run in int8: bf16 if the CPU multiplies
    /// bf16 values, otherwise f32, which is then faster.
    pub bf16_or_f32: Precision,
    /// The same instruction set in `pulp`, which runs the loops that are written with `pulp`.
    pub arch: pulp::Arch,
    f32: &'static [Kernel],
    bf16: &'static [Kernel],
    int8: &'static [Int8Kernel],
    to_bf16: ToBf16,
    to_bytes: ToBytes,
    transpose: Transpose,
}

impl Isa {
    /// Maximum number of rows of a tile whose operands are in `precision`.
    pub fn max_rows(&self, precision: Precision) -> usize {
        match precision {
            Precision::F32 => self.f32.len(),
            Precision::Bf16 => self.bf16.len(),
            Precision::Int8 => self.int8.len(),
        }
    }

    /// Whether products in a precision take longer than in f32: bf16 if the CPU does not multiply bf16 values, and int8 in
    /// plain Rust.
    pub fn is_slower_than_f32(&self, precision: Precision) -> bool {
        match precision {
            Precision::F32 => false,
            Precision::Bf16 => self.bf16_or_f32 == Precision::F32,
            Precision::Int8 => self.fastest == Precision::F32,
        }
    }

    /// The name, with what a user should know about this precision on this CPU.
    pub fn describe(&self, precision: Precision) -> String {
        let mut text = self.name.to_string();
        if self.is_slower_than_f32(precision) {
            text.push_str(&format!(", where {precision} is slower than f32"));
        }
        if !self.was_run {
            text.push_str(
                " (these instructions have not been run by the developers; compare `--precision f32`)",
            );
        }
        text
    }

    /// Rounds values to bf16, to nearest, ties to even. `values` and `halves` must have the same length.
    pub fn to_bf16(&self, values: &[f32], halves: &mut [u16]) {
        // SAFETY: `available` returns an `Isa` only if this CPU supports the instructions of that `Isa`.
        unsafe { (self.to_bf16)(values, halves) }
    }

    /// Rounds values to bytes, as [`QuantParams`] says. `values` and `bytes` must have the same length.
    pub fn to_bytes(&self, values: &[f32], params: QuantParams, bytes: &mut [u8]) {
        // SAFETY: `available` returns an `Isa` only if this CPU supports the instructions of that `Isa`.
        unsafe { (self.to_bytes)(values, params, bytes) }
    }

    /// Transposes `count` rows of words, at most [`Isa::width`], to the first columns of `columns [words, width]`. `stride`
    /// is the number of words from the start of one row to the start of the next.
    pub fn transpose(&self, rows: &[u32], stride: usize, count: usize, columns: &mut [u32]) {
        // SAFETY: `available` returns an `Isa` only if this CPU supports the instructions of that `Isa`.
        unsafe { (self.transpose)(rows, stride, count, columns) }
    }

    /// Computes an f32 tile of `rows` rows, where `rows` is 1 to [`Isa::max_rows`].
    pub fn f32(&self, rows: usize, mut tile: Tile) {
        // SAFETY: `available` returns an `Isa` only if this CPU supports the instructions of that `Isa`.
        unsafe { self.f32[rows - 1](&mut tile) }
    }

    /// Computes a bf16 tile of `rows` rows, where `rows` is 1 to [`Isa::max_rows`].
    pub fn bf16(&self, rows: usize, mut tile: Tile) {
        // SAFETY: `available` returns an `Isa` only if this CPU supports the instructions of that `Isa`.
        unsafe { self.bf16[rows - 1](&mut tile) }
    }

    /// Computes an int8 tile of `rows` rows, where `rows` is 1 to [`Isa::max_rows`].
    pub fn int8(&self, rows: usize, mut tile: Tile, scales: &Scales) {
        // SAFETY: `available` returns an `Isa` only if this CPU supports the instructions of that `Isa`.
        unsafe { self.int8[rows - 1](&mut tile, scales) }
    }
}

/// Returns the instruction set in use: the one that the environment variable [`cpu::ENV_VAR`] names, or, if the
/// variable is not set or names none of [`available`], the best one that this CPU supports.
pub fn current() -> &'static Isa {
    static CURRENT: LazyLock<Isa> = LazyLock::new(|| cpu::pick(available(), |isa| isa.name));
    &CURRENT
}

/// Returns the instruction sets that this CPU supports, best first. The last one is "portable".
pub fn available() -> Vec<Isa> {
    let mut isas = Vec::new();
    #[cfg(target_arch = "x86_64")]
    isas.extend(x86_isas());
    isas.push(Isa {
        name: "portable",
        width: super::portable::WIDTH,
        fastest: Precision::F32,
        was_run: true,
        int8_values_per_word: super::portable::INT8_VALUES_PER_WORD,
        bf16_or_f32: Precision::F32,
        arch: if cfg!(target_arch = "x86_64") { pulp::Arch::Scalar } else { pulp::Arch::new() },
        f32: &super::portable::F32,
        bf16: &super::portable::BF16,
        int8: &super::portable::INT8,
        to_bf16: super::portable::to_bf16,
        to_bytes: super::portable::to_bytes,
        transpose: super::portable::transpose,
    });
    isas
}

#[cfg(target_arch = "x86_64")]
fn x86_isas() -> Vec<Isa> {
    use super::{amx, avx2, avx512};
    let mut isas = Vec::new();
    if let Some(v4) = pulp::x86::V4::try_new() {
        let has_bf16 = is_x86_feature_detected!("avx512bf16");
        let has_int8 = is_x86_feature_detected!("avx512vnni");
        let isa = |name, bf16, int8| Isa {
            name,
            width: avx512::WIDTH,
            fastest: Precision::Int8,
            was_run: true,
            int8_values_per_word: match int8 {
                true => avx512::INT8_VALUES_PER_WORD,
                false => avx512::PLAIN_INT8_VALUES_PER_WORD,
            },
            bf16_or_f32: if bf16 { Precision::Bf16 } else { Precision::F32 },
            arch: pulp::Arch::V4(v4),
            f32: &avx512::F32,
            bf16: if bf16 { &avx512::BF16 } else { &avx512::BF16_PLAIN },
            int8: if int8 { &avx512::INT8 } else { &avx512::INT8_PLAIN },
            to_bf16: if bf16 { avx512::to_bf16 } else { avx512::to_bf16_plain },
            to_bytes: avx512::to_bytes,
            transpose: avx512::transpose,
        };
        if amx::is_available() {
            let (bf16, int8) = (&amx::BF16, &amx::INT8);
            isas.push(Isa { name: "amx", was_run: false, bf16, int8, ..isa("avx512", true, true) });
        }
        isas.push(isa("avx512", has_bf16, has_int8));
        isas.push(isa("avx512-plain", false, false));
    }
    if let Some(v3) = pulp::x86::V3::try_new() {
        let isa = |name, was_run, int8, int8_values_per_word| Isa {
            name,
            width: avx2::WIDTH,
            fastest: Precision::Int8,
            was_run,
            int8_values_per_word,
            bf16_or_f32: Precision::F32,
            arch: pulp::Arch::V3(v3),
            f32: &avx2::F32,
            bf16: &avx2::BF16,
            int8,
            to_bf16: avx2::to_bf16,
            to_bytes: avx2::to_bytes,
            transpose: avx2::transpose,
        };
        if is_x86_feature_detected!("avxvnni") {
            isas.push(isa("avx2-vnni", false, &avx2::INT8_AVX_VNNI, avx2::VNNI_VALUES_PER_WORD));
        } else if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") {
            isas.push(isa("avx2-vnni", true, &avx2::INT8_AVX512_VNNI, avx2::VNNI_VALUES_PER_WORD));
        }
        isas.push(isa("avx2", true, &avx2::INT8, avx2::INT8_VALUES_PER_WORD));
    }
    isas
}

/// The instruction set `amx` with emulated instructions, for tests on CPUs that have the other instructions of its kernels.
#[cfg(all(test, target_arch = "x86_64"))]
fn emulated_amx() -> Option<Isa> {
    use super::amx;
    let avx512 = x86_isas().into_iter().find(|isa| isa.name == "avx512")?;
    let has_all = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
    let (bf16, int8) = (&amx::BF16_EMULATED, &amx::INT8_EMULATED);
    has_all.then_some(Isa { name: "amx, emulated", bf16, int8, ..avx512 })
}

/// All instruction sets of this CPU, and those that can be emulated on it.
#[cfg(test)]
pub fn testable() -> &'static [Isa] {
    static ISAS: LazyLock<Vec<Isa>> = LazyLock::new(|| {
        #[cfg(target_arch = "x86_64")]
        let emulated = emulated_amx();
        #[cfg(not(target_arch = "x86_64"))]
        let emulated = None;
        available().into_iter().chain(emulated).collect()
    });
    &ISAS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn int8_is_fastest_except_in_plain_rust_and_bf16_is_slow_without_its_instructions() {
        for isa in available() {
            let has_vectors_of_bytes = isa.name != "portable";
            assert_eq!(isa.is_slower_than_f32(Precision::Int8), !has_vectors_of_bytes, "{}", isa.name);
            assert_eq!(isa.fastest == Precision::Int8, has_vectors_of_bytes, "{}", isa.name);
            let has_bf16 = ["amx", "avx512"].contains(&isa.name) && is_x86_feature_detected!("avx512bf16");
            assert_eq!(isa.is_slower_than_f32(Precision::Bf16), !has_bf16, "{}", isa.name);
        }
    }
}
