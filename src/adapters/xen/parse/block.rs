//! `xl block-list` and `xm block-list`.

use super::Misread;
use crate::core::xen::{BlockDevice, Toolstack};

/// Reads the devices of one domain.
///
/// Both programs print the same seven columns: `xl` 4.1 to 4.22 as `%-5d %-3d %-6d …` (`xl_block.c`, `main_blocklist`), `xm` in two
/// spacings (`main.py`, `xm_block_list`, up to 3.2 and from 3.3). `xl` prints the header always, `xm` only when there is a device.
/// What `xm` could not read it prints as state -1; that becomes 0, xenbus's own word for unknown.
pub fn block_list(ts: Toolstack, text: &str) -> Result<Vec<BlockDevice>, Misread> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some(header) = lines.next() else {
        return match ts {
            Toolstack::Xm => Ok(Vec::new()),
            Toolstack::Xl => Err(Misread::of(text, "there is no header")),
        };
    };
    if !(header.starts_with("Vdev ") && header.contains(" state ")) {
        return Err(Misread::of(header, "this is not the header of a list of block devices"));
    }
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let mut number = |what: &str| {
                let word = words.next().ok_or_else(|| Misread::of(line, "there are too few columns"))?;
                word.parse::<i64>().map_err(|_| Misread::of(line, format!("the {what} is not a number")))
            };
            let vdev = number("virtual device")?;
            number("backend")?;
            number("handle")?;
            let state = number("state")?;
            number("event channel")?;
            number("ring reference")?;
            if words.next().is_none() {
                return Err(Misread::of(line, "there are too few columns"));
            }
            Ok(BlockDevice { vdev: vdev.to_string(), state: u32::try_from(state).unwrap_or(0) })
        })
        .collect()
}
