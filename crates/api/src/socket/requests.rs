//! What a session does with one message: sign-in, ping, subscriptions, and the module's operations.

use std::sync::Arc;

use common::context::{Caller, Context, ContextParts};
use common::db::Token;
use common::limit::{self, Class, Layer, Permit, Who};
use futures_util::FutureExt;
use garde::Validate;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::end::End;
use super::envelope::{Frame, Id, Request, SessionArgs, take_session_args};
use super::error::SocketError;
use super::in_flight::InFlight;
use super::problems::{
    ALREADY_SUBSCRIBED, NOT_SUBSCRIBED, TOO_MANY_SUBSCRIPTIONS, UNKNOWN_CHANNEL, UNKNOWN_OPERATION,
};
use super::protocol::{Subscribe, args};
use super::session::Session;
use crate::context::require;
use crate::problem::kinds::{FORBIDDEN, INVALID_PARAMETER, OVERLOADED, RATE_LIMITED, UNAUTHENTICATED};
use crate::problem::{Problem, ProblemType};

/// The longest name of a channel, in bytes.
const CHANNEL_BYTES_MAX: usize = 256;

/// `args` of `auth`.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct AuthArgs {
    #[garde(length(min = 1))]
    token: String,
}

impl Session {
    /// Answers the message, or starts what will answer it.
    pub(super) fn handle(&mut self, id: &Id, request: &Request<'_>) -> Result<(), SocketError> {
        match &*request.op {
            "ping" => {
                let data = serde_json::json!({"at": self.context.now()}).to_string();
                self.send(&Frame { id: Some(id), kind: "pong", data: Some(&data), ..Frame::default() });
                Ok(())
            }
            "auth" => self.start_sign_in(id.clone(), request.args),
            _ if self.seat.is_none() => {
                Err(SocketError::of(&UNAUTHENTICATED)
                    .detail("the first message is auth, with an access token"))
            }
            "subscribe" => self.subscribe(id, request),
            "unsubscribe" => {
                let name = request.channel.as_deref().unwrap_or_default();
                if !self.channels.close(name) {
                    return Err(
                        SocketError::of(&NOT_SUBSCRIBED).detail(format!("{name:?} is not subscribed to"))
                    );
                }
                self.unsubscribed(id, name);
                Ok(())
            }
            op => self.call(id, op, request),
        }
    }

    fn call(&mut self, id: &Id, op: &str, request: &Request<'_>) -> Result<(), SocketError> {
        let Some(operation) = self.protocol.operations().iter().find(|it| it.name == op) else {
            return Err(SocketError::of(&UNKNOWN_OPERATION).detail(format!("{op:?} is no operation here")));
        };
        if request.channel.is_some() {
            return Err(misplaced_channel());
        }
        let (taken, args) = take_session_args(request.args, false)?;
        let ctx = self.message_context(taken)?;
        allowed(&ctx, operation.scope)?;
        let permit = self.admit(&ctx, self.protocol.class(operation, args.get().len()))?;
        let call = self.protocol.call(&ctx, operation.name, &args);
        self.calls.push(InFlight::Call { id: id.clone(), ctx, call, _permit: permit });
        Ok(())
    }

    fn subscribe(&mut self, id: &Id, request: &Request<'_>) -> Result<(), SocketError> {
        let full_name = request.channel.as_deref().unwrap_or_default();
        let unknown =
            || SocketError::of(&UNKNOWN_CHANNEL).detail(format!("{full_name:?} is no channel here"));
        if full_name.len() > CHANNEL_BYTES_MAX {
            return Err(SocketError::of(&UNKNOWN_CHANNEL).detail("the name is too long"));
        }
        let (name, key) = full_name.split_once(':').ok_or_else(unknown)?;
        let kind = self.protocol.channels().iter().find(|it| it.name == name).ok_or_else(unknown)?;
        if self.channels.contains(full_name) {
            return Err(SocketError::of(&ALREADY_SUBSCRIBED).detail(format!("{full_name} is subscribed to")));
        }
        let subscriptions_max = self.shared.options.subscriptions_max;
        if self.channels.len() >= subscriptions_max {
            let detail = format!("a socket holds {subscriptions_max} subscriptions");
            return Err(SocketError::of(&TOO_MANY_SUBSCRIPTIONS).detail(detail));
        }
        let (taken, args) = take_session_args(request.args, true)?;
        let resume_from = taken.resume_from;
        if resume_from.is_some_and(|from| from < 0) {
            return Err(wrong_argument("/resume_from", "is negative"));
        }
        let ctx = self.message_context(taken)?;
        allowed(&ctx, kind.scope)?;
        let permit = self.admit(&ctx, Class::Stream)?;
        let subscribe =
            Subscribe { name: kind.name, key: key.to_owned(), resume_from, args: args.into_owned() };
        let subscribing = self.protocol.subscribe(&ctx, subscribe);
        let name: Arc<str> = full_name.into();
        let serial = self.channels.reserve(name.clone());
        self.calls.push(InFlight::Subscribe { id: id.clone(), name, serial, subscribing, _permit: permit });
        Ok(())
    }

