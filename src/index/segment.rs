//! Rows that lie together and never change.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::admission::Admission;
use super::attributes::AttributeIndex;
use super::codes::Codes;
use super::cosine::{is_unit, unit};
use super::entry::{Row, Shared, order_of_entities};
use super::error::IndexError;
use super::exact::{Exact, Floor, RowCodes};
use super::flat_graph::FlatGraph;
use super::settings::Settings;
use super::sketches::{Sketched, Sketches};
use super::threads::giving_way;
use super::vectors::{Source, Vectors};
use crate::domain::Entry;
use crate::domain::{EntityRef, Filter, SourceField, Vector};

/// Rows in the order of [`Row::order`], their vectors, the bitmaps of their attributes and, where they are many, a graph.
pub(super) struct Segment {
    rows: Vec<Row>,
    /// A row each, of unit length.
    vectors: Arc<Vectors>,
    attributes: AttributeIndex,
    graph: Option<FlatGraph>,
    /// The rows' codes, where they are many and no graph has codes of its own.
    codes: Option<Codes>,
    /// The rows' sketches, where they are scanned for what others have not found.
    sketches: Option<Sketches>,
    /// Whether no entity has more rows than one.
    row_an_entity: bool,
    bytes: u64,
}

/// A row that goes into a segment and its vector at unit length, which may lie in another segment.
pub(super) type UnitRow<'a> = (Row, Cow<'a, [f32]>);

/// The same for a block of the tail, and the vector's sketch where another block has it.
pub(super) type TailRow<'a> = (Row, (Cow<'a, [f32]>, Option<Sketched<'a>>));

/// Fewer rows than this are scanned by their vectors as fast as by codes first.
pub(super) const CODED_FROM: usize = 256;
/// Fewer rows than this are scanned before a query is sketched.
const SKETCHED_FROM: usize = 128;

impl Segment {
    /// A segment with a graph if it has as many rows as the settings want for one. CPU heavy then.
    ///
    /// # Errors
    /// Names a row that comes twice.
    pub(super) fn sealed(settings: &Settings, dimensions: usize, rows: Vec<UnitRow<'_>>) -> Result<Self, IndexError> {
        let (rows, vectors) = laid_out(dimensions, rows)?;
        let graph =
            wants_graph(settings, rows.len()).then(|| FlatGraph::build(vectors.clone(), settings)).transpose()?;
        Ok(Self::of_parts(settings, rows, vectors, graph))
    }

    /// The same of the rows of `older`, but for the `dead`, and others: its graph, if it has one, is gone on from, and where
    /// that is walked by codes the vectors stay where they lie.
    ///
    /// # Errors
    /// As [`Segment::sealed`].
    pub(super) fn grown(
        settings: &Settings,
        dimensions: usize,
        older: &Self,
        dead: &RoaringBitmap,
        others: Vec<UnitRow<'_>>,
    ) -> Result<Self, IndexError> {
        let lives = |row: &u32| !dead.contains(*row);
        let left = (0..older.len() as u32).filter(lives).map(|row| (older.row(row).clone(), Source::Older(row)));
        let others = others.into_iter().map(|(row, vector)| (row, Source::Fresh(vector)));
        let (rows, sources) = in_order(giving_way(left.chain(others)).collect())?;
        let vectors = Arc::new(match older.graph.as_ref().and_then(FlatGraph::codes) {
            Some(_) => older.vectors.going_on(&sources),
            None => {
                let view = older.vectors.view();
                Vectors::copied(dimensions, sources.len(), sources.iter().map(|source| source.vector(view)))
            }
        });
        let build = || match &older.graph {
            Some(graph) => FlatGraph::grown(vectors.clone(), settings, graph, &places_of(older.len(), &sources)),
            None => FlatGraph::build(vectors.clone(), settings),
        };
        let graph = wants_graph(settings, rows.len()).then(build).transpose()?;
        Ok(Self::of_parts(settings, rows, vectors, graph))
    }

