//! A client of trading's socket.

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};

use super::market::with;
use crate::harness::{self, Program, User};

/// An open socket.
pub struct Socket(harness::Socket);

impl Socket {
    /// Opens one, signed in by its header.
    pub async fn open(program: &Program, user: &User) -> Self {
        Self(harness::Socket::open(program, "/v1/trading/ws", user).await)
    }

    /// Places an order of an account and gives the reply's data.
    pub async fn place(&mut self, account: &str, order: Value) -> Value {
        let id = self.send("order.place", with(order, json!({"account": account}))).await;
        let answer = self.answer(id).await;
        assert_eq!(answer["type"], "reply", "{answer:#}");
        answer["data"].clone()
    }
}

impl Deref for Socket {
    type Target = harness::Socket;

    fn deref(&self) -> &harness::Socket {
        &self.0
    }
}

impl DerefMut for Socket {
    fn deref_mut(&mut self) -> &mut harness::Socket {
        &mut self.0
    }
}
