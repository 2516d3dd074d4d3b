//! zsh.

use super::{BOOT_NAMES_IN_SH, Flag, NAMES_IN_SH, Program, Value, Verb};

/// The file.
pub fn script(program: &Program) -> String {
    let name = program.name;
    let function = format!("_{name}");
    let boot = if name == "xen-drbd-auto" { BOOT_NAMES_IN_SH } else { "" };
    let verbs: String =
        program.verbs.iter().map(|v| format!("\t\t\t{}\n", quoted(&format!("{}:{}", v.name, colons(&v.about))))).collect();
    let cases: String = program.verbs.iter().map(|v| case(program, v)).collect();
    format!(
        "#compdef {name}\n# zsh completion for {name}, made from its command line. Do not edit.\n{NAMES_IN_SH}{boot}\n\
         _xen_drbd_offer() {{\n\
         \tlocal -a names\n\
         \tnames=(${{(fu)\"$($1)\"}} ${{@:2}})\n\
         \tcompadd -a names\n\
         }}\n\n\
         {function}() {{\n\
         \tlocal context state state_descr line\n\
         \ttypeset -A opt_args\n\
         \t_arguments -C \\\n{}\t\t'1:verb:->verb' \\\n\t\t'*::argument:->rest'\n\
         \tcase $state in\n\
         \tverb)\n\
         \t\tlocal -a verbs\n\
         \t\tverbs=(\n{verbs}\t\t)\n\
         \t\t_describe verb verbs\n\
         \t\t;;\n\
         \trest)\n\
         \t\tcase $words[1] in\n{cases}\t\tesac\n\
         \t\t;;\n\
         \tesac\n\
         }}\n\n\
         {function} \"$@\"\n",
        specs(program, &program.flags, "\t\t"),
    )
}

fn case(program: &Program, verb: &Verb) -> String {
    let mut places = String::new();
    for (at, place) in verb.places.iter().enumerate() {
        let number = if verb.repeats && at + 1 == verb.places.len() { "*".to_string() } else { (at + 1).to_string() };
        places += &format!("\t\t\t\t{} \\\n", quoted(&format!("{number}:{}", action(program, place))));
    }
    format!(
        "\t\t{})\n\t\t\t_arguments \\\n{}{places}\t\t\t\t&& return\n\t\t\t;;\n",
        verb.name,
        specs(program, &verb.flags, "\t\t\t\t")
    )
}

fn specs(program: &Program, flags: &[Flag], indent: &str) -> String {
    let mut lines = String::new();
    for flag in flags {
        for name in &flag.names {
            let again = if flag.again { "*" } else { "" };
            let help = flag.help.replace('[', "\\[").replace(']', "\\]");
            let value = flag.value.as_ref().map(|v| format!(":{}", action(program, v))).unwrap_or_default();
            lines += &format!("{indent}{} \\\n", quoted(&format!("{again}{name}[{}]{value}", colons(&help))));
        }
    }
    lines
}

/// What is offered, behind what it is called. A blank before a function's name keeps zsh from putting words of its own behind it.
fn action(program: &Program, value: &Value) -> String {
    let domus = if program.name == "xen-drbd-auto" { "_xen_drbd_auto_domus" } else { "_xen_drbd_domus" };
    match value {
        Value::Domu => format!("domU: _xen_drbd_offer {domus}"),
        Value::DomuOrAll => format!("domU: _xen_drbd_offer {domus} ALL"),
        Value::Host => "Dom0: _xen_drbd_offer _xen_drbd_hosts".to_string(),
        Value::Words(words) => format!("word:({})", words.join(" ")),
        Value::Folder => "folder:_files -/".to_string(),
        Value::File => "file:_files".to_string(),
        Value::Free => "text: ".to_string(),
    }
}

fn colons(text: &str) -> String {
    text.replace(':', "\\:")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
