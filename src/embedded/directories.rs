//! Where parts and data live when nobody says otherwise.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whether this process has root's rights, so that Postgres must run as somebody else.
pub fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where fetched parts are kept: `/var/cache/kindred` as root, else `$XDG_CACHE_HOME/kindred` or `~/.cache/kindred`.
/// `None` where the environment names no home; then `KINDRED_CACHE_DIR` is needed.
pub fn default_cache(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    choose(root, "/var/cache", "XDG_CACHE_HOME", ".cache", variable)
}

/// Where the embedded Postgres keeps its data: `/var/lib/kindred` as root, else `$XDG_DATA_HOME/kindred` or
/// `~/.local/share/kindred`. `None` where the environment names no home; then `KINDRED_DATA_DIR` is needed.
pub fn default_data(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    choose(root, "/var/lib", "XDG_DATA_HOME", ".local/share", variable)
}

fn choose(
    root: bool,
    for_root: &str,
    xdg: &str,
    below_home: &str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from(for_root).join("kindred"));
    }
    // The XDG specification says that relative paths are to be ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(xdg).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    Some(base.join("kindred"))
}

/// Makes a folder and those above that are missing. Each new one gets exactly `mode`: with root's umask of 077 the
/// account that Postgres runs under could not pass.
pub(super) fn make_folders(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folders(parent, mode)?;
    }
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_new_folder_gets_the_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b");
        make_folders(&path, 0o711).expect("made");
        make_folders(&path, 0o700).expect("there already");
        for made in [path.as_path(), path.parent().expect("a parent")] {
            assert_eq!(fs::metadata(made).expect("there").permissions().mode() & 0o777, 0o711);
        }
    }

    #[test]
    fn directories_follow_the_account() {
        for (root, variables, cache, data) in [
            (true, vec![("HOME", "/root")], Some("/var/cache/kindred"), Some("/var/lib/kindred")),
            (false, vec![("HOME", "/home/a")], Some("/home/a/.cache/kindred"), Some("/home/a/.local/share/kindred")),
            (
                false,
                vec![("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c"), ("XDG_DATA_HOME", "relative")],
                Some("/c/kindred"),
                Some("/home/a/.local/share/kindred"),
            ),
            (false, vec![], None, None),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value));
            assert_eq!(default_cache(root, variable), cache.map(PathBuf::from));
            assert_eq!(default_data(root, variable), data.map(PathBuf::from));
        }
    }
}
