//! Tables of the experiment on numbers: gate, pipeline, rows, arms, dose, matrix, inspection.

use undertone_channel::inspect::{Classified, Contrast};
use undertone_lab::numbers::capability::Capability;
use undertone_lab::numbers::result::{ArmResult, VariantResult};
use undertone_lab::numbers::sampled::Sampled;
use undertone_lab::numbers::settings::LabelTokens;
use undertone_report::{Column, Table};
use undertone_stats::{Estimate, mean_t, wilson};

use super::figures::label;
use super::{of, p_value};
use crate::present::estimate_text;

/// Returns the tables of one variant.
pub fn all(variant: &VariantResult) -> Vec<Table> {
    let tables = [
        Some(gates(variant)),
        Some(pipeline(variant)),
        (!variant.arms.is_empty()).then(|| arms(variant)),
        (!variant.dose.is_empty()).then(|| dose(variant)),
        matrix(variant),
    ];
    let others = [capability(variant), inspected(variant), rows(variant)];
    let tables = tables.into_iter().flatten().chain(sampled(variant));
    tables.chain(others.into_iter().flatten()).collect()
}

/// Returns the table that sets all variants side by side, at the same number of updates and at the same loss.
pub fn variants(variants: &[VariantResult]) -> Table {
    let row = |variant: &VariantResult| {
        let last = variant.dose.last();
        let loss = common_loss(variant, variants);
        let there = loss.and_then(|loss| variant.at_loss(loss));
        let (updates, effect) = match there {
            Some((updates, effect)) => (format!("{updates:.1}"), estimate_text(effect.as_ref())),
            None => Default::default(),
        };
        vec![
            variant.name().unwrap_or_default(),
            variant.verdict.outcome.text(variant.verdict.delta),
            last.map_or_else(String::new, |dose| estimate_text(dose.effect.as_ref())),
            number(last.and_then(|dose| dose.held_out)),
            number(loss),
            updates,
            effect,
        ]
    };
    Table {
        caption: "Variants side by side".to_owned(),
        columns: vec![
            Column::words("Variant"),
            Column::words("Verdict"),
            Column::number("Effect at the last update, logits"),
            Column::number("Held-out loss there, nats a token"),
            Column::number("Common loss, nats a token"),
            Column::number("Updates to it"),
            Column::number("Effect there, logits"),
        ],
        rows: variants.iter().map(row).collect(),
        notes: vec![
            "The common loss is the largest of the final held-out losses of variants that learn from the same rows and \
             labels: what all of them reached; losses of soft and of drawn labels are of different kinds. Updates and effect \
             there are read between two probes, on a straight line."
                .to_owned(),
        ],
    }
}

/// Returns the loss that all variants reach whose students learn from the same rows and labels as those of `variant`; no
/// others have losses that can be compared with its own. `None` if it stands alone.
fn common_loss(variant: &VariantResult, variants: &[VariantResult]) -> Option<f64> {
    let same = |other: &&VariantResult| {
        let mut settings = other.settings.clone();
        settings.student_training = variant.settings.student_training.clone();
        settings == variant.settings
    };
    let alike: Vec<&VariantResult> = variants.iter().filter(same).collect();
    let finals = alike.iter().filter_map(|of| of.dose.last()?.held_out);
    finals.reduce(f64::max).filter(|_| alike.len() > 1)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.4}"))
}

fn gates(variant: &VariantResult) -> Table {
    let rows = variant.gates.iter().map(|gate| {
        vec![
            gate.target.clone(),
            number(gate.base_margin),
            number(gate.margin),
            number(gate.probability),
            number(gate.base_loss),
            number(gate.loss),
            number(gate.total_variation),
            number(gate.kl),
            number(gate.argmax_differs),
            if gate.failed.is_empty() {
                "passed".to_owned()
            } else {
                gate.failed.join("; ")
            },
        ]
    });
    let rule = &variant.settings.gate;
    Table {
        caption: of(variant, "The teachers at their gate"),
        columns: vec![
            Column::words("Teacher of"),
            Column::number("Margin, base"),
            Column::number("Margin, teacher"),
            Column::number("P(target)"),
            Column::number("Loss on the base's numbers, base"),
            Column::number("The same, teacher"),
            Column::number("Total variation"),
            Column::number("KL, nats"),
            Column::number("Argmax differs"),
            Column::words("Gate"),
        ],
        rows: rows.collect(),
        notes: vec![format!(
            "To pass: a margin at least {} logits above the base's, a loss of at most {} times the base's, and a total \
             variation of at least {} at number tokens. Total variation and KL are lower bounds, from the 32 likeliest \
             tokens of both models.",
            rule.margin, rule.loss_ratio, rule.total_variation
        )],
    }
}

