//! Files that are there, planted, endless, or cannot be written.

use super::{Real, another, sh, until, world};
use crate::adapters::World;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn etc(root: &Path) -> PathBuf {
    let etc = root.join("etc/xen");
    fs::create_dir_all(&etc).unwrap();
    etc
}

const RECORD: &str = "/etc/xen/migrate-status.txt";

#[test]
fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside() {
    let (root, real) = world();
    let etc = etc(root.path());
    let record = etc.join("migrate-status.txt");
    real.replace(Path::new(RECORD), b"one\n").unwrap();
    assert_eq!(real.read(Path::new(RECORD)).unwrap(), b"one\n");
    assert_eq!(record.metadata().unwrap().mode() & 0o7777, 0o600);
    let inode = record.metadata().unwrap().ino();
    fs::set_permissions(&record, fs::Permissions::from_mode(0o640)).unwrap();
    // Whoever reads the old one goes on reading the old one.
    let open = fs::File::open(&record).unwrap();
    real.replace(Path::new(RECORD), b"two\n").unwrap();
    assert_eq!(std::io::read_to_string(open).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(&record).unwrap(), "two\n");
    assert_eq!(record.metadata().unwrap().mode() & 0o7777, 0o640);
    assert_ne!(record.metadata().unwrap().ino(), inode, "written in place");
    assert_eq!(real.list(Path::new("/etc/xen")).unwrap(), ["migrate-status.txt"]);
}

#[test]
fn folders_are_made_where_they_are_ours() {
    let (root, real) = world();
    real.replace(Path::new("/run/xen-drbd-auto/state"), b"x").unwrap();
    assert_eq!(root.path().join("run/xen-drbd-auto").metadata().unwrap().mode() & 0o7777, 0o700);
    let why = real.replace(Path::new(RECORD), b"x").unwrap_err();
    assert_eq!(why.kind(), ErrorKind::NotFound);
    assert!(!root.path().join("etc").exists());
}

#[test]
fn nothing_planted_is_replaced_or_followed() {
    let (root, real) = world();
    let etc = etc(root.path());
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let record = etc.join("migrate-status.txt");
    symlink(&victim, &record).unwrap();
    let why = real.replace(Path::new(RECORD), b"x").unwrap_err();
    assert!(why.to_string().contains("symbolic link"), "{why}");
    assert!(record.is_symlink());
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert!(real.replace(Path::new(RECORD), b"x").is_err());
    // The folder, where it is ours.
    fs::create_dir(root.path().join("run")).unwrap();
    symlink(&etc, root.path().join("run/xen-drbd-auto")).unwrap();
    assert!(real.replace(Path::new("/run/xen-drbd-auto/state"), b"x").is_err());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(real.list(Path::new("/etc/xen")).unwrap(), ["migrate-status.txt"]);
}

#[test]
fn only_plain_files_of_a_plain_size_are_read() {
    let (root, real) = world();
    let etc = etc(root.path());
    let read = |name: &str| real.read(&Path::new("/etc/xen").join(name));
    assert_eq!(read("missing").unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(etc.join("web.cfg"), "name = \"web\"\n").unwrap();
    symlink("web.cfg", etc.join("link.cfg")).unwrap();
    assert_eq!(read("link.cfg").unwrap(), b"name = \"web\"\n");
    // A fifo without a writer, a file without an end, a folder.
    assert!(real.run(&sh(&format!("mkfifo '{}'", etc.join("fifo").display()))).unwrap().ok());
    symlink("/dev/zero", etc.join("zero")).unwrap();
    fs::create_dir(etc.join("folder")).unwrap();
    for name in ["fifo", "zero", "folder"] {
        assert_eq!(read(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    let size = super::super::files::LARGEST;
    fs::File::create(etc.join("large")).unwrap().set_len(size).unwrap();
    assert_eq!(read("large").unwrap().len() as u64, size);
    fs::File::create(etc.join("large")).unwrap().set_len(size + 1).unwrap();
    assert_eq!(read("large").unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(
        real.list(Path::new("/etc/xen")).unwrap(),
        ["fifo", "folder", "large", "link.cfg", "web.cfg", "zero"],
        "sorted, and everything"
    );
    assert_eq!(real.list(Path::new("/etc/nothing")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn without_a_root_paths_are_what_they_say() {
    let real = Real::new(None);
    assert!(!real.read(Path::new("/proc/self/stat")).unwrap().is_empty());
}

/// A tmpfs below `/etc/xen`, in a mount namespace that ends with the process; `$1` is the folder, `$2` its options afterwards.
const ON_A_TMPFS: &str = "mount -t tmpfs -o size=16k none \"$1\" && printf old >\"$1/migrate-status.txt\" && \
     { [ -z \"$2\" ] || mount -o \"remount,$2\" \"$1\"; } || exit 77; shift 2; exec \"$@\"";

fn play_on_a_tmpfs(part: &str, options: &str) {
    let (root, real) = world();
    let etc = etc(root.path());
    let may = real.run(&sh(&format!("unshare -m sh -c 'mount -t tmpfs none \"{0}\"'", etc.display())));
    if !may.is_ok_and(|output| output.ok()) {
        eprintln!("SKIPPED: {part}: this needs root and unshare(1) with mounts");
        return;
    }
    let folder = etc.display().to_string();
    let mut command = another(part, root.path(), &["unshare", "-m", "sh", "-c", ON_A_TMPFS, "sh", &folder, options]);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_full_disk_leaves_the_old_text() {
    play_on_a_tmpfs("full", "");
}

pub(super) fn on_a_full_disk(real: &Real) {
    let why = real.replace(Path::new(RECORD), &b"x".repeat(1_000_000)).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::StorageFull);
    assert_eq!(real.read(Path::new(RECORD)).unwrap(), b"old");
    assert_eq!(real.list(Path::new("/etc/xen")).unwrap(), ["migrate-status.txt"]);
    // And there is room again.
    real.replace(Path::new(RECORD), b"new").unwrap();
}

#[test]
fn a_read_only_disk_is_named() {
    play_on_a_tmpfs("read-only", "ro");
}

pub(super) fn on_a_read_only_disk(real: &Real) {
    let why = real.replace(Path::new(RECORD), b"new").unwrap_err();
    assert_eq!(why.kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(real.read(Path::new(RECORD)).unwrap(), b"old");
}

#[test]
fn two_writers_at_once_leave_one_whole_text() {
    let (root, real) = world();
    etc(root.path());
    let texts = ["a".repeat(50_000), "b".repeat(50_000)];
    std::thread::scope(|scope| {
        for text in &texts {
            let real = &real;
            scope.spawn(move || (0..20).for_each(|_| real.replace(Path::new(RECORD), text.as_bytes()).unwrap()));
        }
    });
    let left = String::from_utf8(real.read(Path::new(RECORD)).unwrap()).unwrap();
    assert!(texts.contains(&left));
    until(&real, "only one is left", || (real.list(Path::new("/etc/xen")).unwrap().len() == 1).then_some(()));
}
