//! Files that nobody wrote in good faith: no panic, no partial answer, and an end in time.

use super::{Disk, read};
use crate::core::fault::render_all;
use crate::core::xen::Toolstack;

/// A small generator of numbers (xorshift), so that every run plays the same files.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

const BOTH: [Toolstack; 2] = [Toolstack::Xl, Toolstack::Xm];

/// Reads, renders and resolves; the result must hold together.
fn play(text: &[u8]) {
    for toolstack in BOTH {
        match read("web.cfg", text, toolstack) {
            Ok(config) => {
                assert!(!config.name.is_empty());
                let _ = config.domu_name();
                let _ = config.resources(&[]);
                let _: Vec<_> = config.disks.iter().map(Disk::promotion).collect();
                render_all("web.cfg", text, &config.warnings);
            }
            Err(faults) => {
                assert!(!faults.is_empty() && faults.len() <= 100);
                assert!(faults.windows(2).all(|w| (w[0].line, w[0].column) <= (w[1].line, w[1].column)));
                assert!(faults.iter().all(|f| f.line >= 1 && f.column >= 1 && f.what.len() < 600));
                render_all("web.cfg", text, &faults);
            }
        }
    }
}

#[test]
fn random_bytes() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let length = dice.roll(if round % 100 == 0 { 20_000 } else { 200 });
        let text: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
        play(&text);
    }
}

#[test]
fn random_words() {
    const WORDS: [&str; 60] = [
        "name",
        "disk",
        "memory",
        "vif",
        "x",
        "=",
        "+=",
        " ",
        "\n",
        "\n",
        "\t",
        ";",
        "#",
        "[",
        "]",
        "[",
        "]",
        "(",
        ")",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "\\",
        "\\\n",
        "\r\n",
        "\r",
        "'web'",
        "\"drbd:web,xvda,w\"",
        "'phy:/dev/drbd1,xvda,w'",
        "drbd:",
        "phy:",
        "/dev/drbd",
        "/by-res/",
        "target=",
        "vdev=xvda",
        "script=",
        "cdrom",
        ":",
        "%",
        "%s",
        "%d",
        "+",
        "-",
        "*",
        "12",
        "0x1f",
        "1e5",
        "import os",
        "from x import y",
        "if x:",
        "    ",
        "u'",
        "r'",
        "\\x",
        "\\u00e9",
        "é",
        "\u{feff}",
        "# coding: utf-8\n",
        "\u{c}",
    ];
    let mut dice = Dice(42);
    for _ in 0..6000 {
        let text: String = (0..dice.roll(60)).map(|_| WORDS[dice.roll(WORDS.len())]).collect();
        play(text.as_bytes());
    }
}

#[test]
fn broken_copies_of_a_good_file() {
    let good = b"# coding: utf-8\nname = \"web\"\nmemory = 256\nvif = [ 'bridge=xenbr0' ]\ndisk = [\n  'drbd:web,xvda,w', # root\n  \"phy:/dev/drbd/by-res/db/0,xvdb,w\",\n]\n";
    play(good);
    let mut dice = Dice(7);
    for _ in 0..4000 {
        let mut text = good.to_vec();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(text.len().max(1));
            match dice.roll(3) {
                _ if text.is_empty() => break,
                0 => text[at] = dice.roll(256) as u8,
                1 => drop(text.remove(at)),
                _ => text.truncate(at.max(1)),
            }
        }
        play(&text);
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [("[", "]"), ("(", ")"), ("[(", ")]"), ("{", "}")] {
        for depth in [49, 51, 5_000, 100_000] {
            let text = format!("name = 'a'\nx = {}{}\n", open.repeat(depth), close.repeat(depth));
            play(text.as_bytes());
            play(format!("name = 'a'\nx = {}", open.repeat(depth)).as_bytes());
        }
    }
    let nested = |depth: usize| format!("name = 'a'\nx = {}{}\n", "[".repeat(depth), "]".repeat(depth));
    for toolstack in BOTH {
        assert!(read("f", nested(40).as_bytes(), toolstack).is_ok());
        assert!(read("f", nested(60).as_bytes(), toolstack).is_err());
    }
    for signs in ["-", "+", "- ", "not ", "a=", "a+", "'a' ", "("] {
        play(format!("name = 'a'\nx = {}1\n", signs.repeat(50_000)).as_bytes());
    }
}

#[test]
fn huge_values_come_to_an_end() {
    let kilo = "x".repeat(1000);
    let doubling = format!("a = '{kilo}'\n{}name = 'b'\n", "a = a + a\n".repeat(60));
    assert!(read("f", doubling.as_bytes(), Toolstack::Xm).is_err());
    for text in [
        doubling,
        format!("a = '{kilo}'\n{}", "a += a\n".repeat(30_000)),
        format!("a = [ '{kilo}' ]\n{}", "a = a + a\n".repeat(20_000)),
        format!("a = '{kilo}'\n{}", "a = '%s%s' % (a, a)\n".repeat(10_000)),
        format!("a = '{}'\n{}", "x".repeat(100_000), "b = a\n".repeat(20_000)),
        format!("{}'{kilo}'\n", "a = ".repeat(50_000)),
        format!("name = '%999d%999d' % (1, 1)\n{}", "x = '%999d' % 1\n".repeat(15_000)),
        format!("name = 'a'\n{}", "disk += [ 'drbd:a,xvda,w' ]\n".repeat(9_000)),
        format!("name = 'a'\ndisk = []\n{}", "disk += [ 'drbd:a,xvda,w' ]\n".repeat(9_000)),
        format!("name = 'a'\nx = ''\n{}", "x += 'yyyyyyyyyyyy'\n".repeat(13_000)),
        format!("name = 'a'\ndisk = [ '{}' ]\n", "a,".repeat(100_000)),
        format!("name = 'a'\ndisk = [ '{}' ]\n", "phy:".repeat(60_000)),
        format!("name = 'a'\ndisk = [ '{}' ]\n", "active-disk=,".repeat(19_000)),
        format!("name = 'a'\ndisk = [ 'phy:{},xvda,w' ]\n", "/..".repeat(80_000)),
        format!("name = 'a'\ndisk = [ {} ]\n", "'',".repeat(80_000)),
        format!("disk = [ {} ]\n", "'a' ".repeat(60_000)),
        format!("name = \"{}\"\n", "\\\\".repeat(120_000)),
        format!("x = {}\n", "é".repeat(120_000)),
        format!("x = {}\n", "$ ".repeat(120_000)),
        "\"\"\"".repeat(80_000),
        "'\n".repeat(130_000),
        "\r".repeat(260_000),
        "[\n".repeat(130_000),
        "x = [ 'a' 'b'\n".repeat(18_000),
        ";".repeat(260_000),
        "=".repeat(260_000),
        "1".repeat(260_000),
    ] {
        play(text.as_bytes());
    }
}
