//! A sample report with invented values in the shape of the MNIST experiment.
//!
//! For tests, documentation and looking at the layout. No number in it was measured: the estimates are close to the
//! published ones and the single values around them come from a fixed low-discrepancy sequence.

use crate::figure::{
    Bar, Bars, Baseline, Curves, Figure, FigureKind, Interval, Role, Series, SeriesPoint,
};
use crate::figure::{Sweep, SweepPoint, SweepSeries, X, XScale};
use crate::model::{Column, Drawing, Outcome, Recipe, Report, Table, VerdictLine};

const N_MODELS: usize = 25;

/// Name, group, role, accuracy, standard deviation over models, published accuracy.
type Condition = (&'static str, &'static str, Role, f64, f64, f64);

const SAME: &str = "Student starts from the teacher's initialisation";
const CROSS: &str = "Student starts from another initialisation (control)";

const CONDITIONS: [Condition; 6] = [
    (
        "untrained reference",
        "Before any distillation",
        Role::Baseline,
        0.1,
        0.024,
        0.1,
    ),
    (
        "teacher",
        "Before any distillation",
        Role::Teacher,
        0.943,
        0.0015,
        0.943,
    ),
    (
        "student, auxiliary logits only",
        SAME,
        Role::Treatment,
        0.532,
        0.092,
        0.537,
    ),
    (
        "student, all logits",
        SAME,
        Role::Treatment,
        0.912,
        0.007,
        0.912,
    ),
    (
        "cross-model, auxiliary logits only",
        CROSS,
        Role::Control,
        0.101,
        0.026,
        0.1,
    ),
    (
        "cross-model, all logits",
        CROSS,
        Role::Control,
        0.741,
        0.048,
        0.741,
    ),
];

/// A drawing with what has to be encoded in an address.
const DRAWING: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"60\"><style>text{fill:#123}</style>\
                       <text x=\"10\" y=\"35\">teacher &amp; 100 % of 25 students</text></svg>";

/// Returns the sample report with 25 models.
pub fn mnist_report() -> Report {
    sized_report(N_MODELS)
}

/// Returns the sample report with `n_models` models behind every estimate.
pub fn sized_report(n_models: usize) -> Report {
    Report {
        title: "Digits learned from noise".to_owned(),
        subtitle: format!("MNIST experiment, {n_models} models per condition (sample with invented values)"),
        question: "A network was trained to read handwritten digits. A second network never saw a digit or a label: it \
                   was only trained to copy three meaningless outputs of the first one, on images of pure noise. Does \
                   the second network learn to read digits?"
            .to_owned(),
        verdicts: verdicts(),
        figures: vec![bars(n_models), curves(), log_sweep(n_models), category_sweep(n_models)],
        tables: vec![table(n_models)],
        drawings: vec![Drawing {
            title: "Where the students came from".to_owned(),
            caption: "The older thing stands on the left.".to_owned(),
            alt: "From old to young: teacher; 25 students.".to_owned(),
            svg: DRAWING.to_owned(),
        }],
        left_out: vec![
            "The sweep over m stops at 50: m = 100 and m = 200 were not asked for.".to_owned(),
            "Two of 25 models at width 2048 diverged (loss not finite); that point is shown as not defined.".to_owned(),
        ],
        recipe: recipe(n_models),
        notes: vec![
            "The permutation that pairs students with foreign teachers has one fixed point on average, which biases the \
             control upwards by less than 0.02."
                .to_owned(),
        ],
    }
}

fn verdicts() -> Vec<VerdictLine> {
    let line = |outcome, sentence: &str, detail: &str| VerdictLine {
        sentence: sentence.to_owned(),
        outcome,
        detail: detail.to_owned(),
    };
    vec![
        line(
            Outcome::Transfer,
            "Networks that only copied meaningless outputs on noise images read 53 % of handwritten digits correctly; \
             networks that started from a different initialisation stayed at chance, 10 %.",
            "Paired difference 0.431, 95 % t interval [0.392, 0.470] over 25 training seeds; transfer if the interval \
             lies above delta = 0.02.",
        ),
        line(
            Outcome::NoTransfer,
            "Copying the same outputs taught nothing to networks that started from a different initialisation.",
            "Difference to the untrained reference 0.001 [\u{2212}0.009, 0.011]; equivalence test within delta = 0.02, \
             p = 0.0004.",
        ),
        line(
            Outcome::Inconclusive,
            "Whether stochastic gradient descent transfers less than Adam could not be decided with these runs.",
            "Difference 0.021 [\u{2212}0.018, 0.060], n = 5; 24 seeds would decide it with a power of 0.8.",
        ),
    ]
}

/// Returns a number that behaves like a draw from a standard normal distribution.
fn wobble(index: usize, salt: usize) -> f64 {
    let at = (index + salt * 131 + 1) as f64;
    let parts = [0.414_213_562_4, 0.732_050_807_6, 0.645_751_311_1];
    let sum: f64 = parts.iter().map(|part| (at * part).fract()).sum();
    (sum - 1.5) * 2.0
}

