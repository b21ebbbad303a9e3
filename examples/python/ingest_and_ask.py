"""Streams texts into Kindred, searches them in two languages, and asks for context.

    pip install grpcio grpcio-tools
    python3 examples/python/ingest_and_ask.py --key "$KINDRED_KEY"

The stubs are made of proto/ at the first run, into a temporary folder.
"""

import argparse
import glob
import importlib
import os
import queue
import sys
import tempfile
import threading
import time
import uuid

import grpc

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def stubs():
    """Compiles the protos and imports what comes out."""
    from grpc_tools import protoc

    out = tempfile.mkdtemp(prefix="kindred-stubs-")
    protos = glob.glob(os.path.join(ROOT, "proto/kindred/v1/*.proto"))
    include = os.path.join(os.path.dirname(protoc.__file__), "_proto")
    arguments = ["protoc", f"-I{ROOT}/proto", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + protos) != 0:
        sys.exit("the protos could not be compiled")
    sys.path.insert(0, out)
    names = ["types_pb2", "embedding_service_pb2", "embedding_service_pb2_grpc", "search_service_pb2",
             "search_service_pb2_grpc", "context_service_pb2", "context_service_pb2_grpc"]
    return [importlib.import_module(f"kindred.v1.{name}") for name in names]


DRINKS = ["espresso", "cold brew", "cappuccino", "filter coffee", "matcha latte", "Zitronenkuchen", "iced chai", "Kakao"]
PLACES = ["in Innsbruck", "in Munich", "at the market", "on the terrace", "im Online-Shop", "an der Bar", "zu Hause"]
MOODS = ["on a rainy Monday", "before the concert", "nach der Schicht", "am langen Wochenende", "for early birds"]
DEEDS = ["We pour", "You asked for", "Wir zeigen euch", "Our team loves", "Heute gibt es", "Thank you for trying"]


def texts(count):
    """Texts that all differ, in two languages."""
    for n in range(count):
        deed, drink = DEEDS[n % len(DEEDS)], DRINKS[n // 6 % len(DRINKS)]
        place, mood = PLACES[n // 48 % len(PLACES)], MOODS[n // 336 % len(MOODS)]
        yield f"{deed} {drink} {place} {mood}, take {n}."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default=os.environ.get("KINDRED_ADDRESS", "127.0.0.1:50051"))
    parser.add_argument("--key", default=os.environ.get("KINDRED_KEY"), help="an API key of the role editor")
    parser.add_argument("--count", type=int, default=10_000, help="how many texts are streamed in")
    options = parser.parse_args()
    if not options.key:
        parser.error("give a key: --key, or KINDRED_KEY")
    types, embedding, embedding_grpc, search, search_grpc, context, context_grpc = stubs()
    channel = grpc.insecure_channel(options.address)
    metadata = [("authorization", f"Bearer {options.key}")]

    revision = ingest(types, embedding, embedding_grpc.EmbeddingServiceStub(channel), metadata, options.count)
    searches = search_grpc.SearchServiceStub(channel)
    for question in ["cold drinks for a hot day", "Kuchen und heiße Schokolade"]:
        request = search.SearchRequest(text=question, limit=3, min_revision=revision, include_content=True)
        answer = searches.Search(request, metadata=metadata, timeout=30)
        print(f"\n{question!r} ({types.ServedBy.Name(answer.served_by)}, revision {answer.revision})")
        for hit in answer.results:
            print(f"  {hit.score:.3f}  {hit.content.text}")

    contexts = context_grpc.ContextServiceStub(channel)
    request = context.RetrieveContextRequest(query="What do we offer on rainy days?", token_budget=1000, min_revision=revision)
    found = contexts.RetrieveContext(request, metadata=metadata, timeout=30)
    print(f"\ncontext: {len(found.items)} items, {found.token_count} of {found.token_budget} tokens, {len(found.dropped)} dropped")
    assert found.token_count <= 1000
    feedback = context.RecordFeedbackRequest(context_log_id=found.context_log_id, score=5)
    contexts.RecordFeedback(feedback, metadata=metadata, timeout=30)
    request = context.GetContextLogRequest(context_log_id=found.context_log_id)
    log = contexts.GetContextLog(request, metadata=metadata, timeout=30).log
    assert log.packed_text == found.packed_text and log.feedback_score == 5
    print(f"its row in ai_context_logs: {log.context_log_id}, feedback {log.feedback_score}")


def ingest(types, embedding, service, metadata, count):
    """Streams drafts in while it reads their acknowledgements; gives the highest revision."""
    messages = queue.Queue(maxsize=8)

    def feed():
        batch = []
        for number, text in enumerate(texts(count)):
            entity = types.EntityRef(type="post", id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"post-{number}")))
            chunk = embedding.ChunkDraft(text=text)
            batch.append(embedding.Draft(item_id=str(number), entity=entity, chunks=[chunk]))
            if len(batch) == 200:
                messages.put(embedding.UpsertEmbeddingsRequest(drafts=batch))
                batch = []
        if batch:
            messages.put(embedding.UpsertEmbeddingsRequest(drafts=batch))
        messages.put(None)

    threading.Thread(target=feed, daemon=True).start()
    started, done, revision, kinds = time.time(), 0, 0, {}
    for answer in service.UpsertEmbeddings(iter(messages.get, None), metadata=metadata):
        for outcome in answer.outcomes:
            done += 1
            revision = max(revision, outcome.revision)
            name = embedding.OutcomeKind.Name(outcome.kind)
            kinds[name] = kinds.get(name, 0) + 1
            if outcome.reason:
                print(f"  {outcome.item_id}: {outcome.reason}")
        print(f"\r{done} of {count} acknowledged", end="", flush=True)
    took = time.time() - started
    print(f"\r{done} of {count} acknowledged in {took:.1f} s ({done / took:.0f}/s): {kinds}")
    assert done == count
    return revision


if __name__ == "__main__":
    main()
