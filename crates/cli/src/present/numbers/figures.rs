//! Figures of the experiment on numbers: arms with their students, the dose curve, variants side by side.

use undertone_lab::numbers::result::{ArmResult, VariantResult};
use undertone_lab::numbers::settings::Arm;
use undertone_report::{
    Bar, Bars, Baseline, Curves, Figure, FigureKind, Role, Series, SeriesPoint,
};
use undertone_stats::{Estimate, mean_t};

use super::super::{interval, interval_words};

/// Returns the figures of all variants.
pub fn all(variants: &[VariantResult]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (at, variant) in variants
        .iter()
        .enumerate()
        .filter(|(_, variant)| !variant.arms.is_empty())
    {
        figures.push(arms(at, variant));
    }
    if variants.iter().any(|variant| variant.dose.len() > 1) {
        figures.push(dose(variants));
    }
    figures
}

fn level(variant: &VariantResult) -> Option<f64> {
    Some(variant.settings.verdict.level)
}

/// What an arm is called.
pub fn label(variant: &VariantResult, arm: &ArmResult) -> String {
    match arm.on_control_rows {
        true => format!("{}, rows of {}", arm.arm.name(), variant.control.name()),
        false => arm.arm.name().to_owned(),
    }
}

fn arms(at: usize, variant: &VariantResult) -> Figure {
    let targets = &variant.settings.preference.targets;
    let bar = |arm: &ArmResult| {
        let changes = arm.changes(0, &variant.base_margins);
        let estimate = mean_t(&changes, variant.settings.verdict.level);
        Bar {
            label: label(variant, arm),
            role: match arm.arm {
                Arm::Treatment => Role::Treatment,
                arm if arm == variant.control => Role::Control,
                _ => Role::Other,
            },
            estimate: estimate.as_ref().map(|estimate| estimate.mean),
            interval: interval(estimate.as_ref()),
            n: Some(changes.len() as u64),
            points: changes,
            ..Bar::default()
        }
    };
    Figure {
        id: format!("arms-{at}"),
        title: super::of(variant, &format!("Change of the margin of `{}`", targets[0])),
        caption: "Student minus what it started from, in logits, after the last update. Students of one seed share rows drawn, their order \
                  and initial weights."
            .to_owned(),
        alt: "Bars of the change of the margin for every arm; the table holds the numbers.".to_owned(),
        interval_label: Some(format!("{} over training seeds", interval_words(level(variant)))),
        point_label: Some("one student".to_owned()),
        reference_label: None,
        kind: FigureKind::Bars(Bars {
            y_label: "logits".to_owned(),
            y_range: None,
            baseline: Some(Baseline::NoChange),
            bars: variant.arms.iter().map(bar).collect(),
        }),
    }
}

fn dose(variants: &[VariantResult]) -> Figure {
    let several = variants.len() > 1;
    let series = variants
        .iter()
        .filter(|variant| !variant.dose.is_empty())
        .map(|variant| Series {
            label: variant
                .name()
                .unwrap_or_else(|| format!("treatment minus {}", variant.control.name())),
            role: if several {
                Role::Other
            } else {
                Role::Treatment
            },
            points: variant
                .dose
                .iter()
                .map(|dose| SeriesPoint {
                    x: dose.step as f64,
                    y: dose.effect.as_ref().map(|effect: &Estimate| effect.mean),
                    interval: interval(dose.effect.as_ref()),
                })
                .collect(),
        });
    Figure {
        id: "dose".to_owned(),
        title: "Dose: treatment minus control after some updates".to_owned(),
        caption:
            "The paired difference of the target's margin, in logits, read during one training run."
                .to_owned(),
        alt: "A line of the difference of margins over updates; the table holds the numbers."
            .to_owned(),
        interval_label: Some(format!(
            "{} over training seeds",
            interval_words(variants.first().and_then(level))
        )),
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "updates".to_owned(),
            y_label: "logits".to_owned(),
            y_range: None,
            baseline: Some(Baseline::NoChange),
            series: series.collect(),
        }),
    }
}
