//! Text in a fixed buffer: what bifold prints is put together here, without
//! allocation and without `core::fmt`.

/// Up to `N` bytes of text; what does not fit is cut off.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Text<N> {
    /// Empty text.
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            length: 0,
        }
    }

    /// What has been put in.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            self.byte(byte);
        }
    }

    /// Appends bytes from elsewhere: what is no printable ASCII becomes `?`.
    pub fn printable(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(if matches!(byte, b' '..=b'~') {
                byte
            } else {
                b'?'
            });
        }
    }

    /// Appends text in capitals.
    pub fn capitals(&mut self, text: &str) {
        for byte in text.bytes() {
            self.byte(byte.to_ascii_uppercase());
        }
    }

    /// Appends a number of bytes in the largest unit, up to MiB, that it is a
    /// whole number of.
    pub fn size(&mut self, bytes: usize) {
        let (unit, name) = match bytes.trailing_zeros() {
            _ if bytes == 0 => (1, " bytes"),
            20.. => (1 << 20, " MiB"),
            10.. => (1 << 10, " KiB"),
            _ => (1, " bytes"),
        };
        self.decimal(bytes / unit);
        self.text(name);
    }

    /// Appends a number in decimal.
    pub fn decimal(&mut self, number: usize) {
        let mut divisor = 1;
        while number / divisor >= 10 {
            divisor *= 10;
        }
        while divisor > 0 {
            self.byte(b'0' + (number / divisor % 10) as u8);
            divisor /= 10;
        }
    }

    /// Appends a number in decimal, padded on the left to `width`.
    pub fn column(&mut self, number: usize, width: usize) {
        let mut digits = Text::<20>::new();
        digits.decimal(number);
        for _ in digits.length..width {
            self.byte(b' ');
        }
        for &byte in digits.bytes() {
            self.byte(byte);
        }
    }

    /// Appends a number in hexadecimal with `0x` before it.
    pub fn hex(&mut self, number: usize) {
        self.text("0x");
        let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for i in (0..digits).rev() {
            self.byte(b"0123456789abcdef"[number >> (4 * i) & 0xf]);
        }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn numbers_and_cut() {
        let mut text = Text::<48>::new();
        text.decimal(0);
        text.text(" ");
        text.decimal(usize::MAX);
        text.text(" ");
        text.hex(0);
        text.text(" ");
        text.hex(0x10_0fab);
        text.column(42, 5);
        assert_eq!(text.bytes(), b"0 18446744073709551615 0x0 0x100fab   42");
        text.text("more than the buffer holds");
        assert_eq!(text.bytes().len(), 48);
    }
}
