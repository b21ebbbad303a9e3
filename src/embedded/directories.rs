//! Where parts and data live when nobody says otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

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

#[cfg(test)]
mod tests {
    use super::*;

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
