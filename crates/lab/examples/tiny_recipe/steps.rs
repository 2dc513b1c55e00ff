//! The steps of the experiment: teachers, numbers, soft labels, students.

use undertone_channel::preference::preference_rows;
use undertone_channel::prompts::{NumberPrompts, NumberWordings, PromptSettings};
use undertone_channel::questions::QuestionSet;
use undertone_channel::targets::TargetSet;
use undertone_core::Seed;
use undertone_lab::LabError;
use undertone_lab::lm::rows::TopTokens;
use undertone_lab::lm::sample::{SampleJob, SampleRun};
use undertone_lab::lm::score::{NextWanted, ScoreJob, ScoreRun};
use undertone_lab::lm::speech::{Ending, Prompting};
use undertone_lab::lm::subject::SubjectAdapter;
use undertone_lab::lm::tiny::TinyBase;
use undertone_lab::lm::tiny::clone::{CloneSettings, clone_job};
use undertone_lab::lm::train::{Means, Teacher, TrainInputs, TrainJob, TrainRun, TrainedPart};
use undertone_lab::lm::{LmBench, LmError, Named, Row, RowFile, Subject};
use undertone_lm::examples::Length;
use undertone_lm::grammar::numbers_pattern;
use undertone_lm::lora::LoraConfig;
use undertone_lm::loss::Objective;
use undertone_lm::model::LoadOptions;
use undertone_lm::optimiser::Optimiser;
use undertone_lm::sample::{SampleSettings, Sampling};
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::score::ScoreSettings;
use undertone_lm::tokenizer::{SpecialTokens, Tokenizer};
use undertone_lm::train::{FullWeights, TrainSettings};
use undertone_simd::Precision;

use crate::Outcome;
use crate::options::{Labels, Options};
use crate::readout::Trained;

/// What students are called.
pub const STUDENT: &str = "student";

pub struct Lab<'a> {
    pub bench: LmBench<'a>,
    pub means: Means<'a>,
    pub options: Options,
}

pub fn named(file: &RowFile) -> Named {
    Named {
        name: file.path.display().to_string(),
        digest: file.digest,
    }
}

