//! Golden files of the sample report: SVG, terminal text and the outline of the page.
//!
//! `UPDATE_GOLDEN=1 cargo test -p undertone-report` rewrites them; look at the difference before committing it.

use std::path::Path;
use undertone_report::{Ink, Symbols, TextStyle, Theme, example};
use undertone_report::{figure_svg, report_html, report_text};

/// Compares `text` with the golden file `name`, or rewrites the file if `UPDATE_GOLDEN` is set.
#[track_caller]
fn check_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the golden folder is writable");
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE_GOLDEN=1", path.display()));
    let differing = text
        .lines()
        .zip(expected.lines())
        .position(|(got, want)| got != want);
    if text != expected {
        let line = differing.unwrap_or(text.lines().count().min(expected.lines().count()));
        panic!(
            "{name} differs from line {} on\n got: {:?}\nwant: {:?}\nrewrite with UPDATE_GOLDEN=1",
            line + 1,
            text.lines().nth(line),
            expected.lines().nth(line)
        );
    }
}

#[test]
fn figures_look_as_before() {
    for figure in example::mnist_report().figures {
        let svg = figure_svg(&figure, Theme::Auto).expect("the sample is valid");
        check_golden(&format!("{}.svg", figure.id), &svg);
    }
}

#[test]
fn terminal_text_looks_as_before() {
    let report = example::mnist_report();
    for (name, width, symbols) in [
        ("80", 80, Symbols::Unicode),
        ("40", 40, Symbols::Unicode),
        ("ascii", 100, Symbols::Ascii),
    ] {
        let style = TextStyle {
            width,
            symbols,
            ink: Ink::Plain,
        };
        let text = report_text(&report, style).expect("the sample is valid");
        check_golden(&format!("report-{name}.txt"), &text);
    }
}

#[test]
fn the_page_looks_as_before() {
    let html = report_html(&example::mnist_report()).expect("the sample is valid");
    check_golden("report.html", &html);
}

#[test]
fn a_report_survives_its_json_form() {
    let report = example::mnist_report();
    let json = serde_json::to_string(&report).expect("reports are plain data");
    let read: undertone_report::Report = serde_json::from_str(&json).expect("our own form");
    assert_eq!(read, report);
    let strange = json.replacen("\"title\"", "\"titel\":\"x\",\"title\"", 1);
    assert!(serde_json::from_str::<undertone_report::Report>(&strange).is_err());
}
