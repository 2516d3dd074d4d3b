//! Hands argv to the applets and returns their exit code.

fn main() -> std::process::ExitCode {
    xen_drbd::applets::main(std::env::args_os().collect())
}
