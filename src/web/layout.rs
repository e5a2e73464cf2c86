//! Arranges vectors around a query in the plane, for the map of results.
//!
//! The layout is deterministic: the same vectors always get the same points, so a link to a map shows the same map.

use likewise_index::dot;

/// A point of the map. The query is at (0, 0), and every point is within the unit circle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Horizontal coordinate; larger values are further to the right.
    pub x: f32,
    /// Vertical coordinate; larger values are further down.
    pub y: f32,
}

/// Minimum distance of a point from the query, before points are pushed apart.
const MIN_RADIUS: f32 = 0.2;

/// Distance below which two points are pushed apart.
const MIN_DISTANCE: f32 = 0.105;

/// Number of rounds in which points are pushed apart.
const PUSH_ROUNDS: usize = 120;

/// Number of iterations of the power method for one axis.
const POWER_ITERATIONS: usize = 80;

/// Returns a point for each vector. The query and the vectors must have length 1. The more similar a vector is to the
/// query, the closer its point is to the middle. Vectors that differ from the query in a similar way get points in a
/// similar direction.
///
/// The direction of a point comes from the component of the vector that is orthogonal to the query, projected on the
/// two principal axes of all these components (Torgerson 1952, classical scaling). The distance of a point from the
/// middle is the mean of two values: one from the similarity, scaled to the range of all similarities, and one from the
/// rank of the similarity.
pub fn radial_layout(query: &[f32], vectors: &[Vec<f32>]) -> Vec<Point> {
    let scores: Vec<f32> = vectors.iter().map(|vector| dot(query, vector)).collect();
    let orthogonal: Vec<Vec<f32>> =
        vectors.iter().zip(&scores).map(|(vector, score)| orthogonal_part(query, vector, *score)).collect();
    let axes = principal_axes(&orthogonal);
    let radii = radii(&scores);
    let mut points: Vec<Point> = (0..vectors.len())
        .map(|index| {
            let angle = axes[1][index].atan2(axes[0][index]);
            Point { x: radii[index] * angle.cos(), y: radii[index] * angle.sin() }
        })
        .collect();
    push_apart(&mut points, &radii);
    points
}

/// The component of a vector that is orthogonal to the query, scaled to length 1.
fn orthogonal_part(query: &[f32], vector: &[f32], score: f32) -> Vec<f32> {
    let mut part: Vec<f32> = vector.iter().zip(query).map(|(value, along)| value - score * along).collect();
    let length = dot(&part, &part).sqrt().max(f32::MIN_POSITIVE);
    part.iter_mut().for_each(|value| *value /= length);
    part
}

/// The distance of each point from the middle, [`MIN_RADIUS`] to 1.
fn radii(scores: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let (Some(best), Some(worst)) = (order.first(), order.last()) else { return Vec::new() };
    let (best, span) = (scores[*best], (scores[*best] - scores[*worst]).max(f32::MIN_POSITIVE));
    let mut radii = vec![0.0; scores.len()];
    for (rank, index) in order.into_iter().enumerate() {
        let by_score = (best - scores[index]) / span;
        // The square root spreads the points evenly over the area of the circle.
        let by_rank = ((rank + 1) as f32 / scores.len() as f32).sqrt();
        radii[index] = MIN_RADIUS + (1.0 - MIN_RADIUS) * (by_score + by_rank) / 2.0;
    }
    radii
}

/// Returns the coordinates of the vectors on their two principal axes, which are the first two eigenvectors of the
/// centred Gram matrix. The eigenvectors are computed by power iteration.
fn principal_axes(vectors: &[Vec<f32>]) -> [Vec<f32>; 2] {
    let count = vectors.len();
    let mut products: Vec<Vec<f32>> =
        vectors.iter().map(|one| vectors.iter().map(|other| dot(one, other)).collect()).collect();
    let means: Vec<f32> = products.iter().map(|row| row.iter().sum::<f32>() / count.max(1) as f32).collect();
    let mean = means.iter().sum::<f32>() / count.max(1) as f32;
    for (row, row_mean) in products.iter_mut().zip(&means) {
        row.iter_mut().zip(&means).for_each(|(value, column)| *value += mean - row_mean - column);
    }
    let first = axis(&products, None);
    let second = axis(&products, Some(&first));
    [first, second]
}

