//! A real browser, for tests of pages.
//!
//! Chromium without a window, driven by Playwright through `bridge.js`, a command a line. The
//! browser belongs to the process that started it: when the test ends, however it ends, the bridge
//! reads the end of its input and closes it, and the watchdog ends what is left. Programs come
//! from `cargo xtask servers up`. It knows no page.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{program, watchdog};

/// How long one step of a page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const BRIDGE: &str = include_str!("bridge.js");

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The window, in CSS pixels.
    pub size: (u32, u32),
    /// Whether the person prefers dark colours.
    pub dark: bool,
    /// Whether scripts run.
    pub script: bool,
    /// Whether the person prefers reduced motion.
    pub calm: bool,
    /// Device pixels a CSS pixel.
    pub scale: u32,
}

impl Look {
    /// A desk with light colours and scripts.
    pub const DESK: Self = Self {
        size: (1280, 900),
        dark: false,
        script: true,
        calm: true,
        scale: 1,
    };
    /// The same in the dark.
    pub const NIGHT: Self = Self {
        dark: true,
        ..Self::DESK
    };
    /// A small phone.
    pub const PHONE: Self = Self {
        size: (360, 740),
        ..Self::DESK
    };
    /// A desk where no script runs.
    pub const PLAIN: Self = Self {
        script: false,
        ..Self::DESK
    };
}

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    origin: String,
}

impl Browser {
    /// Starts a browser whose page may ask only `origin`, such as `http://127.0.0.1:8080`.
    ///
    /// # Panics
    /// If a program is missing or left out by name, or the browser does not start.
    #[must_use]
    pub fn start(origin: &str, look: Look) -> Self {
        program::assert_not_left_out("browser");
        let browser = program::find("TENURE_CHROMIUM", "chromium");
        let driver = program::find("TENURE_PLAYWRIGHT_CORE", "playwright-core");
        let driver = driver.canonicalize().expect("a link that leads nowhere");
        // cli.js stands in its package, that in the folder of all packages, that in theirs.
        let modules = driver.ancestors().nth(3).unwrap_or(Path::new("/"));
        let script = watchdog::home().join(format!("bridge-{}.js", fastrand::u64(..)));
        std::fs::write(&script, BRIDGE).expect("cannot write the bridge");
        let mut command = Command::new(program::find("TENURE_NODE", "node"));
        command
            .arg(script)
            .args([browser.as_path(), modules])
            .arg(PATIENCE.as_millis().to_string())
            .env("TMPDIR", watchdog::home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().expect("cannot start `node`");
        watchdog::guard(child.id());
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output was asked for"));
        let mut browser = Self {
            child,
            input,
            output,
            origin: origin.to_owned(),
        };
        browser.look(look);
        browser
    }

    /// Throws the page and everything it kept away, and opens another.
    pub fn look(&mut self, look: Look) {
        let (width, height) = look.size;
        self.call(&json!({
            "do": "open", "origin": self.origin, "width": width, "height": height,
            "dark": look.dark, "script": look.script, "calm": look.calm, "scale": look.scale,
        }));
    }

    /// Opens a path of the origin and returns the status of the answer.
    pub fn open(&mut self, path: &str) -> u64 {
        let url = format!("{}{path}", self.origin);
        let status = self.call(&json!({"do": "goto", "url": url}));
        status.as_u64().unwrap_or_default()
    }

    /// Clicks the first element that fits; waits until there is one.
    pub fn click(&mut self, on: &str) {
        self.call(&json!({"do": "click", "on": on}));
    }

    /// Replaces the text of a field.
    pub fn fill(&mut self, on: &str, text: &str) {
        self.call(&json!({"do": "fill", "on": on, "text": text}));
    }

    /// Chooses an entry of a list.
    pub fn choose(&mut self, on: &str, entry: &str) {
        self.call(&json!({"do": "select", "on": on, "text": entry}));
    }

    /// Presses a key, by Playwright's name of it.
    pub fn press(&mut self, key: &str) {
        self.call(&json!({"do": "press", "key": key}));
    }

    /// The value of an expression in the page.
    pub fn eval(&mut self, code: &str) -> Value {
        self.call(&json!({"do": "eval", "code": code}))
    }

    /// Waits until an expression is true in the page, or in the one that replaces it.
    pub fn until(&mut self, code: &str) {
        self.call(&json!({"do": "until", "code": code}));
    }

    /// Waits until an element that fits a selector has a text in it.
    pub fn until_text(&mut self, on: &str, text: &str) {
        let (on, text) = (Value::from(on), Value::from(text));
        self.until(&format!(
            "[...document.querySelectorAll({on})].some(it => it.textContent.includes({text}))"
        ));
    }

    /// How many bytes the answer to a path of the origin had: as sent, and unpacked.
    pub fn bytes(&mut self, path: &str) -> (u64, u64) {
        let url = format!("{}{path}", self.origin);
        let bytes = self.call(&json!({"do": "bytes", "url": url}));
        let field = |name: &str| bytes[name].as_u64().expect("a number of bytes");
        (field("sent"), field("whole"))
    }

    /// Keeps a picture of the page, whole or as far as the window shows it.
    pub fn screenshot(&mut self, path: &Path, is_full: bool) {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("cannot make the folder of a picture");
        }
        self.call(&json!({"do": "screenshot", "path": path, "full": is_full}));
    }

    /// Changes the size of the window.
    pub fn resize(&mut self, (width, height): (u32, u32)) {
        self.call(&json!({"do": "resize", "width": width, "height": height}));
    }

    /// Takes the network away from the page, or gives it back.
    pub fn offline(&mut self, is: bool) {
        self.call(&json!({"do": "offline", "is": is}));
    }

    /// What keeps people with assistive technology from using the page, from `serious` on.
    pub fn barriers(&mut self) -> Vec<String> {
        strings(&self.call(&json!({"do": "axe"})))
    }

    /// Where the page is, without the origin.
    pub fn path(&mut self) -> String {
        let url = self.call(&json!({"do": "url"}));
        let url = url.as_str().unwrap_or_default();
        url.strip_prefix(&self.origin).unwrap_or(url).to_owned()
    }

    /// What pages did since somebody last asked, and never should: dialogs, errors of scripts,
    /// refusals by the policy, requests to elsewhere.
    pub fn complaints(&mut self) -> Vec<String> {
        strings(&self.call(&json!({"do": "complaints"})))
    }

    fn call(&mut self, command: &Value) -> Value {
        let input = self.input.as_mut().expect("open until the end");
        let sent = writeln!(input, "{command}");
        let mut line = String::new();
        if sent.is_ok() {
            self.output
                .read_line(&mut line)
                .expect("cannot hear the bridge");
        }
        let answer: Value = serde_json::from_str(&line).unwrap_or_default();
        match answer.get("ok") {
            Some(value) => value.clone(),
            None => panic!("the browser, asked {command}: {}", answer["error"]),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its input ends, so it closes the browser and ends.
        self.input.take();
        let _ended = self.child.wait();
        watchdog::forget(self.child.id());
    }
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().into_iter().flatten();
    values
        .map(|it| it.as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The folder of artefacts that nobody commits: `target/screenshots` of the repository.
#[must_use]
pub fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots")
}
