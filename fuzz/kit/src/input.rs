//! Bytes as a source of choices.

/// The lengths at which requests change their kind, and a page.
const EDGES: [usize; 8] = [
    1 << 10,
    4 << 10,
    8 << 10,
    64 << 10,
    128 << 10,
    512 << 10,
    1 << 20,
    2 << 20,
];

/// Most requests are below two to this.
const SHORT: usize = 13;

/// What no allocator can serve, and what lies at the ends of the numbers. None
/// is so short that a machine might fill it.
const HOSTILE: [usize; 12] = [
    0,
    isize::MAX as usize,
    usize::MAX,
    1 << 63,
    1 << 62,
    1 << 47,
    1 << 40,
    1 << 36,
    usize::MAX / 2,
    usize::MAX - 4095,
    isize::MAX as usize - 4095,
    isize::MAX as usize - (2 << 20),
];

/// What is left of the bytes. Behind their end all choices are 0.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                *first
            }
            [] => 0,
        }
    }

    /// Some of the bytes, as far as there are so many.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub fn half(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    pub fn word(&mut self) -> usize {
        usize::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number below `end`, at most 65,536.
    pub fn below(&mut self, end: usize) -> usize {
        if end <= 256 {
            usize::from(self.byte()) % end
        } else {
            self.half() % end
        }
    }

    /// The length of a request: most are short, since a long one takes the time
    /// of many; further ones go up to two to the `exponent`, each power as likely
    /// as any other, or are about what lies at an edge.
    pub fn size(&mut self, exponent: usize) -> usize {
        let choice = usize::from(self.byte());
        if choice < 232 {
            let most = if choice < 200 { SHORT } else { exponent };
            let least = 1usize << (choice % most);
            return (least - 1) + ((self.half() * (least + 1)) >> 16);
        }
        let edge = EDGES[choice % EDGES.len()].min(1 << exponent);
        edge.wrapping_add_signed(isize::from(self.byte().cast_signed()))
    }

    /// Any number at all, most often one that a careless sum overflows at.
    pub fn hostile(&mut self) -> usize {
        match self.byte() {
            choice if choice < 224 => {
                let edge = HOSTILE[usize::from(choice) % HOSTILE.len()];
                edge.wrapping_add_signed(isize::from(self.byte().cast_signed()) / 2)
            }
            _ => self.word(),
        }
    }
}
