//! Pictures from files, sent round by round.
//!
//! In: the files that were found. Out: their bytes. Invariant: a file that cannot be read holds up no other.

use std::path::Path;

use super::outlet::Outlet;
use super::shot::frame_id;
use crate::commands::pictures::Pictures;

impl Pictures {
    /// Sends every file once, over and over where that is wanted and at least one could be sent.
    pub(super) fn send(&self, outlet: &mut Outlet) {
        self.unreadable.iter().for_each(|unreadable| outlet.unreadable(unreadable));
        if self.skipped > 0 {
            outlet.note(format_args!("{} files are no images and are left out", self.skipped));
        }
        for round in 0_u64.. {
            let sent_before = outlet.offered();
            let first_seq = round * self.files.len() as u64;
            for (frame_seq, path) in (first_seq..).zip(&self.files) {
                if !send_file(path, frame_seq, outlet) {
                    return;
                }
            }
            if !outlet.is_again() || outlet.offered() == sent_before {
                return;
            }
        }
    }
}

/// False if there is no use in going on.
fn send_file(path: &Path, frame_seq: u64, outlet: &mut Outlet) -> bool {
    match std::fs::read(path) {
        Ok(image) => {
            let name = path.display().to_string();
            match outlet.retouched(image) {
                Ok(image) => outlet.wait_due() && outlet.offer(frame_seq, frame_id(&name), None, image),
                Err(error) => {
                    outlet.unreadable(format_args!("{name}: {error}"));
                    !outlet.is_stopped()
                }
            }
        }
        Err(error) => {
            outlet.unreadable(format_args!("{}: {error}", path.display()));
            !outlet.is_stopped()
        }
    }
}
