//! Draws a bar figure with characters.
//!
//! ```text
//! student, auxiliary logits only   ███████████████▓▓┃▓▓                  0.532 [0.494, 0.570]
//! ```
//! A full block reaches to the lower end of the interval, the shaded part is the interval with the estimate in it.

use super::{Symbols, TextStyle, lines, pad_left, pad_right, paragraph};
use crate::check::{InvalidReport, check_figure};
use crate::figure::{Bar, Bars, Figure, FigureKind, Role};
use crate::svg::{Extent, interval_text, remarks, telling_decimals, values};
use crate::text::{clean, decimals, number, short_number};
use unicode_width::UnicodeWidthStr;

/// From this width on, label, bar and value stand on one line.
const ONE_LINE: usize = 72;

/// The characters a bar is made of.
struct Glyphs {
    full: char,
    shade: char,
    estimate: char,
    baseline: char,
    reference: char,
    rule: char,
}

const UNICODE: Glyphs = Glyphs {
    full: '█',
    shade: '▒',
    estimate: '┃',
    baseline: '┊',
    reference: '◇',
    rule: '─',
};
const ASCII: Glyphs = Glyphs {
    full: '#',
    shade: '=',
    estimate: '|',
    baseline: ':',
    reference: 'o',
    rule: '-',
};

/// Returns a bar figure as text of at most `style.width` columns (at least 20); `None` if it is not a bar figure.
///
/// # Errors
/// [`InvalidReport`] if the figure cannot be drawn.
pub fn bars_text(figure: &Figure, style: TextStyle) -> Result<Option<String>, InvalidReport> {
    check_figure(figure)?;
    match &figure.kind {
        FigureKind::Bars(bars) => Ok(Some(Track::new(figure, bars, style).draw())),
        FigureKind::Curves(_) | FigureKind::Sweep(_) => Ok(None),
    }
}

/// The layout of one bar figure.
struct Track<'a> {
    figure: &'a Figure,
    bars: &'a Bars,
    style: TextStyle,
    glyphs: Glyphs,
    extent: Extent,
    decimals: usize,
    one_line: bool,
    label_columns: usize,
    bar_columns: usize,
}

impl<'a> Track<'a> {
    fn new(figure: &'a Figure, bars: &'a Bars, style: TextStyle) -> Self {
        let zero = bars.y_range.is_none().then_some(0.0);
        let extent = Extent::new(bars.y_range, values(figure).into_iter().chain(zero), 5);
        let decimals = decimals(extent.span());
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let columns = style.columns();
        let one_line = columns >= ONE_LINE;
        let label_columns = widest(&mut bars.bars.iter().map(|bar| clean(&bar.label).width()));
        let label_columns = label_columns.min(columns * 9 / 20);
        let value_columns = widest(&mut bars.bars.iter().map(|bar| value(bar, decimals).width()));
        let bar_columns = if one_line {
            columns
                .saturating_sub(label_columns + value_columns + 4)
                .max(10)
        } else {
            columns
        };
        let glyphs = match style.symbols {
            Symbols::Unicode => UNICODE,
            Symbols::Ascii => ASCII,
        };
        Self {
            figure,
            bars,
            style,
            glyphs,
            extent,
            decimals,
            one_line,
            label_columns,
            bar_columns,
        }
    }

    fn draw(&self) -> String {
        let columns = self.style.columns();
        let title = lines(&self.figure.title, columns);
        let mut text: String = title
            .iter()
            .map(|line| self.style.paint("1", &self.style.symbols(line)) + "\n")
            .collect();
        let mut group = &None;
        for bar in &self.bars.bars {
            if bar.group != *group {
                group = &bar.group;
                let heading = group.as_deref().unwrap_or_default();
                for line in lines(heading, columns) {
                    text.push_str(&self.style.paint("1", &self.style.symbols(&line)));
                    text.push('\n');
                }
            }
            text.push_str(&self.row(bar));
        }
        text.push_str(&self.axis());
        text.push_str(&paragraph(self.style, "", &self.key()));
        text.push('\n');
        for remark in remarks(self.figure) {
            text.push_str(&paragraph(self.style, "", &remark));
            text.push('\n');
        }
        text
    }

    fn row(&self, bar: &Bar) -> String {
        let drawn = self.style.paint(code(bar.role), &self.cells(bar));
        let value = self.style.symbols(&value(bar, self.decimals));
        if !self.one_line {
            let label = lines(&bar.label, self.style.columns()).join("\n");
            return format!(
                "{label}\n{drawn}\n{}\n",
                pad_left(&value, self.style.columns())
            );
        }
        let labels = lines(&bar.label, self.label_columns);
        let mut text = format!(
            "{}  {drawn}  {value}\n",
            pad_right(&labels[0], self.label_columns)
        );
        for label in &labels[1..] {
            text.push_str(&format!("{label}\n"));
        }
        text
    }

    /// Returns the column, from 0, in which `value` lies.
    fn column(&self, value: f64) -> usize {
        let share = (value - self.extent.lo) / self.extent.span();
        // The extent holds every value, so the share is in [0, 1] and the product is small.
        ((share * self.bar_columns as f64) as usize).min(self.bar_columns - 1)
    }

