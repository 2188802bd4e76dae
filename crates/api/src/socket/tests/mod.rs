//! The session over a real local socket, against a toy protocol.

mod channels;
mod credit;
mod messages;
mod toy;
mod ways_to_end;