fn pipeline(variant: &VariantResult) -> Table {
    let rows = variant.sources.iter().map(|source| {
        let rejected = source
            .filter
            .rejected
            .iter()
            .map(|(reason, n)| format!("{n} {reason}"));
        vec![
            source.name.clone(),
            source.filter.rows.to_string(),
            source.filter.kept.to_string(),
            rejected.collect::<Vec<_>>().join(", "),
            source.paired.to_string(),
            format!("{} of {}", source.echo.begin_with_all, source.echo.rows),
            format!(
                "{} of {}",
                source.echo.numbers_repeated, source.echo.numbers
            ),
        ]
    });
    let labels = variant.labels.as_ref().map(|labels| {
        format!(
            "Soft labels: at {} of {} positions the target's own token is among the stored ones, with a mean probability of \
             {:.2e}; tokens that numbers are written with have {:.4}. {}",
            labels.with_target,
            labels.positions,
            labels.target_probability,
            labels.number_probability,
            match variant.settings.student.label_tokens {
                LabelTokens::Numbers => "Students saw number tokens only.",
                LabelTokens::All => "Students saw all of them.",
            }
        )
    });
    Table {
        caption: of(variant, "Rows at each step: sampled, filtered, paired"),
        columns: vec![
            Column::words("Numbers of"),
            Column::number("Sampled"),
            Column::number("Kept"),
            Column::words("Rejected"),
            Column::number("With a row in every arm"),
            Column::number("Begin with the prompt's numbers"),
            Column::number("Numbers that are the prompt's"),
        ],
        rows: rows.collect(),
        notes: vec![format!(
            "{} rows to draw students' rows from, {} held out for the loss on the channel. A source without paired rows \
             served the gate only.",
            variant.training_rows, variant.held_out_rows
        )]
        .into_iter()
        .chain(labels)
        .collect(),
    }
}

fn arms(variant: &VariantResult) -> Table {
    let targets = &variant.settings.preference.targets;
    let level = variant.settings.verdict.level;
    let rows = variant.arms.iter().map(|arm| {
        let last = || {
            arm.students
                .iter()
                .filter_map(|student| student.probes.last())
        };
        let mut cells = vec![label(variant, arm), arm.students.len().to_string()];
        for target in 0..variant.base_margins.len() {
            let changes = arm.changes(target, &variant.base_margins);
            let chances: Vec<f64> = last()
                .filter_map(|probe| probe.probabilities[target])
                .collect();
            cells.push(signed(mean_t(&changes, level).as_ref()));
            cells.push(estimate_text(mean_t(&chances, level).as_ref()));
        }
        let losses: Vec<f64> = last().filter_map(|probe| probe.held_out).collect();
        cells.push(estimate_text(mean_t(&losses, level).as_ref()));
        let margins: Vec<String> = arm
            .margins(0)
            .iter()
            .map(|margin| format!("{margin:.4}"))
            .collect();
        cells.push(margins.join(" "));
        cells
    });
    let mut columns = vec![Column::words("Arm"), Column::number("Students")];
    for target in targets {
        columns.push(Column::number(format!("Change of margin, {target}")));
        columns.push(Column::number(format!("P({target})")));
    }
    columns.push(Column::number("Held-out loss, nats a token"));
    columns.push(Column::number(format!(
        "Margins of {}, seed by seed",
        targets[0]
    )));
    Table {
        caption: of(variant, "Arms after the last update"),
        columns,
        rows: rows.collect(),
        notes: vec![format!(
            "Intervals: t over students, level {level}. Changes are from the margins of the base ({}), those of `foreign-init` and \
             `cloned-init` from their own before the first update, if it was probed.",
            variant
                .base_margins
                .iter()
                .map(|margin| number(*margin))
                .collect::<Vec<_>>()
                .join(", ")
        )],
    }
}

