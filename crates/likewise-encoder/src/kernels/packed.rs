//! Packs rows of f32 values into rows of the 32-bit words that the micro-kernels read.
//!
//! A word holds one f32, two bf16 values, four bytes or two widened bytes, with the first value in the lowest bits. This
//! module packs weights as well as activations, because their formats must agree. A row is cut into groups of 128 values. The groups
//! are packed independently of each other, so that the feed-forward block can pack a group as soon as the values of the
//! group are computed.

use super::functions::{Function, Identity, ROUND_MAGIC};
use super::grow;
use super::isa::Isa;
use super::rows::{apply, max, max_abs};
use super::tile::QuantParams;
use crate::model::Precision;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

pub use super::tile::GROUP_VALUES;

/// A lower bound for the activation functions that use [`ValueRange::Activated`]. It is just below their minima: the
/// minimum of GELU is -0.16997, the minimum of GELU's tanh form is -0.17004, and the minimum of ReLU is 0.
pub const ACTIVATION_MIN: f32 = -0.1701;

/// The range of the values in a row. The range matters only for int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRange {
    /// Any values. The byte 128 stands for 0.
    Signed,
    /// Values of at least [`ACTIVATION_MIN`]. The byte 0 stands for [`ACTIVATION_MIN`], so that no byte is spent on
    /// lower values.
    Activated,
}

/// The format in which values are packed into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFormat {
    /// The type that a value is rounded to.
    pub precision: Precision,
    /// The range of the values.
    pub range: ValueRange,
    /// Number of values in a word.
    values_per_word: usize,
}

impl PackFormat {
    /// The format of values in a precision, for an instruction set.
    pub fn new(isa: &Isa, precision: Precision, range: ValueRange) -> PackFormat {
        let values_per_word = match precision {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
            Precision::Int8 => isa.int8_values_per_word,
        };
        PackFormat { precision, range, values_per_word }
    }

    /// Number of words of a packed row of `width` values.
    pub fn packed_len(self, width: usize) -> usize {
        width / GROUP_VALUES * self.packed_group_len(GROUP_VALUES)
            + self.packed_group_len(width % GROUP_VALUES)
    }

    /// Maximum number of values that `packed_len` words can hold.
    pub fn capacity(self, packed_len: usize) -> usize {
        self.values_per_word * packed_len
    }

    /// Packs rows: `x [rows, width]` to `packed [rows, packed_len]`. This function is for f32 and bf16 only: int8 rows
    /// also need scales, which a [`PackBuffer`] holds.
    pub fn pack(self, isa: &Isa, x: &[f32], width: usize, packed: &mut [u32]) {
        let layout = RowLayout { count: x.len() / width, stride: width, width };
        let function = PhantomData::<Identity>;
        let packed_stride = self.packed_len(width);
        isa.arch.dispatch(Pack {
            isa,
            format: self,
            function,
            x,
            layout,
            packed,
            packed_stride,
            scales: &mut [],
            scale_stride: 0,
        });
    }

    /// Whether a byte takes 16 bits.
    fn has_widened_bytes(self) -> bool {
        self.values_per_word == 2
    }

    /// Number of words of a packed group of `values` values, at most [`GROUP_VALUES`]. Only the last group of a row can
    /// have fewer values.
    pub fn packed_group_len(self, values: usize) -> usize {
        values.div_ceil(self.values_per_word)
    }
}

/// The number of groups in a row of `width` values.
pub fn groups(width: usize) -> usize {
    width.div_ceil(GROUP_VALUES)
}

/// The layout of rows of f32 values in memory.
#[derive(Clone, Copy)]
pub struct RowLayout {
    /// Number of rows.
    pub count: usize,
    /// Number of values from the start of one row to the start of the next.
    pub stride: usize,
    /// Number of values of each row that are used; the values after them, up to the stride, are ignored.
    pub width: usize,
}

