//! Micro-kernels in AMX (Intel's Advanced Matrix Extensions) for products of bytes and of bf16 values. f32 products, and
//! products whose rows do not fill whole tile registers, are left to [`super::avx512`].
//!
//! A tile register holds 16 rows of 16 words. One instruction multiplies the 16 words of 16 rows by the 16 words of 16
//! columns, so a kernel's tile of up to 32 rows and 32 columns is computed in four tile registers of sums. The packed
//! operands have the layout that the instructions expect (Intel 64 and IA-32 Architectures Software Developer's Manual,
//! volume 1, chapter 18): a row's words are consecutive, and so are one word of all columns of a panel.
//!
//! Stable Rust has no functions for these instructions, so this module uses inline assembly. [`is_available`] asks the
//! operating system for permission, and compares the instructions' results with [`Emulated`]'s before they are used.

use super::avx512::{self, WIDTH};
use super::tile::{GROUP_VALUES, Int8Kernel, Kernel, Scales, Tile};
use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;

/// Maximum number of rows of a tile: the rows of two tile registers.
pub const MAX_ROWS: usize = 32;

/// Number of rows of a tile register.
const REGISTER_ROWS: usize = 16;

/// Number of words in a row of a tile register.
const REGISTER_WORDS: usize = 16;

/// Number of bytes in a word.
const BYTES_PER_WORD: usize = avx512::INT8_VALUES_PER_WORD;

/// Number of words in a quantisation group.
const GROUP_WORDS: usize = GROUP_VALUES / BYTES_PER_WORD;

/// The sums of a tile: i32 values, or the bits of f32 values.
type Sums = [[u32; WIDTH]; MAX_ROWS];

/// A product of some rows by a part of a panel.
struct Product<'a> {
    /// Number of rows, at most [`MAX_ROWS`].
    rows: usize,
    /// `[rows, stride]`: the rows. As many words of each row are read as a column of the panel has.
    x: &'a [u32],
    /// Number of words from the start of one row to the start of the next.
    stride: usize,
    /// `[words, WIDTH]`, where the number of words is a multiple of [`REGISTER_WORDS`].
    panel: &'a [u32],
    /// `[WIDTH]`: the initial value of each sum.
    initial: &'a [u32],
}

impl Product<'_> {
    /// The number of words of a column, in units of [`REGISTER_WORDS`].
    ///
    /// # Panics
    /// If the slices are too short, or if the panel does not fill whole tile registers.
    fn blocks(&self) -> usize {
        let words = self.panel.len() / WIDTH;
        assert!(fills_registers(self.panel), "{words} words");
        assert!((1..=MAX_ROWS).contains(&self.rows) && self.initial.len() >= WIDTH);
        assert!(self.x.len() >= (self.rows - 1) * self.stride + words);
        words / REGISTER_WORDS
    }
}

/// The products that the kernels are made of.
trait Products {
    /// Computes the first `rows` rows of `sums`, from operands in int8.
    ///
    /// # Safety
    /// The CPU and the operating system must support the instructions that the implementation uses.
    unsafe fn int8(product: &Product, sums: &mut Sums);

    /// Computes the first `rows` rows of `sums`, from operands in bf16.
    ///
    /// # Safety
    /// See [`Products::int8`].
    unsafe fn bf16(product: &Product, sums: &mut Sums);
}

/// The instructions of AMX.
struct Amx;

/// The same products in plain Rust, for the tests on CPUs without AMX and for [`is_available`].
struct Emulated;

/// The configuration of the tile registers, in the layout of the instruction `ldtilecfg`.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Number of bytes in a row of each register. Registers that do not exist have 0.
    row_bytes: [u16; 16],
    /// Number of rows of each register.
    rows: [u8; 16],
}

thread_local! {
    /// The number of rows that this thread's tile registers are configured for. 0: they are not configured. The
    /// registers belong to the thread, and the operating system saves them when it runs another thread.
    static CONFIGURED_ROWS: Cell<usize> = const { Cell::new(0) };
}