/// Returns the eigenvector with the largest eigenvalue, scaled by the square root of this eigenvalue. If
/// `orthogonal_to` is given, considers only eigenvectors that are orthogonal to it.
fn axis(products: &[Vec<f32>], orthogonal_to: Option<&[f32]>) -> Vec<f32> {
    // A fixed start vector, so that the layout is deterministic; it is unlikely to be orthogonal to the eigenvector.
    let mut axis: Vec<f32> = (0..products.len()).map(|index| 1.0 + (index as f32 * 0.7).sin()).collect();
    let mut eigenvalue = 0.0;
    for _ in 0..POWER_ITERATIONS {
        let mut next: Vec<f32> = products.iter().map(|row| dot(row, &axis)).collect();
        if let Some(other) = orthogonal_to {
            let along = dot(&next, other) / dot(other, other).max(f32::MIN_POSITIVE);
            next.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let length = dot(&next, &next).sqrt();
        if length < 1e-12 {
            return next;
        }
        axis = next.into_iter().map(|value| value / length).collect();
        eigenvalue = length;
    }
    // Scale the axis, so that vectors that differ only along one axis are not spread along both axes.
    let scale = f32::sqrt(eigenvalue);
    axis.into_iter().map(|value| value * scale).collect()
}

/// Pushes two points apart if their distance is below [`MIN_DISTANCE`], a little in each round. The distance of a point
/// from the middle stays within half of [`MIN_DISTANCE`] of the point's value in `radii`.
fn push_apart(points: &mut [Point], radii: &[f32]) {
    for _ in 0..PUSH_ROUNDS {
        for one in 0..points.len() {
            for other in 0..one {
                let (dx, dy) = (points[one].x - points[other].x, points[one].y - points[other].y);
                let distance = dx.hypot(dy);
                if distance >= MIN_DISTANCE {
                    continue;
                }
                // Points on the same spot have no direction; they are pushed apart horizontally.
                let (ux, uy) = if distance > 1e-6 { (dx / distance, dy / distance) } else { (1.0, 0.0) };
                let push = (MIN_DISTANCE - distance) / 4.0;
                points[one].x += ux * push;
                points[one].y += uy * push;
                points[other].x -= ux * push;
                points[other].y -= uy * push;
            }
        }
        for (point, radius) in points.iter_mut().zip(radii) {
            let now = point.x.hypot(point.y).max(1e-6);
            let allowed = now.clamp(radius - MIN_DISTANCE / 2.0, (radius + MIN_DISTANCE / 2.0).min(1.0));
            point.x *= allowed / now;
            point.y *= allowed / now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(values: &[f32]) -> Vec<f32> {
        let length = dot(values, values).sqrt();
        values.iter().map(|value| value / length).collect()
    }

    #[test]
    fn similar_vectors_are_close_and_groups_are_apart() {
        let query = unit(&[1.0, 0.0, 0.0]);
        // Two groups on opposite sides of the query, each with vectors at four distances.
        let side = |sign: f32, far: f32| unit(&[1.0, sign * far, 0.01 * far]);
        let vectors: Vec<Vec<f32>> =
            [0.2, 0.4, 0.6, 0.8].iter().flat_map(|far| [side(1.0, *far), side(-1.0, *far)]).collect();
        let points = radial_layout(&query, &vectors);
        let radius = |point: &Point| point.x.hypot(point.y);
        for group in [0, 1] {
            assert!(radius(&points[group]) + MIN_DISTANCE < radius(&points[6 + group]), "{points:?}");
        }
        for left in (0..8).step_by(2) {
            let (one, other) = (points[left], points[left + 1]);
            assert!(one.x * other.x + one.y * other.y < 0.0, "{points:?}");
        }
        assert_eq!(points, radial_layout(&query, &vectors), "the layout is deterministic");
    }

    #[test]
    fn points_are_within_the_circle_and_apart() {
        let query = unit(&[1.0, 1.0, 1.0, 1.0]);
        for count in [0, 1, 2, 3, 60] {
            let vector = |seed: usize| unit(&[1.0, (seed % 7) as f32, (seed % 5) as f32, (seed % 3) as f32]);
            let vectors: Vec<Vec<f32>> = (0..count).map(vector).collect();
            let points = radial_layout(&query, &vectors);
            assert_eq!(points.len(), count);
            assert!(points.iter().all(|point| point.x.hypot(point.y) <= 1.001), "{points:?}");
            let is_near = |one: usize, other: usize| {
                (points[one].x - points[other].x).hypot(points[one].y - points[other].y) < MIN_DISTANCE / 4.0
            };
            let pairs = (0..count).flat_map(|one| (0..one).map(move |other| (one, other)));
            assert!(!pairs.into_iter().any(|(one, other)| is_near(one, other)), "{count}: {points:?}");
        }
    }
}
