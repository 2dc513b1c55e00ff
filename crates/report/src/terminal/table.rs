//! Writes a table as text.
//!
//! Columns of words give way first: their cells are wrapped. Where even that does not fit, every row becomes a block of
//! `heading: cell` lines, so no number is ever cut.

use super::{Symbols, TextStyle, lines, pad_left, pad_right, paragraph};
use crate::check::{InvalidReport, check_table};
use crate::model::{Align, Table};
use crate::text::clean;
use unicode_width::UnicodeWidthStr;

/// Narrowest column of words before rows become blocks.
const MIN_WORDS: usize = 10;

const GAP: usize = 2;

/// Returns `table` as text of at most `style.width` columns (at least 20).
///
/// # Errors
/// [`InvalidReport`] if a row has the wrong number of cells.
pub fn table_text(table: &Table, style: TextStyle) -> Result<String, InvalidReport> {
    check_table(table)?;
    let mut text = bold_caption(table, style);
    match column_widths(table, style.columns()) {
        Some(widths) => text.push_str(&grid(table, style, &widths)),
        None => text.push_str(&blocks(table, style)),
    }
    for note in &table.notes {
        text.push_str(&paragraph(style, "", note));
        text.push('\n');
    }
    Ok(text)
}

fn bold_caption(table: &Table, style: TextStyle) -> String {
    let lines = lines(&table.caption, style.columns());
    lines
        .iter()
        .map(|line| style.paint("1", &style.symbols(line)) + "\n")
        .collect()
}

/// Returns the cell as shown: cleaned, a dash if it is empty.
fn shown(cell: &str, style: TextStyle) -> String {
    let cell = if cell.is_empty() {
        "\u{2013}".into()
    } else {
        clean(cell)
    };
    style.symbols(&cell)
}

/// Returns the widest line that each column may have; `None` if the table does not fit.
fn column_widths(table: &Table, room: usize) -> Option<Vec<usize>> {
    let natural = |(index, column): (usize, &crate::model::Column)| {
        let cells = table.rows.iter().map(|cells| clean(&cells[index]).width());
        cells
            .chain([clean(&column.name).width(), 1])
            .max()
            .unwrap_or(1)
    };
    let mut widths: Vec<usize> = table.columns.iter().enumerate().map(natural).collect();
    let gaps = GAP * (widths.len() - 1);
    while widths.iter().sum::<usize>() + gaps > room {
        let words = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.align == Align::Left);
        let widest = words
            .map(|(index, _)| index)
            .max_by_key(|&index| widths[index])?;
        if widths[widest] <= MIN_WORDS {
            return None;
        }
        widths[widest] -= 1;
    }
    Some(widths)
}

fn grid(table: &Table, style: TextStyle, widths: &[usize]) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let rule = match style.symbols {
        Symbols::Unicode => "\u{2500}",
        Symbols::Ascii => "-",
    };
    let total = widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
    let rule = rule.repeat(total) + "\n";
    let mut text = row(table, style, widths, &names);
    text.push_str(&rule);
    for cells in &table.rows {
        text.push_str(&row(table, style, widths, cells));
    }
    text + &rule
}

/// Writes one row, in as many lines as its longest cell needs.
fn row(table: &Table, style: TextStyle, widths: &[usize], cells: &[String]) -> String {
    let wrapped: Vec<Vec<String>> = cells
        .iter()
        .zip(widths)
        .map(|(cell, &width)| lines(&shown(cell, style), width))
        .collect();
    let n_lines = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut text = String::new();
    for line in 0..n_lines {
        let parts =
            wrapped
                .iter()
                .zip(widths)
                .zip(&table.columns)
                .map(|((cell, &width), column)| {
                    let part = cell.get(line).map_or("", String::as_str);
                    match column.align {
                        Align::Left => pad_right(part, width),
                        Align::Right => pad_left(part, width),
                    }
                });
        let joined = parts.collect::<Vec<_>>().join(&" ".repeat(GAP));
        text.push_str(joined.trim_end());
        text.push('\n');
    }
    text
}

fn blocks(table: &Table, style: TextStyle) -> String {
    let mut text = String::new();
    for cells in &table.rows {
        for (index, (cell, column)) in cells.iter().zip(&table.columns).enumerate() {
            let indent = if index == 0 { "" } else { "  " };
            let line = format!("{}: {}", clean(&column.name), shown(cell, style));
            text.push_str(&paragraph(style, indent, &line));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::model::Column;

    fn sample() -> Table {
        example::mnist_report().tables.remove(0)
    }

    #[test]
    fn no_line_is_wider_than_asked_and_no_number_is_cut() {
        for width in [20, 30, 45, 60, 80, 200] {
            let text = table_text(&sample(), TextStyle::plain(width)).expect("valid");
            assert!(
                text.lines().all(|line| line.width() <= width),
                "{width}:\n{text}"
            );
            let words: Vec<&str> = text.split_whitespace().collect();
            assert!(words.join(" ").contains("[0.494, 0.570]"), "{text}");
        }
    }

    #[test]
    fn hostile_cells_cannot_move_the_cursor() {
        let table = Table {
            caption: "\u{1b}[2J".to_owned(),
            columns: vec![Column::words("a\u{1b}]0;x\u{7}")],
            rows: vec![vec!["b\r\nc\u{202e}".to_owned()]],
            notes: vec!["\u{9b}31m".to_owned()],
        };
        let text = table_text(&table, TextStyle::plain(40)).expect("valid");
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{text:?}"
        );
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn wide_characters_count_twice() {
        let table = Table {
            caption: "c".to_owned(),
            columns: vec![Column::words("name"), Column::number("n")],
            rows: vec![vec!["数字".to_owned(), "1".to_owned()]],
            notes: Vec::new(),
        };
        let text = table_text(&table, TextStyle::plain(40)).expect("valid");
        assert!(
            text.contains("name  n\n") && text.contains("数字  1\n"),
            "{text}"
        );
    }
}
