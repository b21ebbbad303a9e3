//! The vectors of a segment: in memory, or on the disk, where the system keeps of them what is looked at.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use memmap2::{Advice, Mmap};
use ndarray::{Array2, ArrayView2};

/// Rows × dimensions, contiguous, row after row.
pub(super) enum Vectors {
    /// On the heap.
    Memory(Array2<f32>),
    /// In a file that has no name any more, and ends with this.
    Disk { map: Mmap, shape: (usize, usize) },
}

impl Vectors {
    /// All of them.
    pub(super) fn view(&self) -> ArrayView2<'_, f32> {
        match self {
            Self::Memory(matrix) => matrix.view(),
            Self::Disk { map, shape } => {
                let components = bytemuck::cast_slice(map);
                ArrayView2::from_shape(*shape, components).expect("the file was written with this shape")
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
        let mut file = VectorsFile::create_in(folder)?;
        file.push(matrix.to_slice().unwrap_or_default())?;
        file.finish(matrix.ncols())
    }
}

/// Vectors on their way to the disk.
pub(super) struct VectorsFile {
    file: File,
    components: usize,
}

impl VectorsFile {
    /// An empty file without a name.
    ///
    /// # Errors
    /// Where there can be none.
    pub(super) fn create_in(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder)?, components: 0 })
    }

    /// Adds components, row after row.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub(super) fn push(&mut self, components: &[f32]) -> io::Result<()> {
        self.components += components.len();
        self.file.write_all(bytemuck::cast_slice(components))
    }

    /// What was added, as rows of so many dimensions.
    ///
    /// # Errors
    /// Where the system does not map it.
    pub(super) fn finish(self, dimensions: usize) -> io::Result<Vectors> {
        let shape = (self.components.checked_div(dimensions).unwrap_or_default(), dimensions);
        // SAFETY: what is mapped must not change or shrink while it is mapped. The file has no name, and its only handle
        // ends here, so that nobody else can open it; nothing writes through the map.
        let map = unsafe { Mmap::map(&self.file)? };
        // Rows are looked at here and there: what lies behind one is not the next.
        map.advise(Advice::Random)?;
        Ok(Vectors::Disk { map, shape })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn vectors_on_the_disk_are_the_same_and_leave_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for matrix in [arr2(&[[0.5_f32, -1.0, 3.25], [f32::MIN_POSITIVE, 0.0, 7.0]]), Array2::zeros((0, 3))] {
            let memory = Vectors::Memory(matrix);
            let disk = memory.on_disk(folder.path()).expect("room for it");
            assert_eq!(disk.view(), memory.view());
            assert_eq!(disk.bytes(), 0);
            assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        }
        assert!(Vectors::Memory(Array2::zeros((1, 1))).on_disk(Path::new("/nowhere/at/all")).is_err());
    }
}
