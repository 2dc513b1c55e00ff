//! Writes tables, bars and whole reports as text for a terminal or a log.
//!
//! Plain strings: the caller says how wide the terminal is, which symbols it can show and whether colours are wanted.
//! Nothing here looks at the environment. Control characters in names are replaced, so a name cannot move the cursor.

mod bars;
mod table;

pub use bars::bars_text;
pub use table::table_text;

use crate::check::{InvalidReport, check_report};
use crate::figure::{Figure, FigureKind};
use crate::model::{Outcome, Report};
use crate::text::{clean, wrap_by};
use unicode_width::UnicodeWidthStr;

/// How text for a terminal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextStyle {
    /// Columns of the terminal; below 20 it is taken as 20.
    pub width: usize,
    /// Which symbols may be used.
    pub symbols: Symbols,
    /// Whether colour codes are written.
    pub ink: Ink,
}

/// Which symbols may be used. Names are written as they are in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbols {
    /// Blocks and lines.
    Unicode,
    /// ASCII only.
    Ascii,
}

/// Whether colour codes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// No codes at all.
    Plain,
    /// ANSI codes from the terminal's own sixteen colours.
    Ansi,
}

impl TextStyle {
    /// Unicode symbols without colours, `width` columns wide.
    pub fn plain(width: usize) -> Self {
        Self {
            width,
            symbols: Symbols::Unicode,
            ink: Ink::Plain,
        }
    }

    fn columns(self) -> usize {
        self.width.max(20)
    }

    /// Wraps `text` in the ANSI code `code` where colours are wanted.
    fn paint(self, code: &str, text: &str) -> String {
        match self.ink {
            Ink::Plain => text.to_owned(),
            Ink::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// Replaces the few symbols our own numbers use by ASCII where only that may be used.
    fn symbols(self, text: &str) -> String {
        match self.symbols {
            Symbols::Unicode => text.to_owned(),
            Symbols::Ascii => text
                .replace('\u{2212}', "-")
                .replace(['\u{2013}', '\u{2014}'], "-"),
        }
    }
}

/// Returns the whole report as text: question, answers, bars, tables, what was left out, how to repeat it.
///
/// Curves and sweeps have no text form; they are named with the remark that the HTML report shows them.
///
/// # Errors
/// [`InvalidReport`] if a figure or table cannot be drawn.
pub fn report_text(report: &Report, style: TextStyle) -> Result<String, InvalidReport> {
    check_report(report)?;
    let mut parts = vec![format!(
        "{}\n{}",
        bold_lines(style, &report.title),
        paragraph(style, "", &report.subtitle)
    )];
    parts.push(paragraph(style, "", &report.question));
    parts.extend(report.verdicts.iter().map(|line| {
        let head = badge(style, line.outcome);
        format!(
            "{head}{}\n{}",
            paragraph(style, "  ", &line.sentence),
            paragraph(style, "  ", &line.detail)
        )
    }));
    let mut only_in_html = Vec::new();
    for figure in &report.figures {
        match figure.kind {
            FigureKind::Bars(_) => parts.push(bars_text(figure, style)?.unwrap_or_default()),
            FigureKind::Curves(_) | FigureKind::Sweep(_) => only_in_html.push(figure),
        }
    }
    for table in &report.tables {
        parts.push(table_text(table, style)?);
    }
    parts.extend(list(style, "Left out, and why", &report.left_out));
    parts.extend(list(style, "Notes", &report.notes));
    parts.extend(list(
        style,
        "Only in the HTML report",
        &titles(&only_in_html),
    ));
    let facts = report
        .recipe
        .facts
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    parts.extend(commands(style, &report.recipe.commands));
    parts.extend(list(style, "Facts", &facts.collect::<Vec<_>>()));
    let trimmed: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    Ok(trimmed.join("\n\n") + "\n")
}

fn titles(figures: &[&Figure]) -> Vec<String> {
    figures.iter().map(|figure| figure.title.clone()).collect()
}

fn badge(style: TextStyle, outcome: Outcome) -> String {
    let code = match outcome {
        Outcome::Transfer => "1;34",
        Outcome::NoTransfer | Outcome::None => "1",
        Outcome::Inconclusive => "1;33",
    };
    let words = outcome
        .words()
        .map(|words| style.paint(code, &words.to_uppercase()) + "\n");
    words.unwrap_or_default()
}

/// Writes commands unbroken, so that they can be copied.
fn commands(style: TextStyle, commands: &[String]) -> Option<String> {
    if commands.is_empty() {
        return None;
    }
    let lines: String = commands
        .iter()
        .map(|command| format!("\n  {}", clean(command)))
        .collect();
    Some(format!("{}{lines}", style.paint("1", "To repeat it")))
}

fn list(style: TextStyle, heading: &str, items: &[String]) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let items = items.iter().map(|item| {
        let text = paragraph(style, "    ", item);
        format!("\n  -{}", &text[3..])
    });
    Some(format!(
        "{}{}",
        style.paint("1", heading),
        items.collect::<String>()
    ))
}

fn bold_lines(style: TextStyle, text: &str) -> String {
    let lines = lines(text, style.columns());
    lines
        .iter()
        .map(|line| style.paint("1", &style.symbols(line)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Wraps `text` to the terminal, every line behind `indent`.
fn paragraph(style: TextStyle, indent: &str, text: &str) -> String {
    let lines = lines(text, style.columns() - indent.len());
    let indented = lines
        .iter()
        .map(|line| format!("{indent}{}", style.symbols(line)));
    indented.collect::<Vec<_>>().join("\n")
}

/// Breaks cleaned `text` into lines of at most `columns`.
fn lines(text: &str, columns: usize) -> Vec<String> {
    wrap_by(&clean(text), |line| line.width() <= columns)
}

/// Appends spaces until `text` is `columns` wide.
fn pad_right(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// Prepends spaces until `text` is `columns` wide.
fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(text.width())))
}