    /// A segment that is scanned, however many rows it has.
    ///
    /// # Errors
    /// As [`Segment::sealed`].
    pub(super) fn block(settings: &Settings, dimensions: usize, rows: Vec<UnitRow<'_>>) -> Result<Self, IndexError> {
        let (rows, vectors) = laid_out(dimensions, rows)?;
        Ok(Self::of_parts(settings, rows, vectors, None))
    }

    /// The same of rows that came after others, which are searched first.
    ///
    /// # Errors
    /// As [`Segment::sealed`].
    pub(super) fn tail_block(
        settings: &Settings,
        dimensions: usize,
        rows: Vec<TailRow<'_>>,
    ) -> Result<Self, IndexError> {
        let (rows, of_rows) = in_order(rows)?;
        let vectors = || of_rows.iter().map(|(vector, sketched)| (vector.as_ref(), *sketched));
        let copied = Vectors::copied(dimensions, rows.len(), vectors().map(|(vector, _)| vector));
        let sketched = settings.compressed && rows.len() >= SKETCHED_FROM;
        let sketches = sketched.then(|| Sketches::new(dimensions, vectors())).flatten();
        let mut block = Self::of_parts(settings, rows, Arc::new(copied), None);
        block.bytes += sketches.as_ref().map_or(0, Sketches::bytes) as u64;
        Ok(Self { sketches, ..block })
    }

    /// A segment of rows in their order, their vectors, and their graph.
    pub(super) fn of_parts(
        settings: &Settings,
        rows: Vec<Row>,
        vectors: Arc<Vectors>,
        graph: Option<FlatGraph>,
    ) -> Self {
        let mut shared = Shared::default();
        let rows: Vec<Row> = giving_way(rows.into_iter()).map(|row| shared.row(row)).collect();
        let attributes = AttributeIndex::new(&rows);
        let coded = settings.compressed && graph.is_none() && rows.len() >= CODED_FROM;
        let codes = coded.then(|| {
            let view = vectors.view();
            Codes::new(view.dimensions(), (0..rows.len() as u32).map(|row| view.row(row)))
        });
        let bytes = vectors.bytes()
            + size_of_val(rows.as_slice())
            + shared.bytes()
            + attributes.bytes()
            + graph.as_ref().map_or(0, FlatGraph::bytes)
            + codes.as_ref().map_or(0, Codes::bytes);
        let row_an_entity = giving_way(rows.windows(2)).all(|pair| pair[0].entity != pair[1].entity);
        Self { rows, vectors, attributes, graph, codes, sketches: None, row_an_entity, bytes: bytes as u64 }
    }

    /// Moves the vectors into a file in `folder`, if they have codes, so that few of them are looked at.
    ///
    /// # Errors
    /// As [`Vectors::on_disk`]; nothing has changed then.
    pub(super) fn move_vectors_to_disk(&mut self, folder: &Path) -> io::Result<()> {
        if self.row_codes().is_none() {
            return Ok(());
        }
        let vectors = Arc::new(self.vectors.on_disk(folder)?);
        self.bytes = self.bytes + vectors.bytes() as u64 - self.vectors.bytes() as u64;
        if let Some(graph) = &mut self.graph {
            graph.set_vectors(vectors.clone());
        }
        self.vectors = vectors;
        Ok(())
    }

    /// Whether it is scanned although it has so many rows that it should have a graph.
    pub(super) fn lacks_graph(&self, settings: &Settings) -> bool {
        self.graph.is_none() && wants_graph(settings, self.rows.len())
    }

    /// Whether its graph went on from an older one.
    pub(super) fn is_grown(&self) -> bool {
        self.graph.as_ref().is_some_and(FlatGraph::is_grown)
    }

