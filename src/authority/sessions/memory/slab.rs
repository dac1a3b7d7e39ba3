//! Records that stay where they are, by number.

use super::record::Record;

/// Records in one piece. Pieces are added one by one, so that no growth copies what is there.
const PIECE: usize = 256;

/// Records by number, which is given out again when a record is removed.
#[derive(Debug, Default)]
pub(super) struct Slab {
    pieces: Vec<Vec<Option<Record>>>,
    free: Vec<u32>,
}

impl Slab {
    /// Puts a record, and returns its number; `None` when there are no more numbers.
    pub(super) fn insert(&mut self, record: Record) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            *self.place(slot)? = Some(record);
            return Some(slot);
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let slot = u32::try_from(self.end()).ok()?;
        self.pieces.last_mut()?.push(Some(record));
        Some(slot)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Record> {
        let slot = usize::try_from(slot).ok()?;
        let piece = self.pieces.get(slot / PIECE)?;
        piece.get(slot % PIECE)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Record> {
        self.place(slot)?.as_mut()
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Record> {
        let removed = self.place(slot)?.take();
        if removed.is_some() {
            self.free.push(slot);
        }
        removed
    }

    /// One more than the highest number ever given out.
    pub(super) fn end(&self) -> usize {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        full + self.pieces.last().map_or(0, Vec::len)
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<Record>> {
        let slot = usize::try_from(slot).ok()?;
        let piece = self.pieces.get_mut(slot / PIECE)?;
        piece.get_mut(slot % PIECE)
    }
}
