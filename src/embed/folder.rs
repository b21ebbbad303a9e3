//! Reading a sentence-transformers folder: which network it is, how its output becomes one vector, how long a text may be.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::LoadError;
use super::bert::{Architecture, Pooling};
use crate::domain::MAX_DIMENSIONS;

/// What a folder says about its model, all of it checked.
#[derive(Debug)]
pub(super) struct Folder {
    /// The network.
    pub architecture: Architecture,
    /// Whether the folder has a Normalize module.
    pub normalized: bool,
    /// The longest sequence it reads, special tokens included.
    pub max_sequence: usize,
    /// The prefix of documents that the folder names, or nothing.
    pub document_prefix: String,
    /// The prefix of queries that the folder names, or nothing.
    pub query_prefix: String,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `model.safetensors`.
    pub weights: PathBuf,
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    vocab_size: usize,
    #[serde(default = "default_epsilon")]
    layer_norm_eps: f64,
    #[serde(default)]
    pad_token_id: usize,
    hidden_act: String,
    position_embedding_type: Option<String>,
}

fn default_epsilon() -> f64 {
    1e-12
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

#[derive(Deserialize, Default)]
struct Prompts {
    #[serde(default)]
    prompts: std::collections::BTreeMap<String, String>,
}

impl Folder {
    /// Reads and checks the folder's configuration; its weights and tokenizer are only looked for.
    ///
    /// # Errors
    /// Names the file at fault and what to do.
    pub(super) fn read(folder: &Path) -> Result<Self, LoadError> {
        let file = folder.join("config.json");
        let config: Config = read(&file)?;
        let first_position = check_config(&file, &config)?;
        let modules = folder.join("modules.json");
        let (pooling, normalized) = read_modules(folder, &modules, read(&modules)?)?;

        let positions = config.max_position_embeddings.saturating_sub(first_position);
        let file = folder.join("sentence_bert_config.json");
        let sentence: Option<SentenceConfig> = read_if_there(&file)?;
        let max_sequence = sentence.and_then(|sentence| sentence.max_seq_length).unwrap_or(positions);
        if max_sequence < 8 || max_sequence > positions {
            let reason = format!("max_seq_length is {max_sequence}");
            return Err(unsupported(&file, reason, &format!("give 8 to {positions}, the positions config.json has")));
        }
        let prompts: Prompts = read_if_there(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
        let prompt =
            |names: &[&str]| names.iter().find_map(|name| prompts.prompts.get(*name).cloned()).unwrap_or_default();
        Ok(Self {
            architecture: Architecture {
                hidden: config.hidden_size,
                intermediate: config.intermediate_size,
                layers: config.num_hidden_layers,
                heads: config.num_attention_heads,
                vocabulary: config.vocab_size,
                positions: config.max_position_embeddings,
                first_position,
                epsilon: config.layer_norm_eps as f32,
                pooling,
            },
            normalized,
            max_sequence,
            document_prefix: prompt(&["document", "passage"]),
            query_prefix: prompt(&["query"]),
            tokenizer: require(folder.join("tokenizer.json"), "export the fast tokenizer into it")?,
            weights: require(
                folder.join("model.safetensors"),
                "save the weights as one safetensors file (pytorch_model.bin, ONNX and sharded weights are not read)",
            )?,
        })
    }
}

/// Checks that it is a network we compute, and returns its first position.
fn check_config(file: &Path, config: &Config) -> Result<usize, LoadError> {
    const FIX: &str =
        "choose a BERT, RoBERTa or XLM-RoBERTa encoder, or serve the model over HTTP and set it up as a remote one";
    let refuse = |reason: String| Err(unsupported(file, reason, FIX));
    let first_position = match config.model_type.as_str() {
        "bert" => 0,
        // RoBERTa counts positions from behind its padding token's.
        "roberta" | "xlm-roberta" | "camembert" => config.pad_token_id + 1,
        other => return refuse(format!("model_type is {other:?}")),
    };
    if config.hidden_act != "gelu" {
        return refuse(format!("hidden_act is {:?}, only \"gelu\" is computed", config.hidden_act));
    }
    if let Some(other) = config.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
        return refuse(format!("position_embedding_type is {other:?}, only \"absolute\" is computed"));
    }
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    if hidden == 0 || hidden > MAX_DIMENSIONS || heads == 0 || hidden % heads != 0 {
        return refuse(format!("hidden_size {hidden} with {heads} heads"));
    }
    Ok(first_position)
}

/// What the modules after the network do: Transformer, Pooling, and perhaps Normalize.
fn read_modules(folder: &Path, file: &Path, modules: Vec<Module>) -> Result<(Pooling, bool), LoadError> {
    const FIX: &str = "choose a model whose modules are Transformer, Pooling and, if any, Normalize";
    let kind = |module: &Module| module.kind.rsplit('.').next().unwrap_or_default().to_owned();
    let kinds: Vec<String> = modules.iter().map(kind).collect();
    let normalized = match kinds.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => return Err(unsupported(file, format!("the modules are {}", kinds.join(", ")), FIX)),
    };
    if !modules[0].path.is_empty() {
        let reason = format!("the Transformer module lies in {:?}", modules[0].path);
        return Err(unsupported(file, reason, "move its files to the top of the folder and make its path empty"));
    }
    let file = folder.join(&modules[1].path).join("config.json");
    let config: PoolingConfig = read(&file)?;
    let other = config.pooling_mode_mean_sqrt_len_tokens
        || config.pooling_mode_weightedmean_tokens
        || config.pooling_mode_lasttoken;
    let pooling =
        match (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token, config.pooling_mode_max_tokens, other) {
            (true, false, false, false) => Pooling::Mean,
            (false, true, false, false) => Pooling::First,
            (false, false, true, false) => Pooling::Max,
            _ => return Err(unsupported(&file, "not exactly one of mean, cls and max pooling".into(), FIX)),
        };
    Ok((pooling, normalized))
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, LoadError> {
    read_if_there(file)?.ok_or_else(|| unreadable(file, ErrorKind::NotFound.into()))
}

fn read_if_there<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, LoadError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(file, error)),
    };
    let value = serde_json::from_str(&text);
    value.map(Some).map_err(|error| unsupported(file, error.to_string(), "fetch the model's folder again"))
}

