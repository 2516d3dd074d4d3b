//! bash. Written to work with and without the package bash-completion; what is after `=` in one word is left to the person.

use super::{BOOT_NAMES_IN_SH, Flag, NAMES_IN_SH, Program, Value, Verb};

/// The file.
pub fn script(program: &Program) -> String {
    let name = program.name;
    let function = format!("_{}", name.replace('-', "_"));
    let boot = if name == "xen-drbd-auto" { BOOT_NAMES_IN_SH } else { "" };
    let verbs: Vec<&str> = program.verbs.iter().map(|v| v.name.as_str()).collect();
    let cases: String = program.verbs.iter().map(|verb| case(program, verb)).collect();
    let global: Vec<&Flag> = program.flags.iter().collect();
    format!(
        "# bash completion for {name}, made from its command line. Do not edit.\n{NAMES_IN_SH}{boot}\n\
         {function}() {{\n\
         \tlocal cur=${{COMP_WORDS[COMP_CWORD]}} verb= option= given=0 flags= at word\n\
         \tCOMPREPLY=()\n\
         \tfor ((at = 1; at < COMP_CWORD; at++)); do\n\
         \t\tword=${{COMP_WORDS[at]}}\n\
         \t\tif [[ -n $option ]]; then\n\
         \t\t\toption=\n\
         \t\t\tcontinue\n\
         \t\tfi\n\
         \t\tcase $word in\n\
         \t\t{}) option=$word ;;\n\
         \t\t-*) ;;\n\
         \t\t*) if [[ -z $verb ]]; then verb=$word; else given=$((given + 1)); fi ;;\n\
         \t\tesac\n\
         \tdone\n\
         \tlocal words=\n\
         \tcase $verb in\n\
         \t'')\n\
         \t\tflags='{}'\n\
         \t\tcase $option in\n{}\
         \t\t'') words='{}' ;;\n\
         \t\tesac\n\
         \t\t;;\n{cases}\
         \tesac\n\
         \tif [[ -z $option && $cur == -* ]]; then words=$flags; fi\n\
         \tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n\
         \t_xen_drbd_folders\n\
         }}\n\
         _xen_drbd_folders() {{\n\
         \t# The marks below stand for files and folders, which only bash can list.\n\
         \tcase $words in\n\
         \t@folder) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n\
         \t@file) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n\
         \tesac\n\
         }}\n\
         complete -F {function} {name}\n",
        with_values(program),
        names(&global),
        options(program, &global),
        verbs.join(" "),
    )
}

/// Every option after which a value stands, as a pattern.
fn with_values(program: &Program) -> String {
    let all = program.flags.iter().chain(program.verbs.iter().flat_map(|v| &v.flags));
    let mut names: Vec<&str> = all.filter(|f| f.value.is_some()).flat_map(|f| f.names.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { "--".to_string() } else { names.join(" | ") }
}

fn case(program: &Program, verb: &Verb) -> String {
    let flags: Vec<&Flag> = verb.flags.iter().collect();
    let mut places = String::new();
    for (at, place) in verb.places.iter().enumerate() {
        let pattern = if verb.repeats && at + 1 == verb.places.len() { "*".to_string() } else { at.to_string() };
        places += &format!("\t\t\t{pattern}) words={} ;;\n", words(program, place));
    }
    if !places.is_empty() {
        places = format!("\t\t\tcase $given in\n{places}\t\t\tesac\n");
    }
    format!(
        "\t{})\n\t\tflags='{}'\n\t\tcase $option in\n{}\t\t'')\n{places}\t\t\t;;\n\t\tesac\n\t\t;;\n",
        verb.name,
        names(&flags),
        options(program, &flags),
    )
}

fn options(program: &Program, flags: &[&Flag]) -> String {
    let line = |flag: &&Flag| {
        let value = flag.value.as_ref()?;
        Some(format!("\t\t{}) words={} ;;\n", flag.names.join(" | "), words(program, value)))
    };
    flags.iter().filter_map(line).collect()
}

fn names(flags: &[&Flag]) -> String {
    flags.iter().flat_map(|f| f.names.iter().filter(|n| n.starts_with("--")).cloned()).collect::<Vec<_>>().join(" ")
}

fn words(program: &Program, value: &Value) -> String {
    let domus = if program.name == "xen-drbd-auto" { "_xen_drbd_auto_domus" } else { "_xen_drbd_domus" };
    match value {
        Value::Domu => format!("$({domus})"),
        Value::DomuOrAll => format!("\"ALL $({domus})\""),
        Value::Host => "$(_xen_drbd_hosts)".to_string(),
        Value::Words(words) => format!("'{}'", words.join(" ")),
        Value::Folder => "@folder".to_string(),
        Value::File => "@file".to_string(),
        Value::Free => "''".to_string(),
    }
}