    /// How many rows it has, dead ones too.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// An estimate of the bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All rows, dead ones too.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn row(&self, row: u32) -> &Row {
        &self.rows[row as usize]
    }

    /// A row's vector, of unit length.
    pub(super) fn vector(&self, row: u32) -> &[f32] {
        self.vectors.view().row(row)
    }

    /// A row's entry, as it came but with its vector at unit length.
    pub(super) fn entry(&self, row: u32) -> Entry {
        self.row(row).with_vector(self.owned_vector(row))
    }

    pub(super) fn owned_vector(&self, row: u32) -> Vector {
        Vector::new(self.vector(row).to_vec()).expect("a unit vector is finite and not zero")
    }

    /// Whether no entity has more rows than one, so that the best rows are the best entities.
    pub(super) fn has_a_row_an_entity(&self) -> bool {
        self.row_an_entity
    }

    pub(super) fn graph(&self) -> Option<&FlatGraph> {
        self.graph.as_ref()
    }

    /// Where a row's sketch is, if it has one.
    pub(super) fn sketched(&self, row: u32) -> Option<Sketched<'_>> {
        self.sketches.as_ref().map(|sketches| (sketches, row))
    }

    /// A scan of the rows that score no less than `floor`.
    pub(super) fn exact<'a>(&'a self, floor: Floor<'a>) -> Exact<'a> {
        Exact { vectors: self.vectors.view(), codes: self.row_codes(), sketches: self.sketches.as_ref(), floor }
    }

    fn row_codes(&self) -> Option<RowCodes<'_>> {
        let of_rows = self.codes.as_ref().map(|codes| RowCodes { codes, nodes: None });
        of_rows.or(self.graph.as_ref().and_then(FlatGraph::codes))
    }

    /// The rows of an entity.
    pub(super) fn rows_of(&self, entity: &EntityRef) -> Range<u32> {
        let first = self.rows.partition_point(|row| order_of_entities(&row.entity, entity).is_lt());
        let len = self.rows[first..].partition_point(|row| row.entity == *entity);
        first as u32..(first + len) as u32
    }

    /// The rows of one text of an entity.
    pub(super) fn rows_at(&self, entity: &EntityRef, source_field: &SourceField) -> impl Iterator<Item = u32> {
        self.rows_of(entity).filter(move |row| self.row(*row).source_field == *source_field)
    }

    /// The rows that meet every condition of a filter, but for those that are `dead`.
    pub(super) fn admission<'a>(&'a self, filter: &Filter, dead: &'a RoaringBitmap) -> Admission<'a> {
        let without = filter.not_entity.as_ref().map_or(0..0, |entity| self.rows_of(entity));
        Admission::new(self.rows.len() as u32, self.attributes.meeting(filter), without, dead)
    }

    /// Examines itself: shapes, order, unit length, bitmaps, graph.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.vectors.view().len() != self.rows.len() {
            return Err(format!("{} rows but {} vectors", self.rows.len(), self.vectors.view().len()));
        }
        if let Some(pair) = self.rows.windows(2).find(|pair| pair[0].order(&pair[1]).is_ge()) {
            return Err(format!("rows {} and {} are out of order", pair[0].id, pair[1].id));
        }
        if let Some(row) = (0..self.rows.len() as u32).find(|row| !is_unit(self.vector(*row))) {
            return Err(format!("the vector of row {} is not of unit length", self.row(row).id));
        }
        if self.attributes != AttributeIndex::new(&self.rows) {
            return Err("the bitmaps do not agree with the rows".to_owned());
        }
        self.graph.as_ref().map_or(Ok(()), |graph| graph.check(self.rows.len()))
    }
}

/// Whether a sealed segment of so many rows should have a graph.
fn wants_graph(settings: &Settings, rows: usize) -> bool {
    rows > 0 && rows >= settings.exact_below
}

/// Where so many older rows are among rows of these sources: `None` for those that are gone.
fn places_of(older: usize, sources: &[Source<'_>]) -> Vec<Option<u32>> {
    let mut places = vec![None; older];
    for (place, source) in (0..).zip(sources) {
        if let Source::Older(row) = source {
            places[*row as usize] = Some(place);
        }
    }
    places
}

/// Entries as rows, and their vectors at unit length.
///
/// # Errors
/// Names an entry of another width.
pub(super) fn unit_rows(dimensions: usize, entries: Vec<Entry>) -> Result<Vec<UnitRow<'static>>, IndexError> {
    let unit_row = |entry: Entry| {
        let (row, vector) = entry.split();
        vector.require_dimensions(dimensions).map_err(|source| IndexError::Row { id: row.id, source })?;
        Ok((row, Cow::Owned(unit(vector).into_inner())))
    };
    entries.into_iter().map(unit_row).collect()
}

