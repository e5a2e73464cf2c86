//! Reads the entries of a dump in chunks on a background thread, so that the next chunks are read while the papers of
//! the current chunk are encoded.

use super::{Entries, Entry, Refused};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// An iterator over chunks of a dump's entries, in the order of the dump; see [`chunks`].
pub struct Chunks {
    chunks: Receiver<Vec<Result<Entry, Refused>>>,
    reader: Option<JoinHandle<()>>,
}

/// A chunk ends once its titles and abstracts together have this number of bytes, even if the chunk has fewer entries
/// than requested. This limits the use of memory, because a single entry can be very long.
const MAX_CHUNK_BYTES: usize = 32 << 20;

fn text_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Paper(paper) | Entry::Encoded(paper, _) => paper.title.len() + paper.r#abstract.len(),
        Entry::Deleted(_) => 0,
    }
}

/// Splits `entries` into chunks of `size` entries, and reads up to two chunks ahead of the consumer. A chunk can have
/// fewer than `size` entries only if it is the last one, or if its titles and abstracts together reach 32 MiB.
pub fn chunks(mut entries: Entries, size: usize) -> Chunks {
    let (send, chunks) = sync_channel(1);
    let read = move || {
        loop {
            let (mut chunk, mut bytes) = (Vec::new(), 0);
            while chunk.len() < size && bytes < MAX_CHUNK_BYTES {
                let Some(entry) = entries.next() else { break };
                bytes += entry.as_ref().map_or(0, text_bytes);
                chunk.push(entry);
            }
            // Sending fails if the consumer stopped early.
            if chunk.is_empty() || send.send(chunk).is_err() {
                return;
            }
        }
    };
    Chunks { chunks, reader: Some(std::thread::spawn(read)) }
}

impl Iterator for Chunks {
    type Item = Vec<Result<Entry, Refused>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Ok(chunk) = self.chunks.recv() {
            return Some(chunk);
        }
        // If the reader thread panicked, pass the panic on. Otherwise, the dump would seem to be complete.
        if let Some(Err(panic)) = self.reader.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: u64) -> Result<Entry, Refused> {
        Err(Refused { line, reason: String::new() })
    }

    #[test]
    fn chunks_hold_every_entry_once_and_in_order() {
        for count in [0, 1, 3, 4, 7] {
            let read: Vec<_> = chunks(Box::new((0..count).map(refused)), 3).collect();
            assert!(read.iter().rev().skip(1).all(|chunk| chunk.len() == 3));
            assert_eq!(read.concat(), (0..count).map(refused).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "a defect")]
    fn a_panic_of_the_reader_is_passed_on() {
        let papers = (0..9).map(|line| if line < 5 { refused(line) } else { panic!("a defect") });
        chunks(Box::new(papers), 2).for_each(drop);
    }

    #[test]
    fn an_endless_dump_can_be_abandoned() {
        assert_eq!(chunks(Box::new((0..).map(refused)), 2).take(3).count(), 3);
    }
}
