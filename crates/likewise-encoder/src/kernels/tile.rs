//! The interface of the micro-kernels: one tile of a matrix product, with its inputs and its output.
//!
//! It is separate from [`super::isa`] so that imports go one way: [`super::isa`] imports the kernels of all instruction
//! sets, and the kernels import this module.
//!
//! Operands are packed into 32-bit words ([`super::packed`]): a word holds one f32, two bf16 values, four bytes, or two
//! bytes that are widened to 16 bits, for instruction sets without a fast product of bytes. A micro-kernel multiplies a few packed rows by one panel of a weight, which has
//! [`Isa::width`](super::isa::Isa::width) columns, and keeps the sums in registers (the inner kernel of Goto & van de
//! Geijn, Anatomy of High-Performance Matrix Multiplication).

/// Number of values in a quantisation group of an int8 row, which share one scale. With one scale for a whole row, the
/// rounding errors would exceed the differences between papers.
pub const GROUP_VALUES: usize = 128;

/// One tile of a product: `out[row, column] = bias[column] + Σ x[row, k] * panel[k, column]`.
pub struct Tile<'a> {
    /// `[rows, stride]`: the packed rows. A row has as many words as a column of the panel. Further words of the stride
    /// are not read.
    pub x: &'a [u32],
    /// Number of words from the start of one row of `x` to the start of the next.
    pub stride: usize,
    /// `[words, width]`: the packed panel of the weight.
    pub panel: &'a [u32],
    /// `[width]`: the bias, which is added to the sums of every row.
    pub bias: &'a [f32],
    /// `[rows, out_stride]`: the output. Only the first `width` values of each row are written.
    pub out: &'a mut [f32],
    /// Number of values from the start of one row of `out` to the start of the next.
    pub out_stride: usize,
}

/// The scales of an int8 tile. The bytes of the tile are unsigned (0 to 255) in the rows and signed (-127 to 127) in
/// the panel, whether they are stored in 8 or in 16 bits.
///
/// With these scales, `out[row, column]` is `bias[column]` plus the following term for every group:
/// `(initial_sums[group, column] + Σ x[row, k] * panel[k, column]) * rows[row, group] * columns[group, column]`.
pub struct Scales<'a> {
    /// `[rows, groups]`: the value of one quantisation step in each group of a row.
    pub rows: &'a [f32],
    /// `[groups, width]`: the value of one quantisation step in each group of the panel's columns.
    pub columns: &'a [f32],
    /// `[groups, width]`: the initial value of each integer sum. It cancels the zero point of the rows' bytes, or is 0
    /// if the bias already includes this correction.
    pub initial_sums: &'a [i32],
}

/// A function that computes a tile with a fixed number of rows, from operands in f32 or from operands in bf16. The
/// output is f32 in both cases.
///
/// # Safety
/// The CPU must support the instruction set that the kernel is compiled for.
pub type Kernel = unsafe fn(&mut Tile<'_>);

/// A function that computes a tile with a fixed number of rows, from operands in int8. The output is f32.
///
/// # Safety
/// See [`Kernel`].
pub type Int8Kernel = unsafe fn(&mut Tile<'_>, &Scales<'_>);

/// The parameters of quantisation. An f32 value becomes the byte `(value - zero) * inverse + shift`, rounded to the
/// nearest integer, ties to even. The caller chooses the parameters so that the result is from 0 to 255.
#[derive(Clone, Copy)]
pub struct QuantParams {
    /// The value that becomes the byte `shift`.
    pub zero: f32,
    /// Number of quantisation steps per unit, which is 1 / scale. It is 0 if all values are equal to `zero`.
    pub inverse: f32,
    /// The zero point: the byte that stands for `zero`, a whole number.
    pub shift: f32,
}

/// A function that rounds values to bf16, to nearest, ties to even. The two slices must have the same length.
///
/// # Safety
/// See [`Kernel`].
pub type ToBf16 = unsafe fn(&[f32], &mut [u16]);

/// A function that rounds values to bytes, as [`QuantParams`] says. The two slices must have the same length.
///
/// # Safety
/// See [`Kernel`].
pub type ToBytes = unsafe fn(&[f32], QuantParams, &mut [u8]);

/// A function that transposes words: the first argument has rows of words, the second is the number of words from the
/// start of one row to the start of the next, and the third the number of rows, at most
/// [`Isa::width`](super::isa::Isa::width). The result `[words, width]` has the rows as its first columns. Its other
/// columns are not changed.
///
/// # Safety
/// See [`Kernel`].
pub type Transpose = unsafe fn(&[u32], usize, usize, &mut [u32]);

/// Lists the versions of a kernel for tiles of 1, 2, 3, … rows.
macro_rules! kernels_by_rows {
    ($kernel:ident: $($rows:literal)*) => { [$($kernel::<$rows>),*] };
}
pub(super) use kernels_by_rows;
