//! The vectors of a segment: in memory, or on the disk, where the system keeps of them what is looked at.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Advice, Mmap};
use ndarray::Array2;

use super::pages::vec_in_large_pages;
use super::threads::{give_way, giving_way};

/// So many bytes are written at once, before others get their turn.
pub(super) const WRITTEN_AT_ONCE: usize = 1 << 18;
/// Vectors that go on from others keep no more rows, gone ones too, than so many times those that live.
const MOST_KEPT: usize = 2;
/// Nor do they lie in more pieces.
const MOST_PIECES: usize = 128;

/// Vectors of one width, a row each, in pieces that those that go on from them hold in common with them.
pub(super) struct Vectors {
    dimensions: usize,
    pieces: Vec<Arc<Piece>>,
    /// Where each row lies; `None` where all lie in one piece, in their order.
    places: Option<Vec<Place>>,
}

/// Rows × dimensions, contiguous, row after row.
enum Piece {
    /// On the heap.
    Memory(Array2<f32>),
    /// In a mapped file, from a byte on.
    Disk { map: Arc<Mmap>, first: usize, shape: (usize, usize) },
}

/// A row of a piece.
#[derive(Clone, Copy)]
struct Place {
    piece: u32,
    row: u32,
}

/// What the vector of a row is, where it may be one of older rows.
pub(super) enum Source<'a> {
    /// That of an older row.
    Older(u32),
    /// Another one.
    Fresh(Cow<'a, [f32]>),
}

impl Vectors {
    /// The rows of a matrix.
    pub(super) fn new(matrix: Array2<f32>) -> Self {
        Self::of_piece(Piece::Memory(matrix))
    }

    /// Copies of so many vectors of one width.
    pub(super) fn copied<'a>(dimensions: usize, rows: usize, vectors: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut components = vec_in_large_pages(rows * dimensions);
        giving_way(vectors).for_each(|vector| components.extend_from_slice(vector));
        Self::new(Array2::from_shape_vec((rows, dimensions), components).expect("so many vectors of this width"))
    }

    /// Those of a mapped file, from a byte on that is a multiple of four.
    pub(super) fn mapped(map: Arc<Mmap>, first: usize, shape: (usize, usize)) -> Self {
        Self::of_piece(Piece::mapped(map, first, shape))
    }

    fn of_piece(piece: Piece) -> Self {
        Self { dimensions: piece.shape().1, pieces: vec![Arc::new(piece)], places: None }
    }

    /// Vectors that were among these, which stay where they lie, and others, which are copied; all are copied where too
    /// much of what is kept would be of rows that are gone.
    pub(super) fn going_on(&self, rows: &[Source<'_>]) -> Self {
        let fresh = || rows.iter().filter_map(Source::fresh);
        let kept: usize = self.pieces.iter().map(|piece| piece.shape().0).sum();
        let coming = fresh().count();
        if self.pieces.len() >= MOST_PIECES || kept + coming > MOST_KEPT * rows.len() {
            let view = self.view();
            return Self::copied(self.dimensions, rows.len(), rows.iter().map(|source| source.vector(view)));
        }
        let mut pieces = self.pieces.clone();
        let mut next = Place { piece: pieces.len() as u32, row: 0 };
        if coming > 0 {
            pieces.extend(Self::copied(self.dimensions, coming, fresh()).pieces);
        }
        let place = |source: &Source<'_>| match source {
            Source::Older(row) => self.place(*row),
            Source::Fresh(_) => {
                next.row += 1;
                Place { row: next.row - 1, ..next }
            }
        };
        let places = rows.iter().map(place).collect();
        Self { dimensions: self.dimensions, pieces, places: Some(places) }
    }

    fn place(&self, row: u32) -> Place {
        self.places.as_ref().map_or(Place { piece: 0, row }, |places| places[row as usize])
    }

    /// All of them.
    pub(super) fn view(&self) -> VectorsView<'_> {
        let (len, rows) = match &self.places {
            None => (self.pieces[0].shape().0, Rows::InOrder(self.pieces[0].components())),
            Some(places) => (places.len(), Rows::Placed(places, &self.pieces)),
        };
        VectorsView { len, dimensions: self.dimensions, rows }
    }

    /// The bytes of memory that they hold. Those on the disk hold none that the system could not take back.
    pub(super) fn bytes(&self) -> usize {
        let places = self.places.as_ref().map_or(0, |places| size_of_val(places.as_slice()));
        places + self.pieces.iter().map(|piece| piece.bytes()).sum::<usize>()
    }

    /// The same vectors in files in `folder`, without a name, so that they end with this process, however that ends. What
    /// is in a file already stays there.
    ///
    /// # Errors
    /// Where one cannot be written, as when the disk is full.
    pub(super) fn on_disk(&self, folder: &Path) -> io::Result<Self> {
        let on_disk = |piece: &Arc<Piece>| match piece.as_ref() {
            Piece::Memory(matrix) => Piece::on_disk(matrix, folder).map(Arc::new),
            Piece::Disk { .. } => Ok(piece.clone()),
        };
        let pieces = self.pieces.iter().map(on_disk).collect::<io::Result<_>>()?;
        Ok(Self { dimensions: self.dimensions, pieces, places: self.places.clone() })
    }

    /// The same vectors on the heap, in one piece.
    pub(super) fn in_memory(&self) -> Self {
        let view = self.view();
        Self::copied(self.dimensions, view.len(), (0..view.len() as u32).map(|row| view.row(row)))
    }
}

