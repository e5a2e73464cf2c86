//! Options that are one of a few words: which there are, and what each means.
//!
//! Its own file because the words are the command line's; what they become knows nothing of them.

use crate::ingest::embed::Dtype;
use crate::search::{Examples, Mode};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use likewise_papers::dump::Format;

/// A word, what it means, and what it becomes.
type Choice<T> = (&'static str, &'static str, T);

const MODES: [Choice<Mode>; 3] = [
    ("semantic", "By what they mean: the cosine of their vectors", Mode::Semantic),
    (
        "lexical",
        "By the terms they share, rare ones most; what answers should be unlike is only left out",
        Mode::Lexical,
    ),
    ("hybrid", "By both: where two papers share the name of a method as well, they are nearer", Mode::Hybrid),
];

const EXAMPLES: [Choice<Examples>; 3] = [
    ("mean", "By their mean: what they have in common", Examples::Mean),
    (
        "best",
        "By the one that a paper is most like: whatever is near to any of them, by its chance if that is known",
        Examples::Best,
    ),
    (
        "clusters",
        "By their subjects, each of which is searched for: papers of all of them take turns",
        Examples::Clusters,
    ),
];

const DTYPES: [Choice<Dtype>; 2] = [
    ("f32", "Four bytes, exactly as they were computed", Dtype::F32),
    ("f16", "Two bytes: the nearest number of half precision", Dtype::F16),
];

/// By what papers are alike.
pub fn modes() -> impl TypedValueParser<Value = Mode> {
    one_of(&MODES)
}

/// How several examples make one question.
pub fn examples() -> impl TypedValueParser<Value = Examples> {
    one_of(&EXAMPLES)
}

/// How a vector's values are written.
pub fn dtypes() -> impl TypedValueParser<Value = Dtype> {
    one_of(&DTYPES)
}

/// Formats of dumps.
pub fn formats() -> impl TypedValueParser<Value = Format> {
    let named = |format: Format| PossibleValue::new(format.name()).help(format.description());
    PossibleValuesParser::new(Format::ALL.map(named)).try_map(|name| name.parse())
}

fn one_of<T: Copy + Send + Sync + 'static>(
    choices: &'static [Choice<T>],
) -> impl TypedValueParser<Value = T> {
    let named = choices.iter().map(|(name, what, _)| PossibleValue::new(*name).help(*what));
    PossibleValuesParser::new(named).map(move |name: String| {
        let chosen = choices.iter().find(|(other, ..)| *other == name);
        chosen.expect("the parser lets nothing else through").2
    })
}
