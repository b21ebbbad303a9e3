-- Step 02: legacy vectors become versions under the operator's model. None of them says which model made it.

select kindred_migration.read_source('interactions', kindred_migration.legacy_table('interactions'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"}, {"name": "platform", "type": "text"},
    {"name": "interaction_type", "type": "text"}, {"name": "message", "type": "text"},
    {"name": "embedding", "type": "double precision[]"}, {"name": "created_at", "type": "timestamptz"}]');
select kindred_migration.read_source('user_embeddings', kindred_migration.legacy_table('user_embeddings'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"}, {"name": "embedding_type", "type": "text"},
    {"name": "content_sample", "type": "text"}, {"name": "embedding", "type": "double precision[]"},
    {"name": "version", "type": "integer"}, {"name": "is_active", "type": "boolean"},
    {"name": "confidence_score", "type": "real"}, {"name": "created_at", "type": "timestamptz"}]');

-- Which line a legacy table's vectors are written to, where rows and entities have the same ids.
create or replace view kindred_migration.lines_of_vectors as
select * from (values ('posts', 'post', 'content'), ('chat_messages', 'chat', 'content'),
                      ('content_ideas', 'content_idea', 'description'), ('hashtags', 'hashtag', 'tag')) l (source, entity_type, source_field);

create or replace view kindred_migration.vectors as
select 'posts' as source, s.id as source_id, s.organization_id, 'post' as entity_type, 'content' as source_field,
       s.content, s.embedding, s.platforms[1] as platform, coalesce(s.tags, '{}') as tags,
       coalesce(s.status, 'draft') as status, coalesce(s.created_at, s.updated_at, 'epoch') as occurred_at
from kindred_migration.posts_source s where s.organization_id is not null
union all
select 'chat_messages', s.id, s.organization_id, 'chat', 'content', s.content, s.embedding, null, '{}', null, coalesce(s.created_at, s.updated_at, 'epoch')
from kindred_migration.chat_messages_source s where s.organization_id is not null
union all
select 'content_ideas', s.id, s.organization_id, 'content_idea', 'description', s.description, s.embedding, s.platforms[1],
       coalesce(s.tags, '{}'), coalesce(s.status, 'idea'), coalesce(s.created_at, s.updated_at, 'epoch')
from kindred_migration.content_ideas_source s where s.organization_id is not null
union all
select 'hashtags', s.id, h.organization_id, 'hashtag', 'tag', s.tag, s.embedding, null, '{}', null, h.created_at
from kindred_migration.hashtags_source s
join kindred_migration.wanted_hashtags_of_hashtags h on h.source_id = s.id
union all
select 'interactions', s.id, s.organization_id,
       case s.interaction_type when 'dm' then 'dm' else 'comment' end, 'message', s.message, s.embedding, s.platform, '{}',
       null, s.created_at
from kindred_migration.interactions_source s where s.organization_id is not null;

-- Why a vector cannot be adopted; null where it can.
create or replace function kindred_migration.vector_refusal(v double precision[], dimensions integer) returns text
language sql immutable as $$
    select case
        when cardinality(v) <> dimensions then format('its vector has %s components; the model has %s', cardinality(v), dimensions)
        when c.nulls > 0 then 'its vector has a component that is null'
        when c.nans > 0 then 'its vector holds NaN'
        when c.infinite > 0 then 'its vector holds an infinite component'
        when c.huge > 0 then 'its vector has a component that no 32-bit number holds'
        when c.present = 0 then 'its vector is all zero'
    end
    from (select count(*) filter (where x is null) as nulls, count(*) filter (where x = 'NaN') as nans,
                 count(*) filter (where x = any ('{Infinity,-Infinity}')) as infinite,
                 count(*) filter (where abs(x) > 3e38) as huge, count(*) filter (where abs(x) > 1e-38) as present
          from unnest(v) x) c
$$;

-- The next version of one line; without a vector, a tombstone. A table only for its row type.
create table if not exists kindred_migration.vector_change (
    organization_id uuid, entity_type text, entity_id uuid, source_field text, embedding double precision[], content text,
    platform text, tags text[], status text, occurred_at timestamptz, created_at timestamptz, confidence real,
    activated_from integer, metadata jsonb, revision bigint, version integer
);

-- Writes versions of different lines, each of which closes the one before: one revision an organization, taken in the order
-- of their ids, so that two transactions never wait for each other crosswise.
create or replace function kindred_migration.write_versions(p_changes kindred_migration.vector_change[]) returns void
language plpgsql as $$
declare
    model text := (select model_version from kindred_migration.settings);
    changes kindred_migration.vector_change[];
begin
    if p_changes is null or cardinality(p_changes) = 0 then return; end if;
    perform from organization_revisions r
    where r.organization_id in (select organization_id from unnest(p_changes)) order by r.organization_id for update;
    update organization_revisions r set revision = r.revision + 1
    where r.organization_id in (select organization_id from unnest(p_changes));
    select array_agg(row(c.organization_id, c.entity_type, c.entity_id, c.source_field, c.embedding, c.content, c.platform,
                         c.tags, c.status, c.occurred_at, c.created_at, c.confidence, c.activated_from, c.metadata, r.revision,
                         (select coalesce(max(v.version), 0) + 1 from embedding_versions v
                          where v.organization_id = c.organization_id and v.entity_type = c.entity_type
                            and v.entity_id = c.entity_id and v.source_field = c.source_field
                            and v.model_version = model))::kindred_migration.vector_change) into changes
    from unnest(p_changes) c join organization_revisions r using (organization_id);
    update embedding_versions v set superseded_revision = c.revision from unnest(changes) c
    where v.organization_id = c.organization_id and v.entity_type = c.entity_type and v.entity_id = c.entity_id
      and v.source_field = c.source_field and v.model_version = model and v.superseded_revision is null and c.version > 1;
    update embeddings e set superseded_revision = c.revision from unnest(changes) c
    where e.organization_id = c.organization_id and e.entity_type = c.entity_type and e.entity_id = c.entity_id
      and e.source_field = c.source_field and e.model_version = model and e.superseded_revision is null and c.version > 1;
    insert into embedding_versions (organization_id, id, entity_type, entity_id, source_field, model_version, version,
        revision, activated_from, content_hash, attributes_hash, chunk_count, deleted, created_at)
    select c.organization_id, kindred_migration.uuid_at(c.created_at, concat_ws('/', c.organization_id, c.entity_type, c.entity_id, c.source_field, model, c.version)),
           c.entity_type, c.entity_id, c.source_field, model, c.version, c.revision, c.activated_from,
           sha256(convert_to(coalesce(c.content, ''), 'UTF8')),
           sha256(convert_to(concat_ws('/', c.platform, c.tags, c.status, c.occurred_at, c.metadata), 'UTF8')),
           case when c.embedding is null then 0 else 1 end, c.embedding is null, c.created_at
    from unnest(changes) c;
    insert into embeddings (organization_id, id, entity_type, entity_id, source_field, chunk_index, model_version,
        version, vector_data, content, tags, platform, status, occurred_at, confidence_score, metadata, revision, created_at)
    select c.organization_id, kindred_migration.uuid_at(c.created_at, concat_ws('/', c.organization_id, c.entity_type, c.entity_id, c.source_field, model, c.version, 0)),
           c.entity_type, c.entity_id, c.source_field, 0, model, c.version, c.embedding::real[]::vector,
           coalesce(c.content, ''), coalesce(c.tags, '{}'), coalesce(c.platform, ''), coalesce(c.status, ''), c.occurred_at,
           c.confidence, c.metadata, c.revision, c.created_at
    from unnest(changes) c where c.embedding is not null;
    insert into embedding_changes (organization_id, revision, entity_type, entity_id, source_field, model_version, version, kind)
    select c.organization_id, c.revision, c.entity_type, c.entity_id, c.source_field, model, c.version,
           case when c.embedding is null then 'removed' else 'put' end
    from unnest(changes) c;
end
$$;

-- The same for one line.
create or replace function kindred_migration.write_version(
    p_organization uuid, p_entity_type text, p_entity uuid, p_field text, p_vector double precision[], p_content text,
    p_platform text, p_tags text[], p_status text, p_occurred_at timestamptz, p_created_at timestamptz,
    p_confidence real, p_activated_from integer, p_metadata jsonb
) returns void language sql as $$
    select kindred_migration.write_versions(array[row(p_organization, p_entity_type, p_entity, p_field, p_vector, p_content,
        p_platform, p_tags, p_status, p_occurred_at, p_created_at, p_confidence, p_activated_from, p_metadata, null,
        null)::kindred_migration.vector_change])
$$;

-- Which line each source's vectors are written to, and what is current there.
create or replace view kindred_migration.current_vectors as
select e.organization_id, e.metadata ->> 'source' as source, (e.metadata ->> 'source_id')::uuid as source_id, e.entity_type,
       e.entity_id, e.source_field, e.vector_data, e.content, e.tags, e.platform, e.status, e.occurred_at
from embeddings e join kindred_migration.settings s on s.model_version = e.model_version
where e.superseded_revision is null;

create index if not exists embeddings_legacy_entity on embeddings (entity_id) where superseded_revision is null;

create or replace function kindred_migration.carry_vectors(p_source text, p_ids uuid[]) returns void
language plpgsql as $$
declare
    width integer := (select dimensions from kindred_migration.settings);
    changes kindred_migration.vector_change[];
begin
    insert into kindred_migration.quarantine (source, source_id, part, reason)
    select distinct p_source, v.source_id, 'embedding', kindred_migration.vector_refusal(v.embedding, width)
    from kindred_migration.vectors v
    where v.source = p_source and v.source_id = any ((select p_ids)::uuid[]) and cardinality(v.embedding) > 0
      and kindred_migration.vector_refusal(v.embedding, width) is not null
    on conflict (source, source_id, part) do update set reason = excluded.reason;

    with wanted as materialized (
        select v.* from kindred_migration.vectors v
        where v.source = p_source and v.source_id = any ((select p_ids)::uuid[]) and cardinality(v.embedding) > 0
          and not exists (select from kindred_migration.quarantine q
                          where q.source = p_source and q.source_id = v.source_id and q.part = 'embedding')
    ), present as materialized (
        select * from kindred_migration.current_vectors c where c.entity_id = any ((select p_ids)::uuid[]) and c.source = p_source
    )
    select array_agg(row(coalesce(w.organization_id, c.organization_id), coalesce(w.entity_type, c.entity_type),
                         coalesce(w.source_id, c.entity_id), coalesce(w.source_field, c.source_field), w.embedding, w.content,
                         w.platform, w.tags, w.status, w.occurred_at, coalesce(w.occurred_at, 'epoch'), null, null,
                         jsonb_build_object('source', p_source, 'source_id', coalesce(w.source_id, c.entity_id)), null,
                         null)::kindred_migration.vector_change) into changes
    from wanted w full join present c
      on c.organization_id = w.organization_id and c.entity_type = w.entity_type and c.entity_id = w.source_id
     and c.source_field = w.source_field
    where c.entity_id is null or w.source_id is null
       or (c.vector_data, c.content, c.tags, c.platform, c.status, c.occurred_at) is distinct from
          (w.embedding::real[]::vector, coalesce(w.content, ''), w.tags, coalesce(w.platform, ''), coalesce(w.status, ''), w.occurred_at);
    perform kindred_migration.write_versions(changes);
end
$$;

create or replace function kindred_migration.after_interactions(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry_vectors('interactions', ids)
$$;
select kindred_migration.add_source(2, 3, 'interactions', kindred_migration.no_home(), null, 'kindred_migration.after_interactions');

-- The one legacy table with real versions: each of its rows is a version, in order; where an older one is the active one,
-- it was activated again at the end.
create or replace function kindred_migration.after_user_embeddings(ids uuid[]) returns void language plpgsql as $$
declare
    width integer := (select dimensions from kindred_migration.settings);
    entry record;
    active record;
    stored record;
begin
    insert into kindred_migration.quarantine (source, source_id, part, reason)
    select 'user_embeddings', s.id, 'embedding', kindred_migration.vector_refusal(s.embedding, width)
    from kindred_migration.user_embeddings_source s
    where s.id = any ((select ids)::uuid[]) and cardinality(s.embedding) > 0 and kindred_migration.vector_refusal(s.embedding, width) is not null;
    for entry in
        select s.*
        from kindred_migration.user_embeddings_source s
        where (s.user_id, s.embedding_type) in (
                  select x.user_id, x.embedding_type from kindred_migration.user_embeddings_source x where x.id = any ((select ids)::uuid[])
                  union select c.entity_id, c.source_field from kindred_migration.current_vectors c
                  where c.source = 'user_embeddings' and c.source_id = any ((select ids)::uuid[]))
          and cardinality(s.embedding) > 0 and kindred_migration.vector_refusal(s.embedding, width) is null
          and s.organization_id is not null
          and not exists (
              select from embeddings e where e.organization_id = s.organization_id
                and e.entity_type = 'user' and e.entity_id = s.user_id and e.source_field = s.embedding_type
                and e.metadata ->> 'source_id' = s.id::text and e.vector_data = s.embedding::real[]::vector)
        order by s.user_id, s.embedding_type, s.version, s.created_at, s.id
    loop
        perform kindred_migration.write_version(entry.organization_id, 'user', entry.user_id, entry.embedding_type,
            entry.embedding, entry.content_sample, null, null, null, entry.created_at,
            coalesce(entry.created_at, 'epoch'), entry.confidence_score, null,
            jsonb_build_object('source', 'user_embeddings', 'source_id', entry.id, 'legacy_version', entry.version));
    end loop;
    -- What is current must be what is active.
    for stored in
        select c.* from kindred_migration.current_vectors c
        where c.source = 'user_embeddings' and (c.source_id = any ((select ids)::uuid[]) or (c.entity_id, c.source_field) in (
            select x.user_id, x.embedding_type from kindred_migration.user_embeddings_source x where x.id = any ((select ids)::uuid[])))
    loop
        select s.*, e.version as stored_version into active from kindred_migration.user_embeddings_source s
        left join embeddings e on e.organization_id = stored.organization_id and e.entity_type = 'user'
          and e.entity_id = stored.entity_id and e.source_field = stored.source_field
          and e.metadata ->> 'source_id' = s.id::text
        where s.user_id = stored.entity_id and s.embedding_type = stored.source_field and coalesce(s.is_active, true)
          and cardinality(s.embedding) > 0 and kindred_migration.vector_refusal(s.embedding, width) is null
        order by s.version desc nulls last, s.created_at desc, s.id desc, e.version desc limit 1;
        continue when active.id = stored.source_id;
        perform kindred_migration.write_version(stored.organization_id, 'user', stored.entity_id, stored.source_field,
            active.embedding, active.content_sample, null, null, null, active.created_at,
            coalesce(active.created_at, 'epoch'), active.confidence_score, active.stored_version,
            jsonb_build_object('source', 'user_embeddings', 'source_id', coalesce(active.id, stored.source_id),
                               'legacy_version', active.version));
    end loop;
end
$$;
select kindred_migration.add_source(2, 4, 'user_embeddings',
    'case when s.user_id is null then ''orphan: it names no user'' when s.embedding_type is null then ''it has no type'' end',
    null, 'kindred_migration.after_user_embeddings');
