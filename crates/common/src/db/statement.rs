//! SQL as typed constants: a reader takes only a [`ReadStatement`], and one registry lists them all.

/// One named SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `store.find_account`: the name in metrics and logs.
    pub name: &'static str,
    /// The text, with `$1` for parameters and without schema names.
    pub sql: &'static str,
    /// Whether a standby may run it.
    pub reads_only: bool,
}

/// A statement that changes nothing: any connection runs it.
#[derive(Clone, Copy, Debug)]
pub struct ReadStatement(#[doc(hidden)] pub Statement);

/// A statement that changes rows or takes locks: only a transaction on the writer runs it.
#[derive(Clone, Copy, Debug)]
pub struct WriteStatement(#[doc(hidden)] pub Statement);

/// What a transaction takes: either kind.
pub trait AnyStatement: Send + Sync {
    /// Name and text.
    fn statement(&self) -> &Statement;
}

impl AnyStatement for ReadStatement {
    fn statement(&self) -> &Statement {
        &self.0
    }
}

impl AnyStatement for WriteStatement {
    fn statement(&self) -> &Statement {
        &self.0
    }
}

/// Declares statements as constants and lists them in `STATEMENTS`.
///
/// ```
/// common::statements! {
///     /// An account by its id.
///     read FIND_ACCOUNT = "SELECT id, name FROM account WHERE id = $1";
///     /// A new account.
///     write INSERT_ACCOUNT = "INSERT INTO account (id, name) VALUES ($1, $2)";
/// }
/// assert_eq!(STATEMENTS.len(), 2);
/// ```
#[macro_export]
macro_rules! statements {
    ($($(#[$doc:meta])* $kind:ident $name:ident = $sql:expr;)*) => {
        $($crate::statements!(@one $(#[$doc])* $kind $name $sql);)*
        /// Every statement of this file, for the registry.
        pub const STATEMENTS: &[$crate::db::Statement] = &[$($name.0),*];
    };
    (@one $(#[$doc:meta])* read $name:ident $sql:expr) => {
        $(#[$doc])*
        pub const $name: $crate::db::ReadStatement = $crate::db::ReadStatement($crate::db::Statement {
            name: concat!(module_path!(), "::", stringify!($name)), sql: $sql, reads_only: true,
        });
    };
    (@one $(#[$doc:meta])* write $name:ident $sql:expr) => {
        $(#[$doc])*
        pub const $name: $crate::db::WriteStatement = $crate::db::WriteStatement($crate::db::Statement {
            name: concat!(module_path!(), "::", stringify!($name)), sql: $sql, reads_only: false,
        });
    };
}
