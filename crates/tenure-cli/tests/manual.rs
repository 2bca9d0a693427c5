//! `tenure completions` and `tenure man`, as a packager calls them.

mod program;

use program::Place;

#[test]
fn each_shell_gets_completions_that_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = place.run(["completions", shell]);
        assert_eq!(ended.code, Some(0), "{shell}: {ended:?}");
        for word in ["history", "backfills", "conflict-exit-code"] {
            assert!(ended.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    let wrong = place.run(["completions", "tcsh"]);
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    assert!(wrong.stderr.contains("possible values"), "{wrong:?}");
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    let folder = place.folder().to_str().unwrap().to_owned();
    let ended = place.run(["man", &folder]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (page, part) in [
        ("tenure.1", "Distributed locks and scheduled tasks"),
        ("tenure-lock.1", "conflict"),
        ("tenure-locks-show.1", "queue"),
    ] {
        assert!(place.read(page).contains(part), "{page} lacks {part}");
    }
    let pages = std::fs::read_dir(place.folder()).unwrap();
    let hidden = pages.filter(|page| {
        page.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("__")
    });
    assert_eq!(hidden.count(), 0, "pages for commands that nobody types");
}

#[test]
fn a_folder_for_the_pages_is_made_and_one_that_cannot_be_is_named() {
    let place = Place::new();
    let missing = place.path("man/man1").to_str().unwrap().to_owned();
    assert_eq!(place.run(["man", &missing]).code, Some(0));
    assert!(place.path("man/man1/tenure-lock.1").exists());
    place.write("file", "");
    let missing = place.path("file/man1").to_str().unwrap().to_owned();
    let ended = place.run(["man", &missing]);
    assert_eq!(ended.code, Some(73), "{ended:?}");
    assert!(
        ended.stderr.contains(&missing) && ended.stderr.contains("help:"),
        "{ended:?}"
    );
}
