//! One connection to one server, made anew whenever it breaks.
//!
//! Requests share the connection. When it breaks or falls silent it is retired at once, and a
//! background task makes another; requests wait for it no longer than their own deadline. Nothing
//! is queued past its use: a request whose deadline passes fails, and says whether it may have
//! happened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, ProtocolVersion, PushInfo, RedisError, Value};
use tenure_core::{StoreError, StoreErrorKind};
use tokio::sync::watch;
use tokio::time::Instant;

use super::busy::BusyPoll;
use super::dial::{Dial, lacks_resp3};
use super::second::Second;
use super::{Call, Hears, from_now};
use crate::ears::TAKEN;
use crate::error::{Meaning, is_garbled, meaning, no_connection, no_redis, store_error};
use crate::options::RedisOptions;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// By which connection a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The shared one with this number.
    Wire(u64),
    /// Nobody can tell: one of several, or one that is yet to be made.
    Any,
}

/// A live connection.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) connection: MultiplexedConnection,
    /// The server it leads to, as messages call it.
    pub(super) at: Arc<str>,
    number: u64,
    /// Whether the server pushes to us.
    pub(super) can_push: bool,
    /// Whether the server tells us of changes to keys we asked it to watch.
    pub(super) can_track: bool,
    /// Where pushes come that cannot come here.
    second: Option<Arc<Second>>,
}

impl Wire {
    /// Tells this connection from those before and after it.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

#[derive(Clone)]
enum State {
    Up(Wire),
    /// Being made; the last failure, if there was one.
    Down(Option<RedisError>),
    /// Refused in a way that trying again at once would not change.
    Refused {
        error: RedisError,
        at: Instant,
    },
}

pub(super) struct Direct {
    pub(super) busy: BusyPoll,
    dial: Dial,
    plain: Dial,
    connect_timeout: Duration,
    state: watch::Sender<State>,
    is_dialling: AtomicBool,
    dialled: AtomicU64,
    /// The number of the connection in use; 0 if there is none.
    number: AtomicU64,
    channels: Mutex<Vec<String>>,
    hears: Arc<dyn Hears>,
}

impl Direct {
    /// Connects, or says why it cannot; if it is to be lazy, connects in the background.
    pub(super) async fn connect(
        options: &RedisOptions,
        hears: Arc<dyn Hears>,
        channels: Vec<String>,
    ) -> Result<Arc<Self>, StoreError> {
        let misconfigured = |error: crate::OptionsError| {
            StoreError::new(StoreErrorKind::Misconfigured, error.to_string())
        };
        let direct = Arc::new(Self {
            busy: BusyPoll::new(options.busy_poll),
            dial: Dial::new(options, ProtocolVersion::RESP3).map_err(misconfigured)?,
            plain: Dial::new(options, ProtocolVersion::RESP2).map_err(misconfigured)?,
            connect_timeout: options.connect_timeout,
            state: watch::Sender::new(State::Down(None)),
            is_dialling: AtomicBool::new(false),
            dialled: AtomicU64::new(1),
            number: AtomicU64::new(0),
            channels: Mutex::new(channels),
            hears,
        });
        if options.is_vote {
            direct.dial_in_background();
            return Ok(direct);
        }
        let wire = direct.dial_first(from_now(options.connect_timeout)).await?;
        direct.use_wire(wire);
        Ok(direct)
    }

    /// Makes the first connection. During a fail-over there is no primary for a while, so whoever
    /// asks sentinels asks them again until `deadline`.
    async fn dial_first(self: &Arc<Self>, deadline: Instant) -> Result<Wire, StoreError> {
        let doing = "cannot connect";
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        loop {
            let error = match tokio::time::timeout_at(deadline, self.dial_once()).await {
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(error)) => error,
                Err(_) => break,
            };
            let may_pass = self.dial.may_lead_elsewhere() && !is_final(&error);
            if !may_pass {
                let stranger = self.dial.stranger(&error).await;
                return Err(match stranger {
                    Some(stranger) => no_redis(doing, &self.dial.place(), &stranger, error),
                    None => store_error(doing, &self.dial.place(), error),
                });
            }
            if last.is_none()
                && let Some(misnamed) = self.dial.is_misnamed().await
            {
                return Err(misnamed);
            }
            last = Some(error);
            let until = from_now(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            if until >= deadline {
                break;
            }
            tokio::time::sleep_until(until).await;
            pause = (pause * 2).min(LONGEST_PAUSE / 2);
        }
        let place = self.dial.place();
        Err(match last {
            Some(error) => no_connection(doing, &place, Some(error)),
            None => StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{doing}: {place}: no answer within connect_timeout"),
            ),
        })
    }

