//! Which files of a repository make up a model.
//!
//! Its own file because repositories hold a model several times over, for other programs: what is fetched should be
//! what is read here, and no more.

/// Files that are read if there are any.
const READ: [&str; 8] = [
    "config.json",
    // Is refused, and should be before the weights are fetched.
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "README.md",
];

/// The files to fetch, of all that there are, small ones first; or none, if there are no weights.
pub(super) fn needed(all: &[String]) -> Vec<String> {
    let has = |name: &str| all.iter().any(|file| file == name);
    let is_shard = |file: &&String, stem: &str, end: &str| {
        file.strip_prefix(stem)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|rest| rest.contains("-of-") && !rest.contains('/'))
    };
    let shards = |stem: &str, end: &str| {
        all.iter().filter(|file| is_shard(file, stem, end)).cloned().collect::<Vec<_>>()
    };
    let mut files: Vec<String> = READ.into_iter().filter(|name| has(name)).map(String::from).collect();
    let mut weights = Vec::new();
    if has("model.safetensors") {
        weights.push("model.safetensors".into());
    } else if has("model.safetensors.index.json") {
        files.push("model.safetensors.index.json".into());
        weights = shards("model-", ".safetensors");
    } else if has("pytorch_model.bin") {
        weights.push("pytorch_model.bin".into());
    } else if has("pytorch_model.bin.index.json") {
        files.push("pytorch_model.bin.index.json".into());
        weights = shards("pytorch_model-", ".bin");
    }
    let modules: Vec<&String> = all.iter().filter(|file| is_module(file)).collect();
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

/// Whether a folder is a step's after the network, as `1_Pooling`.
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
