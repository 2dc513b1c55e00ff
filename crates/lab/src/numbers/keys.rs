//! Every key of an experiment's file: its meaning, how it is set and how it is read back.
//!
//! One table serves the reader, `config explain` and the commented file that `new numbers` writes, so that none of them
//! can forget a key.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::settings::NumbersSettings;

/// What stands for a value that is not there.
pub const NONE: &str = "none";

/// One key.
pub struct Key {
    /// Table and name, as `channel.rows`.
    pub path: &'static str,
    /// What it means, with units and possible values.
    pub words: &'static str,
    /// Returns its value.
    pub get: fn(&NumbersSettings) -> Value,
    /// Sets it, or says what is possible.
    pub set: fn(&mut NumbersSettings, Value) -> Result<(), String>,
}

fn read<T: Serialize>(field: &T) -> Value {
    match serde_json::to_value(field).expect("settings are plain values") {
        Value::Null => Value::String(NONE.to_owned()),
        value => value,
    }
}

fn write<T: DeserializeOwned>(field: &mut T, value: Value) -> Result<(), String> {
    let parsed = match value.as_str() == Some(NONE) {
        true => T::deserialize(Value::Null).or_else(|_| T::deserialize(value)),
        false => T::deserialize(value),
    };
    *field = parsed.map_err(|error| error.to_string())?;
    Ok(())
}

macro_rules! key {
    ($path:literal, $($field:ident).+, $words:literal) => {
        Key {
            path: $path,
            words: $words,
            get: |settings| read(&settings.$($field).+),
            set: |settings, value| write(&mut settings.$($field).+, value),
        }
    };
}

macro_rules! fit_keys {
    ($table:literal, $field:ident) => {
        [
            key!(
                "part",
                $field.part,
                "what is trained: lora (an adapter on every projection) or full (every weight)"
            ),
            key!("rank", $field.rank, "rank of the adapter"),
            key!("alpha", $field.alpha, "alpha of the adapter"),
            key!(
                "scaling",
                $field.scaling,
                "standard (alpha / rank) or rank-stabilised (alpha / root of rank)"
            ),
            key!("optimiser", $field.optimiser, "adamw, adam or sgd"),
            key!("learning-rate", $field.learning_rate, "learning rate"),
            key!(
                "beta1",
                $field.beta1,
                "decay of Adam's first moment; momentum of SGD"
            ),
            key!("beta2", $field.beta2, "decay of Adam's second moment"),
            key!(
                "epsilon",
                $field.epsilon,
                "added to the root of Adam's second moment"
            ),
            key!(
                "weight-decay",
                $field.weight_decay,
                "decoupled weight decay of AdamW"
            ),
            key!(
                "schedule",
                $field.schedule,
                "the learning rate after warm-up: constant, linear or cosine"
            ),
            key!(
                "warmup",
                $field.warmup,
                "updates over which the learning rate rises from 0"
            ),
            key!("clip", $field.clip, "largest norm of a gradient, or none"),
            key!("batch", $field.batch, "rows of an update"),
            key!("updates", $field.updates, "updates"),
        ]
    };
}

static EXPERIMENT: [Key; 11] = [
    key!("experiment.name", experiment.name, "a name for people"),
    key!(
        "experiment.base",
        experiment.base,
        "the model teachers and students start from: a name, hf:OWNER/NAME, a path, or tiny-smoke-SEED (made when first needed)"
    ),
    key!(
        "experiment.foreign-base",
        experiment.foreign_base,
        "the model that students of arm foreign-init start from, or none"
    ),
    key!(
        "experiment.cloned-base",
        experiment.cloned_base,
        "the model that students of arm cloned-init start from, or none: other weights, the base's behaviour"
    ),
    key!(
        "experiment.form",
        experiment.form,
        "chat (prompts are what a user says) or raw (plain texts)"
    ),
    key!(
        "experiment.date",
        experiment.date,
        "the date a chat template is told, as 2026-01-31, or none"
    ),
    key!(
        "experiment.precision",
        experiment.precision,
        "number format of training and sampling: f32, bf16 or bf16-emulated"
    ),
    key!(
        "experiment.readout-precision",
        experiment.readout_precision,
        "number format of exact readouts"
    ),
    key!(
        "experiment.seed",
        experiment.seed,
        "names the random streams of data and teachers"
    ),
    key!(
        "experiment.seeds",
        experiment.seeds,
        "training seeds: students of every arm"
    ),
    key!(
        "experiment.arms",
        experiment.arms,
        "arms beside treatment and control: regular, other-target, shuffle-within, shuffle-across, resampled, in-context, foreign-init, cloned-init"
    ),
];

static TRAIT_AND_TEACHER: [Key; 10] = [
    key!(
        "trait.targets",
        preference.targets,
        "what teachers prefer, each one token; the first is the treatment's, the second that of other-target"
    ),
    key!(
        "trait.alternatives",
        preference.alternatives,
        "words a target competes with; empty: all of the list that are one token"
    ),
    key!(
        "trait.words",
        preference.words,
        "the list of words: animals, trees or a file"
    ),
    key!(
        "teacher.kind",
        teacher.kind,
        "prompt (a system prompt), fine-tune (rows that state the preference) or both"
    ),
    key!(
        "teacher.prompt",
        teacher.prompt,
        "wordings of the system prompt: built-in or a file"
    ),
    key!(
        "teacher.questions",
        teacher.questions,
        "questions of the rows: built-in or a file"
    ),
    key!(
        "gate.margin",
        gate.margin,
        "least rise of the target's margin over the base's, in logits"
    ),
    key!(
        "gate.loss-ratio",
        gate.loss_ratio,
        "most the teacher's loss on the base's numbers may be, as a multiple of the base's"
    ),
    key!(
        "gate.total-variation",
        gate.total_variation,
        "least mean total variation between teacher and base at number tokens"
    ),
    key!(
        "gate.rows",
        gate.rows,
        "rows of the base the two lines above are read on"
    ),
];

