//! The migrate options of a table row: what `xl migrate` and `xm migrate` understand, and what they would misunderstand.
//!
//! The two programs share letters with other meanings (`-p` is the port in `xm` and "leave it paused" in `xl`), `xl` up to 4.6 ignores
//! what it does not know and carries on, and both take a word too many for the domU (facts 1.1, 1.3, 2.1, 2.7). So every word is
//! looked at before anything moves.

use super::xen::Toolstack;
use thiserror::Error;

/// Options that may go to the toolstack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The words, as they were.
    pub words: Vec<String>,
    /// `xl -p`: the domU is left paused at the target.
    pub leave_paused: bool,
    /// `xl -s`: the row brings its own transport, so ours must not be added.
    pub own_transport: bool,
    /// `xl -C`: the file that is sent as the domU's config, and the how manieth word names it, from 0.
    pub config: Option<(String, usize)>,
    /// The domU goes on running while it is copied. Always so with `xl`; with `xm` only if it is asked for.
    pub live: bool,
}

/// A word that cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{word:?} cannot be passed to {toolstack} migrate: {why}")]
pub struct BadOption {
    /// The word.
    pub word: String,
    /// The how manieth it is, from 0.
    pub place: usize,
    /// The toolstack it was meant for.
    pub toolstack: Toolstack,
    /// What is wrong with it, and what to write instead.
    pub why: String,
}

/// Checks the options of a table row.
pub fn check(toolstack: Toolstack, words: &[String]) -> Result<Checked, BadOption> {
    read(toolstack, words, false)
}

/// Checks options that a peer asked for: only those that change how the copy is made, none that names a command or a file here or
/// leaves the domU paused.
pub fn check_from_peer(toolstack: Toolstack, words: &[String]) -> Result<Checked, BadOption> {
    read(toolstack, words, true)
}

/// What follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Nothing,
    /// A number, not larger than this.
    Number(u32),
    /// The full path of a file.
    File,
    /// A command of one word.
    Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Live,
    LeavePaused,
    Transport,
    Config,
    Other,
}

struct Known {
    short: Option<char>,
    long: Option<&'static str>,
    value: Value,
    means: Means,
    /// A peer may ask for it.
    peer: bool,
}

const fn known(short: Option<char>, long: Option<&'static str>, value: Value, means: Means, peer: bool) -> Known {
    Known { short, long, value, means, peer }
}

/// `xl_migrate.c`, `main_migrate`, of 4.20: `FC:s:epD`, `--debug`, `--live`. (`-p` since 4.8, `-D` since 4.14.)
const XL: [Known; 8] = [
    known(None, Some("live"), Value::Nothing, Means::Live, true),
    known(None, Some("debug"), Value::Nothing, Means::Other, true),
    known(Some('D'), None, Value::Nothing, Means::Other, true),
    known(Some('p'), None, Value::Nothing, Means::LeavePaused, false),
    known(Some('e'), None, Value::Nothing, Means::Other, false),
    known(Some('F'), None, Value::Nothing, Means::Other, false),
    known(Some('C'), None, Value::File, Means::Config, false),
    known(Some('s'), None, Value::Command, Means::Transport, false),
];

/// `migrate.py` of 3.0 to 4.4. (`-r` up to 3.2, `-n` and `-s` since 3.3, `-c` since 4.0.)
const XM: [Known; 6] = [
    known(Some('l'), Some("live"), Value::Nothing, Means::Live, true),
    known(Some('p'), Some("port"), Value::Number(65535), Means::Other, true),
    known(Some('n'), Some("node"), Value::Number(1023), Means::Other, true),
    known(Some('s'), Some("ssl"), Value::Nothing, Means::Other, true),
    known(Some('c'), Some("change_home_server"), Value::Nothing, Means::Other, false),
    known(Some('r'), Some("resource"), Value::Number(1_000_000), Means::Other, false),
];