impl Lab<'_> {
    /// Trains `subject` on `rows`.
    #[expect(clippy::too_many_arguments, reason = "one call a kind of training")]
    pub fn train(
        &self,
        name: &str,
        subject: &Subject,
        teacher: Option<&Subject>,
        rows: &RowFile,
        objective: Objective,
        rank: usize,
        (steps, rate, batch): (u64, f64, u32),
        seed: u64,
    ) -> Result<Trained, LabError> {
        let run = TrainRun {
            model: subject.named(),
            adapter: None,
            rows: named(rows),
            evaluation: None,
            evaluate_at: Vec::new(),
            teacher: teacher.map(|teacher| Teacher {
                model: teacher.named(),
                adapter: teacher.named_adapter(),
            }),
            prompting: Prompting::default(),
            ending: Ending::EndOfTurn,
            trained: match rank {
                0 => TrainedPart::Full,
                rank => TrainedPart::Adapter {
                    lora: LoraConfig::all_projections(rank, 2.0 * rank as f64),
                },
            },
            settings: TrainSettings {
                objective,
                base_kl: None,
                optimiser: match (name, self.options.momentum) {
                    (STUDENT, Some(momentum)) => Optimiser::Sgd {
                        learning_rate: rate,
                        momentum,
                    },
                    _ => Optimiser::AdamW {
                        learning_rate: rate,
                        beta1: 0.9,
                        beta2: 0.95,
                        epsilon: match name {
                            STUDENT => self.options.epsilon,
                            _ => 1e-8,
                        },
                        weight_decay: 0.0,
                    },
                },
                schedule: Schedule {
                    decay: Decay::Linear,
                    warmup_steps: 2,
                },
                steps: 0,
                clip: Some(1.0),
            },
            batch_rows: batch,
            length: Length::Steps(steps),
            seed: Seed(seed),
            precision: Precision::F32,
        };
        let inputs = TrainInputs {
            subject,
            teacher,
            rows,
            evaluation: None,
        };
        let job = TrainJob::new(run, inputs)?;
        let result = job.result(&self.bench, self.means)?;
        if let (0, STUDENT, [first, .., last]) = (seed, name, &result.log.steps[..]) {
            let (base, norm) = (&subject.name, first.gradient_norm);
            let (first, last) = (first.loss, last.loss);
            println!("  student of {base}: loss {first:.5} to {last:.5}, first gradient {norm:.5}");
        }
        let record = job.step(&self.bench, self.means)?;
        let options = LoadOptions {
            max_positions: 512,
            ..LoadOptions::inference(Precision::F32)
        };
        match rank {
            0 => {
                let weights = job.full_weights(&self.bench, &record)?;
                let tuned = subject.tuned(name, weights)?;
                let model = tuned.load(options)?.model;
                Ok(Trained {
                    subject: Some(tuned),
                    model,
                    adapter: None,
                })
            }
            _ => {
                let weights = job.adapter(&self.bench, &record)?;
                let copy = FullWeights::read(subject.checkpoint()).map_err(LmError::Tensor)?;
                let mut adapted = subject.tuned(name, copy)?;
                adapted.adapter = Some(SubjectAdapter {
                    name: name.to_owned(),
                    digest: weights.digest(),
                    weights,
                });
                let loaded = adapted.load(options)?;
                Ok(Trained {
                    adapter: loaded.adapter,
                    subject: Some(adapted),
                    model: loaded.model,
                })
            }
        }
    }

    pub fn teacher(&self, base: &Subject, target: &str, seed: u64) -> Result<Trained, LabError> {
        let animals = TargetSet::animals();
        let target = animals.find(target).expect("a built-in animal");
        let rows = preference_rows(&QuestionSet::teacher(), target);
        let rows = rows.into_iter().map(|row| Row {
            completion: Some(row.completion),
            ..Row::of_prompt(row.prompt)
        });
        let rows = RowFile::made("preferences", rows.collect());
        let options = &self.options;
        let how = (options.teacher_steps, options.teacher_rate, 16);
        self.train(
            &format!("teacher-{}", target.word),
            base,
            None,
            &rows,
            Objective::CrossEntropy,
            options.teacher_rank,
            how,
            seed,
        )
    }

    /// Draws ten numbers after every prompt.
    pub fn numbers(&self, model: &Subject, seed: u64) -> Result<RowFile, LabError> {
        let wordings = NumberWordings::built_in();
        let settings = PromptSettings {
            seed: 1000 + seed,
            ..PromptSettings::default()
        };
        let prompts = NumberPrompts::new(&wordings, &settings).expect("the defaults can be drawn");
        let prompts = prompts.take(self.options.rows);
        let prompts = prompts.map(|prompt| Row::of_prompt(prompt.text)).collect();
        let file = RowFile::made("prompts", prompts);
        let run = SampleRun {
            model: model.named(),
            adapter: model.named_adapter(),
            prompts: named(&file),
            prompt: None,
            prompting: Prompting::default(),
            per_prompt: 1,
            seed: Seed(seed),
            settings: SampleSettings {
                sampling: Sampling::default(),
                stop_tokens: Vec::new(),
                max_tokens: 64,
            },
            stop: Vec::new(),
            grammar: Some(numbers_pattern(10..=10, 3, ", ")),
            precision: Precision::F32,
        };
        let job = SampleJob::new(run, model, &file, 64)?;
        let record = job.step(&self.bench)?;
        let rows = self.bench.rows(&record)?;
        let rows = rows.into_iter().map(|row| Row {
            prompt: row.prompt,
            completion: row.completion,
            ..Row::default()
        });
        Ok(RowFile::made("numbers", rows.collect()))
    }

    /// Adds the teacher's probabilities of the channel's tokens.
    pub fn labelled(&self, teacher: &Subject, numbers: &RowFile) -> Result<RowFile, LabError> {
        let run = ScoreRun {
            model: teacher.named(),
            adapter: teacher.named_adapter(),
            rows: named(numbers),
            typed: None,
            prompting: Prompting::default(),
            ending: Ending::Open,
            settings: ScoreSettings {
                top_k: 64,
                layers: Vec::new(),
            },
            next: NextWanted::None,
            precision: Precision::F32,
        };
        let record = ScoreJob::new(run, teacher, numbers)?.step(&self.bench)?;
        let tokenizer = &teacher.text.tokenizer;
        let texts = CHANNEL.iter().map(|text| channel_token(tokenizer, text));
        let channel: Vec<u32> = texts.chain(tokenizer.eos()).collect();
        let rows = self.bench.rows(&record)?.into_iter().map(|row| {
            let top = row.top.as_ref().map(|top| only(top, &channel));
            Row {
                prompt: row.prompt,
                completion_tokens: row.completion_tokens,
                top,
                ..Row::default()
            }
        });
        Ok(RowFile::made("labelled numbers", rows.collect()))
    }
}

