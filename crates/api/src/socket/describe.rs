//! What a module declares about its operations and channels. The session looks names, scopes and costs up
//! here and [`crate::asyncapi`] writes the document from it, so that neither can say what the other doesn't.

use common::limit::Class;
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};

/// Named schemas, in the order in which they were met.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// The schema of a Rust type, as a constant.
#[derive(Clone, Copy, Debug)]
pub struct SchemaOf {
    collect: fn(&mut Schemas) -> RefOr<Schema>,
}

impl SchemaOf {
    /// Of this type.
    pub const fn of<T: ToSchema>() -> Self {
        Self { collect: collect::<T> }
    }

    /// An object without members.
    pub const NOTHING: Self =
        Self { collect: |_| RefOr::T(utoipa::openapi::ObjectBuilder::new().build().into()) };

    /// A reference to the type's schema; it and all that it refers to are added to `schemas`.
    pub fn collect(&self, schemas: &mut Schemas) -> RefOr<Schema> {
        (self.collect)(schemas)
    }
}

fn collect<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let name = T::name();
    T::schemas(schemas);
    schemas.push((name.to_string(), T::schema()));
    RefOr::Ref(Ref::from_schema_name(name))
}

/// Something that a client asks for and is answered once.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The `op`, `noun.verb`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the token must allow; empty when any caller may.
    pub scope: &'static str,
    /// What kind of work it is, for the caller's quota.
    pub class: Class,
    /// The shape of `args`.
    pub args: SchemaOf,
    /// The shape of the reply's `data`.
    pub reply: SchemaOf,
}

/// A kind of channel: one per key.
#[derive(Clone, Copy, Debug)]
pub struct ChannelKind {
    /// What stands before the colon in a channel's name.
    pub name: &'static str,
    /// What stands after it, as the document names it: `instrument`.
    pub key: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the token must allow; empty when any caller may.
    pub scope: &'static str,
    /// Whether a slow client is given the sum of what it missed. Otherwise it is given everything, or is
    /// closed with [`super::close_code::SLOW`] and resumes.
    pub conflated: bool,
    /// The shape of `args` at the subscription, beside `resume_from`.
    pub args: SchemaOf,
    /// What is sent on it.
    pub messages: &'static [MessageKind],
}

/// One `type` of a channel's messages.
#[derive(Clone, Copy, Debug)]
pub struct MessageKind {
    /// The `type`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The shape of `data`.
    pub data: SchemaOf,
}
