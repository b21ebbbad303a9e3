drop function find_similar_content(text, uuid, float, integer), nearest_settled_statement(text, integer),
    get_metrics_aggregated(text, uuid, text, text), archive_old_metrics(), archive_metrics_before(date),
    ensure_month_partitions(integer), ensure_month_partition(text, date), month_partition_column(text);
drop table embeddings, embedding_versions, organization_models, embedding_models, time_series_metrics_archive,
    archive_parts, time_series_metrics;
