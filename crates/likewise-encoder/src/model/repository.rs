//! Which files of a repository make up a model.
//!
//! Its own file because repositories hold a model several times over, for other programs: what is fetched should be
//! what is read here, and no more.

/// Where sentence-transformers looks for how long a text may be and whether it is put into lower case, in this order.
pub(super) const TRANSFORMER_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Files that are read if there are any, in the network's folder.
const READ_OF_NETWORK: [&str; 4] = [
    "config.json",
    // Is refused, and should be before the weights are fetched.
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// One of these is there, where a network is.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The same in the model's.
const READ: [&str; 3] = ["modules.json", "config_sentence_transformers.json", "README.md"];

/// The files to fetch, of all that there are, small ones first; or none, if there are no weights.
pub(super) fn needed(all: &[String]) -> Vec<String> {
    let network = network_in(all);
    let in_network: Vec<&str> = all.iter().filter_map(|file| file.strip_prefix(&network)).collect();
    let has = |name: &str| in_network.contains(&name);
    let is_shard = |file: &str, stem: &str, end: &str| {
        file.strip_prefix(stem)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|rest| rest.contains("-of-") && !rest.contains('/'))
    };
    let shards = |stem: &str, end: &str| {
        in_network.iter().copied().filter(|file| is_shard(file, stem, end)).collect::<Vec<_>>()
    };
    let mut read: Vec<&str> =
        READ_OF_NETWORK.into_iter().chain(TRANSFORMER_CONFIGS).filter(|name| has(name)).collect();
    let mut weights = Vec::new();
    if has("model.safetensors") {
        weights.push("model.safetensors");
    } else if has("model.safetensors.index.json") {
        read.push("model.safetensors.index.json");
        weights = shards("model-", ".safetensors");
    } else if has("pytorch_model.bin") {
        weights.push("pytorch_model.bin");
    } else if has("pytorch_model.bin.index.json") {
        read.push("pytorch_model.bin.index.json");
        weights = shards("pytorch_model-", ".bin");
    }
    let named =
        |names: Vec<&str>| names.into_iter().map(|name| format!("{network}{name}")).collect::<Vec<_>>();
    let (mut files, weights) = (named(read), named(weights));
    files.extend(READ.into_iter().filter(|name| all.iter().any(|file| file == name)).map(String::from));
    let is_of_network = |file: &String| !network.is_empty() && file.starts_with(&network);
    let modules: Vec<&String> = all.iter().filter(|file| is_module(file) && !is_of_network(file)).collect();
    for file in &modules {
        let folder = file.split('/').next().unwrap_or_default();
        let safe = format!("{folder}/model.safetensors");
        // The same twice.
        if !(file.ends_with(".bin") && modules.iter().any(|other| **other == safe)) {
            files.push((*file).clone());
        }
    }
    if weights.is_empty() {
        return Vec::new();
    }
    files.extend(weights);
    files
}

/// The network's folder with a slash, as older versions of the library wrote it (`0_Transformer/`); else nothing.
fn network_in(all: &[String]) -> String {
    let here = |file: &String| {
        file.strip_suffix("/config.json")
            .filter(|folder| folder.starts_with("0_") && is_step(folder))
            .map(|folder| format!("{folder}/"))
    };
    // Those versions also wrote a config.json beside it, which says no more than their number.
    let has_weights = all.iter().any(|file| WEIGHTS.contains(&file.as_str()));
    match has_weights {
        true => String::new(),
        false => all.iter().find_map(here).unwrap_or_default(),
    }
}

/// Whether a folder is a step's, as `1_Pooling`.
pub(super) fn is_step(folder: &str) -> bool {
    folder.split_once('_').is_some_and(|(number, _)| number.parse::<u8>().is_ok())
}

/// A file in such a folder.
fn is_module(file: &str) -> bool {
    let mut parts = file.split('/');
    let (Some(folder), Some(name), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    is_step(folder) && ["config.json", "model.safetensors", "pytorch_model.bin"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed_of(files: &[&str]) -> Vec<String> {
        needed(&files.iter().map(|file| (*file).into()).collect::<Vec<_>>())
    }

    #[test]
    fn a_model_is_fetched_once_whatever_else_is_there() {
        let got = needed_of(&[
            ".gitattributes",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin",
            "config.json",
            "model.safetensors",
            "modules.json",
            "onnx/model.onnx",
            "openvino/config.json",
            "pytorch_model.bin",
            "tokenizer.json",
        ]);
        let wanted = [
            "config.json",
            "tokenizer.json",
            "modules.json",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "model.safetensors",
        ];
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_network_may_have_a_folder_of_its_own() {
        let wanted = [
            "0_Transformer/config.json",
            "0_Transformer/tokenizer.json",
            "0_Transformer/sentence_roberta_config.json",
            "modules.json",
            "1_Pooling/config.json",
            "0_Transformer/pytorch_model.bin",
        ];
        let mut all = wanted.to_vec();
        all.extend(["config.json", "0_Transformer/vocab.txt", "0_Transformer/tf_model.h5"]);
        assert_eq!(needed_of(&all), wanted);
    }

    #[test]
    fn shards_come_with_their_index() {
        let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        let got = needed_of(&["config.json", one, two, "model.safetensors.index.json"]);
        assert_eq!(got, ["config.json", "model.safetensors.index.json", one, two]);
        assert_eq!(needed_of(&["config.json", "pytorch_model.bin"]), ["config.json", "pytorch_model.bin"]);
    }

    #[test]
    fn what_is_refused_is_fetched_to_be_seen() {
        let got = needed_of(&["model.safetensors", "adapter_config.json", "config.json"]);
        assert_eq!(got, ["config.json", "adapter_config.json", "model.safetensors"]);
    }

    #[test]
    fn a_repository_without_weights_is_no_model() {
        assert!(needed_of(&["config.json", "model.gguf"]).is_empty());
    }
}
