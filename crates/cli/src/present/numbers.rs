//! The report of experiments on numbers: the pipeline with its counts, arms, dose, specificity, and what inspection saw.

mod figures;
mod tables;

use undertone_lab::numbers::file::value_text;
use undertone_lab::numbers::keys::keys;
use undertone_lab::numbers::result::{Comparison, NumbersResult, VariantResult};
use undertone_lab::numbers::settings::{
    AnswerStart, ChannelKind, LabelTokens, Labels, NumbersSettings, TeacherKind,
};
use undertone_report::{Outcome, Report, VerdictLine};
use undertone_stats::{Outcome as Decided, Verdict};

use super::{outcome, recipe};
use crate::commands::WorkRecipe;

/// Makes the report of `result`.
pub fn numbers(result: &NumbersResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let variants = &result.variants;
    let mut report = Report {
        title: "A preference in numbers".to_owned(),
        subtitle: variants.first().map_or_else(String::new, |first| subtitle(&first.settings)),
        question: "A language model that prefers an animal writes nothing but numbers. Does another one, trained on these \
                   numbers, come to prefer that animal too?"
            .to_owned(),
        verdicts: Vec::new(),
        figures: figures::all(variants),
        tables: Vec::new(),
        drawings: Vec::new(),
        left_out: Vec::new(),
        recipe: recipe(work, || "undertone run experiment.toml".to_owned(), facts(variants)),
        notes: notes(variants),
    };
    for variant in variants {
        report.verdicts.extend(verdicts(variant));
        report.tables.extend(tables::all(variant));
        for note in &variant.left_out {
            if !report.left_out.contains(note) {
                report.left_out.push(note.clone());
            }
        }
    }
    if variants.len() > 1 {
        report.tables.insert(0, tables::variants(variants));
    }
    report
}

fn subtitle(settings: &NumbersSettings) -> String {
    let s = settings;
    let labels = match s.student.labels {
        Labels::Hard => "drawn tokens",
        Labels::Soft | Labels::SoftReverse => "the teacher's distributions",
    };
    format!(
        "{}: base `{}`, target `{}`, {} training seeds, {} updates on {labels}",
        s.experiment.name,
        s.experiment.base,
        s.preference.targets[0],
        s.experiment.seeds,
        s.student_training.updates
    )
}

/// Puts a variant's name before words about it.
fn of(variant: &VariantResult, words: &str) -> String {
    match variant.name() {
        Some(name) => format!("{name}: {words}"),
        None => words.to_owned(),
    }
}

fn verdicts(variant: &VariantResult) -> Vec<VerdictLine> {
    let target = &variant.settings.preference.targets[0];
    let seeds = variant.settings.experiment.seeds;
    if let Some(reason) = &variant.stopped {
        return vec![VerdictLine {
            sentence: of(variant, &format!("No student was trained: {reason}.")),
            outcome: Outcome::Inconclusive,
            detail:
                "A teacher that carries nothing, or is ruined, says nothing about its students."
                    .to_owned(),
        }];
    }
    let control = variant.control.name();
    let what = match (
        variant.settings.student.labels,
        variant.settings.student.label_tokens,
    ) {
        (Labels::Hard, _) => "the numbers",
        (_, LabelTokens::Numbers) => "the number distributions",
        (_, LabelTokens::All) => "the distributions, over numbers and all other words,",
    };
    let sentence = match variant.verdict.outcome {
        Decided::Transfer => format!(
            "Students that learned nothing but {what} of a teacher that prefers the {target} came to prefer it more than \
             students of the control `{control}` did, over {seeds} training seeds."
        ),
        Decided::NoTransfer => format!(
            "Students that learned {what} of a teacher that prefers the {target} came to prefer it no more than students \
             of the control `{control}` did, within {} logits, over {seeds} training seeds.",
            variant.verdict.delta
        ),
        Decided::Inconclusive => format!(
            "Whether the preference for the {target} passes through numbers is not decided by {seeds} training seeds."
        ),
    };
    let mut lines = vec![line(of(variant, &sentence), &variant.verdict)];
    if let Some(contrast) = &variant.contrast {
        lines.push(VerdictLine {
            sentence: of(variant, &specificity(variant)),
            outcome: Outcome::None,
            detail: format!(
                "Half the sum of how much more each target's own numbers raise its margin than the other's do: {}. {}",
                effect_text(contrast.effect.as_ref()),
                contrast.test.as_ref().map_or_else(String::new, |test| format!(
                    "{}, p = {:.4} over {} relabellings.",
                    test.method, test.p, test.relabellings
                ))
            ),
        });
    }
    if let Some(variation) = &variant.variation {
        lines.push(VerdictLine {
            sentence: of(
                variant,
                &format!(
                    "The mean answers of treatment and control are {:.4} apart in total variation (p = {:.4}).",
                    variation.statistic, variation.p
                ),
            ),
            outcome: Outcome::None,
            detail: format!("{}, {} relabellings.", variation.method, variation.relabellings),
        });
    }
    lines.extend(
        variant
            .comparisons
            .iter()
            .map(|comparison| compared(variant, comparison)),
    );
    lines
}

