//! What needs a superuser.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::MigrateError;

const BOOTSTRAP: &str = include_str!("bootstrap.sql");

/// Passwords for the roles; a role whose password is `None` keeps what it has.
#[derive(Clone, Default)]
pub struct RolePasswords {
    /// Of `kindred_owner`.
    pub owner: Option<String>,
    /// Of `kindred_app`.
    pub app: Option<String>,
    /// Of `kindred_reader`.
    pub reader: Option<String>,
}

/// Makes roles, ownership and the extension in the database of `superuser_url`. Safe to run again.
pub async fn bootstrap(superuser_url: &str, passwords: &RolePasswords) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(superuser_url).await?;
    sqlx::raw_sql(BOOTSTRAP).execute(&mut connection).await?;
    let roles =
        [("kindred_owner", &passwords.owner), ("kindred_app", &passwords.app), ("kindred_reader", &passwords.reader)];
    for (role, password) in roles {
        let Some(password) = password else { continue };
        // ALTER ROLE takes no parameters; the server itself quotes the literal.
        let quoted: String =
            sqlx::query_scalar("SELECT quote_literal($1::text)").bind(password).fetch_one(&mut connection).await?;
        let statement = format!("ALTER ROLE {role} PASSWORD {quoted}");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}