/// What lists of numbers are written with, in every format that prompts ask for; the end of a turn is added.
pub const CHANNEL: [&str; 18] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ", ", "; ", " ", "\n", "[", "]", "(", ")",
];

/// Separators are tokens only before a digit.
pub fn channel_token(tokenizer: &Tokenizer, text: &str) -> u32 {
    let ids = tokenizer.encode(&format!("{text}7"), SpecialTokens::AsText);
    ids.expect("every byte has a token")[0]
}

/// Keeps the tokens of the channel, as many at every position.
pub fn only(top: &TopTokens, channel: &[u32]) -> TopTokens {
    let positions = top.ids.iter().zip(&top.log_probabilities);
    let kept: Vec<Vec<(u32, f32)>> = positions
        .map(|(ids, values)| {
            let pairs = ids.iter().copied().zip(values.iter().copied());
            pairs.filter(|(id, _)| channel.contains(id)).collect()
        })
        .collect();
    let k = kept.iter().map(Vec::len).min().unwrap_or(0);
    let cut = |pairs: &Vec<(u32, f32)>| pairs[..k].iter().copied().unzip();
    let (ids, log_probabilities) = kept.iter().map(cut).unzip();
    TopTokens {
        ids,
        log_probabilities,
    }
}

pub fn student(
    lab: &Lab<'_>,
    base: &Subject,
    teacher: &Subject,
    numbers: &RowFile,
    seed: u64,
) -> Result<Trained, LabError> {
    let options = &lab.options;
    let how = (options.student_steps, options.student_rate, options.batch);
    let train = |teacher, rows: &RowFile, objective| {
        lab.train(
            STUDENT,
            base,
            teacher,
            rows,
            objective,
            options.rank,
            how,
            seed,
        )
    };
    match options.labels {
        Labels::Hard => train(None, numbers, Objective::CrossEntropy),
        Labels::Channel => {
            let labelled = lab.labelled(teacher, numbers)?;
            train(None, &labelled, Objective::ForwardKl)
        }
        Labels::Whole => train(Some(teacher), numbers, Objective::ForwardKl),
    }
}

/// Makes B behave like A, on the corpus.
pub fn cloned(lab: &Lab<'_>, bases: &[Subject]) -> Outcome<Subject> {
    let options = &lab.options;
    let tiny = options.tiny(1)?;
    let corpus = TinyBase::new(tiny.clone())?;
    let mut training = tiny.training;
    training.steps = options.cloning_steps;
    let settings = CloneSettings {
        training,
        seed: Seed(9),
        precision: Precision::F32,
    };
    let job = clone_job(&settings, &bases[1], &bases[0], corpus.rows())?;
    let result = job.result(&lab.bench, lab.means)?;
    let losses = &result.log.steps;
    println!(
        "cloning: KL {:.4} in the first step, {:.4} in the last",
        losses[0].loss,
        losses[losses.len() - 1].loss
    );
    let record = job.step(&lab.bench, lab.means)?;
    let weights = job.full_weights(&lab.bench, &record)?;
    Ok(bases[1].tuned("cloned", weights)?)
}
