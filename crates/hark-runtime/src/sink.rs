//! Where the output goes, and when.

use crate::error::RunError;
use std::io::Write;

/// When output is handed to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Buffering {
    /// After each batch of events.
    #[default]
    Line,
    /// When much has gathered, and at the end.
    Full,
    /// After each event.
    None,
}

/// Bytes that may gather before they are written, whatever the mode.
const CAPACITY: usize = 256 << 10;

/// A buffer in front of a file. Writing happens only in [`settle`](Sink::settle) and [`flush`](Sink::flush).
pub struct Sink<'a> {
    file: Box<dyn Write + 'a>,
    mode: Buffering,
    /// What is still to be written.
    pub buffer: Vec<u8>,
}

impl<'a> Sink<'a> {
    /// In front of `file`.
    pub fn new(file: Box<dyn Write + 'a>, mode: Buffering) -> Sink<'a> {
        Sink { file, mode, buffer: Vec::new() }
    }

    /// To be called after each event.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn after_event(&mut self) -> Result<(), RunError> {
        if self.mode == Buffering::None || self.buffer.len() >= CAPACITY { self.flush() } else { Ok(()) }
    }

    /// To be called after each batch of events.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn settle(&mut self) -> Result<(), RunError> {
        if self.mode == Buffering::Full { Ok(()) } else { self.flush() }
    }

    /// Writes what has gathered.
    ///
    /// # Errors
    /// If the file cannot be written. What could not be written is dropped.
    pub fn flush(&mut self) -> Result<(), RunError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.flush());
        self.buffer.clear();
        written.map_err(RunError::Output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io;

    struct Writes<'a>(&'a RefCell<Vec<Vec<u8>>>);

    impl Write for Writes<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writes(mode: Buffering) -> usize {
        let log = RefCell::new(Vec::new());
        let mut sink = Sink::new(Box::new(Writes(&log)), mode);
        for _ in 0..2 {
            for _ in 0..3 {
                sink.buffer.extend_from_slice(b"line\n");
                sink.after_event().expect("written");
            }
            sink.settle().expect("written");
        }
        sink.flush().expect("written");
        assert_eq!(log.borrow().concat().len(), 30);
        log.borrow().len()
    }

    #[test]
    fn the_mode_decides_how_often_is_written() {
        assert_eq!([Buffering::None, Buffering::Line, Buffering::Full].map(writes), [6, 2, 1]);
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, quiet) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let mut sink = Sink::new(Box::new(Broken(kind)), Buffering::Line);
            sink.buffer.push(b'x');
            let error = sink.flush().expect_err("it is broken");
            assert_eq!(error.is_broken_pipe(), quiet);
        }
    }
}
