//! A service and a network that fail in all their ways, between mlp and a real S3 server (rows R20 to R26 of
//! `docs/design/reliability.md`).

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mlp::base::{Digest, Id, Null};
use mlp::infrastructure::store::{
    Appended, CollectOptions, Local, Node, NodeKind, Pin, PinKind, Remote, StoreError, StoreSpec, Tree,
    collect, fetch, fetch_pins, push,
};

use crate::s3::{contents, dataset, entry, home, ledger, local};
use crate::support::files::noise;
use crate::support::proxy::{Fate, Proxy};
use crate::support::rounds;
use crate::support::s3::{CREDENTIALS, address, open, url};

/// What a push or fetch through a proxy made of it.
fn send(local: &Local, remote: &Remote) -> Result<(), StoreError> {
    push(local, remote, Id::new(), &local.pins().expect("reads"), &Null).map(drop)
}

fn get(local: &Local, remote: &Remote, root: Digest) -> Result<(), StoreError> {
    fetch(local, remote, &[root], &[], &Null).map(drop)
}

/// A proxy that does `fates` to `share` of a hundred requests, in turn.
fn unlucky(share: u64, fates: &'static [Fate]) -> Proxy {
    let (requests, hits) = (AtomicU64::new(0), AtomicU64::new(0));
    Proxy::start(move |_, _| {
        let number = requests.fetch_add(1, Ordering::Relaxed);
        let random = Digest::of(&number.to_le_bytes()).as_bytes()[0];
        match u64::from(random) * 100 / 256 < share {
            true => fates[hits.fetch_add(1, Ordering::Relaxed) as usize % fates.len()],
            false => Fate::Pass,
        }
    })
}

/// Pushes and fetches new data again and again through `proxy`; everything must arrive.
fn transfers(folder: &Path, proxy: &Proxy, times: u32) {
    for n in 0..times {
        let remote = open(&url(), proxy.address);
        let ada = local(folder, &format!("ada-{n}"));
        let root = dataset(&ada, n.into());
        send(&ada, &remote).unwrap_or_else(|error| panic!("push {n}: {error}"));
        let ben = local(folder, &format!("ben-{n}"));
        get(&ben, &remote, root).unwrap_or_else(|error| panic!("fetch {n}: {error}"));
        assert_eq!(contents(&ben, &root), contents(&ada, &root));
    }
    assert!(!proxy.take().is_empty());
}

/// R20, and the half of R23 that hits answers of any kind.
#[test]
fn a_service_that_fails_three_times_in_ten_is_outlasted() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let proxy = unlucky(
        30,
        &[
            Fate::Refused(503),
            Fate::Refused(500),
            Fate::Refused(429),
            Fate::Dropped,
            Fate::Cut(0),
            Fate::Failed,
            Fate::Lost,
        ],
    );
    transfers(folder.path(), &proxy, rounds(3, 100));
}

/// R23, R25: what is read is whole and right, or asked for again.
#[test]
fn answers_that_are_cut_off_or_garbled_are_asked_for_again() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let proxy = unlucky(50, &[Fate::Cut(1), Fate::Cut(300), Fate::Cut(999)]);
    transfers(folder.path(), &proxy, rounds(2, 25));

    for round in 0..rounds(3, 100) {
        let hit = AtomicBool::new(false);
        let proxy = Proxy::start(move |method, path| {
            let pack = method == "GET" && path.contains("/packs/");
            if pack && !hit.swap(true, Ordering::Relaxed) { Fate::Garbled } else { Fate::Pass }
        });
        transfers(&folder.path().join(round.to_string()), &proxy, 1);
    }
}

/// R25: what stays wrong is refused by name, and nothing of it is kept.
#[test]
fn a_pack_that_arrives_garbled_each_time_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let proxy = Proxy::start(|method, path| match method == "GET" && path.contains("/packs/") {
        true => Fate::Garbled,
        false => Fate::Pass,
    });
    let remote = open(&url(), proxy.address);
    let (ada, ben) = (local(folder.path(), "ada"), local(folder.path(), "ben"));
    let root = dataset(&ada, 1);
    send(&ada, &remote).expect("pushes");
    let error = get(&ben, &remote, root).expect_err("is damaged");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("packs/"), "{error}");
    assert!(ben.tree(&root).is_err());
}

