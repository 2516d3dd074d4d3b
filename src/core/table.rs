//! The table, `/etc/xen/migrate-tab.txt`: which domU may go to which Dom0. Written by the operator, only ever read by us.
//!
//! Like fstab: `domU  host[,host…]  options…`, blanks or tabs between the columns, `#` begins a comment line.
//! Every fault is told with its place, all at once; a row with a fault is never acted on, the others keep working.

use super::fault::{self, Fault};
use super::names::{DomuName, HostName};

/// Where the table is, below the root.
pub const PATH: &str = "/etc/xen/migrate-tab.txt";

/// One row without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The domU.
    pub domu: DomuName,
    /// Its partners, in order of preference; at least one.
    pub hosts: Vec<HostName>,
    /// Options for `xl migrate` or `xm migrate`, one argument a word.
    pub options: Vec<String>,
    /// The column of each option, from 1.
    pub columns: Vec<u32>,
    /// The column of each partner, from 1.
    pub host_columns: Vec<u32>,
    /// The line in the file, from 1.
    pub line: u32,
}

/// The whole table: the rows that can be acted on, and what is wrong with the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Rows without a fault, in the order of the file.
    pub entries: Vec<Entry>,
    /// Every fault, in the order of the file.
    pub faults: Vec<Fault>,
    /// First columns of rows with a fault, to tell "not in the table" from "its row has a fault".
    faulty: Vec<(String, u32)>,
}

impl Table {
    /// The row of a domU.
    pub fn entry(&self, domu: &DomuName) -> Option<&Entry> {
        self.entries.iter().find(|e| &e.domu == domu)
    }

    /// The domUs of rows that have a fault, as far as the name itself has none.
    pub fn faulty_domus(&self) -> impl Iterator<Item = DomuName> {
        self.faulty.iter().filter_map(|(name, _)| name.parse().ok())
    }

    /// How many faults stand in other lines than those that begin with this domU.
    pub fn faults_of_others(&self, domu: &DomuName) -> usize {
        let own: Vec<u32> = self.faulty.iter().filter(|(name, _)| name == domu.as_str()).map(|(_, line)| *line).collect();
        let mut lines: Vec<u32> = self.faults.iter().map(|f| f.line).filter(|line| !own.contains(line)).collect();
        lines.dedup();
        lines.len()
    }

    /// The faults in the lines that begin with this domU.
    pub fn faults_of(&self, domu: &DomuName) -> impl Iterator<Item = &Fault> {
        let own: Vec<u32> = self.faulty.iter().filter(|(name, _)| name == domu.as_str()).map(|(_, line)| *line).collect();
        self.faults.iter().filter(move |f| own.contains(&f.line))
    }

    /// The line of a row that begins with this domU and has a fault.
    pub fn faulty_line(&self, domu: &DomuName) -> Option<u32> {
        self.faulty.iter().find(|(name, _)| name == domu.as_str()).map(|(_, line)| *line)
    }
}

/// Reads the table. Never fails: what cannot be read is a fault.
pub fn parse(text: &str) -> Table {
    let mut table = Table::default();
    for (index, line) in text.lines().enumerate() {
        let number = index as u32 + 1;
        let words = words(line);
        let Some(&(_, first)) = words.first() else { continue };
        if first.starts_with('#') {
            continue;
        }
        match row(&words, number, line) {
            Ok(entry) => table.entries.push(entry),
            Err(faults) => {
                table.faulty.push((first.to_string(), number));
                table.faults.extend(faults);
            }
        }
    }
    refuse_duplicates(&mut table);
    fault::in_order(&mut table.faults);
    table
}

