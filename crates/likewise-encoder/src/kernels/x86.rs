//! Macros that define the micro-kernels of [`super::avx2`] and [`super::avx512`].
//!
//! The kernels of the two modules differ only in the size of a register and in the names of the instructions. These are
//! the parameters of the macros.

/// Defines `WIDTH`, the number of columns of a panel (two registers), and functions that load and store rows of that
/// width.
macro_rules! registers {
    (
        features: $features:literal, lanes: $lanes:literal, int: $int:ident, float: $float:ident,
        load: $load:ident, as_float: $as_float:ident, store: $store:ident
    ) => {
        /// Number of columns of a panel, which fill two registers.
        pub const WIDTH: usize = 2 * $lanes;

        /// How many words ahead a kernel prefetches a panel: 4 KiB.
        const PREFETCH_WORDS: usize = 1024;

        #[target_feature(enable = $features)]
        fn load(packed: &[u32]) -> [$int; 2] {
            let packed = &packed[..WIDTH];
            // SAFETY: `packed` has the `WIDTH` words that are read, and the load needs no alignment.
            unsafe { [$load(packed.as_ptr().cast()), $load(packed.as_ptr().add($lanes).cast())] }
        }

        /// Prefetches the words that a kernel loads [`PREFETCH_WORDS`] after `columns`. They can be words of the next
        /// panel: the panels of a weight follow each other in memory, and a short text reads all of them once.
        #[target_feature(enable = $features)]
        fn prefetch_after(columns: &[u32]) {
            for line in (0..WIDTH).step_by(16) {
                _mm_prefetch::<_MM_HINT_T0>(columns.as_ptr().wrapping_add(PREFETCH_WORDS + line).cast());
            }
        }

        #[target_feature(enable = $features)]
        fn load_f32(values: &[f32]) -> [$float; 2] {
            load(bytemuck::cast_slice(values)).map(|register| $as_float(register))
        }

        #[target_feature(enable = $features)]
        fn store(sums: [$float; 2], out: &mut [f32]) {
            let out = &mut out[..WIDTH];
            // SAFETY: `out` has the `WIDTH` values that are written, and the store needs no alignment.
            unsafe {
                $store(out.as_mut_ptr(), sums[0]);
                $store(out.as_mut_ptr().add($lanes), sums[1]);
            }
        }
    };
}

