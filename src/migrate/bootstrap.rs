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

/// Makes a database where it is missing. Needs a superuser.
pub async fn create_database(superuser_url: &str, name: &str) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(superuser_url).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        // An identifier takes no parameter; the server itself quotes it.
        let quoted: String =
            sqlx::query_scalar("SELECT quote_ident($1::text)").bind(name).fetch_one(&mut connection).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {quoted}"))).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}
