drop table ai_suggestions, ai_prompts, ai_context_logs;
