//! A few requests at once, on plain threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use crate::infrastructure::store::StoreError;

/// Works on `items` with `workers` threads, in order of arrival, and gives the results to `done` on the calling thread.
///
/// After the first error no further item is begun; those under way are ended and given to `done`, so that work that was
/// done is not forgotten. The first error is returned.
pub(in crate::infrastructure::store) fn parallel<T: Send, R: Send>(
    workers: usize,
    items: impl Iterator<Item = Result<T, StoreError>> + Send,
    work: impl Fn(T) -> Result<R, StoreError> + Sync,
    mut done: impl FnMut(R) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let items = Mutex::new(items.fuse());
    let stop = AtomicBool::new(false);
    let next = || {
        let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
        if stop.load(Ordering::Relaxed) { None } else { items.next() }
    };
    // Results may be large: none waits besides those that the workers hold.
    let (sender, receiver) = mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (next, work, sender) = (&next, &work, sender.clone());
            scope.spawn(move || {
                // The receiver lives until all senders are gone, unless `done` panicked.
                while let Some(item) = next() {
                    if sender.send(item.and_then(work)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut first = Ok(());
        for result in receiver {
            if let Err(error) = result.and_then(&mut done) {
                stop.store(true, Ordering::Relaxed);
                first = first.and(Err(error));
            }
        }
        first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_items_are_worked_on_and_the_first_error_ends_it() {
        let mut sum = 0;
        let items = || (0..100).map(Ok);
        parallel(
            4,
            items(),
            |n: u32| Ok(n),
            |n| {
                sum += n;
                Ok(())
            },
        )
        .expect("works");
        assert_eq!(sum, 4950);

        let fail = || StoreError::Absent("nowhere".into());
        assert!(parallel(4, items(), |n| if n == 7 { Err(fail()) } else { Ok(n) }, |_| Ok(())).is_err());
        assert!(parallel(4, items(), Ok, |n| if n == 7 { Err(fail()) } else { Ok(()) }).is_err());
        assert!(parallel(4, std::iter::once(Err::<u32, _>(fail())), Ok, |_| Ok(())).is_err());
    }
}
