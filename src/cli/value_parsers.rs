//! Parsers for options whose value is one of a few names, with the help text of each name.

use crate::ingest::embed::Dtype;
use crate::search::{Aggregation, Mode};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use likewise_papers::dump::Format;

/// A name, its help text, and the value it stands for.
struct OptionValue<T> {
    name: &'static str,
    help: &'static str,
    value: T,
}

const MODES: [OptionValue<Mode>; 3] = [
    OptionValue {
        name: "semantic",
        help: "Compare meaning: the cosine of the vectors",
        value: Mode::Semantic,
    },
    OptionValue {
        name: "lexical",
        help: "Compare terms, of which rare ones count most; --unlike only leaves its papers out of the results",
        value: Mode::Lexical,
    },
    OptionValue {
        name: "hybrid",
        help: "Compare meaning and terms: sharing rare terms, such as the name of a method, raises the score",
        value: Mode::Hybrid,
    },
];

const AGGREGATIONS: [OptionValue<Aggregation>; 3] = [
    OptionValue {
        name: "mean",
        help: "Search once, with the mean of the examples, for papers on what the examples have in common",
        value: Aggregation::Mean,
    },
    OptionValue {
        name: "best",
        help: "Search with each example; a paper has the score that it gets from the most similar example",
        value: Aggregation::Best,
    },
    OptionValue {
        name: "clusters",
        help: "Group the examples by subject, search with each group, and interleave the results",
        value: Aggregation::Clusters,
    },
];

const DTYPES: [OptionValue<Dtype>; 2] = [
    OptionValue { name: "f32", help: "4 bytes per value, as computed", value: Dtype::F32 },
    OptionValue { name: "f16", help: "2 bytes per value, rounded to half precision", value: Dtype::F16 },
];

/// Parses a search mode.
pub fn modes() -> impl TypedValueParser<Value = Mode> {
    one_of(&MODES)
}

/// Parses an aggregation: the way in which several examples are combined.
pub fn aggregations() -> impl TypedValueParser<Value = Aggregation> {
    one_of(&AGGREGATIONS)
}

/// Parses the data type of the values in a file of vectors.
pub fn dtypes() -> impl TypedValueParser<Value = Dtype> {
    one_of(&DTYPES)
}

/// Parses the format of a dump.
pub fn formats() -> impl TypedValueParser<Value = Format> {
    let possible = |format: Format| PossibleValue::new(format.name()).help(format.description());
    PossibleValuesParser::new(Format::ALL.map(possible)).try_map(|name| name.parse())
}

fn one_of<T: Copy + Send + Sync + 'static>(
    values: &'static [OptionValue<T>],
) -> impl TypedValueParser<Value = T> {
    let possible = values.iter().map(|named| PossibleValue::new(named.name).help(named.help));
    PossibleValuesParser::new(possible).map(move |name: String| {
        let named = values.iter().find(|named| named.name == name);
        named.expect("PossibleValuesParser accepts only these names").value
    })
}
