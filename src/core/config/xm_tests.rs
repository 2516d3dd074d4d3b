use super::super::{DomuConfig, read};
use crate::core::fault::Fault;
use crate::core::xen::Toolstack;

fn good(text: &str) -> DomuConfig {
    read("/etc/xen/web.cfg", text.as_bytes(), Toolstack::Xm).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn bad(text: &str) -> Vec<Fault> {
    read("/etc/xen/web.cfg", text.as_bytes(), Toolstack::Xm).expect_err(text)
}

fn places(text: &str) -> Vec<(u32, u32)> {
    bad(text).iter().map(|f| (f.line, f.column)).collect()
}

/// The name that an expression comes to.
fn name(expression: &str) -> String {
    good(&format!("name = {expression}\n")).name
}

fn specs(text: &str) -> Vec<String> {
    good(text).disks.into_iter().map(|d| d.spec).collect()
}

#[test]
fn one_statement_beyond_assignments_spoils_the_whole_file() {
    for statement in [
        "if 1:\n    disk = []",
        "def f():\n    pass",
        "for x in [1]:\n  name = 'y'",
        "while 0: pass",
        "class A: pass",
        "try:\n  pass\nexcept:\n  pass",
        "with x: pass",
        "print 'x'",
        "exec 'disk = []'",
        "del disk",
        "global disk",
        "assert 1",
        "raise 'x'",
        "lambda: 1",
        "f()",
        "os.system('x')",
        "x = f()",
        "x = os.uname()",
        "x = 'a'.upper()",
        "x = [1][0]",
        "x = {}",
        "x = 1 if 2 else 3",
        "x = [y for y in 'ab']",
        "x = not 1",
        "x = 1 < 2",
        "x = 1 and 2",
        "x = `1`",
        "x = 1 / 2",
        "x = 2 ** 3",
        "x = 'a' * 3",
        "x = 1 ; y",
        "disk[0] = 'x'",
        "a.b = 1",
        "a, b = 1, 2",
        "(a) = 1",
        "x -= 1",
        "x =",
        "= 1",
        "x",
        "1",
        "['x']",
        "x = y = [ ]",
        "@x\ndef f(): pass",
        "x = 1 2",
        "x = (1",
        "x = ]",
        "x = [ 1 2 ]",
        "x == 1",
        "x := 1",
        "$x = 1",
        "x = 'a' % {}",
        "x = -'a'",
        "True = 0",
        "None = 1",
        "print = 1",
        "return",
        "yield 1",
        "x = 1;;",
        ";",
        "x = lambda: 1",
        "x = 3j",
    ] {
        let text = format!("name = 'web'\ndisk = [ 'drbd:web,xvda,w' ]\n{statement}\n");
        let faults = bad(&text);
        assert!(faults.iter().all(|f| f.line >= 3), "{statement}: {faults:?}");
        // Nor does it help to stand in front.
        bad(&format!("{statement}\nname = 'web'\ndisk = [ 'drbd:web,xvda,w' ]\n"));
    }
}

#[test]
fn a_block_is_one_fault() {
    let text = "import socket\nif socket.gethostname() == 'a':\n    disk = [ 'x' ]\n    y = f(1)\nelse:\n    disk = []\nname = 'web'\nz = f()\n";
    assert_eq!(places(text), [(2, 1), (8, 5)]);
}

#[test]
fn all_faults_are_told_at_once() {
    assert_eq!(
        places("name = f()\n  x = 1\ndisk = [ 'a,b' ]\nmemory = 'x\nvif = [ 'noequals' ]\n"),
        [(1, 8), (2, 3), (3, 10), (4, 10), (5, 9)]
    );
    // What hangs on a fault is not told again.
    assert_eq!(places("base = os.uname()\nname = base\ndisk = [ 'drbd:%s,xvda,w' % base ]\n"), [(1, 8)]);
}

#[test]
fn strings_in_all_quotes() {
    assert_eq!(name(r#""web""#), "web");
    assert_eq!(name("'web'"), "web");
    assert_eq!(name("'''w\ne\"'b'''"), "w\ne\"'b");
    assert_eq!(name("\"\"\"web\"\"\""), "web");
    assert_eq!(name("'w' \"e\" '''b'''"), "web");
    assert_eq!(name("('w'\n'eb')"), "web");
    assert_eq!(name("'w' \\\n 'eb'"), "web");
    assert_eq!(name("'w\\\neb'"), "web");
    assert_eq!(name(r#"r"a\nb""#), r"a\nb");
    assert_eq!(name(r#"R'a\'b'"#), r"a\'b");
    assert_eq!(name("b'web'"), "web");
    assert_eq!(places("name = 'we\n"), [(1, 8)]);
    assert_eq!(places("name = '''we\nb\n"), [(1, 8)]);
}

#[test]
fn escapes_are_those_of_python() {
    assert_eq!(name(r#""we\x62""#), "web");
    assert_eq!(name(r#""\167eb""#), "web");
    assert_eq!(name(r#""a\\\'\"\tb""#), "a\\'\"\tb");
    // An unknown one stays as it is, and so do those of unicode strings.
    assert_eq!(name(r#""\q\u0041""#), r"\q\u0041");
    assert_eq!(places(r#"name = "\x4""#), [(1, 9)]);
    assert_eq!(places(r#"name = ur"\x""#), [(1, 11)]);
}

#[test]
fn a_disabled_block_in_triple_quotes_is_no_disk() {
    assert_eq!(
        specs("name = 'a'\n\"\"\"\ndisk = [ 'drbd:old,xvda,w' ]\n\"\"\"\ndisk = [ 'drbd:web,xvda,w' ]\n"),
        ["drbd:web,xvda,w"]
    );
}

#[test]
fn a_forgotten_comma_joins_two_disks() {
    let config = good("name = 'web'\ndisk = [ 'drbd:web,xvda,w' 'drbd:web2,xvdb,w' ]\n");
    assert_eq!(config.disks.len(), 1);
    assert!(config.drbd_uses().unwrap_err()[0].what.contains("wdrbd:web2"));
}

#[test]
fn what_xm_ignores_silently_is_a_warning() {
    for ignored in ["( 'drbd:web,xvda,w', )", "'drbd:web,xvda,w',", "u'drbd:web,xvda,w'", "None", "True", "5L", "('a' , 'b')"] {
        let config = good(&format!("name = 'web'\ndisk = {ignored}\n"));
        assert!(config.disks.is_empty(), "{ignored}");
        assert_eq!((config.warnings[0].line, config.warnings[0].column), (2, 1), "{ignored}");
    }
    for ignored in ["'web',", "u'web'", "''", "0", "None", "()"] {
        let config = good(&format!("name = {ignored}\n"));
        assert_eq!((config.name.as_str(), config.warnings.len()), ("web.cfg", 1), "{ignored}");
    }
}

#[test]
fn what_xm_refuses_is_a_fault() {
    for refused in [
        "disk = 'drbd:web,xvda,w'",
        "disk = 5",
        "disk = [ 5 ]",
        "disk = [ [ 'drbd:web,xvda,w' ] ]",
        "disk = [ 'drbd:web,xvda' ]",
        "disk = [ 'a,b,c,d,e,f' ]",
        "vif = [ 5 ]",
        "vif = [ 'bridge' ]",
        "name = [ 'web' ]",
        "name = 1.5",
    ] {
        let faults = bad(&format!("name = 'web'\n{refused}\n"));
        assert!(faults.len() == 1 && faults[0].line == 2, "{refused}: {faults:?}");
    }
    assert!(good("name = 'web'\nvif = [ '' ]\ndisk = ''\n").disks.is_empty());
}

#[test]
fn a_guest_without_a_name_is_called_like_the_file() {
    let config = good("memory = 64\n");
    assert_eq!((config.name.as_str(), config.memory_mib), ("web.cfg", Some(64)));
    assert_eq!(config.warnings.len(), 1);
    assert!(bad("defconfig = '/x/y'\n")[0].what.contains("defconfig"));
}

#[test]
fn variables_and_formats_whose_result_is_certain() {
    assert_eq!(specs("base = 'web'\nname = base\ndisk = [ 'drbd:' + base + ',xvda,w' ]\n"), ["drbd:web,xvda,w"]);
    assert_eq!(
        specs("import os\nvmid = 7\nname = 'vm%d' % vmid\ndisk = [ 'phy:/dev/drbd%d,xvda,w' % vmid ]\n"),
        ["phy:/dev/drbd7,xvda,w"]
    );
    assert_eq!(name("'%s-%02d%%' % ('web', 3)"), "web-03%");
    assert_eq!(name("'a' + '%s' % 'b' + 'c'"), "abc");
    assert_eq!(name("'%x%X|%3d|%03d' % (255, 255, -1, -1)"), "ffFF| -1|-01");
    assert_eq!(name("'%s' % (1 + 2 * 3 - 4)"), "3");
    assert_eq!(good("name = 'a'\nmemory = 2 * 1024\nmaxmem = 0x10 + 010\n").memory_mib, Some(2048));
    assert_eq!(good("name = 'a'\nmaxmem = 0x10 + 010\n").max_memory_mib, Some(24));
    for refused in [
        "'%s'",
        "'%s %s' % 'a'",
        "'%s' % ('a', 'b')",
        "'%d' % 'a'",
        "'%(x)s' % 1",
        "'%r' % 1",
        "'%s' % 1.5",
        "'%.2s' % 'a'",
        "'%' % 1",
        "'%9999d' % 1",
        "'%*d' % (1, 2)",
        "'%x' % -1",
        "'a' + 1",
        "'a' - 'b'",
        "'%s' % [ 1 ]",
        "9223372036854775807 + 1",
    ] {
        let text = format!("name = 'a'\nx = {refused}\n");
        if refused == "'%s'" {
            good(&text);
        } else {
            assert_eq!(bad(&text).len(), 1, "{refused}");
        }
    }
}

#[test]
fn an_unknown_name_is_a_fault_and_never_empty() {
    assert_eq!(places("name = nosuch\n"), [(1, 8)]);
    assert_eq!(places("name = 'a'\ndisk += [ 'drbd:web,xvda,w' ]\n"), [(2, 1)]);
    assert_eq!(places("name = 'a'\ndisk = [ disk_a, ]\n"), [(2, 10)]);
}

#[test]
fn imports_are_allowed_as_long_as_nothing_uses_them() {
    assert_eq!(good("import os, re as r, xml.dom\nfrom sys import (argv, path as p,)\nname = 'a'\n").name, "a");
    for refused in ["x = os", "x = os.uname()", "x = [ os ]", "os += 1", "x = r"] {
        assert_eq!(places(&format!("import os, re as r\nname = 'a'\n{refused}\n"))[0].0, 3, "{refused}");
    }
    for refused in [
        "from x import *",
        "from x import disk",
        "import name",
        "from x import y as disk",
        "from __future__ import unicode_literals",
        "from . import x",
        "import",
    ] {
        assert_eq!(bad(&format!("name = 'a'\ndisk = []\n{refused}\n"))[0].line, 3, "{refused}");
    }
    // A later assignment of one's own is certain again.
    assert_eq!(good("import name\nname = 'a'\n").name, "a");
}

#[test]
fn lists_are_never_two_names_for_one() {
    // In Python the `+=` would change both.
    for shared in [
        "disk = base\nbase += [ 'drbd:b,xvdb,w' ]",
        "disk = (base)",
        "disk = other = [ 'drbd:b,xvdb,w' ]",
        "x = [ base ]",
        "x = base, 1",
    ] {
        assert_eq!(bad(&format!("name = 'a'\nbase = [ 'drbd:a,xvda,w' ]\n{shared}\n"))[0].line, 3, "{shared}");
    }
    let text = "name = 'a'\nbase = [ 'drbd:a,xvda,w' ]\ndisk = base + [ 'drbd:b,xvdb,w' ]\nbase += [ 'drbd:c,xvdc,w' ]\ndisk += base\ndisk += ( 'drbd:d,xvdd,w', )\n";
    assert_eq!(specs(text), ["drbd:a,xvda,w", "drbd:b,xvdb,w", "drbd:a,xvda,w", "drbd:c,xvdc,w", "drbd:d,xvdd,w"]);
    assert_eq!(bad("name = 'a'\ndisk = [ ]\ndisk += 'drbd:web,xvda,w'\n")[0].line, 3);
}

#[test]
fn the_last_disk_counts_and_a_second_one_is_told() {
    let config = good("name = 'a'\ndisk = [ 'drbd:old,xvda,w' ]\ndisk = [ 'drbd:web,xvda,w' ]\n");
    assert_eq!(config.disks[0].target, "web");
    assert_eq!(config.warnings[0].line, 3);
    assert!(good("name = 'a'\ndisk = [ 'drbd:a,xvda,w' ]\ndisk = disk + [ 'drbd:b,xvdb,w' ]\n").warnings.is_empty());
}

#[test]
fn white_space_matters_where_python_says_so() {
    assert_eq!(places("  name = 'web'\n"), [(1, 3)]);
    assert_eq!(places("name = 'web'\n\tdisk = []\n"), [(2, 2)]);
    good("name = 'web'\n   # indented comment\n   \n\ndisk = [\n'drbd:a,xvda,w',\n      # c\n   ]; memory = 1;\n");
    good("name = 'web'\r\ndisk = [\r\n]\r\n");
    good("name = 'web'\n# end");
    assert!(bad("name = 'web'\rmemory = 1\n")[0].what.contains("carriage return"));
    assert_eq!(places("name = 'web' \\ \n"), [(1, 14)]);
    assert_eq!(places("name = [ 'web'\n\n"), [(1, 8)]);
}

#[test]
fn numbers_are_those_of_python_2() {
    let memory = |number: &str| good(&format!("name = 'a'\nmemory = {number}\n")).memory_mib;
    for (text, value) in [("256", 256), ("0400", 256), ("0o400", 256), ("0x100", 256), ("0b11", 3), ("'256'", 256), ("+5", 5)] {
        assert_eq!(memory(text), Some(value), "{text}");
    }
    for nothing in ["-5", "256L", "256.0", "'1G'", "''", "99999999999999999999", "[ 1 ]", "None"] {
        let config = good(&format!("name = 'a'\nmemory = {nothing}\n"));
        assert_eq!((config.memory_mib, config.warnings.len()), (None, 1), "{nothing}");
    }
    for refused in ["08", "1_000", "0x", "12ab", "1e", "0b2"] {
        assert_eq!(places(&format!("name = 'a'\nmemory = {refused}\n")), [(2, 10)], "{refused}");
    }
}

#[test]
fn a_character_outside_of_ascii_needs_an_encoding_even_in_a_comment() {
    assert_eq!(places("name = 'a' # café\n"), [(1, 17)]);
    assert_eq!(good("# -*- coding: utf-8 -*-\nname = 'é'\n").name, "é");
    assert_eq!(good("#!/x\n# vim: set fileencoding=UTF-8 :\nname = 'a' # é\n").name, "a");
    assert_eq!(good("\u{feff}name = 'a' # é\n").name, "a");
    assert!(bad("\n\n# coding: utf-8\nname = 'a' # é\n")[0].what.contains("ASCII"));
    assert!(bad("# coding: rot13\nanzr = 'a'\n")[0].what.contains("rot13"));
    assert!(read("f", b"# coding: utf-8\nname = 'a' # \xe9\n", Toolstack::Xm).is_err());
    assert!(read("f", b"# coding: latin-1\nname = 'a' # \xe9\n", Toolstack::Xm).is_ok());
    assert!(read("f", b"# coding: latin-1\nname = 'caf\xe9'\n", Toolstack::Xm).is_err());
    assert_eq!(places("# coding: utf-8\nname = 'a'\né = 1\n"), [(3, 1)]);
}

#[test]
fn bridges_are_found_each_once() {
    let config =
        good("name = 'a'\nvif = [ 'mac=00:16:3e:00:00:01, bridge = xenbr0', 'bridge=br1,bridge=br2', '', 'bridge=xenbr0' ]\n");
    assert_eq!(config.bridges, ["xenbr0", "br2"]);
}

#[test]
fn the_fields_of_a_disk() {
    let disks = good(
        "name = 'a'\ndisk = [ 'phy:drbd1,ioemu:hda,w!', 'file:/x.iso,hdc:cdrom,r', ',hdd:cdrom,r', 'tap:tapdisk:aio:/y,xvdb:disk,w', 'phy:/dev/drbd2,xvdc,w,storage,x86_64-abi' ]\n",
    )
    .disks;
    let shown: Vec<_> = disks.iter().map(|d| (d.target.as_str(), d.vdev.as_str(), d.writable, d.cdrom)).collect();
    assert_eq!(
        shown,
        [
            ("/dev/drbd1", "hda", true, false),
            ("/x.iso", "hdc", false, true),
            ("", "hdd", false, true),
            ("/y", "xvdb", true, false),
            ("/dev/drbd2", "xvdc", true, false)
        ]
    );
    assert_eq!(disks[4].backend_domain.as_deref(), Some("storage"));
    assert!(disks.iter().all(|d| d.refused.is_none()));
}
