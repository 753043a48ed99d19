//! Storage over a directory of the test's own.

use ottla_core::id::WorkId;
use ottla_core::record::{BatchBuilder, Compression, Stamp};
use ottla_core::time::Timestamp;

use super::*;

const LOG: LogId = LogId(0);

fn storage(root: &Path) -> Storage {
    storage_telling(root, |_| {})
}

fn storage_telling(root: &Path, tell: impl Fn(Event) + Send + 'static) -> Storage {
    let ledger = Arc::new(Ledger::default());
    let flusher = Flusher::start("flush".into(), ledger.clone(), tell).unwrap();
    Storage::new(root.to_owned(), flusher, ledger, Clock::start())
}

fn open(directory: &str, found: bool) -> Effect {
    Effect::Open { log: LOG, directory: directory.into(), base: 0, found }
}

fn append(base_offset: Offset) -> Effect {
    append_to(LOG, base_offset)
}

fn append_to(log: LogId, base_offset: Offset) -> Effect {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(Timestamp(1), None, Some(b"value"), &[]);
    let stamp = Stamp { base_offset, leader_epoch: 0, append_time: None };
    Effect::Append { log, stamp, batch: Box::new(builder.build()), index: None }
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
fn logs_that_come_and_go_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let mut storage = storage(root.path());
    enact(&mut storage, [open("stays-0", false)]);
    for id in 1..1_000 {
        let log = LogId(id);
        let open = Effect::Open { log, directory: "passes-0".into(), base: 0, found: false };
        enact(&mut storage, [open, append_to(log, 0), Effect::Remove { log }]);
    }
    assert_eq!(storage.logs.logs().collect::<Vec<_>>(), [LOG]);
    storage.flusher.finish();
    assert_eq!(names(root.path()), ["stays-0"]);
}

#[test]
fn a_log_that_cannot_be_read_goes_offline_and_says_what_failed() {
    let root = tempfile::tempdir().unwrap();
    let mut before = storage(root.path());
    enact(&mut before, [open("orders-0", false), append(0)]);
    before.close(&mut Vec::new()).unwrap();
    let mut storage = storage(root.path());
    enact(&mut storage, [open("orders-0", true)]);
    let segment = root.path().join("orders-0/00000000000000000000.log");
    fs::remove_file(&segment).unwrap();
    let extent = Extent { log: LOG, segment: 0, position: 61, len: 1 };
    let error = storage.slice(extent).err().unwrap();
    let mut events = Vec::new();
    storage.unread(extent, &error, &mut events);
    storage.unread(extent, &error, &mut events);
    let [Event::Offline { log: LOG, cause }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*cause, format!("{}, byte 61: No such file or directory (os error 2)", segment.display()));
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

/// Files under `root` that this process has open.
fn open_files(root: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|file| file.starts_with(root)).count()
}

#[test]
fn idle_logs_keep_no_file_open_and_busy_ones_no_more_than_allowed() {
    let root = tempfile::tempdir().unwrap();
    let mut storage = storage(root.path());
    let logs = (0..200).map(LogId);
    let create = |log: LogId| Effect::Open { log, directory: format!("orders-{}", log.0), base: 0, found: false };
    enact(&mut storage, logs.clone().map(create));
    assert_eq!(open_files(root.path()), 0);
    storage.max_open = 40;
    for round in 0..3 {
        for log in logs.clone() {
            let events = enact(&mut storage, [append_to(log, round)]);
            assert!(matches!(events[..], [Event::Appended { .. }]), "{events:?}");
            let open = open_files(root.path());
            assert!(open <= 40, "{open}");
        }
    }
    storage.close(&mut Vec::new()).unwrap();
    let image = read(root.path()).unwrap();
    assert!(image.logs.values().all(|log| log.segments[0].next_offset == 3));
}

#[test]
fn a_segment_that_begins_where_another_was_cut_keeps_its_files() {
    let root = tempfile::tempdir().unwrap();
    let mut storage = storage(root.path());
    let roll = || Effect::Roll { log: LOG, base: 1, last: None };
    let cut = Effect::Truncate { log: LOG, end: 1, segment: 0, position: 0 };
    enact(&mut storage, [open("orders-0", false), append(0), roll(), append(1), cut, roll(), append(1)]);
    storage.close(&mut Vec::new()).unwrap();
    let names = names(&root.path().join("orders-0"));
    assert_eq!(names.iter().filter(|name| name.starts_with("00000000000000000001")).count(), 3, "{names:?}");
    assert!(names.iter().all(|name| !name.ends_with(".deleted")), "{names:?}");
}

