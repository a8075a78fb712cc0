//! Choices drawn from a fuzzer's bytes.

/// Draws one choice after another. When the bytes are used up, each choice is the first.
///
/// A fuzzer that changes one byte changes one choice, and a file in `corpus/` means the
/// same with every version of every library.
pub struct Draw<'d>(&'d [u8]);

impl<'d> Draw<'d> {
    pub fn of(data: &'d [u8]) -> Self {
        Self(data)
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn u32(&mut self) -> u32 {
        let mut all = [0; 4];
        let some = self.bytes(4);
        all[..some.len()].copy_from_slice(some);
        u32::from_le_bytes(all)
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::from(self.byte()) % among.len()]
    }

    /// `None`, or a value made from the next bytes.
    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    /// Up to three of them, in the order of the draw.
    pub fn some<T: Copy>(&mut self, among: &[T]) -> Vec<T> {
        (0..self.byte() % 4).map(|_| self.pick(among)).collect()
    }

    /// The next `count` bytes, or as many as are left.
    pub fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (now, later) = self.0.split_at(count.min(self.0.len()));
        self.0 = later;
        now
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
