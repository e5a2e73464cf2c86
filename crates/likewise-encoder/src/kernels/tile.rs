//! One tile of a product, and what computes it: the shape that every micro-kernel has.
//!
//! Its own file because the kernels of all instruction levels are written to it, and [`super::level`], which picks
//! among them, stands on all of those.
//!
//! Every precision reads 32-bit words: an f32, two bf16 values, or four bytes. A micro-kernel multiplies
//! the words of a few rows by a panel of a weight, which has [`Level::width`](super::level::Level::width) columns, and
//! keeps the sums in registers.

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