#[test]
fn what_could_not_be_saved_is_saved_later_or_the_end_is_not_clean() {
    let root = tempfile::tempdir().unwrap();
    let mut storage = storage(root.path());
    let save = |file: &str| Effect::Save { file: file.into(), contents: Bytes::from_static(b"text") };
    // A directory stands in the way.
    fs::create_dir(root.path().join("state")).unwrap();
    enact(&mut storage, [save("state")]);
    assert_eq!(storage.close(&mut Vec::new()).unwrap_err().to_string(), "state is not saved");
    fs::remove_dir(root.path().join("state")).unwrap();
    enact(&mut storage, [save("other")]);
    assert_eq!(fs::read(root.path().join("state")).unwrap(), b"text");
    storage.close(&mut Vec::new()).unwrap();
}

#[test]
fn many_logs_are_synced_at_once_and_each_is_answered() {
    let root = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let mut storage = storage_telling(root.path(), move |event| tell.send(event).unwrap());
    let logs = (0..100).map(LogId);
    let create = |log: LogId| Effect::Open { log, directory: format!("orders-{}", log.0), base: 0, found: false };
    enact(&mut storage, logs.clone().map(create));
    enact(&mut storage, logs.clone().map(|log| append_to(log, 0)));
    enact(&mut storage, logs.clone().map(|log| Effect::Flush { log, end: 1, truncations: 0 }));
    storage.close(&mut Vec::new()).unwrap();
    drop(storage);
    let flushed = told.iter().map(|event| match event {
        Event::Flushed { log, end: 1, .. } => log,
        other => panic!("{other}"),
    });
    assert_eq!(flushed.collect::<Vec<_>>(), logs.collect::<Vec<_>>());
}

/// A log of three segments that begin at 0, 2 and 4, the last one active; each record has a key of its own.
fn three_segments(root: &Path) -> Storage {
    let mut storage = storage(root);
    let roll = |base| Effect::Roll { log: LOG, base, last: None };
    let flush = Effect::Flush { log: LOG, end: 5, truncations: 0 };
    let effects =
        [open("orders-0", false), append(0), append(1), roll(2), append(2), append(3), roll(4), append(4), flush];
    enact(&mut storage, effects);
    storage
}

/// What would be left of the first two segments: the batch of offset 3.
fn left() -> Bytes {
    let Effect::Append { stamp, batch, .. } = append(3) else { unreachable!() };
    [&stamp.apply(&batch)[..], &batch.payload()].concat().into()
}

/// Cleans the first two segments, up to the moment before they are replaced.
fn clean(storage: &mut Storage) {
    let clean = Effect::Clean { log: LOG, segment: 0, position: 0, batches: vec![left()] };
    let seal =
        Effect::Seal { seal: WorkId(1), log: LOG, segment: 0, files: Box::default(), modified: Timestamp(1_000_000) };
    enact(storage, [clean, seal]);
}

fn segments(root: &Path) -> Vec<(Offset, Offset)> {
    let image = read(root).unwrap();
    image.logs["orders-0"].segments.iter().map(|segment| (segment.base, segment.next_offset)).collect()
}

const REPLACE: Effect = Effect::Replace { log: LOG, segment: 0, below: 4 };

#[test]
fn what_is_cleaned_takes_the_place_of_its_segments_and_replies_that_were_given_read_the_old() {
    let root = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    drop(three_segments(root.path()));
    let mut storage = storage_telling(root.path(), move |event| tell.send(event).unwrap());
    enact(&mut storage, [open("orders-0", true)]);
    let len = left().len() as u32;
    let first = Extent { log: LOG, segment: 0, position: 0, len };
    let given = storage.slice(first).unwrap();
    clean(&mut storage);
    assert!(matches!(told.recv().unwrap(), Event::Sealed { seal: WorkId(1) }));
    assert_ne!(read_slice(&storage.slice(first).unwrap(), NOW).unwrap(), left(), "nothing is replaced yet");
    let events = enact(&mut storage, [REPLACE]);
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(read_slice(&storage.slice(first).unwrap(), NOW).unwrap(), left());
    assert_ne!(read_slice(&given, NOW).unwrap(), left());
    assert!(storage.slice(Extent { segment: 2, ..first }).is_err());
    let modified = fs::metadata(root.path().join("orders-0/00000000000000000000.log")).unwrap().modified().unwrap();
    assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).unwrap(), Duration::from_secs(1_000), "as old as it was");
    storage.close(&mut Vec::new()).unwrap();
    let stems = ["00000000000000000000", "00000000000000000004"];
    let expected =
        stems.iter().flat_map(|stem| ["index", "log", "timeindex"].map(|extension| format!("{stem}.{extension}")));
    assert_eq!(names(&root.path().join("orders-0")), expected.collect::<Vec<_>>());
    assert_eq!(segments(root.path()), [(0, 4), (4, 5)]);
}

