//! Storage over a directory of the test's own.

use ottla_core::record::{BatchBuilder, Compression, Stamp};
use ottla_core::time::Timestamp;

use super::*;

const LOG: LogId = LogId(0);

fn storage(root: &Path) -> Storage {
    Storage::new(root.to_owned(), Flusher::start("flush".into(), |_| {}).unwrap())
}

fn open(directory: &str, found: bool) -> Effect {
    Effect::Open { log: LOG, directory: directory.into(), base: 0, found }
}

fn append(base_offset: Offset) -> Effect {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(Timestamp(1), None, Some(b"value"), &[]);
    let stamp = Stamp { base_offset, leader_epoch: 0, append_time: None };
    Effect::Append { log: LOG, stamp, batch: builder.build(), index: None }
}

/// Carries out the effects; gives what the core is told.
fn enact(storage: &mut Storage, effects: impl IntoIterator<Item = Effect>) -> Vec<Event> {
    let mut events = Vec::new();
    for effect in effects {
        storage.execute(effect, &mut events);
    }
    storage.write(&mut events);
    events
}

fn names(root: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names = fs::read_dir(root).unwrap().map(name).collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn a_topic_with_the_longest_name_can_be_removed_and_made_again() {
    let root = tempfile::tempdir().unwrap();
    let name = format!("{}-12", "n".repeat(249));
    let mut storage = storage(root.path());
    let events = enact(&mut storage, [open(&name, false), append(0), Effect::Remove { log: LOG }]);
    assert!(!events.iter().any(|event| matches!(event, Event::Offline { .. })), "{events:?}");
    let events = enact(&mut storage, [open(&name, false), append(0)]);
    assert!(matches!(events[..], [Event::Appended { end: 1, .. }]), "{events:?}");
    storage.close(&mut Vec::new()).unwrap();
    assert_eq!(names(root.path()), [name]);
}

#[test]
fn a_new_log_never_adopts_files_that_lie_there() {
    let root = tempfile::tempdir().unwrap();
    let mut before = storage(root.path());
    enact(&mut before, [open("orders-0", false), append(0)]);
    before.close(&mut Vec::new()).unwrap();
    let segment = root.path().join("orders-0/00000000000000000000.log");
    let written = fs::read(&segment).unwrap();
    let mut storage = storage(root.path());
    enact(&mut storage, [open("orders-0", false)]);
    assert_eq!(fs::metadata(&segment).unwrap().len(), 0);
    let [own, stray] = &names(root.path())[..] else { panic!("{:?}", names(root.path())) };
    assert_eq!(own, "orders-0");
    assert!(stray.starts_with("orders-0.") && stray.ends_with("-stray"), "{stray}");
    assert_eq!(fs::read(root.path().join(stray).join("00000000000000000000.log")).unwrap(), written);
    // The next start leaves it alone, too.
    let image = read(root.path()).unwrap();
    assert_eq!(image.logs.keys().collect::<Vec<_>>(), ["orders-0"]);
}

#[test]
fn only_names_of_20_digits_are_segments() {
    let root = tempfile::tempdir().unwrap();
    let mut storage = storage(root.path());
    enact(&mut storage, [open("orders-0", false), append(0)]);
    for stray in ["5.log", "-5.log", "+0000000000000000005.log", "0000000000000000000x.log"] {
        fs::write(root.path().join("orders-0").join(stray), "what is this").unwrap();
    }
    assert_eq!(image::bases(&root.path().join("orders-0")).unwrap(), [0]);
}