/// Rows that are packed into words.
#[derive(Clone, Copy)]
pub struct PackedRows<'a> {
    /// Number of rows.
    pub count: usize,
    /// The packed words, `[rows, stride]`. The last row can be shorter than the stride, or unused words can follow it.
    pub packed: &'a [u32],
    /// Number of words from the start of one row to the start of the next.
    pub stride: usize,
    /// `[rows, groups]`: the value of one quantisation step in each group. Unused unless the precision is int8.
    pub scales: &'a [f32],
}

/// Memory for packed rows, kept from one use to the next.
#[derive(Default)]
pub struct PackBuffer {
    packed: Vec<u32>,
    scales: Vec<f32>,
}

impl PackBuffer {
    /// Packs rows. F32 rows are not copied: the result borrows `x`.
    pub fn pack<'a>(
        &'a mut self,
        isa: &Isa,
        format: PackFormat,
        x: &'a [f32],
        layout: RowLayout,
    ) -> PackedRows<'a> {
        let RowLayout { count, stride, width } = layout;
        if format.precision == Precision::F32 {
            return PackedRows { count, packed: bytemuck::cast_slice(x), stride, scales: &[] };
        }
        self.grow(format, count, width);
        self.pack_group(isa, format, Identity, x, layout, GroupColumns { first_group: 0, row_width: width });
        self.rows(format, count, width)
    }

    /// Allocates memory for `count` rows of `width` values, which [`PackBuffer::pack_group`] then packs.
    pub fn grow(&mut self, format: PackFormat, count: usize, width: usize) {
        grow(&mut self.packed, count * format.packed_len(width));
        if format.precision == Precision::Int8 {
            grow(&mut self.scales, count * groups(width));
        }
    }

    /// Applies a function to some columns of every row, and packs these columns. `x` contains only these columns;
    /// `columns` has the position of these columns in the whole row.
    pub fn pack_group<F: Function>(
        &mut self,
        isa: &Isa,
        format: PackFormat,
        _: F,
        x: &[f32],
        layout: RowLayout,
        columns: GroupColumns,
    ) {
        let GroupColumns { first_group, row_width } = columns;
        let (packed_stride, scale_stride) = (format.packed_len(row_width), groups(row_width));
        let packed = &mut self.packed[first_group * format.packed_group_len(GROUP_VALUES)..];
        let scales = self.scales.get_mut(first_group..).unwrap_or_default();
        isa.arch.dispatch(Pack {
            isa,
            format,
            function: PhantomData::<F>,
            x,
            layout,
            packed,
            packed_stride,
            scales,
            scale_stride,
        });
    }

    /// Returns the packed rows: `count` rows of `width` values.
    pub fn rows(&self, format: PackFormat, count: usize, width: usize) -> PackedRows<'_> {
        PackedRows { count, packed: &self.packed, stride: format.packed_len(width), scales: &self.scales }
    }
}

/// The position of some columns in a longer row.
#[derive(Clone, Copy)]
pub struct GroupColumns {
    /// Index of the group at which the columns start.
    pub first_group: usize,
    /// Number of values of the whole row.
    pub row_width: usize,
}

struct Pack<'a, F> {
    isa: &'a Isa,
    format: PackFormat,
    function: PhantomData<F>,
    x: &'a [f32],
    layout: RowLayout,
    packed: &'a mut [u32],
    packed_stride: usize,
    scales: &'a mut [f32],
    scale_stride: usize,
}