const NOW: rustix::io::ReadWriteFlags = rustix::io::ReadWriteFlags::empty();

#[test]
fn what_a_process_leaves_that_dies_while_it_cleans_is_finished_or_goes() {
    let cleaned = |name: &str| format!("{name}.cleaned");
    let swap = |name: &str| format!("{name}.swap");
    let files = ["log", "index", "timeindex"].map(|extension| format!("00000000000000000000.{extension}"));
    let whole = vec![(0, 2), (2, 4), (4, 5)];
    // How far the names had come, and whether the old segments' files had gone.
    for (step, swapped, aside, renamed, expected) in [
        ("written", 0, false, 0, &whole),
        ("one is named .swap", 1, false, 0, &whole),
        ("two are", 2, false, 0, &whole),
        ("all are", 3, false, 0, &vec![(0, 4), (4, 5)]),
        ("the old ones are out of the way", 3, true, 0, &vec![(0, 4), (4, 5)]),
        ("one has its own name", 3, true, 1, &vec![(0, 4), (4, 5)]),
        ("two have", 3, true, 2, &vec![(0, 4), (4, 5)]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut storage = three_segments(root.path());
        clean(&mut storage);
        storage.close(&mut Vec::new()).unwrap();
        let at = |name: &str| root.path().join("orders-0").join(name);
        for name in &files[..swapped] {
            fs::rename(at(&cleaned(name)), at(&swap(name))).unwrap();
        }
        if aside {
            for stem in ["00000000000000000000", "00000000000000000002"] {
                for extension in ["log", "index", "timeindex"] {
                    let name = format!("{stem}.{extension}");
                    fs::rename(at(&name), at(&format!("{name}.deleted"))).unwrap();
                }
            }
        }
        for name in &files[..renamed] {
            fs::rename(at(&swap(name)), at(name)).unwrap();
        }
        assert_eq!(segments(root.path()), *expected, "{step}");
        let left = names(&root.path().join("orders-0"));
        let is_segment = |name: &String| [".log", ".index", ".timeindex"].iter().any(|end| name.ends_with(end));
        assert!(left.iter().all(is_segment), "{step}: {left:?}");
        if expected.len() == 2 {
            assert_eq!(fs::read(at(&files[0])).unwrap(), self::left(), "{step}");
        }
        assert_eq!(segments(root.path()), *expected, "{step}: once more");
    }
}

#[test]
fn what_is_discarded_while_it_is_sealed_does_the_log_no_harm() {
    let root = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    drop(three_segments(root.path()));
    let mut storage = storage_telling(root.path(), move |event| tell.send(event).unwrap());
    enact(&mut storage, [open("orders-0", true)]);
    storage.ail(Duration::from_secs(60), false);
    clean(&mut storage);
    enact(&mut storage, [Effect::Discard { log: LOG, segment: 0 }]);
    storage.ail(Duration::ZERO, false);
    storage.close(&mut Vec::new()).unwrap();
    drop(storage);
    let told = told.iter().collect::<Vec<_>>();
    assert!(matches!(told[..], [Event::Sealed { .. }]), "{told:?}");
}

#[test]
fn what_is_not_wanted_any_more_goes_and_a_full_disk_takes_the_log_offline() {
    let root = tempfile::tempdir().unwrap();
    let mut storage = three_segments(root.path());
    clean(&mut storage);
    enact(&mut storage, [Effect::Discard { log: LOG, segment: 0 }]);
    assert!(names(&root.path().join("orders-0")).iter().all(|name| !name.ends_with(".cleaned")));
    storage.ail(Duration::ZERO, true);
    let events = enact(&mut storage, [Effect::Clean { log: LOG, segment: 0, position: 0, batches: vec![left()] }]);
    assert!(matches!(events[..], [Event::Offline { log: LOG, .. }]), "{events:?}");
}