/// The words of a line, each with its column from 1 (in characters).
fn words(line: &str) -> Vec<(u32, &str)> {
    let blank = |c: char| c == ' ' || c == '\t' || c == '\r';
    let mut found = Vec::new();
    let mut start = None;
    for (column, (at, c)) in line.char_indices().enumerate() {
        match (blank(c), start) {
            (false, None) => start = Some((column as u32 + 1, at)),
            (true, Some((column, from))) => {
                found.push((column, &line[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    if let Some((column, from)) = start {
        found.push((column, &line[from..]));
    }
    found
}

fn row(words: &[(u32, &str)], line: u32, text: &str) -> Result<Entry, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = |column: u32, what: String, expected: &str| {
        faults.push(Fault { line, column, what, expected: expected.to_string() });
    };

    let (column, first) = words[0];
    let domu = first.parse::<DomuName>().map_err(|bad| fault(column, bad.to_string(), "the domU's name as `xl list` shows it"));

    let mut hosts: Vec<HostName> = Vec::new();
    let mut host_columns = Vec::new();
    match words.get(1) {
        None => {
            let end = text.trim_end().chars().count() as u32 + 1;
            fault(end, "there is no second column".into(), "the partner Dom0, or several with commas between them");
        }
        Some(&(column, list)) => {
            let mut at = column;
            for word in list.split(',') {
                match word.parse::<HostName>() {
                    Ok(host) if hosts.iter().any(|h| h.same_host(&host)) => {
                        fault(at, format!("the host {host} stands here twice"), "each host once, the preferred first");
                    }
                    Ok(host) => {
                        hosts.push(host);
                        host_columns.push(at);
                    }
                    Err(bad) => fault(at, bad.to_string(), "a Dom0's name, or several with commas and no blanks between them"),
                }
                at += word.chars().count() as u32 + 1;
            }
        }
    }

    let mut options = Vec::new();
    let mut columns = Vec::new();
    for &(column, word) in words.iter().skip(2) {
        if word.chars().any(char::is_control) {
            fault(column, format!("the option {word:?} holds a control character"), "options of `xl migrate` or `xm migrate`");
        } else if word.starts_with('#') {
            fault(column, "a comment cannot follow a row".into(), "comments on lines of their own, with # first");
            break;
        } else {
            options.push(word.to_string());
            columns.push(column);
        }
    }

    match domu {
        Ok(domu) if faults.is_empty() => Ok(Entry { domu, hosts, options, columns, host_columns, line }),
        _ => Err(faults),
    }
}

/// Two rows for one domU: which one counts would be a guess, so neither does.
fn refuse_duplicates(table: &mut Table) {
    let entries = std::mem::take(&mut table.entries);
    for entry in &entries {
        match entries.iter().find(|other| other.domu == entry.domu && other.line != entry.line) {
            None => table.entries.push(entry.clone()),
            Some(other) => {
                table.faulty.push((entry.domu.to_string(), entry.line));
                table.faults.push(Fault {
                    line: entry.line,
                    column: 1,
                    what: format!("{} has another row on line {}", entry.domu, other.line),
                    expected: "one row for each domU; put its hosts into one row, with commas between them".into(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_article() {
        let table = parse(
            "# -----------------------------------------------\n\
             # <domu_name>  <host_name>  <options>\n\
             my-domu-1       dom0-alpha      --live\n\
             my-domu-2\tdom0-beta\t--live\n\
             my-domu-3       dom0-alpha,dom0-beta\n\
             # EOF\n",
        );
        assert_eq!(table.faults, []);
        assert_eq!(table.entries.len(), 3);
        assert_eq!(table.entries[1].options, ["--live"]);
        assert_eq!(parse("web	a --live  -s x").entries[0].columns, [7, 15, 18]);
        assert_eq!(table.entries[2].hosts.len(), 2);
        assert_eq!(table.entries[2].line, 5);
        assert_eq!(table.entries[2].host_columns, [17, 28]);
    }

    fn places(text: &str) -> Vec<(u32, u32)> {
        parse(text).faults.iter().map(|f| (f.line, f.column)).collect()
    }

    #[test]
    fn every_fault_has_its_place_and_all_are_told_at_once() {
        assert_eq!(places("web\n"), [(1, 4)]);
        assert_eq!(places("-x alpha\nweb al;pha --live\n"), [(1, 1), (2, 5)]);
        assert_eq!(places("  web   a,,b"), [(1, 11)]);
        assert_eq!(places("web a,-b,a"), [(1, 7), (1, 10)]);
        assert_eq!(places("web a --live # here"), [(1, 14)]);
        assert_eq!(places("ALL a"), [(1, 1)]);
        assert_eq!(places("web a --x\u{7}"), [(1, 7)]);
    }

    #[test]
    fn a_faulty_row_is_never_acted_on_and_the_others_are() {
        let table = parse("web al;pha\nmail beta\n");
        assert!(table.entry(&"web".parse().unwrap()).is_none());
        assert_eq!(table.faulty_line(&"web".parse().unwrap()), Some(1));
        assert!(table.entry(&"mail".parse().unwrap()).is_some());
        assert_eq!(table.faulty_line(&"mail".parse().unwrap()), None);
        let count =
            |name: &str| (table.faults_of(&name.parse().unwrap()).count(), table.faults_of_others(&name.parse().unwrap()));
        assert_eq!((count("web"), count("mail")), ((1, 0), (0, 1)));
    }

    #[test]
    fn of_two_rows_for_one_domu_neither_counts() {
        let table = parse("web alpha\nmail beta\nweb beta\n");
        assert_eq!(table.entries.len(), 1);
        assert_eq!(table.faults.iter().map(|f| f.line).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn windows_line_ends_and_a_missing_last_newline_are_no_fault() {
        let table = parse("web alpha\r\nmail beta --live\r\n\r\n#x\r\nx y");
        assert_eq!((table.faults.len(), table.entries.len()), (0, 3));
        assert_eq!(table.entries[1].options, ["--live"]);
        assert_eq!(parse("web	a --live  -s x").entries[0].columns, [7, 15, 18]);
    }
}
