//! The catalog as it lies in the executable: packed when the program is built, unpacked when the first line is said in French.
//!
//! Two bytes that stand beside each other more often than any other two get a byte of their own that the text does not have, and so on
//! until there is no such byte any more: a third less, for a few lines here.
//!
//! ```text
//! a byte: how many pairs        for each: its byte, and the two that it stands for        the text
//! ```
//!
//! In the text the fields of an entry end with 1, and an entry with 2.

use super::catalog::Entry;

/// No byte stands for more than so many: what is damaged must not grow without end.
const LONGEST: usize = 1024;

/// Packs entries.
#[allow(dead_code, reason = "the build asks, and a test")]
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for entry in entries {
        for field in [&entry.context, &entry.id, &entry.text] {
            text.extend(field.bytes());
            text.push(1);
        }
        text.push(2);
    }
    let free: Vec<u8> = (3..=u8::MAX).filter(|byte| !text.contains(byte)).collect();
    let mut pairs = Vec::new();
    for byte in free {
        let mut counts = vec![0u32; 1 << 16];
        for pair in text.windows(2) {
            counts[usize::from(pair[0]) << 8 | usize::from(pair[1])] += 1;
        }
        // Of several the first, so that two builds of the same source are the same.
        let Some((most, count)) = counts.iter().enumerate().rev().max_by_key(|(_, count)| **count) else { break };
        if *count < 4 {
            break;
        }
        let pair = [(most >> 8) as u8, (most & 0xff) as u8];
        let mut shorter = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some((first, more)) = rest.split_first() {
            if rest.starts_with(&pair) {
                shorter.push(byte);
                rest = &rest[2..];
            } else {
                shorter.push(*first);
                rest = more;
            }
        }
        text = shorter;
        pairs.push([byte, pair[0], pair[1]]);
    }
    let mut packed = vec![pairs.len() as u8];
    packed.extend(pairs.concat());
    packed.extend(text);
    packed
}

/// Unpacks them. What is not of that form has no entries.
pub fn unpack(packed: &[u8]) -> Vec<Entry> {
    let Some((count, rest)) = packed.split_first() else { return vec![] };
    let Some((pairs, text)) = rest.split_at_checked(usize::from(*count) * 3) else { return vec![] };
    // What each byte stands for. A pair is made of what was there before it, so this ends, whatever the bytes are.
    let mut words: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    for pair in pairs.chunks_exact(3) {
        let word = [words[usize::from(pair[1])].as_slice(), &words[usize::from(pair[2])]].concat();
        if word.len() <= LONGEST {
            words[usize::from(pair[0])] = word;
        }
    }
    let plain: Vec<u8> = text.iter().flat_map(|byte| words[usize::from(*byte)].iter().copied()).collect();
    let field = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    plain
        .split(|byte| *byte == 2)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let mut fields = entry.split(|byte| *byte == 1);
            Entry { context: field(fields.next()), id: field(fields.next()), text: field(fields.next()), line: 0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(context: &str, id: &str, text: &str) -> Entry {
        Entry { context: context.to_string(), id: id.to_string(), text: text.to_string(), line: 0 }
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let many: Vec<Entry> =
            (0..200).map(|n| entry("", &format!("{{}} runs on host {n}"), &format!("{{}} tourne sur l’hôte {n} …"))).collect();
        for entries in [vec![], vec![entry("word", "running", "en marche")], many] {
            let packed = pack(&entries);
            assert_eq!(unpack(&packed), entries);
            assert_eq!(pack(&entries), packed);
        }
    }

    #[test]
    fn what_is_damaged_has_no_entries_and_ends() {
        for packed in [&b""[..], b"\x05abc", b"\x01\x03\x03\x03\x03\x03"] {
            assert!(unpack(packed).len() <= 1);
        }
    }

    /// What lies in the executable is the catalog, all of it.
    #[test]
    fn the_executable_has_the_whole_catalog_and_less_than_its_bytes() {
        let mut entries = crate::tongue::catalog::parse(crate::tongue::FRENCH).unwrap();
        entries.iter_mut().for_each(|e| e.line = 0);
        assert_eq!(unpack(crate::tongue::PACKED), entries);
        assert!(crate::tongue::PACKED.len() * 3 < crate::tongue::FRENCH.len() * 2, "{}", crate::tongue::PACKED.len());
    }
}
