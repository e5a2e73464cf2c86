//! Examples → groups of those that are alike, and one list of several: a reading list has several subjects, and its mean is
//! about none of them.
//!
//! Its own file because it knows vectors and counts only, neither papers nor queries.

use likewise_index::dot;

/// Groups unit vectors by average linkage (Sokal & Michener 1958): the two groups whose members are most alike on average
/// become one, for as long as there are more than `most`, or that average is `least` or more. Each group is places in
/// `vectors`, in order; the largest group is first, of equal ones that with the first place.
///
/// O(n³) at worst, of n vectors.
pub fn clusters(vectors: &[Vec<f32>], least: f32, most: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..vectors.len()).map(|place| vec![place]).collect();
    let row = |one: &Vec<f32>| vectors.iter().map(|other| dot(one, other)).collect();
    // Sums of similarities between groups, which add up when two become one.
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
        if average < least && groups.len() <= most.max(1) {
            break;
        }
        let joined = groups.remove(other);
        groups[one].extend(joined);
        let gone = sums.remove(other);
        for row in &mut sums {
            row.remove(other);
        }
        for (place, sum) in gone.into_iter().enumerate().filter(|(place, _)| *place != other) {
            let place = if place > other { place - 1 } else { place };
            if place != one {
                sums[one][place] += sum;
                sums[place][one] = sums[one][place];
            }
        }
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}

/// Lists as one, in which they take turns: each has as many as its size is worth (D'Hondt 1882), of those with the same
/// claim the first, until it has nothing left. What is not new is passed over, and takes nobody's turn.
pub fn in_turns<T>(lists: Vec<Vec<T>>, sizes: &[usize], mut is_new: impl FnMut(&T) -> bool) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let (mut had, mut all) = (vec![0_usize; lists.len()], Vec::new());
    let mut left: Vec<usize> = (0..lists.len()).collect();
    loop {
        let claim = |list: &usize| sizes[*list] as f64 / (had[*list] + 1) as f64;
        let next = left.iter().copied().rev().max_by(|a, b| claim(a).total_cmp(&claim(b)));
        let Some(next) = next else { return all };
        match lists[next].find(&mut is_new) {
            Some(item) => {
                all.push(item);
                had[next] += 1;
            }
            None => left.retain(|list| *list != next),
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
    fn what_is_alike_is_one_group() {
        let vectors = [0.0, 90.0, 5.0, 95.0, 92.0].map(at);
        assert_eq!(clusters(&vectors, 0.5, 9), [vec![1, 3, 4], vec![0, 2]]);
        assert_eq!(clusters(&vectors, 0.5, 1), [vec![0, 1, 2, 3, 4]], "no more than are wanted");
        assert_eq!(clusters(&vectors, 1.1, 9).len(), 5, "nothing is that much alike");
        assert_eq!(clusters(&vectors[..1], 0.5, 9), [vec![0]]);
        assert!(clusters(&[], 0.5, 9).is_empty());
    }

    #[test]
    fn turns_are_shared_by_size() {
        let all = |lists: [&str; 3], sizes: [usize; 3]| {
            let mut seen = std::collections::HashSet::new();
            let lists = lists.map(|list| list.chars().collect()).into();
            in_turns(lists, &sizes, |letter| seen.insert(*letter)).into_iter().collect::<String>()
        };
        assert_eq!(all(["abcdefg", "ABCDEFG", "123"], [4, 2, 1]), "abAcdB1efCgD2EF3G");
        assert_eq!(all(["abc", "abcd", ""], [1, 1, 1]), "abcd", "what was there is passed over");
        assert_eq!(all(["", "", ""], [1, 1, 1]), "");
    }

    /// All pairs of members anew each time.
    fn by_definition(vectors: &[Vec<f32>], least: f32) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = (0..vectors.len()).map(|place| vec![place]).collect();
        loop {
            let average = |one: &Vec<usize>, other: &Vec<usize>| {
                let pairs = one.iter().flat_map(|a| other.iter().map(|b| dot(&vectors[*a], &vectors[*b])));
                pairs.sum::<f32>() / (one.len() * other.len()) as f32
            };
            let pairs = (0..groups.len()).flat_map(|a| (a + 1..groups.len()).map(move |b| (a, b)));
            let value = |(one, other): &(usize, usize)| average(&groups[*one], &groups[*other]);
            match pairs.max_by(|a, b| value(a).total_cmp(&value(b))) {
                Some(best) if value(&best) >= least => {
                    let joined = groups.remove(best.1);
                    groups[best.0].extend(joined);
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
        fn the_same_as_by_definition(
            vectors in proptest::collection::vec(proptest::collection::vec(-1.0_f32..1.0, 4), 0..14),
            least in -0.5_f32..0.9,
        ) {
            let unit = |vector: Vec<f32>| {
                let length = dot(&vector, &vector).sqrt().max(1e-6);
                vector.into_iter().map(|value| value / length).collect::<Vec<f32>>()
            };
            let vectors: Vec<Vec<f32>> = vectors.into_iter().map(unit).collect();
            prop_assert_eq!(clusters(&vectors, least, usize::MAX), by_definition(&vectors, least));
        }
    }
}
