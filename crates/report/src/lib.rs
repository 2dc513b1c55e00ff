//! Turns results into things people read: one HTML file, SVG and PNG figures, terminal text.
//!
//! It takes pure data ([`Report`], [`Figure`], [`Table`]) and gives strings or bytes. It opens no file, looks at no
//! terminal and computes no statistic: every estimate and interval arrives finished, and an undefined one arrives as
//! `None`, is drawn as missing and is named in the text. Start with [`model`] and [`figure`], then [`html`].

pub mod figure;
pub mod model;

pub mod check;
pub mod example;
pub mod html;
pub mod png;
pub mod svg;
pub mod terminal;

mod text;
mod theme;

pub use check::{InvalidReport, InvalidReportKind};
pub use figure::{
    Bar, Bars, Baseline, Curves, Figure, FigureKind, Interval, Role, Series, SeriesPoint,
};
pub use figure::{Sweep, SweepPoint, SweepSeries, X, XScale};
pub use html::report_html;
pub use model::{Align, Column, Drawing, Outcome, Recipe, Report, Table, VerdictLine};
pub use png::{PngError, figure_png};
pub use svg::figure_svg;
pub use terminal::{Ink, Symbols, TextStyle, bars_text, report_text, table_text};
pub use text::escape;
pub use theme::Theme;
