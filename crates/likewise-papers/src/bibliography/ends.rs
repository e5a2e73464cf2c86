//! Finds the end of a BibTeX value whose braces or quotation marks may be unbalanced.
//!
//! Each method looks ahead from the value's start; all of them share a budget of scanned bytes.

use super::{Parser, start_at};

/// Maximum distance at which the end of a value is searched for, in bytes.
const MAX_LOOKAHEAD: usize = 200_000;

/// The number of bytes that may be scanned while parsing a text is `BASE_BUDGET + BUDGET_PER_BYTE * text.len()`.
/// Without a limit, a text of unclosed values would take quadratic time.
pub(super) const BASE_BUDGET: usize = 10 * MAX_LOOKAHEAD;
pub(super) const BUDGET_PER_BYTE: usize = 20;

impl Parser<'_> {
    /// The bytes in which the end of a value is searched for.
    fn window(&self, start: usize) -> &[u8] {
        let length = MAX_LOOKAHEAD.min(self.text.len() - start).min(self.budget.get());
        &self.bytes()[start..start + length]
    }

    /// Subtracts the scanned bytes from the budget: up to the one that was found, or the whole window.
    fn spend(&self, window: &[u8], found: Option<usize>) -> Option<usize> {
        let spent = found.map_or(window.len(), |position| position + 1);
        self.budget.set(self.budget.get().saturating_sub(spent));
        found
    }

    /// Position of the brace or bracket that closes the group whose content starts at `start`.
    pub(super) fn balanced(&self, start: usize, closing: u8, ignore_escaped: bool) -> Option<usize> {
        let (mut depth, mut is_escaped) = (0_usize, false);
        let window = self.window(start);
        let found = window.iter().position(|byte| {
            let counts = !(ignore_escaped && is_escaped);
            is_escaped = *byte == b'\\' && !is_escaped;
            match byte {
                byte if *byte == closing && depth == 0 && counts => return true,
                b'{' if counts => depth += 1,
                b'}' if counts => depth = depth.saturating_sub(1),
                _ => {}
            }
            false
        });
        self.spend(window, found).map(|position| start + position)
    }

    /// Position of the first quotation mark outside braces after which an entry continues or ends.
    pub(super) fn quote(&self, start: usize, closing: u8) -> Option<usize> {
        let mut depth = 0_isize;
        let window = self.window(start);
        let found = window.iter().enumerate().position(|(position, byte)| {
            depth += isize::from(*byte == b'{') - isize::from(*byte == b'}');
            *byte == b'"' && depth == 0 && self.continues_at(start + position + 1, closing)
        });
        self.spend(window, found).map(|position| start + position)
    }

    /// Position of the first `end` delimiter, at any nesting depth, after which an entry continues or ends; only
    /// before the next entry.
    pub(super) fn any_end(&self, start: usize, end: u8, closing: u8) -> Option<usize> {
        let window = self.window(start);
        let next = memchr::memchr_iter(b'@', window)
            .find(|position| start_at(self.text, start + position).is_some());
        let window = &window[..next.unwrap_or(window.len())];
        let found = memchr::memchr_iter(end, window).find(|position| {
            let after = start + position + 1;
            self.continues_at(after, closing) || self.is_before_entry(after)
        });
        self.spend(window, found).map(|position| start + position)
    }

    /// Whether only white space is before the next entry, so that this one's closing bracket is missing.
    pub(super) fn is_before_entry(&self, position: usize) -> bool {
        let rest = &self.text[position..self.text.floor_char_boundary(position + 1000)];
        let at = position + rest.len() - rest.trim_start().len();
        self.bytes().get(at) == Some(&b'@') && start_at(self.text, at).is_some()
    }

    /// Whether an entry continues or ends at this position: with `, name =`, `# part`, a comma before the end of the
    /// text, or its closing bracket followed by an entry, a line end or the end of the text.
    pub(super) fn continues_at(&self, position: usize, closing: u8) -> bool {
        /// Maximum length of a field's name, in bytes.
        const MAX_NAME_BYTES: usize = 80;
        /// How far to look ahead, in bytes.
        const LOOKAHEAD: usize = 1000;
        let rest = &self.bytes()[position..self.text.len().min(position + LOOKAHEAD)];
        let rest = rest.trim_ascii_start();
        match rest.first() {
            Some(b'#') => true,
            Some(b',') => {
                let is_between = |byte: &&u8| byte.is_ascii_whitespace() || **byte == b',';
                let after = &rest[rest.iter().take_while(is_between).count()..];
                let name = after.iter().take(MAX_NAME_BYTES).position(|byte| *byte == b'=');
                let is_name = |name: &[u8]| {
                    let name = name.trim_ascii();
                    !name.is_empty()
                        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.+/".contains(byte))
                };
                match after.first() {
                    None | Some(b'%' | b'@') => true,
                    Some(byte) if *byte == closing => true,
                    Some(_) => name.is_some_and(|end| is_name(&after[..end])),
                }
            }
            Some(byte) if *byte == closing => {
                let after = rest[1..].trim_ascii_start();
                after.is_empty()
                    || after.starts_with(b"@")
                    || after.starts_with(b"%")
                    || rest[1..].starts_with(b"\n")
                    || rest[1..].starts_with(b"\r")
            }
            // The comma is missing.
            Some(byte) if byte.is_ascii_alphabetic() => {
                let end = rest
                    .iter()
                    .take(MAX_NAME_BYTES)
                    .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
                end.is_some_and(|end| rest[end..].trim_ascii_start().first() == Some(&b'='))
            }
            _ => false,
        }
    }
}
