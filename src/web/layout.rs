//! Vectors around a query → places in a plane.
//!
//! Its own file because it is the one piece of geometry of the page: the same vectors give the same places, whoever asks
//! and whenever, so that a map can be linked to.

use likewise_index::dot;

/// A place: the query is at 0, 0; nobody is farther from it than 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

/// How near to the middle the nearest one is.
const NEAREST: f32 = 0.2;

/// How near two places are at the least, as far as there is room.
const APART: f32 = 0.105;

/// Steps of pushing places apart.
const PUSHES: usize = 120;

/// Steps of finding a direction.
const POWERS: usize = 80;

/// Where unit vectors are put around a unit vector: the more similar, the nearer; in which direction, by what they are
/// like apart from that.
///
/// What they have in common with the query is taken out, and what is left is put on its two principal axes (Torgerson
/// 1952, classical scaling). Only the direction is taken from those: how near one is says its own similarity, halfway
/// between how large it is and how many have a larger one.
pub fn around(query: &[f32], vectors: &[Vec<f32>]) -> Vec<Place> {
    let scores: Vec<f32> = vectors.iter().map(|vector| dot(query, vector)).collect();
    let rests: Vec<Vec<f32>> =
        vectors.iter().zip(&scores).map(|(vector, score)| rest(query, vector, *score)).collect();
    let axes = principal_axes(&rests);
    let radii = radii(&scores);
    let mut places: Vec<Place> = (0..vectors.len())
        .map(|place| {
            let angle = axes[1][place].atan2(axes[0][place]);
            Place { x: radii[place] * angle.cos(), y: radii[place] * angle.sin() }
        })
        .collect();
    push_apart(&mut places, &radii);
    places
}

/// What a vector has beside the query's direction, as a unit vector.
fn rest(query: &[f32], vector: &[f32], score: f32) -> Vec<f32> {
    let mut rest: Vec<f32> = vector.iter().zip(query).map(|(value, along)| value - score * along).collect();
    let length = dot(&rest, &rest).sqrt().max(f32::MIN_POSITIVE);
    rest.iter_mut().for_each(|value| *value /= length);
    rest
}

fn radii(scores: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let (Some(best), Some(worst)) = (order.first(), order.last()) else { return Vec::new() };
    let (best, span) = (scores[*best], (scores[*best] - scores[*worst]).max(f32::MIN_POSITIVE));
    let mut radii = vec![0.0; scores.len()];
    for (rank, place) in order.into_iter().enumerate() {
        let by_score = (best - scores[place]) / span;
        // As many on each part of the area.
        let by_rank = ((rank + 1) as f32 / scores.len() as f32).sqrt();
        radii[place] = NEAREST + (1.0 - NEAREST) * (by_score + by_rank) / 2.0;
    }
    radii
}

/// The two directions in which vectors differ most, as a value for each vector: the first eigenvectors of their centred
/// products, by power iteration.
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

fn axis(products: &[Vec<f32>], apart_from: Option<&[f32]>) -> Vec<f32> {
    // A start that no axis is at right angles to, as good as always.
    let mut axis: Vec<f32> = (0..products.len()).map(|place| 1.0 + (place as f32 * 0.7).sin()).collect();
    let mut value = 0.0;
    for _ in 0..POWERS {
        let mut next: Vec<f32> = products.iter().map(|row| dot(row, &axis)).collect();
        if let Some(other) = apart_from {
            let along = dot(&next, other) / dot(other, other).max(f32::MIN_POSITIVE);
            next.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let length = dot(&next, &next).sqrt();
        if length < 1e-12 {
            return next;
        }
        axis = next.into_iter().map(|value| value / length).collect();
        value = length;
    }
    // As long as it matters: what differs in one direction only is not spread in two.
    let scale = f32::sqrt(value);
    axis.into_iter().map(|place| place * scale).collect()
}

/// Moves places that are on each other apart, a little at a time; nobody gets far from the distance that is right.
fn push_apart(places: &mut [Place], radii: &[f32]) {
    for _ in 0..PUSHES {
        for one in 0..places.len() {
            for other in 0..one {
                let (dx, dy) = (places[one].x - places[other].x, places[one].y - places[other].y);
                let distance = dx.hypot(dy);
                if distance >= APART {
                    continue;
                }
                // Two on the same spot part sideways.
                let (ux, uy) = if distance > 1e-6 { (dx / distance, dy / distance) } else { (1.0, 0.0) };
                let push = (APART - distance) / 4.0;
                places[one].x += ux * push;
                places[one].y += uy * push;
                places[other].x -= ux * push;
                places[other].y -= uy * push;
            }
        }
        for (place, radius) in places.iter_mut().zip(radii) {
            let now = place.x.hypot(place.y).max(1e-6);
            let wanted = now.clamp(radius - APART / 2.0, (radius + APART / 2.0).min(1.0)) / now;
            place.x *= wanted;
            place.y *= wanted;
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
    fn the_similar_are_near_and_groups_are_apart() {
        let query = unit(&[1.0, 0.0, 0.0]);
        // Two groups, on either side of the query, each nearer and farther.
        let side = |sign: f32, far: f32| unit(&[1.0, sign * far, 0.01 * far]);
        let vectors: Vec<Vec<f32>> =
            [0.2, 0.4, 0.6, 0.8].iter().flat_map(|far| [side(1.0, *far), side(-1.0, *far)]).collect();
        let places = around(&query, &vectors);
        let far = |place: &Place| place.x.hypot(place.y);
        for pair in [0, 1] {
            assert!(far(&places[pair]) + APART < far(&places[6 + pair]), "{places:?}");
        }
        for left in (0..8).step_by(2) {
            let (one, other) = (places[left], places[left + 1]);
            assert!(one.x * other.x + one.y * other.y < 0.0, "{places:?}");
        }
        assert_eq!(places, around(&query, &vectors), "the same again");
    }

    #[test]
    fn any_vectors_have_places_within_the_circle_and_apart() {
        let query = unit(&[1.0, 1.0, 1.0, 1.0]);
        for count in [0, 1, 2, 3, 60] {
            let vector = |seed: usize| unit(&[1.0, (seed % 7) as f32, (seed % 5) as f32, (seed % 3) as f32]);
            let vectors: Vec<Vec<f32>> = (0..count).map(vector).collect();
            let places = around(&query, &vectors);
            assert_eq!(places.len(), count);
            assert!(places.iter().all(|place| place.x.hypot(place.y) <= 1.001), "{places:?}");
            let is_near = |one: usize, other: usize| {
                (places[one].x - places[other].x).hypot(places[one].y - places[other].y) < APART / 4.0
            };
            let near = (0..count).flat_map(|one| (0..one).map(move |other| (one, other)));
            assert!(!near.into_iter().any(|(one, other)| is_near(one, other)), "{count}: {places:?}");
        }
    }
}