    fn use_wire(&self, wire: Wire) {
        self.state.send_modify(|state| {
            self.number.store(wire.number, Ordering::Release);
            *state = State::Up(wire);
        });
    }

    /// The number of the connection that requests go by, if there is one now. No other has it.
    pub(super) fn number(&self) -> Option<u64> {
        Some(self.number.load(Ordering::Acquire)).filter(|number| *number != 0)
    }

    /// The connection, if there is one now.
    pub(super) fn wire_now(&self) -> Option<Wire> {
        match &*self.state.borrow() {
            State::Up(wire) => Some(wire.clone()),
            _ => None,
        }
    }

    /// The connection, as soon as there is one.
    pub(super) async fn wire(
        self: &Arc<Self>,
        doing: &str,
        deadline: Instant,
    ) -> Result<Wire, StoreError> {
        if let Some(wire) = self.wire_now() {
            return Ok(wire);
        }
        self.dial_in_background();
        let mut state = self.state.subscribe();
        let found = tokio::time::timeout_at(
            deadline,
            state.wait_for(|state| !matches!(state, State::Down(_))),
        )
        .await;
        if let Ok(Ok(state)) = &found {
            match &**state {
                State::Up(wire) => return Ok(wire.clone()),
                State::Refused { error, .. } => {
                    return Err(store_error(doing, &self.dial.place(), error.clone()));
                }
                State::Down(_) => {}
            }
        }
        drop(found);
        let last = match &*self.state.borrow() {
            State::Down(error) => error.clone(),
            _ => None,
        };
        Err(no_connection(doing, &self.dial.place(), last))
    }

    /// Sends requests in one go. There are as many answers as requests, or none if the connection
    /// broke; and the server that was asked.
    pub(super) async fn send_all(
        self: &Arc<Self>,
        calls: &[Call],
        deadline: Instant,
    ) -> (Vec<Value>, Arc<str>) {
        let nothing = |at: Arc<str>| (Vec::new(), at);
        let Some(first) = calls.first() else {
            return nothing(self.place());
        };
        let Ok(wire) = self.wire(first.doing, deadline).await else {
            return nothing(self.place());
        };
        let mut pipeline = Pipeline::with_capacity(calls.len());
        pipeline.ignore_errors();
        for call in calls {
            pipeline.add_command(call.cmd().clone());
        }
        let mut connection = wire.connection.clone();
        let sent = connection.send_packed_commands(&pipeline, 0, calls.len());
        if let Ok(Ok(answers)) = tokio::time::timeout_at(deadline, sent).await {
            return (answers, wire.at);
        }
        self.retire(&wire);
        nothing(wire.at)
    }

    /// What messages call the server while there is no connection.
    pub(super) fn place(&self) -> Arc<str> {
        self.dial.place()
    }

    /// Asks the server to tell us when `key` changes. False if it cannot.
    pub(super) async fn watch(self: &Arc<Self>, key: &[u8], deadline: Instant) -> bool {
        let Ok(wire) = self.wire("watch a key", deadline).await else {
            return false;
        };
        if !wire.can_track {
            return false;
        }
        // The read that follows the permission is the one that is tracked; of a key of another
        // type it fails, and is tracked all the same.
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.ignore_errors();
        pipeline.cmd("CLIENT").arg("CACHING").arg("YES");
        pipeline.cmd("EXISTS").arg(key);
        let mut connection = wire.connection;
        let sent = connection.send_packed_commands(&pipeline, 0, 2);
        matches!(tokio::time::timeout_at(deadline, sent).await, Ok(Ok(_)))
    }

