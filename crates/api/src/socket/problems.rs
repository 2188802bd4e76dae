//! The problem types that only a socket has.

use crate::problem::ProblemType;

/// The module knows no such `op`.
pub const UNKNOWN_OPERATION: ProblemType = ProblemType {
    code: "unknown-operation",
    title: "There is no such operation",
    status: 400,
    explanation: "The `op` of the message is none of this socket's. `/asyncapi.json` lists them.",
};
/// The module knows no such channel.
pub const UNKNOWN_CHANNEL: ProblemType = ProblemType {
    code: "unknown-channel",
    title: "There is no such channel",
    status: 400,
    explanation: "A channel is named by its kind and what it is about, such as `book:{instrument}`. \
                  `/asyncapi.json` lists the kinds.",
};
/// The socket has this subscription already.
pub const ALREADY_SUBSCRIBED: ProblemType = ProblemType {
    code: "already-subscribed",
    title: "The socket is subscribed to this channel",
    status: 409,
    explanation: "A socket holds one subscription per channel. Unsubscribe first to begin again from another \
                  number.",
};
/// The socket has no such subscription.
pub const NOT_SUBSCRIBED: ProblemType = ProblemType {
    code: "not-subscribed",
    title: "The socket is not subscribed to this channel",
    status: 409,
    explanation: "There is nothing to unsubscribe from: the subscription was never made, or it has ended.",
};
/// The socket's subscriptions are used up.
pub const TOO_MANY_SUBSCRIPTIONS: ProblemType = ProblemType {
    code: "too-many-subscriptions",
    title: "The socket has too many subscriptions",
    status: 429,
    explanation: "A socket holds a limited number of subscriptions. Unsubscribe from one, or open another socket.",
};
/// The subject's sockets are used up.
pub const TOO_MANY_SOCKETS: ProblemType = ProblemType {
    code: "too-many-sockets",
    title: "Too many sockets are open",
    status: 429,
    explanation: "One subject may hold a limited number of open sockets. Close one first.",
};
/// `resume_from` lies before what is kept.
pub const RESUME_TOO_OLD: ProblemType = ProblemType {
    code: "resume-too-old",
    title: "The number to resume from is no longer kept",
    status: 410,
    explanation: "What happened after this number is no longer kept in full. Subscribe without `resume_from` \
                  and begin with a fresh snapshot. `floor` is the oldest number that can be resumed from.",
};

/// More would be under way than was granted.
pub const NO_CREDIT: ProblemType = ProblemType {
    code: "no-credit",
    title: "There is no credit for the message",
    status: 429,
    explanation: "The last `credit` of a frame says how much may be under way: sent and not yet answered. Nothing of this \
                  message was taken. Send it again when answers have come or more was granted, or send less at once. \
                  `needed` is what the message takes, `under_way` what was under way.",
};

/// All of them, for the registry.
pub const PROBLEMS: &[&ProblemType] = &[
    &UNKNOWN_OPERATION,
    &UNKNOWN_CHANNEL,
    &ALREADY_SUBSCRIBED,
    &NOT_SUBSCRIBED,
    &TOO_MANY_SUBSCRIPTIONS,
    &TOO_MANY_SOCKETS,
    &RESUME_TOO_OLD,
    &NO_CREDIT,
];
