//! The report as text: times, then ratios round by round.

use std::fmt::Write;

use super::super::series::{Side, least, middle, most};
use super::result::{Report, Series};

/// Returns the report for people.
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "MLP 784-256-256-13, batch 1024, epochs of 60,000 images, {} threads, {} rounds, {}\n",
        report.threads,
        report.rounds,
        report.processor.as_deref().unwrap_or("unknown processor"),
    );
    if report.smoke {
        text.push_str("Smoke test: it runs, its numbers mean nothing.\n");
    }
    if report.busy {
        text.push_str("Busy measurements were counted too.\n");
    }
    text.push('\n');
    peaks(&mut text, report);
    times(&mut text, report);
    ratios(&mut text, report);
    text
}

fn peaks(text: &mut String, report: &Report) {
    for series in of_side(report, Side::Peak) {
        let best = most(&series.values(|m| m.gflop_per_s));
        line(
            text,
            format_args!("{:<52}{best:>7.0} GFLOP/s", series.entry.name),
        );
    }
    text.push('\n');
}

fn times(text: &mut String, report: &Report) {
    let head = ["best s", "median s", "GFLOP/s", "of peak"];
    let [best, median, speed, share] = head;
    line(
        text,
        format_args!(
            "{:<52}{best:>9}{median:>10}{speed:>9}{share:>9}",
            "per model and epoch"
        ),
    );
    for series in of_side(report, Side::Peer).chain(of_side(report, Side::Ours)) {
        let seconds = series.values(|m| m.seconds_per_model_epoch);
        let speed = most(&series.values(|m| m.gflop_per_s));
        // A peer that rounds to bf16 only in its products is measured against the bf16 peak too.
        let share = peak(report, &series.entry.precision)
            .map(|peak| format!("{:.0} %", 100.0 * speed / peak));
        line(
            text,
            format_args!(
                "{:<52}{:>9.4}{:>10.4}{speed:>9.0}{:>9}",
                series.entry.name,
                least(&seconds),
                middle(&seconds),
                share.as_deref().unwrap_or("-"),
            ),
        );
    }
}

fn ratios(text: &mut String, report: &Report) {
    let mut lines = String::new();
    for ours in of_side(report, Side::Ours) {
        for peer in of_side(report, Side::Peer).filter(|peer| peer.entry.phase == ours.entry.phase)
        {
            let ratios = ratios_of(peer, ours);
            line(
                &mut lines,
                format_args!(
                    "{:<44}{:<44}{:>6.2} ({:.2} to {:.2})",
                    ours.entry.name,
                    peer.entry.name,
                    middle(&ratios),
                    least(&ratios),
                    most(&ratios),
                ),
            );
        }
    }
    if !lines.is_empty() {
        text.push_str("\ntimes as fast, median over rounds (least to most)\n");
        text.push_str(&lines);
    }
}

/// Returns, round by round, how many times as fast ours was.
fn ratios_of(peer: &Series, ours: &Series) -> Vec<f64> {
    let pairs = peer.rounds.iter().zip(&ours.rounds);
    pairs
        .map(|(peer, ours)| peer.seconds_per_model_epoch / ours.seconds_per_model_epoch)
        .collect()
}

fn of_side(report: &Report, side: Side) -> impl Iterator<Item = &Series> {
    report
        .series
        .iter()
        .filter(move |series| series.entry.side == side)
}

fn peak(report: &Report, precision: &str) -> Option<f64> {
    let series = of_side(report, Side::Peak).find(|series| series.entry.precision == precision)?;
    Some(most(&series.values(|m| m.gflop_per_s)))
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes every line");
}

#[cfg(test)]
mod tests {
    use super::super::result::{Entry, Measurement};
    use super::*;

    fn series(side: Side, name: &str, seconds: &[f64]) -> Series {
        let measurement = |&seconds: &f64| Measurement {
            seconds_per_model_epoch: seconds,
            seconds,
            cpu_seconds: None,
            gflop_per_s: 10.0 / seconds,
            loss: 1.0,
        };
        let entry = Entry {
            name: name.to_owned(),
            side,
            phase: "teacher".to_owned(),
            precision: "f32".to_owned(),
            models: 1,
        };
        Series {
            entry,
            rounds: seconds.iter().map(measurement).collect(),
        }
    }

    #[test]
    fn takes_ratios_within_rounds() {
        let (peer, ours) = (
            series(Side::Peer, "p", &[2.0, 6.0, 3.0]),
            series(Side::Ours, "o", &[1.0, 2.0, 1.0]),
        );
        assert_eq!(ratios_of(&peer, &ours), [2.0, 3.0, 3.0]);
    }

    #[test]
    fn shows_shares_of_the_peak_and_ratios() {
        let report = Report {
            format: "undertone-bench-mlp",
            version: 1,
            undertone: "0",
            processor: None,
            threads: 2,
            rounds: 1,
            busy: false,
            smoke: false,
            unix_seconds: 0,
            series: vec![
                series(Side::Peak, "peak f32", &[0.1]),
                series(Side::Peer, "peer", &[0.5]),
                series(Side::Ours, "ours", &[0.25]),
            ],
        };
        let text = render(&report);
        let shows = |words: &[&str]| {
            text.lines()
                .any(|line| line.split_whitespace().collect::<Vec<_>>() == words)
        };
        assert!(
            shows(&["ours", "0.2500", "0.2500", "40", "40", "%"]),
            "{text}"
        );
        assert!(
            shows(&["ours", "peer", "2.00", "(2.00", "to", "2.00)"]),
            "{text}"
        );
    }
}
