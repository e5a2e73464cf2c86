//! Matrix multiplication by a fixed weight, packed once at load for the registers of this machine.
//!
//! Its own file because it is where encoding spends its time. The scheme is Goto's (Goto & van de
//! Geijn, Anatomy of High-Performance Matrix Multiplication): the weight is cut into panels two
//! registers wide, a block of rows is packed so that the inner loop reads both in order, and a tile of
//! results stays in registers while it walks the inner dimension. Loads, multiplications and stores
//! are `pulp`'s, so one text serves AVX-512, AVX2, NEON and plain code without `unsafe`.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Registers in a panel's width.
const REGISTERS: usize = 2;

/// Rows that are packed at once; their panel-wise product keeps the weight's panel in cache.
const BLOCK_ROWS: usize = 168;

/// A weight of `[inputs, outputs]`, packed for multiplying rows by it.
pub struct PackedWeight {
    inputs: usize,
    outputs: usize,
    /// Columns of a panel.
    width: usize,
    /// `[panels, inputs, width]`, zeros to the right of the last column.
    panels: Vec<f32>,
}

impl PackedWeight {
    /// Packs a weight as checkpoints have it, `[outputs, inputs]`.
    pub fn new(weight: &Tensor) -> Result<PackedWeight> {
        let (outputs, inputs) = weight.dims2()?;
        let columns = weight.to_vec2::<f32>()?;
        let width = pulp::Arch::new().dispatch(PanelWidth);
        let mut panels = vec![0.0; outputs.div_ceil(width) * inputs * width];
        for (output, column) in columns.iter().enumerate() {
            let start = output / width * inputs * width + output % width;
            for (slot, value) in panels[start..].iter_mut().step_by(width).zip(column) {
                *slot = *value;
            }
        }
        Ok(PackedWeight { inputs, outputs, width, panels })
    }

    /// `x [rows, inputs]` times the weight: `[rows, outputs]`.
    pub fn multiply(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for PackedWeight {
    fn name(&self) -> &'static str {
        "packed-matmul"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, _) = layout.shape().dims2()?;
        let mut out = vec![0.0; rows * self.outputs];
        // One share of the rows a thread; an encoder's worker has one thread, and gets them all.
        let share = rows.div_ceil(rayon::current_num_threads()).max(1);
        super::slice(x, layout)?
            .par_chunks(share * self.inputs)
            .zip(out.par_chunks_mut(share * self.outputs))
            .for_each(|(x, out)| pulp::Arch::new().dispatch(Multiply { weight: self, x, out }));
        Ok((CpuStorage::F32(out), Shape::from((rows, self.outputs))))
    }
}

/// The width of a panel on this machine, in columns.
struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        REGISTERS * S::F32_LANES
    }
}

struct Multiply<'a> {
    weight: &'a PackedWeight,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    /// Rows in a tile: as many as the registers hold, beside the panel's and one of `x`.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.blocks::<S, 14>(simd),
            8 => self.blocks::<S, 6>(simd),
            _ => self.blocks::<S, 4>(simd),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const ROWS: usize>(self, simd: S) {
        let PackedWeight { inputs, outputs, .. } = *self.weight;
        let mut packed = Vec::new();
        let rows = self.x.chunks(BLOCK_ROWS * inputs).zip(self.out.chunks_mut(BLOCK_ROWS * outputs));
        for (x, out) in rows {
            pack_rows::<ROWS>(x, inputs, &mut packed);
            for (index, panel) in self.weight.panels.chunks_exact(inputs * self.weight.width).enumerate() {
                let column = index * self.weight.width;
                let tiles = packed.chunks_exact(inputs).zip(out.chunks_mut(ROWS * outputs));
                for (tile, out) in tiles {
                    let sums = tile_product::<S, ROWS>(simd, tile, panel);
                    store::<S, ROWS>(&sums, out, outputs, column);
                }
            }
        }
    }
}

/// Packs rows into tiles of `ROWS`, column by column: `[tiles][inputs][ROWS]`, zeros below the last row.
#[inline(always)]
fn pack_rows<const ROWS: usize>(x: &[f32], inputs: usize, packed: &mut Vec<[f32; ROWS]>) {
    packed.clear();
    packed.resize((x.len() / inputs).div_ceil(ROWS) * inputs, [0.0; ROWS]);
    for (tile, rows) in packed.chunks_exact_mut(inputs).zip(x.chunks(ROWS * inputs)) {
        for (row, values) in rows.chunks_exact(inputs).enumerate() {
            for (column, value) in tile.iter_mut().zip(values) {
                column[row] = *value;
            }
        }
    }
}

/// One tile: `ROWS` rows by one panel, summed over the inner dimension in registers.
#[inline(always)]
fn tile_product<S: Simd, const ROWS: usize>(
    simd: S,
    tile: &[[f32; ROWS]],
    panel: &[f32],
) -> [[S::f32s; REGISTERS]; ROWS] {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<REGISTERS>();
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    for (column, panel) in tile.iter().zip(panel) {
        for (sum, value) in sums.iter_mut().zip(column) {
            let value = simd.splat_f32s(*value);
            for (sum, weight) in sum.iter_mut().zip(panel) {
                *sum = simd.mul_add_e_f32s(value, *weight, *sum);
            }
        }
    }
    sums
}

/// Writes a tile at `column` of the rows of `out`; what would lie past the last row or column is
/// padding and dropped.
#[inline(always)]
fn store<S: Simd, const ROWS: usize>(
    sums: &[[S::f32s; REGISTERS]; ROWS],
    out: &mut [f32],
    outputs: usize,
    column: usize,
) {
    for (sums, row) in sums.iter().zip(out.chunks_exact_mut(outputs)) {
        let sums: &[f32] = bytemuck::cast_slice(sums);
        let kept = sums.len().min(outputs - column);
        row[column..column + kept].copy_from_slice(&sums[..kept]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, tensor};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn packed_products_equal_candles(
            rows in 1_usize..200, inputs in 1_usize..70, outputs in 1_usize..100, seed in any::<u64>(),
        ) {
            let (x, weight) = (tensor(&[rows, inputs], seed), tensor(&[outputs, inputs], seed ^ 1));
            let fast = PackedWeight::new(&weight).unwrap().multiply(&x).unwrap();
            let obvious = x.matmul(&weight.t().unwrap()).unwrap();
            assert_close(&fast, &obvious, 1e-3);
        }
    }
}
