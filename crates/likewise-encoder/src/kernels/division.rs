//! The division of a layer's products between threads.

/// Maximum number of rows of a block. With this number, the intermediate rows of a feed-forward block stay in the core's
/// cache.
const MAX_BLOCK_ROWS: usize = 168;

/// Minimum size of a weight whose columns are divided, in bytes. The cores' caches hold smaller weights, and then the
/// threads would lose more time by waiting for each other than they gain.
const MIN_COLUMN_DIVISION_BYTES: usize = 1 << 20;

/// Maximum number of rows per thread for a division of the columns. With more rows, the products take longer than reading
/// the weight.
const MAX_ROWS_PER_THREAD: usize = 10;

/// How the threads of the current rayon pool divide the products of some rows with a weight.
///
/// Usually, each thread multiplies some rows by the whole weight. For a short text, reading the weight takes most of the
/// time. Therefore, each thread then multiplies all rows by some of the weight's columns, and reads only these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Number of rows of a block. The blocks can be computed in parallel.
    pub block_rows: usize,
    /// Number of parts into which the weight's columns are divided. The parts are computed in parallel if there are
    /// several; then there is only one block.
    pub column_parts: usize,
}

impl Division {
    /// Chooses the division of `rows` rows between the threads of the current rayon pool. `weight_bytes` is the size of
    /// the weight, or of the largest weight if the rows are multiplied by several.
    pub fn new(rows: usize, weight_bytes: usize) -> Division {
        Division::between(rayon::current_num_threads(), rows, weight_bytes)
    }

    fn between(threads: usize, rows: usize, weight_bytes: usize) -> Division {
        if rows <= MAX_ROWS_PER_THREAD * threads && weight_bytes >= MIN_COLUMN_DIVISION_BYTES {
            return Division { block_rows: rows.max(1), column_parts: threads };
        }
        Division { block_rows: rows.div_ceil(threads).clamp(1, MAX_BLOCK_ROWS), column_parts: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_divide_the_columns_of_a_large_weight_for_a_short_text_and_else_the_rows() {
        let large = MIN_COLUMN_DIVISION_BYTES;
        assert_eq!(Division::between(2, 20, large), Division { block_rows: 20, column_parts: 2 });
        assert_eq!(Division::between(2, 21, large), Division { block_rows: 11, column_parts: 1 });
        assert_eq!(Division::between(2, 20, large - 1), Division { block_rows: 10, column_parts: 1 });
        assert_eq!(Division::between(1, 10, large), Division { block_rows: 10, column_parts: 1 });
        assert_eq!(Division::between(2, 1000, large), Division { block_rows: 168, column_parts: 1 });
        assert_eq!(Division::between(2, 0, 0), Division { block_rows: 1, column_parts: 1 });
    }
}
