//! A built segment as bytes, to be kept outside of the database and read again after a restart.
//!
//! A head with its length and digest, then rows, vectors, nodes and links as they lie in memory, little-endian, then a
//! digest of everything. Codes and bitmaps are made again, which takes less time than reading them. What is of another
//! format, database, partition or setting, or is not what was written, is refused.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::built::Built;
use super::entry::{Labels, PartitionKey, Row};
use super::error::IndexError;
use super::flat_graph::{FlatGraph, Shape};
use super::pages::vec_in_large_pages;
use super::segment::{CODED_FROM, Segment};
use super::settings::Settings;
use super::vectors::{Vectors, VectorsFile};
use crate::domain::{EmbeddingId, EntityRef, Revision};

const MAGIC: [u8; 8] = *b"KINDREDS";
const FORMAT: u32 = 1;
const DIGEST: usize = blake3::OUT_LEN;
/// No head is longer.
const LONGEST_HEAD: u32 = 1 << 20;

/// What a saved segment is of, and how much of everything follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Head {
    format: u32,
    database: String,
    organization: Uuid,
    model: String,
    /// The settings that a graph depends on.
    built_by: String,
    dimensions: usize,
    revision: i64,
    rows: usize,
    graph: Option<Shape>,
}

impl Built {
    /// Writes it. `database` names the database that it mirrors.
    ///
    /// # Errors
    /// What `to` fails with.
    pub fn save(&self, database: &str, settings: &Settings, to: impl Write) -> io::Result<()> {
        let mut out = Hashed::new(to);
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
        out.write_digest()?;
        for row in self.segment.rows() {
            write_row(&mut out, row)?;
        }
        for row in 0..self.segment.len() as u32 {
            write_numbers(&mut out, self.segment.vector(row), |component| component.to_le_bytes())?;
        }
        if let Some(graph) = self.segment.graph() {
            graph.each_number(|numbers| write_numbers(&mut out, numbers, u32::to_le_bytes))?;
        }
        out.write_digest()?;
        out.inner.flush()
    }

    /// Reads what was saved of a partition of the same database under the same settings; `length` is how many bytes there
    /// are. Its vectors go to a file in `folder`, as [`Built::move_vectors_to_disk`] moves them, without a stay in memory.
    ///
    /// # Errors
    /// [`IndexError::Unusable`] says what it is instead, [`IndexError::Foreign`] that it is not of this;
    /// [`IndexError::NoFile`] says why the file cannot be written.
    pub fn load(
        database: &str,
        settings: &Settings,
        key: &PartitionKey,
        dimensions: usize,
        from: impl Read,
        length: u64,
        folder: Option<&Path>,
    ) -> Result<Self, IndexError> {
        let mut from = Hashed::new(from);
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
        let numbers = head.rows.saturating_mul(dimensions);
        if (numbers as u64).saturating_mul(4) > length {
            return Err(unusable("is shorter than its head says"));
        }
        let rows = (0..head.rows).map(|_| read_row(&mut from)).collect::<Result<Vec<Row>, IndexError>>()?;
        let coded = head.graph.as_ref().map_or(settings.compressed && head.rows >= CODED_FROM, Shape::is_coded);
        let vectors = match folder.filter(|_| coded) {
            Some(folder) => {
                let mut file = VectorsFile::create_in(folder).map_err(IndexError::NoFile)?;
                read_components(&mut from, numbers, |read| file.push(read).map_err(IndexError::NoFile))?;
                file.finish(dimensions).map_err(IndexError::NoFile)?
            }
            None => {
                let mut components = vec_in_large_pages(numbers);
                read_components(&mut from, numbers, |read| {
                    components.extend_from_slice(read);
                    Ok(())
                })?;
                let matrix = Array2::from_shape_vec((head.rows, dimensions), components)
                    .map_err(|error| unusable(&format!("has another shape: {error}")))?;
                Vectors::Memory(matrix)
            }
        };
        let vectors = Arc::new(vectors);
        let mut read = |count: usize| match (count as u64).saturating_mul(4) > length {
            true => Err(unusable("is shorter than its head says")),
            false => read_links(&mut from, count),
        };
        let graph = match &head.graph {
            Some(shape) => Some(FlatGraph::read(vectors.clone(), shape, &mut read)?),
            None => None,
        };
        from.check_digest()?;
        let coded = graph.zip(head.graph.as_ref()).map(|(graph, shape)| graph.with_codes(shape));
        let segment = Segment::of_parts(settings, rows, vectors, coded);
        Ok(Self {
            key: key.clone(),
            dimensions,
            segment: Arc::new(segment),
            revision: Revision(head.revision),
            saved_before: true,
            ticket: None,
            whole: true,
        })
    }
}

fn built_by(settings: &Settings) -> String {
    let Settings { exact_below, m, ef_construction, builder, compressed, .. } = settings;
    format!("{exact_below} {m} {ef_construction} {builder:?} {compressed}")
}

fn unusable(reason: &str) -> IndexError {
    IndexError::Unusable { reason: reason.to_owned() }
}

