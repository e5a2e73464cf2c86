//! The Vendi Score: the effective number of different items in a list.

use likewise_index::dot;

/// Maximum number of sweeps of Jacobi rotations. Each sweep roughly squares the size of the off-diagonal values, so far
/// fewer sweeps are enough in practice.
const MAX_SWEEPS: usize = 30;

/// The Vendi Score of n unit vectors (Friedman & Dieng 2023, definition 3.1): the exponential of the entropy of the
/// eigenvalues of the similarity matrix divided by n. The score ranges from 1 (all vectors equal) to n (all vectors
/// orthogonal), and is 0 for no vectors. Takes O(n³).
pub fn vendi(vectors: &[&[f32]]) -> f32 {
    let count = vectors.len();
    let similarity = |row: usize, column: usize| f64::from(dot(vectors[row], vectors[column])) / count as f64;
    // The diagonal is set to its exact value, because rounding leaves the vectors' lengths slightly different from 1.
    let entry = |index: usize| match (index / count, index % count) {
        (row, column) if row == column => 1.0 / count as f64,
        (row, column) => similarity(row.min(column), row.max(column)),
    };
    let mut matrix: Vec<f64> = (0..count * count).map(entry).collect();
    let entropy = |value: f64| if value > 0.0 { -value * value.ln() } else { 0.0 };
    let entropy: f64 = eigenvalues(&mut matrix, count).map(entropy).sum();
    if count == 0 { 0.0 } else { entropy.exp() as f32 }
}

/// Computes the eigenvalues of a symmetric matrix of `size` rows by the cyclic Jacobi method (Golub & Van Loan, Matrix
/// Computations, 4th edition, algorithm 8.5.2). The matrix is overwritten.
fn eigenvalues(matrix: &mut [f64], size: usize) -> impl Iterator<Item = f64> {
    for _ in 0..MAX_SWEEPS {
        let is_off_diagonal = |index: &usize| index / size != index % size;
        let rest: f64 = (0..matrix.len()).filter(is_off_diagonal).map(|index| matrix[index].powi(2)).sum();
        if rest < 1e-18 {
            break;
        }
        for row in 0..size {
            for column in row + 1..size {
                rotate(matrix, size, row, column);
            }
        }
    }
    (0..size).map(move |index| matrix[index * size + index])
}

/// Rotates rows and columns `p` and `q` so that the value in row `p` and column `q` becomes 0.
fn rotate(matrix: &mut [f64], size: usize, p: usize, q: usize) {
    let crossing = matrix[p * size + q];
    if crossing.abs() < 1e-300 {
        return;
    }
    let half = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * crossing);
    let tangent = half.signum() / (half.abs() + half.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let mut rotate_pair = |a: usize, b: usize| {
        let (first, second) = (matrix[a], matrix[b]);
        (matrix[a], matrix[b]) = (cosine * first - sine * second, sine * first + cosine * second);
    };
    for row in 0..size {
        rotate_pair(row * size + p, row * size + q);
    }
    for column in 0..size {
        rotate_pair(p * size + column, q * size + column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vectors: &[Vec<f32>]) -> f32 {
        vendi(&vectors.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn score_is_the_number_of_different_vectors() {
        let axis = |axis: usize| (0..8).map(|index| f32::from(u8::from(index == axis))).collect::<Vec<_>>();
        assert_eq!(of(&[]), 0.0);
        assert!((of(&vec![axis(1); 5]) - 1.0).abs() < 1e-5);
        assert!((of(&(0..8).map(axis).collect::<Vec<_>>()) - 8.0).abs() < 1e-4);
        let twice: Vec<_> = (0..8).flat_map(|index| [axis(index), axis(index)]).collect();
        assert!((of(&twice) - 8.0).abs() < 1e-4, "{}", of(&twice));
    }

    /// The eigenvalues for two vectors are (1 ± cosine) / 2. For three vectors at 0, 45 and 90 degrees in a plane and a
    /// fourth vector orthogonal to the plane, the eigenvalues are 2, 1, 0 and 1, divided by 4.
    #[test]
    fn score_matches_known_eigenvalues() {
        for cosine in [0.0_f32, 0.3, 0.9, -0.5] {
            let pair = of(&[vec![1.0, 0.0], vec![cosine, (1.0 - cosine * cosine).sqrt()]]);
            let share = |sign: f32| (1.0 + sign * cosine) / 2.0;
            let entropy = -[1.0, -1.0].map(|sign| share(sign) * share(sign).ln()).iter().sum::<f32>();
            assert!((pair - entropy.exp()).abs() < 1e-4, "{cosine}: {pair}");
        }
        let half = 0.5_f32.sqrt();
        let four = [vec![1.0, 0.0, 0.0], vec![half, half, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        assert!((of(&four) - 8.0_f32.sqrt()).abs() < 1e-3, "{}", of(&four));
    }
}