/// Defines an f32 or bf16 [`Kernel`](super::tile::Kernel). `$step(sum, x, weight)` multiplies one word of a row,
/// broadcast to a register, by a register of the panel's words, and adds the products to f32 sums.
macro_rules! tile {
    ($name:ident, $features:literal, $step:ident, $broadcast:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: &mut Tile) {
            let packed_len = tile.panel.len() / WIDTH;
            assert!(tile.x.len() >= (ROWS - 1) * tile.stride + packed_len);
            let mut sums = [load_f32(tile.bias); ROWS];
            for (word, columns) in tile.panel.chunks_exact(WIDTH).enumerate() {
                prefetch_after(columns);
                let columns = load(columns);
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: row < ROWS and word < packed_len, and the assertion above checks that `x` has that word.
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

/// Defines an [`Int8Kernel`](super::tile::Int8Kernel) for words of `$values_per_word` bytes. The sums of a group are integers; at the end of the group, these
/// sums are multiplied by the scales and added to f32 totals.
macro_rules! int8_tile {
    (
        $name:ident, $features:literal, $values_per_word:expr, $step:ident, $broadcast:ident,
        $broadcast_f32:ident, $to_f32:ident, $multiply:ident, $multiply_add:ident
    ) => {
        #[target_feature(enable = $features)]
        fn $name<const ROWS: usize>(tile: &mut Tile, scales: &Scales) {
            const GROUP_WORDS: usize = GROUP_VALUES / $values_per_word;
            let Scales { rows: row_scales, columns: column_scales, initial_sums } = scales;
            let packed_len = tile.panel.len() / WIDTH;
            let groups = packed_len.div_ceil(GROUP_WORDS);
            assert!(
                tile.x.len() >= (ROWS - 1) * tile.stride + packed_len && row_scales.len() >= ROWS * groups
            );
            let mut totals = [load_f32(tile.bias); ROWS];
            for (group, panel) in tile.panel.chunks(GROUP_WORDS * WIDTH).enumerate() {
                let mut sums = [load(bytemuck::cast_slice(&initial_sums[group * WIDTH..])); ROWS];
                for (word, columns) in panel.chunks_exact(WIDTH).enumerate() {
                    let columns = load(columns);
                    let word = group * GROUP_WORDS + word;
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: row < ROWS and word < packed_len, and the assertion above checks that `x` has that
                        // word.
                        let value = unsafe { *tile.x.get_unchecked(row * tile.stride + word) };
                        let value = $broadcast(value as i32);
                        sums[0] = $step(sums[0], value, columns[0]);
                        sums[1] = $step(sums[1], value, columns[1]);
                    }
                }
                let column_scales = load_f32(&column_scales[group * WIDTH..]);
                for (row, (totals, sums)) in totals.iter_mut().zip(sums).enumerate() {
                    let row_scale = $broadcast_f32(row_scales[row * groups + group]);
                    for ((total, sum), column_scale) in totals.iter_mut().zip(sums).zip(column_scales) {
                        *total = $multiply_add($to_f32(sum), $multiply(row_scale, column_scale), *total);
                    }
                }
            }
            for (totals, out) in totals.into_iter().zip(tile.out.chunks_mut(tile.out_stride)) {
                store(totals, out);
            }
        }
    };
}

/// Defines a [`Transpose`](super::tile::Transpose) function. It works on blocks of `$lanes` rows of `$lanes` words. First,
/// it transposes the squares of 4 by 4 words in the 128-bit parts of four registers. Then, `$join` joins the parts: part p
/// of its argument 4 * g + c has column 4 * p + c of the rows 4 * g to 4 * g + 3, and its results are the columns.
macro_rules! transpose {
    (
        $features:literal, $lanes:literal, $join:ident, load: $load:ident, store: $store:ident,
        low_32: $low_32:ident, high_32: $high_32:ident, low_64: $low_64:ident, high_64: $high_64:ident
    ) => {
        /// The [`Transpose`](super::tile::Transpose) function.
        #[target_feature(enable = $features)]
        pub fn transpose(rows: &[u32], stride: usize, count: usize, columns: &mut [u32]) {
            let words = columns.len() / WIDTH;
            assert!(count <= WIDTH && (count == 0 || rows.len() >= (count - 1) * stride + words));
            let (full_rows, full_words) = (count - count % $lanes, words - words % $lanes);
            for row in (0..full_rows).step_by($lanes) {
                for word in (0..full_words).step_by($lanes) {
                    // SAFETY: the rows row..row + lanes are below `count`, and the words word..word + lanes below
                    // `words`. The assertion above checks that `rows` has them, and `columns` has `words` rows of WIDTH
                    // columns, with count <= WIDTH. Neither the loads nor the stores need alignment.
                    unsafe {
                        let from = rows.as_ptr().add(row * stride + word);
                        let to = columns.as_mut_ptr().add(word * WIDTH + row);
                        let mut parts: [_; $lanes] =
                            std::array::from_fn(|row| $load(from.add(row * stride).cast()));
                        for four in parts.as_chunks_mut::<4>().0 {
                            let [a, b, c, d] = *four;
                            let (low_ab, high_ab) = ($low_32(a, b), $high_32(a, b));
                            let (low_cd, high_cd) = ($low_32(c, d), $high_32(c, d));
                            *four = [
                                $low_64(low_ab, low_cd),
                                $high_64(low_ab, low_cd),
                                $low_64(high_ab, high_cd),
                                $high_64(high_ab, high_cd),
                            ];
                        }
                        for (word, column) in $join(parts).into_iter().enumerate() {
                            $store(to.add(word * WIDTH).cast(), column);
                        }
                    }
                }
            }
            transpose_rest(rows, stride, full_rows..count, 0, columns, WIDTH);
            if full_words < words {
                transpose_rest(rows, stride, 0..full_rows, full_words, columns, WIDTH);
            }
        }
    };
}

pub(super) use {int8_tile, registers, tile, transpose};
