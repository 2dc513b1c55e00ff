//! Writes a report as one HTML file that needs nothing else.
//!
//! No script, no font, no request: a content security policy in the file forbids the browser every fetch. Dark mode,
//! print and phone layout are media queries of `style.css`; every figure is drawn twice, for wide and for narrow
//! screens, and the unused drawing is hidden from everyone, screen readers included. The numbers behind a figure are in
//! `data`.

mod data;

use crate::check::{InvalidReport, check_report};
use crate::figure::Figure;
use crate::model::{Align, Drawing, Outcome, Recipe, Report, Table, VerdictLine};
use crate::svg::{NARROW, WIDE, inline_svg, remarks};
use crate::text::escape;
use crate::theme::{DARK, LIGHT, drawing_rules};

/// Forbids everything but what is inside the file: the style sheet, the empty icon and drawings.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// Returns the whole page.
///
/// # Errors
/// [`InvalidReport`] if a figure or table cannot be drawn.
pub fn report_html(report: &Report) -> Result<String, InvalidReport> {
    check_report(report)?;
    let parts: Vec<Section> = sections(report).into_iter().flatten().collect();
    let body: String = parts.iter().map(Section::html).collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title} \u{2013} Undertone</title>\n<style>\n{style}</style>\n\
         </head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to the answer</a>\n\
         <header>\n<p class=\"brand\">Undertone report</p>\n<h1>{title}</h1>\n<p class=\"subtitle\">{subtitle}</p>\n\
         {contents}</header>\n<main id=\"content\">\n{body}</main>\n<footer><p>This file is complete in itself: it loads \
         nothing and runs no script.</p></footer>\n</body>\n</html>\n",
        title = escape(&report.title),
        subtitle = escape(&report.subtitle),
        style = style(),
        contents = contents(&parts),
    ))
}

/// One part of the page under a heading of its own.
struct Section {
    id: &'static str,
    heading: &'static str,
    body: String,
}

impl Section {
    fn html(&self) -> String {
        let Self { id, heading, body } = self;
        format!(
            "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{body}</section>\n"
        )
    }
}

/// Returns the parts in reading order; those without content are `None`.
///
/// Ids start with an underscore, which ids of figures cannot do.
fn sections(report: &Report) -> [Option<Section>; 8] {
    let section =
        |id, heading, body: String| (!body.is_empty()).then_some(Section { id, heading, body });
    let question = format!("<p class=\"question\">{}</p>\n", escape(&report.question));
    let figures: String = report.figures.iter().map(figure).collect();
    let tables: String = report
        .tables
        .iter()
        .enumerate()
        .map(|(index, entry)| table(entry, index))
        .collect();
    let drawings = report.drawings.iter().enumerate();
    let drawings = drawings
        .map(|(index, entry)| drawing(entry, index))
        .collect();
    [
        section("_question", "What was asked", question),
        section(
            "_answer",
            "The answer",
            report.verdicts.iter().map(verdict).collect(),
        ),
        section("_figures", "Figures", figures),
        section("_tables", "Tables", tables),
        section("_drawings", "Where it came from", drawings),
        section(
            "_left-out",
            "What was left out, and why",
            left_out(&report.left_out),
        ),
        section("_notes", "Notes", paragraphs(&report.notes, "")),
        section("_repeat", "How to repeat it", recipe(&report.recipe)),
    ]
}

fn contents(parts: &[Section]) -> String {
    let link = |part: &Section| format!("<li><a href=\"#{}\">{}</a></li>", part.id, part.heading);
    let links: String = parts.iter().map(link).collect();
    format!("<nav aria-label=\"Contents\"><ul>{links}</ul></nav>\n")
}

fn verdict(line: &VerdictLine) -> String {
    let (class, shape) = match line.outcome {
        Outcome::Transfer => ("transfer", "\u{25b2}"),
        Outcome::NoTransfer => ("no-transfer", "\u{25a0}"),
        Outcome::Inconclusive => ("inconclusive", "\u{25c6}"),
        Outcome::None => ("none", ""),
    };
    let badge = line.outcome.words().map(|words| {
        format!("<p class=\"badge\"><span aria-hidden=\"true\">{shape}</span> {words}</p>\n")
    });
    format!(
        "<div class=\"verdict {class}\">\n{}<p class=\"sentence\">{}</p>\n<p class=\"detail\">{}</p>\n</div>\n",
        badge.unwrap_or_default(),
        escape(&line.sentence),
        escape(&line.detail)
    )
}