    fn cells(&self, bar: &Bar) -> String {
        let mut cells = vec![' '; self.bar_columns];
        if let Some(at) = self.bars.baseline {
            cells[self.column(at.value())] = self.glyphs.baseline;
        }
        let zero = self.column(0.0_f64.clamp(self.extent.lo, self.extent.hi));
        if let Some(estimate) = bar.estimate {
            let end = self.column(estimate);
            cells[zero.min(end)..=zero.max(end)].fill(self.glyphs.full);
        }
        if let Some(interval) = bar.interval {
            let (lo, hi) = (self.column(interval.lo), self.column(interval.hi));
            cells[lo..=hi].fill(self.glyphs.shade);
        }
        if let Some(reference) = bar.reference {
            cells[self.column(reference)] = self.glyphs.reference;
        }
        if let Some(estimate) = bar.estimate {
            cells[self.column(estimate)] = self.glyphs.estimate;
        }
        cells.into_iter().collect()
    }

    fn axis(&self) -> String {
        let indent = if self.one_line {
            " ".repeat(self.label_columns + 2)
        } else {
            String::new()
        };
        let rule: String = std::iter::repeat_n(self.glyphs.rule, self.bar_columns).collect();
        let lo = self.style.symbols(&short_number(self.extent.lo));
        let hi = self.style.symbols(&short_number(self.extent.hi));
        let ends = format!("{lo}{}", pad_left(&hi, self.bar_columns - lo.width()));
        let label = paragraph(self.style, &indent, &self.bars.y_label);
        format!("{indent}{rule}\n{indent}{ends}\n{label}\n")
    }

    fn key(&self) -> String {
        let any = |test: fn(&Bar) -> bool| self.bars.bars.iter().any(test);
        let Glyphs {
            shade,
            estimate,
            baseline,
            reference,
            ..
        } = self.glyphs;
        let words = |label: &Option<String>, plain: &str| label.clone().unwrap_or(plain.to_owned());
        let mut parts = vec![format!("{estimate} estimate")];
        if any(|bar| bar.interval.is_some()) {
            let interval = words(&self.figure.interval_label, "interval");
            parts.push(format!("{shade} {interval}"));
        }
        if any(|bar| bar.reference.is_some()) {
            parts.push(format!(
                "{reference} {}",
                words(&self.figure.reference_label, "reference")
            ));
        }
        if let Some(at) = self.bars.baseline {
            parts.push(format!("{baseline} {}", at.words()));
        }
        parts.join("   ")
    }
}

/// Returns the ANSI colour of a role.
fn code(role: Role) -> &'static str {
    match role {
        Role::Baseline => "37",
        Role::Teacher => "32",
        Role::Treatment | Role::Other => "34",
        Role::Control => "33",
    }
}

fn value(bar: &Bar, decimals: usize) -> String {
    let decimals = telling_decimals(bar.interval, decimals);
    let interval = bar
        .interval
        .map(|ends| format!(" {}", interval_text(ends, decimals)));
    match bar.estimate {
        Some(estimate) => number(estimate, decimals) + &interval.unwrap_or_default(),
        None => "not defined".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::terminal::Ink;

    fn sample() -> Figure {
        example::mnist_report().figures.remove(0)
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        for width in [20, 40, 60, 72, 80, 160] {
            for symbols in [Symbols::Unicode, Symbols::Ascii] {
                let style = TextStyle {
                    width,
                    symbols,
                    ink: Ink::Plain,
                };
                let text = bars_text(&sample(), style).expect("valid").expect("bars");
                assert!(
                    text.lines().all(|line| line.width() <= width),
                    "{width}:\n{text}"
                );
                assert!(symbols == Symbols::Unicode || text.is_ascii(), "{text}");
            }
        }
    }

    #[test]
    fn undefined_bars_are_empty_and_named() {
        let mut figure = sample();
        if let FigureKind::Bars(bars) = &mut figure.kind {
            let (label, baseline) = ("broken".to_owned(), None);
            bars.baseline = baseline;
            bars.bars = vec![Bar {
                label,
                ..Bar::default()
            }];
        }
        let text = bars_text(&figure, TextStyle::plain(80))
            .expect("valid")
            .expect("bars");
        let row = text
            .lines()
            .find(|line| line.starts_with("broken"))
            .expect("the bar's row");
        assert_eq!(row.replace(' ', ""), "brokennotdefined");
        assert!(text.contains("Not defined: broken."));
    }

    #[test]
    fn colours_appear_only_when_asked() {
        let style = TextStyle {
            ink: Ink::Ansi,
            ..TextStyle::plain(80)
        };
        let coloured = bars_text(&sample(), style).expect("valid").expect("bars");
        let plain = bars_text(&sample(), TextStyle::plain(80))
            .expect("valid")
            .expect("bars");
        assert!(coloured.contains("\u{1b}[34m") && !plain.contains('\u{1b}'));
    }
}