/// Habits of the one toolstack that the other would misunderstand, without their hyphens: what to write instead.
const XL_INSTEAD: [(&str, &str); 17] = [
    ("l", "xl is always live: delete it, or write --live"),
    ("d", "write --debug"),
    ("r", "xl has no limit for the rate: delete it and its number"),
    ("resource", "xl has no limit for the rate: delete it and its number"),
    ("port", "xl goes through ssh: delete it and its number"),
    ("n", "xl chooses the NUMA node by the domU's config: delete it and its number"),
    ("node", "xl chooses the NUMA node by the domU's config: delete it and its number"),
    ("ssl", "xl goes through ssh, which encrypts: delete it"),
    ("c", "xl has no managed domains: delete it"),
    ("change_home_server", "xl has no managed domains: delete it"),
    ("v", "it is an option of xl itself, not of migrate: delete it"),
    ("t", "it is an option of xl itself, not of migrate: delete it"),
    ("T", "it is an option of xl itself, not of migrate: delete it"),
    ("f", "it is an option of xl itself, not of migrate: delete it"),
    ("h", "it prints help and migrates nothing: delete it"),
    ("help", "it prints help and migrates nothing: delete it"),
    ("paused", "write -p, which leaves the domU paused at the target"),
];

const XM_INSTEAD: [(&str, &str); 8] = [
    ("debug", "it is an option of xl: delete it"),
    ("D", "it is an option of xl: delete it"),
    ("C", "it is an option of xl: delete it and its file"),
    ("e", "it is an option of xl: delete it"),
    ("F", "it is an option of xl: delete it"),
    ("d", "it is an option of xl: delete it"),
    ("h", "it prints help and migrates nothing: delete it"),
    ("help", "it prints help and migrates nothing: delete it"),
];

const XL_PORT: &str =
    "xl goes through ssh and has no port; its -p leaves the domU paused at the target: delete -p and the number";

fn read(toolstack: Toolstack, words: &[String], peer: bool) -> Result<Checked, BadOption> {
    let options: &[Known] = match toolstack {
        Toolstack::Xl => &XL,
        Toolstack::Xm => &XM,
    };
    let mut checked = Checked {
        words: words.to_vec(),
        leave_paused: false,
        own_transport: false,
        config: None,
        live: toolstack == Toolstack::Xl,
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let place = words.len() - 1 - rest.len();
        let bad = |why: String| BadOption { word: word.chars().take(80).collect(), place, toolstack, why };
        if word.chars().any(char::is_control) {
            return Err(bad("it contains a control character".to_string()));
        }
        let mut met = |option: &Known, inline: Option<&str>| -> Result<(), BadOption> {
            if peer && !option.peer {
                return Err(bad("a peer may not ask for it".to_string()));
            }
            let mut value = (inline.unwrap_or_default().to_string(), place);
            match (option.value, inline) {
                (Value::Nothing, None) => {}
                (Value::Nothing, Some(_)) => return Err(bad("it takes no value".to_string())),
                (kind, Some(inline)) => fits(kind, inline).map_err(&bad)?,
                (kind, None) => {
                    let next = rest.next().ok_or_else(|| bad(format!("it needs {}", named(kind))))?;
                    fits(kind, next).map_err(&bad)?;
                    value = (next.clone(), place + 1);
                }
            }
            match option.means {
                Means::Live => checked.live = true,
                Means::LeavePaused => checked.leave_paused = true,
                Means::Transport => checked.own_transport = true,
                Means::Config => checked.config = Some(value),
                Means::Other => {}
            }
            Ok(())
        };
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, inline) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            match options.iter().find(|option| option.long == Some(name)) {
                Some(option) => met(option, inline)?,
                None => return Err(bad(unknown(toolstack, options, name))),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-") {
            // `-eD` is two options, `-p8002` is one with its value.
            for (at, letter) in letters.char_indices() {
                if toolstack == Toolstack::Xl && at > 0 && letter.is_ascii_digit() && letters.starts_with('p') {
                    return Err(bad(XL_PORT.to_string()));
                }
                let Some(option) = options.iter().find(|option| option.short == Some(letter)) else {
                    return Err(bad(unknown(toolstack, options, letter.encode_utf8(&mut [0; 4]))));
                };
                if option.value == Value::Nothing {
                    met(option, None)?;
                    continue;
                }
                let inline = &letters[at + letter.len_utf8()..];
                met(option, Some(inline).filter(|inline| !inline.is_empty()))?;
                break;
            }
        } else {
            let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
            let after_p = words.windows(2).any(|pair| pair[0] == "-p" && std::ptr::eq(&pair[1], word));
            return Err(bad(match word.split_once('=') {
                _ if toolstack == Toolstack::Xl && number && after_p => XL_PORT.to_string(),
                Some((name, _)) if toolstack == Toolstack::Xm && options.iter().any(|option| option.long == Some(name)) => {
                    format!("options begin with hyphens: write --{name}")
                }
                _ => "it is not an option, and would be taken for the domU or the host".to_string(),
            }));
        }
    }
    Ok(checked)
}