fn figure(figure: &Figure) -> String {
    let id = &figure.id;
    let wide = inline_svg(figure, &format!("{id}-wide"), "wide", WIDE);
    let narrow = inline_svg(figure, &format!("{id}-narrow"), "narrow", NARROW);
    format!(
        "<figure id=\"{id}\">\n<h3>{title}</h3>\n{wide}{narrow}<figcaption>\n<p>{caption}</p>\n{remarks}</figcaption>\n\
         {data}</figure>\n",
        title = escape(&figure.title),
        caption = escape(&figure.caption),
        remarks = paragraphs(&remarks(figure), " class=\"remark\""),
        data = data::details(figure),
    )
}

/// Writes a drawing as an image inside a region that scrolls sideways and can be reached with the keyboard.
fn drawing(drawing: &Drawing, index: usize) -> String {
    format!(
        "<figure>\n<h3 id=\"_drawing-{index}\">{title}</h3>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" \
         aria-labelledby=\"_drawing-{index}\"><img class=\"drawing\" alt=\"{alt}\" src=\"{src}\"></div>\n<figcaption>\n\
         <p>{caption}</p>\n</figcaption>\n</figure>\n",
        title = escape(&drawing.title),
        alt = escape(&drawing.alt),
        src = data_address(&drawing.svg),
        caption = escape(&drawing.caption),
    )
}

/// Returns an address that holds the SVG document: everything that means something in an attribute or an address is encoded.
fn data_address(svg: &str) -> String {
    let mut address = "data:image/svg+xml;charset=utf-8,".to_owned();
    for byte in svg.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b' '
            | b'-'
            | b'.'
            | b':'
            | b'='
            | b';'
            | b',' => {
                address.push(char::from(byte));
            }
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

/// Writes a table inside a region that scrolls sideways and can be reached with the keyboard.
fn table(table: &Table, index: usize) -> String {
    let caption_id = format!("_table-{index}");
    format!(
        "{}{}",
        table_region(table, &caption_id, "scroll"),
        paragraphs(&table.notes, " class=\"remark\"")
    )
}

/// Writes the region and the table in it; `class` decides how it scrolls.
fn table_region(table: &Table, caption_id: &str, class: &str) -> String {
    let side = |align: Align| match align {
        Align::Left => "",
        Align::Right => " class=\"num\"",
    };
    let mut head = String::new();
    for column in &table.columns {
        head.push_str(&format!(
            "<th scope=\"col\"{}>{}</th>",
            side(column.align),
            escape(&column.name)
        ));
    }
    let mut rows = String::new();
    for cells in &table.rows {
        rows.push_str("<tr>");
        for (index, (cell, column)) in cells.iter().zip(&table.columns).enumerate() {
            let cell = if cell.is_empty() {
                "\u{2013}".to_owned()
            } else {
                escape(cell)
            };
            let class = side(column.align);
            match index {
                0 => rows.push_str(&format!("<th scope=\"row\"{class}>{cell}</th>")),
                _ => rows.push_str(&format!("<td{class}>{cell}</td>")),
            }
        }
        rows.push_str("</tr>\n");
    }
    format!(
        "<div class=\"{class}\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{caption_id}\">\n<table>\n\
         <caption><span id=\"{caption_id}\">{}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n\
         </div>\n",
        escape(&table.caption)
    )
}

fn left_out(left_out: &[String]) -> String {
    if left_out.is_empty() {
        return "<p>Nothing was recorded as left out.</p>\n".to_owned();
    }
    let items: String = left_out
        .iter()
        .map(|reason| format!("<li>{}</li>\n", escape(reason)))
        .collect();
    format!("<ul class=\"plain\">\n{items}</ul>\n")
}

fn paragraphs(texts: &[String], attributes: &str) -> String {
    texts
        .iter()
        .map(|text| format!("<p{attributes}>{}</p>\n", escape(text)))
        .collect()
}

fn recipe(recipe: &Recipe) -> String {
    let commands: Vec<String> = recipe
        .commands
        .iter()
        .map(|command| escape(command))
        .collect();
    let facts = recipe
        .facts
        .iter()
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)));
    let facts: String = facts.collect();
    let mut html = String::new();
    if !commands.is_empty() {
        html.push_str(&format!(
            "<pre><code>{}</code></pre>\n",
            commands.join("\n")
        ));
    }
    if !facts.is_empty() {
        html.push_str(&format!("<dl>\n{facts}</dl>\n"));
    }
    html
}

