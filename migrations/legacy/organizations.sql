-- Each legacy user gets an organization of their own, unless the operator's mapping says which one.

create or replace function kindred_migration.own_organization(user_id uuid) returns uuid language sql immutable as $$
    select md5('organization of user ' || user_id)::uuid
$$;

-- Makes an organization complete: slug, revision counter, model, flag. Safe to run again.
create or replace function kindred_migration.make_organization(p_id uuid, p_name text, p_slug text) returns void
language plpgsql as $$
begin
    insert into organization_slugs (slug, organization_id) values (p_slug, p_id) on conflict do nothing;
    insert into organizations (id, name, slug) values (p_id, p_name, p_slug) on conflict do nothing;
    insert into organization_revisions (organization_id) values (p_id) on conflict do nothing;
    insert into organization_models (organization_id, model_version, status)
    select p_id, s.model_version, 'active' from kindred_migration.settings s
    where not exists (select from organization_models m where m.organization_id = p_id) on conflict do nothing;
    insert into kindred_migration.organization_flags (organization_id) values (p_id) on conflict do nothing;
end
$$;

create or replace function kindred_migration.ensure_organizations(p_users uuid[]) returns void
language plpgsql as $$
declare
    person uuid;
    profile record;
begin
    for person in
        select u from unnest(p_users) u
        where u is not null and not exists (select from kindred_migration.user_organizations o where o.user_id = u)
        order by u
    loop
        select s.full_name, s.email into profile from kindred_migration.user_profiles_source s where s.id = person;
        perform kindred_migration.make_organization(
            kindred_migration.own_organization(person),
            coalesce(nullif(btrim(profile.full_name), ''), nullif(split_part(profile.email, '@', 1), ''), 'Personal'),
            'user-' || person);
        insert into organization_members (organization_id, user_id, role, status, joined_at)
        values (kindred_migration.own_organization(person), person, 'owner', 'active', now()) on conflict do nothing;
        insert into kindred_migration.user_organizations values (person, kindred_migration.own_organization(person))
        on conflict do nothing;
    end loop;
end
$$;

-- The organization that the operator names by its slug; it is made where it is missing.
create or replace function kindred_migration.named_organization(p_slug text) returns uuid language plpgsql as $$
declare
    named uuid := coalesce((select organization_id from organization_slugs where slug = p_slug),
                           md5('organization named ' || p_slug)::uuid);
begin
    perform kindred_migration.make_organization(named, p_slug, p_slug);
    return named;
end
$$;

-- Puts a user into an organization that the operator names; the first one there is its owner unless a role is given.
create or replace function kindred_migration.map_user(p_user uuid, p_slug text, p_role text) returns void
language plpgsql as $$
declare
    chosen uuid := kindred_migration.named_organization(p_slug);
begin
    insert into organization_members (organization_id, user_id, role, status, joined_at)
    values (chosen, p_user, coalesce(p_role, case when exists (select from organization_members m where m.organization_id = chosen)
                                             then 'member' else 'owner' end), 'active', now())
    on conflict do nothing;
    insert into kindred_migration.user_organizations values (p_user, chosen) on conflict do nothing;
end
$$;

-- The organization of a row: its user's, or the one that the operator named for rows without a user.
create or replace function kindred_migration.organization_of(p_user uuid) returns uuid language sql stable as $$
    select case when p_user is null then (select default_organization from kindred_migration.settings)
           else (select o.organization_id from kindred_migration.user_organizations o where o.user_id = p_user) end
$$;
