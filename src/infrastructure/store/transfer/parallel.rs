//! A few requests at once, on plain threads.

use std::sync::{Mutex, PoisonError, mpsc};

use crate::infrastructure::store::StoreError;

/// Works on `items` with `workers` threads, in order of arrival, and gives the results to `done` on the calling thread.
/// At most `workers` results wait. The first error ends it; items not yet begun are dropped.
pub(super) fn parallel<T: Send, R: Send>(
    workers: usize,
    items: impl Iterator<Item = Result<T, StoreError>> + Send,
    work: impl Fn(T) -> Result<R, StoreError> + Sync,
    mut done: impl FnMut(R) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let items = Mutex::new(items.fuse());
    let (sender, receiver) = mpsc::sync_channel(workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (items, work, sender) = (&items, &work, sender.clone());
            scope.spawn(move || {
                loop {
                    let Some(item) = items.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    // Nobody listens any more after an error.
                    if sender.send(item.and_then(work)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Dropped at the end of this block, so that workers that wait to send end.
        let receiver = receiver;
        receiver.iter().try_for_each(|result| done(result?))
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
