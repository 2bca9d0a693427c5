//! Taking and giving back keys that nobody else wants.

use std::time::Duration;

use tenure::{Locks, Tenure};
use tenure_redis::bare::{BarePairs, RawPairs};

use crate::Progress;
use crate::load::{Load, Worker, in_turns, load, order};
use crate::place::{Place, Trouble};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::workload::Workload;

const BARE: &str = "SET NX PX and a script that compares and deletes, on the same client";
const RAW: &str = "the same scripts called raw on the same client";
const BARE_MAJORITY: &str = "the same pairs raw in parallel, returning at the majority";
#[cfg(feature = "rslock")]
const RSLOCK: &str = "the crate rslock, on the same client";

/// The product.
struct Ours {
    locks: Locks,
    key: String,
}

impl Worker for Ours {
    async fn pair(&mut self) -> Result<(), Trouble> {
        let guard = self.locks.lock(&self.key).acquire().await?;
        guard.release().await?;
        Ok(())
    }
}

/// The limit.
struct Bare {
    pairs: BarePairs,
    key: String,
}

impl Worker for Bare {
    async fn pair(&mut self) -> Result<(), Trouble> {
        Ok(self.pairs.pair(&self.key).await?)
    }
}

/// The product's own requests without the product.
struct Raw {
    pairs: RawPairs,
    key: String,
}

impl Worker for Raw {
    async fn pair(&mut self) -> Result<(), Trouble> {
        Ok(self.pairs.pair(&self.key).await?)
    }
}

/// Another library.
#[cfg(feature = "rslock")]
struct Rslock {
    pairs: tenure_redis::bare::RslockPairs,
    key: String,
}

#[cfg(feature = "rslock")]
impl Worker for Rslock {
    async fn pair(&mut self) -> Result<(), Trouble> {
        Ok(self.pairs.pair(&self.key).await?)
    }
}

/// The sides of a comparison, connected once.
struct Sides<'a> {
    place: &'a Place,
    bare: Option<BarePairs>,
    raw: Option<RawPairs>,
    /// The product on the same servers without fences, where these cost a round trip of their own.
    unfenced: Option<Tenure>,
    #[cfg(feature = "rslock")]
    rslock: Option<tenure_redis::bare::RslockPairs>,
}

/// What all rounds came to.
#[derive(Default)]
struct Rounds {
    ours: Vec<Load>,
    bare: Vec<Load>,
    raw: Vec<Load>,
    #[cfg_attr(not(feature = "rslock"), expect(dead_code, reason = "nobody fills it"))]
    rslock: Vec<Load>,
}

impl<'a> Sides<'a> {
    async fn connect(place: &'a Place) -> Result<Self, Trouble> {
        let bare = match place.options() {
            Some(options) => Some(BarePairs::connect(options).await?),
            None => None,
        };
        let raw = match place.redis() {
            Some(redis) => Some(RawPairs::connect(&redis.options).await?),
            None => None,
        };
        Ok(Self {
            place,
            bare,
            raw,
            unfenced: place.unfenced().await?,
            #[cfg(feature = "rslock")]
            rslock: place
                .options()
                .and_then(|options| tenure_redis::bare::RslockPairs::new(options).ok()),
        })
    }

    async fn rounds(&self, tasks: usize, settings: &Settings) -> Result<Rounds, Trouble> {
        let mut rounds = Rounds::default();
        // Not counted: connections, scripts and memory are warm after it.
        self.round(&mut Rounds::default(), 0, tasks, settings.span / 4)
            .await?;
        for round in 0..settings.rounds {
            self.round(&mut rounds, round, tasks, settings.span).await?;
        }
        Ok(rounds)
    }

    async fn round(
        &self,
        rounds: &mut Rounds,
        round: usize,
        tasks: usize,
        span: Duration,
    ) -> Result<(), Trouble> {
        for side in order::<4>(round) {
            match side {
                0 => {
                    let locks = self.place.tenure.locks();
                    let ours = |task: usize| Ours {
                        locks: locks.clone(),
                        key: self.place.key(format_args!("pair/{task}")),
                    };
                    rounds.ours.push(load(tasks, span, ours).await?);
                }
                1 => {
                    let Some(pairs) = &self.bare else { continue };
                    let bare = |task: usize| Bare {
                        pairs: pairs.clone(),
                        key: self.place.bare_key(format_args!("bare/{task}")),
                    };
                    rounds.bare.push(load(tasks, span, bare).await?);
                }
                2 => {
                    let Some(pairs) = &self.raw else { continue };
                    let raw = |task: usize| Raw {
                        pairs: pairs.clone(),
                        key: self.place.key(format_args!("raw/{task}")),
                    };
                    rounds.raw.push(load(tasks, span, raw).await?);
                }
                _ =>
                {
                    #[cfg(feature = "rslock")]
                    if let Some(pairs) = &self.rslock {
                        let theirs = |task: usize| Rslock {
                            pairs: pairs.clone(),
                            key: self.place.bare_key(format_args!("rslock/{task}")),
                        };
                        rounds.rslock.push(load(tasks, span, theirs).await?);
                    }
                }
            }
        }
        Ok(())
    }
}

fn of(loads: &[Load], pick: fn(&Load) -> f64) -> Vec<f64> {
    loads.iter().map(pick).collect()
}

/// One of those that take turns.
enum Turn {
    Ours(Ours),
    Bare(Bare),
    Raw(Raw),
}

