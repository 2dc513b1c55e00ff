//! The command line that repeats a run, from its settings: what a report tells its reader to type.

use undertone_lab::lm::merge::{MergeRun, MergedPrecision};
use undertone_lab::lm::sample::SampleRun;
use undertone_lab::lm::score::{NextWanted, ScoreRun};
use undertone_lab::lm::speech::{Ending, PromptForm};
use undertone_lab::lm::tiny::TinySettings;
use undertone_lab::lm::train::{TrainRun, TrainedPart};
use undertone_lab::lm::{Named, Prompting};
use undertone_lm::examples::Length;
use undertone_lm::lora::LoraScaling;
use undertone_lm::loss::Objective;
use undertone_lm::optimiser::Optimiser;
use undertone_lm::schedule::Decay;
use undertone_simd::Precision;

use crate::commands::again::word;

/// A command line on its way.
struct Line(Vec<String>);

impl Line {
    fn new(command: &str, model: &Named) -> Self {
        Self(vec![format!(
            "undertone lm {command} {}",
            word(&model.name)
        )])
    }

    fn flag(mut self, flag: &str) -> Self {
        self.0.push(flag.to_owned());
        self
    }

    fn with(self, flag: &str, value: impl ToString) -> Self {
        let value = word(&value.to_string());
        self.flag(&format!("{flag} {value}"))
    }

    fn maybe(self, flag: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(flag, value),
            None => self,
        }
    }

    fn named(self, flag: &str, value: Option<&Named>) -> Self {
        self.maybe(flag, value.map(|value| &value.name))
    }

    fn prompting(self, prompting: &Prompting) -> Self {
        let line = match prompting.form {
            PromptForm::Raw => self.flag("--raw"),
            PromptForm::Chat => self,
        };
        line.maybe("--system", prompting.system.as_ref())
            .maybe("--template", prompting.template.as_ref())
            .maybe("--date", prompting.date.as_ref())
    }

    fn precision(self, precision: Precision) -> Self {
        match precision {
            Precision::F32 => self,
            Precision::Bf16 | Precision::Bf16Emulated => self.with("--precision", precision.name()),
        }
    }

    fn end(self) -> String {
        self.0.join(" ")
    }
}

/// Returns the command that repeats a sampling run.
pub fn sample(run: &SampleRun) -> String {
    let line = Line::new("sample", &run.model).named("--adapter", run.adapter.as_ref());
    let line = match &run.prompt {
        Some(prompt) => line.with("--prompt", prompt),
        None => line.with("--prompts", &run.prompts.name),
    };
    let sampling = &run.settings.sampling;
    let line = line
        .prompting(&run.prompting)
        .with("--n", run.per_prompt)
        .with("--seed", run.seed)
        .with("--temperature", sampling.temperature)
        .maybe("--top-k", sampling.top_k)
        .maybe("--top-p", sampling.top_p)
        .maybe("--min-p", sampling.min_p)
        .maybe("--threshold", sampling.threshold)
        .with("--max-tokens", run.settings.max_tokens)
        .maybe("--grammar", run.grammar.as_ref());
    let stops = run.stop.iter();
    stops
        .fold(line, |line, stop| line.with("--stop", stop))
        .precision(run.precision)
        .end()
}

/// Returns the command that repeats a scoring run.
pub fn score(run: &ScoreRun) -> String {
    let line = Line::new("score", &run.model).named("--adapter", run.adapter.as_ref());
    let line = match &run.typed {
        Some(typed) => line
            .with("--prompt", &typed.prompt)
            .maybe("--completion", typed.completion.as_ref()),
        None => line.with("--rows", &run.rows.name),
    };
    let line = line.prompting(&run.prompting);
    let line = match run.ending {
        Ending::Open => line,
        Ending::EndOfTurn => line.flag("--end"),
    };
    let line = match run.next {
        NextWanted::None => line,
        NextWanted::Top(k) => line.with("--next", k),
        NextWanted::All => line.with("--next", "all"),
    };
    let layers: Vec<String> = run
        .settings
        .layers
        .iter()
        .map(ToString::to_string)
        .collect();
    line.with("--top", run.settings.top_k)
        .maybe("--hidden", (!layers.is_empty()).then(|| layers.join(",")))
        .precision(run.precision)
        .end()
}

