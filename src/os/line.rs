//! A line of text for the seams for tests: this layer knows of no other texts.

/// At most 256 bytes; what is more ends the process, as tests should not go on.
pub struct Line {
    bytes: [u8; 256],
    length: usize,
}

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self {
            bytes: [0; 256],
            length: 0,
        }
    }

    /// Adds a text.
    pub fn push(&mut self, text: &[u8]) {
        for &byte in text {
            self.bytes[self.length] = byte;
            self.length += 1;
        }
    }

    /// Adds a number.
    pub fn decimal(&mut self, number: usize) {
        self.digits(number, 10);
    }

    /// Adds an address.
    #[cfg(bifold_pages)]
    pub fn address(&mut self, address: usize) {
        self.push(b"0x");
        self.digits(address, 16);
    }

    fn digits(&mut self, number: usize, base: usize) {
        if number >= base {
            self.digits(number / base, base);
        }
        self.push(&[b"0123456789abcdef"[number % base]]);
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