impl Worker for Turn {
    async fn pair(&mut self) -> Result<(), Trouble> {
        match self {
            Self::Ours(side) => side.pair().await,
            Self::Bare(side) => side.pair().await,
            Self::Raw(side) => side.pair().await,
        }
    }
}

/// The median times of a pair of one task, round by round; nothing of a side that there is not.
#[derive(Default)]
struct Medians {
    ours: Vec<f64>,
    unfenced: Vec<f64>,
    bare: Vec<f64>,
    raw: Vec<f64>,
}

impl Sides<'_> {
    async fn in_turns(&self, settings: &Settings) -> Result<Medians, Trouble> {
        let mut medians = Medians::default();
        // Not counted: connections, scripts and memory are warm after it.
        let warm_up = settings.span / 4;
        self.turns(&mut Medians::default(), warm_up, false).await?;
        for round in 0..settings.rounds {
            let is_reversed = !round.is_multiple_of(2);
            self.turns(&mut medians, settings.span, is_reversed).await?;
        }
        Ok(medians)
    }

    /// One round, in which each side has `span`.
    async fn turns(
        &self,
        medians: &mut Medians,
        span: Duration,
        is_reversed: bool,
    ) -> Result<(), Trouble> {
        let of = |tenure: &Tenure, what: &str| {
            Turn::Ours(Ours {
                locks: tenure.locks(),
                key: self.place.key(what),
            })
        };
        let mut sides = vec![(&mut medians.ours, of(&self.place.tenure, "pair"))];
        if let Some(tenure) = &self.unfenced {
            sides.push((&mut medians.unfenced, of(tenure, "unfenced")));
        }
        if let Some(pairs) = &self.bare {
            let (pairs, key) = (pairs.clone(), self.place.bare_key("bare"));
            sides.push((&mut medians.bare, Turn::Bare(Bare { pairs, key })));
        }
        if let Some(pairs) = &self.raw {
            let (pairs, key) = (pairs.clone(), self.place.key("raw"));
            sides.push((&mut medians.raw, Turn::Raw(Raw { pairs, key })));
        }
        let (into, turns): (Vec<_>, Vec<_>) = sides.into_iter().unzip();
        let span = span * u32::try_from(turns.len()).unwrap_or(1);
        let all = in_turns(turns, span, is_reversed).await?;
        for (medians, median) in into.into_iter().zip(all) {
            medians.push(median);
        }
        Ok(())
    }
}

pub(crate) async fn uncontended(
    workload: Workload,
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    progress("one task, one key");
    let medians = Sides::connect(place).await?.in_turns(settings).await?;
    let limits = &medians.bare;
    let row = |case: &str, ours: &[f64]| {
        Row::of_rounds(workload, case, "p50 of a pair", Unit::Micros, ours)
    };
    if workload != Workload::Quorum {
        let bare = row("1 task", &medians.ours).beside(BARE, limits);
        report.add(bare.bar(Bar::RatioAtMost(1.15)));
        if !medians.raw.is_empty() {
            // Without a bar: it says which part of the difference is the library's.
            report.add(row("1 task", &medians.ours).beside(RAW, &medians.raw));
        }
        return Ok(());
    }
    let servers = place.version().await;
    if medians.unfenced.is_empty() {
        let row = row(&servers, &medians.ours).beside(BARE_MAJORITY, limits);
        report.add(row.bar(Bar::RatioAtMost(1.25)));
        return Ok(());
    }
    let unfenced = row(&format!("{servers}, fenced=false"), &medians.unfenced);
    let unfenced = unfenced.beside(BARE_MAJORITY, limits);
    report.add(unfenced.bar(Bar::RatioAtMost(1.25)));
    // Without a bar: to agree on a fence is a third round trip, which the limit does not make.
    let fenced = row(&format!("{servers}, fenced"), &medians.ours);
    report.add(fenced.beside(BARE_MAJORITY, limits));
    Ok(())
}

pub(crate) async fn throughput(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let sides = Sides::connect(place).await?;
    for tasks in [64, 1024] {
        progress(&format!("{tasks} tasks, a key each"));
        let rounds = sides.rounds(tasks, settings).await?;
        let case = format!("{tasks} tasks");
        let rate = of(&rounds.ours, |one| one.per_second);
        let row = || Row::of_rounds(Workload::Throughput, &case, "pairs", Unit::PerSecond, &rate);
        report.add(
            row()
                .beside(RAW, &of(&rounds.raw, |one| one.per_second))
                .bar(Bar::RatioAtLeast(0.85)),
        );
        // Without a bar: it says what fences and a queue cost on the server.
        report.add(row().beside(BARE, &of(&rounds.bare, |one| one.per_second)));
        #[cfg(feature = "rslock")]
        if !rounds.rslock.is_empty() {
            report.add(
                row()
                    .beside(RSLOCK, &of(&rounds.rslock, |one| one.per_second))
                    .bar(Bar::RatioAtLeast(1.25)),
            );
        }
        if tasks == 1024 {
            let cpu = of(&rounds.ours, |one| one.cpu);
            report.add(
                Row::of_rounds(
                    Workload::Throughput,
                    &case,
                    "client CPU for 100 000 pairs",
                    Unit::CpuMillis,
                    &cpu,
                )
                .beside(RAW, &of(&rounds.raw, |one| one.cpu))
                .bar(Bar::RatioAtMost(1.3)),
            );
        }
    }
    #[cfg(not(feature = "rslock"))]
    if sides.bare.is_some() {
        report.skip(
            Workload::Throughput,
            "the comparison with the crate rslock needs a build with the feature bench-rslock",
        );
    }
    Ok(())
}