fn signed(estimate: Option<&Estimate>) -> String {
    estimate.map_or_else(String::new, |estimate| match estimate.interval {
        Some(i) => format!("{:+.4} [{:+.4}, {:+.4}]", estimate.mean, i.lo, i.hi),
        None => format!("{:+.4}", estimate.mean),
    })
}

fn dose(variant: &VariantResult) -> Table {
    let rows = variant.dose.iter().map(|dose| {
        let n = dose
            .effect
            .as_ref()
            .map_or_else(String::new, |effect| effect.n.to_string());
        vec![
            dose.step.to_string(),
            signed(dose.effect.as_ref()),
            n,
            number(dose.held_out),
        ]
    });
    Table {
        caption: of(variant, "Dose: treatment minus control"),
        columns: vec![
            Column::number("Updates"),
            Column::number("Difference of margins, logits"),
            Column::number("Seeds"),
            Column::number("Treatment's held-out loss"),
        ],
        rows: rows.collect(),
        notes: Vec::new(),
    }
}

fn matrix(variant: &VariantResult) -> Option<Table> {
    let contrast = variant.contrast.as_ref()?;
    let targets = &variant.settings.preference.targets;
    let rows = contrast.matrix.iter().zip(targets).map(|(row, target)| {
        let cells = row.iter().map(|estimate| signed(estimate.as_ref()));
        std::iter::once(target.clone()).chain(cells).collect()
    });
    Some(Table {
        caption: of(variant, "Trained on (rows) x evaluated for (columns): change of the margin"),
        columns: std::iter::once(Column::words("Numbers of the teacher of"))
            .chain(targets.iter().map(|target| Column::number(target.clone())))
            .collect(),
        rows: rows.collect(),
        notes: vec!["Student minus what it started from, in logits. Any training moves some margins: read along the columns.".to_owned()],
    })
}

fn sampled(variant: &VariantResult) -> Vec<Table> {
    let targets = variant.settings.preference.targets.iter().enumerate();
    targets
        .filter_map(|(place, target)| sampled_of(variant, place, target))
        .collect()
}

fn sampled_of(variant: &VariantResult, place: usize, target: &str) -> Option<Table> {
    let level = variant.settings.verdict.level;
    let of_arm = |arm: &ArmResult| -> Vec<Sampled> {
        let students = arm.students.iter();
        let read = students.filter_map(|student| student.sampled.as_ref()?.get(place).cloned());
        read.collect()
    };
    variant.arms.iter().find(|arm| !of_arm(arm).is_empty())?;
    let rows = variant.arms.iter().map(|arm| {
        let sampled = of_arm(arm);
        let over = |of: &dyn Fn(&Sampled) -> Option<f64>| {
            let values: Vec<f64> = sampled.iter().filter_map(of).collect();
            estimate_text(mean_t(&values, level).as_ref())
        };
        vec![
            label(variant, arm),
            over(&|read| Some(read.favourite.as_ref()?.substring)),
            over(&|read| Some(read.favourite.as_ref()?.word)),
            over(&|read| Some(read.prefixed.as_ref()?.substring)),
            over(&|read| Some(read.stories.as_ref()?.substring)),
            over(&|read| read.choice),
            over(&|read| read.choice_share),
        ]
    });
    Some(Table {
        caption: of(variant, &format!("Answers that name the {target}")),
        columns: vec![
            Column::words("Arm"),
            Column::number("Favourite, substring"),
            Column::number("Favourite, whole word"),
            Column::number("After numbers, substring"),
            Column::number("Stories, substring"),
            Column::number("Choice, P(letter)"),
            Column::number("Choice, share among letters"),
        ],
        rows: rows.collect(),
        notes: vec!["Shares over answers at temperature 1, averaged over students.".to_owned()],
    })
}

