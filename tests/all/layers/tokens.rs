//! Rust source as a list of tokens: as much of the language's rules as it takes
//! to leave out comments and literals.

/// Identifiers, `::`, and single characters, without comments and strings, and
/// each with its line.
pub fn tokens(source: &str) -> Vec<(usize, String)> {
    let text: Vec<char> = source.chars().collect();
    let at = |k: usize| text.get(k).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let (mut k, mut line) = (0, 1);
    while k < text.len() {
        let start = k;
        match (at(k), at(k + 1)) {
            ('/', '/') => {
                while k < text.len() && at(k) != '\n' {
                    k += 1;
                }
            }
            ('/', '*') => k = end_of_comment(&text, k),
            ('"', _) => k = end_of_string(&text, k),
            ('r', '"' | '#') if end_of_raw_string(&text, k) > k => k = end_of_raw_string(&text, k),
            // A character, where a lifetime has no second quote.
            ('\'', '\\') => {
                k += 3;
                while k < text.len() && at(k) != '\'' {
                    k += 1;
                }
                k += 1;
            }
            ('\'', _) if at(k + 2) == '\'' => k += 3,
            (':', ':') => {
                tokens.push((line, "::".to_owned()));
                k += 2;
            }
            (c, _) if is_word(c) => {
                while is_word(at(k)) {
                    k += 1;
                }
                tokens.push((line, text[start..k].iter().collect()));
            }
            (c, _) => {
                if !c.is_whitespace() {
                    tokens.push((line, c.to_string()));
                }
                k += 1;
            }
        }
        k = k.min(text.len());
        line += text[start..k].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Comments nest.
fn end_of_comment(text: &[char], start: usize) -> usize {
    let (mut k, mut depth) = (start + 2, 1);
    while k < text.len() && depth > 0 {
        match text[k..] {
            ['*', '/', ..] => (k, depth) = (k + 2, depth - 1),
            ['/', '*', ..] => (k, depth) = (k + 2, depth + 1),
            _ => k += 1,
        }
    }
    k
}

fn end_of_string(text: &[char], start: usize) -> usize {
    let mut k = start + 1;
    while k < text.len() && text[k] != '"' {
        k += if text[k] == '\\' { 2 } else { 1 };
    }
    k + 1
}

/// Where the raw string ends; the start, if this is an identifier.
fn end_of_raw_string(text: &[char], start: usize) -> usize {
    let hashes = text[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if text.get(open) != Some(&'"') {
        return start;
    }
    let closes = |k: usize| {
        let behind = text[k + 1..].iter().take(hashes);
        text[k] == '"' && behind.filter(|c| **c == '#').count() == hashes
    };
    let end = (open + 1..text.len()).find(|k| closes(*k));
    end.map_or(text.len(), |k| k + 1 + hashes)
}
