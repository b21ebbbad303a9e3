//! Bytes and links in whole cache lines.

/// 64 signed bytes at the start of a cache line. Vectors of any width fill the last one with zeros, which add nothing to
/// a dot product, so that loops over blocks know no rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Block(pub(super) [i8; Block::BYTES]);

impl Block {
    /// Bytes of a block.
    pub(super) const BYTES: usize = 64;
    /// All zeros.
    pub(super) const ZERO: Self = Self([0; Self::BYTES]);
}

/// 16 links at the start of a cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; Line::LINKS]);

impl Line {
    /// Links of a line.
    pub(super) const LINKS: usize = 16;
    /// A line without links.
    pub(super) const EMPTY: Self = Self([NONE; Self::LINKS]);
}

/// Stands where a link could be.
pub(super) const NONE: u32 = u32::MAX;
