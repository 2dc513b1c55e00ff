//! Renders figures as PNG, from the same SVG that is exported.
//!
//! The text uses fonts that are part of the program (`assets/README.md`), so the picture is the same on every machine.

use crate::check::InvalidReport;
use crate::figure::Figure;
use crate::svg::figure_svg;
use crate::theme::Theme;
use resvg::{tiny_skia, usvg};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

const FONTS: [&[u8]; 3] = [
    include_bytes!("../assets/roboto-regular-subset.ttf"),
    include_bytes!("../assets/roboto-bold-subset.ttf"),
    include_bytes!("../assets/dejavu-symbols-subset.ttf"),
];

/// Widest picture, in pixels; keeps memory below 1 GB even for tall figures.
const MAX_WIDTH: u32 = 8192;

/// A figure could not be rendered.
#[derive(Debug, thiserror::Error)]
#[error("cannot render figure `{figure}` as png")]
pub struct PngError {
    /// Id of the figure.
    pub figure: String,
    /// What went wrong.
    #[source]
    pub kind: PngErrorKind,
}

/// What went wrong while rendering.
#[derive(Debug, thiserror::Error)]
pub enum PngErrorKind {
    /// The figure cannot be drawn at all.
    #[error(transparent)]
    Invalid(#[from] InvalidReport),
    /// The asked width is 0 or more than 8192 pixels.
    #[error("the width is {got} pixels, expected 1 to 8192")]
    Width {
        /// Width asked for.
        got: u32,
    },
    /// The picture would be taller than 32768 pixels.
    #[error(
        "the picture would be {height} pixels tall, expected at most 32768: ask for a smaller width"
    )]
    TooTall {
        /// Height in pixels.
        height: u32,
    },
    /// A label has characters for which the embedded fonts have no glyph; the first one of each label is listed.
    #[error("the embedded fonts have no glyph for `{0}`: export the figure as svg instead")]
    MissingGlyphs(String),
    /// The drawing is not valid SVG, which is a fault of this program.
    #[error("the drawing is not valid svg")]
    Svg(#[from] usvg::Error),
    /// The picture could not be compressed.
    #[error("the picture cannot be encoded: {0}")]
    Encode(String),
}

/// Renders `figure` with `width` pixels; the height follows from the layout.
///
/// The layout is 792 CSS pixels wide, so a width of 1584 gives sharp text on dense screens.
///
/// # Errors
/// [`PngError`] if the figure cannot be drawn, the width is out of range or a label needs a glyph that the fonts lack.
pub fn figure_png(figure: &Figure, width: u32, theme: Theme) -> Result<Vec<u8>, PngError> {
    render(figure, width, theme).map_err(|kind| PngError {
        figure: figure.id.clone(),
        kind,
    })
}

fn render(figure: &Figure, width: u32, theme: Theme) -> Result<Vec<u8>, PngErrorKind> {
    if width == 0 || width > MAX_WIDTH {
        return Err(PngErrorKind::Width { got: width });
    }
    // There is nobody to ask for a preference: a PNG is light unless it is asked to be dark.
    let theme = if theme == Theme::Auto {
        Theme::Light
    } else {
        theme
    };
    let svg = figure_svg(figure, theme)?;
    let tree = parse(&svg)?;
    let scale = width as f32 / tree.size().width();
    // Sizes are positive and below 2^15 x 2^13, exact enough in f32 for a picture's height.
    let height = (tree.size().height() * scale).ceil() as u32;
    let too_tall = PngErrorKind::TooTall { height };
    if height > 4 * MAX_WIDTH {
        return Err(too_tall);
    }
    let mut pixels = tiny_skia::Pixmap::new(width, height).ok_or(too_tall)?;
    let transform = tiny_skia::Transform::from_scale(scale, scale);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|error| PngErrorKind::Encode(error.to_string()))
}

/// Lays the drawing out with the embedded fonts; a character that none of them has is an error, not a gap.
fn parse(svg: &str) -> Result<usvg::Tree, PngErrorKind> {
    let missing = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&missing);
    let search = usvg::FontResolver::default_fallback_selector();
    let resolver = usvg::FontResolver {
        select_font: usvg::FontResolver::default_font_selector(),
        select_fallback: Box::new(move |c, tried, fonts| {
            let found = search(c, tried, fonts);
            if found.is_none() {
                seen.lock()
                    .expect("no thread panics while holding this lock")
                    .insert(c);
            }
            found
        }),
    };
    let options = usvg::Options {
        font_family: "Roboto".to_owned(),
        font_resolver: resolver,
        fontdb: fonts(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options)?;
    let missing = missing
        .lock()
        .expect("no thread panics while holding this lock");
    if missing.is_empty() {
        Ok(tree)
    } else {
        Err(PngErrorKind::MissingGlyphs(missing.iter().collect()))
    }
}

/// Returns the embedded fonts, loaded once.
fn fonts() -> Arc<usvg::fontdb::Database> {
    static LOADED: OnceLock<Arc<usvg::fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = usvg::fontdb::Database::new();
        for font in FONTS {
            fonts.load_font_data(font.to_vec());
        }
        fonts.set_sans_serif_family("Roboto");
        Arc::new(fonts)
    };
    LOADED.get_or_init(load).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    /// Decodes a PNG into its size and its RGBA pixels.
    fn decode(bytes: &[u8]) -> (u32, u32, Vec<[u8; 4]>) {
        let pixmap = tiny_skia::Pixmap::decode_png(bytes).expect("we wrote a png");
        let pixels = pixmap.data().as_chunks::<4>().0.to_vec();
        (pixmap.width(), pixmap.height(), pixels)
    }

    #[test]
    fn every_sample_figure_renders_in_both_themes() {
        for figure in example::mnist_report().figures {
            for (theme, background) in [(Theme::Light, 255), (Theme::Dark, 18)] {
                let png = figure_png(&figure, 600, theme).expect("the sample renders");
                let (width, height, pixels) = decode(&png);
                assert_eq!(width, 600);
                assert!(height > 200);
                assert_eq!(pixels[0][0], background);
                let n_other = pixels.iter().filter(|pixel| pixel[0] != background).count();
                // Text, lines and marks: more than 1 % of the picture, not all of it.
                assert!(
                    n_other * 100 > pixels.len() && n_other * 2 < pixels.len(),
                    "{n_other}"
                );
            }
        }
    }

    #[test]
    fn arrows_and_greek_have_glyphs_and_others_are_refused() {
        let mut figure = example::mnist_report().figures.remove(0);
        figure.title = "teacher \u{2192} student, \u{3c3} \u{2265} 0.2, Größe, Ж".to_owned();
        assert!(figure_png(&figure, 300, Theme::Auto).is_ok());
        figure.title = "数字".to_owned();
        let refusal = figure_png(&figure, 300, Theme::Light).expect_err("no such glyphs");
        assert!(matches!(&refusal.kind, PngErrorKind::MissingGlyphs(missing) if missing == "数"));
    }

    #[test]
    fn refuses_widths_out_of_range() {
        let figure = example::mnist_report().figures.remove(0);
        for got in [0, 8193] {
            let refusal = figure_png(&figure, got, Theme::Light).expect_err("out of range");
            assert!(matches!(refusal.kind, PngErrorKind::Width { .. }));
        }
    }
}
