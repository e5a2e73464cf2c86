//! Where a value of BibTeX ends, if its braces and quotation marks are not where they should be.
//!
//! Its own file because it is one question, asked in several ways, each of which looks ahead within a budget.

use super::{Reader, start_at};

/// How far the end of a value is looked for, in bytes.
const FARTHEST: usize = 200_000;

/// How much of a text is looked at again, in bytes: so much, and so often its length. A text that is nothing but beginnings
/// would take a time that grows with its square.
pub(super) const BUDGET: usize = 10 * FARTHEST;
pub(super) const BUDGET_A_BYTE: usize = 20;

impl Reader<'_> {
    /// What is looked at for the end of a value.
    fn window(&self, start: usize) -> &[u8] {
        let length = FARTHEST.min(self.text.len() - start).min(self.budget.get());
        &self.bytes()[start..start + length]
    }

    /// Counts what was looked at, up to where something was found.
    fn spend(&self, window: &[u8], found: Option<usize>) -> Option<usize> {
        let spent = found.map_or(window.len(), |place| place + 1);
        self.budget.set(self.budget.get().saturating_sub(spent));
        found
    }

    /// Where the brace or bracket stands that closes what begins at `start`.
    pub(super) fn balanced(&self, start: usize, closing: u8, skips_escaped: bool) -> Option<usize> {
        let (mut depth, mut is_escaped) = (0_usize, false);
        let window = self.window(start);
        let found = window.iter().position(|byte| {
            let counts = !(skips_escaped && is_escaped);
            is_escaped = *byte == b'\\' && !is_escaped;
            match byte {
                byte if *byte == closing && depth == 0 && counts => return true,
                b'{' if counts => depth += 1,
                b'}' if counts => depth = depth.saturating_sub(1),
                _ => {}
            }
            false
        });
        self.spend(window, found).map(|place| start + place)
    }

    /// The first quotation mark outside of braces behind which an entry goes on.
    pub(super) fn quote(&self, start: usize, closing: u8) -> Option<usize> {
        let mut depth = 0_isize;
        let window = self.window(start);
        let found = window.iter().enumerate().position(|(place, byte)| {
            depth += isize::from(*byte == b'{') - isize::from(*byte == b'}');
            *byte == b'"' && depth == 0 && self.goes_on(start + place + 1, closing)
        });
        self.spend(window, found).map(|place| start + place)
    }

    /// The first end of any depth behind which an entry goes on, before the next entry begins.
    pub(super) fn any_end(&self, start: usize, end: u8, closing: u8) -> Option<usize> {
        let window = self.window(start);
        let next =
            memchr::memchr_iter(b'@', window).find(|place| start_at(self.text, start + place).is_some());
        let window = &window[..next.unwrap_or(window.len())];
        let found = memchr::memchr_iter(end, window).find(|place| {
            let behind = start + place + 1;
            self.goes_on(behind, closing) || self.is_before_entry(behind)
        });
        self.spend(window, found).map(|place| start + place)
    }

    /// Whether the next entry begins here, so that this one's last bracket is missing.
    pub(super) fn is_before_entry(&self, place: usize) -> bool {
        let rest = &self.text[place..self.text.floor_char_boundary(place + 1000)];
        let at = place + rest.len() - rest.trim_start().len();
        self.bytes().get(at) == Some(&b'@') && start_at(self.text, at).is_some()
    }

    /// Whether an entry goes on or ends here: `, name =`, `# part`, a bracket with nothing or an entry behind it, or the end
    /// of the text.
    pub(super) fn goes_on(&self, place: usize, closing: u8) -> bool {
        /// A name is no longer than this.
        const NAME: usize = 80;
        /// As far as is looked ahead, in bytes.
        const AHEAD: usize = 1000;
        let rest = &self.bytes()[place..self.text.len().min(place + AHEAD)];
        let rest = rest.trim_ascii_start();
        match rest.first() {
            Some(b'#') => true,
            Some(b',') => {
                let is_between = |byte: &&u8| byte.is_ascii_whitespace() || **byte == b',';
                let after = &rest[rest.iter().take_while(is_between).count()..];
                let name = after.iter().take(NAME).position(|byte| *byte == b'=');
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
            // A comma was forgotten.
            Some(byte) if byte.is_ascii_alphabetic() => {
                let end =
                    rest.iter().take(NAME).position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
                end.is_some_and(|end| rest[end..].trim_ascii_start().first() == Some(&b'='))
            }
            _ => false,
        }
    }
}