impl<F: Function> WithSimd for Pack<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pack { format, x, layout: RowLayout { count, stride, width }, packed, packed_stride, .. } = self;
        let mut activated = [0.0; GROUP_VALUES];
        for row in 0..count {
            let values = &x[row * stride..][..width];
            let packed = &mut packed[row * packed_stride..][..format.packed_len(width)];
            let groups =
                values.chunks(GROUP_VALUES).zip(packed.chunks_mut(format.packed_group_len(GROUP_VALUES)));
            for (group, (mut values, packed)) in groups.enumerate() {
                if !F::IS_IDENTITY {
                    let activated = &mut activated[..values.len()];
                    apply::<S, F>(simd, activated, values);
                    values = activated;
                }
                match format.precision {
                    Precision::F32 => packed.copy_from_slice(bytemuck::cast_slice(values)),
                    Precision::Bf16 => pack_bf16(self.isa, values, packed),
                    Precision::Int8 => {
                        let scale = pack_bytes(simd, self.isa, values, format, packed);
                        self.scales[row * self.scale_stride + group] = scale;
                    }
                }
            }
        }
    }
}

/// Packs one group as bf16 values, rounded to nearest, ties to even. If the number of values is odd, the upper half of
/// the last word is 0.
#[inline(always)]
fn pack_bf16(isa: &Isa, values: &[f32], packed: &mut [u32]) {
    let (halves, rest) = bytemuck::cast_slice_mut::<u32, u16>(packed).split_at_mut(values.len());
    rest.fill(0);
    isa.to_bf16(values, halves);
}

/// Packs one group as unsigned bytes. Returns the scale: the value of one quantisation step.
#[inline(always)]
fn pack_bytes<S: Simd>(simd: S, isa: &Isa, values: &[f32], format: PackFormat, packed: &mut [u32]) -> f32 {
    let (params, scale) = match format.range {
        ValueRange::Signed => {
            let largest = max_abs(simd, values);
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            (QuantParams { zero: 0.0, inverse, shift: 128.0 }, largest / 127.0)
        }
        ValueRange::Activated => {
            let span = max(simd, values, ACTIVATION_MIN) - ACTIVATION_MIN;
            let inverse = if span > 0.0 { 255.0 / span } else { 0.0 };
            (QuantParams { zero: ACTIVATION_MIN, inverse, shift: 0.0 }, span / 255.0)
        }
    };
    // The padding of the last word does not affect a product, because it is multiplied by weights of 0.
    if format.has_widened_bytes() {
        let mut bytes = [0; GROUP_VALUES];
        let bytes = &mut bytes[..values.len()];
        isa.to_bytes(values, params, bytes);
        let (widened, rest) = bytemuck::cast_slice_mut::<u32, u16>(packed).split_at_mut(values.len());
        rest.fill(0);
        widened.iter_mut().zip(bytes).for_each(|(widened, byte)| *widened = u16::from(*byte));
    } else {
        let (bytes, rest) = bytemuck::cast_slice_mut::<u32, u8>(packed).split_at_mut(values.len());
        rest.fill(0);
        isa.to_bytes(values, params, bytes);
    }
    scale
}

/// The scale and the sum of one group of quantised weights. [`super::linear`] needs them to correct the products.
pub struct QuantizedGroup {
    /// The value of one quantisation step.
    pub scale: f32,
    /// The sum of the group's bytes.
    pub sum: i32,
}

/// Quantises one group of a weight's column to signed bytes, -127 to 127, where the byte 0 stands for 0. If `packed`
/// has room for more bytes than there are values, the remaining bytes become 0.
pub fn pack_weights(format: PackFormat, values: &[f32], packed: &mut [u32]) -> QuantizedGroup {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let bytes = values.iter().map(|value| (value * inverse + ROUND_MAGIC).to_bits() as i8);
    let sum = bytes.clone().map(i32::from).sum();
    packed.fill(0);
    if format.has_widened_bytes() {
        let widened = bytemuck::cast_slice_mut::<u32, i16>(packed);
        widened.iter_mut().zip(bytes).for_each(|(widened, byte)| *widened = i16::from(byte));
    } else {
        let narrow = bytemuck::cast_slice_mut::<u32, i8>(packed);
        narrow.iter_mut().zip(bytes).for_each(|(narrow, byte)| *narrow = byte);
    }
    QuantizedGroup { scale: largest / 127.0, sum }
}
