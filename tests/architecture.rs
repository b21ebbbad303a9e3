//! The house keeps its laws: which room may import which, no circles between files, and the purity of the lowest rooms.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const SERVICES: [&str; 11] = [
    "access",
    "admin",
    "archive",
    "catalog",
    "context",
    "search",
    "transfer",
    "versions",
    "ingest",
    "maintenance",
    "migrate",
];

/// The rooms, and what each may import; `ARCHITECTURE.md` gives the reasons.
fn arrows() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let services = |more: &[&'static str]| SERVICES.iter().chain(more).copied().collect();
    let only = |rooms: &[&'static str]| rooms.iter().copied().collect();
    BTreeMap::from([
        ("cli", services(&["runtime", "telemetry", "tenancy", "domain"])),
        (
            "runtime",
            services(&["telemetry", "grpc", "mirror", "index", "store", "embed", "embedded", "tenancy", "domain"]),
        ),
        ("telemetry", only(&[])),
        // `ranking`, `store`: the reasons of dropped candidates and the stored rows that answers are packed from.
        ("grpc", services(&["store", "ranking", "tenancy", "domain"])),
        ("access", only(&["store", "tenancy", "domain"])),
        ("admin", only(&["store", "tenancy", "domain"])),
        ("catalog", only(&["domain"])),
        ("context", only(&["search", "store", "ranking", "tenancy", "domain"])),
        ("search", only(&["index", "store", "embed", "ranking", "tenancy", "domain"])),
        // `index`: changes are announced to the mirror.
        ("versions", only(&["ingest", "index", "store", "tenancy", "domain"])),
        // `ingest`: what a draft means is said there once, wherever drafts come from.
        ("transfer", only(&["ingest", "store", "tenancy", "domain"])),
        ("ingest", only(&["store", "embed", "index", "tenancy", "domain"])),
        // `archive`, `ingest`: the scheduler moves months and writes tombstones by the same acts as the others.
        ("maintenance", only(&["archive", "ingest", "store", "tenancy", "domain"])),
        ("archive", only(&["store", "tenancy", "domain"])),
        ("migrate", only(&["store", "tenancy", "domain"])),
        ("mirror", only(&["index", "store", "tenancy", "domain"])),
        ("index", only(&["tenancy", "domain"])),
        ("store", only(&["tenancy", "domain"])),
        ("embed", only(&["domain"])),
        ("embedded", only(&["domain"])),
        ("tenancy", only(&["domain"])),
        ("ranking", only(&["domain"])),
        ("domain", only(&[])),
    ])
}

struct File {
    room: String,
    name: String,
    /// Without comments and without the tests at its end.
    code: String,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> Vec<File> {
    let mut files = Vec::new();
    for room in fs::read_dir(source()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let root = fs::read_to_string(room.path().join("mod.rs")).unwrap();
        for entry in fs::read_dir(room.path()).unwrap().map(Result::unwrap) {
            let path = entry.path();
            assert!(path.is_file(), "{path:?}: a room is a folder one level deep");
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if root.contains(&format!("#[cfg(test)]\nmod {name};")) {
                continue;
            }
            files.push(File { room: room.file_name().to_string_lossy().into_owned(), name, code });
        }
    }
    files
}

/// Rooms named after `crate::`, also inside braces.
fn imports(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .map(|(at, _)| {
            code[at + "crate::".len()..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        })
        .map(Iterator::collect)
        .collect()
}

#[test]
fn rooms_import_only_what_they_may() {
    let arrows = arrows();
    let rooms: BTreeSet<String> = files().into_iter().map(|file| file.room).collect();
    assert_eq!(rooms, arrows.keys().map(|room| (*room).to_owned()).collect(), "the rooms are those of the plan");
    for file in files() {
        let may = &arrows[file.room.as_str()];
        for import in imports(&file.code) {
            let allowed = import == file.room || may.contains(import.as_str());
            assert!(allowed, "{}/{}.rs imports {import}, which {} may not", file.room, file.name, file.room);
        }
    }
}

/// The room's files that a file imports by `super::`, resolved through `pub use` of `mod.rs`.
fn neighbours(file: &File, room: &[&File]) -> BTreeSet<String> {
    let modules: BTreeSet<&str> = room.iter().map(|other| other.name.as_str()).collect();
    let exports = room.iter().find(|other| other.name == "mod").map_or("", |root| root.code.as_str());
    let mut found = BTreeSet::new();
    for (at, _) in file.code.match_indices("super::") {
        let rest = &file.code[at + "super::".len()..];
        let statement = rest.split(';').next().unwrap_or_default();
        for word in statement.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            if modules.contains(word) {
                found.insert(word.to_owned());
            }
            for line in exports.split(';').filter(|line| line.contains("use ")) {
                let (path, names) = line.split_once("::").unwrap_or((line, ""));
                let module = path.rsplit(' ').next().unwrap_or_default();
                let names: BTreeSet<&str> =
                    names.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
                if !word.is_empty() && names.contains(word) && modules.contains(module) {
                    found.insert(module.to_owned());
                }
            }
            if !statement.starts_with('{') {
                break;
            }
        }
    }
    found.remove(&file.name);
    found
}

#[test]
fn files_of_a_room_do_not_import_each_other_in_a_circle() {
    let files = files();
    let rooms: BTreeSet<&str> = files.iter().map(|file| file.room.as_str()).collect();
    for room in rooms {
        let members: Vec<&File> = files.iter().filter(|file| file.room == room).collect();
        let mut waiting: BTreeMap<&str, BTreeSet<String>> = members
            .iter()
            .filter(|file| file.name != "mod")
            .map(|file| (file.name.as_str(), neighbours(file, &members)))
            .collect();
        // Files that import nothing that waits leave, until none is left or a circle is.
        while let Some(free) = waiting
            .iter()
            .find(|(_, imports)| imports.iter().all(|import| !waiting.contains_key(import.as_str())))
            .map(|(name, _)| *name)
        {
            waiting.remove(free);
        }
        assert!(waiting.is_empty(), "a circle in {room}: {waiting:?}");
    }
}

#[test]
fn pure_rooms_name_no_clock_disk_network_or_runtime() {
    let impure = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant",
        "Utc::now",
        "now_v7",
        "tokio",
        "reqwest",
        "sqlx",
        "tonic",
        "rand::",
        "metrics::",
        "tracing::",
    ];
    for file in files().iter().filter(|file| ["tenancy", "ranking", "domain"].contains(&file.room.as_str())) {
        for name in impure {
            assert!(!file.code.contains(name), "{}/{}.rs is pure and names {name}", file.room, file.name);
        }
    }
    for file in files().iter().filter(|file| file.room == "index") {
        for name in ["sqlx", "Instant::now", "SystemTime", "Utc::now"] {
            assert!(!file.code.contains(name), "index/{}.rs names {name}", file.name);
        }
    }
}

#[test]
fn each_engine_has_its_place() {
    let places: [(&str, &[&str]); 9] = [
        ("hnsw_rs", &["index/hnsw"]),
        ("candle_", &["embed/bert"]),
        ("prost_types", &["grpc/convert", "grpc/proto"]),
        ("tonic::Status", &["grpc/"]),
        ("sqlx::query", &["store/", "migrate/", "catalog/"]),
        ("tiktoken_rs", &["context/tokenizer", "embed/"]),
        ("parquet::", &["archive/", "transfer/"]),
        ("object_store::", &["archive/"]),
        ("tokio::spawn", &[]),
    ];
    for file in files() {
        let place = format!("{}/{}", file.room, file.name);
        for (name, allowed) in places {
            let stands = file.code.contains(name);
            assert!(!stands || allowed.iter().any(|prefix| place.starts_with(prefix)), "{name} stands in {place}.rs");
        }
    }
}

#[test]
fn a_rooms_root_holds_no_code() {
    for file in files().iter().filter(|file| file.name == "mod") {
        let holds = |line: &&str| ["fn ", "struct ", "impl "].iter().any(|word| line.contains(word));
        let code = file.code.lines().find(holds);
        assert_eq!(code, None, "{}/mod.rs holds code", file.room);
    }
}

#[test]
fn architecture_names_every_room() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let map = fs::read_to_string(source().join("lib.rs")).unwrap();
    for room in arrows().keys() {
        assert!(text.contains(&format!("`{room}`")), "ARCHITECTURE.md does not name {room}");
        assert!(map.contains(&format!("[`{room}`]")), "lib.rs does not name {room}");
    }
}