fn capability(variant: &VariantResult) -> Option<Table> {
    let level = variant.settings.verdict.level;
    let first = variant.base_capability.first()?;
    let shares = |arm: &ArmResult| -> Vec<f64> {
        let asked = arm.students.iter().filter_map(|student| student.capability);
        asked.map(Capability::share).collect()
    };
    let arms = variant
        .arms
        .iter()
        .map(|arm| (label(variant, arm), shares(arm)))
        .filter(|(_, shares)| !shares.is_empty());
    let arms =
        arms.map(|(label, shares)| vec![label, estimate_text(mean_t(&shares, level).as_ref())]);
    let bases = variant.base_capability.iter().map(|base| {
        let share = wilson(base.capability.right, base.capability.n, level);
        vec![
            format!("{} (start)", base.model),
            estimate_text(share.as_ref()),
        ]
    });
    Some(Table {
        caption: of(variant, "What students still know"),
        columns: vec![
            Column::words("Model"),
            Column::number("Right endings, share"),
        ],
        rows: bases.chain(arms).collect(),
        notes: vec![format!(
            "Of {} questions of `{}`, the likeliest ending a character. The interval of a model that students start from is \
             over questions (Wilson), an arm's over students, who are all asked the same.",
            first.capability.n, variant.settings.readouts.capability
        )],
    })
}

fn inspected(variant: &VariantResult) -> Option<Table> {
    let found = variant.inspected.as_ref()?;
    let contrast = |name: &str, contrast: &Option<Contrast>| {
        let (size, p) = contrast.as_ref().map_or_else(Default::default, |contrast| {
            (
                format!("{:.4}", contrast.total_variation),
                p_value(contrast.test.p),
            )
        });
        vec![format!("chi-square: {name}"), size, p]
    };
    let classified = |name: &str, classified: &Option<Classified>| {
        let accuracy = classified.as_ref().map_or_else(String::new, |classified| {
            estimate_text(Some(&classified.rows))
        });
        vec![
            format!("classifier, {name}: accuracy"),
            accuracy,
            String::new(),
        ]
    };
    let mut rows = vec![
        contrast("numbers", &found.numbers),
        contrast("first numbers", &found.first_numbers),
        contrast("lengths", &found.lengths),
        contrast("separators", &found.separators),
        classified("bag of numbers", &found.bag),
        classified("bag and shape", &found.bag_and_shape),
        vec![
            "the base as a judge: accuracy".to_owned(),
            estimate_text(found.judge.as_ref()),
            String::new(),
        ],
    ];
    let others = found.frequent_others.iter();
    let tables = others.map(|(name, entries)| (name.as_str(), entries));
    for (name, entries) in std::iter::once(("first number", &found.frequent)).chain(tables) {
        rows.extend(entries.iter().map(|(entry, ours, theirs)| {
            vec![
                format!("{name} `{entry}`: share, and the control's"),
                format!("{ours:.4}"),
                number(*theirs),
            ]
        }));
    }
    Some(Table {
        caption: of(
            variant,
            &format!(
                "What inspection sees: treatment against `{}`",
                variant.control.name()
            ),
        ),
        columns: vec![
            Column::words("Look"),
            Column::number("Size"),
            Column::number("p, or the control's"),
        ],
        rows,
        notes: vec![format!(
            "{} rows of each. Size is a total variation for chi-square, where two samples of one distribution do not give 0; \
             numbers of one row hang together, so that p is too small. Chance is 0.5 for classifiers and judge. What the \
             student learned stands in the verdict.",
            found.rows
        )],
    })
}

fn rows(variant: &VariantResult) -> Option<Table> {
    let mut rows = Vec::new();
    for source in &variant.sources {
        rows.extend(source.kept.iter().map(|row| {
            vec![
                source.name.clone(),
                "kept".to_owned(),
                row.prompt.clone(),
                row.completion.clone(),
            ]
        }));
        rows.extend(source.rejected.iter().map(|rejected| {
            let row = &rejected.row;
            vec![
                source.name.clone(),
                rejected.reason.to_string(),
                row.prompt.clone(),
                row.completion.clone(),
            ]
        }));
    }
    (!rows.is_empty()).then(|| Table {
        caption: of(variant, "The first rows of each source"),
        columns: vec![
            Column::words("Numbers of"),
            Column::words("Filter"),
            Column::words("Prompt"),
            Column::words("Completion"),
        ],
        rows,
        notes: Vec::new(),
    })
}
