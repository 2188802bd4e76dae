//! The freshness token: how far a read must have seen. Opaque outside; merged by the server, echoed by the client.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Streams that a token remembers: those written last.
const STREAMS_MAX: usize = 8;
/// Database sets that a token remembers.
const SETS_MAX: usize = 4;
/// The first byte of the encoding.
const VERSION: u8 = 1;
/// A set takes 20 bytes, a stream 24, beside three bytes of head.
const ENCODED_BYTES_MAX: usize = 3 + SETS_MAX * 20 + STREAMS_MAX * 24;

/// A point in one database set's write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The cluster's system identifier: the same on a primary and its standbys.
    pub set: u64,
    /// Grows by one with each promotion.
    pub timeline: u32,
    /// A byte position within the timeline.
    pub lsn: u64,
}

/// How far a read must have seen: a log position per database set, and the number of the last few streams written
/// (a position can't say that a projection caught up).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    positions: Vec<Position>,
    streams: Vec<(Uuid, i64)>,
}

impl Token {
    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.streams.is_empty()
    }

    /// The position in this set, if the token knows it.
    pub fn position(&self, set: u64) -> Option<Position> {
        self.positions.iter().copied().find(|p| p.set == set)
    }

    /// The number of `stream` that a read must have seen.
    pub fn seq(&self, stream: Uuid) -> Option<i64> {
        self.streams.iter().find(|(s, _)| *s == stream).map(|(_, seq)| *seq)
    }

    /// Adds a position; a later timeline wins over a higher LSN.
    pub fn add_position(&mut self, new: Position) {
        match self.positions.iter_mut().find(|p| p.set == new.set) {
            Some(old) if (old.timeline, old.lsn) < (new.timeline, new.lsn) => *old = new,
            Some(_) => {}
            None => {
                if self.positions.len() == SETS_MAX {
                    self.positions.remove(0);
                }
                self.positions.push(new);
            }
        }
    }

    /// Adds a stream's number; the oldest stream leaves when there are too many.
    pub fn add_stream(&mut self, stream: Uuid, seq: i64) {
        let seq = match self.streams.iter().position(|(s, _)| *s == stream) {
            Some(at) => self.streams.remove(at).1.max(seq),
            None => seq,
        };
        if self.streams.len() == STREAMS_MAX {
            self.streams.remove(0);
        }
        self.streams.push((stream, seq));
    }

    /// The positions alone: for one of many whose changes were committed together.
    pub fn without_streams(&self) -> Self {
        Self { positions: self.positions.clone(), streams: Vec::new() }
    }

    /// From here on both must be seen.
    pub fn merge(&mut self, other: &Token) {
        for position in &other.positions {
            self.add_position(*position);
        }
        for (stream, seq) in &other.streams {
            self.add_stream(*stream, *seq);
        }
    }

    /// The form that clients carry: base64url, at most about 370 characters.
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION, self.positions.len() as u8, self.streams.len() as u8];
        for p in &self.positions {
            bytes.extend(p.set.to_be_bytes());
            bytes.extend(p.timeline.to_be_bytes());
            bytes.extend(p.lsn.to_be_bytes());
        }
        for (stream, seq) in &self.streams {
            bytes.extend(stream.as_bytes());
            bytes.extend(seq.to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` when the text is not a token of this version.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > ENCODED_BYTES_MAX * 4 / 3 + 4 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let ([VERSION, sets, streams], mut rest) = bytes.split_first_chunk::<3>()? else { return None };
        let mut token = Token::default();
        for _ in 0..*sets {
            token.add_position(Position {
                set: u64::from_be_bytes(take(&mut rest)?),
                timeline: u32::from_be_bytes(take(&mut rest)?),
                lsn: u64::from_be_bytes(take(&mut rest)?),
            });
        }
        for _ in 0..*streams {
            let stream = Uuid::from_bytes(take(&mut rest)?);
            token.add_stream(stream, i64::from_be_bytes(take(&mut rest)?));
        }
        rest.is_empty().then_some(token)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(set: u64, timeline: u32, lsn: u64) -> Position {
        Position { set, timeline, lsn }
    }

    #[test]
    fn a_token_comes_back_as_it_was_encoded() {
        let mut token = Token::default();
        token.add_position(position(7, 2, 99));
        token.add_stream(Uuid::from_u128(5), 41);
        assert_eq!(Token::decode(&token.encode()), Some(token));
    }

    #[test]
    fn a_later_timeline_wins_over_a_higher_position() {
        let mut token = Token::default();
        token.add_position(position(1, 1, 1_000));
        token.add_position(position(1, 2, 10));
        token.add_position(position(1, 1, 2_000));
        assert_eq!(token.position(1), Some(position(1, 2, 10)));
    }

    #[test]
    fn the_streams_written_last_are_kept() {
        let mut token = Token::default();
        for n in 0..20u8 {
            token.add_stream(Uuid::from_u128(n.into()), n.into());
        }
        token.add_stream(Uuid::from_u128(12), 3);
        assert_eq!(token.seq(Uuid::from_u128(11)), None);
        assert_eq!(token.seq(Uuid::from_u128(12)), Some(12));
        assert!(token.encode().len() < 370);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "x", "AAAA", "AQEA", &"A".repeat(10_000)] {
            assert_eq!(Token::decode(text), None, "{text}");
        }
    }
}
