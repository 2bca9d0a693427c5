//! Servers are started, found and stopped, and a missing one is never passed over.

use super::*;

const SLEEPER: &str = r#"
[[server]]
name = "sleeper"
start = ["sh", "-c", "echo $$ > pid; exec sleep 600"]
ready = ["sh", "-c", "kill -0 $(cat pid)"]
stop = ["sh", "-c", "kill $(cat pid) && rm pid"]
"#;

/// A folder of its own for each test, taken away at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("tenure-xtask-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_server_is_started_once_found_and_stopped() {
    let folder = Folder::new("sleeper");
    let servers = Servers::of(SLEEPER, folder.0.clone()).unwrap();
    let home = folder.0.join("sleeper");
    let sleeper = &servers.rows[0];
    assert_eq!(sleeper.down(&home).unwrap(), "does not run");
    servers.up(&Wish::of("", true)).unwrap();
    assert!(sleeper.is_ready(&home).unwrap());
    assert_eq!(sleeper.up(&home).unwrap(), "runs already");
    servers.status().unwrap();
    servers.down().unwrap();
    assert!(!sleeper.is_ready(&home).unwrap());
}

#[test]
fn a_missing_server_fails_the_run_and_says_what_to_do() {
    for (start, expected) in [
        (
            "[\"no-such-program-of-ours\"]",
            "cannot start `no-such-program-of-ours`",
        ),
        ("[\"sh\", \"-c\", \"exit 3\"]", "ended at once"),
    ] {
        let folder = Folder::new(if start.contains("sh\"") {
            "ended"
        } else {
            "none"
        });
        let table = format!(
            "[[server]]\nname = \"x\"\nstart = {start}\nready = [\"false\"]\nstop = [\"true\"]"
        );
        let servers = Servers::of(&table, folder.0.clone()).unwrap();
        let said = servers.up(&Wish::of("", false)).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("TENURE_WITHOUT=x"), "{said}");
        servers.up(&Wish::of("x", false)).unwrap();
    }
}

#[test]
fn a_server_is_left_out_by_its_name_only_and_never_in_ci() {
    let folder = Folder::new("wish");
    let servers = Servers::of(SLEEPER, folder.0.clone()).unwrap();
    assert_eq!(Wish::of(" a, ,b ", false).without(), ["a", "b"]);
    let said = servers
        .up(&Wish::of("ghost", false))
        .unwrap_err()
        .to_string();
    assert!(said.contains("known: [\"sleeper\"]"), "{said}");
    let said = servers
        .up(&Wish::of("sleeper", true))
        .unwrap_err()
        .to_string();
    assert!(said.contains("CI leaves no server out"), "{said}");
}

#[test]
fn a_row_without_a_command_is_refused() {
    let row = "[[server]]\nname = \"x\"\nstart = [\"true\"]\nready = [\"true\"]";
    let said = Servers::of(row, PathBuf::new()).err().unwrap().to_string();
    assert!(said.contains("server `x` needs `stop`"), "{said}");
}

#[test]
fn the_table_of_this_repository_can_be_read() {
    Servers::of(TABLE, PathBuf::new()).unwrap();
}
