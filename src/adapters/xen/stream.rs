//! Follows the bytes that one `xl` sends to another, only to find the moment at which they are complete.
//!
//! `xl` begins with a header of its own (`xl.h`, `struct save_file_header`: 32 bytes magic, then byte order, two words of flags and the
//! length of the config that follows). Then comes libxl's stream, version 2 since Xen 4.6: a header and records, one of which is
//! followed by libxc's own headers and records (`docs/specs/libxl-migration-stream`, `libxc-migration-stream`). The domU is suspended
//! before the last pages are written; its disks are attached after libxl's END has been read (`libxl_create.c`).

/// `savefileheader_magic`, 32 bytes.
const MAGIC: &[u8; 32] = b"Xen saved domain, xl format\n \0 \r";
/// `SAVEFILE_BYTEORDER_VALUE`, as a little-endian host writes it.
const BYTE_ORDER: u32 = 0x0102_0304;
/// `XL_MANDATORY_FLAG_STREAMv2`.
const STREAM_V2: u32 = 2;

const LIBXL_END: u32 = 0;
const LIBXC_CONTEXT: u32 = 1;
const LIBXL_CHECKPOINT_END: u32 = 4;
const LIBXC_END: u32 = 0;

/// What the bytes so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// They are of no form that we know; nothing more will be said of them.
    Unknown,
    /// The next byte is the last of the stream.
    Complete,
}

/// Where in the stream we are. Nothing of it is kept but the header that is just being read.
#[derive(Debug)]
pub struct Stream {
    part: Part,
    header: Vec<u8>,
    /// Bytes of a body that interest nobody.
    skip: u64,
}

/// What comes next, once what is to be skipped is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    SaveFile,
    Libxl,
    LibxlRecord,
    LibxcImage,
    LibxcDomain,
    LibxcRecord,
    /// Complete, or unknown: whatever comes, passes.
    Over,
}

impl Default for Stream {
    fn default() -> Self {
        Stream { part: Part::SaveFile, header: Vec::new(), skip: 0 }
    }
}

impl Stream {
    /// Looks at the next bytes. With a mark, only so many of them may pass before it is answered; the rest comes again.
    /// Without one all may pass.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Mark>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.part == Part::Over {
                return (bytes.len(), None);
            }
            let skipped = self.skip.min((bytes.len() - at) as u64);
            self.skip -= skipped;
            at += skipped as usize;
            if self.skip > 0 || at == bytes.len() {
                continue;
            }
            self.header.push(bytes[at]);
            at += 1;
            if self.header.len() < self.part.length() {
                continue;
            }
            let header = std::mem::take(&mut self.header);
            match self.part.follow(&header) {
                Some((Part::Over, _)) => {
                    self.part = Part::Over;
                    return (at - 1, Some(Mark::Complete));
                }
                Some((next, skip)) => (self.part, self.skip) = (next, skip),
                None => {
                    self.part = Part::Over;
                    return (at - 1, Some(Mark::Unknown));
                }
            }
        }
        (at, None)
    }
}

impl Part {
    /// How long its header is.
    fn length(self) -> usize {
        match self {
            Part::SaveFile => 48,
            Part::Libxl | Part::LibxcDomain => 16,
            Part::LibxcImage => 24,
            Part::LibxlRecord | Part::LibxcRecord | Part::Over => 8,
        }
    }

    /// What follows this header: the next part, and how much of a body lies between. `None`: it is not such a header.
    fn follow(self, header: &[u8]) -> Option<(Part, u64)> {
        let little = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let big = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        match self {
            Part::SaveFile => {
                let known = header.starts_with(MAGIC) && little(32)? == BYTE_ORDER && little(36)? & STREAM_V2 != 0;
                known.then_some((Part::Libxl, u64::from(little(44)?)))
            }
            // Options: bit 0 is big-endian, bit 1 a converted legacy stream, whose end is another.
            Part::Libxl => (header.starts_with(b"LibxlFmt") && big(8)? == 2 && big(12)? == 0).then_some((Part::LibxlRecord, 0)),
            Part::LibxlRecord => match little(0)? {
                LIBXL_END => (little(4)? == 0).then_some((Part::Over, 0)),
                LIBXC_CONTEXT => Some((Part::LibxcImage, padded(little(4)?))),
                // Remus and COLO, which never end as a migration does.
                LIBXL_CHECKPOINT_END => None,
                _ => Some((Part::LibxlRecord, padded(little(4)?))),
            },
            Part::LibxcImage => {
                let known = header[..8] == [0xff; 8] && &header[8..12] == b"XENF" && matches!(big(12)?, 2 | 3);
                let little_endian = header[16..18] == [0, 0];
                (known && little_endian).then_some((Part::LibxcDomain, 0))
            }
            Part::LibxcDomain => Some((Part::LibxcRecord, 0)),
            Part::LibxcRecord => match little(0)? {
                LIBXC_END => Some((Part::LibxlRecord, padded(little(4)?))),
                _ => Some((Part::LibxcRecord, padded(little(4)?))),
            },
            Part::Over => None,
        }
    }
}