/// Rows in their order, and copies of their vectors in memory.
fn laid_out(dimensions: usize, coming: Vec<UnitRow<'_>>) -> Result<(Vec<Row>, Arc<Vectors>), IndexError> {
    let (rows, vectors) = in_order(coming)?;
    let vectors = Vectors::copied(dimensions, vectors.len(), vectors.iter().map(AsRef::as_ref));
    Ok((rows, Arc::new(vectors)))
}

/// Rows in their order, and what comes with each.
fn in_order<T>(mut coming: Vec<(Row, T)>) -> Result<(Vec<Row>, Vec<T>), IndexError> {
    if i32::try_from(coming.len()).is_err() {
        return Err(IndexError::TooLarge { rows: coming.len() });
    }
    coming.sort_by(|(left, _), (right, _)| left.order(right));
    if let Some(pair) = giving_way(coming.windows(2)).find(|pair| pair[0].0.id == pair[1].0.id) {
        return Err(IndexError::Repeated { id: pair[0].0.id });
    }
    Ok(giving_way(coming.into_iter()).unzip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EntityRef;
    use crate::index::samples::{entity, entry_at, field, vector};
    use crate::index::snapshot::Part;

    const DIMENSIONS: usize = 24;

    fn unit_rows_at(places: Range<u64>, seed_of: impl Fn(u64) -> u64) -> Vec<UnitRow<'static>> {
        let entry = |place| Entry { vector: vector(seed_of(place), DIMENSIONS), ..entry_at(place, DIMENSIONS) };
        unit_rows(DIMENSIONS, places.map(entry).collect()).expect("of this width")
    }

    /// Vectors with codes that go on stay where they lie; rows that come with the vectors of older ones share their nodes.
    #[test]
    fn a_segment_that_goes_on_holds_what_one_built_from_nothing_does() {
        let folder = tempfile::tempdir().expect("a folder");
        for compressed in [true, false] {
            let settings = Settings { exact_below: 1, build_threads: 1, compressed, ..Settings::DEFAULT };
            let older = unit_rows_at(0..400, |place| place % 300);
            let mut part = Part::new(Arc::new(Segment::sealed(&settings, DIMENSIONS, older).expect("good rows")));
            let killed: Vec<(EntityRef, u64)> = (0..25).map(|number| (entity(number), 0)).collect();
            for round in 0..4 {
                let fresh = unit_rows_at(400 + round * 100..500 + round * 100, |place| 250 + place % 120);
                for (entity, number) in killed.iter().skip(round as usize * 6).take(6) {
                    part.kill(entity, &field(*number));
                }
                let all: Vec<UnitRow<'_>> = part.live_unit_rows().chain(fresh.iter().cloned()).collect();
                let expected = Segment::sealed(&settings, DIMENSIONS, all).expect("good rows");
                let mut grown =
                    Segment::grown(&settings, DIMENSIONS, &part.segment, &part.dead, fresh).expect("good rows");
                grown.move_vectors_to_disk(folder.path()).expect("room");
                assert_eq!(grown.check(), Ok(()));
                assert!(grown.is_grown());
                assert_eq!(grown.rows, expected.rows);
                let rows = 0..grown.len() as u32;
                assert!(rows.clone().all(|row| grown.vector(row) == expected.vector(row)));
                let shape =
                    |segment: &Segment| serde_json::to_value(segment.graph().map(FlatGraph::shape)).expect("a shape");
                assert_eq!(shape(&grown)["nodes"], shape(&expected)["nodes"]);
                if compressed {
                    assert!(grown.bytes() < expected.bytes(), "vectors are on the disk");
                }
                part = Part::new(Arc::new(grown));
            }
        }
    }
}
