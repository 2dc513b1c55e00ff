//! Our side: loads the model anew for every measurement, so that its memory is that of the task alone.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rayon::{ThreadPool, ThreadPoolBuilder};
use undertone_core::Seed;
use undertone_lm::Checkpoint;
use undertone_lm::examples::TrainingRow;
use undertone_lm::gguf::Gguf;
use undertone_lm::lora::{LoraConfig, LoraWeights};
use undertone_lm::loss::Objective;
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::optimiser::Optimiser;
use undertone_lm::sample::{Prompt, SampleSettings, Sampler, Sampling};
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::score::{ScoreRow, ScoreSettings, Scorer};
use undertone_lm::train::{TrainSettings, Trainer};
use undertone_mlp::Precision;

use super::super::clock::cpu_seconds;
use super::result::Measurement;
use super::work::{Sizes, Task};

const SEED: Seed = Seed(0);
/// Activations that a thread keeps for the backward pass.
const KEPT_BYTES: usize = 1 << 30;

/// What is measured, and on how many threads.
pub struct Engine {
    path: PathBuf,
    gguf: Gguf,
    sizes: Sizes,
    threads: usize,
    pool: ThreadPool,
}

/// What a task made: a mean loss in nats, or 0.
type Loss = f64;

impl Engine {
    /// Opens the model.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn new(path: &Path, sizes: Sizes, threads: u16) -> Result<Self> {
        let threads = usize::from(threads);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            path: path.to_owned(),
            gguf: open(path)?,
            sizes,
            threads,
            pool: pool.context("cannot start threads")?,
        })
    }

    /// Returns the FLOP that a task takes.
    pub fn flop(&self, task: Task) -> f64 {
        self.sizes.flop(task, self.gguf.config())
    }

    /// Does a task once, after doing a smaller one.
    ///
    /// # Errors
    /// If the model does not load or the engine refuses.
    pub fn measure(&self, task: Task, precision: Precision) -> Result<Measurement> {
        let options = match task {
            Task::Train => LoadOptions::training(precision),
            Task::Sample | Task::Score => LoadOptions::inference(precision),
        };
        // Mapped pages of the file count as memory: they go before the task begins.
        let model = Model::load(&open(&self.path)?, options)
            .with_context(|| format!("cannot load {}", self.path.display()))?;
        self.pool.install(|| match task {
            Task::Train => self.train(model),
            Task::Sample => self.timed(task, |sizes| sample(&model, sizes)),
            Task::Score => self.timed(task, |sizes| score(&model, sizes)),
        })
    }

    fn train(&self, model: Model) -> Result<Measurement> {
        let vocabulary = model.config().vocabulary;
        let shape = LoraConfig::all_projections(8, 16.0);
        let adapter = LoraWeights::initial(shape, model.config(), SEED)?;
        let settings = TrainSettings {
            objective: Objective::CrossEntropy,
            base_kl: None,
            optimiser: Optimiser::adamw(1e-4, 0.01),
            schedule: Schedule {
                decay: Decay::Constant,
                warmup_steps: 0,
            },
            steps: 4,
            clip: None,
        };
        let trainer = Trainer::adapter(model, adapter, settings, self.threads, KEPT_BYTES);
        let mut trainer = trainer.context("cannot train")?;
        self.timed(Task::Train, |sizes| {
            let rows = draw(vocabulary, sizes.train_rows, sizes.train_tokens)
                .iter()
                .map(|tokens| {
                    let (prompt, completion) = tokens.split_at(sizes.prompt_tokens);
                    TrainingRow::new(prompt, completion, None)
                })
                .collect::<Result<Vec<_>, _>>()?;
            let rows: Vec<&TrainingRow> = rows.iter().collect();
            let mut loss = 0.0;
            for _ in 0..sizes.train_steps {
                loss = trainer.step(&rows, None, None)?.loss;
            }
            Ok(loss)
        })
    }

    /// Warms up, then measures time and memory.
    fn timed(
        &self,
        task: Task,
        mut work: impl FnMut(&Sizes) -> Result<Loss>,
    ) -> Result<Measurement> {
        work(&Sizes::SMOKE)?;
        forget_peak();
        let (cpu, start) = (cpu_seconds(), Instant::now());
        let loss = work(&self.sizes)?;
        Ok(Measurement {
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds().zip(cpu).map(|(end, start)| end - start),
            tokens: self.sizes.tokens(task),
            peak_bytes: peak_bytes(),
            gflop_per_s: 0.0,
            loss,
        })
    }
}

fn open(path: &Path) -> Result<Gguf> {
    Gguf::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// Draws rows of tokens, none of them one of the first three, which are special.
fn draw(vocabulary: usize, rows: usize, tokens: usize) -> Vec<Vec<u32>> {
    let mut stream = SEED.stream("bench/lm", 0);
    let mut row = || {
        (0..tokens)
            .map(|_| 3 + stream.below(vocabulary as u64 - 3) as u32)
            .collect()
    };
    (0..rows).map(|_| row()).collect()
}

fn sample(model: &Model, sizes: &Sizes) -> Result<Loss> {
    let rows = draw(
        model.config().vocabulary,
        sizes.sample_rows,
        sizes.prompt_tokens,
    );
    let prompts: Vec<Prompt> = (0..)
        .zip(rows)
        .map(|(row, tokens)| Prompt { row, tokens })
        .collect();
    let settings = SampleSettings {
        sampling: Sampling::default(),
        stop_tokens: Vec::new(),
        max_tokens: sizes.sample_tokens,
    };
    let sampler = Sampler {
        model,
        adapter: None,
        grammar: None,
        settings: &settings,
        seed: SEED,
        batch: sizes.sample_rows,
    };
    let mut made = 0;
    sampler.run(&prompts, &mut |completion| {
        made += completion.tokens.len();
        Ok(())
    })?;
    ensure!(
        made as u64 == sizes.tokens(Task::Sample),
        "{made} tokens were made"
    );
    Ok(0.0)
}

fn score(model: &Model, sizes: &Sizes) -> Result<Loss> {
    let rows = draw(
        model.config().vocabulary,
        sizes.score_rows,
        sizes.score_tokens,
    );
    let rows: Vec<ScoreRow> = rows
        .iter()
        .map(|tokens| ScoreRow {
            prompt: tokens[..1].to_vec(),
            completion: tokens[1..].to_vec(),
            ..ScoreRow::default()
        })
        .collect();
    let settings = ScoreSettings::default();
    let scorer = Scorer {
        model,
        adapter: None,
        settings: &settings,
    };
    let (mut sum, mut n) = (0.0, 0);
    scorer.run(&rows, &mut |score| {
        sum -= score
            .log_probabilities
            .iter()
            .copied()
            .map(f64::from)
            .sum::<f64>();
        n += score.log_probabilities.len();
        Ok(())
    })?;
    Ok(sum / n as f64)
}

/// Lets the system begin anew to watch how much memory this process has at most.
fn forget_peak() {
    // Where that is not possible, the peak is that of the whole run, loading included.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the most memory this process had since [`forget_peak`]; `None` where there is no `/proc`.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}
