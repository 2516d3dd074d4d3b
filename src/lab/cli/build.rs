//! The real executable: built beside this example, with the profile that this example has.

use super::Fault;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xen_drbd::lab::folder::Programs;

/// Both executables. The real one is built first, so that what is shown is the source as it is now.
pub fn programs(tool: Option<&Path>) -> Result<Programs, Fault> {
    let lab = std::env::current_exe().map_err(|why| format!("this executable cannot be found: {why}"))?;
    if let Some(tool) = tool {
        return Ok(Programs { lab, tool: tool.to_path_buf() });
    }
    if let Some(tool) = installed(&lab) {
        return Ok(Programs { lab, tool });
    }
    let profile = lab.parent().and_then(Path::parent).ok_or("this executable lies in no target folder")?;
    let tool = profile.join("xen-drbd");
    match build(profile) {
        Ok(()) if tool.is_file() => Ok(Programs { lab, tool }),
        Ok(()) => Err(format!("cargo made no {}", tool.display())),
        // Without cargo, what was built before will do.
        Err(why) if tool.is_file() => {
            eprintln!("lab: {why}; using {} as it is", tool.display());
            Ok(Programs { lab, tool })
        }
        Err(why) => Err(why),
    }
}

/// A lab that a package brought lies beside the real executable, and there is nothing to be built.
fn installed(lab: &Path) -> Option<PathBuf> {
    let folder = lab.parent().filter(|folder| !folder.ends_with("examples"))?;
    Some(folder.join("xen-drbd")).filter(|tool| tool.is_file())
}

/// What a person types to have this program: in a clone cargo, which builds it anew; else its own name.
pub fn how_called() -> String {
    let exe = std::env::current_exe().unwrap_or_default();
    let built = exe.parent().is_some_and(|folder| folder.ends_with("examples"));
    match exe.file_name().filter(|_| !built) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => "cargo run --example lab --".to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "cargo builds the real executable")]
fn build(profile: &Path) -> Result<(), Fault> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let name = profile.file_name().and_then(|n| n.to_str()).unwrap_or("debug");
    let mut command = Command::new(cargo);
    // With the examples, the libraries are those that this example was built with; without, some would be built again.
    command.args(["build", "--quiet", "--bin", "xen-drbd", "--examples", "--offline", "--manifest-path"]).arg(manifest);
    command.args(["--profile", if name == "debug" { "dev" } else { name }]);
    let mut target = profile.parent().unwrap_or(profile);
    // target/TRIPLE/debug, where cargo was told a target.
    if !target.join("CACHEDIR.TAG").exists() && target.parent().is_some_and(|up| up.join("CACHEDIR.TAG").exists()) {
        command.arg("--target").arg(target.file_name().unwrap_or_default());
        target = target.parent().unwrap_or(target);
    }
    command.arg("--target-dir").arg(target).stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the real executable could not be built ({status})")),
        Err(why) => Err(format!("cargo could not be started: {why}")),
    }
}