    /// Whether the server pushes to us.
    pub(super) fn can_push(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(wire) if wire.can_push)
    }

    /// Takes `wire` out of use and begins to make another, unless that was done already.
    pub(super) fn retire(self: &Arc<Self>, wire: &Wire) {
        self.retire_number(wire.number);
        self.dial_in_background();
    }

    /// Takes the connection out of use, whichever it is, if another server may be the primary.
    pub(super) fn leave(self: &Arc<Self>) {
        let wire = match &*self.state.borrow() {
            State::Up(wire) if self.dial.may_lead_elsewhere() => wire.clone(),
            _ => return,
        };
        self.retire(&wire);
    }

    /// The connection with this number broke.
    pub(super) fn lost(self: &Arc<Self>, number: u64) {
        self.retire_number(number);
        if !self.hears.is_idle() {
            self.dial_in_background();
        }
    }

    fn retire_number(&self, number: u64) {
        self.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Up(up) if up.number == number);
            if is_it {
                self.number.store(0, Ordering::Release);
                *state = State::Down(None);
            }
            is_it
        });
    }

    /// Hears `channel` from now on, on this connection and on those to come.
    pub(super) async fn subscribe(&self, channel: &str) -> bool {
        {
            let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
            if !channels.iter().any(|known| known == channel) {
                channels.push(channel.to_owned());
            }
        }
        let wire = match &*self.state.borrow() {
            State::Up(wire) => wire.clone(),
            _ => return false,
        };
        if let Some(second) = wire.second {
            return second.subscribe(channel).await;
        }
        let mut connection = wire.connection;
        connection.subscribe(channel).await.is_ok()
    }

    fn dial_in_background(self: &Arc<Self>) {
        if let State::Refused { at, .. } = &*self.state.borrow()
            && at.elapsed() < LONGEST_PAUSE
        {
            return;
        }
        if self.is_dialling.swap(true, Ordering::AcqRel) {
            return;
        }
        // The task keeps the link alive only while it dials.
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let Some(direct) = weak.upgrade() else { return };
                match direct.dial_once().await {
                    Ok(wire) => {
                        direct.use_wire(wire);
                        direct.is_dialling.store(false, Ordering::Release);
                        direct.hears.reconnected();
                        return;
                    }
                    Err(error) if is_final(&error) => {
                        let at = from_now(Duration::ZERO);
                        direct.state.send_replace(State::Refused { error, at });
                        direct.is_dialling.store(false, Ordering::Release);
                        return;
                    }
                    Err(error) => direct.state.send_replace(State::Down(Some(error))),
                };
                drop(direct);
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    async fn dial_once(self: &Arc<Self>) -> Result<Wire, RedisError> {
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        let weak = Arc::downgrade(self);
        let hears = self.hears.clone();
        let hear = move |push: PushInfo| {
            match push.kind {
                redis::PushKind::Disconnection => {
                    if let Some(direct) = weak.upgrade() {
                        direct.lost(number);
                    }
                }
                _ => super::deliver(&*hears, &push),
            }
            Ok(())
        };
        match self.dial.connect(self.connect_timeout, Some(hear)).await {
            Ok((connection, at)) => Ok(self.set_up(connection, at, number).await),
            Err(error) if lacks_resp3(&error) => {
                let none = None::<fn(PushInfo) -> Result<(), ()>>;
                let (mut connection, at) = self.plain.connect(self.connect_timeout, none).await?;
                redis::cmd("PING")
                    .query_async::<()>(&mut connection)
                    .await?;
                let second = self.second(&at, number).await;
                Ok(Wire {
                    connection,
                    at,
                    number,
                    can_push: second.is_some(),
                    can_track: false,
                    second,
                })
            }
            Err(error) => Err(error),
        }
    }

    fn channels(&self) -> Vec<String> {
        // A panic elsewhere leaves the list whole.
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.clone()
    }

    /// Where pushes come besides a connection of RESP2, if any are wanted and the server lets us.
    async fn second(self: &Arc<Self>, at: &str, number: u64) -> Option<Arc<Second>> {
        let channels = self.channels();
        if channels.is_empty() {
            return None;
        }
        let (of, hears) = ((Arc::downgrade(self), number), self.hears.clone());
        let deadline = from_now(self.connect_timeout);
        Second::open((&self.plain, at), &channels, of, hears, deadline).await
    }

    /// Subscribes and asks for tracking; a server that refuses either is used without it.
    async fn set_up(
        &self,
        mut connection: MultiplexedConnection,
        at: Arc<str>,
        number: u64,
    ) -> Wire {
        let channels = self.channels();
        if channels.is_empty() {
            return Wire {
                connection,
                at,
                number,
                can_push: false,
                can_track: false,
                second: None,
            };
        }
        let can_push = connection.subscribe(channels).await.is_ok();
        // Apart from the others: a user may have the right to those alone.
        let _ = connection.subscribe(TAKEN).await;
        let can_track = redis::cmd("CLIENT")
            .arg("TRACKING")
            .arg("ON")
            .arg("OPTIN")
            .query_async::<()>(&mut connection)
            .await
            .is_ok();
        Wire {
            connection,
            at,
            number,
            can_push,
            can_track,
            second: None,
        }
    }
}

/// Whether dialling again would only be refused again.
fn is_final(error: &RedisError) -> bool {
    // Sentinels do not count a primary that is down, and the name was known when we first dialled.
    if error.kind() == redis::ErrorKind::MasterNameNotFoundBySentinel {
        return false;
    }
    is_garbled(error)
        || matches!(meaning(error), Meaning::Refused(kind) if kind != StoreErrorKind::Unavailable)
}