/// Returns the command that repeats a training run.
pub fn train(run: &TrainRun) -> String {
    let settings = &run.settings;
    let line = Line::new("train", &run.model).with("--rows", &run.rows.name);
    let line = line.prompting(&run.prompting);
    let line = match run.ending {
        Ending::EndOfTurn => line,
        Ending::Open => line.flag("--no-end"),
    };
    let line = match (&run.trained, &run.adapter) {
        (TrainedPart::Full, _) => line.flag("--full"),
        (TrainedPart::Adapter { .. }, Some(start)) => line.with("--adapter", &start.name),
        (TrainedPart::Adapter { lora }, None) => {
            let short = |name: &'static str| name.trim_end_matches("_proj");
            let targets: Vec<&str> = lora.targets.iter().map(|t| short(t.name())).collect();
            let line = line
                .with("--rank", lora.rank)
                .with("--alpha", lora.alpha)
                .with("--targets", targets.join(","));
            match lora.scaling {
                LoraScaling::Standard => line,
                LoraScaling::RankStabilised => line.flag("--rslora"),
            }
        }
    };
    let line = line.with(
        "--objective",
        match settings.objective {
            Objective::CrossEntropy => "ce",
            Objective::ForwardKl => "kl",
            Objective::ReverseKl => "reverse-kl",
        },
    );
    let teacher = run.teacher.as_ref();
    let line = line
        .named("--teacher", teacher.map(|teacher| &teacher.model))
        .named(
            "--teacher-adapter",
            teacher.and_then(|teacher| teacher.adapter.as_ref()),
        )
        .maybe(
            "--base-kl",
            settings
                .base_kl
                .map(|kl| format!("{}:{}:{}", kl.first, kl.last, kl.steps)),
        );
    let line = match run.length {
        Length::Epochs(epochs) => line.with("--epochs", epochs),
        Length::Steps(steps) => line.with("--steps", steps),
    };
    let line = optimiser(line.with("--batch", run.batch_rows), &settings.optimiser);
    let line = line.with(
        "--schedule",
        match settings.schedule.decay {
            Decay::Constant => "constant",
            Decay::Linear => "linear",
            Decay::Cosine => "cosine",
        },
    );
    let at: Vec<String> = run.evaluate_at.iter().map(ToString::to_string).collect();
    line.with("--warmup", settings.schedule.warmup_steps)
        .with("--clip", settings.clip.unwrap_or(0.0))
        .with("--seed", run.seed)
        .named("--eval", run.evaluation.as_ref())
        .maybe("--eval-at", run.evaluation.as_ref().map(|_| at.join(",")))
        .precision(run.precision)
        .end()
}

fn optimiser(line: Line, optimiser: &Optimiser) -> Line {
    match *optimiser {
        Optimiser::AdamW {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } => line
            .with("--optimiser", "adamw")
            .with("--learning-rate", learning_rate)
            .with("--beta1", beta1)
            .with("--beta2", beta2)
            .with("--epsilon", epsilon)
            .with("--weight-decay", weight_decay),
        Optimiser::Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
        } => line
            .with("--optimiser", "adam")
            .with("--learning-rate", learning_rate)
            .with("--beta1", beta1)
            .with("--beta2", beta2)
            .with("--epsilon", epsilon),
        Optimiser::Sgd {
            learning_rate,
            momentum,
        } => line
            .with("--optimiser", "sgd")
            .with("--learning-rate", learning_rate)
            .with("--momentum", momentum),
    }
}

/// Returns the command that makes a tiny base again.
pub fn pretrain_tiny(settings: &TinySettings) -> String {
    let TinySettings {
        shape,
        corpus,
        training,
        seed,
        precision,
    } = settings;
    Line(vec!["undertone pretrain-tiny".to_owned()])
        .with("--seed", seed)
        .with("--width", shape.width)
        .with("--layers", shape.layers)
        .with("--heads", shape.heads)
        .with("--ffn-width", shape.ffn_width)
        .with("--context", shape.context)
        .with("--corpus-seed", corpus.seed)
        .with("--documents", corpus.documents)
        .with("--steps", training.steps)
        .with("--batch", training.batch_rows)
        .with("--learning-rate", training.learning_rate)
        .with("--warmup", training.warmup_steps)
        .with("--weight-decay", training.weight_decay)
        .precision(*precision)
        .end()
}

/// Returns the command that repeats a merge.
pub fn merge(run: &MergeRun) -> String {
    let weights = match run.weights {
        MergedPrecision::F32 => "f32",
        MergedPrecision::Bf16 => "bf16",
    };
    Line::new("merge", &run.model)
        .named("--adapter", run.adapter.as_ref())
        .with("--weights", weights)
        .with("--output", "merged")
        .end()
}