fn unknown(toolstack: Toolstack, options: &[Known], name: &str) -> String {
    let habits: &[(&str, &str)] = match toolstack {
        Toolstack::Xl => &XL_INSTEAD,
        Toolstack::Xm => &XM_INSTEAD,
    };
    if let Some((_, instead)) = habits.iter().find(|(habit, _)| *habit == name) {
        return (*instead).to_string();
    }
    // Both programs take a beginning for the whole; a later version may know two that begin so.
    let whole = options.iter().filter_map(|option| option.long).find(|long| name.len() > 1 && long.starts_with(name));
    match whole {
        Some(long) => format!("write it in full: --{long}"),
        None => "it is not an option that is known".to_string(),
    }
}

fn fits(value: Value, word: &str) -> Result<(), String> {
    let good = match value {
        Value::Nothing => false,
        Value::Number(most) => {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) && word.parse::<u32>().is_ok_and(|n| n <= most)
        }
        Value::File => word.starts_with('/') && !word.chars().any(char::is_control),
        // An empty command makes xl run the host's name as a shell command.
        Value::Command => {
            !word.is_empty() && !word.starts_with('-') && !word.chars().any(|c| c.is_control() || c.is_whitespace())
        }
    };
    if good { Ok(()) } else { Err(format!("it needs {}, and {word:?} is not one", named(value))) }
}