/// Configures the tile registers for products of `rows` rows: registers 0 and 1 hold the sums of the first 16 rows, 2
/// and 3 those of the other rows, 4 and 5 the rows, and 6 and 7 the columns.
///
/// # Safety
/// The CPU and the operating system must support AMX.
unsafe fn configure(rows: usize) {
    if CONFIGURED_ROWS.replace(rows) == rows {
        return;
    }
    let (upper, lower) = (rows.min(REGISTER_ROWS) as u8, rows.saturating_sub(REGISTER_ROWS) as u8);
    let all = REGISTER_ROWS as u8;
    let mut config =
        TileConfig { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    for (register, rows) in [upper, upper, lower, lower, upper, lower, all, all].into_iter().enumerate() {
        config.rows[register] = rows;
        config.row_bytes[register] = if rows > 0 { 4 * REGISTER_WORDS as u16 } else { 0 };
    }
    // SAFETY: the caller guarantees that the instruction is supported. It reads the 64 bytes of `config`.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
}

/// Defines a function that computes a [`Product`] with the instruction `$multiply`.
macro_rules! product {
    ($name:ident, $multiply:literal) => {
        /// # Safety
        /// The CPU and the operating system must support AMX.
        unsafe fn $name(product: &Product, sums: &mut Sums) {
            let blocks = product.blocks();
            // SAFETY: the caller guarantees that AMX is supported.
            unsafe { configure(product.rows) };
            let (x, panel, initial, sums) =
                (product.x.as_ptr(), product.panel.as_ptr(), product.initial.as_ptr(), sums.as_mut_ptr());
            // SAFETY: the caller guarantees that AMX is supported. `blocks` has checked that `x`, `panel` and `initial`
            // have the words that are read: of each of the configured rows, 16 words per block; 16 rows of WIDTH words
            // of the panel per block; and WIDTH initial values. `sums` has MAX_ROWS rows of WIDTH words. A stride of 0
            // loads the same initial values into every row.
            unsafe {
                if product.rows <= REGISTER_ROWS {
                    asm!(
                        "tileloadd tmm0, [{initial} + {zero}*1]",
                        "tileloadd tmm1, [{initial} + {zero}*1 + 64]",
                        "2:",
                        "tileloadd tmm4, [{x} + {stride}*1]",
                        "tileloadd tmm6, [{panel} + {panel_stride}*1]",
                        "tileloadd tmm7, [{panel} + {panel_stride}*1 + 64]",
                        concat!($multiply, " tmm0, tmm4, tmm6"),
                        concat!($multiply, " tmm1, tmm4, tmm7"),
                        "add {x}, 64",
                        "add {panel}, 2048",
                        "dec {blocks}",
                        "jnz 2b",
                        "tilestored [{sums} + {panel_stride}*1], tmm0",
                        "tilestored [{sums} + {panel_stride}*1 + 64], tmm1",
                        initial = in(reg) initial,
                        zero = in(reg) 0_usize,
                        x = inout(reg) x => _,
                        stride = in(reg) 4 * product.stride,
                        panel = inout(reg) panel => _,
                        panel_stride = in(reg) 4 * WIDTH,
                        blocks = inout(reg) blocks => _,
                        sums = in(reg) sums,
                        out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                } else {
                    let lower_x = x.add(REGISTER_ROWS * product.stride);
                    asm!(
                        "tileloadd tmm0, [{initial} + {zero}*1]",
                        "tileloadd tmm1, [{initial} + {zero}*1 + 64]",
                        "tileloadd tmm2, [{initial} + {zero}*1]",
                        "tileloadd tmm3, [{initial} + {zero}*1 + 64]",
                        "2:",
                        "tileloadd tmm4, [{x} + {stride}*1]",
                        "tileloadd tmm6, [{panel} + {panel_stride}*1]",
                        concat!($multiply, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{panel} + {panel_stride}*1 + 64]",
                        concat!($multiply, " tmm1, tmm4, tmm7"),
                        "tileloadd tmm5, [{lower_x} + {stride}*1]",
                        concat!($multiply, " tmm2, tmm5, tmm6"),
                        concat!($multiply, " tmm3, tmm5, tmm7"),
                        "add {x}, 64",
                        "add {lower_x}, 64",
                        "add {panel}, 2048",
                        "dec {blocks}",
                        "jnz 2b",
                        "tilestored [{sums} + {panel_stride}*1], tmm0",
                        "tilestored [{sums} + {panel_stride}*1 + 64], tmm1",
                        "tilestored [{sums} + {panel_stride}*1 + 2048], tmm2",
                        "tilestored [{sums} + {panel_stride}*1 + 2112], tmm3",
                        initial = in(reg) initial,
                        zero = in(reg) 0_usize,
                        x = inout(reg) x => _,
                        lower_x = inout(reg) lower_x => _,
                        stride = in(reg) 4 * product.stride,
                        panel = inout(reg) panel => _,
                        panel_stride = in(reg) 4 * WIDTH,
                        blocks = inout(reg) blocks => _,
                        sums = in(reg) sums,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

product!(multiply_int8, "tdpbusd");
product!(multiply_bf16, "tdpbf16ps");

impl Products for Amx {
    unsafe fn int8(product: &Product, sums: &mut Sums) {
        // SAFETY: the caller guarantees that AMX is supported.
        unsafe { multiply_int8(product, sums) }
    }

    unsafe fn bf16(product: &Product, sums: &mut Sums) {
        // SAFETY: the caller guarantees that AMX is supported.
        unsafe { multiply_bf16(product, sums) }
    }
}

/// Computes sums in plain Rust. `step(sum, x, weight)` adds the products of one word of a row and one word of a column.
fn emulate(product: &Product, sums: &mut Sums, step: impl Fn(u32, u32, u32) -> u32) {
    let words = product.blocks() * REGISTER_WORDS;
    for (row, sums) in sums[..product.rows].iter_mut().enumerate() {
        sums.copy_from_slice(&product.initial[..WIDTH]);
        for (x, columns) in
            product.x[row * product.stride..][..words].iter().zip(product.panel.chunks_exact(WIDTH))
        {
            sums.iter_mut().zip(columns).for_each(|(sum, weight)| *sum = step(*sum, *x, *weight));
        }
    }
}

impl Products for Emulated {
    unsafe fn int8(product: &Product, sums: &mut Sums) {
        emulate(product, sums, |sum, x, weight| {
            let products = x.to_le_bytes().into_iter().zip(weight.to_le_bytes());
            let total: i32 = products.map(|(x, weight)| i32::from(x) * i32::from(weight as i8)).sum();
            sum.wrapping_add(total as u32)
        });
    }

    unsafe fn bf16(product: &Product, sums: &mut Sums) {
        let [low, high] =
            [|word: u32| f32::from_bits(word << 16), |word: u32| f32::from_bits(word & 0xffff_0000)];
        emulate(product, sums, |sum, x, weight| {
            (f32::from_bits(sum) + low(x) * low(weight) + high(x) * high(weight)).to_bits()
        });
    }
}

/// Whether the columns of a panel fill whole tile registers.
fn fills_registers(panel: &[u32]) -> bool {
    !panel.is_empty() && panel.len().is_multiple_of(REGISTER_WORDS * WIDTH)
}

/// Number of quantisation groups of a panel.
fn groups(panel: &[u32]) -> usize {
    panel.len().div_ceil(GROUP_WORDS * WIDTH)
}

/// An [`Int8Kernel`] for tiles of `ROWS` rows. If a group of the panel does not fill whole tile registers, the kernels of
/// [`avx512`] compute the tile, with the same result.
#[target_feature(enable = "avx512f,avx512vnni")]
fn tile_int8<P: Products, const ROWS: usize>(tile: &mut Tile, scales: &Scales) {
    if !fills_registers(tile.panel) {
        return split_int8(ROWS, tile, scales);
    }
    let groups = groups(tile.panel);
    let mut totals = [[0.0; WIDTH]; ROWS];
    totals.iter_mut().for_each(|totals| totals.copy_from_slice(&tile.bias[..WIDTH]));
    let mut sums = [[0; WIDTH]; MAX_ROWS];
    for (group, panel) in tile.panel.chunks(GROUP_WORDS * WIDTH).enumerate() {
        let initial = bytemuck::cast_slice(&scales.initial_sums[group * WIDTH..][..WIDTH]);
        let product =
            Product { rows: ROWS, x: &tile.x[group * GROUP_WORDS..], stride: tile.stride, panel, initial };
        // SAFETY: the kernels of `Amx` are used only if `is_available`.
        unsafe { P::int8(&product, &mut sums) };
        let column_scales = &scales.columns[group * WIDTH..][..WIDTH];
        for (row, (totals, sums)) in totals.iter_mut().zip(&sums).enumerate() {
            add_scaled(totals, sums, scales.rows[row * groups + group], column_scales);
        }
    }
    for (totals, out) in totals.iter().zip(tile.out.chunks_mut(tile.out_stride)) {
        out[..WIDTH].copy_from_slice(totals);
    }
}

/// Multiplies integer sums by their scales, and adds them to f32 totals, in the same steps as [`avx512`].
#[target_feature(enable = "avx512f")]
#[inline]
fn add_scaled(totals: &mut [f32; WIDTH], sums: &[u32; WIDTH], row_scale: f32, column_scales: &[f32]) {
    let row_scale = _mm512_set1_ps(row_scale);
    let column_scales: &[f32; WIDTH] = column_scales.try_into().expect("one scale per column");
    let parts = totals.as_chunks_mut::<16>().0.iter_mut();
    for ((totals, sums), scales) in parts.zip(sums.as_chunks::<16>().0).zip(column_scales.as_chunks::<16>().0)
    {
        // SAFETY: all three arrays have sixteen elements, and neither the loads nor the store need alignment.
        unsafe {
            let sums = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums.as_ptr().cast()));
            let scale = _mm512_mul_ps(row_scale, _mm512_loadu_ps(scales.as_ptr()));
            let total = _mm512_fmadd_ps(sums, scale, _mm512_loadu_ps(totals.as_ptr()));
            _mm512_storeu_ps(totals.as_mut_ptr(), total);
        }
    }
}

/// A bf16 [`Kernel`] for tiles of `ROWS` rows. Whether the kernels of [`avx512`] compute the tile depends only on the
/// panel, because they add the products in another order: a text's vector must not depend on the other texts of a batch.
#[target_feature(enable = "avx512f,avx512bf16")]
fn tile_bf16<P: Products, const ROWS: usize>(tile: &mut Tile) {
    if !fills_registers(tile.panel) {
        return split_bf16(ROWS, tile);
    }
    let initial = bytemuck::cast_slice(&tile.bias[..WIDTH]);
    let product = Product { rows: ROWS, x: tile.x, stride: tile.stride, panel: tile.panel, initial };
    let mut sums = [[0; WIDTH]; MAX_ROWS];
    // SAFETY: the kernels of `Amx` are used only if `is_available`.
    unsafe { P::bf16(&product, &mut sums) };
    for (sums, out) in sums[..ROWS].iter().zip(tile.out.chunks_mut(tile.out_stride)) {
        out[..WIDTH].copy_from_slice(bytemuck::cast_slice(sums));
    }
}

/// The rows of a tile from `first` on.
fn rows_from<'a>(tile: &'a mut Tile<'_>, first: usize) -> Tile<'a> {
    Tile {
        x: &tile.x[first * tile.stride..],
        stride: tile.stride,
        panel: tile.panel,
        bias: tile.bias,
        out: &mut tile.out[first * tile.out_stride..],
        out_stride: tile.out_stride,
    }
}

/// Computes an int8 tile of any number of rows with the kernels of [`avx512`].
#[target_feature(enable = "avx512f,avx512vnni")]
fn split_int8(rows: usize, tile: &mut Tile, scales: &Scales) {
    let groups = groups(tile.panel);
    for first in (0..rows).step_by(avx512::INT8.len()) {
        let height = avx512::INT8.len().min(rows - first);
        let scales = Scales { rows: &scales.rows[first * groups..], ..*scales };
        // SAFETY: this function has the instructions of that kernel.
        unsafe { avx512::INT8[height - 1](&mut rows_from(tile, first), &scales) };
    }
}

/// Computes a bf16 tile of any number of rows with the kernels of [`avx512`].
#[target_feature(enable = "avx512f,avx512bf16")]
fn split_bf16(rows: usize, tile: &mut Tile) {
    for first in (0..rows).step_by(avx512::BF16.len()) {
        let height = avx512::BF16.len().min(rows - first);
        // SAFETY: this function has the instructions of that kernel.
        unsafe { avx512::BF16[height - 1](&mut rows_from(tile, first)) };
    }
}

/// Lists the kernels for tiles of 1 to [`MAX_ROWS`] rows.
macro_rules! kernels {
    ($kernel:ident, $products:ty) => {
        kernels!($kernel, $products: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    };
    ($kernel:ident, $products:ty: $($rows:literal)*) => { [$($kernel::<$products, $rows>),*] };
}

/// The int8 kernels. The kernel at index i computes tiles of i + 1 rows.
pub const INT8: [Int8Kernel; MAX_ROWS] = kernels!(tile_int8, Amx);
/// The bf16 kernels, indexed like [`INT8`].
pub const BF16: [Kernel; MAX_ROWS] = kernels!(tile_bf16, Amx);
/// The int8 kernels with emulated instructions, indexed like [`INT8`].
#[cfg(test)]
pub const INT8_EMULATED: [Int8Kernel; MAX_ROWS] = kernels!(tile_int8, Emulated);
/// The bf16 kernels with emulated instructions, indexed like [`INT8`].
#[cfg(test)]
pub const BF16_EMULATED: [Kernel; MAX_ROWS] = kernels!(tile_bf16, Emulated);

/// Whether the kernels can be used: the CPU has the instructions, the operating system permits them, and they give the
/// results that the manual describes.
pub fn is_available() -> bool {
    // Leaf 7 of CPUID describes features: in EDX, bit 22 is AMX-BF16, bit 24 AMX-TILE and bit 25 AMX-INT8.
    const AMX: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    let has_others = is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bf16");
    let features = if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 };
    has_others && features & AMX == AMX && is_permitted() && gives_expected_results()
}

/// Asks Linux for permission to use the tile registers, for all threads of this process.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    /// Asks for permission to use a feature whose registers are large.
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    /// The number of the feature: the data of the tile registers.
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this call takes two numbers, and reads and writes no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// How other operating systems give permission has not been tried.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// Compares the instructions with [`Emulated`], on whole numbers, whose sums are exact in f32 in any order.
fn gives_expected_results() -> bool {
    let words = 2 * REGISTER_WORDS;
    let int8 = |at: usize| (at as u32).wrapping_mul(0x9e37_79b9);
    // Each half is a bf16 value: 1, 2, 4 or 8.
    let bf16 = |at: usize| [0x3f80_u32, 0x4000, 0x4080, 0x4100][at * 7 / 3 % 4] * 0x0001_0001;
    [7, MAX_ROWS - 3].into_iter().all(|rows| {
        let equal = |word: &dyn Fn(usize) -> u32, multiply: [unsafe fn(&Product, &mut Sums); 2]| {
            let x: Vec<u32> = (0..rows * words).map(word).collect();
            let panel: Vec<u32> = (0..words * WIDTH).map(|at| word(at + 5)).collect();
            let initial = [0; WIDTH];
            let product = Product { rows, x: &x, stride: words, panel: &panel, initial: &initial };
            let [fast, expected] = multiply.map(|multiply| {
                let mut sums = [[0; WIDTH]; MAX_ROWS];
                // SAFETY: the caller has checked that AMX is supported and permitted.
                unsafe { multiply(&product, &mut sums) };
                sums
            });
            fast == expected
        };
        equal(&int8, [Amx::int8, Emulated::int8]) && equal(&bf16, [Amx::bf16, Emulated::bf16])
    })
}
