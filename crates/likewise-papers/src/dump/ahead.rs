//! Reading ahead: a dump's entries in chunks, read while the chunk before is being encoded.
//!
//! Its own file because it is a thread, and everything else about dumps is plain iteration.

use super::{Entries, Entry, Refused};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// A dump's entries in order, in chunks; see [`chunks`].
pub struct Chunks {
    chunks: Receiver<Vec<Result<Entry, Refused>>>,
    reader: Option<JoinHandle<()>>,
}

/// Bytes of text after which a chunk is full, whatever it was to hold: entries may be as long as they like.
const MOST_BYTES: usize = 32 << 20;

fn bytes_of(entry: &Entry) -> usize {
    match entry {
        Entry::Paper(paper) | Entry::Encoded(paper, _) => paper.title.len() + paper.r#abstract.len(),
        Entry::Deleted(_) => 0,
    }
}

/// Reads `entries` in chunks of `size` (the last may be smaller), one chunk ahead of whoever asks.
pub fn chunks(mut entries: Entries, size: usize) -> Chunks {
    let (send, chunks) = sync_channel(1);
    let read = move || {
        loop {
            let (mut chunk, mut bytes) = (Vec::new(), 0);
            while chunk.len() < size && bytes < MOST_BYTES {
                let Some(entry) = entries.next() else { break };
                bytes += entry.as_ref().map_or(0, bytes_of);
                chunk.push(entry);
            }
            // Nobody takes it if the run ended early.
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
        // A reader that panicked has not come to the end, and must not look as if it had.
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
    fn every_entry_comes_once_and_in_order() {
        for count in [0, 1, 3, 4, 7] {
            let read: Vec<_> = chunks(Box::new((0..count).map(refused)), 3).collect();
            assert!(read.iter().rev().skip(1).all(|chunk| chunk.len() == 3));
            assert_eq!(read.concat(), (0..count).map(refused).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "a defect")]
    fn a_reader_that_panics_is_not_the_end_of_the_dump() {
        let papers = (0..9).map(|line| if line < 5 { refused(line) } else { panic!("a defect") });
        chunks(Box::new(papers), 2).for_each(drop);
    }

    #[test]
    fn an_endless_dump_may_be_left() {
        assert_eq!(chunks(Box::new((0..).map(refused)), 2).take(3).count(), 3);
    }
}