fn require(file: PathBuf, fix: &str) -> Result<PathBuf, LoadError> {
    match std::fs::metadata(&file) {
        Ok(_) => Ok(file),
        Err(source) => Err(LoadError::Unreadable { file, source, fix: fix.to_owned() }),
    }
}

fn unreadable(file: &Path, source: Error) -> LoadError {
    let fix = "point the model's folder at a complete sentence-transformers folder that this user may read".to_owned();
    LoadError::Unreadable { file: file.to_owned(), source, fix }
}

/// The error of a file that says something we cannot work with.
pub(super) fn unsupported(file: &Path, reason: String, fix: &str) -> LoadError {
    LoadError::Unsupported { file: file.to_owned(), reason, fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"model_type":"bert","hidden_size":8,"intermediate_size":16,"num_hidden_layers":1,
        "num_attention_heads":2,"max_position_embeddings":64,"vocab_size":10,"layer_norm_eps":1e-12,"hidden_act":"gelu"}"#;
    const MODULES: &str = r#"[{"path":"","type":"sentence_transformers.models.Transformer"},
        {"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
        {"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("1_Pooling")).expect("a folder");
        for (name, text) in [
            ("config.json", CONFIG),
            ("modules.json", MODULES),
            ("1_Pooling/config.json", r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length":32,"do_lower_case":false}"#),
            ("config_sentence_transformers.json", r#"{"prompts":{"query":"query: ","passage":"passage: "}}"#),
            ("tokenizer.json", "{}"),
            ("model.safetensors", ""),
        ] {
            std::fs::write(folder.path().join(name), text).expect(name);
        }
        folder
    }

    #[test]
    fn a_complete_folder_is_read() {
        let folder = folder();
        let read = Folder::read(folder.path()).expect("complete");
        assert_eq!((read.max_sequence, read.normalized), (32, true));
        assert_eq!((read.query_prefix.as_str(), read.document_prefix.as_str()), ("query: ", "passage: "));
        assert_eq!(read.architecture.pooling, Pooling::First);
        std::fs::remove_file(folder.path().join("sentence_bert_config.json")).expect("there");
        assert_eq!(Folder::read(folder.path()).expect("still complete").max_sequence, 64);
        let roberta = CONFIG.replace("\"bert\"", "\"xlm-roberta\",\"pad_token_id\":1");
        std::fs::write(folder.path().join("config.json"), roberta).expect("written");
        assert_eq!(Folder::read(folder.path()).expect("roberta").max_sequence, 62);
    }

    #[test]
    fn what_is_missing_is_named_with_the_fix() {
        for (name, fix) in [
            ("config.json", "complete sentence-transformers folder"),
            ("modules.json", "complete sentence-transformers folder"),
            ("1_Pooling/config.json", "complete sentence-transformers folder"),
            ("tokenizer.json", "fast tokenizer"),
            ("model.safetensors", "one safetensors file"),
        ] {
            let folder = folder();
            std::fs::remove_file(folder.path().join(name)).expect("there");
            let error = Folder::read(folder.path()).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains(fix), "{error}");
        }
    }

    #[test]
    fn what_is_not_computed_is_refused_with_the_fix() {
        let other = |from, to| CONFIG.replace(from, to);
        for (name, text, reason) in [
            ("config.json", other("\"bert\"", "\"t5\""), "model_type is \"t5\""),
            ("config.json", other("\"gelu\"", "\"relu\""), "hidden_act is \"relu\""),
            ("config.json", other("heads\":2", "heads\":3"), "hidden_size 8 with 3 heads"),
            ("config.json", "[]".into(), "fetch the model's folder again"),
            (
                "modules.json",
                MODULES.replace(
                    "2_Normalize\",\"type\":\"sentence_transformers.models.Normalize",
                    "2_Dense\",\"type\":\"x.Dense",
                ),
                "Dense",
            ),
            ("1_Pooling/config.json", "{\"pooling_mode_lasttoken\":true}".into(), "not exactly one"),
            ("sentence_bert_config.json", "{\"max_seq_length\":65}".into(), "max_seq_length is 65"),
        ] {
            let folder = folder();
            std::fs::write(folder.path().join(name), text).expect("written");
            let error = Folder::read(folder.path()).expect_err(reason).to_string();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
    }
}
