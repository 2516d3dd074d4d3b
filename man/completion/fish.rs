//! fish.

use super::{Flag, Program, Value, Verb};

/// How fish finds the names.
const NAMES: &str = r#"
function __xen_drbd_lines
	test -r $argv[1]; and string match -v -r '^\s*(#|$)' <$argv[1] | string trim | string replace -a -r '\s+' ' '
end
function __xen_drbd_domus
	begin
		__xen_drbd_lines $XEN_DRBD_ROOT/etc/xen/migrate-tab.txt
		__xen_drbd_lines $XEN_DRBD_ROOT/etc/xen/migrate-status.txt
	end | string split -f 1 ' ' | sort -u
end
function __xen_drbd_hosts
	begin
		__xen_drbd_lines $XEN_DRBD_ROOT/etc/xen/migrate-tab.txt | string split -f 2 ' ' | string split ,
		__xen_drbd_lines $XEN_DRBD_ROOT/etc/xen/migrate-status.txt | string split -f 3 ' '
	end | sort -u
end
function __xen_drbd_auto_domus
	for file in $XEN_DRBD_ROOT/etc/xen/drbd-auto/*
		test -f $file; and string replace -r '.*/' '' $file | string replace -r '\.[^.]*$' ''
	end
end
"#;

/// The file.
pub fn script(program: &Program) -> String {
    let name = program.name;
    let verbs: Vec<&str> = program.verbs.iter().map(|v| v.name.as_str()).collect();
    let mut text =
        format!("# fish completion for {name}, made from its command line. Do not edit.\n{NAMES}\ncomplete -c {name} -f\n");
    let before = format!("not __fish_seen_subcommand_from {}", verbs.join(" "));
    for flag in &program.flags {
        text += &option(program, flag, &before);
    }
    for verb in &program.verbs {
        text += &format!("complete -c {name} -n {} -a {} -d {}\n", quoted(&before), verb.name, quoted(&verb.about));
        text += &of_verb(program, verb);
    }
    text
}

fn of_verb(program: &Program, verb: &Verb) -> String {
    let seen = format!("__fish_seen_subcommand_from {}", verb.name);
    let mut text: String = verb.flags.iter().map(|flag| option(program, flag, &seen)).collect();
    if let Some(offered) = verb.places.first().and_then(|place| offered(program, place)) {
        text += &format!("complete -c {} -n {} -a {}\n", program.name, quoted(&seen), quoted(&offered));
    }
    text
}

fn option(program: &Program, flag: &Flag, when: &str) -> String {
    let mut line = format!("complete -c {} -n {}", program.name, quoted(when));
    for name in &flag.names {
        line += &match name.strip_prefix("--") {
            Some(long) => format!(" -l {long}"),
            None => format!(" -s {}", name.trim_start_matches('-')),
        };
    }
    if let Some(value) = &flag.value {
        line += match value {
            Value::Folder | Value::File => " -r -F",
            _ => " -x",
        };
        line += &offered(program, value).map(|words| format!(" -a {}", quoted(&words))).unwrap_or_default();
    }
    format!("{line} -d {}\n", quoted(&flag.help))
}

fn offered(program: &Program, value: &Value) -> Option<String> {
    let domus = if program.name == "xen-drbd-auto" { "__xen_drbd_auto_domus" } else { "__xen_drbd_domus" };
    match value {
        Value::Domu => Some(format!("({domus})")),
        Value::DomuOrAll => Some(format!("ALL ({domus})")),
        Value::Host => Some("(__xen_drbd_hosts)".to_string()),
        Value::Words(words) => Some(words.join(" ")),
        Value::Folder | Value::File | Value::Free => None,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
