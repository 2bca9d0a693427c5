//! Pages of real stores, without a browser: what the server sends.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::http::HeaderValue;
use tenure_core::{
    Definition, Generation, Holder, Key, LeaseRequest, LeaseStore, Note, RunStore, Ttl,
};
use tenure_memory::MemoryStore;

use super::*;
use crate::{Dashboard, View};

struct Bed {
    store: Arc<MemoryStore>,
    view: View,
}

impl Bed {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let (leases, runs): (Arc<dyn LeaseStore>, Arc<dyn RunStore>) =
            (store.clone(), store.clone());
        let view = Dashboard::builder(leases, runs).build().view().clone();
        Self { store, view }
    }

    async fn task(&self, name: &str) {
        let node = Holder::new("node");
        let beat = tenure_core::Beat::new(node.clone(), std::time::Duration::from_secs(60));
        self.store.beat(&beat).await.unwrap();
        let name = TaskName::new(name).unwrap();
        let definition = Definition::new(name, Generation::new("1").unwrap(), "0 0 * * * *");
        self.store.register(node.id, &[definition]).await.unwrap();
    }

    async fn lock(&self, key: &str, holder: &str) {
        let ttl = Ttl::new(std::time::Duration::from_secs(60)).unwrap();
        let request = LeaseRequest::new(Key::new(key).unwrap(), Holder::new(holder), ttl);
        self.store.acquire(&request).await.unwrap();
    }
}

/// Somebody who may look.
fn nobody() -> Right {
    Right {
        may_change: false,
        may_force: false,
        who: None,
        token: None,
    }
}

async fn text(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn whole(page: Result<Page, ViewError>) -> String {
    let (status, body) = text(answer(page, &HeaderMap::new(), &nobody())).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn marks(page: &str) -> String {
    let regions = page.split("data-region=\"").skip(1);
    let marks = regions.map(|rest| {
        let (name, rest) = rest.split_once('"').unwrap();
        let (_, rest) = rest.split_once("data-mark=\"").unwrap();
        let (mark, _) = rest.split_once('"').unwrap();
        format!("{name}={mark}")
    });
    marks.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_page_is_whole_and_holds_no_code_of_its_own() {
    let bed = Bed::new();
    bed.task("a/b").await;
    bed.lock("k", "holder").await;
    let none = Fields::default();
    let right = Right {
        may_change: true,
        may_force: true,
        who: None,
        token: None,
    };
    let task = TaskName::new("a/b").unwrap();
    let key = Key::new("k").unwrap();
    for page in [
        now::page(&bed.view).await,
        tasks::page(&bed.view, &none).await,
        task::page(&bed.view, &task, None, &right).await,
        locks::page(&bed.view, &none).await,
        lock::page(&bed.view, &key, None, &right).await,
        nodes::page(&bed.view).await,
        store::page(&bed.view).await,
    ] {
        let page = whole(page).await;
        for expected in [
            "<!DOCTYPE html>",
            "<main id=\"main\"",
            "<h1",
            "Skip to the content",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        // The policy would refuse them, so they must not be there.
        for code in [
            " style=",
            " onclick=",
            "<style",
            "javascript:",
            "http://",
            "https://",
        ] {
            assert!(!page.contains(code), "{code}: {page}");
        }
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("<script src=\"assets/tenure.js?v="));
    }
}

#[tokio::test]
async fn s62_a_reload_that_failed_is_named_among_what_is_wrong_until_one_goes_well() {
    let store = Arc::new(MemoryStore::new());
    let tasks = || {
        let task = tenure_tasks::Task::new("t").schedule("@daily");
        [task.run(|_| std::future::ready(()))]
    };
    let running = tenure_tasks::TaskScheduling::builder(())
        .manager(tenure_tasks::StoreLockManager::new(store.clone()))
        .tasks(tasks())
        .start();
    let running = Arc::new(running.await.unwrap());
    let pages = async || {
        // A view of its own each time: what one has read it shows for a second.
        let dashboard = Dashboard::builder(store.clone(), store.clone()).tasks(&running);
        let view = dashboard.build().view().clone();
        let now = whole(now::page(&view).await).await;
        let nodes = whole(nodes::page(&view).await).await;
        [now, nodes]
    };
    tenure_bed::until(
        "it has joined",
        std::time::Duration::from_secs(60),
        async || {
            let nodes = store.nodes().await.unwrap();
            (!nodes.is_empty()).then_some(())
        },
    )
    .await;
    running.reload_failed("tasks.toml: minute `61` <is> no minute");
    for page in pages().await {
        let told = "which failed: tasks.toml: minute `61` &lt;is&gt; no minute";
        assert!(page.contains(told), "{page}");
    }
    running.replace(Arc::new(()), tasks()).await.unwrap();
    for page in pages().await {
        assert!(!page.contains("which failed"), "{page}");
    }
    running.drain(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn a_page_that_has_not_changed_is_not_sent_again() {
    let bed = Bed::new();
    bed.lock("k", "holder").await;
    let none = Fields::default();
    let first = whole(locks::page(&bed.view, &none).await).await;
    let mut asked = HeaderMap::new();
    asked.insert(
        "tenure-regions",
        HeaderValue::from_str(&marks(&first)).unwrap(),
    );
    let page = locks::page(&bed.view, &none).await;
    let (status, body) = text(answer(page, &asked, &nobody())).await;
    assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));

    bed.lock("l", "other").await;
    let page = locks::page(&bed.view, &none).await;
    let (status, body) = text(answer(page, &asked, &nobody())).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        body.starts_with("<section") && body.contains("data-region=\"locks\""),
        "{body}"
    );
    assert!(
        !body.contains("data-region=\"waits\"") && !body.contains("<main"),
        "{body}"
    );
}

#[tokio::test]
async fn e97_what_is_not_there_and_what_cannot_be_are_told_apart() {
    let bed = Bed::new();
    let right = nobody();
    let name = TaskName::new("<i>none</i>").unwrap();
    let missing = task::page(&bed.view, &name, None, &right).await;
    let (status, body) = text(answer(missing, &HeaderMap::new(), &nobody())).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        body.contains("&lt;i&gt;none") && !body.contains("<i>none"),
        "{body}"
    );
    for wrong in ["limit=0", "limit=501", "limit=x", "after=x"] {
        let page = tasks::page(&bed.view, &Fields::parse(wrong.as_bytes())).await;
        let (status, body) = text(answer(page, &HeaderMap::new(), &nobody())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {body}");
    }
    assert!(task_name(&Fields::default()).is_err());
    assert!(lock_key(&Fields::default()).is_err());
}

#[tokio::test]
async fn e100_whatever_a_store_holds_is_text_on_the_page() {
    let payload = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    let bed = Bed::new();
    bed.task(payload).await;
    bed.lock(payload, payload).await;
    let note = Note::new("audit", payload);
    bed.store.note(&note).await.unwrap();
    let right = Right {
        may_change: true,
        may_force: true,
        who: Some(payload.to_owned()),
        token: None,
    };
    let (task, key) = (TaskName::new(payload).unwrap(), Key::new(payload).unwrap());
    let asked = Fields::parse(format!("q={}", crate::view::segment(payload)).as_bytes());
    for page in [
        now::page(&bed.view).await,
        tasks::page(&bed.view, &asked).await,
        task::page(&bed.view, &task, None, &right).await,
        locks::page(&bed.view, &Fields::default()).await,
        lock::page(&bed.view, &key, None, &right).await,
        nodes::page(&bed.view).await,
    ] {
        let page = whole(page).await;
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("<img"), "{page}");
    }
}
