//! From a bank file's bytes to text: what it says of its encoding is believed only when the bytes don't know better.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// Where a file says how it is encoded.
const HEAD_BYTES: usize = 1_024;

/// Decodes a whole file. Bytes that fit no encoding become U+FFFD: a broken name is no reason to refuse a statement.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes).0;
    }
    match bytes {
        [first, 0, ..] if *first != 0 => return UTF_16LE.decode(bytes).0,
        [0, second, ..] if *second != 0 => return UTF_16BE.decode(bytes).0,
        _ => {}
    }
    // Text of another encoding that is valid UTF-8 by chance is far rarer than UTF-8 that is declared as something else.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => declared(bytes).unwrap_or(WINDOWS_1252).decode(bytes).0,
    }
}

/// What an OFX 1 header (`CHARSET:1252`) or an XML declaration (`encoding="…"`) names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD_BYTES)]).to_ascii_uppercase();
    let after = |mark: &str| head.find(mark).map(|at| &head[at + mark.len()..]);
    if let Some(rest) = after("ENCODING=") {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        return Encoding::for_label(rest[1..].split(quote).next()?.trim().as_bytes());
    }
    let charset = after("CHARSET:")?.split(['\r', '\n', '<', ' ']).next()?;
    let label = match charset {
        "932" => "shift_jis".to_owned(),
        "936" => "gbk".to_owned(),
        "949" => "euc-kr".to_owned(),
        "950" => "big5".to_owned(),
        number if number.bytes().all(|b| b.is_ascii_digit()) => format!("windows-{number}"),
        name => name.to_owned(),
    };
    Encoding::for_label(label.as_bytes())
}

/// Replaces the entities of XML and HTML's `&nbsp;`. What only looks like one stays: banks forget to escape `&`.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((character, length)) => {
                out.push(character);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character and length of the entity that `text` begins with.
fn entity(text: &str) -> Option<(char, usize)> {
    const ENTITY_BYTES_MAX: usize = 10;
    let end = text.bytes().take(ENTITY_BYTES_MAX).position(|b| b == b';')?;
    let character = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| *c != '\0')?
        }
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_before_the_header_does() {
        assert_eq!(decode("CHARSET:1252\n\nCafé".as_bytes()), "CHARSET:1252\n\nCafé");
        assert_eq!(decode(b"CHARSET:1252\n\nCaf\xe9 \x80"), "CHARSET:1252\n\nCafé €");
        assert_eq!(decode(b"<?xml encoding='gb18030'?>\xc4\xe3"), "<?xml encoding='gb18030'?>你");
        assert_eq!(decode(b"CHARSET:932\r\n\x93\xfa"), "CHARSET:932\r\n日");
        let utf16: Vec<u8> = "<OFX>é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16), "<OFX>é");
        assert_eq!(decode(b"\xef\xbb\xbf<OFX>"), "<OFX>");
        assert_eq!(decode(b"CHARSET:NONE\n\xe9"), "CHARSET:NONE\né");
    }

    #[test]
    fn an_ampersand_that_nobody_escaped_stays() {
        assert_eq!(
            unescape("A&amp;B &#38; C&D &lt;x&gt; &#x20AC; &unknown; &"),
            "A&B & C&D <x> € &unknown; &"
        );
        assert_eq!(unescape("é&é;&#0;"), "é&é;&#0;");
    }
}