/// Bodies are filled up to eight bytes.
fn padded(length: u32) -> u64 {
    u64::from(length).next_multiple_of(8)
}

/// A stream as Xen 4.17 writes it, with so many bytes of memory in it: zeros, which look like END.
#[cfg(test)]
pub(crate) fn example(memory: usize) -> Vec<u8> {
    let record = |kind: u32, body: &[u8]| {
        let mut bytes = [kind.to_le_bytes(), (body.len() as u32).to_le_bytes()].concat();
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let mut bytes = MAGIC.to_vec();
    for word in [BYTE_ORDER, 3, 0, 13] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"{ \"c_info\": 1");
    bytes.extend(b"LibxlFmt\0\0\0\x02\0\0\0\0");
    bytes.extend(record(LIBXC_CONTEXT, b""));
    bytes.extend([0xff; 8]);
    bytes.extend(b"XENF\0\0\0\x03\0\0\0\0\0\0\0\0");
    bytes.extend([2, 0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 17, 0, 0, 0]);
    bytes.extend(record(1, &vec![0; memory]));
    bytes.extend(record(9, b"hvm context"));
    bytes.extend(record(LIBXC_END, b""));
    bytes.extend(record(2, b"emulator"));
    bytes.extend(record(LIBXL_END, b""));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        example(4099)
    }

    /// Feeds it in pieces of some size; where the mark came, and which.
    fn marked(bytes: &[u8], piece: usize) -> Option<(usize, Mark)> {
        let mut stream = Stream::default();
        let mut passed = 0;
        for chunk in bytes.chunks(piece) {
            let (count, mark) = stream.feed(chunk);
            passed += count;
            if let Some(mark) = mark {
                // Whatever comes afterwards passes.
                assert_eq!(stream.feed(&chunk[count..]), (chunk.len() - count, None));
                return Some((passed, mark));
            }
            assert_eq!(count, chunk.len());
        }
        None
    }

    #[test]
    fn the_last_byte_waits_however_the_stream_is_cut() {
        let mut bytes = stream();
        let whole = bytes.len();
        bytes.extend(b"domain is yours, you are cleared to unpause");
        for piece in [1, 2, 3, 7, 8, 4096, 1 << 20] {
            assert_eq!(marked(&bytes, piece), Some((whole - 1, Mark::Complete)), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_never_complete() {
        let bytes = stream();
        for cut in 0..bytes.len() {
            assert_eq!(marked(&bytes[..cut], 64), None, "cut at {cut}");
        }
    }

    #[test]
    fn other_streams_are_known_as_unknown() {
        let with = |at: usize, byte: u8| {
            let mut bytes = stream();
            bytes[at] = byte;
            marked(&bytes, 4096).map(|(_, mark)| mark)
        };
        let libxl = 48 + 13;
        for (what, at, byte) in [
            ("another magic", 0, b'x'),
            ("another byte order", 32, 1),
            ("the form before Xen 4.6", 36, 1),
            ("another libxl version", libxl + 11, 3),
            ("big-endian", libxl + 15, 1),
            ("another libxc version", libxl + 24 + 15, 9),
            ("a checkpoint", libxl + 16, 4),
        ] {
            assert_eq!(with(at, byte), Some(Mark::Unknown), "{what}");
        }
    }

    #[test]
    fn any_bytes_pass_without_harm() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..2000 {
            let mut bytes = stream();
            for _ in 0..3 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = (seed % bytes.len() as u64) as usize;
                bytes[at] = (seed >> 32) as u8;
            }
            if let Some((passed, _)) = marked(&bytes, 1 + (seed % 5000) as usize) {
                assert!(passed < bytes.len());
            }
        }
    }
}
