//! Weights that several experts have of one model: they are mapped from one file, so a node has them once.

use super::table::{Chair, Table};

impl Table<'_> {
    /// Weights are mapped from one file, so two experts of one model have them once.
    pub fn shared(&self, want_idx: usize, chair: Chair) -> Chair {
        let file = &self.wants[want_idx].model.file;
        let is_there = (0..self.wants.len()).filter(|idx| self.wants[*idx].model.file == *file).any(|idx| {
            let mut chairs = self.now.copies[idx].iter().flat_map(|copy| &copy.chairs);
            chairs.any(|other| other.node_idx == chair.node_idx && other.layers() == chair.layers())
        });
        if is_there { Chair { weights: 0, ..chair } } else { chair }
    }

    /// The weights stay if another seat has them too, which counts them from now on. Says what stays.
    pub fn hand_on(&mut self, want_idx: usize, chair: &Chair) -> u64 {
        let file = &self.wants[want_idx].model.file;
        for (want, copies) in self.wants.iter().zip(&mut self.now.copies) {
            let mut chairs = copies.iter_mut().flat_map(|copy| &mut copy.chairs);
            let has = |other: &&mut Chair| {
                want.model.file == *file
                    && other.node_idx == chair.node_idx
                    && other.layers() == chair.layers()
            };
            if let Some(heir) = chairs.find(has) {
                heir.weights += chair.weights;
                return chair.weights;
            }
        }
        0
    }

    /// The stages of the ring that another expert has with the same model.
    pub fn ring_of_same_model(&self, want_idx: usize) -> Option<Vec<(usize, u32)>> {
        let file = &self.wants[want_idx].model.file;
        let same = self.wants.iter().zip(&self.now.copies).filter(|(want, _)| want.model.file == *file);
        let ring = same.flat_map(|(_, copies)| copies).find(|copy| !copy.is_whole())?;
        Some(ring.chairs.iter().map(|chair| (chair.node_idx, chair.last - chair.first)).collect())
    }
}
