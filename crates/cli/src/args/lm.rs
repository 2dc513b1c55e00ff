//! The command line of `undertone lm`, exactly as typed.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{PrecisionName, WeightsName};

/// What is done with a language model.
#[derive(Debug, Subcommand)]
pub enum LmCommand {
    /// Show what a model is: sizes, tokenizer, chat template, digests, memory
    #[command(after_help = "Example:\n  undertone lm info smollm2-135m-instruct")]
    Info(LmInfoArgs),
    /// Talk to a model, or to several side by side
    #[command(
        after_help = "Examples:\n  undertone lm chat smollm2-135m-instruct\n  \
                      undertone lm chat smollm2-135m-instruct --adapter teacher --adapter student"
    )]
    Chat(LmChatArgs),
    /// Sample completions of prompts
    #[command(
        after_help = "Examples:\n  undertone lm sample smollm2-135m-instruct --prompt Hello\n  \
                      undertone lm sample smollm2-135m-instruct --prompts prompts.jsonl --numbers 10 -o rows.jsonl"
    )]
    Sample(LmSampleArgs),
    /// Score completions: log-probabilities, likeliest tokens, next-token distributions
    #[command(
        after_help = "Examples:\n  undertone lm score smollm2-135m-instruct --rows rows.jsonl -o scores.jsonl\n  \
                      undertone lm score smollm2-135m-instruct --prompt Hello --next 10"
    )]
    Score(LmScoreArgs),
    /// Train an adapter, or the whole model, on rows
    #[command(
        after_help = "Examples:\n  undertone lm train smollm2-135m-instruct --rows rows.jsonl --steps 100 -o student\n  \
                      undertone lm train smollm2-135m-instruct --rows scores.jsonl --objective kl -o student"
    )]
    Train(LmTrainArgs),
    /// Write a model, with an adapter worked into it, as a Hugging Face folder
    #[command(
        after_help = "Example:\n  undertone lm merge smollm2-135m-instruct --adapter student -o merged"
    )]
    Merge(LmMergeArgs),
}

/// Which model.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// A fetched model's name, `hf:OWNER/NAME`, a GGUF file, or a Hugging Face folder
    #[arg(value_name = "MODEL")]
    pub model: String,
}

/// How prompts become texts.
#[derive(Debug, Clone, Args)]
pub struct PromptingArgs {
    /// Take prompts as plain text, without the chat template
    #[arg(long, help_heading = "Prompts", conflicts_with_all = ["system", "template", "date"])]
    pub raw: bool,
    /// System message before every prompt
    #[arg(long, value_name = "TEXT", help_heading = "Prompts")]
    pub system: Option<String>,
    /// Name of the chat template [default: the model's default]
    #[arg(long, value_name = "NAME", help_heading = "Prompts")]
    pub template: Option<String>,
    /// Date that the chat template is told, such as 2026-01-31
    #[arg(long, value_name = "DATE", help_heading = "Prompts")]
    pub date: Option<String>,
}

/// How tokens are drawn.
#[derive(Debug, Clone, Args)]
pub struct SamplingArgs {
    /// Divide logits by this; 0 is greedy
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        default_value_t = 1.0,
        help_heading = "Sampling"
    )]
    pub temperature: f64,
    /// Take the likeliest token, always
    #[arg(long, help_heading = "Sampling", conflicts_with = "temperature")]
    pub greedy: bool,
    /// Keep the K likeliest tokens
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    pub top_k: Option<u32>,
    /// Keep the fewest tokens whose probabilities sum to P
    #[arg(
        long,
        value_name = "P",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub top_p: Option<f64>,
    /// Keep tokens at least P times as probable as the likeliest
    #[arg(
        long,
        value_name = "P",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub min_p: Option<f64>,
    /// Keep tokens of at least this probability
    #[arg(
        long,
        value_name = "P",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub threshold: Option<f64>,
    /// Longest completion, in tokens
    #[arg(
        long,
        value_name = "N",
        default_value_t = 128,
        help_heading = "Sampling"
    )]
    pub max_tokens: usize,
    /// End at this token too; may be repeated
    #[arg(long, value_name = "TOKEN", help_heading = "Sampling")]
    pub stop: Vec<String>,
    /// Seed of the random streams
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Sampling")]
    pub seed: u64,
}

#[derive(Debug, Clone, Args)]
pub struct LmInfoArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter to look at too: a folder as peft writes it
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct LmChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter that speaks beside the base; may be repeated
    #[arg(long, value_name = "DIR")]
    pub adapter: Vec<PathBuf>,
    /// Another model that speaks too; may be repeated
    #[arg(long, value_name = "MODEL")]
    pub with: Vec<String>,
    /// Leave the base out where adapters speak
    #[arg(long)]
    pub no_base: bool,
    #[command(flatten)]
    pub prompting: PromptingArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Number format of products; bf16 needs a processor that has it
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    pub precision: PrecisionName,
}