    fn start_sign_in(&mut self, id: Id, raw: Option<&RawValue>) -> Result<(), SocketError> {
        let raw = raw.ok_or_else(|| wrong_argument("/token", "is missing"))?;
        let AuthArgs { token } = args(raw)?;
        let verifier = self.shared.verifier.clone();
        self.signing_in = Some(async move { (id, verifier.authenticate(&token).await) }.boxed());
        Ok(())
    }

    /// Nothing is read while a sign-in is under way, so whatever follows it is done in its name.
    pub(super) fn on_signed_in(&mut self, id: &Id, result: Result<Caller, Problem>) -> Result<(), End> {
        let caller = match result {
            Ok(caller) => caller,
            Err(problem) => {
                self.send_error(id, &problem.into());
                return Ok(());
            }
        };
        match &self.seat {
            None => match self.shared.seat(&caller.subject) {
                Ok(seat) => self.seat = Some(seat),
                Err(problem) => {
                    self.send_error(id, &problem.into());
                    return Err(End::TooMany);
                }
            },
            Some(_) if caller.subject != self.context.caller().subject => {
                let error = SocketError::of(&FORBIDDEN).detail("the socket belongs to another subject");
                self.send_error(id, &error);
                return Ok(());
            }
            Some(_) => {}
        }
        let data =
            serde_json::json!({"subject": &*caller.subject, "expires_at": caller.expires_at}).to_string();
        self.context = with_caller(&self.context, caller);
        self.reset_timer();
        self.send(&Frame { id: Some(id), kind: "authenticated", data: Some(&data), ..Frame::default() });
        Ok(())
    }

    /// Takes one message's cost from the caller's quota.
    fn admit(&self, ctx: &Context, class: Class) -> Result<Permit, SocketError> {
        let Caller { subject, plan, .. } = ctx.caller();
        let who = Who::Subject { subject, plan };
        let request = limit::Request { who, class, units: 1, resource: Some(self.protocol.name()) };
        self.shared.limits.check(&request).outcome.map_err(|refusal| {
            let kind = match refusal.layer {
                Layer::User => &RATE_LIMITED,
                Layer::Resource => &OVERLOADED,
            };
            SocketError::of(kind).after(refusal.retry_after).with("policy", &*refusal.policy)
        })
    }

    fn message_context(&self, taken: SessionArgs) -> Result<Context, SocketError> {
        let token = match taken.token {
            None => Token::default(),
            Some(text) => {
                Token::decode(&text).ok_or_else(|| wrong_argument("/token", "is no consistency token"))?
            }
        };
        Ok(self.context.child(token, self.shared.options.call_within))
    }
}

fn with_caller(context: &Context, caller: Caller) -> Context {
    ContextParts {
        caller,
        deadline: Instant::now(),
        priority: context.priority(),
        token: Token::default(),
        wait: context.wait(),
        clock: context.clock().clone(),
        trace_id: context.trace_id().into(),
    }
    .into()
}

fn allowed(ctx: &Context, scope: &str) -> Result<(), SocketError> {
    if scope.is_empty() { Ok(()) } else { Ok(require(ctx, scope)?) }
}

fn misplaced_channel() -> SocketError {
    SocketError::of(&INVALID_PARAMETER).detail("channel is for subscribe and unsubscribe").field(
        "/channel",
        "is only for subscribe and unsubscribe",
        "misplaced",
    )
}

fn wrong_argument(pointer: &str, detail: &str) -> SocketError {
    let kind: &'static ProblemType = &INVALID_PARAMETER;
    SocketError::of(kind).detail(format!("args{pointer} {detail}")).field(pointer, detail, "invalid")
}
