//! The clients of a run: started, paused, killed, heard.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure::core::{Clock as _, HolderId, Moment, SystemClock};
use tenure_bench::place::Address;
use tenure_bench::process::{Hand, Helping, Voice};
use tenure_bench::{Helper, Trouble};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Settings;
use crate::client::{Farewell, Job, now};
use crate::faults::{go_on, stop};
use crate::history::Record;

/// What is heard of clients.
#[derive(Debug)]
pub(super) enum Told {
    Record(Record),
    /// One is ready, and asks the store as this holder.
    Began(HolderId),
    /// One that was told to end has ended.
    Farewell(String),
    /// One that was killed at that instant has said its last.
    Died(String, u64),
}

/// What a task says that listens to a client.
#[derive(Debug)]
enum Heard {
    Began(usize, Box<Result<Hand, Trouble>>, Option<HolderId>),
    Line(String, String),
    End(String),
}

pub(super) struct Crew {
    helper: Helper,
    address: Address,
    keys: Vec<String>,
    ttl: Duration,
    has_tasks: bool,
    chance: fastrand::Rng,
    /// How many are not ready yet.
    starting: usize,
    clients: BTreeMap<usize, Client>,
    /// How many processes each client has had.
    lives: BTreeMap<usize, u32>,
    killed: BTreeMap<String, u64>,
    said: (mpsc::Sender<Heard>, mpsc::Receiver<Heard>),
    /// Start clients and listen to them; with the crew they end.
    listening: JoinSet<()>,
}

struct Client {
    name: String,
    hand: Hand,
    /// It stands still until then.
    paused: Option<Moment>,
    /// It has said its last word.
    has_left: bool,
}

impl Crew {
    pub(super) fn new(
        settings: &Settings,
        address: Address,
        keys: Vec<String>,
        has_tasks: bool,
        chance: fastrand::Rng,
    ) -> Self {
        Self {
            helper: settings.helper.clone(),
            address,
            keys,
            ttl: settings.ttl,
            has_tasks,
            chance,
            starting: 0,
            clients: BTreeMap::new(),
            lives: BTreeMap::new(),
            killed: BTreeMap::new(),
            said: mpsc::channel(4096),
            listening: JoinSet::new(),
        }
    }