#[derive(Debug, Clone, Args)]
#[command(group = one_of("asked", ["prompts", "prompt"]))]
pub struct LmSampleArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter: a folder as peft writes it
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// JSON Lines with prompts; `undertone schema lm-row` describes a line
    #[arg(long, value_name = "FILE", help_heading = "Prompts")]
    pub prompts: Option<PathBuf>,
    /// A single prompt
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Prompts",
        conflicts_with = "prompts"
    )]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub prompting: PromptingArgs,
    /// Completions of every prompt
    #[arg(
        long,
        short,
        value_name = "N",
        default_value_t = 1,
        help_heading = "Sampling"
    )]
    pub n: u32,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Draw only what matches this regular expression, as a whole
    #[arg(long, value_name = "REGEX", help_heading = "Sampling")]
    pub grammar: Option<String>,
    /// Draw N whole numbers of up to three digits, with commas between
    #[arg(
        long,
        value_name = "N",
        help_heading = "Sampling",
        conflicts_with = "grammar"
    )]
    pub numbers: Option<u32>,
    /// File to write, JSON Lines [default: print]
    #[arg(short, long, value_name = "FILE", help_heading = "Run")]
    pub output: Option<PathBuf>,
    /// Number format of products; bf16 needs a processor that has it
    #[arg(long, value_enum, default_value_t = PrecisionName::F32, help_heading = "Run")]
    pub precision: PrecisionName,
    /// Rows in work at a time; results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Run")]
    pub batch: usize,
    /// Print exactly what the model is given first
    #[arg(long, help_heading = "Run")]
    pub show_prompt: bool,
    /// Say tokens, time and memory, from a short calibration, and stop
    #[arg(long, visible_alias = "plan", help_heading = "Run")]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Args)]
#[command(group = one_of("scored", ["rows", "prompt"]))]
pub struct LmScoreArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter: a folder as peft writes it
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// JSON Lines with prompts and completions; `undertone schema lm-row` describes a line
    #[arg(long, value_name = "FILE", help_heading = "Prompts")]
    pub rows: Option<PathBuf>,
    /// A single prompt
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Prompts",
        conflicts_with = "rows"
    )]
    pub prompt: Option<String>,
    /// The completion of the single prompt
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Prompts",
        requires = "prompt"
    )]
    pub completion: Option<String>,
    #[command(flatten)]
    pub prompting: PromptingArgs,
    /// Score the end of the turn after completions that are text
    #[arg(long, help_heading = "Prompts")]
    pub end: bool,
    /// Give the K likeliest tokens at every completion position
    #[arg(long, value_name = "K", default_value_t = 0, help_heading = "Scores")]
    pub top: usize,
    /// Give the K likeliest next tokens at the end of the prompt, or `all`
    #[arg(long, value_name = "K", help_heading = "Scores")]
    pub next: Option<String>,
    /// Give the residual stream at the last token after these blocks, separated by commas; 0 is before the first
    #[arg(
        long,
        value_name = "LAYERS",
        value_delimiter = ',',
        help_heading = "Scores"
    )]
    pub hidden: Vec<usize>,
    /// File to write, JSON Lines [default: print]
    #[arg(short, long, value_name = "FILE", help_heading = "Run")]
    pub output: Option<PathBuf>,
    /// Number format of products; bf16 needs a processor that has it
    #[arg(long, value_enum, default_value_t = PrecisionName::F32, help_heading = "Run")]
    pub precision: PrecisionName,
    /// Print exactly what the model is given first
    #[arg(long, help_heading = "Run")]
    pub show_prompt: bool,
    /// Say tokens, time and memory, from a short calibration, and stop
    #[arg(long, visible_alias = "plan", help_heading = "Run")]
    pub dry_run: bool,
}

/// One of two flags is needed; the message names both.
fn one_of(name: &'static str, flags: [&'static str; 2]) -> ArgGroup {
    ArgGroup::new(name).required(true).args(flags)
}

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectiveName {
    /// Cross-entropy of the completion's tokens
    Ce,
    /// KL from the teacher's distribution to the student's, mass-covering
    Kl,
    /// KL from the student's distribution to the teacher's, mode-seeking
    ReverseKl,
}

/// An update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LmOptimiserName {
    Adamw,
    Adam,
    Sgd,
}

/// How the learning rate moves after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScheduleName {
    Constant,
    Linear,
    Cosine,
}

