//! Finds the end of a BibTeX value whose braces or quotation marks may be unbalanced.
//!
//! The methods that search look ahead from the start of the value. A budget limits the number of bytes that these
//! methods together scan in one text. The other methods look at about 1000 bytes per call at most, without a budget.

use super::{Parser, start_at};

/// Maximum distance from the start of a value at which its end is searched for, in bytes.
const MAX_LOOKAHEAD: usize = 200_000;

/// The methods that search for an end together scan about `BASE_BUDGET + BUDGET_PER_BYTE * text.len()` bytes at most
/// while a text is parsed. Without this limit, a text of unclosed values would take quadratic time.
pub(super) const BASE_BUDGET: usize = 10 * MAX_LOOKAHEAD;
pub(super) const BUDGET_PER_BYTE: usize = 20;

impl Parser<'_> {
    /// Returns the bytes in which the end of the value that starts at `start` is searched for.
    fn window(&self, start: usize) -> &[u8] {
        let length = MAX_LOOKAHEAD.min(self.text.len() - start).min(self.budget.get());
        &self.bytes()[start..start + length]
    }

    /// Subtracts the number of scanned bytes from the budget: the bytes up to position `found`, or the whole window if
    /// nothing was found. Returns `found`.
    fn spend(&self, window: &[u8], found: Option<usize>) -> Option<usize> {
        let spent = found.map_or(window.len(), |position| position + 1);
        self.budget.set(self.budget.get().saturating_sub(spent));
        found
    }

    /// Returns the position of the brace or bracket that closes the group whose content starts at `start`. `None` if
    /// none is found. If `ignore_escaped` is true, braces after a backslash are not counted.
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

    /// Returns the position of the first quotation mark outside braces after which the entry continues or ends. `None`
    /// if none is found.
    pub(super) fn quote(&self, start: usize, closing: u8) -> Option<usize> {
        let mut depth = 0_isize;
        let window = self.window(start);
        let found = window.iter().enumerate().position(|(position, byte)| {
            depth += isize::from(*byte == b'{') - isize::from(*byte == b'}');
            *byte == b'"' && depth == 0 && self.continues_at(start + position + 1, closing)
        });
        self.spend(window, found).map(|position| start + position)
    }

    /// Returns the position of the first delimiter `end`, at any nesting depth, after which the entry continues or ends
    /// or another entry starts. Searches only the text in front of the next entry. `None` if none is found.
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

    /// Whether only white space is between this position and the start of the next entry, which means that the closing
    /// bracket of the current entry is missing.
    pub(super) fn is_before_entry(&self, position: usize) -> bool {
        let rest = &self.text[position..self.text.floor_char_boundary(position + 1000)];
        let at = position + rest.len() - rest.trim_start().len();
        self.bytes().get(at) == Some(&b'@') && start_at(self.text, at).is_some()
    }

    /// Whether the current entry continues or ends at this position.
    ///
    /// The entry continues with `, name =` (the comma can be missing) or `# part`. The entry ends with its closing
    /// bracket if another entry, a comment, a line end or the end of the text follows. A comma ends the entry, too, if
    /// the closing bracket, another entry, a comment or the end of the text follows the comma.
    pub(super) fn continues_at(&self, position: usize, closing: u8) -> bool {
        /// Maximum length of a field's name, in bytes.
        const MAX_NAME_BYTES: usize = 80;
        /// Distance to look ahead, in bytes.
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
            // The comma in front of the next field is missing.
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
