//! Text in a fixed buffer, and in pieces through one: what bifold prints is put
//! together here, without allocation and without `core::fmt`.

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

    /// The same as text.
    pub fn as_str(&self) -> &str {
        // SAFETY: only whole characters are put in.
        unsafe { core::str::from_utf8_unchecked(self.bytes()) }
    }

    /// Appends text, as many of its characters as fit.
    pub fn text(&mut self, text: &str) {
        let mut end = text.len().min(N - self.length);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        for &byte in &text.as_bytes()[..end] {
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

    /// Appends a number in decimal.
    #[inline(never)]
    pub fn decimal(&mut self, number: usize) {
        let mut digits = [0; 20];
        let (mut rest, mut start) = (number, digits.len());
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            start -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for &digit in digits.iter().skip(start) {
            self.byte(digit);
        }
    }

    /// Appends a number of bytes in the largest unit of which it is one or more,
    /// with a decimal: `1.5 MiB`.
    pub fn size(&mut self, bytes: usize) {
        const UNITS: [&str; 5] = [" B", " KiB", " MiB", " GiB", " TiB"];
        let unit = (bytes.max(1).ilog2() as usize / 10).min(UNITS.len() - 1);
        let shift = 10 * unit;
        self.decimal(bytes >> shift);
        if unit > 0 {
            let rest = bytes & ((1 << shift) - 1);
            self.byte(b'.');
            self.byte(b'0' + ((rest * 10) >> shift) as u8);
        }
        self.text(UNITS[unit]);
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

/// Text of any length, given out in pieces.
pub struct Stream<'a> {
    buffer: Text<1024>,
    sink: &'a mut dyn FnMut(&str),
}

impl<'a> Stream<'a> {
    /// Text that goes to `sink`.
    pub fn new(sink: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            buffer: Text::new(),
            sink,
        }
    }

    /// Appends text.
    #[inline(never)]
    pub fn text(&mut self, text: &str) {
        if text.len() > self.buffer.bytes.len() - self.buffer.length {
            self.flush();
        }
        if text.len() > self.buffer.bytes.len() {
            (self.sink)(text);
        } else {
            self.buffer.text(text);
        }
    }

    /// Appends a number in decimal.
    pub fn decimal(&mut self, number: usize) {
        let mut digits = Text::<20>::new();
        digits.decimal(number);
        self.text(digits.as_str());
    }

    /// Appends text, with spaces before it to make it `width` characters long.
    pub fn right(&mut self, text: &str, width: usize) {
        self.spaces(width.saturating_sub(text.len()));
        self.text(text);
    }

    /// Appends text, with spaces behind it to make it `width` characters long.
    pub fn left(&mut self, text: &str, width: usize) {
        self.text(text);
        self.spaces(width.saturating_sub(text.len()));
    }

    fn spaces(&mut self, count: usize) {
        for _ in 0..count {
            self.text(" ");
        }
    }

    fn flush(&mut self) {
        if self.buffer.length > 0 {
            (self.sink)(self.buffer.as_str());
            self.buffer.length = 0;
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::{Stream, Text};
    use std::string::String;

    fn size(bytes: usize) -> String {
        let mut text = Text::<16>::new();
        text.size(bytes);
        text.as_str().into()
    }

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
        assert_eq!(text.bytes(), b"0 18446744073709551615 0x0 0x100fab");
        text.text("more than the buffer holds");
        assert_eq!(text.bytes().len(), 48);
    }

    #[test]
    fn no_character_is_cut() {
        let mut text = Text::<4>::new();
        text.text("aöö");
        assert_eq!(text.as_str(), "aö");
    }

    #[test]
    fn sizes_have_the_unit_that_suits() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 50, "3072.0 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert!(size(usize::MAX).ends_with(".9 TiB"));
    }

    #[test]
    fn a_stream_loses_nothing() {
        let (mut whole, mut pieces) = (String::new(), 0);
        let mut sink = |piece: &str| {
            whole.push_str(piece);
            pieces += 1;
        };
        let mut expected = String::new();
        let mut stream = Stream::new(&mut sink);
        for n in 0..500 {
            stream.decimal(n);
            stream.right("ö", 4);
            stream.left("x", 3);
            expected += &std::format!("{n}  öx  ");
        }
        let long = "long".repeat(1000);
        stream.text(&long);
        drop(stream);
        assert_eq!(whole, expected + &long);
        assert!(pieces < 16, "{pieces} pieces");
    }
}
