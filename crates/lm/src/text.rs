//! What a model's files say about text: its tokenizer and its chat templates, opened together.

use std::io;
use std::path::{Path, PathBuf};

use crate::chat::{
    ChatTemplate, ChatTemplateError, MAX_TEMPLATE_BYTES, SelectTemplateError, TemplateTokens,
    gguf_chat_templates, select_template,
};
use crate::gguf::{Gguf, MetadataError};
use crate::hf::HfFolder;
use crate::made::MadeModel;
use crate::source::ModelFiles;
use crate::tokenizer::{
    BuildTokenizerError, GgufVocabulary, MAX_JSON_BYTES, ReadTokenizerConfigError, Tokenizer,
    TokenizerConfig,
};

/// The tokenizer and chat templates of a model.
#[derive(Debug)]
pub struct ModelText {
    /// The tokenizer; its end tokens include those of `generation_config.json`.
    pub tokenizer: Tokenizer,
    /// Chat templates by name; the usual one is called `default`.
    pub templates: Vec<(String, String)>,
    /// Texts of the tokens that templates write.
    pub template_tokens: TemplateTokens,
}

/// A model's tokenizer or chat templates cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenTextError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A folder has no tokenizer.
    #[error(
        "`{}` is not there, and no other form of a tokenizer is read: copy it from the model's repository",
        path.display()
    )]
    NoTokenizer {
        /// The file.
        path: PathBuf,
    },
    /// A file is longer than any honest one.
    #[error("{} has {bytes} bytes, at most {limit} are read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
    /// A template is no UTF-8.
    #[error("{} is no UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// A value of a GGUF file has another type, or is missing.
    #[error("the GGUF metadata gives no tokenizer")]
    Metadata(#[from] MetadataError),
    /// The `tokenizer_config.json` is wrong.
    #[error(transparent)]
    Config(#[from] ReadTokenizerConfigError),
    /// The tokenizer is wrong, or not supported.
    #[error(transparent)]
    Tokenizer(#[from] BuildTokenizerError),
}

/// A model has no chat template that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ChatTemplateOfModelError {
    /// None of this name.
    #[error(transparent)]
    Select(#[from] SelectTemplateError),
    /// It is wrong.
    #[error(transparent)]
    Template(#[from] ChatTemplateError),
}

impl ModelText {
    /// Opens what belongs to `files`.
    ///
    /// From a folder: `tokenizer.json`, and where they are, `tokenizer_config.json`, `chat_template.jinja` (which goes
    /// before a default template of the former) and `additional_chat_templates/NAME.jinja`.
    ///
    /// # Errors
    /// [`OpenTextError`] if something is missing, wrong or not supported.
    pub fn open(files: &ModelFiles) -> Result<Self, OpenTextError> {
        match files {
            ModelFiles::Gguf(gguf) => of_gguf(gguf),
            ModelFiles::Folder(folder) => of_folder(folder),
            ModelFiles::Made(made) => of_made(made),
        }
    }

    /// Compiles the chat template called `name`, or the default.
    ///
    /// # Errors
    /// [`ChatTemplateOfModelError`] if there is none, or it is no template.
    pub fn chat_template(
        &self,
        name: Option<&str>,
    ) -> Result<ChatTemplate, ChatTemplateOfModelError> {
        let source = select_template(&self.templates, name)?;
        Ok(ChatTemplate::new(source, self.template_tokens.clone())?)
    }
}

fn of_gguf(gguf: &Gguf) -> Result<ModelText, OpenTextError> {
    let metadata = gguf.metadata();
    let tokenizer = Tokenizer::from_gguf(&GgufVocabulary::read(metadata)?)?;
    let text = |id: Option<u32>| id.map(|id| tokenizer.decode_with_special(&[id]));
    Ok(ModelText {
        templates: gguf_chat_templates(metadata)?,
        template_tokens: TemplateTokens {
            bos: text(tokenizer.bos()),
            eos: text(tokenizer.eos()),
            pad: text(tokenizer.pad()),
            unk: None,
        },
        tokenizer,
    })
}

fn of_folder(folder: &HfFolder) -> Result<ModelText, OpenTextError> {
    let file = |name: &str| folder.path().join(name);
    let config = match read_if_there(&file("tokenizer_config.json"), MAX_JSON_BYTES)? {
        Some(json) => TokenizerConfig::from_json(&json)?,
        None => TokenizerConfig::default(),
    };
    let path = file("tokenizer.json");
    let json = read_if_there(&path, MAX_JSON_BYTES)?.ok_or(OpenTextError::NoTokenizer { path })?;
    let tokenizer = Tokenizer::from_json(&json, &config)?;
    let template_tokens = template_tokens(&config);
    let mut templates = config.chat_templates;
    if let Some(template) = template(&file("chat_template.jinja"))? {
        templates.retain(|(name, _)| name != "default");
        templates.insert(0, ("default".to_owned(), template));
    }
    templates.extend(additional_templates(&file("additional_chat_templates"))?);
    Ok(ModelText {
        tokenizer: tokenizer.with_end_tokens(&folder.generation().eos)?,
        templates,
        template_tokens,
    })
}

fn of_made(made: &MadeModel) -> Result<ModelText, OpenTextError> {
    let config = match made.companion("tokenizer_config.json") {
        Some(json) => TokenizerConfig::from_json(json)?,
        None => TokenizerConfig::default(),
    };
    let json = made.companion("tokenizer.json");
    let json = json.ok_or_else(|| OpenTextError::Read {
        path: PathBuf::from("tokenizer.json"),
        source: io::ErrorKind::NotFound.into(),
    })?;
    let tokenizer = Tokenizer::from_json(json, &config)?;
    Ok(ModelText {
        tokenizer: tokenizer.with_end_tokens(&made.generation().eos)?,
        template_tokens: template_tokens(&config),
        templates: config.chat_templates,
    })
}

fn template_tokens(config: &TokenizerConfig) -> TemplateTokens {
    TemplateTokens {
        bos: config.bos_token.clone(),
        eos: config.eos_token.clone(),
        pad: config.pad_token.clone(),
        unk: config.unk_token.clone(),
    }
}

/// Returns the bytes of a file, or `None` if there is none.
fn read_if_there(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, OpenTextError> {
    let failed = |source| OpenTextError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(failed)?,
    };
    if metadata.len() > limit as u64 {
        return Err(OpenTextError::TooLong {
            path: path.to_owned(),
            bytes: metadata.len(),
            limit,
        });
    }
    std::fs::read(path).map(Some).map_err(failed)
}

fn template(path: &Path) -> Result<Option<String>, OpenTextError> {
    let Some(bytes) = read_if_there(path, MAX_TEMPLATE_BYTES)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|_| OpenTextError::NotUtf8 {
        path: path.to_owned(),
    })?;
    Ok(Some(text))
}

/// Reads the templates of a folder, in order of their names; none if there is no folder.
fn additional_templates(folder: &Path) -> Result<Vec<(String, String)>, OpenTextError> {
    let failed = |source| OpenTextError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let paths: Result<Vec<PathBuf>, io::Error> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jinja")
    });
    paths.sort();
    let mut templates = Vec::new();
    for path in paths {
        if let (Some(name), Some(template)) = (path.file_stem(), template(&path)?) {
            templates.push((name.to_string_lossy().into_owned(), template));
        }
    }
    Ok(templates)
}
