//! The vectors of a segment: in memory, or on the disk, where the system keeps of them what is looked at.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Advice, Mmap};
use ndarray::{Array2, ArrayView2};

use super::pages::vec_in_large_pages;
use super::threads::give_way;

/// So many bytes are written at once, before others get their turn.
pub(super) const PIECE: usize = 1 << 18;

/// Rows × dimensions, contiguous, row after row.
pub(super) enum Vectors {
    /// On the heap.
    Memory(Array2<f32>),
    /// In a mapped file, from a byte on.
    Disk { map: Arc<Mmap>, first: usize, shape: (usize, usize) },
}

impl Vectors {
    /// Those of a mapped file, from a byte on that is a multiple of four.
    pub(super) fn mapped(map: Arc<Mmap>, first: usize, shape: (usize, usize)) -> Self {
        // Rows are looked at here and there: what lies behind one is not the next. Only advice.
        let _ = map.advise(Advice::Random);
        Self::Disk { map, first, shape }
    }

    /// All of them.
    pub(super) fn view(&self) -> ArrayView2<'_, f32> {
        match self {
            Self::Memory(matrix) => matrix.view(),
            Self::Disk { map, first, shape } => {
                let bytes = shape.0 * shape.1 * size_of::<f32>();
                let components = bytemuck::cast_slice(&map[*first..first + bytes]);
                ArrayView2::from_shape(*shape, components).expect("so many bytes have this shape")
            }
        }
    }

    /// The bytes of memory that they hold for themselves. Those on the disk hold none that the system could not take back.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Memory(matrix) => size_of_val(matrix.as_slice().unwrap_or_default()),
            Self::Disk { .. } => 0,
        }
    }

    /// The same vectors in a file in `folder`, without a name, so that it ends with this process, however that ends.
    ///
    /// # Errors
    /// Where it cannot be written, as when the disk is full.
    pub(super) fn on_disk(&self, folder: &Path) -> io::Result<Self> {
        let matrix = self.view();
        let mut file = tempfile::tempfile_in(folder)?;
        let bytes: &[u8] = bytemuck::cast_slice(matrix.to_slice().unwrap_or_default());
        for piece in bytes.chunks(PIECE) {
            file.write_all(piece)?;
            give_way();
        }
        // SAFETY: what is mapped must not change or shrink while it is mapped. The file has no name, and its only handle
        // ends here, so that nobody else can open it; nothing writes through the map.
        let map = Arc::new(unsafe { Mmap::map(&file)? });
        Ok(Self::mapped(map, 0, matrix.dim()))
    }

    /// The same vectors on the heap.
    pub(super) fn in_memory(&self) -> Self {
        let matrix = self.view();
        let mut components = vec_in_large_pages(matrix.len());
        components.extend_from_slice(matrix.to_slice().unwrap_or_default());
        Self::Memory(Array2::from_shape_vec(matrix.raw_dim(), components).expect("the same shape"))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn vectors_on_the_disk_are_the_same_and_leave_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let larger_than_a_piece = Array2::from_shape_fn((PIECE / 8, 3), |(row, column)| (3 * row + column) as f32);
        let few = arr2(&[[0.5_f32, -1.0, 3.25], [f32::MIN_POSITIVE, 0.0, 7.0]]);
        for matrix in [few, Array2::zeros((0, 3)), larger_than_a_piece] {
            let memory = Vectors::Memory(matrix);
            let disk = memory.on_disk(folder.path()).expect("room for it");
            assert_eq!(disk.view(), memory.view());
            assert_eq!(disk.bytes(), 0);
            assert_eq!(disk.in_memory().view(), memory.view());
            assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        }
        assert!(Vectors::Memory(Array2::zeros((1, 1))).on_disk(Path::new("/nowhere/at/all")).is_err());
    }
}
