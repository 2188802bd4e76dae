//! What a module is given at its start: its database, its log's feeds, its caches, all moved by one tail.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::cache::{Caches, Tombstones};
use crate::context::{Clock, Context};
use crate::db::{Budget, Db, DbOptions, OpenError};
use crate::events::projector::{self, Wake};
use crate::events::tail::Tail;
use crate::events::{Feeds, Moved, Projection, log};
use crate::jobs::Jobs;
use crate::redis_node::RedisNode;

/// Partitions of the log that are made ahead: this month and the next two.
const MONTHS_AHEAD: i32 = 2;
/// How often it is looked whether the next month's partition is there.
const MAINTAIN_EVERY: Duration = Duration::from_secs(3_600);
/// How often the pools' gauges are set.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// The tail's own connection.
const TAIL_CONNECTIONS: usize = 1;

/// What a data path is made of.
pub struct DataPathOptions {
    /// The module's database.
    pub db: DbOptions,
    /// Redis, where there is one.
    pub redis: Option<RedisNode>,
    /// Names the data set in Redis; a restored database gets a new one.
    pub epoch: String,
    /// The program's clock.
    pub clock: Clock,
    /// The process's jobs.
    pub jobs: Jobs,
    /// Whether this process runs projections and jobs.
    pub work: bool,
    /// Ends everything.
    pub shutdown: CancellationToken,
}

/// One module's data path. Clones share it.
#[derive(Clone)]
pub struct DataPath {
    /// Pools, routing, transactions.
    pub db: Db,
    /// Streams to follow.
    pub feeds: Feeds,
    /// Tiers fenced by the log.
    pub caches: Caches,
    /// Handlers of background work, and the way to enqueue some.
    pub jobs: Jobs,
    /// The program's clock.
    pub clock: Clock,
    /// Told when the program shuts down.
    pub shutdown: CancellationToken,
    /// Background tasks: the shutdown waits for them.
    pub tasks: TaskTracker,
    told: Told,
    work: bool,
}

/// Everyone in this process who is told when a stream moves.
#[derive(Clone)]
struct Told {
    feeds: Feeds,
    caches: Caches,
    projectors: Arc<RwLock<Vec<Wake>>>,
}

impl DataPath {
    /// What each module's data path opens beside its pools.
    pub const CONNECTIONS_BESIDE_POOLS: usize = TAIL_CONNECTIONS;

    /// Opens the database, makes the log's partitions, and starts the tail.
    pub async fn open(options: DataPathOptions, budget: &Budget) -> Result<Self, OpenError> {
        let DataPathOptions { db, redis, epoch, clock, jobs, work, shutdown } = options;
        let ctx = Context::background(clock.clone());
        budget.reserve(&format!("the {} tail", db.module), TAIL_CONNECTIONS)?;
        let db = Db::open(&ctx, db, budget).await?;
        log::make_partitions(&db, &ctx, MONTHS_AHEAD).await?;
        let feeds = Feeds::new(db.clone(), clock.clone());
        let caches = Caches::new(db.clone(), redis.clone(), &epoch);
        let told = Told { feeds: feeds.clone(), caches: caches.clone(), projectors: Arc::default() };
        let path = Self { db, feeds, caches, jobs, clock, shutdown, tasks: TaskTracker::new(), told, work };
        path.start(redis, &epoch);
        Ok(path)
    }

    /// Whether this process runs projections and jobs.
    pub fn works(&self) -> bool {
        self.work
    }

    fn start(&self, redis: Option<RedisNode>, epoch: &str) {
        let hint = Arc::new(Notify::new());
        let committed = Arc::new(Notify::new());
        let channel = format!("weir:{epoch}:{}:moved", self.db.module());
        let own = Uuid::new_v4().to_string();
        let (told, commits) = (self.told.clone(), committed.clone());
        self.db.on_commit(Box::new(move |events| {
            told.committed(events);
            commits.notify_one();
        }));
        if let Some(redis) = redis {
            self.tasks.spawn(say_look(
                redis.clone(),
                channel.clone(),
                own.clone(),
                committed,
                self.shutdown.clone(),
            ));
            self.tasks.spawn(redis.listen(channel, own, hint.clone(), self.shutdown.clone()));
        }
        self.tasks.spawn(follow(self.db.clone(), self.told.clone(), hint, self.shutdown.clone()));
        self.tasks.spawn(maintain(self.db.clone(), self.clock.clone(), self.shutdown.clone()));
    }

    /// Starts a projector, where this process is to work.
    pub fn project(&self, projection: Projection) {
        if !self.work {
            return;
        }
        let (wake, run) =
            projector::start(self.db.clone(), self.clock.clone(), projection, self.shutdown.clone());
        self.told.projectors.write().push(wake);
        self.tasks.spawn(run);
    }
}

impl Told {
    fn committed(&self, events: &[Arc<crate::event::Event>]) {
        for event in events {
            self.caches.invalidate(event.stream, event.seq);
            for projector in self.projectors.read().iter() {
                projector.moved(&event.stream_kind, event.stream);
            }
        }
        self.feeds.offer(events);
    }

    fn moved(&self, moved: &[Moved]) {
        for m in moved {
            self.caches.invalidate(m.stream, m.head);
            self.feeds.moved(m.stream, m.head);
            for projector in self.projectors.read().iter() {
                projector.moved(&m.kind, m.stream);
            }
        }
    }

    fn held(&self) -> Vec<Uuid> {
        let mut held = self.caches.held();
        held.extend(self.feeds.watched());
        held
    }
}

/// The tail's loop: look, tell, bury, wait.
async fn follow(db: Db, told: Told, hint: Arc<Notify>, shutdown: CancellationToken) {
    let mut tail = Tail::new(db.clone(), hint);
    let mut tombstones = Tombstones::new(told.caches.clone());
    let follow = async {
        loop {
            if let Some(cursor) = tombstones.begin().await {
                tail.go_back_to(&cursor);
            }
            match tail.look(|| told.held()).await {
                Ok(found) => {
                    if told.caches.timeline() != found.timeline {
                        told.caches.start_over(found.timeline);
                        tombstones = Tombstones::new(told.caches.clone());
                    }
                    told.moved(&found.moved);
                    told.caches.tail_looked();
                    tombstones.bury(&found.moved, &found.cursor).await;
                }
                Err(error) => {
                    metrics::counter!("weir_tail_errors_total", "module" => db.module()).increment(1);
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(module = db.module(), error, "the tail can't look");
                }
            }
            tail.wait().await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follow => {}
    }
}

/// Tells the other processes that something was committed; what is committed meanwhile is told once.
async fn say_look(
    redis: RedisNode,
    channel: String,
    own: String,
    committed: Arc<Notify>,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = committed.notified() => redis.publish(&channel, &own).await,
        }
    }
}

/// Keeps the coming months' partitions made and the pools' gauges set.
async fn maintain(db: Db, clock: Clock, shutdown: CancellationToken) {
    let mut maintained = tokio::time::Instant::now();
    loop {
        db.report();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(REPORT_EVERY) => {}
        }
        if maintained.elapsed() >= MAINTAIN_EVERY {
            maintained = tokio::time::Instant::now();
            let ctx = Context::background(clock.clone());
            if let Err(error) = log::make_partitions(&db, &ctx, MONTHS_AHEAD).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(module = db.module(), error, "the log's coming partitions can't be made");
            }
        }
    }
}
