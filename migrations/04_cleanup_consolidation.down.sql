drop function finalize_migration_cleanup(), verify_migration_integrity();
drop view kpi_table_reads, kpi_table_sizes, kpi_index_hits, kpi_answer_time, kpi_similarity_accuracy,
    kpi_suggestion_acceptance, top_performing_posts, analytics_dashboard, posts_unified, latest_post_insights;
drop table instagram_reels;
