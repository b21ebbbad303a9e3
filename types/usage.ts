// A use of the types as an application would write it. It is compiled, never run: where the types and the schema
// disagree, or the client does not understand the types, it does not compile.

import { PostgrestClient } from "@supabase/postgrest-js";
import type { Database, Json, Tables, TablesInsert, TablesUpdate } from "./enhanced-database.ts";

/** Compiles where the two types are the same one. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

const client = new PostgrestClient<Database>("https://example.invalid/rest/v1");
const organization_id = "018f0000-0000-7000-8000-000000000001";
const id = "018f0000-0000-7000-8000-000000000002";

/** Inserts: what has a default or may be null can be left out, what only some texts admit takes no others. */
export async function insert(): Promise<void> {
  const post: TablesInsert<"posts_core"> = { organization_id, id, status: "scheduled", platforms: ["instagram"] };
  await client.from("posts_core").insert(post);
  const content: TablesInsert<"posts_content"> = { organization_id, post_id: id, content: "Cold brew", metadata: { a: [1] } };
  await client.from("posts_content").insert(content);

  // @ts-expect-error A post belongs to an organization.
  await client.from("posts_core").insert({ id });
  // @ts-expect-error There is no such status.
  await client.from("posts_core").insert({ organization_id, id, status: "lost" });
  // @ts-expect-error A platform is a text.
  await client.from("posts_core").insert({ organization_id, id, platforms: [1] });

  const change: TablesUpdate<"posts_core"> = { title: null, published_at: new Date(0).toISOString() };
  await client.from("posts_core").update(change).eq("organization_id", organization_id).eq("id", id);
  // @ts-expect-error A post always has a status.
  await client.from("posts_core").update({ status: null });
}

/** Reads over foreign keys of two columns: a post has one content and many media. */
export async function read(): Promise<void> {
  const { data } = await client
    .from("posts_core")
    .select("id, status, posts_content(content, hashtags), post_media_links(order_index, media_files(mime_type))")
    .eq("organization_id", organization_id)
    .single();
  if (data === null) return;
  same<typeof data.status, "draft" | "scheduled" | "published" | "failed">(true);
  same<typeof data.posts_content, { content: string; hashtags: string[] } | null>(true);
  same<typeof data.post_media_links, { order_index: number; media_files: { mime_type: string | null } }[]>(true);

  const posts = await client.from("posts_unified").select("title, content, tags");
  same<NonNullable<typeof posts.data>, { title: string | null; content: string | null; tags: string[] | null }[]>(true);
  same<Tables<"posts_unified">["content"], string | null>(true);
}

/** Types as PostgREST's JSON has them. */
export function columns(embedding: Tables<"embeddings">, log: Tables<"ai_context_logs">): void {
  same<typeof embedding.vector_data, string>(true);
  same<typeof embedding.revision, number>(true);
  same<typeof embedding.metadata, Json>(true);
  same<typeof embedding.occurred_at, string | null>(true);
  same<typeof log.feedback_score, number | null>(true);
}

/** Calls a function: what has a default can be left out, the result is a list of rows. */
export async function similar(): Promise<void> {
  const { data } = await client.rpc("find_similar_content", {
    input_entity_type: "post",
    input_entity_id: id,
    max_results: 5,
  });
  const found = data?.[0];
  if (found === undefined) return;
  same<typeof found.similarity_score, number>(true);
  same<typeof found.entity_id, string>(true);
  same<typeof found.metadata, Json>(true);

  // @ts-expect-error Similar to what?
  await client.rpc("find_similar_content", { input_entity_type: "post" });
  // @ts-expect-error A number of results is a number.
  await client.rpc("find_similar_content", { input_entity_type: "post", input_entity_id: id, max_results: "5" });

  const permitted = await client.rpc("user_has_org_permission", { check_user_id: id, check_org_id: organization_id });
  same<typeof permitted.data, boolean | null>(true);
  const archived = await client.rpc("archive_old_metrics");
  same<typeof archived.data, number | null>(true);
}
