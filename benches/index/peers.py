"""hnswlib on the rows, queries and true answers in a folder: peers.py FOLDER DIMENSIONS THREADS.

Prints the CPU seconds of the build. Then, for each ef that is a line of the standard input, answers every query once and
prints recall, CPU microseconds of a query, p50 and p99.
"""

import sys
import time

import hnswlib
import numpy

K = 10
folder, dimensions, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = numpy.fromfile(f"{folder}/rows.f32", dtype="<f4").reshape(-1, dimensions)
queries = numpy.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, dimensions)
truth = numpy.fromfile(f"{folder}/truth.u32", dtype="<u4").reshape(len(queries), K)

index = hnswlib.Index(space="ip", dim=dimensions)
index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=1)
begun = time.process_time()
index.add_items(rows, num_threads=threads)
print(time.process_time() - begun, flush=True)
percentiles = {}
for line in sys.stdin:
    ef = int(line)
    index.set_ef(ef)
    # A whole round has no Python in it; the times of single queries have some.
    begun = time.process_time()
    labels, _ = index.knn_query(queries, k=K, num_threads=1)
    spent = time.process_time() - begun
    if ef not in percentiles:
        took = []
        for query in queries:
            begun = time.perf_counter()
            index.knn_query(query, k=K, num_threads=1)
            took.append((time.perf_counter() - begun) * 1e6)
        percentiles[ef] = numpy.percentile(took, [50, 99])
    recall = numpy.mean([len(set(found) & set(true)) / K for found, true in zip(labels, truth)])
    print(recall, spent / len(queries) * 1e6, *percentiles[ef], flush=True)
