//! Whether a role may serve requests.

use sqlx::{Connection, Row};

use super::connection::connect;
use super::{MigrateError, schema_state};

/// Refuses a role that owns tables, is a superuser, or may bypass row level security; and a schema that is not this
/// program's.
pub async fn check_service_role(url: &str) -> Result<(), MigrateError> {
    check_role(url).await?;
    check_schema(url).await
}

/// Refuses a role that owns tables, is a superuser, or may bypass row level security.
pub async fn check_role(url: &str) -> Result<(), MigrateError> {
    let mut connection = connect(url).await?;
    let row = sqlx::query(
        "SELECT current_user::text AS role, rolsuper, rolbypassrls,
                (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
                   AND pg_has_role(current_user, c.relowner, 'USAGE')) AS owned
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    let (superuser, bypasses, owned): (bool, bool, i64) =
        (row.try_get("rolsuper")?, row.try_get("rolbypassrls")?, row.try_get("owned")?);
    let reason = if superuser {
        "it is a superuser, whom row level security does not hold".to_owned()
    } else if bypasses {
        "it has BYPASSRLS".to_owned()
    } else if owned > 0 {
        format!("it owns {owned} tables, whose row level security does not hold it")
    } else {
        String::new()
    };
    if !reason.is_empty() {
        return Err(MigrateError::UnsafeRole { role: row.try_get("role")?, reason });
    }
    Ok(())
}

/// Refuses a schema that is not this program's.
pub async fn check_schema(url: &str) -> Result<(), MigrateError> {
    let state = schema_state(url).await?;
    if state.applied < state.known {
        return Err(MigrateError::Older { found: state.applied, known: state.known });
    }
    Ok(())
}