/// R21: what does not get better is given up, and the reason is said.
#[test]
fn what_does_not_get_better_is_given_up_and_the_reason_is_said() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let ada = local(folder.path(), "ada");
    dataset(&ada, 1);
    let failed = |fate: Fate| {
        let proxy = Proxy::start(move |_, _| fate);
        let error = send(&ada, &open(&url(), proxy.address)).expect_err("fails");
        (error, proxy.take().len())
    };
    let (error, tries) = failed(Fate::Refused(403));
    assert!(matches!(error, StoreError::Credentials { .. }), "{error}");
    assert_eq!(tries, 1, "a refusal is final");
    let (error, tries) = failed(Fate::Refused(500));
    assert!(matches!(error, StoreError::Remote { .. }) && error.to_string().contains("500"), "{error}");
    assert_eq!(tries, 10);

    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let error = send(&ada, &open(&url(), free)).expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
    let spec = StoreSpec { endpoint: Some("http://nowhere.invalid".into()), ..StoreSpec::new("s3://test") };
    let name = "s3".parse().expect("a name");
    let remote = Remote::open_with(&name, &spec, &|_| Some("key".to_owned())).expect("opens");
    let error = send(&ada, &remote).expect_err("no such host");
    assert!(error.to_string().contains("lookup") || error.to_string().contains("resolve"), "{error}");
}

/// A store behind `proxy` of which nothing may be heard for at most three seconds.
fn impatient(proxy: &Proxy) -> Remote {
    let spec = StoreSpec {
        endpoint: Some(format!("http://{}", proxy.address)),
        timeout: 3.try_into().ok(),
        ..StoreSpec::new(url())
    };
    let find =
        |key: &str| CREDENTIALS.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
    Remote::open_with(&"s3".parse().expect("a name"), &spec, &find).expect("opens")
}

/// R22: silence is what ends a transfer, not its length.
#[test]
fn a_silent_service_is_given_up_and_a_slow_one_is_not() {
    let folder = tempfile::tempdir().expect("makes a folder");
    // Once silent: asked again.
    for method in ["PUT", "GET"] {
        let hit = AtomicBool::new(false);
        let proxy = Proxy::start(move |asked, path| {
            let pack = asked == method && path.contains("/packs/");
            if pack && !hit.swap(true, Ordering::Relaxed) { Fate::Silent } else { Fate::Pass }
        });
        let remote = impatient(&proxy);
        let (ada, ben) =
            (local(folder.path(), &format!("ada-{method}")), local(folder.path(), &format!("ben-{method}")));
        let root = dataset(&ada, 1);
        send(&ada, &remote).expect("pushes");
        get(&ben, &remote, root).expect("fetches");
    }
    // Silent for ever.
    let proxy = Proxy::start(|_, _| Fate::Silent);
    let error = send(&local(folder.path(), "ada-PUT"), &impatient(&proxy)).expect_err("gives up");
    assert!(error.to_string().contains("nothing moved for 3 s"), "{error}");
    assert_eq!(proxy.take().len(), 2, "a second silence is the last");
    // Slow in both directions, and longer than the limit of silence: 8 MiB are 128 pieces, about eight seconds each way.
    let proxy = Proxy::start(|method, path| match (method, path.contains("/packs/")) {
        ("PUT", true) => Fate::Crawling(60),
        ("GET", true) => Fate::Trickling(60),
        _ => Fate::Pass,
    });
    let remote = impatient(&proxy);
    let (ada, ben) = (local(folder.path(), "slow-ada"), local(folder.path(), "slow-ben"));
    let root = large(&ada, 8 << 20);
    send(&ada, &remote).expect("pushes slowly");
    get(&ben, &remote, root).expect("fetches slowly");
    assert_eq!(contents(&ben, &root), contents(&ada, &root));
}

/// A dataset of one file of noise.
fn large(local: &Local, size: usize) -> Digest {
    let mut writer = local.writer().expect("writes");
    let id = writer.blob(&noise("large", size)).expect("adds");
    let node = Node { name: b"large".to_vec(), kind: NodeKind::File, size: size as u64, id };
    let root = writer.tree(&Tree { nodes: vec![node] }).expect("adds");
    writer.finish().expect("finishes");
    local.put_pin(&Pin { roots: vec![root], ..Pin::new(PinKind::Data, "set") }).expect("pins");
    root
}