/// Returns the style sheet: colours first, then the page, then the classes of the drawings.
fn style() -> String {
    format!(
        ":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{page}{print}\n{drawing}\n",
        light = LIGHT.variables(),
        dark = DARK.variables(),
        page = include_str!("style.css"),
        // Paper is white whatever the screen is.
        print = format_args!("@media print{{:root{{{}}}}}", LIGHT.variables()),
        drawing = drawing_rules(|token| format!("var(--{token})")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    const HOSTILE: &str =
        "</style><script>alert('x')</script>\"' onload=\"x\" &amp; ]]> \u{202e}\u{1b}[31m\0";

    /// A report in which every text is hostile.
    fn hostile_report() -> Report {
        let plain = serde_json::to_value(example::mnist_report()).expect("reports are plain data");
        let spoilt = spoil(plain, "");
        serde_json::from_value(spoilt).expect("only free texts were replaced")
    }

    fn spoil(value: serde_json::Value, key: &str) -> serde_json::Value {
        use serde_json::Value;
        let fixed = ["id", "outcome", "role", "x_scale", "align", "group"].contains(&key);
        match value {
            Value::String(_) if !fixed => Value::String(HOSTILE.to_owned()),
            Value::Array(items) => items.into_iter().map(|item| spoil(item, key)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| (key.clone(), spoil(value, &key)))
                .collect(),
            other => other,
        }
    }

    #[test]
    fn hostile_texts_stay_text() {
        let html = report_html(&hostile_report()).expect("hostile names are no fault");
        assert_eq!(html.matches("</style>").count(), 1);
        for forbidden in ["<script", "onload=\"", "\u{202e}", "\u{1b}", "\0"] {
            assert!(!html.contains(forbidden), "{forbidden:?}");
        }
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    }

    #[test]
    fn hostile_figures_are_still_well_formed_xml() {
        for figure in hostile_report().figures {
            let svg = crate::svg::figure_svg(&figure, crate::theme::Theme::Auto).expect("valid");
            let parsed = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default());
            assert!(parsed.is_ok(), "{parsed:?}");
        }
    }

    #[test]
    fn nothing_is_fetched_and_no_script_runs() {
        let html = report_html(&example::mnist_report()).expect("the sample is valid");
        assert!(html.contains("content=\"default-src 'none';"));
        for forbidden in [
            "http://",
            "https://",
            "<script",
            "@import",
            "url(",
            " style=\"",
        ] {
            assert!(!html.contains(forbidden), "{forbidden:?}");
        }
        // The drawing is in the page itself.
        let sources: Vec<&str> = html.split("src=\"").skip(1).collect();
        assert_eq!(sources.len(), 1);
        assert!(sources[0].starts_with("data:image/svg+xml"));
    }

    #[test]
    fn every_id_is_unique_and_every_reference_has_its_target() {
        let html = report_html(&example::mnist_report()).expect("the sample is valid");
        let values = |attribute: &str| -> Vec<String> {
            let start = format!(" {attribute}=\"");
            let parts = html.split(&start).skip(1);
            parts
                .filter_map(|part| part.split('"').next())
                .map(str::to_owned)
                .collect()
        };
        let ids = values("id");
        let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        let labels = values("aria-labelledby");
        let targets = labels
            .iter()
            .flat_map(|labels| labels.split(' '))
            .map(str::to_owned);
        let anchors = values("href")
            .into_iter()
            .filter_map(|link| link.strip_prefix('#').map(str::to_owned));
        for target in targets.chain(anchors) {
            assert!(unique.contains(&target), "{target}");
        }
    }

    #[test]
    fn a_large_report_stays_under_three_megabytes() {
        let html = report_html(&example::sized_report(100)).expect("the sample is valid");
        assert!(html.len() < 3_000_000, "{}", html.len());
        let html = report_html(&example::sized_report(5_000)).expect("the sample is valid");
        assert!(html.len() < 3_000_000, "{}", html.len());
        assert!(html.contains("240 of them, at evenly spaced ranks, are drawn"));
    }

    #[test]
    fn undefined_values_are_named_and_never_zero() {
        let html = report_html(&example::mnist_report()).expect("the sample is valid");
        let sentence =
            "Not defined: same initialisation at photographs of clothing (Fashion-MNIST).";
        assert!(html.contains(sentence));
        assert!(html.contains(">not defined<"));
    }

    #[test]
    fn an_empty_report_says_what_is_missing() {
        let mut report = example::mnist_report();
        report.left_out.clear();
        report.figures.clear();
        let html = report_html(&report).expect("a report needs no figures");
        assert!(html.contains("Nothing was recorded as left out."));
        assert!(!html.contains("href=\"#_figures\""));
    }
}
