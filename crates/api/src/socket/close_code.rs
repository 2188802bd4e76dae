//! Why the server closed a socket. Numbers from 4400 follow the HTTP status they resemble.

/// The process is going away; connect again (to another one) and resume.
pub const GOING_AWAY: u16 = 1001;
/// A message was larger than the limit of the route.
pub const TOO_LARGE: u16 = 1009;
/// No valid token came in time, or the one that was given has ended.
pub const UNAUTHENTICATED: u16 = 4401;
/// The client reads more slowly than a private channel runs, or not at all; connect and resume.
pub const SLOW: u16 = 4408;
/// The subject has too many sockets open.
pub const TOO_MANY: u16 = 4429;
