//! Files that are not what they should be.

use std::error::Error;
use std::path::{Path, PathBuf};

use tenure_core::StoreErrorKind::{self, Corrupt, Denied, Misconfigured, Unsupported};
use tenure_core::{Acquisition, LeaseStore};
use tenure_sqlite::{SqliteOptions, SqliteStore};

use super::{key, open, raw, request};

#[test]
fn e37_places_that_cannot_hold_a_store_are_refused_with_reason_and_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(
        file("text.db"),
        "this is certainly not a database ".repeat(100),
    )
    .unwrap();
    raw(&file("foreign.db"))
        .execute_batch("CREATE TABLE customers (name TEXT)")
        .unwrap();
    raw(&file("marked.db"))
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)")
        .unwrap();
    drop(open(&file("newer.db")));
    raw(&file("newer.db"))
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    drop(open(&file("one.db")));
    std::fs::hard_link(file("one.db"), file("two.db")).unwrap();
    let cases: [(PathBuf, StoreErrorKind, &str); 11] = [
        (file("two.db"), Misconfigured, "several names (hard links)"),
        (file("none/x.db"), Misconfigured, "create the folder first"),
        (
            folder.path().into(),
            Misconfigured,
            "is a folder; name a file in it",
        ),
        (
            file("text.db"),
            Misconfigured,
            "is not a SQLite database; choose another path",
        ),
        (
            file("text.db/x.db"),
            Misconfigured,
            "create the folder first",
        ),
        (
            file("foreign.db"),
            Misconfigured,
            "of another program; choose another path",
        ),
        (
            file("marked.db"),
            Misconfigured,
            "of another program; choose another path",
        ),
        (
            file("newer.db"),
            Unsupported,
            "(schema 99, this program knows 8); upgrade tenure",
        ),
        (
            "/proc/tenure-no-such-file".into(),
            Misconfigured,
            "choose a folder on a local disk",
        ),
        (
            "/sys/tenure.db".into(),
            Denied,
            "grant write access to the folder",
        ),
        ("/dev/null".into(), Misconfigured, "choose another path"),
    ];
    for (path, kind, reason) in cases {
        let error = SqliteStore::open(SqliteOptions::new(&path)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason), "{}: {text}", path.display());
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
        assert_eq!(error.kind(), kind, "{text}");
    }
    // Nothing was done to any of them.
    let text = std::fs::read_to_string(file("text.db")).unwrap();
    assert!(text.starts_with("this is certainly"));
    let tables: i64 = raw(&file("foreign.db"))
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
    assert!(!file("none").exists());
}

