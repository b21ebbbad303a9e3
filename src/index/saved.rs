//! A built segment in a file, to be kept outside of the database and looked at again after a restart.
//!
//! A head with its length and digest, then vectors from the start of a cache line on, rows, nodes and links as they lie in
//! memory, then a digest of everything. Codes and bitmaps are made again, which takes less time than reading them. What is
//! of another format, database, partition, setting or machine, or is not what was written, is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use memmap2::MmapOptions;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::blocks::Block;
use super::built::Built;
use super::entry::{Labels, PartitionKey, Row};
use super::error::IndexError;
use super::flat_graph::{FlatGraph, Shape};
use super::segment::{CODED_FROM, Segment};
use super::settings::Settings;
use super::threads::give_way;
use super::vectors::{Vectors, WRITTEN_AT_ONCE};
use crate::domain::{EmbeddingId, EntityRef, Revision};

/// The ending of a file that is not whole yet.
pub const UNFINISHED: &str = "writing";

const MAGIC: [u8; 8] = *b"KINDREDS";
const FORMAT: u32 = 2;
const DIGEST: usize = blake3::OUT_LEN;
/// Where the head begins: behind the magic and its own length.
const HEAD_AT: usize = MAGIC.len() + size_of::<u32>();
/// No head is longer.
const LONGEST_HEAD: u32 = 1 << 20;
/// Vectors begin at a multiple of so many bytes, as they do in memory.
const ALIGNED: usize = align_of::<Block>();

/// What a saved segment is of, and how much of everything follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Head {
    format: u32,
    database: String,
    organization: Uuid,
    model: String,
    /// What a graph and the bytes of numbers depend on.
    built_by: String,
    dimensions: usize,
    revision: i64,
    rows: usize,
    graph: Option<Shape>,
}