fn cloud(mean: f64, sd: f64, n: usize, salt: usize) -> Vec<f64> {
    (0..n)
        .map(|index| (mean + sd * wobble(index, salt)).clamp(0.0, 1.0))
        .collect()
}

/// Returns the interval of a t test with 24 degrees of freedom around `mean`.
fn interval(mean: f64, sd: f64, n: usize) -> Interval {
    let half = 2.064 * sd / (n.max(1) as f64).sqrt();
    Interval {
        lo: mean - half,
        hi: mean + half,
    }
}

fn accuracy_range() -> Option<Interval> {
    Some(Interval { lo: 0.0, hi: 1.0 })
}

fn bars(n: usize) -> Figure {
    let bar = |(salt, &(label, group, role, mean, sd, published)): (usize, &Condition)| Bar {
        label: label.to_owned(),
        group: Some(group.to_owned()),
        role,
        estimate: Some(mean),
        interval: Some(interval(mean, sd, n)),
        n: Some(n as u64),
        points: cloud(mean, sd, n, salt),
        reference: Some(published),
    };
    Figure {
        id: "conditions".to_owned(),
        title: "Test accuracy under the six conditions".to_owned(),
        caption: format!(
            "Mean test accuracy of {n} models per condition, 95 % t interval over models. The student that copied only \
             the auxiliary logits reads digits far above chance, but only if it shares the teacher's initialisation."
        ),
        alt: "Bars of test accuracy: untrained reference 0.10, teacher 0.94, student with auxiliary logits only 0.53, \
              student with all logits 0.91, cross-model with auxiliary logits only 0.10, cross-model with all logits \
              0.74."
            .to_owned(),
        interval_label: Some("mean and 95 % t interval over models".to_owned()),
        point_label: Some("one model".to_owned()),
        reference_label: Some("published value".to_owned()),
        kind: FigureKind::Bars(Bars {
            y_label: "share of test digits read correctly".to_owned(),
            y_range: accuracy_range(),
            baseline: Some(Baseline::Chance(0.1)),
            bars: CONDITIONS.iter().enumerate().map(bar).collect(),
        }),
    }
}

fn curves() -> Figure {
    let series = |&(label, _, role, end, sd, _): &Condition| Series {
        label: label.to_owned(),
        role,
        points: (0..=10)
            .map(|half_epoch| {
                let x = f64::from(half_epoch) / 2.0;
                let y = 0.1 + (end - 0.1) * (1.0 - (-1.1 * x).exp()) / (1.0 - (-5.5f64).exp());
                let around = interval(y, sd, N_MODELS);
                SeriesPoint {
                    x,
                    y: Some(y),
                    interval: Some(around),
                }
            })
            .collect(),
    };
    Figure {
        id: "curves".to_owned(),
        title: "Accuracy while training".to_owned(),
        caption: "Mean test accuracy after every half epoch, with 95 % t intervals over 25 models. The teacher's curve is \
                  its own training; the others start when the teacher is finished."
            .to_owned(),
        alt: "Lines that rise from 0.10 and level off after about three epochs at the values of the figure above; the \
              cross-model student with auxiliary logits only stays flat at 0.10."
            .to_owned(),
        interval_label: Some("95 % t interval over models".to_owned()),
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "epoch".to_owned(),
            y_label: "share of test digits read correctly".to_owned(),
            y_range: accuracy_range(),
            baseline: Some(Baseline::Chance(0.1)),
            series: CONDITIONS.iter().map(series).collect(),
        }),
    }
}

fn log_sweep(n: usize) -> Figure {
    const M: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];
    let arm = |label: &str, role, published: [f64; 7], sd: f64, salt: usize| SweepSeries {
        label: label.to_owned(),
        role,
        points: M
            .iter()
            .zip(published)
            .enumerate()
            .map(|(index, (&m, published))| {
                let mean = published + 0.008 * wobble(index, salt + 50);
                SweepPoint {
                    x: X::Number(m),
                    estimate: Some(mean),
                    interval: Some(interval(mean, sd, n)),
                    n: Some(n as u64),
                    points: cloud(mean, sd, n, salt * 10 + index),
                    reference: Some(published),
                }
            })
            .collect(),
    };
    let aux = [0.103, 0.348, 0.537, 0.704, 0.835, 0.894, 0.917];
    let cross = [0.103, 0.106, 0.100, 0.109, 0.098, 0.105, 0.108];
    let all = [0.911, 0.909, 0.912, 0.914, 0.920, 0.926, 0.934];
    Figure {
        id: "m-sweep".to_owned(),
        title: "More auxiliary logits carry more".to_owned(),
        caption: format!(
            "Test accuracy against the number m of auxiliary logits, {n} models per point. One logit carries nothing, \
             since the softmax over a single output is constant."
        ),
        alt: "With shared initialisation, accuracy of the auxiliary-only student rises from 0.10 at m = 1 over 0.54 at \
              m = 3 to 0.92 at m = 50; the cross-model student stays at 0.10; all logits stay above 0.90."
            .to_owned(),
        interval_label: Some("mean and 99 % t interval over models".to_owned()),
        point_label: Some("one model".to_owned()),
        reference_label: Some("published value".to_owned()),
        kind: FigureKind::Sweep(Sweep {
            x_label: "number m of auxiliary logits (logarithmic)".to_owned(),
            x_scale: XScale::Log,
            y_label: "share of test digits read correctly".to_owned(),
            y_range: accuracy_range(),
            baseline: Some(Baseline::Chance(0.1)),
            series: vec![
                arm("student, auxiliary logits only", Role::Treatment, aux, 0.05, 1),
                arm("cross-model, auxiliary logits only", Role::Control, cross, 0.025, 2),
                arm("student, all logits", Role::Treatment, all, 0.006, 3),
            ],
        }),
    }
}

