//! The micro-kernels of the x86 levels, as macros over a level's registers and instructions.
//!
//! Its own file because [`super::avx512`] and [`super::avx2`] differ only in what a register holds and
//! what a step of a sum is called. The `unsafe` blocks stand here, and are expanded there.

/// Defines `WIDTH`, the columns of a panel of two registers, and how a panel is read and written.
macro_rules! registers {
    (
        features: $features:literal, lanes: $lanes:literal, int: $int:ident, float: $float:ident,
        load: $load:ident, as_float: $as_float:ident, store: $store:ident
    ) => {
        /// Columns of a panel: two registers.
        pub const WIDTH: usize = 2 * $lanes;

        #[target_feature(enable = $features)]
        fn load(words: &[u32]) -> [$int; 2] {
            let words = &words[..WIDTH];
            // SAFETY: `words` has the words that are read, and the load needs no alignment.
            unsafe { [$load(words.as_ptr().cast()), $load(words.as_ptr().add($lanes).cast())] }
        }

        #[target_feature(enable = $features)]
        fn load_f32(values: &[f32]) -> [$float; 2] {
            load(bytemuck::cast_slice(values)).map(|register| $as_float(register))
        }

        #[target_feature(enable = $features)]
        fn store(sums: [$float; 2], out: &mut [f32]) {
            let out = &mut out[..WIDTH];
            // SAFETY: `out` has room for the values that are written, and the store needs no alignment.
            unsafe {
                $store(out.as_mut_ptr(), sums[0]);
                $store(out.as_mut_ptr().add($lanes), sums[1]);
            }
        }
    };
}

/// Defines a tile kernel. The step multiplies a register of one word of a row by a register of the panel's
/// words, and adds to f32 sums.
macro_rules! tile {
    ($name:ident, $features:literal, $step:ident, $broadcast:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: &mut Tile) {
            let words = tile.panel.len() / WIDTH;
            assert!(tile.x.len() >= (ROWS - 1) * tile.stride + words);
            let mut sums = [load_f32(tile.bias); ROWS];
            for (word, columns) in tile.panel.chunks_exact(WIDTH).enumerate() {
                let columns = load(columns);
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: row < ROWS and word < words, for which `x` was asserted to be long enough.
                    let value = $broadcast(unsafe { *tile.x.get_unchecked(row * tile.stride + word) } as i32);
                    sums[0] = $step(sums[0], value, columns[0]);
                    sums[1] = $step(sums[1], value, columns[1]);
                }
            }
            for (sums, out) in sums.into_iter().zip(tile.out.chunks_mut(tile.out_stride)) {
                store(sums, out);
            }
        }
    };
}

/// The same for bytes: sums of a group are whole numbers, scaled and added up when the group ends.
macro_rules! int8_tile {
    (
        $name:ident, $features:literal, $step:ident, $broadcast:ident,
        $broadcast_f32:ident, $to_f32:ident, $multiply:ident, $multiply_add:ident
    ) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: &mut Tile, scales: &Scales) {
            let Scales { rows: row_scales, columns: scales, starts } = scales;
            let words = tile.panel.len() / WIDTH;
            let groups = words.div_ceil(GROUP_WORDS);
            assert!(tile.x.len() >= (ROWS - 1) * tile.stride + words && row_scales.len() >= ROWS * groups);
            let mut totals = [load_f32(tile.bias); ROWS];
            for (group, panel) in tile.panel.chunks(GROUP_WORDS * WIDTH).enumerate() {
                let mut sums = [load(bytemuck::cast_slice(&starts[group * WIDTH..])); ROWS];
                for (word, columns) in panel.chunks_exact(WIDTH).enumerate() {
                    let columns = load(columns);
                    let word = group * GROUP_WORDS + word;
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: row < ROWS and word < words, for which `x` was asserted to be long enough.
                        let value = unsafe { *tile.x.get_unchecked(row * tile.stride + word) };
                        let value = $broadcast(value as i32);
                        sums[0] = $step(sums[0], value, columns[0]);
                        sums[1] = $step(sums[1], value, columns[1]);
                    }
                }
                let scales = load_f32(&scales[group * WIDTH..]);
                for (row, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                    let row_scale = $broadcast_f32(row_scales[row * groups + group]);
                    for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
                        *total = $multiply_add($to_f32(sum), $multiply(row_scale, scale), *total);
                    }
                }
            }
            for (totals, out) in totals.into_iter().zip(tile.out.chunks_mut(tile.out_stride)) {
                store(totals, out);
            }
        }
    };
}

pub(super) use {int8_tile, registers, tile};
