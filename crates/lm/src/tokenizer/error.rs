//! Why a tokenizer cannot be built, or a text not encoded.

/// Where a tokenizer was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenizerSource {
    /// A `tokenizer.json`, with the names of a `tokenizer_config.json`.
    Json,
    /// The metadata of a GGUF file.
    Gguf,
    /// End tokens of a `generation_config.json`.
    GenerationConfig,
}

impl std::fmt::Display for TokenizerSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "`tokenizer.json`",
            Self::Gguf => "GGUF metadata",
            Self::GenerationConfig => "`generation_config.json`",
        })
    }
}

/// A file gives no tokenizer that we can use.
#[derive(Debug, thiserror::Error)]
#[error("cannot build the tokenizer of {source_format}")]
pub struct BuildTokenizerError {
    /// What was read.
    pub source_format: TokenizerSource,
    /// What is wrong with it.
    #[source]
    pub kind: BuildTokenizerErrorKind,
}

/// What is wrong with a tokenizer's file.
#[derive(Debug, thiserror::Error)]
pub enum BuildTokenizerErrorKind {
    /// The file is no JSON, or not of the form a `tokenizer.json` has.
    #[error("the file is not of the expected form")]
    Json(#[source] serde_json::Error),
    /// A part works in a way that is not implemented here.
    #[error("{part} `{found}` is not supported, only {supported}")]
    Unsupported {
        /// The part: "model", "pre-tokenizer", …
        part: &'static str,
        /// What the file says.
        found: String,
        /// What it may say.
        supported: &'static str,
    },
    /// A regular expression or another setting of a part was refused.
    #[error("the {part} cannot be used")]
    Part {
        /// The part: "normalizer" or "pre-tokenizer".
        part: &'static str,
        /// What the crate `tokenizers` says.
        #[source]
        source: serde_json::Error,
    },
    /// The file lacks something.
    #[error("`{field}` is missing")]
    Missing {
        /// Its name in the file.
        field: &'static str,
    },
    /// More of something than we read.
    #[error("{n} {what}, at most {limit} are read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        n: usize,
        /// How many are read.
        limit: usize,
    },
    /// An array has not one element a token.
    #[error("`{field}` has {n} elements for {tokens} tokens")]
    Length {
        /// The array's name.
        field: &'static str,
        /// Its length.
        n: usize,
        /// Number of tokens.
        tokens: usize,
    },
    /// An element of an array has no meaning.
    #[error("`{field}`: element {index} is `{found}`, expected {expected}")]
    Element {
        /// The array's name.
        field: &'static str,
        /// Index of the element.
        index: usize,
        /// The element.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An id is beyond the vocabulary.
    #[error("`{field}` is {id}, but there are {tokens} tokens")]
    UnknownId {
        /// Who names it.
        field: &'static str,
        /// The id.
        id: u32,
        /// Number of tokens.
        tokens: usize,
    },
    /// A name is not that of a token.
    #[error("`{field}` names `{token}`, which is not in the vocabulary")]
    UnknownToken {
        /// Who names it.
        field: &'static str,
        /// The text of the token.
        token: String,
    },
    /// Two tokens have one id.
    #[error("tokens `{first}` and `{second}` both have id {id}")]
    DuplicateId {
        /// The id.
        id: u32,
        /// One token.
        first: String,
        /// The other.
        second: String,
    },
    /// A merge needs or makes a token that is not there.
    #[error("merge {index} needs the token `{token}`, which is not in the vocabulary")]
    Merge {
        /// Index of the merge.
        index: usize,
        /// The token's text, as the file writes it.
        token: String,
    },
    /// An added token is found in a way that is not implemented here.
    #[error("added token `{token}` is `{flag}`, which is not supported")]
    AddedToken {
        /// Its text.
        token: String,
        /// The flag that is set.
        flag: &'static str,
    },
}

/// A text cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The text is too long.
    #[error("the text has {bytes} bytes, at most {limit} are encoded at once")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The vocabulary cannot spell the text.
    #[error("the vocabulary has no token for the byte 0x{byte:02x}")]
    NoToken {
        /// A byte of the text.
        byte: u8,
    },
    /// The normalizer or pre-tokenizer failed.
    #[error("the text cannot be split into pieces")]
    Split(#[source] Box<dyn std::error::Error + Send + Sync>),
}
