//! A page as man(7) wants it.

/// One piece of a page. Texts are in plain words with `code` and *place* marked as in README.
pub enum Block {
    /// A section.
    Heading(String),
    /// A part of a section.
    Part(String),
    /// Text.
    Text(String),
    /// A term, and what it means.
    Item(String, String),
    /// What is typed or shown, line by line, as it is.
    Shown(Vec<String>),
}

/// The page. `title` and `section` are those of the file name, `what` stands in the middle of the header.
pub fn render(title: &str, section: u8, date: &str, what: &str, blocks: &[Block]) -> String {
    let mut page = format!(
        ".\\\" Made from the command line of the program (cargo run --example man). Do not edit.\n\
         .TH \"{}\" {section} \"{date}\" \"xen-drbd {}\" \"{}\"\n.nh\n.ad l\n",
        escaped(&title.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
        escaped(what),
    );
    for block in blocks {
        page += &match block {
            Block::Heading(text) => format!(".SH \"{}\"\n", escaped(text)),
            Block::Part(text) => format!(".SS {}\n", marked(text)),
            Block::Text(text) => format!(".PP\n{}\n", line(&marked(text))),
            Block::Item(term, text) => format!(".TP\n{}\n{}\n", line(&marked(term)), line(&marked(text))),
            Block::Shown(lines) => {
                let lines: String = lines.iter().map(|l| line(&escaped(l)) + "\n").collect();
                format!(".PP\n.RS 4\n.nf\n{lines}.fi\n.RE\n")
            }
        };
    }
    page
}

/// No line of text is taken for a request.
fn line(text: &str) -> String {
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text.to_string() }
}

/// Every character as itself: the hyphens can be copied to a shell.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '"' => out.push_str("\\(dq"),
            other => out.push(other),
        }
    }
    out
}

/// `code` is bold, *place* is in italics.
fn marked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*']) {
        let mark = if rest[at..].starts_with('`') { '`' } else { '*' };
        let after = &rest[at + 1..];
        let Some(end) = after.find(mark).filter(|end| *end > 0) else { break };
        out += &escaped(&rest[..at]);
        out += if mark == '`' { "\\fB" } else { "\\fI" };
        out += &escaped(&after[..end]);
        out += "\\fR";
        rest = &after[end + 1..];
    }
    out + &escaped(rest)
}