    /// Whether every client that was started is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.starting == 0
    }

    /// Which client has this name, if it is still there.
    pub(super) fn number_of(&self, name: &str) -> Option<usize> {
        let mut clients = self.clients.iter();
        clients
            .find(|(_, client)| client.name == name)
            .map(|(number, _)| *number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Starts a process; tells its name.
    pub(super) fn begin(&mut self, client: usize) -> String {
        let life = self.lives.entry(client).or_default();
        *life += 1;
        let name = name_of(client, *life);
        let job = Job {
            name: name.clone(),
            address: self.address.clone(),
            keys: self.keys.clone(),
            ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            seed: self.chance.u64(..),
            has_tasks: self.has_tasks,
        };
        self.starting += 1;
        let (helper, said, called) = (self.helper.clone(), self.said.0.clone(), name.clone());
        // Those that have ended are of no use any more.
        while self.listening.try_join_next().is_some() {}
        self.listening.spawn(async move {
            let (hand, holder, voice) = match Helping::start(&helper, &job).await {
                Ok(Helping {
                    hand,
                    voice,
                    holder,
                    ..
                }) => (Ok(hand), holder, Some(voice)),
                Err(trouble) => (Err(trouble), None, None),
            };
            if said
                .send(Heard::Began(client, Box::new(hand), holder))
                .await
                .is_ok()
                && let Some(voice) = voice
            {
                listen(called, voice, said).await;
            }
        });
        name
    }

    /// Lets a client stand still. False if there is none, or it does so already.
    pub(super) fn pause(&mut self, client: usize, span: Duration) -> Result<bool, Trouble> {
        let client = self.clients.get_mut(&client);
        let Some(client) = client.filter(|client| client.paused.is_none()) else {
            return Ok(false);
        };
        let Some(id) = client.hand.id() else {
            return Ok(false);
        };
        stop(id)?;
        client.paused = Some(SystemClock.now() + span);
        Ok(true)
    }

    /// When the next client is to go on.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.clients
            .values()
            .filter_map(|client| client.paused)
            .min()
    }

    /// Lets those go on whose time has come.
    pub(super) fn wake(&mut self, at: Moment) -> Result<(), Trouble> {
        for client in self.clients.values_mut() {
            if client.paused.is_some_and(|until| until <= at) {
                client.paused = None;
                client.hand.id().map_or(Ok(()), go_on)?;
            }
        }
        Ok(())
    }

    pub(super) fn wake_all(&mut self) -> Result<(), Trouble> {
        let last = self
            .clients
            .values()
            .filter_map(|client| client.paused)
            .max();
        last.map_or(Ok(()), |last| self.wake(last))
    }

    /// Kills a client that moves. False if there is none.
    pub(super) async fn kill(&mut self, client: usize) -> Result<bool, Trouble> {
        if self
            .clients
            .get(&client)
            .is_none_or(|it| it.paused.is_some())
        {
            return Ok(false);
        }
        let Some(client) = self.clients.remove(&client) else {
            return Ok(false);
        };
        client.hand.kill().await?;
        self.killed.insert(client.name, now());
        Ok(true)
    }

    /// Tells everybody that it is enough.
    pub(super) async fn say_enough(&mut self) -> Result<(), Trouble> {
        for client in self.clients.values_mut() {
            client.hand.tell(&Farewell { farewell: true }).await?;
        }
        Ok(())
    }

    /// What is heard next.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub(super) async fn hear(&mut self) -> Result<Told, Trouble> {
        loop {
            let Some(heard) = self.said.1.recv().await else {
                return Err(Trouble::helper("nobody listens to clients"));
            };
            match heard {
                Heard::Began(client, hand, holder) => {
                    self.starting -= 1;
                    let life = self.lives.get(&client).copied().unwrap_or(1);
                    let begun = Client {
                        name: name_of(client, life),
                        hand: (*hand)?,
                        paused: None,
                        has_left: false,
                    };
                    self.clients.insert(client, begun);
                    if let Some(holder) = holder {
                        return Ok(Told::Began(holder));
                    }
                }
                Heard::Line(name, line) => {
                    if let Some(told) = self.read(&name, &line)? {
                        return Ok(told);
                    }
                }
                Heard::End(name) => return self.end_of(name),
            }
        }
    }

    fn read(&mut self, name: &str, line: &str) -> Result<Option<Told>, Trouble> {
        match serde_json::from_str::<Record>(line) {
            Ok(record) => Ok(Some(Told::Record(record))),
            // Its end follows.
            Err(_) if serde_json::from_str::<Farewell>(line).is_ok() => {
                let mut clients = self.clients.values_mut();
                if let Some(client) = clients.find(|client| client.name == name) {
                    client.has_left = true;
                }
                Ok(None)
            }
            // Cut off in the middle of a word.
            Err(_) if self.killed.contains_key(name) => Ok(None),
            Err(error) => {
                let line: String = line.chars().take(200).collect();
                let what = format!("{name} said what nobody understands, `{line}`: {error}");
                Err(Trouble::helper(what))
            }
        }
    }

    fn end_of(&mut self, name: String) -> Result<Told, Trouble> {
        if let Some(at) = self.killed.remove(&name) {
            return Ok(Told::Died(name, at));
        }
        let number = self.number_of(&name);
        let client = number.and_then(|number| self.clients.remove(&number));
        match client {
            Some(client) if client.has_left => Ok(Told::Farewell(name)),
            _ => Err(Trouble::helper(format_args!(
                "{name} ended by itself; see what it printed above"
            ))),
        }
    }
}

fn name_of(client: usize, life: u32) -> String {
    match life {
        1 => format!("c{client}"),
        life => format!("c{client}.{life}"),
    }
}

async fn listen(name: String, mut voice: Voice, said: mpsc::Sender<Heard>) {
    while let Ok(Some(line)) = voice.line().await {
        if said.send(Heard::Line(name.clone(), line)).await.is_err() {
            return;
        }
    }
    let _ = said.send(Heard::End(name)).await;
}