fn read_head<R: Read>(from: &mut Hashed<R>) -> Result<Head, IndexError> {
    if from.array()? != MAGIC {
        return Err(unusable("is no saved segment"));
    }
    let length = u32::from_le_bytes(from.array()?);
    if length > LONGEST_HEAD {
        return Err(unusable("has a head that is too long"));
    }
    let mut head = vec![0; length as usize];
    from.fill(&mut head)?;
    from.check_digest()?;
    serde_json::from_slice(&head).map_err(|error| unusable(&format!("has a head of another format: {error}")))
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

fn read_row<R: Read>(from: &mut Hashed<R>) -> Result<Row, IndexError> {
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
    let (platform, status) = (from.text()?, from.text()?);
    let tags = u32::from_le_bytes(from.array()?);
    let tags = (0..tags).map(|_| from.text()).collect::<Result<_, _>>()?;
    let entity = EntityRef { entity_type, id: entity_id };
    let labels = Arc::new(Labels { tags, platform, status });
    Ok(Row { id, entity, source_field, version, chunk_index, labels, occurred_at })
}

/// Numbers that are read or written at once.
const CHUNK: usize = 16_384;

fn write_numbers<T: Copy>(out: &mut impl Write, numbers: &[T], bytes: impl Fn(T) -> [u8; 4]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK.min(numbers.len()) * 4);
    for chunk in numbers.chunks(CHUNK) {
        buffer.clear();
        chunk.iter().for_each(|number| buffer.extend_from_slice(&bytes(*number)));
        out.write_all(&buffer)?;
    }
    Ok(())
}

/// Gives components a few at a time.
fn read_components<R: Read>(
    from: &mut Hashed<R>,
    count: usize,
    mut give: impl FnMut(&[f32]) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut buffer = vec![0.0_f32; CHUNK.min(count)];
    let mut left = count;
    while left > 0 {
        let components = &mut buffer[..CHUNK.min(left)];
        from.fill(bytemuck::cast_slice_mut(components))?;
        if cfg!(target_endian = "big") {
            components.iter_mut().for_each(|component| *component = f32::from_bits(component.to_bits().swap_bytes()));
        }
        give(components)?;
        left -= components.len();
    }
    Ok(())
}

fn read_links<R: Read>(from: &mut Hashed<R>, count: usize) -> Result<Vec<u32>, IndexError> {
    let mut links = vec![0; count];
    for chunk in links.chunks_mut(CHUNK) {
        from.fill(bytemuck::cast_slice_mut(chunk))?;
        chunk.iter_mut().for_each(|link| *link = u32::from_le(*link));
    }
    Ok(links)
}

/// Hashes what goes through it.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Hashed<W> {
    /// The digest of all that was written so far.
    fn write_digest(&mut self) -> io::Result<()> {
        let digest = self.hasher.finalize();
        self.inner.write_all(digest.as_bytes())
    }
}

impl<R: Read> Hashed<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), IndexError> {
        self.inner.read_exact(bytes).map_err(|error| unusable(&format!("cannot be read: {error}")))?;
        self.hasher.update(bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, IndexError> {
        /// No text of a row is longer.
        const LONGEST: u32 = 1 << 16;
        let length = u32::from_le_bytes(self.array()?);
        if length > LONGEST {
            return Err(unusable("holds a text that is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| unusable("holds a text that is none"))
    }

    /// Compares what was read so far with the digest that follows.
    fn check_digest(&mut self) -> Result<(), IndexError> {
        let digest = self.hasher.finalize();
        let mut written = [0; DIGEST];
        self.inner.read_exact(&mut written).map_err(|error| unusable(&format!("cannot be read: {error}")))?;
        if digest == written { Ok(()) } else { Err(unusable("is damaged: its digest is another one")) }
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
        let mut bytes = Vec::new();
        built.save("here", &settings(), &mut bytes).expect("memory takes it");
        bytes
    }

    fn load(bytes: &[u8]) -> Result<Built, IndexError> {
        Built::load("here", &settings(), &partition(1), DIMENSIONS, bytes, bytes.len() as u64, None)
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
    fn vectors_are_read_to_the_disk_where_they_may_lie_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let scanned = Settings::default();
        let built = |rows| {
            let entries = (0..rows).map(|place| entry_at(place, DIMENSIONS)).collect();
            Built::build(&scanned, &partition(1), DIMENSIONS, entries, Revision(7)).expect("good rows")
        };
        let load = |bytes: &[u8], folder| {
            Built::load("here", &scanned, &partition(1), DIMENSIONS, bytes, bytes.len() as u64, folder)
        };
        for (rows, on_disk) in [(0, 0), (CODED_FROM as u64 - 1, 0), (300, 300)] {
            let mut bytes = Vec::new();
            built(rows).save("here", &scanned, &mut bytes).expect("memory takes it");
            let [memory, disk] =
                [None, Some(folder.path())].map(|folder| load(&bytes, folder).expect("what was saved"));
            disk.segment.check().expect("sound");
            assert_eq!(memory.segment.bytes() - disk.segment.bytes(), on_disk * DIMENSIONS as u64 * 4, "{rows} rows");
            let vectors =
                |built: &Built| (0..rows as u32).map(|row| built.segment.owned_vector(row)).collect::<Vec<_>>();
            assert_eq!(vectors(&disk), vectors(&memory));
            let refused = load(&bytes, Some(Path::new("/nowhere/at/all"))).err();
            assert_eq!(matches!(refused, Some(IndexError::NoFile(_))), on_disk > 0, "{refused:?}");
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
        let refused = |database: &str, settings: Settings, organization, dimensions| {
            let error = Built::load(
                database,
                &settings,
                &partition(organization),
                dimensions,
                bytes.as_slice(),
                bytes.len() as u64,
                None,
            )
            .err()
            .expect("foreign");
            assert!(error.to_string().contains("another database"), "{error}");
        };
        refused("elsewhere", settings(), 1, DIMENSIONS);
        refused("here", settings(), 2, DIMENSIONS);
        refused("here", settings(), 1, DIMENSIONS + 1);
        refused("here", Settings { m: 8, ..settings() }, 1, DIMENSIONS);
    }
}
