//! The report of experiments on numbers: the pipeline with its counts, arms, dose, specificity, and what inspection saw.

mod figures;
mod pipeline;
mod tables;

use undertone_lab::numbers::file::value_text;
use undertone_lab::numbers::keys::keys;
use undertone_lab::numbers::result::{
    Comparison, NumbersResult, SpecificityContrast, VariantResult,
};
use undertone_lab::numbers::settings::{
    AnswerStart, Arm, ChannelKind, LabelTokens, Labels, NumbersSettings, TeacherKind,
};
use undertone_report::{Outcome, Report, VerdictLine};
use undertone_stats::{Estimate, Outcome as Decided, Verdict, mean_t};

use super::{outcome, recipe};
use crate::commands::WorkRecipe;

/// Variants whose pipeline is drawn: those of a long list differ in a setting or two.
const DRAWN: usize = 2;

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
        drawings: variants.iter().take(DRAWN).map(pipeline::drawing).collect(),
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
    let mut first = line(of(variant, &sentence), &variant.verdict);
    first.detail += &own_changes(variant);
    let mut lines = vec![first];
    if let Some(contrast) = &variant.contrast {
        lines.push(VerdictLine {
            sentence: of(variant, &specificity(variant)),
            outcome: Outcome::None,
            detail: format!(
                "How much more a target's own numbers raise its margin than the other's do: {}; half the sum of both: {}. {}",
                own_gains(variant, contrast),
                effect_text(contrast.effect.as_ref()),
                contrast.test.as_ref().map_or_else(String::new, |test| format!(
                    "{}, {} over {} relabellings.",
                    test.method,
                    p_text(test.p),
                    test.relabellings
                ))
            ),
        });
    }
    if let Some(variation) = &variant.variation {
        lines.push(VerdictLine {
            sentence: of(
                variant,
                &format!(
                    "The mean answers of treatment and control are {:.4} apart in total variation ({}).",
                    variation.statistic,
                    p_text(variation.p)
                ),
            ),
            outcome: Outcome::None,
            detail: format!("{}, {} relabellings.", variation.method, variation.relabellings),
        });
    }
    lines.extend(inspection(variant));
    lines.extend(
        variant
            .comparisons
            .iter()
            .map(|comparison| compared(variant, comparison)),
    );
    lines
}

/// Writes how far treatment and control moved, each from what it started from: a difference of both does not say which did.
fn own_changes(variant: &VariantResult) -> String {
    let change = |of: Arm| {
        let changes = variant.arm(of, false)?.changes(0, &variant.base_margins);
        Some(effect_text(
            mean_t(&changes, variant.settings.verdict.level).as_ref(),
        ))
    };
    match (change(Arm::Treatment), change(variant.control)) {
        (Some(treatment), Some(control)) => {
            format!(" Change from before training: treatment {treatment}; control {control}.")
        }
        _ => String::new(),
    }
}

fn specificity(variant: &VariantResult) -> String {
    let targets = &variant.settings.preference.targets;
    let (first, second) = (&targets[0], &targets[1]);
    let above = |effect: Option<&Estimate>| {
        effect
            .and_then(|effect| effect.interval)
            .is_some_and(|interval| interval.lo > 0.0)
    };
    let Some(contrast) = variant.contrast.as_ref() else {
        return String::new();
    };
    let own = [0, 1].map(|target| above(contrast.own[target].as_ref()));
    let alone = match own {
        [true, true] => {
            return format!(
                "It is the target's own: {first} numbers raise the {first} more than {second} numbers do, and {second} numbers \
                 the {second} more than {first} numbers do."
            );
        }
        [true, false] => format!("for the {second} alone"),
        [false, true] => format!("for the {first} alone"),
        [false, false] => "for each of them alone".to_owned(),
    };
    if above(contrast.effect.as_ref()) {
        format!(
            "Numbers raise their own target more than those of the other target do, taken over both; {alone} that is not shown."
        )
    } else {
        format!(
            "That {first} numbers raise the {first} more than {second} numbers do, and {second} numbers the {second}, is \
             not shown."
        )
    }
}

/// Writes what each target's own numbers add to its margin.
fn own_gains(variant: &VariantResult, contrast: &SpecificityContrast) -> String {
    let targets = variant.settings.preference.targets.iter();
    let gains = targets
        .zip(&contrast.own)
        .map(|(target, gain)| format!("{target} {}", effect_text(gain.as_ref())));
    gains.collect::<Vec<_>>().join(", ")
}

