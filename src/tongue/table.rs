//! The catalog as it lies in the executable: deflated when the program is built, inflated when the first line is said in French.
//!
//! In the text the fields of an entry end with 1, and an entry with 2.

use super::catalog::Entry;
use miniz_oxide::{deflate, inflate};

/// Bytes. What is damaged must not grow without end.
const LARGEST: usize = 1 << 20;

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
    deflate::compress_to_vec(&text, 10)
}

/// Unpacks them. What is not of that form has no entries.
pub fn unpack(packed: &[u8]) -> Vec<Entry> {
    let Ok(text) = inflate::decompress_to_vec_with_limit(packed, LARGEST) else { return vec![] };
    let field = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    text.split(|byte| *byte == 2)
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
        let mut cut = pack(&[entry("", "it runs", "il tourne")]);
        cut.pop();
        let bomb = deflate::compress_to_vec(&vec![b'x'; LARGEST + 1], 10);
        for packed in [&b""[..], b"\x05abc", &cut, &bomb] {
            assert_eq!(unpack(packed), []);
        }
    }

    /// What lies in the executable is the catalog, all of it.
    #[test]
    fn the_executable_has_the_whole_catalog_and_less_than_its_bytes() {
        let mut entries = crate::tongue::catalog::parse(crate::tongue::FRENCH).unwrap();
        entries.iter_mut().for_each(|e| e.line = 0);
        assert_eq!(unpack(crate::tongue::PACKED), entries);
        assert!(crate::tongue::PACKED.len() * 3 < crate::tongue::FRENCH.len(), "{}", crate::tongue::PACKED.len());
    }
}
