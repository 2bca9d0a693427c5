//! Files that are not what they should be.

use std::error::Error;
use std::path::PathBuf;

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
            "(schema 99, this program knows 1); upgrade tenure",
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
