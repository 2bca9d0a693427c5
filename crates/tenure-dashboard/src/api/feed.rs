//! One reader of the store's feed for all who listen, as long as somebody does.
//!
//! It reads at once when the store hints at something or this process's runner tells of something,
//! and once a second anyway. A listener that is too slow, or a position that the store no longer
//! has, costs nobody else anything: that listener is told to fetch anew.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Cursor, Event, StoreError};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::view::View;

/// How many may listen at once.
pub(crate) const MOST_LISTENERS: usize = 100;
/// How many events wait for a listener that is slow.
const WAITING: usize = 1024;
const READ_EVERY: Duration = Duration::from_secs(1);
/// So that a burst is read once.
const BREATH: Duration = Duration::from_millis(200);
/// How long to wait after the store failed.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);
/// How many pages of a thousand are skipped to find the feed's end.
const MOST_PAGES: usize = 200;

/// The reader, and who listens.
#[derive(Debug)]
pub(crate) struct Feed {
    view: View,
    sender: broadcast::Sender<Arc<Event>>,
    listeners: Arc<AtomicUsize>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

/// A place among those who listen; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    listeners: Arc<AtomicUsize>,
    pub(crate) receiver: broadcast::Receiver<Arc<Event>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let reader = self
            .reader
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = reader.take() {
            reader.abort();
        }
    }
}

impl Feed {
    pub(crate) fn of(view: &View) -> Self {
        Self {
            view: view.clone(),
            sender: broadcast::Sender::new(WAITING),
            listeners: Arc::default(),
            reader: Mutex::default(),
        }
    }

    /// A place among those who listen; `None` if all are taken.
    pub(crate) fn sit(&self) -> Option<Seat> {
        let free = |taken: usize| (taken < MOST_LISTENERS).then_some(taken + 1);
        self.listeners
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, free)
            .ok()?;
        let seat = Seat {
            listeners: self.listeners.clone(),
            receiver: self.sender.subscribe(),
        };
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.as_ref().is_none_or(JoinHandle::is_finished) {
            let reading = read(
                self.view.clone(),
                self.sender.clone(),
                self.listeners.clone(),
            );
            *reader = Some(tokio::spawn(reading));
        }
        Some(seat)
    }
}

/// Reads to the end of the feed, and passes on what is new to those who are told.
async fn step(
    view: &View,
    at: &mut Option<Cursor>,
    told: Option<&broadcast::Sender<Arc<Event>>>,
) -> Result<(), StoreError> {
    for _ in 0..MOST_PAGES {
        let page = view.runs_store().events(at.clone(), 1000).await?;
        let is_end = page.events.len() < 1000;
        if page.next.is_some() {
            *at = page.next;
        }
        if let Some(sender) = told.filter(|_| !page.events.is_empty()) {
            view.forget().await;
            for event in page.events {
                // It fails only if the last listener left just now.
                let _ = sender.send(Arc::new(event));
            }
        }
        if is_end {
            break;
        }
    }
    Ok(())
}

/// Reads until nobody listens any more.
async fn read(view: View, sender: broadcast::Sender<Arc<Event>>, listeners: Arc<AtomicUsize>) {
    let mut wakes = view.runs_store().listen();
    let mut told = view.runner().map(|tasks| tasks.events());
    let mut at: Option<Cursor> = None;
    let mut has_begun = false;
    while listeners.load(Ordering::SeqCst) > 0 {
        match step(&view, &mut at, has_begun.then_some(&sender)).await {
            Ok(()) => has_begun = true,
            Err(error) => {
                tracing::debug!(%error, "the store's feed could not be read");
                sleep(AFTER_TROUBLE).await;
                continue;
            }
        }
        let hint = async {
            match &mut told {
                Some(events) => events.next().await.is_some(),
                None => std::future::pending().await,
            }
        };
        let is_over = tokio::select! {
            _ = wakes.next() => false,
            goes_on = hint => !goes_on,
            () = sleep(READ_EVERY) => false,
        };
        if is_over {
            told = None;
        }
        // What else is told within a breath is read with it.
        let _ = timeout(BREATH, async {
            while let Some(events) = &mut told {
                if events.next().await.is_none() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        })
        .await;
    }
}