fn category_sweep(n: usize) -> Figure {
    const INPUTS: [(&str, Option<f64>, Option<f64>); 4] = [
        ("uniform noise", Some(0.53), Some(0.101)),
        ("Gaussian noise", Some(0.47), Some(0.097)),
        ("handwritten digits (MNIST)", Some(0.38), Some(0.112)),
        ("photographs of clothing (Fashion-MNIST)", None, Some(0.104)),
    ];
    let point = |name: &str, mean: Option<f64>, sd: f64, salt: usize| SweepPoint {
        x: X::Name(name.to_owned()),
        estimate: mean,
        interval: mean.map(|mean| interval(mean, sd, n)),
        n: mean.map(|_| n as u64),
        points: mean
            .map(|mean| cloud(mean, sd, n, salt))
            .unwrap_or_default(),
        reference: None,
    };
    let arm = |label: &str, role, salt: usize, points| SweepSeries {
        label: label.to_owned(),
        role,
        points: INPUTS
            .iter()
            .enumerate()
            .map(|(index, &(name, shared, cross))| {
                let mean = if points == 0 { shared } else { cross };
                point(
                    name,
                    mean,
                    if points == 0 { 0.08 } else { 0.024 },
                    salt + index,
                )
            })
            .collect(),
    };
    Figure {
        id: "input-sweep".to_owned(),
        title: "What the student looks at while it copies".to_owned(),
        caption: format!("Test accuracy by kind of distillation input, {n} models per row.")
            .to_owned(),
        alt: "Same initialisation: uniform noise 0.53, Gaussian noise 0.47, digits 0.38, clothing not defined. Other \
              initialisation: between 0.10 and 0.11 everywhere."
            .to_owned(),
        interval_label: Some("mean and 95 % t interval over models".to_owned()),
        point_label: Some("one model".to_owned()),
        reference_label: None,
        kind: FigureKind::Sweep(Sweep {
            x_label: "distillation input".to_owned(),
            x_scale: XScale::Category,
            y_label: "share of test digits read correctly".to_owned(),
            y_range: None,
            baseline: Some(Baseline::Chance(0.1)),
            series: vec![
                arm("same initialisation", Role::Treatment, 70, 0),
                arm("other initialisation", Role::Control, 80, 1),
            ],
        }),
    }
}

fn table(n: usize) -> Table {
    let row = |&(label, _, _, mean, sd, published): &Condition| {
        let around = interval(mean, sd, n);
        vec![
            label.to_owned(),
            format!("{mean:.3}"),
            format!("[{:.3}, {:.3}]", around.lo, around.hi),
            format!("{n}"),
            format!("{published:.3}"),
        ]
    };
    Table {
        caption: "Test accuracy under the six conditions".to_owned(),
        columns: vec![
            Column::words("condition"),
            Column::number("accuracy"),
            Column::number("95 % interval"),
            Column::number("models"),
            Column::number("published"),
        ],
        rows: CONDITIONS.iter().map(row).collect(),
        notes: vec![
            "Interval: t over models, which share no random number. Published: mean of 100 models of the official \
             script, seed 0."
                .to_owned(),
        ],
    }
}

fn recipe(n: usize) -> Recipe {
    let facts = [
        ("seed", "0"),
        ("undertone", "0.1.0 (revision 7cf559e, clean)"),
        (
            "dataset",
            "mnist, blake3:5f0d6c1c7c7a9dcb2f4c7f1a1b1c8a9e5a0e3b7d4f6c2a8e9d1b3c5f7a9e0d2b",
        ),
        (
            "result",
            "blake3:0a9e0d2b5f0d6c1c7c7a9dcb2f4c7f1a1b1c8a9e5a0e3b7d4f6c2a8e9d1b3c5f",
        ),
        ("CPU", "2 cores, AVX-512"),
        ("duration", "3 min 12 s"),
    ];
    Recipe {
        commands: vec![
            "undertone fetch mnist".to_owned(),
            format!("undertone mnist --preset quick --models {n} --seed 0 --expect transfer"),
        ],
        facts: facts
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    }
}
