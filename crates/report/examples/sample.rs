//! Writes the sample report as HTML, SVG, PNG and text into the folder given as argument.
//!
//! For looking at the layout: `cargo run -p undertone-report --example sample -- /tmp/sample`.

use std::error::Error;
use std::path::PathBuf;
use undertone_report::{TextStyle, Theme, example};
use undertone_report::{figure_png, figure_svg, report_html, report_text};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("expected the folder to write to")?;
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let report = example::mnist_report();
    std::fs::write(folder.join("report.html"), report_html(&report)?)?;
    std::fs::write(
        folder.join("large.html"),
        report_html(&example::sized_report(100))?,
    )?;
    std::fs::write(
        folder.join("report.txt"),
        report_text(&report, TextStyle::plain(80))?,
    )?;
    for figure in &report.figures {
        let stem = folder.join(&figure.id);
        std::fs::write(stem.with_extension("svg"), figure_svg(figure, Theme::Auto)?)?;
        std::fs::write(
            stem.with_extension("png"),
            figure_png(figure, 1584, Theme::Light)?,
        )?;
        let dark = folder.join(format!("{}-dark.png", figure.id));
        std::fs::write(dark, figure_png(figure, 1584, Theme::Dark)?)?;
    }
    Ok(())
}
