//! Selects the files of a repository that have to be fetched.
//!
//! Many repositories also contain the model in other formats, for other programs. Only the files that this crate reads
//! are fetched.

/// The files in which sentence-transformers looks for `max_seq_length` and `do_lower_case`, in this order.
pub(super) const TRANSFORMER_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// The files in the folder of the network that are fetched if they exist.
const NETWORK_FILES: [&str; 8] = [
    "config.json",
    // A LoRA adapter beside the weights. Without its weights, the model is not supported: the configuration is fetched so
    // that the error comes before the model's weights are fetched.
    super::LORA_CONFIG,
    super::LORA_WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    // The settings of Stanford's ColBERT.
    "artifact.metadata",
    // The prompt of rerankers that are language models.
    super::CHAT_TEMPLATE,
];

/// The weight files, of which the folder of the network contains at least one.
const NETWORK_WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The files in the folder of the model that are fetched if they exist.
const MODEL_FILES: [&str; 3] = ["modules.json", "config_sentence_transformers.json", "README.md"];

/// Selects the files to fetch from `all`, the list of all files in a repository. The weights of the network are last in
/// the result. If the repository has no weights of a network, the result is empty.
pub(super) fn files_to_fetch(all: &[String]) -> Vec<String> {
    let network = network_prefix(all);
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
    let mut small: Vec<&str> =
        NETWORK_FILES.into_iter().chain(TRANSFORMER_CONFIGS).filter(|name| has(name)).collect();
    let mut weights = Vec::new();
    if has("model.safetensors") {
        weights.push("model.safetensors");
    } else if has("model.safetensors.index.json") {
        small.push("model.safetensors.index.json");
        weights = shards("model-", ".safetensors");
    } else if has("pytorch_model.bin") {
        weights.push("pytorch_model.bin");
    } else if has("pytorch_model.bin.index.json") {
        small.push("pytorch_model.bin.index.json");
        weights = shards("pytorch_model-", ".bin");
    }
    let with_prefix =
        |names: Vec<&str>| names.into_iter().map(|name| format!("{network}{name}")).collect::<Vec<_>>();
    let (mut files, weights) = (with_prefix(small), with_prefix(weights));
    let model_files = MODEL_FILES.into_iter().filter(|name| all.iter().any(|file| file == name));
    files.extend(model_files.map(String::from));
    let is_in_network = |file: &String| !network.is_empty() && file.starts_with(&network);
    let module_files: Vec<&String> =
        all.iter().filter(|file| is_module_file(file) && !is_in_network(file)).collect();
    for file in &module_files {
        let folder = file.split('/').next().unwrap_or_default();
        let safetensors = format!("{folder}/model.safetensors");
        // Skips pytorch_model.bin if the folder has the same weights in model.safetensors.
        if !(file.ends_with(".bin") && module_files.iter().any(|other| **other == safetensors)) {
            files.push((*file).clone());
        }
    }
    if weights.is_empty() {
        return Vec::new();
    }
    files.extend(weights);
    files
}

/// Returns the folder of the network with a slash at the end. It is `0_Transformer/` in repositories written by older
/// versions of sentence-transformers, and empty if the network is in the model's own folder.
fn network_prefix(all: &[String]) -> String {
    let prefix = |file: &String| {
        // The folder of a static model has no config.json.
        file.strip_suffix("/config.json")
            .or(file.strip_suffix("/tokenizer.json"))
            .filter(|folder| folder.starts_with("0_") && is_module_folder(folder))
            .map(|folder| format!("{folder}/"))
    };
    // Weights decide, and not config.json: older versions of sentence-transformers also wrote a config.json into the
    // model's own folder, with nothing but their version.
    let has_weights = all.iter().any(|file| NETWORK_WEIGHTS.contains(&file.as_str()));
    match has_weights {
        true => String::new(),
        false => all.iter().find_map(prefix).unwrap_or_default(),
    }
}

/// Whether a folder's name is that of a module, such as `1_Pooling`.
pub(super) fn is_module_folder(folder: &str) -> bool {
    folder.split_once('_').is_some_and(|(number, _)| number.parse::<u8>().is_ok())
}

/// Whether a file is the configuration or the weights of a module.
fn is_module_file(file: &str) -> bool {
    let mut parts = file.split('/');
    let (Some(folder), Some(name), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    is_module_folder(folder) && ["config.json", "model.safetensors", "pytorch_model.bin"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(files: &[&str]) -> Vec<String> {
        files_to_fetch(&files.iter().map(|file| (*file).into()).collect::<Vec<_>>())
    }

    #[test]
    fn files_of_other_formats_are_not_fetched() {
        let files = selected(&[
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
        let expected = [
            "config.json",
            "tokenizer.json",
            "modules.json",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "model.safetensors",
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn a_network_in_its_own_folder_is_found() {
        let expected = [
            "0_Transformer/config.json",
            "0_Transformer/tokenizer.json",
            "0_Transformer/sentence_roberta_config.json",
            "modules.json",
            "1_Pooling/config.json",
            "0_Transformer/pytorch_model.bin",
        ];
        let mut all = expected.to_vec();
        all.extend(["config.json", "0_Transformer/vocab.txt", "0_Transformer/tf_model.h5"]);
        assert_eq!(selected(&all), expected);
    }

    #[test]
    fn the_table_of_a_static_model_is_found() {
        let files =
            ["0_StaticEmbedding/tokenizer.json", "modules.json", "0_StaticEmbedding/model.safetensors"];
        assert_eq!(selected(&files), files);
    }

    #[test]
    fn shards_are_fetched_with_their_index() {
        let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        let files = selected(&["config.json", one, two, "model.safetensors.index.json"]);
        assert_eq!(files, ["config.json", "model.safetensors.index.json", one, two]);
        assert_eq!(selected(&["config.json", "pytorch_model.bin"]), ["config.json", "pytorch_model.bin"]);
    }

    #[test]
    fn adapter_configs_are_fetched_before_the_weights() {
        let files = selected(&["model.safetensors", "adapter_config.json", "config.json"]);
        assert_eq!(files, ["config.json", "adapter_config.json", "model.safetensors"]);
    }

    #[test]
    fn nothing_is_fetched_from_a_repository_without_weights() {
        assert!(selected(&["config.json", "model.gguf"]).is_empty());
    }
}
