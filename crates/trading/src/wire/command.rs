//! Commands as clients write them, in the body of a request or the `args` of a message.

use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Error;
use crate::model::{OrderType, SelfTrade, Side, TimeInForce};
use crate::service::OrderContent;

/// The longest client order id.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// An order to be placed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::NewOrder)]
pub struct OrderBody {
    /// The client's own id, unique in the account for ever: 1 to 64 letters, digits, `.`, `_`, `:` or `-`.
    #[garde(custom(client_id))]
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "first-1")]
    client_order_id: String,
    /// The instrument's symbol.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "AAPL-USD")]
    instrument: String,
    /// Which way.
    #[garde(skip)]
    side: Side,
    /// How it is priced.
    #[serde(default = "limit")]
    #[garde(skip)]
    r#type: OrderType,
    /// How long it stays.
    #[serde(default = "gtc")]
    #[garde(skip)]
    time_in_force: TimeInForce,
    /// What happens when it would meet an order of its own account.
    #[serde(default = "cancel_taker")]
    #[garde(skip)]
    self_trade: SelfTrade,
    /// A multiple of the instrument's tick.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "585.94")]
    price: String,
    /// A multiple of the instrument's lot.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "18")]
    quantity: String,
}

/// `args` of `order.place`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::PlaceArgs)]
pub struct PlaceArgs {
    /// The account.
    #[garde(skip)]
    pub account: Uuid,
    /// The client's own id, unique in the account for ever: 1 to 64 letters, digits, `.`, `_`, `:` or `-`.
    #[garde(custom(client_id))]
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "first-1")]
    client_order_id: String,
    /// The instrument's symbol.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "AAPL-USD")]
    instrument: String,
    /// Which way.
    #[garde(skip)]
    side: Side,
    /// How it is priced.
    #[serde(default = "limit")]
    #[garde(skip)]
    r#type: OrderType,
    /// How long it stays.
    #[serde(default = "gtc")]
    #[garde(skip)]
    time_in_force: TimeInForce,
    /// What happens when it would meet an order of its own account.
    #[serde(default = "cancel_taker")]
    #[garde(skip)]
    self_trade: SelfTrade,
    /// A multiple of the instrument's tick.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "585.94")]
    price: String,
    /// A multiple of the instrument's lot.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "18")]
    quantity: String,
}

/// `args` of `order.cancel`: one of the two ids.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::CancelArgs)]
pub struct CancelArgs {
    /// The account.
    #[garde(skip)]
    pub account: Uuid,
    /// The order by the id that it was given here, …
    #[serde(default)]
    #[garde(skip)]
    pub order_id: Option<Uuid>,
    /// … or by the id that its owner gave it.
    #[serde(default)]
    #[garde(inner(custom(client_id)))]
    pub client_order_id: Option<String>,
    /// The instrument's symbol. Naming it saves a look-up, and keeps the order of the socket's messages.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 32)))]
    pub instrument: Option<String>,
}

/// `args` of `command.get` and `command.void`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::CommandArgs)]
pub struct CommandArgs {
    /// The account.
    #[garde(skip)]
    pub account: Uuid,
    /// The client's own id.
    #[garde(custom(client_id))]
    pub client_order_id: String,
}

fn limit() -> OrderType {
    OrderType::Limit
}

fn gtc() -> TimeInForce {
    TimeInForce::Gtc
}

fn cancel_taker() -> SelfTrade {
    SelfTrade::CancelTaker
}

/// A client's own id in an address.
pub fn check_client_id(id: &str) -> Result<(), Error> {
    client_id(id, &()).map_err(|error| Error::invalid("/path/client_order_id", error.to_string()))
}

/// A client's own id: 1 to 64 letters, digits, `.`, `_`, `:` or `-`.
pub(super) fn client_id(id: &str, _: &()) -> garde::Result {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    if (1..=CLIENT_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(fits) {
        Ok(())
    } else {
        Err(garde::Error::new("is not 1 to 64 letters, digits, dots, underscores, colons or hyphens"))
    }
}

macro_rules! content {
    ($body:ident) => {
        OrderContent {
            client_order_id: $body.client_order_id,
            instrument: $body.instrument,
            side: $body.side,
            r#type: $body.r#type,
            time_in_force: $body.time_in_force,
            self_trade: $body.self_trade,
            price: $body.price,
            quantity: $body.quantity,
        }
    };
}

impl From<OrderBody> for OrderContent {
    fn from(body: OrderBody) -> Self {
        content!(body)
    }
}

impl From<PlaceArgs> for OrderContent {
    fn from(args: PlaceArgs) -> Self {
        content!(args)
    }
}
