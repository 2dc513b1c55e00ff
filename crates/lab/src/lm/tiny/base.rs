//! The step that makes a tiny decoder: the whole model trained on its corpus.
//!
//! It is the step `lm/train` over rows that are drawn here, so it is found in the store, kept now and then, and goes on to
//! the same bits as any other training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_lm::examples::Length;
use undertone_lm::initial::initial_weights;
use undertone_lm::made::MadeModel;
use undertone_lm::tokenizer::{SpecialTokens, Tokenizer, TokenizerConfig};
use undertone_store::{StepKey, StepRecord};

use super::corpus::{Corpus, Document};
use super::settings::TinySettings;
use super::vocabulary::{companions, generation};
use crate::error::LabError;
use crate::lm::error::LmError;
use crate::lm::rows::{Row, RowFile};
use crate::lm::speech::{Ending, PromptForm, Prompting};
use crate::lm::step::LmBench;
use crate::lm::subject::{Named, Subject};
use crate::lm::train::{Means, TrainInputs, TrainJob, TrainRun, TrainedPart, TrainingLog};

/// Documents that are not trained on and whose loss is told.
const HELD_OUT: u64 = 256;

/// A tiny decoder before its training, and its corpus.
#[derive(Debug)]
pub struct TinyBase {
    settings: TinySettings,
    start: Subject,
    rows: RowFile,
    held_out: RowFile,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TinyResult {
    /// The settings.
    pub settings: TinySettings,
    /// The step.
    pub step: StepKey,
    /// The model's digest, in memory as in a folder.
    pub model: Digest,
    /// Its weights.
    pub parameters: u64,
    /// Its tokens.
    pub vocabulary: u64,
    /// Documents.
    pub documents: u64,
    /// Tokens of all documents.
    pub tokens: u64,
    /// What every optimiser step did, and the loss on documents that were held out.
    pub log: TrainingLog,
}

impl TinyBase {
    /// Draws initial weights and corpus.
    ///
    /// # Errors
    /// If there is no model of this shape, or its context is shorter than a document.
    pub fn new(settings: TinySettings) -> Result<Self, LabError> {
        let companions = companions();
        let tokenizer = tokenizer(&companions[0].content, &companions[1].content);
        let config = settings.shape.config(tokenizer.len());
        let weights = initial_weights(&config, settings.seed).map_err(LmError::Shape)?;
        let made = MadeModel::new(weights, generation(), companions).map_err(LmError::Merge)?;
        let corpus = Corpus::new(settings.corpus);
        let n = u64::from(settings.corpus.documents);
        let rows = |range: std::ops::Range<u64>| {
            let documents = range.map(|index| row(&tokenizer, &corpus.document(index)));
            documents.collect::<Vec<Row>>()
        };
        Ok(Self {
            start: Subject::made(&name(&settings), made)?,
            rows: RowFile::made("the tiny corpus", rows(0..n)),
            held_out: RowFile::made("the tiny corpus, held out", rows(n..n + HELD_OUT)),
            settings,
        })
    }

    /// Returns the settings.
    pub fn settings(&self) -> &TinySettings {
        &self.settings
    }

    /// Returns the model as it was drawn.
    pub fn start(&self) -> &Subject {
        &self.start
    }

    /// Returns the corpus, encoded.
    pub fn rows(&self) -> &RowFile {
        &self.rows
    }

    /// Returns the training that makes the base.
    ///
    /// # Errors
    /// If the settings make none.
    pub fn job(&self) -> Result<TrainJob<'_>, LabError> {
        let training = &self.settings.training;
        let named = |file: &RowFile| Named {
            name: file.path.display().to_string(),
            digest: file.digest,
        };
        let run = TrainRun {
            model: self.start.named(),
            adapter: None,
            rows: named(&self.rows),
            evaluation: Some(named(&self.held_out)),
            evaluate_at: Vec::new(),
            teacher: None,
            prompting: Prompting {
                form: PromptForm::Raw,
                ..Prompting::default()
            },
            ending: Ending::Open,
            trained: TrainedPart::Full,
            settings: training.settings(),
            batch_rows: training.batch_rows,
            length: Length::Steps(training.steps),
            seed: self.settings.seed,
            precision: self.settings.precision,
        };
        let inputs = TrainInputs {
            subject: &self.start,
            teacher: None,
            rows: &self.rows,
            evaluation: Some(&self.held_out),
        };
        TrainJob::new(run, inputs)
    }

    /// Returns the trained base, training it if the store has it not.
    ///
    /// # Errors
    /// If the store fails, training diverges, or the work is asked to stop; the state is kept then.
    pub fn subject(&self, bench: &LmBench<'_>, means: Means<'_>) -> Result<Subject, LabError> {
        let job = self.job()?;
        let record = job.step(bench, means)?;
        self.of_record(&job, bench, &record)
    }

    /// Returns the base that a finished step holds.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn of_record(
        &self,
        job: &TrainJob<'_>,
        bench: &LmBench<'_>,
        record: &StepRecord,
    ) -> Result<Subject, LabError> {
        let weights = job.full_weights(bench, record)?;
        self.start.tuned(&self.start.name, weights)
    }

    /// Does the step and says what came out.
    ///
    /// # Errors
    /// As [`TinyBase::subject`].
    pub fn result(&self, bench: &LmBench<'_>, means: Means<'_>) -> Result<TinyResult, LabError> {
        let job = self.job()?;
        let trained = job.result(bench, means)?;
        let record = job.step(bench, means)?;
        let rows = job.rows().iter();
        Ok(TinyResult {
            model: self.of_record(&job, bench, &record)?.digest,
            settings: self.settings.clone(),
            step: trained.step,
            parameters: trained.parameters,
            vocabulary: self.start.open.config().vocabulary as u64,
            documents: trained.rows,
            tokens: rows.map(|row| row.tokens().len() as u64).sum(),
            log: trained.log,
        })
    }
}

/// Returns what a base is called where nobody named it.
fn name(settings: &TinySettings) -> String {
    format!("tiny-{}", settings.seed)
}

fn tokenizer(json: &[u8], config: &[u8]) -> Tokenizer {
    let config = TokenizerConfig::from_json(config).expect("it was written here");
    Tokenizer::from_json(json, &config).expect("it was written here")
}

/// Encodes a document: what is learned ends with the end of the turn.
fn row(tokenizer: &Tokenizer, document: &Document) -> Row {
    let encode = |text: &str, special| {
        let tokens = tokenizer.encode(text, special);
        tokens.expect("every byte has a token, and documents are short")
    };
    let mut prompt: Vec<u32> = tokenizer.bos().into_iter().collect();
    prompt.extend(encode(&document.prompt_text(), SpecialTokens::Parse));
    let mut learned = encode(&document.learned, SpecialTokens::AsText);
    learned.extend(tokenizer.eos());
    Row {
        prompt_tokens: Some(prompt),
        completion_tokens: Some(learned),
        ..Row::default()
    }
}
