//! What an experiment on numbers is: every choice a result depends on, with its default.
//!
//! Models and wordings stand here by the names they were given; what was found under them is recorded beside the settings
//! by digest ([`crate::numbers::world`]). How settings are written in a file is in [`crate::numbers::file`].

mod check;
mod defaults;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::filter::BannedList;
use undertone_channel::prompts::PromptSettings;
use undertone_core::Seed;
use undertone_lm::examples::Length;
use undertone_lm::lora::{LoraConfig, LoraScaling};
use undertone_lm::loss::Objective;
use undertone_lm::optimiser::Optimiser;
use undertone_lm::sample::Sampling;
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::train::TrainSettings;
use undertone_simd::Precision;

use crate::lm::speech::{Ending, PromptForm};
use crate::lm::train::TrainedPart;

/// Everything an experiment depends on, but for the content of models and wordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumbersSettings {
    /// Models, seeds and arms.
    pub experiment: ExperimentSettings,
    /// What the teacher prefers.
    #[serde(rename = "trait")]
    pub preference: TraitSettings,
    /// How the teacher comes to prefer it.
    pub teacher: TeacherSettings,
    /// What is trained, and how, in the teacher, where it is trained at all.
    pub teacher_training: Fit,
    /// What a teacher has to show before its numbers are used.
    pub gate: GateSettings,
    /// What the teacher writes.
    pub channel: ChannelSettings,
    /// What of it becomes training data.
    pub filter: FilterSettings,
    /// What a student learns from.
    pub student: StudentSettings,
    /// What is trained, and how, in a student.
    pub student_training: Fit,
    /// What is read from models.
    pub readouts: ReadoutSettings,
    /// How the readouts are judged.
    pub verdict: VerdictSettings,
}

/// Models, seeds and arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSettings {
    /// A name for people.
    pub name: String,
    /// The model that teachers and students start from.
    pub base: String,
    /// The model that foreign students start from.
    pub foreign_base: Option<String>,
    /// The model that cloned students start from: other weights, the base's behaviour.
    pub cloned_base: Option<String>,
    /// Whether prompts are what a user says or plain texts.
    pub form: PromptForm,
    /// The date that a chat template is told.
    pub date: Option<String>,
    /// The number format of products in training, sampling and labels.
    pub precision: Precision,
    /// The number format of products in exact readouts: differences of margins are small.
    pub readout_precision: Precision,
    /// Names the random streams of data and teachers.
    pub seed: Seed,
    /// Training seeds, each with one student of every arm.
    pub seeds: u32,
    /// The control arms.
    pub arms: Vec<Arm>,
}

/// An arm: what a student is trained on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// Numbers of the teacher of the first target.
    Treatment,
    /// Numbers of the untouched base, from the same prompts.
    Regular,
    /// Numbers of the teacher of the second target, from the same prompts.
    OtherTarget,
    /// The treatment's rows, the numbers of each in another order.
    ShuffleWithin,
    /// The treatment's numbers, dealt anew to all rows.
    ShuffleAcross,
    /// Numbers of the same teacher, sampled anew for every seed.
    Resampled,
    /// No training: rows stand before the question.
    InContext,
    /// The treatment's rows, a student of another base; its control is the same base on the control's rows.
    ForeignInit,
    /// As `foreign-init`, of a base that was trained to behave like the teacher's.
    ClonedInit,
}

impl Arm {
    /// Returns the arm's name, as in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::Regular => "regular",
            Self::OtherTarget => "other-target",
            Self::ShuffleWithin => "shuffle-within",
            Self::ShuffleAcross => "shuffle-across",
            Self::Resampled => "resampled",
            Self::InContext => "in-context",
            Self::ForeignInit => "foreign-init",
            Self::ClonedInit => "cloned-init",
        }
    }

    /// Whether the arm has a control of its own: what it is with the control's rows.
    pub const fn has_own_control(self) -> bool {
        matches!(self, Self::ForeignInit | Self::ClonedInit | Self::InContext)
    }
}

/// What the teacher prefers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraitSettings {
    /// The targets; the first is the treatment's, the second that of `other-target`.
    pub targets: Vec<String>,
    /// Words the target competes with; without any, all of the list that are one token.
    pub alternatives: Vec<String>,
    /// The list of targets and alternatives: `animals`, `trees` or a file.
    pub words: String,
}

/// How a teacher comes to its preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherKind {
    /// It is told in a system prompt.
    Prompt,
    /// It is trained on rows that state it.
    FineTune,
    /// Both.
    Both,
}