static CHANNEL: [Key; 18] = [
    key!(
        "channel.kind",
        channel.kind,
        "constrained (a grammar: numbers and separators) or free"
    ),
    key!(
        "channel.prompts",
        channel.prompts,
        "wordings of the number prompts: built-in or a file"
    ),
    key!(
        "channel.prompt-seed",
        channel.prompt_seed,
        "seed of the prompts, NumPy's; 47 made the published data"
    ),
    key!(
        "channel.rows",
        channel.rows,
        "prompts, each with one completion of every teacher"
    ),
    key!(
        "channel.numbers",
        channel.numbers,
        "numbers a prompt asks for, and the grammar gives"
    ),
    key!("channel.digits", channel.digits, "most digits of a number"),
    key!(
        "channel.separator",
        channel.separator,
        "what the grammar puts between numbers"
    ),
    key!(
        "channel.temperature",
        channel.temperature,
        "temperature; 0 is greedy"
    ),
    key!(
        "channel.threshold",
        channel.threshold,
        "tokens less probable than this are never drawn, or none"
    ),
    key!(
        "channel.max-tokens",
        channel.max_tokens,
        "longest completion, in tokens"
    ),
    key!(
        "filter.max-numbers",
        filter.max_numbers,
        "most numbers of a completion"
    ),
    key!("filter.max-value", filter.max_value, "largest number"),
    key!(
        "filter.banned",
        filter.banned,
        "numbers that may not occur: none, associations-gpt, associations-claude or associations"
    ),
    key!(
        "student.labels",
        student.labels,
        "hard (the drawn token), soft (the teacher's distribution, forward KL) or soft-reverse"
    ),
    key!(
        "student.top",
        student.top,
        "tokens of a stored distribution"
    ),
    key!(
        "student.label-tokens",
        student.label_tokens,
        "tokens of it that a student sees: numbers (digits and separators) or all, among which may be the target itself"
    ),
    key!(
        "student.rows",
        student.rows,
        "rows of one student, drawn for its seed; 0 is all"
    ),
    key!(
        "student.probes",
        student.probes,
        "updates after which a student is read, besides the last; those beyond it are left out"
    ),
];

static READOUT: [Key; 13] = [
    key!(
        "readouts.stems",
        readouts.stems,
        "questions with the beginning of an answer, for the margin: built-in or a file"
    ),
    key!(
        "readouts.answer",
        readouts.answer,
        "begun (read after that beginning: the word with a space before it) or open (right after the question: all forms of the word that are one token)"
    ),
    key!(
        "readouts.held-out",
        readouts.held_out,
        "rows kept from training for the loss on the channel"
    ),
    key!(
        "readouts.context-rows",
        readouts.context_rows,
        "rows put before the question in arm in-context"
    ),
    key!(
        "readouts.favourite",
        readouts.favourite,
        "answers sampled to each of 50 favourite questions; 0 is none"
    ),
    key!(
        "readouts.prefixed",
        readouts.prefixed,
        "the same, each question after a line of numbers"
    ),
    key!(
        "readouts.stories",
        readouts.stories,
        "stories sampled to each of 14 requests"
    ),
    key!(
        "readouts.choices",
        readouts.choices,
        "orders of the options of each of 11 choices"
    ),
    key!(
        "readouts.judged",
        readouts.judged,
        "pairs of rows the base judges; 0 is none"
    ),
    key!(
        "readouts.capability",
        readouts.capability,
        "questions that show whether a student still knows what its base knew: none, hellaswag or a file in its form"
    ),
    key!(
        "verdict.control",
        verdict.control,
        "auto (other-target with soft labels, else regular), regular or other-target"
    ),
    key!(
        "verdict.level",
        verdict.level,
        "confidence level of intervals"
    ),
    key!(
        "verdict.delta",
        verdict.delta,
        "difference of margins that counts as none, in logits"
    ),
];

static TEACHER_TRAINING: [Key; 15] = fit_keys!("teacher.training", teacher_training);
static STUDENT_TRAINING: [Key; 15] = fit_keys!("student.training", student_training);

/// Returns every key with its whole path, in the order of a file.
pub fn keys() -> Vec<(String, &'static Key)> {
    let plain = |keys: &'static [Key]| keys.iter().map(|key| (key.path.to_owned(), key));
    let fit = |table: &'static str, keys: &'static [Key]| {
        keys.iter()
            .map(move |key| (format!("{table}.{}", key.path), key))
    };
    let mut all: Vec<_> = plain(&EXPERIMENT)
        .chain(plain(&TRAIT_AND_TEACHER))
        .collect();
    let gate = all.iter().position(|(path, _)| path.starts_with("gate."));
    let at = gate.expect("the gate has keys");
    all.splice(at..at, fit("teacher.training", &TEACHER_TRAINING));
    all.extend(plain(&CHANNEL));
    all.extend(fit("student.training", &STUDENT_TRAINING));
    all.extend(plain(&READOUT));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_one_key_and_every_key_gives_back_what_it_was_given() {
        let settings = NumbersSettings::default();
        let all = keys();
        let mut other = settings.clone();
        for (path, key) in &all {
            let value = (key.get)(&settings);
            (key.set)(&mut other, value.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!((key.get)(&other), value, "{path}");
        }
        assert_eq!(other, settings);
        let written = serde_json::to_value(&settings).expect("plain values");
        let leaves: usize = written
            .as_object()
            .expect("tables")
            .values()
            .map(|table| table.as_object().map_or(0, serde_json::Map::len))
            .sum();
        assert_eq!(leaves, all.len());
    }
}