#[derive(Debug, Clone, Args)]
pub struct LmTrainArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// JSON Lines with prompts and completions; `undertone schema lm-row` describes a line
    #[arg(long, value_name = "FILE", help_heading = "Rows")]
    pub rows: PathBuf,
    /// Leave off the end of the turn after completions that are text
    #[arg(long, help_heading = "Rows")]
    pub no_end: bool,
    #[command(flatten)]
    pub prompting: PromptingArgs,

    /// Train every weight instead of an adapter
    #[arg(long, help_heading = "Adapter", conflicts_with_all = ["adapter", "rank", "alpha", "targets", "rslora"])]
    pub full: bool,
    /// Go on with this adapter instead of a new one
    #[arg(long, value_name = "DIR", help_heading = "Adapter", conflicts_with_all = ["rank", "alpha", "targets", "rslora"])]
    pub adapter: Option<PathBuf>,
    /// Rank [default: 8]
    #[arg(long, value_name = "R", help_heading = "Adapter")]
    pub rank: Option<usize>,
    /// Alpha: the factor is alpha / rank [default: 2 x rank]
    #[arg(
        long,
        value_name = "A",
        allow_negative_numbers = true,
        help_heading = "Adapter"
    )]
    pub alpha: Option<f64>,
    /// Projections with an adapter, separated by commas: q, k, v, o, gate, up, down [default: all]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Adapter"
    )]
    pub targets: Option<Vec<String>>,
    /// Make the factor alpha / sqrt(rank)
    #[arg(long, help_heading = "Adapter")]
    pub rslora: bool,

    /// What is minimised; kl and reverse-kl need a teacher, or rows that `lm score --top` made
    #[arg(long, value_enum, default_value_t = ObjectiveName::Ce, help_heading = "Loss")]
    pub objective: ObjectiveName,
    /// Model whose distribution is learned
    #[arg(long, value_name = "MODEL", help_heading = "Loss")]
    pub teacher: Option<String>,
    /// Adapter of the teacher
    #[arg(long, value_name = "DIR", help_heading = "Loss", requires = "teacher")]
    pub teacher_adapter: Option<PathBuf>,
    /// Weight of a second loss, KL to the frozen base: W, or FIRST:LAST:STEPS to anneal it
    #[arg(
        long,
        value_name = "W",
        allow_negative_numbers = true,
        help_heading = "Loss"
    )]
    pub base_kl: Option<String>,

    /// Times every row is seen [default: 1]
    #[arg(
        long,
        value_name = "N",
        help_heading = "Training",
        conflicts_with = "steps"
    )]
    pub epochs: Option<u64>,
    /// Optimiser steps, over as many epochs as they need
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub steps: Option<u64>,
    /// Rows of an optimiser step
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Training")]
    pub batch: u32,
    /// Update rule
    #[arg(long, value_enum, default_value_t = LmOptimiserName::Adamw, help_heading = "Training")]
    pub optimiser: LmOptimiserName,
    /// Learning rate [default: 2e-4, with --full 2e-5]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub learning_rate: Option<f64>,
    /// Adam's decay of the first moment [default: 0.9]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub beta1: Option<f64>,
    /// Adam's decay of the second moment [default: 0.999]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub beta2: Option<f64>,
    /// Adam's epsilon [default: 1e-8]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub epsilon: Option<f64>,
    /// AdamW's weight decay [default: 0]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub weight_decay: Option<f64>,
    /// Momentum of SGD [default: 0]
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub momentum: Option<f64>,
    /// How the learning rate moves
    #[arg(long, value_enum, default_value_t = ScheduleName::Linear, help_heading = "Training")]
    pub schedule: ScheduleName,
    /// Steps over which the learning rate rises from 0
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training")]
    pub warmup: u64,
    /// Largest norm of the gradient; 0 does not limit it
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        default_value_t = 1.0,
        help_heading = "Training"
    )]
    pub clip: f64,
    /// Seed of initial weights and the order of rows
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Training")]
    pub seed: u64,
    /// Number format of products; bf16 needs a processor that has it
    #[arg(long, value_enum, default_value_t = PrecisionName::F32, help_heading = "Training")]
    pub precision: PrecisionName,

    /// Rows whose loss is evaluated, JSON Lines
    #[arg(long, value_name = "FILE", help_heading = "Evaluation")]
    pub eval: Option<PathBuf>,
    /// Steps after which it is, separated by commas [default: 0 and the last]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Evaluation",
        requires = "eval"
    )]
    pub eval_at: Option<Vec<u64>>,

    /// Folder to write: an adapter as peft reads it, with --full a Hugging Face model
    #[arg(short, long, value_name = "DIR", help_heading = "Run")]
    pub output: Option<PathBuf>,
    /// File for the loss of every step, JSON
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub log: Option<PathBuf>,
    /// Seconds between two states kept for going on after an interruption; 0 keeps every step's
    #[arg(long, value_name = "SECS", default_value_t = 60, help_heading = "Run")]
    pub keep_every: u64,
    /// MiB of activations that a thread may keep for the backward pass; what does not fit is computed again
    #[arg(long, value_name = "MIB", default_value_t = 1024, help_heading = "Run")]
    pub kept_memory: usize,
    /// Print exactly what the model is given first
    #[arg(long, help_heading = "Run")]
    pub show_prompt: bool,
    /// Say tokens, time and memory, from a short calibration, and stop
    #[arg(long, visible_alias = "plan", help_heading = "Run")]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub struct LmMergeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Adapter to work in: a folder as peft writes it [default: none]
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Type of the weights; in bf16 an adapter's small changes can vanish
    #[arg(long, value_enum, default_value_t = WeightsName::F32)]
    pub weights: WeightsName,
    /// Folder to write
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}
