//! Clusters vectors, and interleaves ranked lists.
//!
//! A reading list covers several subjects, so the mean of its vectors is close to none of the subjects. Therefore the
//! examples are clustered, and each cluster is searched for separately.

use likewise_index::dot;

/// Clusters unit vectors by average linkage (Sokal & Michener 1958): merges the two clusters with the highest average
/// cosine between their members, as long as there are more than `max_clusters` clusters or the average is at least
/// `min_cosine`. A cluster is a sorted list of indices into `vectors`. The largest cluster comes first; clusters of
/// equal size are sorted by their lowest index.
///
/// Takes O(n³) at worst for n vectors.
pub fn clusters(vectors: &[Vec<f32>], min_cosine: f32, max_clusters: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..vectors.len()).map(|index| vec![index]).collect();
    let row = |one: &Vec<f32>| vectors.iter().map(|other| dot(one, other)).collect();
    // Sums of the cosines between the members of two clusters. When two clusters are merged, their sums are added.
    let mut sums: Vec<Vec<f32>> = vectors.iter().map(row).collect();
    while groups.len() > 1 {
        let mut best = (f32::NEG_INFINITY, 0, 1);
        for one in 0..groups.len() {
            for other in one + 1..groups.len() {
                let average = sums[one][other] / (groups[one].len() * groups[other].len()) as f32;
                if average > best.0 {
                    best = (average, one, other);
                }
            }
        }
        let (average, one, other) = best;
        if average < min_cosine && groups.len() <= max_clusters.max(1) {
            break;
        }
        let merged = groups.remove(other);
        groups[one].extend(merged);
        let merged_sums = sums.remove(other);
        for row in &mut sums {
            row.remove(other);
        }
        for (index, sum) in merged_sums.into_iter().enumerate().filter(|(index, _)| *index != other) {
            let index = if index > other { index - 1 } else { index };
            if index != one {
                sums[one][index] += sum;
                sums[index][one] = sums[one][index];
            }
        }
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}

/// Interleaves lists by the highest averages method (D'Hondt 1882): each list gets turns in proportion to its value in
/// `sizes`, and ties go to the earlier list. Items for which `is_new` returns false are skipped and do not count as a
/// turn.
pub fn interleave<T>(lists: Vec<Vec<T>>, sizes: &[usize], mut is_new: impl FnMut(&T) -> bool) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let (mut taken, mut all) = (vec![0_usize; lists.len()], Vec::new());
    let mut remaining: Vec<usize> = (0..lists.len()).collect();
    loop {
        let quotient = |list: &usize| sizes[*list] as f64 / (taken[*list] + 1) as f64;
        let next = remaining.iter().copied().rev().max_by(|a, b| quotient(a).total_cmp(&quotient(b)));
        let Some(next) = next else { return all };
        match lists[next].find(&mut is_new) {
            Some(item) => {
                all.push(item);
                taken[next] += 1;
            }
            None => remaining.retain(|list| *list != next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(degrees: f32) -> Vec<f32> {
        vec![degrees.to_radians().cos(), degrees.to_radians().sin()]
    }

    #[test]
    fn similar_vectors_are_one_cluster() {
        let vectors = [0.0, 90.0, 5.0, 95.0, 92.0].map(at);
        assert_eq!(clusters(&vectors, 0.5, 9), [vec![1, 3, 4], vec![0, 2]]);
        assert_eq!(clusters(&vectors, 0.5, 1), [vec![0, 1, 2, 3, 4]], "at most max_clusters");
        assert_eq!(clusters(&vectors, 1.1, 9).len(), 5, "no cosine reaches 1.1");
        assert_eq!(clusters(&vectors[..1], 0.5, 9), [vec![0]]);
        assert!(clusters(&[], 0.5, 9).is_empty());
    }

    #[test]
    fn lists_are_interleaved_by_size() {
        let all = |lists: [&str; 3], sizes: [usize; 3]| {
            let mut seen = std::collections::HashSet::new();
            let lists = lists.map(|list| list.chars().collect()).into();
            interleave(lists, &sizes, |letter| seen.insert(*letter)).into_iter().collect::<String>()
        };
        assert_eq!(all(["abcdefg", "ABCDEFG", "123"], [4, 2, 1]), "abAcdB1efCgD2EF3G");
        assert_eq!(all(["abc", "abcd", ""], [1, 1, 1]), "abcd", "repeated items are skipped");
        assert_eq!(all(["", "", ""], [1, 1, 1]), "");
    }

    /// Recomputes the average over all pairs of members for each merge.
    fn by_definition(vectors: &[Vec<f32>], min_cosine: f32) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = (0..vectors.len()).map(|index| vec![index]).collect();
        loop {
            let average = |one: &Vec<usize>, other: &Vec<usize>| {
                let pairs = one.iter().flat_map(|a| other.iter().map(|b| dot(&vectors[*a], &vectors[*b])));
                pairs.sum::<f32>() / (one.len() * other.len()) as f32
            };
            let pairs = (0..groups.len()).flat_map(|a| (a + 1..groups.len()).map(move |b| (a, b)));
            let value = |(one, other): &(usize, usize)| average(&groups[*one], &groups[*other]);
            match pairs.max_by(|a, b| value(a).total_cmp(&value(b))) {
                Some(best) if value(&best) >= min_cosine => {
                    let merged = groups.remove(best.1);
                    groups[best.0].extend(merged);
                }
                _ => break,
            }
        }
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
        groups
    }

    proptest! {
        #[test]
        fn clusters_match_the_definition(
            vectors in proptest::collection::vec(proptest::collection::vec(-1.0_f32..1.0, 4), 0..14),
            min_cosine in -0.5_f32..0.9,
        ) {
            let unit = |vector: Vec<f32>| {
                let length = dot(&vector, &vector).sqrt().max(1e-6);
                vector.into_iter().map(|value| value / length).collect::<Vec<f32>>()
            };
            let vectors: Vec<Vec<f32>> = vectors.into_iter().map(unit).collect();
            prop_assert_eq!(clusters(&vectors, min_cosine, usize::MAX), by_definition(&vectors, min_cosine));
        }
    }
}
