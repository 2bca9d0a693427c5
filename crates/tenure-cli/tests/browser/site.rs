//! A place with nodes that serve the dashboard, and a browser that looks at it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc;

use serde_json::Value;
use tenure_bed::{Browser, Look};

use crate::program::{Ended, PATIENCE, Place, finish, until};

/// A process that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A folder, a store, nodes on it, and a browser at the first of them.
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) store: String,
    pub(crate) nodes: Vec<(Running, String)>,
    pub(crate) browser: Browser,
}

impl Site {
    /// One node with these tasks, on SQLite.
    pub(crate) fn new(tasks: &str) -> Self {
        let place = Place::new();
        let store = place.store();
        Self::on(place, store, tasks, 1)
    }

    /// Several nodes with these tasks on a store.
    pub(crate) fn on(place: Place, store: String, tasks: &str, nodes: usize) -> Self {
        place.write("tasks.toml", tasks);
        let nodes: Vec<_> = (0..nodes).map(|_| node(&place, &store)).collect();
        let (_, first) = nodes.first().unwrap();
        let browser = Browser::start(first, Look::DESK);
        Self {
            place,
            store,
            nodes,
            browser,
        }
    }

    /// The program on this site's store.
    pub(crate) fn tenure(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.tenure(arguments);
        command.env("TENURE_STORE", &self.store);
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let ended = finish(self.tenure(arguments).spawn().unwrap());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// What the program says as JSON, a value a line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(arguments);
        let lines = ended.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What the store knows of a task.
    pub(crate) fn task(&self, name: &str) -> Value {
        let tasks = self.json(&["tasks", "--json"]);
        let named = |task: &Value| task["task"] == name || task["name"] == name;
        tasks.into_iter().find(|task| named(task)).unwrap()
    }

    /// What the store knows of a lock.
    pub(crate) fn lock(&self, key: &str) -> Value {
        let lines = self.json(&["locks", "show", key, "--json"]);
        lines.into_iter().next().unwrap()
    }

    /// Somebody who holds a lock, or waits for it, until the file `free-NAME` is there. What they
    /// hold is in the file `held-NAME`.
    pub(crate) fn holder(&self, key: &str, name: &str) -> Running {
        let script = format!(
            "echo $TENURE_FENCE > held-{name}; while ! test -e free-{name}; do sleep 0.05; done"
        );
        let mut command = self.tenure(&["lock", key, "--", "sh", "-c", &script]);
        Running(command.spawn().unwrap())
    }

    /// Waits until somebody holds the lock that they asked for.
    pub(crate) fn until_held(&self, name: &str) {
        until(&format!("{name} to hold"), || {
            (!self.place.read(&format!("held-{name}")).trim().is_empty()).then_some(())
        });
    }

    /// Waits until so many wait for a lock.
    pub(crate) fn until_waiting(&self, key: &str, count: u64) {
        until(&format!("{count} to wait for {key}"), || {
            let lock = self.lock(key);
            let waiting = lock.get("queue").and_then(Value::as_array);
            let waiting = waiting.map(|queue| queue.len() as u64);
            (waiting == Some(count)).then_some(())
        });
    }

    /// Asserts that no page did what no page may do.
    pub(crate) fn assert_clean(&mut self) {
        assert_eq!(self.browser.complaints(), [""; 0]);
    }

    /// A picture of the page for whoever wonders why a test failed, or how it looks.
    pub(crate) fn picture(&mut self, name: &str) {
        self.browser.screenshot(&picture(name), true);
    }
}

/// Where a picture is kept.
pub(crate) fn picture(name: &str) -> PathBuf {
    tenure_bed::pictures().join(format!("{name}.png"))
}

/// A node that runs `tasks.toml` of the place, and where its dashboard is.
pub(crate) fn node(place: &Place, store: &str) -> (Running, String) {
    let mut command = place.tenure(["run", "--dashboard", "127.0.0.1:0", "tasks.toml"]);
    let mut node = Running(command.env("TENURE_STORE", store).spawn().unwrap());
    let child = &mut node.0;
    // Both pipes are read to their ends: a full one would hold the node up.
    let (said, hears) = mpsc::channel();
    let pipes: [Box<dyn std::io::Read + Send>; 2] = [
        Box::new(child.stdout.take().unwrap()),
        Box::new(child.stderr.take().unwrap()),
    ];
    for pipe in pipes {
        let said = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _nobody_asks_any_more = said.send(line);
            }
        });
    }
    drop(said);
    let mut all = String::new();
    loop {
        let line = hears.recv_timeout(PATIENCE);
        assert!(line.is_ok(), "no dashboard was told: {all}");
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once("http://") {
            let end = rest.find(['/', ' ', ',', ';']).unwrap_or(rest.len());
            return (node, format!("http://{}", &rest[..end]));
        }
        all.push_str(&line);
        all.push('\n');
    }
}
