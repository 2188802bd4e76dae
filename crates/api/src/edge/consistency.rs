//! The freshness token on the wire: the header `Consistency-Token`, and a cookie for browsers that do nothing.

use common::context::Context;
use common::db::Token;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use super::{CONSISTENCY_TOKEN, cookie};
use crate::extract::invalid_header;
use crate::problem::Problem;

/// Two halves of one name would be two tokens: the cookie's name is the header's.
const COOKIE_NAME: &str = "consistency-token";
/// How long a browser keeps it; any standby has caught up by then.
const COOKIE_TTL_S: u32 = 600;

/// What the client has seen: header and cookie together. A header that isn't a token is 400, a cookie that isn't one
/// is what an older release left behind.
pub(super) fn token_of(headers: &HeaderMap) -> Result<Token, Problem> {
    let mut token = Token::default();
    for value in headers.get_all(CONSISTENCY_TOKEN) {
        let sent = value.to_str().ok().and_then(Token::decode);
        token.merge(
            &sent.ok_or_else(|| invalid_header(&CONSISTENCY_TOKEN, "is not a token of this service"))?,
        );
    }
    if let Some(sent) = cookie(headers, COOKIE_NAME).and_then(Token::decode) {
        token.merge(&sent);
    }
    Ok(token)
}

/// Gives the token back when the request wrote something.
pub(super) fn give_back(context: &Context, secure: bool, headers: &mut HeaderMap) {
    let Some(token) = context.written_token() else { return };
    let text = token.encode();
    let secure = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE_NAME}={text}; Path=/; Max-Age={COOKIE_TTL_S}; HttpOnly; SameSite=Lax{secure}");
    if let (Ok(text), Ok(cookie)) = (HeaderValue::try_from(text), HeaderValue::try_from(cookie)) {
        headers.insert(CONSISTENCY_TOKEN, text);
        headers.append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use common::db::Position;
    use http::header::COOKIE;

    use super::*;

    fn token(set: u64, lsn: u64) -> Token {
        let mut token = Token::default();
        token.add_position(Position { set, timeline: 1, lsn });
        token
    }

    #[test]
    fn header_and_cookie_are_merged() {
        let mut headers = HeaderMap::new();
        headers.insert(CONSISTENCY_TOKEN, token(1, 10).encode().parse().unwrap());
        let cookie = format!("a=b; {COOKIE_NAME}={}; c=d", token(2, 20).encode());
        headers.insert(COOKIE, cookie.parse().unwrap());
        let merged = token_of(&headers).unwrap();
        assert!(merged.position(1).is_some() && merged.position(2).is_some());
    }

    #[test]
    fn a_wrong_header_is_told_and_a_wrong_cookie_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("{COOKIE_NAME}=rubbish").parse().unwrap());
        assert!(token_of(&headers).unwrap().is_empty());
        headers.insert(CONSISTENCY_TOKEN, "rubbish".parse().unwrap());
        assert_eq!(token_of(&headers).unwrap_err().code(), "invalid-header");
    }
}
