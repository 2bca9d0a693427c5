//! Turns cron expressions, intervals and zones into ticks: pure time, no clock, no I/O.
//!
//! ```
//! use jiff::Timestamp;
//! use tenure_schedule::{Schedule, Zone};
//!
//! let berlin = Zone::parse("Europe/Berlin")?;
//! let schedule = Schedule::parse_in("30 2 * * MON-FRI", &berlin)?;
//! let now: Timestamp = "2026-03-26T12:00:00Z".parse()?;
//! let next: Vec<Timestamp> = schedule.ticks_after(now).take(2).collect();
//! assert_eq!(next[0], "2026-03-27T01:30:00Z".parse()?); // Friday, at +01:00
//! assert_eq!(next[1], "2026-03-30T00:30:00Z".parse()?); // Monday, at +02:00
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
#![doc = include_str!("../guide.md")]

mod advice;
mod builder;
mod calendar;
mod civil;
mod component;
mod crontab;
mod dialect;
mod draft;
mod english;
mod english_time;
mod error;
mod every;
mod explain;
mod field;
mod fine;
mod item;
mod krontab;
mod local;
mod meant;
mod parse;
mod piece;
mod policy;
mod quartz;
mod readings;
mod schedule;
mod search;
mod sentence;
mod systemd;
mod ticks;
mod warning;
mod words;
mod zone;

pub use builder::{ScheduleBuilder, Values, ValuesFrom};
pub use dialect::Dialect;
pub use error::{ScheduleError, ScheduleErrorKind};
pub use field::Field;
pub use policy::{DstGap, DstOverlap};
pub use readings::Reading;
pub use schedule::Schedule;
pub use ticks::Ticks;
pub use warning::ScheduleWarning;
pub use zone::{Zone, tzdb_version};
