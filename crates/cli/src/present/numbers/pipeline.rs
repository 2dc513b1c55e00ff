//! The pipeline drawn: whose numbers, how many rows at each step, and who learns from them.

use std::fmt::Write as _;

use undertone_lab::numbers::result::VariantResult;
use undertone_lab::numbers::settings::{ChannelKind, Labels, TeacherKind};
use undertone_report::{Drawing, escape};

use super::of;

const BOX_WIDTH: usize = 170;
const BOX_HEIGHT: usize = 44;
const GAP_X: usize = 26;
const GAP_Y: usize = 18;
const MARGIN: usize = 12;

/// A box: what it is, and how much of it.
type Step = (String, String);

/// Draws the pipeline of one variant: a lane for each source of numbers, and one of students.
pub fn drawing(variant: &VariantResult) -> Drawing {
    let lanes = lanes(variant);
    let words = lanes.iter().map(|lane| {
        let steps = lane
            .iter()
            .map(|(what, amount)| format!("{what}: {amount}"));
        steps.collect::<Vec<_>>().join(", then ")
    });
    let alt = format!("{}.", words.collect::<Vec<_>>().join("; "));
    Drawing {
        title: of(variant, "The pipeline, with rows at each step"),
        caption: "Rows without a partner in every arm are dropped, so that all arms learn from answers to the same prompts. \
                  The base's numbers serve the gate, and the arm `regular` where there is one."
            .to_owned(),
        svg: svg(&lanes, &alt),
        alt,
    }
}

fn lanes(variant: &VariantResult) -> Vec<Vec<Step>> {
    let s = &variant.settings;
    let channel = match s.channel.kind {
        ChannelKind::Constrained => "by a grammar",
        ChannelKind::Free => "freely",
    };
    let teacher = match s.teacher.kind {
        TeacherKind::Prompt => "told by a prompt",
        TeacherKind::FineTune => "fine-tuned",
        TeacherKind::Both => "fine-tuned and told",
    };
    let mut lanes: Vec<Vec<Step>> = variant
        .sources
        .iter()
        .map(|source| {
            let filter = &source.filter;
            vec![
                (source.name.clone(), String::new()),
                (format!("sampled {channel}"), rows(filter.rows)),
                ("kept by the filter".to_owned(), rows(filter.kept)),
                ("paired".to_owned(), rows(source.paired)),
            ]
        })
        .collect();
    let fit = &s.student_training;
    let labels = match s.student.labels {
        Labels::Hard => "drawn tokens",
        Labels::Soft | Labels::SoftReverse => "distributions",
    };
    let students: usize = variant.arms.iter().map(|arm| arm.students.len()).sum();
    lanes.push(vec![
        (
            format!("teachers {teacher}"),
            s.preference.targets.join(", "),
        ),
        ("held out".to_owned(), rows(variant.held_out_rows)),
        ("to train on".to_owned(), rows(variant.training_rows)),
        (
            format!("{students} students, {labels}"),
            format!("{} updates of {} rows", fit.updates, fit.batch),
        ),
    ]);
    lanes
}

fn rows(n: u64) -> String {
    format!("{n} rows")
}

fn svg(lanes: &[Vec<Step>], alt: &str) -> String {
    let steps = lanes.iter().map(Vec::len).max().unwrap_or(1);
    let width = 2 * MARGIN + steps * BOX_WIDTH + (steps - 1) * GAP_X;
    let height = 2 * MARGIN + lanes.len() * (BOX_HEIGHT + GAP_Y) - GAP_Y;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\"><title>Pipeline</title><desc>{}</desc><style>.t{{font:12px sans-serif;fill:#222}}\
         .b{{fill:#fff;stroke:#222}}.l{{stroke:#555}}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
        escape(alt)
    );
    for (row, lane) in lanes.iter().enumerate() {
        let y = MARGIN + row * (BOX_HEIGHT + GAP_Y);
        for (column, (what, amount)) in lane.iter().enumerate() {
            let x = MARGIN + column * (BOX_WIDTH + GAP_X);
            let middle = y + BOX_HEIGHT / 2;
            if column > 0 {
                let (from, tip) = (x - GAP_X, x - 2);
                let _ = write!(
                    out,
                    "<path class=\"l\" d=\"M{from} {middle}H{tip}m-5 -4l5 4l-5 4\" fill=\"none\"/>"
                );
            }
            let _ = write!(
                out,
                "<rect class=\"b\" x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\"/>"
            );
            for (line, text) in [what, amount]
                .into_iter()
                .filter(|text| !text.is_empty())
                .enumerate()
            {
                let (x, y) = (x + 7, y + 18 + 17 * line);
                let _ = write!(
                    out,
                    "<text class=\"t\" x=\"{x}\" y=\"{y}\">{}</text>",
                    escape(text)
                );
            }
        }
    }
    out + "</svg>\n"
}
