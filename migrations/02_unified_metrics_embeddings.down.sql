drop table embeddings, embedding_versions, organization_models, embedding_models, time_series_metrics;