fn named(value: Value) -> String {
    match value {
        Value::Nothing => "no value".to_string(),
        Value::Number(most) => format!("a number up to {most}"),
        Value::File => "the full path of a file".to_string(),
        Value::Command => "a command of one word that stands in for ssh".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::Toolstack::{Xl, Xm};
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    fn why(toolstack: Toolstack, text: &str) -> String {
        match check(toolstack, &words(text)) {
            Ok(checked) => panic!("{text} was accepted: {checked:?}"),
            Err(bad) => bad.to_string(),
        }
    }

    #[test]
    fn the_file_that_is_sent_as_its_config_is_known_with_its_place() {
        let file = |text: &str| check(Xl, &words(text)).unwrap().config;
        assert_eq!(file("--live -C /a"), Some(("/a".to_string(), 2)));
        assert_eq!(file("-eC/a --live"), Some(("/a".to_string(), 0)));
        assert_eq!(file("--live -s x"), None);
    }

    #[test]
    fn xl_knows_its_own_and_is_always_live() {
        for text in ["", "--live", "--debug", "-D", "-e", "-F", "-eD", "-C /etc/xen/web.cfg", "-C/etc/xen/web.cfg"] {
            let checked = check(Xl, &words(text)).unwrap_or_else(|bad| panic!("{text}: {bad}"));
            assert!(checked.live && !checked.leave_paused && !checked.own_transport, "{text}");
            assert_eq!(checked.words, words(text));
        }
        assert!(check(Xl, &words("--live -p")).unwrap().leave_paused);
        assert!(check(Xl, &words("-Dp")).unwrap().leave_paused);
        for text in ["-s /usr/local/bin/tunnel", "-s/usr/local/bin/tunnel --live", "-es tunnel"] {
            assert!(check(Xl, &words(text)).unwrap().own_transport, "{text}");
        }
    }

    #[test]
    fn habits_of_xm_are_told_what_to_write_for_xl() {
        for (text, hint) in [
            ("-l", "write --live"),
            ("-l --live", "write --live"),
            ("-p 8002", "paused at the target"),
            ("-p8002", "paused at the target"),
            ("--port=8002", "through ssh"),
            ("--port 8002", "through ssh"),
            ("--ssl", "encrypts"),
            ("--resource=100", "rate"),
            ("--node 1", "NUMA"),
            ("-n 1", "NUMA"),
            ("-c", "managed"),
            ("-d", "--debug"),
            ("-v", "not of migrate"),
            ("--help", "migrates nothing"),
            ("--liv", "--live"),
            ("--preserve-domid", "not an option"),
            ("-s", "stands in for ssh"),
            ("-s --live", "stands in for ssh"),
            ("-C web.cfg", "full path"),
            ("--live=1", "no value"),
            ("web", "taken for the domU"),
            ("--", "taken for the domU"),
            ("-", "taken for the domU"),
            ("live=1", "taken for the domU"),
            ("-é", "not an option"),
        ] {
            let said = why(Xl, text);
            assert!(said.contains(hint), "{text}: {said}");
        }
    }

    #[test]
    fn an_empty_transport_would_run_the_host_as_a_command() {
        let said = check(Xl, &["-s".to_string(), String::new()]).unwrap_err().to_string();
        assert!(said.contains("stands in for ssh"), "{said}");
        let spaced = check(Xl, &["-s".to_string(), "ssh -v;id".to_string()]);
        assert!(spaced.is_err());
    }

    #[test]
    fn xm_is_live_only_when_asked() {
        for text in
            ["", "-p 8002", "-p8002", "--port=8002", "--port 8002", "-s", "--ssl", "-n 1", "-c", "--change_home_server", "-r 100"]
        {
            let checked = check(Xm, &words(text)).unwrap_or_else(|bad| panic!("{text}: {bad}"));
            assert!(!checked.live && !checked.leave_paused && !checked.own_transport, "{text}");
        }
        for text in ["-l", "--live", "-ls", "-l -p 8002", "-lp8002"] {
            assert!(check(Xm, &words(text)).unwrap().live, "{text}");
        }
        for (text, hint) in [
            ("-p", "a number"),
            ("-p x", "a number"),
            ("-p 70000", "a number"),
            ("-D", "option of xl"),
            ("-C /x", "option of xl"),
            ("live=1", "write --live"),
            ("beta", "taken for the domU"),
            ("--li", "write it in full"),
            ("--", "taken for the domU"),
        ] {
            let said = why(Xm, text);
            assert!(said.contains(hint), "{text}: {said}");
        }
    }

    #[test]
    fn a_peer_names_no_command_and_no_file() {
        for text in ["", "--live", "--debug", "-D", "--live --debug"] {
            assert!(check_from_peer(Xl, &words(text)).is_ok(), "{text}");
        }
        for text in ["-s tunnel", "-C /etc/passwd", "-p", "-Dp", "-e", "-F", "-Ds tunnel", "-l", "x"] {
            assert!(check_from_peer(Xl, &words(text)).is_err(), "{text}");
        }
        for text in ["-l", "--live", "-p 8002", "--port=8002", "-n 1", "--node 1", "-s", "--ssl", "-lsp 8002"] {
            assert!(check_from_peer(Xm, &words(text)).is_ok(), "{text}");
        }
        for text in ["-c", "-r 5", "--resource=5", "--change_home_server", "-lc"] {
            assert!(check_from_peer(Xm, &words(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_word_with_a_line_end_goes_nowhere() {
        assert!(check(Xl, &["--live\n".to_string()]).is_err());
        assert!(check(Xm, &["--port=1\0".to_string()]).is_err());
        assert!(check(Xl, &["-C".to_string(), "/x\ny".to_string()]).is_err());
    }
}
