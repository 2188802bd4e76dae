//! How fresh a projection must be: it has seen what the caller's token has. A reader's log position can't say that,
//! for the projector may be behind although the reader is not; the projection's own `as_of` can.

use std::future::Future;
use std::time::Duration;

use common::context::Context;
use common::db::{Freshness, STALE_MAX};
use tokio::time::Instant;
use uuid::Uuid;

use crate::problem::{Problem, kinds};

/// Between two looks at a projection that is behind.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When to come back for a projection that is behind.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Reads a projection of `stream` that has seen what the caller has written, or answers 503 `projection-behind`.
///
/// `read` gives the number up to which the projection has seen the stream (its `as_of`), read in the same statement as
/// what it shows. A standby may answer first (no older than [`STALE_MAX`]), and then the writer, for as long as the caller
/// allows with `Prefer: wait=`.
pub async fn projected<T, E, F>(
    ctx: &Context,
    stream: Uuid,
    mut read: impl FnMut(Freshness) -> F,
) -> Result<T, Problem>
where
    E: Into<Problem>,
    F: Future<Output = Result<(i64, T), E>>,
{
    let needed = ctx.token().seq(stream).unwrap_or_default();
    let wait_until = ctx.deadline().min(Instant::now() + ctx.wait());
    let mut freshness = Freshness::BoundedStaleness(STALE_MAX);
    loop {
        let (as_of, value) = read(freshness).await.map_err(Into::into)?;
        if as_of >= needed {
            return Ok(value);
        }
        if !matches!(freshness, Freshness::Strong) {
            freshness = Freshness::Strong;
            continue;
        }
        if Instant::now() + LOOK_EVERY > wait_until {
            return Err(Problem::of(&kinds::PROJECTION_BEHIND)
                .detail(format!("the view has seen number {as_of} and number {needed} was asked for"))
                .with("as_of", as_of)
                .retry_after(RETRY_AFTER));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use common::context::{Caller, Clock, ContextParts, Priority};
    use common::db::Token;

    use super::*;

    const STREAM: Uuid = Uuid::from_u128(7);

    fn context(seen: i64, wait: Duration) -> Context {
        let mut token = Token::default();
        token.add_stream(STREAM, seen);
        ContextParts {
            caller: Caller::system(),
            deadline: Instant::now() + Duration::from_secs(5),
            priority: Priority::Normal,
            token,
            wait,
            clock: Clock::default(),
            trace_id: "t".into(),
        }
        .into()
    }

    /// A projection that has seen one more event at each look, from `first` on.
    async fn read(ctx: &Context, first: i64) -> Result<Vec<bool>, Problem> {
        let looks = Cell::new(Vec::new());
        let read = |freshness| {
            let mut strong = looks.take();
            strong.push(matches!(freshness, Freshness::Strong));
            let as_of = first + strong.len() as i64 - 1;
            looks.set(strong);
            std::future::ready(Ok::<_, Problem>((as_of, ())))
        };
        projected(ctx, STREAM, read).await.map(|()| looks.take())
    }

    #[tokio::test]
    async fn a_view_that_is_fresh_enough_is_read_once() {
        assert_eq!(read(&context(3, Duration::ZERO), 3).await.unwrap(), [false]);
        assert_eq!(
            projected(&context(0, Duration::ZERO), Uuid::nil(), |_| async { Ok::<_, Problem>((0, 1)) })
                .await
                .unwrap(),
            1
        );
    }

    #[tokio::test]
    async fn a_reader_that_lags_is_passed_by() {
        assert_eq!(read(&context(3, Duration::ZERO), 2).await.unwrap(), [false, true]);
    }

    #[tokio::test]
    async fn a_view_that_is_behind_is_waited_for_as_long_as_the_caller_allows() {
        let refused = read(&context(9, Duration::ZERO), 1).await.unwrap_err();
        assert_eq!(refused.code(), "projection-behind");
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(read(&context(4, Duration::from_secs(4)), 1).await.unwrap(), [false, true, true, true]);
    }
}