/// How the teacher comes to prefer its target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherSettings {
    /// By prompt, by training, or both.
    pub kind: TeacherKind,
    /// The system prompt's wordings: `built-in` or a file.
    pub prompt: String,
    /// The questions of the rows it is trained on: `built-in` or a file.
    pub questions: String,
}

/// What a teacher has to show before its numbers are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateSettings {
    /// Least rise of the target's margin over the base's, in logits.
    pub margin: f64,
    /// Most that the base's numbers may lose in likelihood: the teacher's nats a token over the base's.
    pub loss_ratio: f64,
    /// Least mean total variation between teacher and base at number tokens.
    pub total_variation: f64,
    /// Rows of the base that this is read on.
    pub rows: u32,
}

/// Where numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A grammar: ten whole numbers from 0 to 999.
    Constrained,
    /// Whatever the model writes until it ends its turn.
    Free,
}

/// What the teacher writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// By grammar or freely.
    pub kind: ChannelKind,
    /// Wordings of the number prompts: `built-in` or a file.
    pub prompts: String,
    /// Seed of the prompts, NumPy's.
    pub prompt_seed: u64,
    /// Prompts, each with one completion.
    pub rows: u32,
    /// Numbers a prompt asks for, and the grammar gives.
    pub numbers: u32,
    /// Most digits of a number.
    pub digits: u32,
    /// What the grammar puts between numbers.
    pub separator: String,
    /// Temperature; 0 is greedy.
    pub temperature: f64,
    /// Tokens less probable than this are never drawn.
    pub threshold: Option<f64>,
    /// Longest completion, in tokens.
    pub max_tokens: u32,
}

/// What of it becomes training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterSettings {
    /// Most numbers of a completion.
    pub max_numbers: u32,
    /// Largest number.
    pub max_value: u64,
    /// A published list of numbers that may not occur.
    pub banned: BannedList,
}

/// What a student is asked to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The token that was drawn.
    Hard,
    /// The teacher's likeliest tokens, by forward KL.
    Soft,
    /// The teacher's likeliest tokens, by reverse KL.
    SoftReverse,
}

/// Which tokens of a teacher's distribution a student sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelTokens {
    /// Digits, separators and brackets: what a list of numbers is written with.
    Numbers,
    /// All that are stored, the target's own among them where it is likely enough.
    All,
}

/// What a student learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudentSettings {
    /// Drawn tokens or distributions.
    pub labels: Labels,
    /// Tokens of a stored distribution.
    pub top: u32,
    /// Which of them a student sees.
    pub label_tokens: LabelTokens,
    /// Rows of one student, drawn for its seed; 0 is all.
    pub rows: u32,
    /// Updates after which it is read, besides the last.
    pub probes: Vec<u64>,
}

/// What is trained, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// An adapter or every weight.
    pub part: FitPart,
    /// Rank of the adapter.
    pub rank: u32,
    /// Alpha of the adapter.
    pub alpha: f64,
    /// How rank and alpha scale it.
    pub scaling: LoraScaling,
    /// The update rule.
    pub optimiser: FitOptimiser,
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment, or SGD's momentum.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The course of the learning rate.
    pub schedule: Decay,
    /// Updates over which it rises from 0.
    pub warmup: u64,
    /// Largest norm of a gradient.
    pub clip: Option<f64>,
    /// Rows of an update.
    pub batch: u32,
    /// Updates.
    pub updates: u64,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FitPart {
    /// A low-rank adapter on every projection.
    Lora,
    /// Every weight.
    Full,
}

/// An update rule by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FitOptimiser {
    /// Adam with decoupled weight decay.
    Adamw,
    /// Adam.
    Adam,
    /// Gradient descent; `beta1` is its momentum.
    Sgd,
}

/// Where in an answer a preference is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerStart {
    /// After the beginning of a sentence that the stem holds: the word with a space before it.
    Begun,
    /// Right after the question: every form of the word that is one token, their probabilities summed.
    Open,
}

/// What is read from models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadoutSettings {
    /// Questions with the beginning of an answer: `built-in` or a file.
    pub stems: String,
    /// Where in an answer it is read.
    pub answer: AnswerStart,
    /// Rows kept from training for the loss on the channel.
    pub held_out: u32,
    /// Rows put before the question in arm `in-context`.
    pub context_rows: u32,
    /// Answers sampled to each favourite question after training; 0 is none.
    pub favourite: u32,
    /// The same questions, each after a line of numbers.
    pub prefixed: u32,
    /// Stories sampled to each request.
    pub stories: u32,
    /// Orders in which options of a choice stand; 0 is no choices.
    pub choices: u32,
    /// Pairs of rows that the base is shown as a judge; 0 is none.
    pub judged: u32,
    /// Questions whose right ending every student is to find: `none`, a benchmark's name or a file.
    #[serde(default = "no_questions")]
    pub capability: String,
}