#[tokio::test]
async fn e37_an_empty_file_becomes_a_store_that_others_may_not_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, b"").unwrap();
    let new = folder.path().join("new.db");
    for path in [&empty, &new] {
        let answer = open(path).acquire(&request(&key("k"))).await.unwrap();
        assert!(matches!(answer, Acquisition::Granted(_)));
    }
    let mode = std::fs::metadata(&new).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn namespaces_of_one_file_see_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("t.db"));
    for namespace in ["a", "b"] {
        let store = SqliteStore::open(options.clone().namespace(namespace)).unwrap();
        let answer = store.acquire(&request(&key("k"))).await.unwrap();
        assert!(matches!(answer, Acquisition::Granted(_)), "{namespace}");
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn e37_nothing_is_left_beside_a_file_that_is_not_tenures() {
    let folder = tempfile::tempdir().unwrap();
    for (content, reason) in [
        ("text", "is not a SQLite database"),
        ("CREATE TABLE t (x)", "of another program"),
        (
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x)",
            "of another program",
        ),
        ("PRAGMA user_version = 3", "of another program"),
        ("PRAGMA application_id = 7", "of another program"),
    ] {
        let path = folder.path().join("theirs.db");
        if content == "text" {
            std::fs::write(&path, "certainly not a database ".repeat(100)).unwrap();
        } else {
            raw(&path).execute_batch(content).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        let error = SqliteStore::open(SqliteOptions::new(&path)).unwrap_err();
        assert_eq!(error.kind(), Misconfigured, "{content}: {error}");
        assert!(error.to_string().contains(reason), "{content}: {error}");
        assert_eq!(names(folder.path()), ["theirs.db"], "{content}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{content}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn e37_who_wants_only_what_exists_gets_an_error_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    drop(open(&file("store.db")));
    std::fs::write(file("empty.db"), b"").unwrap();
    for (name, reason) in [
        ("typo.db", "does not exist; check the path"),
        ("none/x.db", "does not exist; check the path"),
        ("store.db/x.db", "does not exist; check the path"),
        ("empty.db", "is empty and holds no store; check the path"),
    ] {
        let options = SqliteOptions::new(file(name)).existing_only(true);
        let error = SqliteStore::open(options).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), Misconfigured, "{text}");
        assert!(text.contains(reason) && text.contains(name), "{text}");
        assert!(text.contains("a store is made when"), "{text}");
        // The store's log may go at any moment, with its last thread.
        let mut others = names(folder.path());
        others.retain(|name| !name.starts_with("store.db"));
        assert_eq!(others, ["empty.db"], "{name}");
    }
    let options = SqliteOptions::new(file("store.db")).existing_only(true);
    drop(SqliteStore::open(options).unwrap());
    drop(SqliteStore::open(SqliteOptions::new(file("typo.db")).existing_only(false)).unwrap());
}

#[test]
fn e37_a_link_that_points_nowhere_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.db");
    let target = folder.path().join("gone/t.db");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for existing_only in [false, true] {
        let options = SqliteOptions::new(&link).existing_only(existing_only);
        let error = SqliteStore::open(options).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), Misconfigured, "{text}");
        assert!(text.contains("is a link that points nowhere"), "{text}");
        assert!(text.contains(&*target.to_string_lossy()), "{text}");
        assert_eq!(names(folder.path()), ["link.db"]);
    }
}

#[test]
fn e37_a_small_file_that_is_a_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, folder.path().join("t.db-bell")).unwrap();
    let error = SqliteStore::open(SqliteOptions::new(&path)).unwrap_err();
    assert_eq!(error.kind(), Misconfigured, "{error}");
    assert!(
        error.to_string().contains("t.db-bell` is a link"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[tokio::test]
async fn e64_a_damaged_schema_is_called_damage_with_a_next_step_and_no_statement() {
    let folder = tempfile::tempdir().unwrap();
    for (damage, says) in [
        ("PRAGMA user_version = -1", "schema version -1"),
        ("PRAGMA user_version = 0", "schema version 0"),
        ("DROP TABLE namespace", "no such table: namespace"),
        ("DROP TABLE boot", "no such table: boot"),
        ("DROP TABLE lease", "no such table: lease"),
        (
            "ALTER TABLE lease RENAME COLUMN token TO tkn",
            "no such column",
        ),
        (
            "ALTER TABLE namespace RENAME COLUMN epoch TO e",
            "no column named epoch",
        ),
    ] {
        // A name for each, since the threads of the one before may still be at its file.
        let path = folder.path().join(says).with_extension("db");
        drop(open(&path));
        raw(&path)
            .execute_batch(&format!("PRAGMA foreign_keys = OFF; {damage}"))
            .unwrap();
        let error = match SqliteStore::open(SqliteOptions::new(&path)) {
            Ok(store) => store.acquire(&request(&key("k"))).await.unwrap_err(),
            Err(error) => error,
        };
        let mut text = error.to_string();
        assert!(text.contains("is damaged"), "{damage}: {text}");
        assert!(
            text.contains("restore a backup or move it away"),
            "{damage}: {text}"
        );
        assert_eq!(error.kind(), Corrupt, "{damage}: {text}");
        if let Some(source) = error.source() {
            text.push_str(&source.to_string());
        }
        assert!(text.contains(says), "{damage}: {text}");
        for word in ["SELECT", "INSERT", "UPDATE", "CREATE"] {
            assert!(!text.contains(word), "{damage}: {text}");
        }
    }
}
