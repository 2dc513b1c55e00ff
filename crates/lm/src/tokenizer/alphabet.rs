//! The printable characters that byte-level BPE writes bytes as.
//!
//! Bytes that are printable in Latin-1 stand for themselves; the other 68, in ascending order, are written as the
//! characters from U+0100 on. A space is `Ġ`.

/// Returns the byte that `symbol` stands for.
pub(super) fn byte_of(symbol: char) -> Option<u8> {
    let code = u32::from(symbol);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        // Codes 0 to 0x20, then 0x7f to 0xa0, then 0xad.
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// Returns the bytes that a token written in the alphabet stands for; `None` if a character is not in it.
pub(super) fn bytes_of(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of).collect()
}

/// Returns the symbol that stands for `byte`.
fn symbol_of(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match byte {
        0..=0x20 => code + 0x100,
        0x7f..=0xa0 => code - 0x7f + 0x121,
        0xad => 0x143,
        _ => code,
    };
    char::from_u32(code).expect("codes below U+0144 are characters")
}

/// Writes bytes in the alphabet.
pub(super) fn symbols_of(bytes: &[u8]) -> String {
    bytes.iter().copied().map(symbol_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_alphabet_has_a_symbol_for_every_byte() {
        let mut bytes: Vec<u8> = ByteLevel::alphabet()
            .into_iter()
            .map(|symbol| byte_of(symbol).expect("a symbol of the alphabet"))
            .collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn every_byte_is_written_and_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        let written = symbols_of(&all);
        assert_eq!(written.chars().count(), 256);
        assert_eq!(bytes_of(&written), Some(all));
    }

    #[test]
    fn known_symbols_stand_for_known_bytes() {
        assert_eq!(bytes_of("ĠhiĊ").as_deref(), Some(&b" hi\n"[..]));
        assert_eq!(bytes_of("Ã©").as_deref(), Some("é".as_bytes()));
        assert_eq!(bytes_of("a b"), None);
    }
}
