//! A private Postgres that fsyncs, with the schema in place, and organizations in it.

use std::path::Path;

use kindred::access::{self, NewKey};
use kindred::admin::Administrator;
use kindred::domain::{Model, ModelId, OrganizationId};
use kindred::embedded::{Part, SUPERUSER, ScratchPostgres, ScratchSettings};
use kindred::migrate::{self, RolePasswords};
use kindred::store::{Database, DatabaseSettings};
use kindred::tenancy::Role;
use tokio_util::task::TaskTracker;

use crate::data::brought;

/// The database that is measured on. The service's own files lie in its folder, too.
pub(crate) struct BenchDatabase {
    postgres: ScratchPostgres,
    owner: Database,
    model: Model,
}

impl BenchDatabase {
    pub(crate) async fn start(dimensions: usize) -> Self {
        let binaries = brought(Part::postgres().unwrap()).await;
        let settings = ScratchSettings {
            durable: true,
            inside: Some(env!("CARGO_TARGET_TMPDIR").into()),
            extra: vec![("shared_buffers".to_owned(), "4GB".to_owned())],
            ..ScratchSettings::new(binaries)
        };
        let postgres = ScratchPostgres::start(settings, &TaskTracker::new()).await.unwrap();
        let url = |role: &str| postgres.server().url(role, "kindred");
        let password = |role: &str| postgres.server().credentials().password(role).map(str::to_owned);
        let passwords = RolePasswords {
            owner: password("kindred_owner"),
            app: password("kindred_app"),
            reader: password("kindred_reader"),
        };
        migrate::create_database(&postgres.server().url(SUPERUSER, "postgres"), "kindred").await.unwrap();
        migrate::bootstrap(&url(SUPERUSER), &passwords).await.unwrap();
        migrate::up(&url("kindred_owner")).await.unwrap();
        let owner = Database::connect(DatabaseSettings::new(url("kindred_owner"))).await.unwrap();
        let model = owner.register_model(&model(dimensions)).await.unwrap();
        Self { postgres, owner, model }
    }

    /// An organization, and a key that may read and write.
    pub(crate) async fn organization(&self, name: &str) -> (OrganizationId, String) {
        self.organization_with(name, &self.model.id).await
    }

    /// The same with another active model.
    pub(crate) async fn organization_with(&self, name: &str, model: &ModelId) -> (OrganizationId, String) {
        let administrator = Administrator::new(self.owner.clone());
        let organization = administrator.create_organization(name, name, model).await.unwrap();
        let new = NewKey { organization, name: name.to_owned(), role: Role::Editor, user: None, expires_at: None };
        (organization, access::issue(&self.owner, new).await.unwrap().1)
    }

    /// Its address for a role: `kindred_app` or `kindred_owner`.
    pub(crate) fn url(&self, role: &str) -> String {
        self.postgres.server().url(role, "kindred")
    }

    /// The database with its owner's rights, and the model that vectors are of.
    pub(crate) fn owner(&self) -> (&Database, &Model) {
        (&self.owner, &self.model)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.postgres.folder()
    }

    pub(crate) async fn stop(self) {
        self.owner.close().await;
        self.postgres.stop().await.unwrap();
    }
}

/// A model whose vectors come ready.
pub(crate) fn model(dimensions: usize) -> Model {
    Model {
        id: "bench".parse().unwrap(),
        provider: "bench".to_owned(),
        name: "ready".to_owned(),
        dimensions,
        normalized: true,
        document_prefix: String::new(),
        query_prefix: String::new(),
        max_input_tokens: 512,
    }
}