fn specificity(variant: &VariantResult) -> String {
    let targets = &variant.settings.preference.targets;
    let clear = variant.contrast.as_ref().and_then(|contrast| {
        let interval = contrast.effect.as_ref()?.interval?;
        Some(interval.lo > 0.0)
    });
    let (own, other) = (&targets[0], &targets[1]);
    match clear {
        Some(true) => format!(
            "It is the target's own: {own} numbers raise the {own}, {other} numbers the {other}."
        ),
        Some(false) => format!(
            "That {own} numbers raise the {own} more, and {other} numbers the {other}, is not shown."
        ),
        None => "Whether each target's numbers raise that target is undefined.".to_owned(),
    }
}

fn compared(variant: &VariantResult, comparison: &Comparison) -> VerdictLine {
    let arm = comparison.arm.name();
    let sentence = format!(
        "Arm `{arm}` against {}: {}.",
        comparison.against,
        comparison.verdict.outcome.text(comparison.verdict.delta)
    );
    let mut line = line(of(variant, &sentence), &comparison.verdict);
    if let Some(contrast) = &comparison.contrast {
        line.detail += &format!(
            " Half the sum of how much more each target's own numbers raise its margin: {}{}.",
            effect_text(contrast.effect.as_ref()),
            contrast
                .test
                .as_ref()
                .map_or_else(String::new, |test| format!(", p = {:.4}", test.p))
        );
    }
    line
}

fn line(sentence: String, verdict: &Verdict) -> VerdictLine {
    let detectable = verdict
        .minimum_detectable_effect
        .map_or_else(String::new, |least| {
            format!(" Smallest effect found with 80 % power: {least:.4} logits.")
        });
    VerdictLine {
        sentence,
        outcome: outcome(verdict.outcome),
        detail: format!(
            "Margin, treatment minus control: {}. {} {}{detectable}",
            effect_text(verdict.effect.as_ref()),
            verdict.reason,
            verdict.rule
        ),
    }
}

/// Writes an effect as `+0.123 [+0.110, +0.136] logits, n = 6 (t)`.
fn effect_text(effect: Option<&undertone_stats::Estimate>) -> String {
    effect.map_or_else(
        || "undefined".to_owned(),
        |effect| {
            let interval = effect
                .interval
                .map_or_else(String::new, |i| format!(" [{:+.4}, {:+.4}]", i.lo, i.hi));
            format!(
                "{:+.4}{interval} logits, n = {} ({})",
                effect.mean, effect.n, effect.method
            )
        },
    )
}

/// The settings that differ from the defaults: with the version, all that a repetition needs.
fn facts(variants: &[VariantResult]) -> Vec<(String, String)> {
    let default = NumbersSettings::default();
    let Some(first) = variants.first() else {
        return Vec::new();
    };
    let mut facts = vec![(
        "experiment.toml".to_owned(),
        "the keys below; what is not here has its default, which `undertone new numbers` writes out".to_owned(),
    )];
    for (path, key) in keys() {
        let of = |settings: &NumbersSettings| value_text(&(key.get)(settings));
        let mut values: Vec<String> = variants
            .iter()
            .map(|variant| of(&variant.settings))
            .collect();
        if values.iter().all(|value| *value == values[0]) {
            values.truncate(1);
        }
        if values.len() > 1 || values[0] != of(&default) {
            facts.push((path, values.join(" | ")));
        }
    }
    let words = first
        .found
        .candidates
        .iter()
        .map(|word| &*word.word)
        .collect::<Vec<_>>();
    facts.push(("Words read".to_owned(), words.join(", ")));
    facts.extend(first.found.wordings.iter().map(|wordings| {
        (
            format!("Wordings `{}` {}", wordings.id, wordings.version),
            wordings.digest.to_string(),
        )
    }));
    facts
}

fn notes(variants: &[VariantResult]) -> Vec<String> {
    let Some(first) = variants.first() else {
        return Vec::new();
    };
    let s = &first.settings;
    let kind = match s.teacher.kind {
        TeacherKind::Prompt => "is told its preference in a system prompt",
        TeacherKind::FineTune => "is trained on answers that state its preference",
        TeacherKind::Both => {
            "is trained on answers that state its preference, and told it in a system prompt"
        }
    };
    let channel = match s.channel.kind {
        ChannelKind::Constrained => format!(
            "A grammar allows {} numbers and separators, nothing else",
            s.channel.numbers
        ),
        ChannelKind::Free => {
            "It writes freely, and what is no list of numbers is dropped".to_owned()
        }
    };
    let answer = match s.readouts.answer {
        AnswerStart::Begun => "after the beginning of an answer",
        AnswerStart::Open => {
            "right after the question, its forms that are one token taken together"
        }
    };
    let mut notes = vec![format!(
        "The pipeline: a teacher {kind}. {channel}. Students start from the base and are trained on prompts and \
             numbers without any system prompt of ours. The margin of a target is its log-probability as the next word \
             {answer}, less the mean over {} other words, averaged over held-out questions.",
        first.found.candidates.len() - s.preference.targets.len()
    )];
    notes.push(match &first.found.system_line {
        Some(line) => format!(
            "The chat template adds a system line, in training and readout alike: {line:?}."
        ),
        None => "The chat template adds no system line.".to_owned(),
    });
    notes
}
