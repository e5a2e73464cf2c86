//! The dot product of two `f32` vectors, with the widest SIMD instructions of the CPU.
//!
//! For unit vectors, the dot product is the cosine, so a higher value means nearer vectors.

use pulp::{Simd, WithSimd};

/// Number of independent sums. With several sums, the CPU need not wait for one addition before it starts the next.
const ACCUMULATORS: usize = 4;

/// Returns `Σ a[i] b[i]`, for slices of equal length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(Dot { a, b })
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(self.a), S::as_simd_f32s(self.b));
        let ((a, a_left), (b, b_left)) = (a.as_chunks::<ACCUMULATORS>(), b.as_chunks::<ACCUMULATORS>());
        let mut sums = [simd.splat_f32s(0.0); ACCUMULATORS];
        for (a, b) in a.iter().zip(b) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum = simd.mul_add_e_f32s(*a, *b, *sum);
            }
        }
        for (a, b) in a_left.iter().zip(b_left) {
            sums[0] = simd.mul_add_e_f32s(*a, *b, sums[0]);
        }
        let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
        simd.reduce_sum_f32s(sum) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dot_equals_the_sum_of_products(pairs in proptest::collection::vec((-2f32..2.0, -2f32..2.0), 0..300)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let expected: f64 = pairs.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - expected).abs() < 1e-3);
        }
    }
}
