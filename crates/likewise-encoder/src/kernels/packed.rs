//! Packs rows of f32 values into rows of the 32-bit words that the micro-kernels read.
//!
//! A word holds one f32, two bf16 values or four bytes, in the order of the values, the first in the lowest bits.
//! Weights and activations are both packed here, because their formats must agree. A row is cut into groups of 128
//! values, which are packed independently, so that the feed-forward kernel can pack a group as soon as it is computed.

use super::functions::{Function, Identity, ROUND_MAGIC};
use super::grow;
use super::isa::Isa;
use super::rows::{apply, max, max_abs};
use super::tile::{GROUP_WORDS, QuantParams};
use crate::model::Precision;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// Values in a group: 128. The bytes of a group share one scale.
pub const GROUP_VALUES: usize = 4 * GROUP_WORDS;

/// A bound just below the minimum of the activation functions that use [`ValueRange::Activated`]: GELU's minimum is
/// -0.16997, that of its tanh form -0.17004, that of ReLU 0.
pub const ACTIVATION_MIN: f32 = -0.1701;

/// The values that a row may contain. It matters for int8 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRange {
    /// Any values. The byte 128 stands for 0.
    Signed,
    /// Values of at least [`ACTIVATION_MIN`], for which the byte 0 stands, so that no byte is spent on lower values.
    Activated,
}

/// How values are packed into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFormat {
    /// The type that a value is rounded to.
    pub precision: Precision,
    /// The values that may occur.
    pub range: ValueRange,
}

impl PackFormat {
    /// Words of a packed row of `width` values.
    pub fn packed_len(self, width: usize) -> usize {
        width / GROUP_VALUES * self.packed_group_len(GROUP_VALUES)
            + self.packed_group_len(width % GROUP_VALUES)
    }

    /// The most values that `packed_len` words can hold.
    pub fn capacity(self, packed_len: usize) -> usize {
        match self.precision {
            Precision::F32 => packed_len,
            Precision::Bf16 => 2 * packed_len,
            Precision::Int8 => 4 * packed_len,
        }
    }

    /// Packs rows: `x [rows, width]` to `packed [rows, packed_len]`. For f32 and bf16 only: int8 rows also need scales,
    /// which a [`PackBuffer`] holds.
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

    /// Words of a packed group of `values` values: 1 to [`GROUP_VALUES`]. Only the last group of a row may be shorter.
    pub fn packed_group_len(self, values: usize) -> usize {
        match self.precision {
            Precision::F32 => values,
            Precision::Bf16 => values.div_ceil(2),
            Precision::Int8 => values.div_ceil(4),
        }
    }
}

/// The number of groups in a row of `width` values.
pub fn groups(width: usize) -> usize {
    width.div_ceil(GROUP_VALUES)
}

/// How rows of f32 values lie in memory.
#[derive(Clone, Copy)]
pub struct RowLayout {
    /// Number of rows.
    pub count: usize,
    /// Values from the start of one row to the start of the next.
    pub stride: usize,
    /// Values of a row that are used.
    pub width: usize,
}

/// Packed rows.
#[derive(Clone, Copy)]
pub struct PackedRows<'a> {
    /// Number of rows.
    pub count: usize,
    /// `[rows, stride]`. The last row may be shorter than the stride.
    pub packed: &'a [u32],
    /// Words from the start of one row to the start of the next.
    pub stride: usize,
    /// `[rows, groups]`: the value of one quantisation step. Unused unless the precision is int8.
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

    /// Applies a function to some columns of every row and packs them. `x` holds those columns only; `columns` says
    /// where they belong in the row.
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

    /// The packed rows: `count` rows of `width` values.
    pub fn rows(&self, format: PackFormat, count: usize, width: usize) -> PackedRows<'_> {
        PackedRows { count, packed: &self.packed, stride: format.packed_len(width), scales: &self.scales }
    }
}

/// The position of some columns in a longer row.
#[derive(Clone, Copy)]
pub struct GroupColumns {
    /// Index of the group that the columns start at.
    pub first_group: usize,
    /// Values of the whole row.
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
                        let scale = pack_bytes(simd, self.isa, values, format.range, packed);
                        self.scales[row * self.scale_stride + group] = scale;
                    }
                }
            }
        }
    }
}

/// Packs one group as bf16 values, rounded to nearest, ties to even; an odd last word is filled up with 0.
#[inline(always)]
fn pack_bf16(isa: &Isa, values: &[f32], packed: &mut [u32]) {
    let (halves, rest) = bytemuck::cast_slice_mut::<u32, u16>(packed).split_at_mut(values.len());
    rest.fill(0);
    isa.to_bf16(values, halves);
}

/// Packs one group as unsigned bytes. Returns the scale: the value of one quantisation step.
#[inline(always)]
fn pack_bytes<S: Simd>(simd: S, isa: &Isa, values: &[f32], range: ValueRange, packed: &mut [u32]) -> f32 {
    let (bytes, rest) = bytemuck::cast_slice_mut::<u32, u8>(packed).split_at_mut(values.len());
    // The padding of the last word is multiplied by weights of 0.
    rest.fill(0);
    match range {
        ValueRange::Signed => {
            let largest = max_abs(simd, values);
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            isa.to_bytes(values, QuantParams { zero: 0.0, inverse, shift: 128.0 }, bytes);
            largest / 127.0
        }
        ValueRange::Activated => {
            let span = max(simd, values, ACTIVATION_MIN) - ACTIVATION_MIN;
            let inverse = if span > 0.0 { 255.0 / span } else { 0.0 };
            isa.to_bytes(values, QuantParams { zero: ACTIVATION_MIN, inverse, shift: 0.0 }, bytes);
            span / 255.0
        }
    }
}

/// What the driver needs to know of a group of quantised weights.
pub struct QuantizedGroup {
    /// The value of one quantisation step.
    pub scale: f32,
    /// The sum of the group's bytes.
    pub sum: i32,
}

/// Quantises one group of a weight's column to signed bytes, -127 to 127, symmetric around 0; bytes beyond the values
/// become 0.
pub fn pack_weights(values: &[f32], packed: &mut [u32]) -> QuantizedGroup {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let bytes = bytemuck::cast_slice_mut::<u32, i8>(packed);
    bytes.fill(0);
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = (value * inverse + ROUND_MAGIC).to_bits() as i8;
    }
    QuantizedGroup { scale: largest / 127.0, sum: bytes.iter().map(|byte| i32::from(*byte)).sum() }
}