impl Piece {
    fn mapped(map: Arc<Mmap>, first: usize, shape: (usize, usize)) -> Self {
        // Rows are looked at here and there: what lies behind one is not the next. Only advice.
        let _ = map.advise(Advice::Random);
        Self::Disk { map, first, shape }
    }

    fn on_disk(matrix: &Array2<f32>, folder: &Path) -> io::Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        let bytes: &[u8] = bytemuck::cast_slice(matrix.as_slice().unwrap_or_default());
        for part in bytes.chunks(WRITTEN_AT_ONCE) {
            file.write_all(part)?;
            give_way();
        }
        // SAFETY: what is mapped must not change or shrink while it is mapped. The file has no name, and its only handle
        // ends here, so that nobody else can open it; nothing writes through the map.
        let map = Arc::new(unsafe { Mmap::map(&file)? });
        Ok(Self::mapped(map, 0, matrix.dim()))
    }

    /// Rows, dimensions.
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Memory(matrix) => matrix.dim(),
            Self::Disk { shape, .. } => *shape,
        }
    }

    #[inline(always)]
    fn components(&self) -> &[f32] {
        match self {
            Self::Memory(matrix) => matrix.as_slice().expect("a matrix of ours is contiguous, row after row"),
            Self::Disk { map, first, shape } => {
                bytemuck::cast_slice(&map[*first..first + shape.0 * shape.1 * size_of::<f32>()])
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Memory(_) => size_of_val(self.components()),
            Self::Disk { .. } => 0,
        }
    }
}

impl Source<'_> {
    fn fresh(&self) -> Option<&[f32]> {
        match self {
            Self::Older(_) => None,
            Self::Fresh(vector) => Some(vector),
        }
    }

    /// The vector, where those of the older rows are `older`.
    pub(super) fn vector<'a>(&'a self, older: VectorsView<'a>) -> &'a [f32] {
        match self {
            Self::Older(row) => older.row(*row),
            Self::Fresh(vector) => vector,
        }
    }
}

/// Vectors to be looked at, wherever they lie.
#[derive(Clone, Copy)]
pub(super) struct VectorsView<'a> {
    len: usize,
    dimensions: usize,
    rows: Rows<'a>,
}

#[derive(Clone, Copy)]
enum Rows<'a> {
    InOrder(&'a [f32]),
    Placed(&'a [Place], &'a [Arc<Piece>]),
}

impl<'a> VectorsView<'a> {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Their width.
    pub(super) fn dimensions(self) -> usize {
        self.dimensions
    }

