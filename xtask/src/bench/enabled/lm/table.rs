//! The report as text: times, memory, then ratios round by round.

use std::fmt::Write;

use super::super::series::{Side, least, middle, most};
use super::result::{Report, Series};

/// Returns the report for people.
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "{}, {} threads, {} rounds, {}\n",
        report.model,
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
    for series in of_side(report, Side::Peak) {
        let best = most(&series.values(|m| m.gflop_per_s));
        line(
            &mut text,
            format_args!("{:<28}{best:>7.0} GFLOP/s", series.entry.name),
        );
    }
    text.push('\n');
    times(&mut text, report);
    ratios(&mut text, report);
    text
}

fn times(text: &mut String, report: &Report) {
    let head = ["best s", "median s", "tokens/s", "GFLOP/s", "of peak", "MB"];
    let [best, median, tokens, speed, share, memory] = head;
    line(
        text,
        format_args!(
            "{:<28}{best:>9}{median:>10}{tokens:>10}{speed:>9}{share:>9}{memory:>8}",
            ""
        ),
    );
    for series in of_side(report, Side::Peer).chain(of_side(report, Side::Ours)) {
        let seconds = series.values(|m| m.seconds);
        let tokens = most(&series.values(|m| m.tokens as f64 / m.seconds));
        let speed = most(&series.values(|m| m.gflop_per_s));
        // There is no peak of what llama.cpp computes with but f32.
        let share = peak(report, &series.entry.precision)
            .map(|peak| format!("{:.0} %", 100.0 * speed / peak));
        let memory: Option<Vec<u64>> = series.rounds.iter().map(|m| m.peak_bytes).collect();
        let memory = memory
            .and_then(|bytes| bytes.into_iter().max())
            .map(|bytes| (bytes >> 20).to_string());
        line(
            text,
            format_args!(
                "{:<28}{:>9.3}{:>10.3}{tokens:>10.0}{speed:>9.0}{:>9}{:>8}",
                series.entry.name,
                least(&seconds),
                middle(&seconds),
                share.as_deref().unwrap_or("-"),
                memory.as_deref().unwrap_or("-"),
            ),
        );
    }
}

fn ratios(text: &mut String, report: &Report) {
    let mut lines = String::new();
    for ours in of_side(report, Side::Ours) {
        let peers = of_side(report, Side::Peer).filter(|peer| peer.entry.task == ours.entry.task);
        for peer in peers {
            let ratios = ratios_of(peer, ours);
            line(
                &mut lines,
                format_args!(
                    "{:<28}{:<28}{:>6.2} ({:.2} to {:.2})",
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
        .map(|(peer, ours)| peer.seconds / ours.seconds)
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
    use super::super::work::Task;
    use super::*;

    fn series(side: Side, name: &str, seconds: &[f64]) -> Series {
        let measurement = |&seconds: &f64| Measurement {
            seconds,
            cpu_seconds: None,
            tokens: 100,
            peak_bytes: Some(7 << 20),
            gflop_per_s: 10.0 / seconds,
            loss: 1.0,
        };
        Series {
            entry: Entry {
                name: name.to_owned(),
                side,
                task: Task::Sample,
                precision: "f32".to_owned(),
            },
            rounds: seconds.iter().map(measurement).collect(),
        }
    }

    #[test]
    fn shows_speeds_memory_and_ratios_within_rounds() {
        let report = Report {
            format: "undertone-bench-lm",
            version: 1,
            undertone: "0",
            processor: None,
            model: "m.gguf".to_owned(),
            threads: 2,
            rounds: 2,
            busy: false,
            smoke: false,
            unix_seconds: 0,
            series: vec![
                series(Side::Peak, "peak f32", &[0.1, 0.2]),
                series(Side::Peer, "peer", &[0.5, 2.0]),
                series(Side::Ours, "ours", &[0.25, 0.5]),
            ],
        };
        let text = render(&report);
        let shows = |words: &str| {
            text.lines()
                .any(|line| line.split_whitespace().eq(words.split(' ')))
        };
        assert!(shows("ours 0.250 0.375 400 40 40 % 7"), "{text}");
        assert!(shows("ours peer 3.00 (2.00 to 4.00)"), "{text}");
    }
}
