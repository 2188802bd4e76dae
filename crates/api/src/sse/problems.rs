//! The problem types that only an event stream has.

use crate::problem::ProblemType;

/// The subject's streams are used up.
pub const TOO_MANY_STREAMS: ProblemType = ProblemType {
    code: "too-many-streams",
    title: "Too many event streams are open",
    status: 429,
    explanation: "One subject may hold a limited number of open event streams. Close one first.",
};
/// The subject's tickets are used up.
pub const TOO_MANY_TICKETS: ProblemType = ProblemType {
    code: "too-many-tickets",
    title: "Too many tickets are valid",
    status: 429,
    explanation: "One subject may have a limited number of tickets that can still be used. One that is never used \
                  is over after 30 seconds, another 10 minutes after its last use.",
};
/// The ticket opens nothing.
pub const TICKET_UNKNOWN: ProblemType = ProblemType {
    code: "ticket-unknown",
    title: "The ticket opens nothing",
    status: 404,
    explanation: "There is no such ticket for this stream, or it is over: a ticket is first used within 30 seconds, and \
                  then again within 10 minutes after its last use. Make a new one and resume from the last number.",
};

/// All of them, for the registry.
pub const PROBLEMS: &[&ProblemType] = &[&TOO_MANY_STREAMS, &TOO_MANY_TICKETS, &TICKET_UNKNOWN];
