//! What the socket of `/v1/health/ws` speaks: samples in, on credit, and a person's samples and series as they come. No SQL,
//! no rules.

mod follow;
mod samples;
mod series;
mod turns;

use std::sync::Arc;

use api::extract::body::BODY_BYTES_MAX;
use api::socket::{
    Call, ChannelKind, Credit, MessageKind, Operation, Protocol, Reply, SchemaOf, SocketError, Subscribe,
    Subscribing, args,
};
use common::context::Context;
use common::limit::Class;
use futures_util::FutureExt;
use futures_util::future::ready;
use serde_json::value::RawValue;

use self::turns::Turns;
use crate::collector::credit_for;
use crate::service::Health;
use crate::wire::{Acknowledgement, DaysReset, DeviceSamples, LiveSamples, LiveSeries};
use crate::wire::{SamplesArgs, SendSamples, SeriesArgs};

/// The module, in metrics, quotas and the document.
pub const NAME: &str = "health";

/// As much as a request over HTTP, and the envelope.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024 + 1_024;

const SEND: &str = "samples.send";

const SAMPLES: &str = "samples";
const SERIES: &str = "series";

const UPDATE: &str = "update";
const RESET: &str = "reset";

const READ: &str = "health:read";
const WRITE: &str = "health:write";

/// The operations.
pub const OPERATIONS: &[Operation] = &[Operation {
    name: SEND,
    summary: "Record what a device measured, on credit: each sample (or each KiB, when those are more) takes one",
    scope: WRITE,
    class: Class::Write,
    args: SchemaOf::of::<SendSamples>(),
    reply: SchemaOf::of::<Acknowledgement>(),
}];

/// The kinds of channels.
pub const CHANNELS: &[ChannelKind] = &[
    ChannelKind {
        name: SAMPLES,
        key: "person",
        summary: "A person's samples as they are stored, gapless and in the order in which they came",
        scope: READ,
        conflated: false,
        args: SchemaOf::of::<SamplesArgs>(),
        messages: &[MessageKind {
            name: UPDATE,
            summary: "What one change brought",
            data: SchemaOf::of::<LiveSamples>(),
        }],
    },
    ChannelKind {
        name: SERIES,
        key: "person",
        summary: "A person's series: each bucket that was added to, as it is then",
        scope: READ,
        conflated: false,
        args: SchemaOf::of::<SeriesArgs>(),
        messages: &[
            MessageKind {
                name: UPDATE,
                summary: "Buckets that were added to",
                data: SchemaOf::of::<LiveSeries>(),
            },
            MessageKind {
                name: RESET,
                summary: "The person moved to another zone: all days are others",
                data: SchemaOf::of::<DaysReset>(),
            },
        ],
    },
];

/// Health's side of one socket.
pub struct Socket {
    health: Arc<Health>,
    credit: Credit,
    turns: Turns,
}

impl Socket {
    /// Over the module.
    pub fn new(health: Arc<Health>) -> Self {
        Self { credit: health.open_credit(), health, turns: Turns::default() }
    }

    /// Takes the credit before this returns. The device is looked up meanwhile; messages enter their queues in the order in
    /// which they came.
    fn send(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let mut sent: DeviceSamples = args(raw)?;
        let device = sent.take_device()?;
        let taken = self.credit.take(credit_for(sent.count(), raw.get().len()))?;
        let turn = self.turns.join();
        let (health, ctx) = (self.health.clone(), ctx.clone());
        Ok(async move {
            let found = health.own_device(&ctx, device).await;
            let turn = turn.come().await;
            let (batch, asked) = sent.into_batch();
            let recorded = health.queue_samples(&ctx, &found?, batch, taken)?;
            drop(turn);
            Reply::of(&Acknowledgement::of(asked, recorded.await?))
        }
        .boxed())
    }
}

impl Protocol for Socket {
    fn name(&self) -> &'static str {
        NAME
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn channels(&self) -> &'static [ChannelKind] {
        CHANNELS
    }

    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }

    /// As over HTTP: a few samples are an ordinary write, the backlog of a month is not.
    fn class(&self, operation: &Operation, args_bytes: usize) -> Class {
        if args_bytes > BODY_BYTES_MAX { Class::Bulk } else { operation.class }
    }

    fn credit(&self) -> Option<&Credit> {
        Some(&self.credit)
    }

    fn call(&self, ctx: &Context, _: &'static str, args: &RawValue) -> Call {
        self.send(ctx, args).unwrap_or_else(|error| ready(Err(error)).boxed())
    }

    fn subscribe(&self, ctx: &Context, subscribe: Subscribe) -> Subscribing {
        let (health, ctx) = (self.health.clone(), ctx.clone());
        async move {
            match subscribe.name {
                SAMPLES => samples::follow(health, &ctx, &subscribe).await,
                _ => series::follow(health, &ctx, &subscribe).await,
            }
        }
        .boxed()
    }
}