    /// The vector of a row.
    #[inline(always)]
    pub(super) fn row(self, row: u32) -> &'a [f32] {
        let (components, row) = match self.rows {
            Rows::InOrder(components) => (components, row),
            Rows::Placed(places, pieces) => {
                let Place { piece, row } = places[row as usize];
                (pieces[piece as usize].components(), row)
            }
        };
        let from = row as usize * self.dimensions;
        &components[from..from + self.dimensions]
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    fn all(vectors: &Vectors) -> Vec<Vec<f32>> {
        let view = vectors.view();
        (0..view.len() as u32).map(|row| view.row(row).to_vec()).collect()
    }

    #[test]
    fn vectors_on_the_disk_are_the_same_and_leave_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let larger_than_is_written_at_once =
            Array2::from_shape_fn((WRITTEN_AT_ONCE / 8, 3), |(row, column)| (3 * row + column) as f32);
        let few = arr2(&[[0.5_f32, -1.0, 3.25], [f32::MIN_POSITIVE, 0.0, 7.0]]);
        for matrix in [few, Array2::zeros((0, 3)), larger_than_is_written_at_once] {
            let memory = Vectors::new(matrix.clone());
            let disk = memory.on_disk(folder.path()).expect("room for it");
            assert_eq!(all(&disk), matrix.outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>());
            assert_eq!(disk.bytes(), 0);
            assert_eq!(all(&disk.in_memory()), all(&memory));
            assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        }
        assert!(Vectors::new(Array2::zeros((1, 1))).on_disk(Path::new("/nowhere/at/all")).is_err());
    }

    /// Rows before, each with the number of the row it was, or a fresh one's component.
    fn gone_on(older: &Vectors, rows: &[Result<u32, f32>]) -> (Vectors, Vec<Vec<f32>>) {
        let source = |row: &Result<u32, f32>| match row {
            Ok(row) => Source::Older(*row),
            Err(fresh) => Source::Fresh(Cow::Owned(vec![*fresh])),
        };
        let sources: Vec<Source<'_>> = rows.iter().map(source).collect();
        let expected = sources.iter().map(|source| source.vector(older.view()).to_vec()).collect();
        (older.going_on(&sources), expected)
    }

    #[test]
    fn what_goes_on_keeps_pieces_and_is_written_only_where_it_is_fresh() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Vectors::new(arr2(&[[0.0_f32], [1.0], [2.0], [3.0]])).on_disk(folder.path()).expect("room");
        let (second, expected) = gone_on(&first, &[Ok(0), Err(0.5), Ok(1), Ok(3), Err(4.0)]);
        assert_eq!(all(&second), expected);
        assert_eq!(second.bytes(), 5 * size_of::<Place>() + 2 * size_of::<f32>());
        let second = second.on_disk(folder.path()).expect("room");
        assert_eq!((all(&second), second.bytes()), (expected, 5 * size_of::<Place>()));
        assert!(Arc::ptr_eq(&first.pieces[0], &second.pieces[0]));

        let (third, expected) = gone_on(&second, &[Ok(1), Ok(2), Err(2.5), Ok(4)]);
        assert_eq!((all(&third), third.pieces.len()), (expected, 3));
        let (fewer, expected) = gone_on(&third, &[Ok(3), Ok(2), Ok(0), Ok(1)]);
        assert_eq!((all(&fewer), fewer.pieces.len()), (expected, 3), "no piece without rows");
        let (few, expected) = gone_on(&third, &[Ok(3), Ok(2), Ok(0)]);
        assert_eq!((all(&few), few.pieces.len()), (expected, 1), "7 rows are not kept for 3");
        assert!(few.places.is_none());
    }

    #[test]
    fn there_are_never_many_pieces() {
        let mut vectors = Vectors::new(Array2::zeros((1_000, 1)));
        let mut expected = all(&vectors);
        for round in 0..300 {
            let rows: Vec<Result<u32, f32>> = (0..1_000 + round).map(Ok).chain([Err(round as f32)]).collect();
            expected.push(vec![round as f32]);
            vectors = gone_on(&vectors, &rows).0;
            assert!(vectors.pieces.len() <= MOST_PIECES);
        }
        assert_eq!(all(&vectors), expected);
    }
}
