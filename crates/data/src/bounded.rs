//! Decides how many bytes a file may make us hold, whatever it claims.
//!
//! Content is plain or gzip, told apart by its first two bytes, never by its name. Memory follows the bytes that
//! really arrive: a header that promises a gigabyte and delivers ten bytes costs ten bytes, and a gzip bomb is cut off
//! one byte past what was expected. Knows nothing of formats: [`crate::idx`] and [`crate::csv`] do.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// The most uncompressed bytes any data file may have: 1 GiB, nineteen times the largest MNIST file.
pub const MAX_CONTENT_BYTES: u64 = 1 << 30;

/// Memory is first asked for in this size, and doubled as bytes arrive.
const FIRST_BYTES: usize = 64 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How a file holds its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// As one or more gzip members.
    Gzip,
}

/// The uncompressed content of a file, whichever way it was stored.
pub(crate) enum Content<R: Read> {
    Plain(Prefixed<R>),
    Gzip(Box<MultiGzDecoder<Prefixed<R>>>),
}

type Prefixed<R> = io::Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Content<R> {
    /// Looks at the first two bytes of `reader` and chooses.
    pub(crate) fn open(mut reader: R) -> io::Result<Self> {
        let mut start = Vec::with_capacity(GZIP_MAGIC.len());
        reader
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut start)?;
        let is_gzip = start == GZIP_MAGIC;
        let whole = Cursor::new(start).chain(reader);
        Ok(if is_gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(whole)))
        } else {
            Self::Plain(whole)
        })
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Self::Plain(_) => Encoding::Plain,
            Self::Gzip(_) => Encoding::Gzip,
        }
    }

    /// Tells a damaged gzip stream, which is the file's fault, from a reader that failed, which is not.
    pub(crate) fn is_damage(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        self.encoding() == Encoding::Gzip
            && matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
    }
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
        }
    }
}

/// Appends to `bytes` until `reader` ends or `bytes` is `limit_bytes` long.
///
/// The capacity of `bytes` never exceeds `limit_bytes`, nor the larger of 64 KiB and twice the bytes held.
pub(crate) fn read_up_to(
    reader: &mut impl Read,
    bytes: &mut Vec<u8>,
    limit_bytes: u64,
) -> io::Result<()> {
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    while bytes.len() < limit {
        let target = limit.min(FIRST_BYTES.max(bytes.len().saturating_mul(2)));
        let wanted = target - bytes.len();
        bytes.reserve_exact(wanted);
        if reader.by_ref().take(wanted as u64).read_to_end(bytes)? < wanted {
            return Ok(());
        }
    }
    Ok(())
}

/// Why content could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadContentError {
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    #[error("the gzip stream is damaged or cut short")]
    Damaged(#[source] io::Error),
    #[error("the content is longer than {limit_bytes} bytes")]
    TooLong { limit_bytes: u64 },
}

/// Returns the uncompressed content of `reader`, which may have up to `limit_bytes` bytes.
pub(crate) fn read_content(
    reader: impl Read,
    limit_bytes: u64,
) -> Result<Vec<u8>, ReadContentError> {
    let mut content = Content::open(reader).map_err(ReadContentError::Io)?;
    let mut bytes = Vec::new();
    match read_up_to(&mut content, &mut bytes, limit_bytes.saturating_add(1)) {
        Err(error) if content.is_damage(&error) => Err(ReadContentError::Damaged(error)),
        Err(error) => Err(ReadContentError::Io(error)),
        Ok(()) if bytes.len() as u64 > limit_bytes => {
            Err(ReadContentError::TooLong { limit_bytes })
        }
        Ok(()) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_follows_what_arrives_not_what_is_promised() -> io::Result<()> {
        let mut bytes = Vec::new();
        read_up_to(&mut [7; 10].as_slice(), &mut bytes, MAX_CONTENT_BYTES)?;
        assert_eq!(bytes, [7; 10]);
        assert!(bytes.capacity() <= FIRST_BYTES);

        let mut bytes = Vec::new();
        read_up_to(&mut io::repeat(1), &mut bytes, 300_001)?;
        assert_eq!((bytes.len(), bytes.capacity()), (300_001, 300_001));
        Ok(())
    }

    #[test]
    fn content_over_the_limit_is_refused_and_at_the_limit_taken() {
        assert!(matches!(
            read_content([0; 11].as_slice(), 10),
            Err(ReadContentError::TooLong { limit_bytes: 10 })
        ));
        assert_eq!(read_content([0; 10].as_slice(), 10).ok(), Some(vec![0; 10]));
    }
}
