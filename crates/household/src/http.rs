//! Routes, wire types and their documentation. No SQL, no rules.

mod accounts;
mod answers;
mod categories;
mod changes;
mod households;
mod imports;
mod live;
mod members;
mod transactions;

use crate::service::Household;
use api::Actions;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Without the module's state: the document needs no database.
pub fn routes() -> OpenApiRouter<Arc<Household>> {
    OpenApiRouter::new()
        .routes(routes!(households::list_households, households::create_household))
        .routes(routes!(households::get_household, households::update_household))
        .routes(routes!(members::list_members, members::add_member))
        .routes(routes!(members::get_member, members::update_member, members::remove_member))
        .routes(routes!(accounts::list_accounts, accounts::create_account))
        .routes(routes!(
            accounts::get_account,
            accounts::replace_account,
            accounts::update_account,
            accounts::delete_account
        ))
        .routes(routes!(accounts::get_balance))
        .routes(routes!(categories::list_categories, categories::create_category))
        .routes(routes!(
            categories::get_category,
            categories::replace_category,
            categories::update_category,
            categories::delete_category
        ))
        .routes(routes!(transactions::list_transactions, transactions::create_transaction))
        .routes(routes!(
            transactions::get_transaction,
            transactions::replace_transaction,
            transactions::update_transaction,
            transactions::delete_transaction
        ))
        .routes(routes!(imports::create_import))
        .routes(routes!(imports::get_import))
        .routes(routes!(imports::list_import_rows))
        .action(routes!(imports::commit_import))
        .action(routes!(imports::revert_import))
        .routes(routes!(changes::list_changes))
        .routes(routes!(live::follow_household))
        .routes(routes!(live::create_live_ticket))
        .routes(routes!(live::follow_household_with_ticket))
        .routes(routes!(changes::check_integrity))
        .routes(routes!(changes::get_summary))
}
