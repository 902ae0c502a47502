//! Watches folders by inotify(7), for the names on the way and nothing else: a log beside a configuration is
//! written all the time.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::is_local;
use super::ways::Ways;

#[derive(Debug)]
pub(super) struct Watch {
    inotify: AsyncFd<OwnedFd>,
    /// By watch descriptor.
    names: HashMap<i32, BTreeSet<OsString>>,
}

impl Watch {
    /// Fails where events may not come.
    pub(super) fn new(ways: &Ways) -> io::Result<Self> {
        let elsewhere = ways.folders.keys().chain(&ways.files).find(|path| !is_local(path));
        if let Some(path) = elsewhere {
            return Err(io::Error::other(format!("{} may be changed by another machine", path.display())));
        }
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut names: HashMap<i32, BTreeSet<OsString>> = HashMap::new();
        let written = WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB;
        let changed = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let ended = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD;
        for (folder, on_way) in &ways.folders {
            let named = if on_way.is_empty() { WatchFlags::empty() } else { written | changed };
            let watch = add_watch(&inotify, folder, named | ended)?;
            names.entry(watch).or_default().extend(on_way.iter().cloned());
        }
        for file in &ways.files {
            add_watch(&inotify, file, written)?;
        }
        #[expect(deprecated, reason = "for types whose descriptor may change, which this one's does not")]
        let inotify = AsyncFd::with_interest(inotify, Interest::READABLE)?;
        Ok(Self { inotify, names })
    }

    /// Waits for an event that concerns one of the names, or a folder itself.
    pub(super) async fn event(&mut self) {
        loop {
            // Without a descriptor that can be waited for, the interval is left.
            let Ok(mut ready) = self.inotify.readable().await else { return std::future::pending().await };
            if concerns(self.inotify.get_ref(), &self.names) {
                return;
            }
            ready.clear_ready();
        }
    }
}

/// Reads all events. True if one of them concerns a name.
fn concerns(inotify: &OwnedFd, names: &HashMap<i32, BTreeSet<OsString>>) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(inotify, &mut buffer);
    let mut concerned = false;
    while let Ok(event) = events.next() {
        let is_on_way = match event.file_name() {
            Some(name) => {
                names.get(&event.wd()).is_some_and(|names| names.contains(OsStr::from_bytes(name.to_bytes())))
            }
            // What was written is a file; of a folder itself, only its end counts.
            None => !event.events().contains(ReadFlags::ATTRIB | ReadFlags::ISDIR),
        };
        concerned |= is_on_way;
    }
    concerned
}
