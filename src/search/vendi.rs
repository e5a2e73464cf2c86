//! How many different things a list has: the Vendi Score.
//!
//! Its own file because it is a measure of one list, with no judgement and no other list beside it.

use likewise_index::dot;

/// Turns of all pairs after which what is left beside the diagonal is none: each squares its size, about.
const MOST_SWEEPS: usize = 30;

/// The Vendi Score of unit vectors (Friedman & Dieng 2023, definition 3.1): the exponential of the entropy of the
/// eigenvalues of their similarities over their number; from 1, where all are the same, to their number, where none is
/// like another. 0 of no vectors. It takes their number to the third.
pub fn vendi(vectors: &[&[f32]]) -> f32 {
    let count = vectors.len();
    let similarity = |row: usize, column: usize| f64::from(dot(vectors[row], vectors[column])) / count as f64;
    // Of equal vectors it is their share exactly, whatever their length was rounded to.
    let entry = |place: usize| match (place / count, place % count) {
        (row, column) if row == column => 1.0 / count as f64,
        (row, column) => similarity(row.min(column), row.max(column)),
    };
    let mut matrix: Vec<f64> = (0..count * count).map(entry).collect();
    let entropy = |value: f64| if value > 0.0 { -value * value.ln() } else { 0.0 };
    let entropy: f64 = eigenvalues(&mut matrix, count).map(entropy).sum();
    if count == 0 { 0.0 } else { entropy.exp() as f32 }
}

/// The eigenvalues of a symmetric matrix of `size` rows, which it takes apart: Jacobi's turns (Golub & Van Loan, Matrix
/// Computations, 4th edition, algorithm 8.5.2).
fn eigenvalues(matrix: &mut [f64], size: usize) -> impl Iterator<Item = f64> {
    for _ in 0..MOST_SWEEPS {
        let beside = |place: &usize| place / size != place % size;
        let left: f64 = (0..matrix.len()).filter(beside).map(|place| matrix[place].powi(2)).sum();
        if left < 1e-18 {
            break;
        }
        for row in 0..size {
            for column in row + 1..size {
                turn(matrix, size, row, column);
            }
        }
    }
    (0..size).map(move |place| matrix[place * size + place])
}

/// Turns two rows and their columns, so that nothing is left where they meet.
fn turn(matrix: &mut [f64], size: usize, p: usize, q: usize) {
    let beside = matrix[p * size + q];
    if beside.abs() < 1e-300 {
        return;
    }
    let half = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * beside);
    let tangent = half.signum() / (half.abs() + half.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let mut turned = |a: usize, b: usize| {
        let (first, second) = (matrix[a], matrix[b]);
        (matrix[a], matrix[b]) = (cosine * first - sine * second, sine * first + cosine * second);
    };
    for place in 0..size {
        turned(place * size + p, place * size + q);
    }
    for place in 0..size {
        turned(p * size + place, q * size + place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vectors: &[Vec<f32>]) -> f32 {
        vendi(&vectors.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn it_counts_what_is_different() {
        let unit = |place: usize| (0..8).map(|other| f32::from(u8::from(other == place))).collect::<Vec<_>>();
        assert_eq!(of(&[]), 0.0);
        assert!((of(&vec![unit(1); 5]) - 1.0).abs() < 1e-5);
        assert!((of(&(0..8).map(unit).collect::<Vec<_>>()) - 8.0).abs() < 1e-4);
        let twice: Vec<_> = (0..8).flat_map(|place| [unit(place), unit(place)]).collect();
        assert!((of(&twice) - 8.0).abs() < 1e-4, "{}", of(&twice));
    }

    /// Two vectors' eigenvalues are (1 ± cosine) / 2; those of three at 0, 45 and 90 degrees in a plane, and one out of it,
    /// are 2, 1, 0 and 1, over 4.
    #[test]
    fn it_is_what_the_formula_says() {
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