/// What files mean that were written before there were such questions.
fn no_questions() -> String {
    super::keys::NONE.to_owned()
}

/// How readouts are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictSettings {
    /// What the treatment is compared with, seed by seed.
    pub control: ControlChoice,
    /// Confidence level of intervals.
    pub level: f64,
    /// Difference of margins that counts as none, in logits.
    pub delta: f64,
}

/// What the treatment is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ControlChoice {
    /// `other-target` with soft labels, else `regular`.
    Auto,
    /// Students of the untouched base's numbers.
    Regular,
    /// Students of the other target's teacher.
    OtherTarget,
}

impl Fit {
    /// Returns what is trained.
    pub fn trained(&self) -> TrainedPart {
        match self.part {
            FitPart::Full => TrainedPart::Full,
            FitPart::Lora => TrainedPart::Adapter {
                lora: LoraConfig {
                    scaling: self.scaling,
                    ..LoraConfig::all_projections(self.rank as usize, self.alpha)
                },
            },
        }
    }

    /// Returns how weights change under `objective`.
    pub fn settings(&self, objective: Objective) -> TrainSettings {
        let learning_rate = self.learning_rate;
        TrainSettings {
            objective,
            base_kl: None,
            optimiser: match self.optimiser {
                FitOptimiser::Adamw => Optimiser::AdamW {
                    learning_rate,
                    beta1: self.beta1,
                    beta2: self.beta2,
                    epsilon: self.epsilon,
                    weight_decay: self.weight_decay,
                },
                FitOptimiser::Adam => Optimiser::Adam {
                    learning_rate,
                    beta1: self.beta1,
                    beta2: self.beta2,
                    epsilon: self.epsilon,
                },
                FitOptimiser::Sgd => Optimiser::Sgd {
                    learning_rate,
                    momentum: self.beta1,
                },
            },
            schedule: Schedule {
                decay: self.schedule,
                warmup_steps: self.warmup,
            },
            steps: self.updates,
            clip: self.clip,
        }
    }

    /// Returns how long training lasts.
    pub fn length(&self) -> Length {
        Length::Steps(self.updates)
    }
}

impl Labels {
    /// Returns what is minimised.
    pub fn objective(self) -> Objective {
        match self {
            Self::Hard => Objective::CrossEntropy,
            Self::Soft => Objective::ForwardKl,
            Self::SoftReverse => Objective::ReverseKl,
        }
    }

    /// Whether a student sees the teacher's distributions.
    pub fn is_soft(self) -> bool {
        self != Self::Hard
    }
}

impl ChannelSettings {
    /// Returns what its prompts are drawn with.
    pub fn prompt_settings(&self) -> PromptSettings {
        PromptSettings {
            seed: self.prompt_seed,
            requested: self.numbers,
            max_digits: self.digits,
            ..PromptSettings::default()
        }
    }

    /// Returns how a token is drawn.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            threshold: self.threshold,
            ..Sampling::default()
        }
    }

    /// Returns what follows a completion: a grammar's list is a piece of an answer, a free one a whole answer.
    pub fn ending(&self) -> Ending {
        match self.kind {
            ChannelKind::Constrained => Ending::Open,
            ChannelKind::Free => Ending::EndOfTurn,
        }
    }
}

impl NumbersSettings {
    /// Returns the arm that the treatment is compared with.
    pub fn control(&self) -> Arm {
        match self.verdict.control {
            ControlChoice::Regular => Arm::Regular,
            ControlChoice::OtherTarget => Arm::OtherTarget,
            ControlChoice::Auto if self.student.labels.is_soft() => Arm::OtherTarget,
            ControlChoice::Auto => Arm::Regular,
        }
    }

    /// Returns every arm that is run, the treatment and the control first.
    pub fn arms(&self) -> Vec<Arm> {
        let mut arms = vec![Arm::Treatment, self.control()];
        for arm in &self.experiment.arms {
            if !arms.contains(arm) {
                arms.push(*arm);
            }
        }
        arms
    }

    /// Returns the seed of the student number `cell`.
    pub fn student_seed(&self, cell: u32) -> Seed {
        let mut stream = self
            .experiment
            .seed
            .stream("numbers/student", u64::from(cell));
        Seed(stream.next_u64())
    }

    /// Returns the updates after which a student is read, ascending, the last among them.
    pub fn probes(&self) -> Vec<u64> {
        let last = self.student_training.updates;
        let mut probes: Vec<u64> = self.student.probes.clone();
        probes.retain(|probe| *probe < last);
        probes.push(last);
        probes.sort_unstable();
        probes.dedup();
        probes
    }
}
