//! Rows that lie together and never change.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use roaring::RoaringBitmap;

use super::admission::Admission;
use super::attributes::AttributeIndex;
use super::codes::Codes;
use super::cosine::{is_unit, unit};
use super::entry::{Row, Shared, order_of_entities};
use super::error::IndexError;
use super::exact::{Exact, RowCodes};
use super::flat_graph::FlatGraph;
use super::pages::vec_in_large_pages;
use super::scorer::row_of;
use super::settings::Settings;
use super::threads::giving_way;
use super::vectors::Vectors;
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
    /// Whether no entity has more rows than one.
    row_an_entity: bool,
    bytes: u64,
}

/// A row that goes into a segment and its vector at unit length, which may lie in another segment.
pub(super) type UnitRow<'a> = (Row, Cow<'a, [f32]>);

/// Fewer rows than this are scanned by their vectors as fast as by codes first.
pub(super) const CODED_FROM: usize = 256;

impl Segment {
    /// A segment with a graph if it has as many rows as the settings want for one. CPU heavy then.
    ///
    /// # Errors
    /// Names a row that comes twice.
    pub(super) fn sealed(settings: &Settings, dimensions: usize, rows: Vec<UnitRow<'_>>) -> Result<Self, IndexError> {
        let (rows, vectors) = in_order(dimensions, rows)?;
        let graph =
            wants_graph(settings, rows.len()).then(|| FlatGraph::build(vectors.clone(), settings)).transpose()?;
        Ok(Self::of_parts(settings, rows, vectors, graph))
    }

    /// The same, where the rows of `older` are among them, but for the `dead`: its graph, if it has one, is gone on from.
    ///
    /// # Errors
    /// As [`Segment::sealed`].
    pub(super) fn grown(
        settings: &Settings,
        dimensions: usize,
        rows: Vec<UnitRow<'_>>,
        older: &Self,
        dead: &RoaringBitmap,
    ) -> Result<Self, IndexError> {
        let (rows, vectors) = in_order(dimensions, rows)?;
        let build = || match older.graph() {
            Some(graph) => FlatGraph::grown(vectors.clone(), settings, graph, &rows_left(older, dead, &rows)),
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
        let (rows, vectors) = in_order(dimensions, rows)?;
        Ok(Self::of_parts(settings, rows, vectors, None))
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
            let matrix = vectors.view();
            Codes::new(matrix.ncols(), (0..rows.len() as u32).map(|row| row_of(matrix, row)))
        });
        let bytes = vectors.bytes()
            + size_of_val(rows.as_slice())
            + shared.bytes()
            + attributes.bytes()
            + graph.as_ref().map_or(0, FlatGraph::bytes)
            + codes.as_ref().map_or(0, Codes::bytes);
        let row_an_entity = rows.windows(2).all(|pair| pair[0].entity != pair[1].entity);
        Self { rows, vectors, attributes, graph, codes, row_an_entity, bytes: bytes as u64 }
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
        row_of(self.vectors.view(), row)
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

    /// A scan of the rows that score no less than `floor`.
    pub(super) fn exact(&self, floor: f32) -> Exact<'_> {
        Exact { matrix: self.vectors.view(), codes: self.row_codes(), floor }
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
        let matrix = self.vectors.view();
        if matrix.nrows() != self.rows.len() || !matrix.is_standard_layout() {
            return Err(format!("{} rows but a matrix of {:?}", self.rows.len(), matrix.shape()));
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

/// Where the rows of a segment are among `rows`, which hold those that live: `None` for the dead.
fn rows_left(segment: &Segment, dead: &RoaringBitmap, rows: &[Row]) -> Vec<Option<u32>> {
    // Both are in the same order.
    let mut at = 0;
    let place = |(number, row): (u32, &Row)| {
        if dead.contains(number) {
            return None;
        }
        at += rows[at..].iter().position(|other| other.id == row.id)?;
        Some(at as u32)
    };
    (0..).zip(segment.rows()).map(place).collect()
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

/// Rows in their order, and their vectors.
fn in_order(dimensions: usize, mut coming: Vec<UnitRow<'_>>) -> Result<(Vec<Row>, Arc<Vectors>), IndexError> {
    if i32::try_from(coming.len()).is_err() {
        return Err(IndexError::TooLarge { rows: coming.len() });
    }
    coming.sort_by(|(left, _), (right, _)| left.order(right));
    if let Some(pair) = coming.windows(2).find(|pair| pair[0].0.id == pair[1].0.id) {
        return Err(IndexError::Repeated { id: pair[0].0.id });
    }
    let mut components = vec_in_large_pages(coming.len() * dimensions);
    let mut rows = Vec::with_capacity(coming.len());
    for (row, vector) in giving_way(coming.into_iter()) {
        components.extend_from_slice(&vector);
        rows.push(row);
    }
    let matrix = Array2::from_shape_vec((rows.len(), dimensions), components).expect("every vector is of this width");
    Ok((rows, Arc::new(Vectors::Memory(matrix))))
}