/// What looking at the rows tells, beside what the student learned.
fn inspection(variant: &VariantResult) -> Option<VerdictLine> {
    let found = variant.inspected.as_ref()?;
    let percent = |estimate: &Estimate| format!("{:.1} %", 100.0 * estimate.mean);
    let bag = found.bag.as_ref().map(|bag| &bag.rows);
    let by = [
        ("a classifier of bags of numbers", bag),
        ("the base itself, asked as a judge,", found.judge.as_ref()),
    ];
    let seen: Vec<String> = by
        .iter()
        .filter_map(|(who, accuracy)| Some(format!("{who} in {}", percent((*accuracy)?))))
        .collect();
    if seen.is_empty() {
        return None;
    }
    let control = variant.control.name();
    Some(VerdictLine {
        sentence: of(
            variant,
            &format!(
                "What inspection of the numbers sees: {} of cases tells rows of the teacher from those of `{control}`, \
                 where guessing is right in 50 %.",
                seen.join(", and ")
            ),
        ),
        outcome: Outcome::None,
        detail: format!(
            "What the student learned from them: {} over the control. The table of inspection has the rest.",
            effect_text(variant.verdict.effect.as_ref())
        ),
    })
}

/// Writes a p value as `p = 0.0312`.
fn p_text(p: f64) -> String {
    match p_value(p) {
        bound if bound.starts_with('<') => format!("p {bound}"),
        value => format!("p = {value}"),
    }
}

/// Writes a p value; one that four digits cannot show is a bound.
fn p_value(p: f64) -> String {
    match p < 0.0001 {
        true => "< 0.0001".to_owned(),
        false => format!("{p:.4}"),
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
                .map_or_else(String::new, |test| format!(", {}", p_text(test.p)))
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
fn effect_text(effect: Option<&Estimate>) -> String {
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
    let mut varied = vec![Vec::new(); variants.len()];
    for (path, key) in keys() {
        let of = |settings: &NumbersSettings| value_text(&(key.get)(settings));
        let value = of(&first.settings);
        if variants
            .iter()
            .any(|variant| of(&variant.settings) != value)
        {
            for (lines, variant) in varied.iter_mut().zip(variants) {
                lines.push(format!("{path} = {}", of(&variant.settings)));
            }
        } else if value != of(&default) {
            facts.push((path, value));
        }
    }
    for (lines, variant) in varied.iter().zip(variants) {
        if let Some(name) = variant.name() {
            let lines = lines.join(", ");
            facts.push((format!("vary.variant.{name:?}"), format!("{{ {lines} }}")));
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;
    use undertone_lab::numbers::file::ExperimentFile;

    use super::*;

    #[test]
    fn the_keys_of_a_recipe_are_a_file_that_gives_every_variant_again() {
        let results = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results");
        for name in ["grid.json", "tiny-grid.json", "owl-numbers.json"] {
            let path = Path::new(results).join(name);
            let text = std::fs::read_to_string(&path).expect("the result is committed");
            let mut whole: Value = serde_json::from_str(&text).expect("it is JSON");
            let result = whole["body"]["result"].take();
            let result: NumbersResult = serde_json::from_value(result).expect("of an experiment");
            let keys_of = |settings: &NumbersSettings| -> Vec<String> {
                let keys = keys();
                let lines = keys.iter();
                lines
                    .map(|(path, key)| format!("{path} = {}", value_text(&(key.get)(settings))))
                    .collect()
            };
            let lines: Vec<String> = facts(&result.variants)
                .into_iter()
                .skip(1)
                .take_while(|(key, _)| !key.contains(' ') || key.starts_with("vary."))
                .map(|(key, value)| format!("{key} = {value}\n"))
                .collect();
            let file = ExperimentFile::parse(&lines.concat(), Path::new("experiment.toml"))
                .unwrap_or_else(|error| panic!("{name}: {error}\n{}", lines.concat()));
            assert_eq!(file.variants.len(), result.variants.len(), "{name}");
            for (again, variant) in file.variants.iter().zip(&result.variants) {
                assert_eq!(
                    keys_of(&again.settings),
                    keys_of(&variant.settings),
                    "{name}"
                );
                assert_eq!(again.name(), variant.name(), "{name}");
            }
        }
    }
}
