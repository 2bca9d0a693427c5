//! Programs are found or fetched, servers started and stopped, and what is missing never passed
//! over.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::fetch::{Source, Way};
use super::program::How;
use super::*;

const SLEEPER: &str = r#"
[[program]]
name = "sleep"
debian = "coreutils"
[program.files]
sleep = "usr/bin/sleep"

[[server]]
name = "sleeper"
needs = ["sleep"]
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

    /// A program in `bin` that says its version.
    fn program(&self, command: &str, version: &str) -> PathBuf {
        let path = self.0.join("bin").join(command);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\necho {version}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn machine(&self) -> Machine {
        Machine {
            folders: vec![self.0.join("bin")],
            ..Machine::default()
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn program(row: &str) -> Program {
    let table: toml::Table = row.parse().unwrap();
    Program::of(&toml::Value::Table(table)).unwrap()
}

#[test]
fn a_server_is_started_once_found_and_stopped_by_who_started_it() {
    let folder = Folder::new("sleeper");
    let servers = Servers::of(SLEEPER, &folder.0).unwrap();
    let sleeper = &servers.shared[0];
    assert_eq!(sleeper.down(&servers.folder).unwrap(), "does not run");
    let started = servers.up(&Wish::of("", true)).unwrap();
    assert!(sleeper.is_ready(&servers.folder).unwrap());
    // Another run finds it, and leaves it as it was.
    drop(servers.up(&Wish::of("", true)).unwrap());
    assert!(sleeper.is_ready(&servers.folder).unwrap());
    servers.status().unwrap();
    drop(started);
    assert!(!sleeper.is_ready(&servers.folder).unwrap());
    servers.up(&Wish::of("", true)).unwrap().keep();
    assert!(sleeper.is_ready(&servers.folder).unwrap());
    servers.down().unwrap();
    assert!(!sleeper.is_ready(&servers.folder).unwrap());
}

#[test]
fn a_server_that_does_not_start_fails_the_run() {
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
        let servers = Servers::of(&table, &folder.0).unwrap();
        let said = servers.up(&Wish::of("", false)).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_program_is_left_out_by_its_name_only_with_its_servers_and_never_in_ci() {
    let folder = Folder::new("wish");
    let servers = Servers::of(SLEEPER, &folder.0).unwrap();
    assert_eq!(Wish::of(" a, ,b ", false).without(), ["a", "b"]);
    let said = |names, is_ci| servers.up(&Wish::of(names, is_ci)).unwrap_err().to_string();
    assert!(said("ghost", false).contains("known: [\"sleep\"]"));
    assert!(said("sleep", true).contains("CI leaves nothing out"));
    let started = servers.up(&Wish::of("sleep", false)).unwrap();
    assert!(started.servers.is_empty());
    assert!(!servers.shared[0].is_ready(&servers.folder).unwrap());
}

#[test]
fn a_row_that_lacks_something_is_refused_by_its_name() {
    for (row, expected) in [
        (
            "[[server]]\nname = \"x\"\nstart = [\"true\"]\nready = [\"true\"]",
            "server `x` needs `stop`",
        ),
        ("[[server]]\nstart = [\"true\"]", "a server has no `name`"),
        (
            "[[server]]\nname = \"x\"\nneeds = [\"y\"]\nstart = [\"a\"]\nready = [\"a\"]\n\
             stop = [\"a\"]",
            "server `x` needs `y`, which is no program",
        ),
        ("[[program]]\npip = \"x\"", "a program has no `name`"),
        (
            "[[program]]\nname = \"x\"\npip = \"x\"",
            "program `x` needs `files`",
        ),
        (
            "[[program]]\nname = \"x\"\nfiles = { a = \"b\" }",
            "program `x` needs one of `debian`, `pip`, `venv` and `npm`",
        ),
        (
            "[[program]]\nname = \"x\"\npip = \"x\"\ndebian = \"x\"\nfiles = { a = \"b\" }",
            "program `x` needs one of `debian`, `pip`, `venv` and `npm`",
        ),
    ] {
        let said = Servers::of(row, Path::new("")).err().unwrap().to_string();
        assert!(said.contains(expected), "{row}: {said}");
    }
}

#[test]
fn the_table_of_this_repository_can_be_read() {
    let servers = Servers::of(TABLE, Path::new("")).unwrap();
    assert_eq!(
        servers.names(),
        ["redis", "valkey", "browser", "schemathesis"]
    );
}

#[test]
fn what_is_there_is_used_as_it_is() {
    let folder = Folder::new("found");
    let row = "name = \"thing\"\ndebian = \"thing-tools\"\n[files]\nthing-server = \"opt/thing\"";
    let (thing, servers) = (program(row), folder.0.join(".servers"));
    let mut machine = folder.machine();
    assert!(thing.find(&servers, &machine).is_err());

    // Unpacked from its package by an earlier run.
    let unpacked = servers.join("packages/thing-tools/opt/thing");
    fs::create_dir_all(unpacked.parent().unwrap()).unwrap();
    fs::copy(folder.program("elsewhere", "1.0"), &unpacked).unwrap();
    let found = &thing.find(&servers, &machine).unwrap()[0];
    assert_eq!((&found.path, &found.how), (&unpacked, &How::Installed));

    let on_path = folder.program("thing-server", "2.0");
    let found = &thing.find(&servers, &machine).unwrap()[0];
    assert_eq!((&found.path, found.version.as_str()), (&on_path, "2.0"));
    thing.up(&servers, &machine).unwrap();

    // Linked by now, and found by the link even without the PATH.
    machine.folders.clear();
    let found = &thing.up(&servers, &machine).unwrap()[0];
    assert_eq!((&found.how, found.version.as_str()), (&How::Earlier, "2.0"));

    let named = folder.program("thing-of-mine", "3.0");
    machine
        .named
        .push(("TENURE_THING_SERVER".to_owned(), named));
    let found = &thing.up(&servers, &machine).unwrap()[0];
    assert_eq!(found.version, "3.0");
    assert_eq!(found.how, How::Named("TENURE_THING_SERVER".to_owned()));
    assert!(found.to_string().contains("named by TENURE_THING_SERVER"));

    // A link that leads nowhere is no program.
    machine.named.clear();
    fs::remove_file(&on_path).unwrap();
    let found = &thing.find(&servers, &machine).unwrap()[0];
    assert_eq!((&found.path, found.version.as_str()), (&unpacked, "1.0"));
    assert_eq!(thing.up(&servers, &machine).unwrap()[0].version, "1.0");
}

#[test]
fn what_is_missing_or_does_not_work_is_named_with_what_to_type() {
    let folder = Folder::new("missing");
    let row = "name = \"thing\"\ndebian = \"thing-tools\"\nby_hand = \"macOS: brew install it\"\n\
               files = { thing = \"no/such/thing\" }";
    let (thing, machine) = (program(row), folder.machine());
    let said = |thing: &Program| {
        let problem = thing.up(&folder.0.join(".servers"), &machine).unwrap_err();
        format!("{problem:#}")
    };
    for expected in [
        "cannot get `thing`",
        "sudo apt-get install thing-tools",
        "macOS: brew install it",
        "TENURE_WITHOUT=thing",
        "nothing here can fetch thing-tools from Debian",
    ] {
        assert!(said(&thing).contains(expected), "{}", said(&thing));
    }
    let broken = folder.program("thing", "1");
    fs::write(
        &broken,
        "#!/bin/sh\necho libmissing.so.1: not found >&2\nexit 127\n",
    )
    .unwrap();
    assert!(
        said(&thing).contains("nothing here can fetch"),
        "{}",
        said(&thing)
    );
    let found = thing
        .find(&folder.0.join(".servers"), &machine)
        .unwrap_err();
    assert!(
        format!("{found:#}").contains("libmissing.so.1"),
        "{found:#}"
    );
}

#[test]
fn a_package_is_fetched_in_the_best_way_that_fits_the_machine() {
    let folder = Folder::new("ways");
    let debian = Source::Debian("x".to_owned());
    let wheel = Source::Wheel("x".to_owned());
    let ways = |commands: &[&str], is_root: bool| {
        let machine = Machine {
            is_root,
            ..folder.machine()
        };
        let _fresh = fs::remove_dir_all(folder.0.join("bin"));
        for command in commands {
            folder.program(command, "1");
        }
        (debian.ways(&machine), wheel.ways(&machine))
    };
    let by_pip = vec![Way::Download, Way::DownloadByVenv];
    let all = ["apt-get", "dpkg-deb", "python3"];
    let with_debian = [&by_pip[..], &[Way::DownloadByDebian]].concat();
    assert_eq!(ways(&all, true), (vec![Way::Install], with_debian));
    assert_eq!(ways(&all, false), (vec![Way::Unpack], by_pip.clone()));
    assert_eq!(ways(&["apt-get"], false), (vec![], vec![]));
    let only_debian = (vec![Way::Install], vec![Way::DownloadByDebian]);
    assert_eq!(ways(&["apt-get"], true), only_debian);
    assert_eq!(ways(&["python3"], true), (vec![], by_pip));
}

#[test]
fn a_program_in_python_gets_an_environment_of_its_own() {
    let folder = Folder::new("venv");
    let python = Source::Python("x==1".to_owned());
    let mut machine = Machine {
        is_root: true,
        ..folder.machine()
    };
    assert_eq!(python.ways(&machine), []);
    folder.program("apt-get", "1");
    assert_eq!(python.ways(&machine), [Way::VenvByDebian]);
    folder.program("python3", "1");
    assert_eq!(python.ways(&machine), [Way::Venv, Way::VenvByDebian]);
    machine.is_root = false;
    assert_eq!(python.ways(&machine), [Way::Venv]);
    assert_eq!(python.place(&folder.0, "bin/x"), None);
    let file = folder.0.join("packages/x==1/bin/x");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    assert_eq!(python.place(&folder.0, "bin/x"), Some(file));
    assert!(python.by_hand().contains("python3-venv"));
}

#[test]
fn packages_of_npm_are_fetched_by_npm_and_found_in_their_folder() {
    let folder = Folder::new("npm");
    let npm = Source::Npm("x@1 @scope/y@2".to_owned());
    let mut machine = Machine {
        is_root: true,
        ..folder.machine()
    };
    assert_eq!(npm.ways(&machine), []);
    folder.program("apt-get", "1");
    assert_eq!(npm.ways(&machine), [Way::NpmByDebian]);
    folder.program("npm", "1");
    assert_eq!(npm.ways(&machine), [Way::Npm]);
    machine.is_root = false;
    assert_eq!(npm.ways(&machine), [Way::Npm]);
    let inside = "node_modules/x/cli.js";
    assert_eq!(npm.place(&folder.0, inside), None);
    let file = folder.0.join("packages/npm").join(inside);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    assert_eq!(npm.place(&folder.0, inside), Some(file));
    assert_eq!(npm.to_string(), "x@1 @scope/y@2 from npm");
    assert!(npm.by_hand().contains("npm install x@1 @scope/y@2"));
}