impl Built {
    /// Writes it to a file at `path`, for its owner's eyes only: beside it first, so that a file there is always whole and
    /// never changes. `database` names the database that it mirrors.
    ///
    /// # Errors
    /// Where it cannot be written; what was at `path` is there still.
    pub fn save(&self, database: &str, settings: &Settings, path: &Path) -> io::Result<()> {
        let aside = path.with_extension(format!("{:016x}.{UNFINISHED}", rand::random::<u64>()));
        let written = (|| {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            let mut out =
                BufWriter::with_capacity(WRITTEN_AT_ONCE, Hashed { inner: &file, hasher: blake3::Hasher::new() });
            self.write(database, settings, &mut out)?;
            out.flush()?;
            file.sync_data()?;
            fs::rename(&aside, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }

    fn write(&self, database: &str, settings: &Settings, out: &mut BufWriter<Hashed<impl Write>>) -> io::Result<()> {
        let head = Head {
            format: FORMAT,
            database: database.to_owned(),
            organization: self.key.organization.0,
            model: self.key.model.to_string(),
            built_by: built_by(settings),
            dimensions: self.dimensions,
            revision: self.revision.0,
            rows: self.segment.len(),
            graph: self.segment.graph().map(FlatGraph::shape),
        };
        let head = serde_json::to_vec(&head)?;
        out.write_all(&MAGIC)?;
        out.write_all(&(head.len() as u32).to_le_bytes())?;
        out.write_all(&head)?;
        write_digest(out)?;
        let written = HEAD_AT + head.len() + DIGEST;
        out.write_all(&[0; ALIGNED][..written.next_multiple_of(ALIGNED) - written])?;
        for row in 0..self.segment.len() as u32 {
            out.write_all(bytemuck::cast_slice(self.segment.vector(row)))?;
        }
        for row in self.segment.rows() {
            write_row(out, row)?;
        }
        if let Some(graph) = self.segment.graph() {
            graph.each_number(|numbers| out.write_all(bytemuck::cast_slice(numbers)))?;
        }
        write_digest(out)
    }

    /// What was saved at `path` of a partition of the same database under the same settings. Where memory can do with
    /// looking at few vectors, and they may be `left_in_file`, they are mapped from there, whatever becomes of its name.
    ///
    /// # Errors
    /// [`IndexError::Unusable`] says what it is instead, [`IndexError::Foreign`] that it is not of this.
    pub fn load(
        database: &str,
        settings: &Settings,
        key: &PartitionKey,
        dimensions: usize,
        path: &Path,
        left_in_file: bool,
    ) -> Result<Self, IndexError> {
        let cannot = |error: io::Error| unusable(&format!("cannot be read: {error}"));
        let file = File::open(path).map_err(cannot)?;
        // SAFETY: what is mapped must not change or shrink while it is mapped. A file gets such a name when it is whole,
        // its owner alone may open it, and this crate opens none of them to write; to replace or remove one leaves what is
        // mapped as it is. Nothing writes through the map.
        let map = Arc::new(unsafe { MmapOptions::new().populate().map(&file) }.map_err(cannot)?);
        let mut from = Reader { bytes: &map, at: 0 };
        let head = read_head(&mut from)?;
        let expected = Head {
            format: FORMAT,
            database: database.to_owned(),
            organization: key.organization.0,
            model: key.model.to_string(),
            built_by: built_by(settings),
            dimensions,
            ..head.clone()
        };
        if head != expected {
            return Err(IndexError::Foreign);
        }
        let whole = map.len() - DIGEST;
        if *blake3::hash(&map[..whole]).as_bytes() != map[whole..] {
            return Err(unusable("is damaged: its digest is another one"));
        }
        from.at = from.at.next_multiple_of(ALIGNED);
        let (first, shape) = (from.at, (head.rows, dimensions));
        from.take(head.rows.saturating_mul(dimensions).saturating_mul(size_of::<f32>()))?;
        let coded = head.graph.as_ref().map_or(settings.compressed && head.rows >= CODED_FROM, Shape::is_coded);
        let mapped = Vectors::mapped(map.clone(), first, shape);
        let vectors = Arc::new(if left_in_file && coded { mapped } else { mapped.in_memory() });
        let rows = (0..head.rows).map(|_| read_row(&mut from)).collect::<Result<Vec<Row>, IndexError>>()?;
        let graph = match &head.graph {
            Some(shape) => Some(FlatGraph::read(vectors.clone(), shape, |count| from.numbers(count))?),
            None => None,
        };
        if from.at != whole {
            return Err(unusable("is longer than its head says"));
        }
        let segment = Segment::of_parts(settings, rows, vectors, graph);
        Ok(Self { saved_before: true, ..Self::new(key, dimensions, segment, Revision(head.revision)) })
    }
}

fn built_by(settings: &Settings) -> String {
    let Settings { exact_below, m, ef_construction, builder, compressed, .. } = settings;
    let order = if cfg!(target_endian = "big") { "big-endian" } else { "little-endian" };
    format!("{exact_below} {m} {ef_construction} {builder:?} {compressed} {order}")
}

fn unusable(reason: &str) -> IndexError {
    IndexError::Unusable { reason: reason.to_owned() }
}

fn read_head(from: &mut Reader<'_>) -> Result<Head, IndexError> {
    if from.array()? != MAGIC {
        return Err(unusable("is no saved segment"));
    }
    let length = u32::from_le_bytes(from.array()?);
    if length > LONGEST_HEAD {
        return Err(unusable("has a head that is too long"));
    }
    let head = from.take(length as usize)?;
    let digest = blake3::hash(&from.bytes[..from.at]);
    if *digest.as_bytes() != from.array()? {
        return Err(unusable("has a damaged head"));
    }
    serde_json::from_slice(head).map_err(|error| unusable(&format!("has a head of another format: {error}")))
}

fn write_row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    out.write_all(row.id.0.as_bytes())?;
    out.write_all(row.entity.id.as_bytes())?;
    out.write_all(&row.version.to_le_bytes())?;
    out.write_all(&row.chunk_index.to_le_bytes())?;
    let (seconds, nanos) = row.occurred_at.map_or((i64::MIN, 0), |at| (at.timestamp(), at.timestamp_subsec_nanos()));
    out.write_all(&seconds.to_le_bytes())?;
    out.write_all(&nanos.to_le_bytes())?;
    for text in [row.entity.entity_type.as_str(), row.source_field.as_str(), &row.labels.platform, &row.labels.status] {
        write_text(out, text)?;
    }
    out.write_all(&(row.labels.tags.len() as u32).to_le_bytes())?;
    row.labels.tags.iter().try_for_each(|tag| write_text(out, tag))
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(&(text.len() as u32).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn read_row(from: &mut Reader<'_>) -> Result<Row, IndexError> {
    let id = EmbeddingId(Uuid::from_bytes(from.array()?));
    let entity_id = Uuid::from_bytes(from.array()?);
    let version = i32::from_le_bytes(from.array()?);
    let chunk_index = i32::from_le_bytes(from.array()?);
    let (seconds, nanos) = (i64::from_le_bytes(from.array()?), u32::from_le_bytes(from.array()?));
    let occurred_at: Option<DateTime<Utc>> = match seconds {
        i64::MIN => None,
        _ => Some(DateTime::from_timestamp(seconds, nanos).ok_or_else(|| unusable("holds a time that is none"))?),
    };
    let entity_type = from.text()?.parse().map_err(|error| unusable(&format!("holds {error}")))?;
    let source_field = from.text()?.parse().map_err(|error| unusable(&format!("holds {error}")))?;
    let (platform, status) = (from.text()?.to_owned(), from.text()?.to_owned());
    let tags = u32::from_le_bytes(from.array()?);
    let tags = (0..tags).map(|_| from.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let entity = EntityRef { entity_type, id: entity_id };
    let labels = Arc::new(Labels { tags, platform, status });
    Ok(Row { id, entity, source_field, version, chunk_index, labels, occurred_at })
}

/// Hashes what goes through it. Much should come at once: blake3 takes many blocks of it together then.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        give_way();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of all that was written so far.
fn write_digest(out: &mut BufWriter<Hashed<impl Write>>) -> io::Result<()> {
    out.flush()?;
    let digest = out.get_ref().hasher.finalize();
    out.write_all(digest.as_bytes())
}

/// Reads what was written, from a place on.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..count));
        let taken = taken.ok_or_else(|| unusable("is shorter than its head says"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn text(&mut self) -> Result<&'a str, IndexError> {
        let length = u32::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(length as usize)?).map_err(|_| unusable("holds a text that is none"))
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<u32>, IndexError> {
        let bytes = self.take(count.saturating_mul(size_of::<u32>()))?;
        Ok(bytes.as_chunks().0.iter().copied().map(u32::from_ne_bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Filter;
    use crate::index::samples::{entry_at, partition, vector};

    const DIMENSIONS: usize = 8;

    fn settings() -> Settings {
        Settings { exact_below: 50, ..Settings::default() }
    }

    fn built(rows: u64) -> Built {
        let entries = (0..rows).map(|place| entry_at(place, DIMENSIONS)).collect();
        Built::build(&settings(), &partition(1), DIMENSIONS, entries, Revision(7)).expect("good rows")
    }

    fn saved(built: &Built) -> Vec<u8> {
        saved_by(built, &settings())
    }

    fn saved_by(built: &Built, settings: &Settings) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("saved");
        built.save("here", settings, &path).expect("room for it");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
        fs::read(path).expect("what was written")
    }

    fn load_by(
        bytes: &[u8],
        database: &str,
        settings: &Settings,
        key: &PartitionKey,
        dimensions: usize,
        left_in_file: bool,
    ) -> Result<Built, IndexError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("saved");
        fs::write(&path, bytes).expect("room for it");
        Built::load(database, settings, key, dimensions, &path, left_in_file)
    }

    fn load(bytes: &[u8]) -> Result<Built, IndexError> {
        load_by(bytes, "here", &settings(), &partition(1), DIMENSIONS, false)
    }

    #[test]
    fn what_was_saved_is_read_again() {
        for rows in [0, 1, 40, 300] {
            let (mut writer, reader) = crate::index::open(settings());
            let now = std::time::Instant::now();
            let mut found = Vec::new();
            let first = built(rows);
            let bytes = saved(&first);
            for (number, built) in [first, load(&bytes).expect("what was saved")].into_iter().enumerate() {
                assert_eq!((built.revision(), built.segment.len() as u64), (Revision(7), rows));
                built.segment.check().expect("sound");
                let key = built.key().clone();
                writer.remove(&key);
                writer.publish(built, now);
                let view = reader.partition(&key, now).expect("loaded");
                let answers: Vec<_> = (0..20)
                    .map(|at| view.search(&vector(at, DIMENSIONS), 10, &Filter::default()).expect("fits"))
                    .collect();
                found.push((number, view.digest(), view.len(), reader.status()[0].graph, answers));
            }
            let (first, second) = (&found[0], &found[1]);
            assert_eq!((first.1, first.2, first.3), (second.1, second.2, second.3), "{rows} rows");
            assert_eq!(first.4, second.4, "{rows} rows");
            assert_eq!(first.3, rows >= 50);
        }
    }

    #[test]
    fn vectors_stay_in_the_file_where_they_may_lie_there() {
        let scanned = Settings { exact_below: usize::MAX, ..settings() };
        let few = CODED_FROM as u64 - 1;
        for (settings, rows, in_file) in
            [(scanned, 0, 0), (scanned, few, 0), (scanned, 300, 300), (settings(), 40, 0), (settings(), 300, 300)]
        {
            let entries = (0..rows).map(|place| entry_at(place, DIMENSIONS)).collect();
            let built = Built::build(&settings, &partition(1), DIMENSIONS, entries, Revision(7)).expect("good rows");
            let bytes = saved_by(&built, &settings);
            let [memory, disk] = [false, true].map(|left_in_file| {
                load_by(&bytes, "here", &settings, &partition(1), DIMENSIONS, left_in_file).expect("what was saved")
            });
            disk.segment.check().expect("sound, although the file has lost its name");
            assert_eq!(memory.segment.bytes() - disk.segment.bytes(), in_file * DIMENSIONS as u64 * 4, "{rows} rows");
            let vectors =
                |built: &Built| (0..rows as u32).map(|row| built.segment.owned_vector(row)).collect::<Vec<_>>();
            assert_eq!(vectors(&disk), vectors(&memory));
        }
    }

    #[test]
    fn what_is_damaged_or_foreign_is_refused() {
        let bytes = saved(&built(120));
        for at in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(matches!(load(&damaged), Err(IndexError::Unusable { .. })), "byte {at}");
            assert!(matches!(load(&bytes[..at]), Err(IndexError::Unusable { .. })), "{at} bytes");
        }
        assert!(matches!(load(&[&bytes[..], &[0]].concat()), Err(IndexError::Unusable { .. })));
        let refused = |database: &str, settings: Settings, organization, dimensions| {
            let error = load_by(&bytes, database, &settings, &partition(organization), dimensions, false)
                .err()
                .expect("foreign");
            assert!(error.to_string().contains("another database"), "{error}");
        };
        refused("elsewhere", settings(), 1, DIMENSIONS);
        refused("here", settings(), 2, DIMENSIONS);
        refused("here", settings(), 1, DIMENSIONS + 1);
        refused("here", Settings { m: 8, ..settings() }, 1, DIMENSIONS);
    }

    #[test]
    fn an_empty_segment_is_no_less_than_whole() {
        let bytes = saved(&built(0));
        assert!((1..bytes.len()).all(|at| load(&bytes[..at]).is_err()));
    }
}