#[test]
fn a_service_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, busy) = (Arc::clone(&times), AtomicU64::new(2));
    let proxy = Proxy::start(move |method, path| {
        if method != "PUT" || !path.contains("/packs/") {
            return Fate::Pass;
        }
        seen.lock().expect("no panic").push(std::time::Instant::now());
        let left = busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Fate::Busy } else { Fate::Pass }
    });
    let ada = local(folder.path(), "ada");
    dataset(&ada, 1);
    send(&ada, &open(&url(), proxy.address)).expect("pushes");
    let times = times.lock().expect("no panic");
    let last = times.len() - 1;
    assert!((3..=4).contains(&times.len()), "two packs and the repetitions: {times:?}");
    // No limit on the time that something takes: a lower bound that the answer asked for.
    assert!(times[last] - times[0] >= std::time::Duration::from_millis(1000), "{times:?}");
}

/// R24: an entry whose answer is lost, late or broken is ours, once, whatever becomes of the next ones.
#[test]
fn no_entry_is_written_twice_or_taken_for_a_defeat_when_answers_get_lost() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let proxy = unlucky(40, &[Fate::Lost, Fate::Failed, Fate::Cut(0)]);
    let url = url();
    let ada = home(open(&url, proxy.address), folder.path(), "ada");
    let times = u64::from(rounds(10, 200));
    for seq in 1..=times {
        let entries = ledger(&ada).entries().expect("reads");
        assert_eq!(entries.len() as u64, seq - 1);
        let next = entry(seq, entries.last(), "ada");
        assert_eq!(ledger(&ada).append(&next).expect("appends"), Appended::Yes, "{seq}");
    }
    let reader = home(open(&url, address()), folder.path(), "reader");
    assert_eq!(ledger(&reader).entries().expect("one chain").len() as u64, times);
}

/// R26: a listing that fails, ends early or is empty makes no collection delete anything.
#[test]
fn a_listing_that_lies_makes_no_collection_delete_anything() {
    const NOTHING: &str = "<?xml version=\"1.0\"?><ListBucketResult><Name>test</Name><KeyCount>0</KeyCount>\
                           <IsTruncated>false</IsTruncated></ListBucketResult>";
    let folder = tempfile::tempdir().expect("makes a folder");
    let (url, project) = (url(), Id::new());
    let ada = local(folder.path(), "ada");
    let straight = open(&url, address());
    let root = dataset(&ada, 1);
    push(&ada, &straight, project, &ada.pins().expect("reads"), &Null).expect("pushes");

    // An answer that makes no sense is asked for again for half a minute: only once.
    let quick = [Fate::Refused(404), Fate::Says(NOTHING)];
    let slow = [Fate::Refused(404), Fate::Says(NOTHING), Fate::Cut(500), Fate::Says("<ListBucketResult>")];
    for (what, fates) in [("pins", &quick[..]), ("index", &quick), ("packs", &quick), ("", &slow)] {
        for fate in fates.iter().copied() {
            let proxy = Proxy::start(move |method, path| {
                let listing = method == "GET" && path.contains("prefix=") && path.contains(what);
                if listing { fate } else { Fate::Pass }
            });
            let bad = open(&url, proxy.address);
            let ben = local(folder.path(), &format!("ben-{what}-{fate:?}").replace(['<', '>', '"', '/'], ""));
            let options = CollectOptions { now: true, ..CollectOptions::default() };
            let done = collect(&ben, &bad, project, &options, &Null);
            let mut asked = proxy.take();
            asked.retain(|line| {
                (line.starts_with("DELETE") || line.starts_with("POST")) && !line.contains("/probe/")
            });
            assert!(asked.is_empty(), "{what} {fate:?}: {done:?}: {asked:?}");
            let cid = local(folder.path(), &format!("cid-{}", Id::new()));
            get(&cid, &straight, root).unwrap_or_else(|error| panic!("{what} {fate:?}: {error}"));
        }
    }
    fetch_pins(&local(folder.path(), "dee"), &straight, project, &Null).expect("the pin is there");
}
