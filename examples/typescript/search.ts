// Searches, and asks for context:
//
//   cd examples/typescript && npm install
//   KINDRED_KEY=kindred_… npm run search -- "cold brew for hot days"

import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, Metadata } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const protos = fileURLToPath(new URL("../../proto", import.meta.url));
const files = ["search_service", "context_service"].map((name) => `kindred/v1/${name}.proto`);
const definition = loadSync(files, { includeDirs: [protos], longs: Number, enums: String, defaults: true });
const kindred = (loadPackageDefinition(definition) as any).kindred.v1;

const address = process.env.KINDRED_ADDRESS ?? "127.0.0.1:50051";
const text = process.argv[2] ?? "cold brew for hot days";
const metadata = new Metadata();
metadata.set("authorization", `Bearer ${process.env.KINDRED_KEY ?? ""}`);

/** Calls a unary method, and fails with what the service says. */
function call<Answer>(client: any, method: string, request: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + 30_000);
    client[method](request, metadata, { deadline }, (error: Error | null, answer: Answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

interface Found {
  results: { score: number; entity: { type: string }; content: { text: string } }[];
  servedBy: string;
  revision: number;
}

interface Context {
  contextLogId: string;
  tokenCount: number;
  tokenBudget: number;
  items: { citation: number }[];
}

const search = new kindred.SearchService(address, credentials.createInsecure());
const found = await call<Found>(search, "search", { text, limit: 3, includeContent: true });
console.log(`${text} (${found.servedBy}, revision ${found.revision})`);
for (const hit of found.results) {
  console.log(`  ${hit.score.toFixed(3)}  ${hit.entity.type}  ${hit.content.text.slice(0, 90)}`);
}

const contexts = new kindred.ContextService(address, credentials.createInsecure());
const context = await call<Context>(contexts, "retrieveContext", { query: text, tokenBudget: 400 });
console.log(`context ${context.contextLogId}: ${context.items.length} items, ${context.tokenCount} of ${context.tokenBudget} tokens`);
