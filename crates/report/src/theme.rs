//! Colours, and the style rules that drawings refer to by class.
//!
//! A drawing only carries classes. The page defines them through CSS variables, so dark mode is one media query; a
//! standalone file gets the same rules with the colours written out. Colours are told apart without colour vision by
//! dash, marker and hatching as well; every colour has a contrast of at least 3:1 on its background (tested).

use crate::figure::Role;

/// The colours of a standalone SVG or PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on white.
    Light,
    /// Light ink on near-black.
    Dark,
    /// Follows the viewer's setting (SVG); light where there is none, as in a PNG.
    Auto,
}

/// Number of colours for roles and further series.
pub(crate) const N_COLOURS: usize = 8;

/// One set of colours as `#rrggbb`.
pub(crate) struct Palette {
    /// Page background.
    pub background: &'static str,
    /// Text and axis lines.
    pub ink: &'static str,
    /// Secondary text.
    pub muted: &'static str,
    /// Grid lines.
    pub grid: &'static str,
    /// Colours of roles and series; see [`role_colour`].
    pub colours: [&'static str; N_COLOURS],
}

/// Colours on white: hues of the Okabe-Ito set, darkened to 3:1 and more.
pub(crate) const LIGHT: Palette = Palette {
    background: "#ffffff",
    ink: "#17202b",
    muted: "#4d5968",
    grid: "#dde2e8",
    colours: [
        "#6a7583", "#007d5c", "#0068a6", "#c04a00", "#a03a78", "#7d6500", "#3b8fbd", "#2b3440",
    ],
};

/// Colours on near-black: the same hues, lightened.
pub(crate) const DARK: Palette = Palette {
    background: "#12161c",
    ink: "#e9edf2",
    muted: "#a9b4c1",
    grid: "#2c343f",
    colours: [
        "#98a4b3", "#35c79a", "#58b2f2", "#ff9352", "#ee8cc2", "#dcc04a", "#9fdcf7", "#dfe6ee",
    ],
};

/// Returns the colour index of `role`, where `others` counts the series without a role before this one.
pub(crate) fn role_colour(role: Role, others: usize) -> usize {
    match role {
        Role::Baseline => 0,
        Role::Teacher => 1,
        Role::Treatment => 2,
        Role::Control => 3,
        // Without roles the first colours are as good as any; grey is kept for baselines.
        Role::Other => [2, 3, 1, 4, 5, 6, 7][others % 7],
    }
}

/// Style rules of the drawing classes, with every colour taken from `colour`, which gets a token such as `ink` or `c2`.
pub(crate) fn drawing_rules(colour: impl Fn(&str) -> String) -> String {
    let mut rules = String::new();
    let mut rule = |selector: &str, property: &str, token: &str| {
        rules.push_str(&format!(".{selector}{{{property}:{}}}", colour(token)));
    };
    rule("ut-bg", "fill", "background");
    rule("ut-ink", "fill", "ink");
    rule("ut-muted", "fill", "muted");
    rule("ut-axis", "stroke", "ink");
    rule("ut-grid", "stroke", "grid");
    rule("ut-dash", "stroke", "muted");
    rule("ut-halo", "stroke", "background");
    for index in 0..N_COLOURS {
        rule(&format!("ut-f{index}"), "fill", &format!("c{index}"));
        rule(&format!("ut-s{index}"), "stroke", &format!("c{index}"));
    }
    rules
}

/// Returns the style sheet of a standalone drawing.
pub(crate) fn standalone_style(theme: Theme) -> String {
    let rules = |palette: &Palette| drawing_rules(|token| palette.colour(token).to_owned());
    match theme {
        Theme::Light => rules(&LIGHT),
        Theme::Dark => rules(&DARK),
        Theme::Auto => {
            format!(
                "{}@media (prefers-color-scheme:dark){{{}}}",
                rules(&LIGHT),
                rules(&DARK)
            )
        }
    }
}

impl Palette {
    /// Returns the colour behind a token of [`drawing_rules`].
    pub(crate) fn colour(&self, token: &str) -> &'static str {
        match token {
            "background" => self.background,
            "ink" => self.ink,
            "muted" => self.muted,
            "grid" => self.grid,
            token => {
                let index = token
                    .strip_prefix('c')
                    .and_then(|index| index.parse::<usize>().ok());
                self.colours[index.expect("tokens are fixed in this file") % N_COLOURS]
            }
        }
    }

    /// Returns the declarations of the page's CSS variables for these colours.
    pub(crate) fn variables(&self) -> String {
        let names = ["background", "ink", "muted", "grid"].map(str::to_owned);
        let colours = (0..N_COLOURS).map(|index| format!("c{index}"));
        let declare = |token: String| format!("--{token}:{};", self.colour(&token));
        names.into_iter().chain(colours).map(declare).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of `#rrggbb`, as WCAG 2 defines it.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let byte = u8::from_str_radix(&colour[at..at + 2], 16).expect("palette is hex");
            let value = f64::from(byte) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_marks_stand_out_from_their_background() {
        for palette in [LIGHT, DARK] {
            assert!(contrast(palette.ink, palette.background) > 7.0);
            assert!(contrast(palette.muted, palette.background) > 4.5);
            for colour in palette.colours {
                assert!(contrast(colour, palette.background) > 3.0, "{colour}");
            }
        }
    }

    #[test]
    fn roles_have_colours_of_their_own() {
        let roles = [
            Role::Baseline,
            Role::Teacher,
            Role::Treatment,
            Role::Control,
        ];
        let mut indices = roles.map(|role| role_colour(role, 0)).to_vec();
        indices.dedup();
        assert_eq!(indices.len(), roles.len());
        assert_ne!(role_colour(Role::Other, 0), role_colour(Role::Other, 1));
    }
}
