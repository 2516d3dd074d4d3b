//! The bytes that one pretend `xl` sends to another: the real form, with little in it (`docs/specs/libxl-migration-stream` and
//! `libxc-migration-stream`). Whoever stands between the two must find its way through it.

/// Everything before the memory. `config` goes where the domU's config goes.
pub(crate) fn head(config: &str) -> Vec<u8> {
    let mut bytes = b"Xen saved domain, xl format\n \0 \r".to_vec();
    // Byte order; JSON and stream version 2 are mandatory; nothing optional; the length of the config.
    for word in [0x0102_0304, 3, 0, config.len() as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(config.as_bytes());
    bytes.extend(b"LibxlFmt\0\0\0\x02\0\0\0\0");
    bytes.extend(record_header(1, 0));
    bytes.extend([0xff; 8]);
    bytes.extend(b"XENF\0\0\0\x03\0\0\0\0\0\0\0\0");
    // x86 HVM, pages of 4 KiB, Xen 4.17.
    bytes.extend([2, 0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 17, 0, 0, 0]);
    bytes
}

/// The head's config, once there is enough of it; and how much there must be to know.
pub(crate) fn config(bytes: &[u8]) -> Result<String, usize> {
    const HEADER: usize = 48;
    let length = bytes.get(44..HEADER).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).ok_or(HEADER)? as usize;
    // More than any sender of ours writes is somebody else's stream.
    let whole = HEADER + length.min(4096);
    let text = bytes.get(HEADER..whole).ok_or(whole)?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// So much memory: a record of page data, without its body.
pub(crate) fn memory(body: u32) -> [u8; 8] {
    record_header(1, body)
}

/// Everything behind the memory: both ends.
pub(crate) fn tail() -> Vec<u8> {
    [record_header(0, 0), record_header(0, 0)].concat()
}

fn record_header(kind: u32, body: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..].copy_from_slice(&body.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::xen::stream::{Mark, Stream};

    #[test]
    fn it_is_complete_at_its_last_byte() {
        let mut bytes = head("pretend migration 7");
        bytes.extend(memory(65536));
        bytes.extend([0; 65536]);
        let mut stream = Stream::default();
        assert_eq!(stream.feed(&bytes), (bytes.len(), None));
        assert_eq!(stream.feed(&tail()), (15, Some(Mark::Complete)));
    }

    #[test]
    fn the_config_is_found() {
        let bytes = head("pretend migration 7");
        assert_eq!(config(&bytes).as_deref(), Ok("pretend migration 7"));
        assert_eq!(config(&bytes[..20]), Err(48));
        assert_eq!(config(&bytes[..50]), Err(48 + 19));
    }
}
