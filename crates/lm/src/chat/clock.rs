//! The time that a template is told.

use jiff::civil::DateTime;

/// Longest format that a template may ask for, in bytes.
const MAX_FORMAT_BYTES: usize = 256;

/// A date and time of day that does not move, so that a prompt is the same tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrozenClock(DateTime);

/// A text is no date.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no date such as `2026-01-31` or `2026-01-31T12:00:00`")]
pub struct ParseClockError {
    /// The text.
    pub text: String,
    /// Why not.
    #[source]
    pub source: jiff::Error,
}

impl FrozenClock {
    /// Writes the time by a format as Python's `strftime` takes, such as `%d %b %Y`; names are English.
    pub(super) fn format(self, format: &str) -> Result<String, minijinja::Error> {
        let refused =
            |detail| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, detail);
        if format.len() > MAX_FORMAT_BYTES {
            return Err(refused("the format of a date is too long"));
        }
        jiff::fmt::strtime::format(format, self.0)
            .map_err(|error| refused("the format of a date is not understood").with_source(error))
    }
}

impl std::str::FromStr for FrozenClock {
    type Err = ParseClockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|source| ParseClockError {
            text: text.to_owned(),
            source,
        })
    }
}

impl std::fmt::Display for FrozenClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_templates_ask() {
        let clock: FrozenClock = "2026-03-07".parse().expect("a date");
        let written = |format| clock.format(format).expect("a known format");
        assert_eq!(written("%d %b %Y"), "07 Mar 2026");
        assert_eq!(
            written("%A, %B %-d, %Y %H:%M"),
            "Saturday, March 7, 2026 00:00"
        );
        let noon: FrozenClock = "2026-03-07T12:30:00".parse().expect("a time");
        assert_eq!(
            noon.format("%Y-%m-%d %H:%M:%S").ok().as_deref(),
            Some("2026-03-07 12:30:00")
        );
        assert_eq!(noon.to_string(), "2026-03-07T12:30:00");
    }

    #[test]
    fn what_is_no_date_or_format_is_refused() {
        assert!("today".parse::<FrozenClock>().is_err());
        let clock: FrozenClock = "2026-03-07".parse().expect("a date");
        assert!(clock.format("%").is_err());
        assert!(clock.format(&"x".repeat(300)).is_err());
        assert!(clock.format("%99999999999d").is_err());
        // A width is honoured up to what fits in a byte.
        let wide = clock.format("%250d%250d");
        assert!(wide.is_ok_and(|text| text.len() <= 512));
    }
}
